"""NDJSON: a block of lines, each a JSON object, becomes columns of plain values; other lines are bad.

All lines of a block are parsed in one call, joined so that none can reach into its neighbour; when that fails, each
line is parsed by itself. Names are looked up as written first, then without regard to case. A blank line is no record.
"""

import json
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import numpy as np

from actors.source.decoding import RowRules
from actors.source.format.text import TextFormat, field_names
from actors.source.protocol import Offsets
from actors.source.records import Texts, find_unreadable
from actors.source.transport.lines import LineFraming
from config.sources import NdjsonFormatSettings

_MARK = "\u241e tocsin"
"""Text between two lines; a block that holds it is parsed line by line."""


class NdjsonReader:
    """Reads lines whose objects hold columns under given names."""

    def __init__(self, settings: NdjsonFormatSettings, fields: Mapping[str, str]) -> None:
        self._fields = dict(fields)
        self._null_when_missing = settings.missing == "null"
        self._size_bytes_max = settings.record_size_bytes_max

    def read(self, lines: Texts) -> tuple[dict[str, list[Any]], Offsets, dict[int, str]]:
        """Return the values of the good lines by column, the numbers of these lines, and what is wrong with others."""
        faults = find_unreadable(lines, self._size_bytes_max)
        texts = _texts(lines, faults)
        objects = _parse_together(list(texts.values()))
        if objects is None:
            objects = _parse_one_by_one(texts, faults)
        numbers = [number for number in texts if number not in faults]
        try:
            columns = {column: list(map(itemgetter(field), objects)) for column, field in self._fields.items()}
        except KeyError:
            numbers, columns = self._look_closer(numbers, objects, faults)
        return columns, np.array(numbers, dtype=np.int64), faults

    def _look_closer(
        self, numbers: list[int], objects: list[dict[str, Any]], faults: dict[int, str]
    ) -> tuple[list[int], dict[str, list[Any]]]:
        """Look up names without regard to case, and sort out the objects that lack one."""
        kept: list[int] = []
        columns: dict[str, list[Any]] = {column: [] for column in self._fields}
        for number, found in zip(numbers, objects, strict=True):
            folded = {name.lower(): value for name, value in found.items()}
            values = [found.get(field, folded.get(field.lower(), _MARK)) for field in self._fields.values()]
            missing = [field for field, value in zip(self._fields.values(), values, strict=True) if value is _MARK]
            if missing and not self._null_when_missing:
                faults[number] = f"the object has no key {missing[0]!r}"
                continue
            kept.append(number)
            for column, value in zip(self._fields, values, strict=True):
                columns[column].append(None if value is _MARK else value)
        return kept, columns


def ndjson_format(settings: NdjsonFormatSettings, rules: RowRules) -> TextFormat:
    """Return the format of JSON objects."""
    fields = field_names(rules.schema, settings.columns)
    reader = NdjsonReader(settings, fields)
    framing = LineFraming(record_size_bytes_max=settings.record_size_bytes_max)
    return TextFormat(rules, fields, framing, lambda _: reader)


def _texts(lines: Texts, faults: Mapping[int, str]) -> dict[int, str]:
    content = lines.content
    if not faults and lines.are_lines:
        found = content.decode().split("\n")
        return {number: text for number, text in enumerate(found) if text and text != "\r"}
    spans = enumerate(zip(lines.starts.tolist(), lines.ends.tolist(), strict=True))
    return {
        number: content[start:end].decode() for number, (start, end) in spans if start < end and number not in faults
    }


def _parse_together(texts: list[str]) -> list[dict[str, Any]] | None:
    """Return the objects of all texts, or `None` unless each text is exactly one object."""
    joined = f',"{_MARK}",'.join(texts)
    if joined.count(_MARK) != max(len(texts) - 1, 0):
        return None
    try:
        found = json.loads(f"[{joined}]")
    except (ValueError, RecursionError):
        return None
    # With every mark at the top level and at its place, no text can hold more or less than one value.
    if len(found) != max(2 * len(texts) - 1, 0) or any(mark != _MARK for mark in found[1::2]):
        return None
    objects = found[::2]
    return objects if set(map(type, objects)) <= {dict} else None


def _parse_one_by_one(texts: Mapping[int, str], faults: dict[int, str]) -> list[dict[str, Any]]:
    objects: list[dict[str, Any]] = []
    for number, text in texts.items():
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            what = f"{error.msg.removesuffix(' at')} at character {error.pos + 1}"
            faults[number] = f"the line is no JSON: {what}; write one object a line"
            continue
        except (ValueError, RecursionError) as error:
            what = "it is nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"
            faults[number] = f"the line is no JSON that can be read: {what}"
            continue
        if isinstance(found, dict):
            objects.append(found)
        else:
            faults[number] = "the line is JSON but no object; write one object a line"
    return objects

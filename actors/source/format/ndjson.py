"""NDJSON: a block of lines, each a JSON object, becomes columns of plain values; other lines are bad.

Lines that are all of one shape are not parsed at all (`actors.source.format.json_shapes`). The others of a block are
parsed in one call, joined so that none can reach into its neighbour; when that fails, each is parsed by itself. A name
is looked up as it is written first, then as a path, then both without regard to case.
A blank line is no record.

Where a list of the object is exploded, each of its elements is a row: its *place* is the number of the record times
the longest list that is allowed, plus its own number in the list. A name is looked for in the element first, then in
the object around it, in which the element stands in the place of the list.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import polars as pl

from actors.model import Schema
from actors.source.decoding import RowRules
from actors.source.format.json_shapes import LINE_COUNT_MIN, JsonShapes
from actors.source.format.text import RawPart, TextFormat, field_names
from actors.source.protocol import Offsets
from actors.source.records import Texts, find_unreadable
from actors.source.transport.lines import LineFraming
from config.formats import NdjsonFormatSettings
from config.json_paths import MISSING, Steps, steps_of, value_at_steps

_MARK = "\u241e tocsin"
"""Text between two lines; a block that holds it is parsed line by line."""

Find = Callable[[Any], Any]
"""Finds a value in an object, or in an object and an element of it; raises `KeyError` when there is none."""


class NdjsonReader:
    """Reads lines whose objects hold columns under given names."""

    def __init__(self, settings: NdjsonFormatSettings, fields: Mapping[str, str], schema: Schema | None = None) -> None:
        self._fields = dict(fields)
        self._null_when_missing = settings.missing == "null"
        self._size_bytes_max = settings.record_size_bytes_max
        self._rows_max = settings.rows_max
        self._list = None if settings.explode is None else _Path(settings.explode)
        self._find: dict[str, Find]
        self._find_folded: dict[str, Find]
        if self._list is None:
            self._find = {column: _exactly(field) for column, field in self._fields.items()}
            self._find_folded = {column: _Path(field).find_folded for column, field in self._fields.items()}
        else:
            within = {column: _InElement(field, self._list) for column, field in self._fields.items()}
            self._find = {column: one.find for column, one in within.items()}
            self._find_folded = {column: one.find_folded for column, one in within.items()}
        self._shapes: JsonShapes | None = None
        if self._list is None and schema is not None:
            kinds = {column: schema[column].type for column in self._fields}
            self._shapes = JsonShapes(self._find_folded, kinds, null_when_missing=self._null_when_missing)

    def read_parts(self, texts: Texts) -> tuple[list[RawPart], dict[int, str]]:
        """Return the good rows, in parts that differ in how they were read, and what is wrong at others."""
        faults = find_unreadable(texts, self._size_bytes_max)
        parts: list[RawPart] = []
        if self._shapes is None or len(texts) < LINE_COUNT_MIN:
            left = _texts(texts, faults)
        else:
            found, left = self._shapes.read(_lines(texts, faults))
            parts += found
            left = {number: text for number, text in left.items() if text and text != "\r"}
        if left or not parts:
            columns, places, faults = self._parse(left, faults)
            parts.append((columns, places))
        return parts, faults

    def _parse(
        self, texts: Mapping[int, str], faults: dict[int, str]
    ) -> tuple[dict[str, list[Any]], Offsets, dict[int, str]]:
        objects = _parse_together(list(texts.values()))
        if objects is None:
            objects = _parse_one_by_one(texts, faults)
        return self.rows_of([number for number in texts if number not in faults], objects, faults)

    def rows_of(
        self, numbers: Sequence[int], objects: Sequence[dict[str, Any]], faults: dict[int, str]
    ) -> tuple[dict[str, list[Any]], Offsets, dict[int, str]]:
        """Return the values of the good rows by column, the places of these, and what is wrong at others.

        Given are the objects of good records with the numbers of these, and what is wrong with the others.
        """
        found: Sequence[Any] = objects
        if self._list is not None:
            faults = {number * self._rows_max: reason for number, reason in faults.items()}
            rows = list(self._explode(self._list, numbers, objects, faults))
            numbers, found = [place for place, _ in rows], [row for _, row in rows]
        try:
            columns = {column: list(map(find, found)) for column, find in self._find.items()}
        except KeyError:
            numbers, columns = self._look_closer(numbers, found, faults)
        return columns, np.array(numbers, dtype=np.int64), faults

    def _explode(
        self, path: "_Path", numbers: Sequence[int], objects: Sequence[dict[str, Any]], faults: dict[int, str]
    ) -> Iterator[tuple[int, tuple[Any, Any]]]:
        """Yield the elements of the lists in objects with their places, each beside its object."""
        for number, whole in zip(numbers, objects, strict=True):
            place = number * self._rows_max
            try:
                elements = path.find_folded(whole)
            except KeyError:
                elements = None
                if not self._null_when_missing:
                    faults[place] = f"the object has no list {path.text!r}"
                    continue
            if elements is None and self._null_when_missing:
                continue
            if type(elements) is not list:
                faults[place] = f"{path.text!r} is no list, and each of its elements should be a row"
            elif len(elements) > self._rows_max:
                faults[place] = (
                    f"the list {path.text!r} has {len(elements)} elements; `explode_rows_max` allows {self._rows_max}"
                )
            else:
                yield from ((place + at, (whole, element)) for at, element in enumerate(elements))

    def _look_closer(
        self, numbers: Sequence[int], found: Sequence[Any], faults: dict[int, str]
    ) -> tuple[list[int], dict[str, list[Any]]]:
        """Look up names without regard to case, and sort out the rows that lack one."""
        kept: list[int] = []
        columns: dict[str, list[Any]] = {column: [] for column in self._fields}
        for number, row in zip(numbers, found, strict=True):
            values, missing = [], None
            for column, find in self._find_folded.items():
                try:
                    values.append(find(row))
                except KeyError:
                    values.append(None)
                    missing = missing or self._fields[column]
            if missing is not None and not self._null_when_missing:
                faults[number] = f"the object has no key {missing!r}"
                continue
            kept.append(number)
            for column, value in zip(self._fields, values, strict=True):
                columns[column].append(value)
        return kept, columns


class _Path:
    """A name, as it is written or as a path."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.steps = steps_of(text)

    def find(self, whole: Any) -> Any:
        """Return the value; `KeyError` if there is none."""
        value = whole.get(self.text, MISSING) if type(whole) is dict else MISSING
        if value is MISSING:
            value = value_at_steps(whole, self.steps)
            if value is MISSING:
                raise KeyError(self.text)
        return value

    def find_folded(self, whole: Any) -> Any:
        """Return the value, under a name that may differ in case if there is none spelt like this."""
        try:
            return self.find(whole)
        except KeyError:
            pass
        folded = _folded(whole)
        value = folded.get(self.text.lower(), MISSING) if type(folded) is dict else MISSING
        if value is not MISSING:
            return value
        value = whole
        for step in self.steps:
            value = value_at_steps(_folded(value), (step.lower(),)) if isinstance(step, str) else _at(value, step)
        if value is MISSING:
            raise KeyError(self.text)
        return value


class _InElement:
    """A name in an element of a list, or in the object around it."""

    def __init__(self, text: str, path: _Path) -> None:
        self._own = _Path(text)
        self._path = path
        self._inner: _Path | None = None
        steps = self._own.steps
        self._is_element = text == path.text
        if steps[: len(path.steps)] == path.steps and len(steps) > len(path.steps):
            self._inner = _Path(_text_of(steps[len(path.steps) :]))

    def find(self, row: tuple[Any, Any]) -> Any:
        """Return the value; `KeyError` if there is none."""
        return self._found(row, _Path.find)

    def find_folded(self, row: tuple[Any, Any]) -> Any:
        """Return the value, under a name that may differ in case if there is none spelt like this."""
        return self._found(row, _Path.find_folded)

    def _found(self, row: tuple[Any, Any], find: Callable[[_Path, Any], Any]) -> Any:
        whole, element = row
        if self._is_element:
            return element
        if self._inner is not None:
            return find(self._inner, element)
        if type(element) is dict:
            try:
                return find(self._own, element)
            except KeyError:
                pass
        return find(self._own, whole)


def _exactly(field: str) -> Find:
    path = _Path(field)
    return itemgetter(field) if path.steps == (field,) else path.find


def _folded(value: Any) -> Any:
    return {name.lower(): inner for name, inner in value.items()} if type(value) is dict else value


def _at(value: Any, place: int) -> Any:
    return value_at_steps(value, (place,))


def _text_of(steps: Steps) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def ndjson_format(settings: NdjsonFormatSettings, rules: RowRules) -> TextFormat:
    """Return the format of JSON objects."""
    fields = field_names(rules.schema, settings.columns)
    reader = NdjsonReader(settings, fields, rules.schema)
    framing = LineFraming(record_size_bytes_max=settings.record_size_bytes_max)
    return TextFormat(
        rules,
        fields,
        framing,
        lambda _: reader,
        rows_max=settings.rows_max,
        columns=settings.columns,
        encoding=settings.encoding,
    )


def _texts(lines: Texts, faults: Mapping[int, str]) -> dict[int, str]:
    content = lines.content
    if not faults and lines.are_lines:
        found = content.decode().split("\n")
        return {number: text for number, text in enumerate(found) if text and text != "\r"}
    spans = enumerate(zip(lines.starts.tolist(), lines.ends.tolist(), strict=True))
    return {
        number: content[start:end].decode() for number, (start, end) in spans if start < end and number not in faults
    }


def _lines(texts: Texts, faults: Mapping[int, str]) -> pl.Series:
    """Return the records as text, NULL where there is something wrong."""
    if not faults and texts.are_lines:
        return pl.Series([texts.content.removesuffix(b"\n").decode()]).str.split("\n").explode()
    found = _texts(texts, faults)
    return pl.Series([found.get(number) for number in range(len(texts))], dtype=pl.String)


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

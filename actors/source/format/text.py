"""What the formats of text have in common: a reader takes records apart, the rules of the source make rows of them."""

import codecs
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import polars as pl

from actors.model import Schema
from actors.source.decoding import RowDecoder, RowRules
from actors.source.protocol import Offsets
from actors.source.records import DecodedRows, Origin, Texts
from actors.source.transport.lines import LineFraming
from config.formats import META_NAME, is_wide_encoding
from config.sources import FILE_COLUMN

RawPart = tuple[Mapping[str, pl.Series | Sequence[Any]], Offsets]
"""Raw columns of good rows, and the places of these."""


class TextReader(Protocol):
    """Takes the records of one origin apart."""

    def read(self, texts: Texts) -> tuple[Mapping[str, pl.Series | Sequence[Any]], Offsets, dict[int, str]]:
        """Return the raw columns of the good rows, the places of these, and what is wrong at others.

        The place of a row is the number of its record, or, where records may become several rows, that number times
        the most that one may become, plus the number of the row among those of its record.
        """
        ...


@runtime_checkable
class PartsReader(Protocol):
    """Takes the records of one origin apart, in different ways."""

    def read_parts(self, texts: Texts) -> tuple[Sequence[RawPart], dict[int, str]]:
        """Return what `TextReader.read` does, in one part or in several that share no place."""
        ...


class TextFormat:
    """Records of text; `open_reader` makes the reader of an origin, and `framing` cuts files into records.

    `columns` are those of the settings, some of which may name what is known of records beside their bytes.
    """

    def __init__(
        self,
        rules: RowRules,
        fields: Mapping[str, str],
        framing: LineFraming,
        open_reader: Callable[[Origin], TextReader | PartsReader],
        *,
        rows_max: int = 1,
        columns: Mapping[str, str] | None = None,
        encoding: str = "utf-8",
    ) -> None:
        # Files of a wide encoding are UTF-8 before they are cut into lines.
        is_utf8 = codecs.lookup(encoding).name == "utf-8" or is_wide_encoding(encoding)
        self._encoding = None if is_utf8 else encoding
        self.fields = fields
        self.framing = framing
        self.rows_max = rows_max
        self._names = rules.schema.names
        self._meta = meta_fields(rules.schema, columns or {})
        self._rows = RowDecoder(rules)
        self._open_reader = open_reader

    def decoder(self, origin: Origin) -> Callable[[Texts], DecodedRows]:
        """Return what decodes the records of an origin.

        Raises:
            SourceError: the origin cannot have rows of this format.
        """
        if self._encoding is not None and origin.header is not None:
            origin = replace(origin, header=origin.header.decode(self._encoding, "replace").encode())
        reader = self._open_reader(origin)

        def decode(texts: Texts) -> DecodedRows:
            texts, bad = (texts, []) if self._encoding is None else _as_utf8(texts, self._encoding)
            parts: Sequence[RawPart]
            if isinstance(reader, PartsReader):
                parts, faults = reader.read_parts(texts)
            else:
                read, numbers, faults = reader.read(texts)
                parts = [(read, numbers)]
            faults |= {record * self.rows_max: f"the line is not text in {self._encoding}" for record in bad}
            rows = []
            for columns, places in parts:
                whole = {**columns, **self._meta_columns(texts, places)} if self._meta else columns
                decoded = self._rows.decode(with_stem(whole, self._names, origin, places.size))
                rows.append(decoded.among(places, {}))
            return DecodedRows.joined(rows, faults)

        return decode

    def _meta_columns(self, texts: Texts, places: Offsets) -> dict[str, pl.Series]:
        """Return the columns of rows that come from what is known of their records beside the bytes."""
        records = pl.Series(places // self.rows_max, dtype=pl.UInt32)
        return {column: meta_values(texts, name, level)[records] for column, (name, level) in self._meta.items()}


def meta_values(texts: Texts, name: str, level: int | None) -> pl.Series:
    """Return what is known of each record under a name; with a level, the part of that number between slashes."""
    values = texts.meta.get(name)
    if values is None:
        return pl.Series([None] * len(texts), dtype=pl.Null)
    return values if level is None else values.str.split("/").list.get(level, null_on_oob=True)


def _as_utf8(texts: Texts, encoding: str) -> tuple[Texts, list[int]]:
    """Return texts in UTF-8, and the numbers of those that are none in their encoding, which are empty then."""
    if texts.are_lines:
        with contextlib.suppress(UnicodeDecodeError):
            whole = Texts.of_lines(texts.content.decode(encoding).encode())
            if len(whole) == len(texts):
                return replace(whole, meta=texts.meta), []
    messages, bad = [], []
    for record in range(len(texts)):
        try:
            messages.append(texts.raw(record).decode(encoding).encode())
        except UnicodeDecodeError:
            messages.append(b"")
            bad.append(record)
    return replace(Texts.of_messages(messages), meta=texts.meta), bad


def with_stem(
    columns: Mapping[str, pl.Series | Sequence[Any]], names: Sequence[str], origin: Origin, count: int
) -> dict[str, pl.Series | Sequence[Any]]:
    """Return the columns in the order of names; what no record gives is the column `file`."""
    missing = [name for name in names if name not in columns]
    stems = {name: pl.repeat(origin.stem, count, dtype=pl.String, eager=True) for name in missing}
    return {name: columns[name] if name in columns else stems[name] for name in names}


def field_names(schema: Schema, mapping: Mapping[str, str]) -> dict[str, str]:
    """Return the name in the records of each column of the schema, without the column `file` unless it is mapped.

    What is known of records beside their bytes has names too, such as `$topic`, and is left out: readers look for no
    such.
    """
    folded = {name.lower(): field for name, field in mapping.items()}
    wanted = {name: folded.get(name.lower(), name) for name in schema.names}
    return {
        name: field
        for name, field in wanted.items()
        if (name.lower() != FILE_COLUMN or name.lower() in folded) and not META_NAME.fullmatch(field)
    }


def meta_fields(schema: Schema, mapping: Mapping[str, str]) -> dict[str, tuple[str, int | None]]:
    """Return the columns of what is known of records beside their bytes: its name, and the level if one is meant."""
    found: dict[str, tuple[str, int | None]] = {}
    for column, field in mapping.items():
        match = META_NAME.fullmatch(field)
        if match is not None:
            level = match["level"]
            found[schema[column].name] = match["name"], None if level is None else int(level)
    return found

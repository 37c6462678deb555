"""What the formats of text have in common: a reader takes records apart, the rules of the source make rows of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import polars as pl

from actors.model import Schema
from actors.source.decoding import RowDecoder, RowRules
from actors.source.protocol import Offsets
from actors.source.records import DecodedRows, Origin, Texts
from actors.source.transport.lines import LineFraming
from config.sources import FILE_COLUMN


class TextReader(Protocol):
    """Takes the records of one origin apart."""

    def read(self, texts: Texts) -> tuple[Mapping[str, pl.Series | Sequence[Any]], Offsets, dict[int, str]]:
        """Return the raw columns of the good rows, the places of these, and what is wrong at others.

        The place of a row is the number of its record, or, where records may become several rows, that number times
        the most that one may become, plus the number of the row among those of its record.
        """
        ...


class TextFormat:
    """Records of text; `open_reader` makes the reader of an origin, and `framing` cuts files into records."""

    def __init__(
        self,
        rules: RowRules,
        fields: Mapping[str, str],
        framing: LineFraming,
        open_reader: Callable[[Origin], TextReader],
        *,
        rows_max: int = 1,
    ) -> None:
        self.fields = fields
        self.framing = framing
        self.rows_max = rows_max
        self._names = rules.schema.names
        self._rows = RowDecoder(rules)
        self._open_reader = open_reader

    def decoder(self, origin: Origin) -> Callable[[Texts], DecodedRows]:
        """Return what decodes the records of an origin.

        Raises:
            SourceError: the origin cannot have rows of this format.
        """
        reader = self._open_reader(origin)

        def decode(texts: Texts) -> DecodedRows:
            columns, numbers, faults = reader.read(texts)
            return self._rows.decode(with_stem(columns, self._names, origin, numbers.size)).among(numbers, faults)

        return decode


def with_stem(
    columns: Mapping[str, pl.Series | Sequence[Any]], names: Sequence[str], origin: Origin, count: int
) -> dict[str, pl.Series | Sequence[Any]]:
    """Return the columns in the order of names; what no record gives is the column `file`."""
    missing = [name for name in names if name not in columns]
    stems = {name: pl.repeat(origin.stem, count, dtype=pl.String, eager=True) for name in missing}
    return {name: columns[name] if name in columns else stems[name] for name in names}


def field_names(schema: Schema, mapping: Mapping[str, str]) -> dict[str, str]:
    """Return the name in the records of each column of the schema, without the column `file` unless it is mapped."""
    folded = {name.lower(): field for name, field in mapping.items()}
    wanted = {name: folded.get(name.lower(), name) for name in schema.names}
    return {name: field for name, field in wanted.items() if name.lower() != FILE_COLUMN or name.lower() in folded}

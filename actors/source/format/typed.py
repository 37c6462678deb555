"""Records that need no taking apart: typed columns, and plain values in the order of the schema."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from actors.source.decoding import RowDecoder, RowRules
from actors.source.format.text import with_stem
from actors.source.records import Columns, DecodedRows, Origin, Values


class ColumnsFormat:
    """Columns named as in the schema, such as Parquet and stream tables give them."""

    rows_max = 1

    def __init__(self, rules: RowRules, fields: Mapping[str, str]) -> None:
        self.fields = fields
        self._names = rules.schema.names
        self._rows = RowDecoder(rules)

    def decoder(self, origin: Origin) -> Callable[[Columns], DecodedRows]:
        """Return what decodes the records of an origin."""
        return lambda content: self._rows.decode(with_stem(content.columns, self._names, origin, len(content)))


class ValuesFormat:
    """Rows of plain values, such as a job file gives them."""

    rows_max = 1

    def __init__(self, rules: RowRules) -> None:
        self.fields = {name: name for name in rules.schema.names}
        self._rows = RowDecoder(rules)

    def decoder(self, origin: Origin) -> Callable[[Values], DecodedRows]:
        """Return what decodes the rows."""
        del origin
        return self._decode

    def _decode(self, content: Values) -> DecodedRows:
        return self._rows.decode(
            {name: [_plain(row[at]) for row in content.rows] for at, name in enumerate(content.names)}
        )


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value

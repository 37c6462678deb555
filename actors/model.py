"""Values that all libraries share: column types, schemas, and where an anomaly comes from.

A *row* is one tuple of a stream; its *split* is an ordered part of the stream and its *offset* the position in that
split, counted from 0. Times are integers in the unit of their column's type. Frames of rows are built and checked in
`actors.frames`; nothing here knows Polars.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from actors.errors import SchemaError


class ColumnType(StrEnum):
    """Type of a column; temporal values are integers in the type's own unit."""

    BOOL = "BOOL"
    INT = "INT"
    LONG = "LONG"
    DOUBLE = "DOUBLE"
    STRING = "STRING"
    SYMBOL = "SYMBOL"
    NANOTIMESTAMP = "NANOTIMESTAMP"
    MICROTIMESTAMP = "MICROTIMESTAMP"
    TIMESTAMP = "TIMESTAMP"
    DATETIME = "DATETIME"
    DATE = "DATE"
    MONTH = "MONTH"
    NANOTIME = "NANOTIME"
    TIME = "TIME"
    SECOND = "SECOND"
    MINUTE = "MINUTE"

    @property
    def is_temporal(self) -> bool:
        """Whether values are points in time (or times of day) and may be a time column."""
        return self in UNITS_PER_SECOND or self in (ColumnType.DATE, ColumnType.MONTH, ColumnType.MINUTE)

    @property
    def is_text(self) -> bool:
        """Whether values are strings."""
        return self in (ColumnType.STRING, ColumnType.SYMBOL)

    @property
    def is_integer(self) -> bool:
        """Whether values are whole numbers, not counting times."""
        return self in (ColumnType.INT, ColumnType.LONG)

    @property
    def has_date(self) -> bool:
        """Whether values of different days differ (types without a date start again at midnight)."""
        return self.is_temporal and self not in TIMES_OF_DAY


UNITS_PER_SECOND: Mapping[ColumnType, int] = {
    ColumnType.NANOTIMESTAMP: 1_000_000_000,
    ColumnType.NANOTIME: 1_000_000_000,
    ColumnType.MICROTIMESTAMP: 1_000_000,
    ColumnType.TIMESTAMP: 1_000,
    ColumnType.TIME: 1_000,
    ColumnType.DATETIME: 1,
    ColumnType.SECOND: 1,
}
"""Units in one second, for the temporal types whose unit is a second or finer."""

SECONDS_PER_UNIT: Mapping[ColumnType, int] = {ColumnType.MINUTE: 60, ColumnType.DATE: 86_400}
"""Seconds in one unit, for the coarser types of fixed length (a month has none)."""

TIMES_OF_DAY = frozenset({ColumnType.NANOTIME, ColumnType.TIME, ColumnType.SECOND, ColumnType.MINUTE})
"""Types that count from midnight and carry no date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a stream."""

    name: str
    """Name as the user wrote it; compared without regard to case."""

    type: ColumnType
    """Type of its values; every column may hold NULL."""


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        raise SchemaError(f"a column of the schema is named {name!r}; give a text")
    if not name:
        raise SchemaError("a column of the schema has an empty name; name every column")
    if not name.isascii() and name.encode(errors="replace").decode() != name:
        raise SchemaError(f"the name of column {name!r} holds half a letter; give a text of Unicode")


@dataclass(frozen=True, slots=True)
class Schema:
    """Ordered columns of a stream; names are unique without regard to case.

    Raises:
        SchemaError: no column, an empty name, or a name that occurs twice.
    """

    columns: tuple[Column, ...]
    """At least one column, in the order of the rows."""

    def __post_init__(self) -> None:
        if not self.columns:
            raise SchemaError("the schema has no columns; give at least a time column")
        seen: dict[str, str] = {}
        for column in self.columns:
            _check_name(column.name)
            other = seen.get(column.name.lower())
            if other is not None:
                raise SchemaError(f"columns {other!r} and {column.name!r} have one name (case is ignored); rename one")
            seen[column.name.lower()] = column.name

    @classmethod
    def from_mapping(cls, types: Mapping[str, str]) -> "Schema":
        """Return the schema of `{name: type name}`, in the mapping's order.

        Raises:
            SchemaError: no mapping, or a type that does not exist.
        """
        if not isinstance(types, Mapping):
            raise SchemaError(f"{types!r} is no schema; give a mapping of names of columns to their types")
        return cls(tuple(Column(name=name, type=parse_column_type(kind)) for name, kind in types.items()))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    def find(self, name: str) -> Column | None:
        """Return the column of that name, whatever its case, or `None`."""
        wanted = name.lower()
        return next((column for column in self.columns if column.name.lower() == wanted), None)

    def __getitem__(self, name: str) -> Column:
        column = self.find(name)
        if column is None:
            raise SchemaError(f"no column {name!r}; the schema has {', '.join(self.names)}")
        return column


def parse_column_type(text: str) -> ColumnType:
    """Return the column type of that name, whatever its case.

    Raises:
        SchemaError: there is no such type.
    """
    try:
        return ColumnType(text.upper())
    except (ValueError, AttributeError):
        raise SchemaError(f"no column type {text!r}; use one of {', '.join(ColumnType)}") from None


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class AnomalyId:
    """Where an anomaly comes from; unique within a job and the idempotency key of sinks."""

    split: int
    """Number of the split, from 0."""

    offset: int
    """Offset of the row that caused the anomaly."""

    ordinal: int
    """Position among the anomalies of that row, from 0."""

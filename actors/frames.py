"""Canonical frames: the one form in which rows travel through Tocsin.

A canonical frame has exactly the columns of its schema, in order, in *physical* types: Boolean, Int64, Float64 or
String. Temporal values are Int64 in the unit of their type, so that no time zone and no rounding can creep in; NULL is
Polars' null, and a float is never NaN or infinite. `actors.given_rows` makes them of what users have, `present_times`
turns integer times back into dates for people. Reading files belongs to the sources.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from actors.errors import SchemaError
from actors.model import Column, ColumnType, Schema, parse_column_type
from actors.time_text import FIRST_DAY, LAST_DAY

MISFITS = (
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    OverflowError,
    ImportError,
    NotImplementedError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)
"""What Polars and Python raise for values that cannot be those of a column."""

_LOGICAL: Mapping[ColumnType, tuple[int, pl.DataType]] = {
    ColumnType.NANOTIMESTAMP: (1, pl.Datetime("ns")),
    ColumnType.MICROTIMESTAMP: (1, pl.Datetime("us")),
    ColumnType.TIMESTAMP: (1, pl.Datetime("ms")),
    ColumnType.DATETIME: (1_000, pl.Datetime("ms")),
    ColumnType.NANOTIME: (1, pl.Time()),
    ColumnType.TIME: (1_000_000, pl.Time()),
    ColumnType.SECOND: (1_000_000_000, pl.Time()),
    ColumnType.MINUTE: (60_000_000_000, pl.Time()),
    ColumnType.DATE: (1, pl.Date()),
}
"""Factor and Polars type that show a temporal column; a month stays an integer."""


_TIME_FORMATS = {
    str(pl.Datetime("ns")): "%Y-%m-%dT%H:%M:%S%.9fZ",
    str(pl.Datetime("us")): "%Y-%m-%dT%H:%M:%S%.6fZ",
    str(pl.Datetime("ms")): "%Y-%m-%dT%H:%M:%S%.3fZ",
    str(pl.Date()): "%Y-%m-%d",
    str(pl.Time()): "%H:%M:%S%.f",
}
"""How people and programs are shown what a Polars type of `_LOGICAL` holds."""


def physical_type(kind: ColumnType) -> pl.DataType:
    """Return the Polars type that holds values of a column type in a canonical frame."""
    if kind is ColumnType.BOOL:
        return pl.Boolean()
    if kind is ColumnType.DOUBLE:
        return pl.Float64()
    return pl.String() if kind.is_text else pl.Int64()


def logical_type(kind: ColumnType) -> pl.DataType:
    """Return the Polars type that shows values of a column type to people."""
    return _LOGICAL[kind][1] if kind in _LOGICAL else physical_type(kind)


def polars_schema(schema: Schema) -> dict[str, pl.DataType]:
    """Return the Polars schema of a canonical frame."""
    return {column.name: physical_type(column.type) for column in schema.columns}


_DAY_NS = 86_400_000_000_000


def _shown_range(factor: int, logical: pl.DataType) -> tuple[int, int]:
    """Return the first and the last time that can be shown, in units of the column."""
    if logical == pl.Time():
        return 0, _DAY_NS // factor - 1
    if logical == pl.Date():
        return FIRST_DAY, LAST_DAY
    assert isinstance(logical, pl.Datetime)
    day = {"ns": _DAY_NS, "us": _DAY_NS // 1_000, "ms": _DAY_NS // 1_000_000}[logical.time_unit] // factor
    return max(FIRST_DAY * day, -(1 << 63)), min((LAST_DAY + 1) * day, 1 << 63) - 1


_SHOWN_RANGES = {kind: _shown_range(*shown) for kind, shown in _LOGICAL.items()}

_COLUMN_TYPES: Mapping[Any, ColumnType] = {
    pl.Boolean: ColumnType.BOOL,
    **dict.fromkeys((pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16), ColumnType.INT),
    **dict.fromkeys((pl.Int64, pl.UInt32, pl.UInt64), ColumnType.LONG),
    **dict.fromkeys((pl.Float32, pl.Float64, pl.Decimal), ColumnType.DOUBLE),
    pl.String: ColumnType.STRING,
    **dict.fromkeys((pl.Categorical, pl.Enum), ColumnType.SYMBOL),
    pl.Date: ColumnType.DATE,
    pl.Time: ColumnType.NANOTIME,
}
_DATETIMES = {"ns": ColumnType.NANOTIMESTAMP, "us": ColumnType.MICROTIMESTAMP, "ms": ColumnType.TIMESTAMP}


def schema_of(given: Any) -> Schema:
    """Return a schema given as one, as types by name, or as the schema of a Polars frame.

    Raises:
        SchemaError: it is none, or a column has a type that rows cannot have.
    """
    if isinstance(given, Schema):
        return given
    if not isinstance(given, Mapping):
        raise SchemaError(f"the schema is {kind_of(given)}; give types by name, such as {{'time': 'TIMESTAMP'}}")
    return Schema(tuple(Column(name=name, type=_column_type(name, kind)) for name, kind in given.items()))


def _column_type(name: Any, given: Any) -> ColumnType:
    if isinstance(given, str):
        return parse_column_type(given)
    try:
        (dtype,) = pl.Schema({"column": given}).dtypes()
    except MISFITS:
        raise SchemaError(f"column {name!r} has the type {given!r}; use one of {', '.join(ColumnType)}") from None
    found = _DATETIMES[dtype.time_unit] if isinstance(dtype, pl.Datetime) else _COLUMN_TYPES.get(dtype.base_type())
    if found is None:
        raise SchemaError(f"column {name!r} has the type {dtype}, which rows cannot have; convert it first")
    return found


def kind_of(value: Any) -> str:
    """Return what a value is, for messages."""
    return "nothing" if value is None else f"of type {type(value).__name__}"


def empty_frame(schema: Schema) -> pl.DataFrame:
    """Return a canonical frame without rows."""
    return pl.DataFrame(schema=polars_schema(schema))


def to_physical(values: pl.Series, column: Column) -> pl.Series:
    """Return the values of one column in its physical type.

    Raises:
        SchemaError: a value does not fit.
    """
    wanted = physical_type(column.type)
    if values.dtype == wanted:
        return _without_nan(values).alias(column.name)
    if values.null_count() == len(values):
        return pl.Series(column.name, [None] * len(values), dtype=wanted)
    if values.dtype.is_temporal():
        return _time_to_physical(values, column)
    if not _may_cast(values.dtype, wanted):
        raise SchemaError(f"column {column.name!r} is {column.type} but the rows hold {values.dtype}; convert it first")
    try:
        return _without_nan(values.cast(wanted)).alias(column.name)
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"column {column.name!r} is {column.type}, which cannot hold its values: {error}") from error


def present_times(schema: Schema, frame: pl.DataFrame, *, months_as_text: bool = False) -> pl.DataFrame:
    """Return a frame whose integer times are shown as `shown_times` does, for the columns that the schema names.

    Months have no type in Polars: they stay numbers, or become text such as `2018-10`.
    """
    there = [column for column in schema.columns if frame.schema.get(column.name) == pl.Int64]
    times = [shown_times(frame[column.name], column) for column in there if column.type in _LOGICAL]
    months = [_month_texts(column.name) for column in there if months_as_text and column.type is ColumnType.MONTH]
    return frame.with_columns(*times, *months)


def _month_texts(name: str) -> pl.Expr:
    """Return months since the year 0 as text, NULL outside the years 1 to 9999."""
    months = pl.when(pl.col(name).is_between(12, 119_999)).then(pl.col(name))
    year, month = (months // 12).cast(pl.String).str.zfill(4), (months % 12 + 1).cast(pl.String).str.zfill(2)
    return (year + "-" + month).alias(name)


def shown_times(values: pl.Series, column: Column, bounds: tuple[Any, Any] | None = None) -> pl.Series:
    """Return integer times, whose bounds may be known, as Polars dates and times; those that have none there are NULL.

    That is what lies outside the years 1 to 9999, or outside the day for a type without a date, such as the end of a
    window at midnight.
    """
    factor, logical = _LOGICAL[column.type]
    first, last = _SHOWN_RANGES[column.type]
    # The types of Polars do not say so, but these are whole numbers, or nothing.
    lowest, highest = bounds or _bounds(values)
    if lowest is not None and not (first <= lowest and highest <= last):
        values = values.set(~values.is_between(first, last), None)
    if factor != 1:
        values = values * factor
    return (values.cast(pl.Int32) if column.type is ColumnType.DATE else values).cast(logical)


def _bounds(values: pl.Series) -> tuple[Any, Any]:
    return values.min(), values.max()


def time_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame whose dates and times are ISO text with all their digits; points in time are UTC and say so."""
    formats = {name: _TIME_FORMATS.get(str(kind)) for name, kind in frame.schema.items() if kind.is_temporal()}
    return frame.with_columns(pl.col(name).dt.to_string(text) for name, text in formats.items() if text is not None)


def _may_cast(given: pl.DataType, wanted: pl.DataType) -> bool:
    if wanted == pl.Float64:
        return given.is_numeric()
    if wanted == pl.Int64:
        return given.is_integer()
    return wanted == pl.String and given in (pl.Categorical, pl.Enum)


def without_nan(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame of physical types in which NaN and infinity are NULL."""
    return frame.with_columns(_without_nan(values) for values in frame.iter_columns() if values.dtype == pl.Float64)


def _without_nan(values: pl.Series) -> pl.Series:
    if values.dtype != pl.Float64 or bool(values.is_finite().all()):
        return values
    return pl.select(pl.when(values.is_finite()).then(values)).to_series().alias(values.name)


def _time_to_physical(values: pl.Series, column: Column) -> pl.Series:
    if column.type is ColumnType.MONTH and values.dtype in (pl.Date, pl.Datetime):
        return (values.dt.year().cast(pl.Int64) * 12 + values.dt.month() - 1).alias(column.name)
    if column.type not in _LOGICAL:
        raise SchemaError(f"column {column.name!r} is {column.type} but the rows hold {values.dtype}; convert it first")
    factor, logical = _LOGICAL[column.type]
    if (values.dtype == pl.Time) != (logical == pl.Time):
        raise SchemaError(f"column {column.name!r} is {column.type} but the rows hold {values.dtype}; convert it first")
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if values.dtype == pl.Duration:
        raise SchemaError(f"column {column.name!r} is {column.type} but the rows hold {values.dtype}; convert it first")
    # Not strict: Polars panics when it words the failure of a time that it cannot show.
    shown = values.cast(logical, strict=False)
    if shown.null_count() > values.null_count():
        raise SchemaError(f"column {column.name!r} is {column.type}, which cannot hold all times of {values.dtype}")
    units = shown.cast(pl.Int64)
    return (units if factor == 1 else units // factor).alias(column.name)

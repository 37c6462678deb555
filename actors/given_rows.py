"""Given rows: whatever users have as rows, made into a canonical frame."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from enum import Enum
from typing import Any

import numpy as np
import polars as pl

from actors.errors import SchemaError
from actors.frames import MISFITS, empty_frame, kind_of, physical_type, polars_schema, to_physical
from actors.model import Schema

Rows = Any
"""What a user may hand in as rows.

A frame of Polars (lazy or not), pandas or Arrow; an array of numpy, structured or of rows; a mapping from
columns to their values; or an iterable of rows: each a sequence in the order of the schema, or a mapping.
"""


def to_frame(schema: Schema, rows: Any) -> pl.DataFrame:
    """Return rows as a canonical frame; extra columns of a frame or mapping are left out, NaN and infinity are NULL.

    `rows` is whatever `Rows` says.

    Raises:
        SchemaError: a column is missing, or a value does not fit its column's type.
    """
    try:
        frame = _as_frame(schema, rows)
    except MISFITS as error:
        if isinstance(error, SchemaError):
            raise
        raise SchemaError(f"the rows do not fit the schema {', '.join(schema.names)}: {error}") from error
    by_name = _names(schema, frame.columns)
    missing = [name for name in schema.names if name.lower() not in by_name]
    if missing:
        raise SchemaError(f"the rows have no column {missing[0]!r}; they have {', '.join(frame.columns) or 'none'}")
    if not frame.height:
        return empty_frame(schema)
    return pl.DataFrame([to_physical(frame[by_name[column.name.lower()]], column) for column in schema.columns])


def _names(schema: Schema, given: Iterable[Any]) -> dict[str, Any]:
    """Return the given names of columns by their small letters; one that is written as in the schema wins."""
    exact = set(schema.names)
    return {str(name).lower(): name for name in sorted(given, key=lambda name: name in exact)}


def _as_frame(schema: Schema, rows: Any) -> pl.DataFrame:
    """Return rows of any kind as a frame, whose columns may be in any order and of any type."""
    if isinstance(rows, pl.DataFrame):
        return rows
    if isinstance(rows, pl.LazyFrame):
        return rows.collect()
    if isinstance(rows, np.ndarray):
        return _from_array(schema, rows)
    if isinstance(rows, Mapping):
        return _from_columns(schema, rows)
    if type(rows).__module__.partition(".")[0] == "pandas" and hasattr(rows, "columns"):
        return _counted(schema, pl.from_pandas(rows))
    if hasattr(rows, "__arrow_c_stream__") or hasattr(rows, "__arrow_c_array__"):
        frame = pl.DataFrame(rows)
        return frame.unnest(frame.columns[0]) if frame.dtypes == [pl.Struct] else frame
    if isinstance(rows, str | bytes | bytearray | set | frozenset) or not isinstance(rows, Iterable):
        raise SchemaError(f"the rows are {kind_of(rows)}; give a frame, a list of rows, or a list of mappings")
    return _from_sequence(schema, rows if isinstance(rows, list | tuple) else list(rows))


def _from_array(schema: Schema, rows: np.ndarray[Any, Any]) -> pl.DataFrame:
    if rows.dtype.names is not None and rows.ndim == 1:
        return _from_columns(schema, {name: rows[name] for name in rows.dtype.names})
    if not rows.size and rows.ndim < 3:
        return empty_frame(schema)
    width = len(schema.columns)
    if rows.ndim != 2 or rows.shape[1] != width:
        raise SchemaError(
            f"the rows are an array of shape {rows.shape}; give one with a row of {width} values for each"
        )
    rows = _unmasked(rows)
    if rows.dtype.kind == "O":
        return _from_sequence(schema, rows.tolist())
    columns = []
    for number, column in enumerate(schema.columns):
        columns.append(pl.Series(column.name, np.ascontiguousarray(rows[:, number])))
    return _counted(schema, pl.DataFrame(columns))


def _counted(schema: Schema, frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame whose whole numbers are such where they come as real ones.

    An array has one type for all columns, and pandas has reals for whole numbers of which some are missing.
    """
    kinds = {column.name.lower(): physical_type(column.type) for column in schema.columns}
    columns = []
    for values in frame.iter_columns():
        if values.dtype.is_float() and kinds.get(values.name.lower()) == pl.Int64:
            whole = values.fill_nan(None)
            if bool((whole == whole.floor()).all()):
                values = whole.cast(pl.Int64)
        columns.append(values)
    return pl.DataFrame(columns)


def _from_columns(schema: Schema, columns: Mapping[Any, Any]) -> pl.DataFrame:
    by_name = {name: columns[given] for name, given in _names(schema, columns).items()}
    found = []
    for column in schema.columns:
        if column.name.lower() not in by_name:
            names = ", ".join(map(str, columns))
            raise SchemaError(f"the rows have no column {column.name!r}; they have {names or 'none'}")
        values = _unmasked(by_name[column.name.lower()])
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise SchemaError(
                f"column {column.name!r} is {kind_of(values)}; give a list of its values, one for each row"
            )
        if isinstance(values, list | tuple) or (isinstance(values, np.ndarray) and values.dtype.kind == "O"):
            found.append(_series(column.name, list(values), physical_type(column.type)))
        elif isinstance(values, np.ndarray) and values.dtype.kind == "M":
            found.append(_from_numpy_times(column.name, values))
        else:
            found.append(pl.Series(column.name, values))
    return pl.DataFrame(found)


def _unmasked(values: Any) -> Any:
    """Return what is masked in an array of numpy as nothing."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    found = values.data.copy() if values.dtype.kind == "M" else values.data.astype(object)
    found[np.ma.getmaskarray(values)] = None
    return found


_COARSE_UNITS = ("Y", "M", "W", "D", "h", "m", "s")


_UNITS = {**dict.fromkeys(_COARSE_UNITS, "ms"), "ps": "ns", "fs": "ns", "as": "ns", "generic": "ms"}
"""For units of numpy that Polars does not have, the nearest one that it has."""


def _from_numpy_times(name: str, values: np.ndarray[Any, Any]) -> pl.Series:
    unit = np.datetime_data(values.dtype)[0]
    found = values.astype(f"datetime64[{_UNITS.get(unit, unit)}]")
    # numpy says nothing when a time has no place in a finer unit.
    if unit in _COARSE_UNITS and not np.array_equal(found.astype(values.dtype), values, equal_nan=True):
        raise SchemaError(f"column {name!r} has times of {values.dtype} that 64 bits of milliseconds cannot hold")
    return pl.Series(name, found)


def _from_sequence(schema: Schema, rows: Any) -> pl.DataFrame:
    wanted = polars_schema(schema)
    is_named = bool(rows) and isinstance(rows[0], Mapping)
    columns = _from_mappings(schema, rows) if is_named else _from_rows(schema, rows)
    return pl.DataFrame([_series(name, values, wanted[name]) for name, values in columns.items()])


def _from_mappings(schema: Schema, rows: Sequence[Any]) -> dict[str, list[Any]]:
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise SchemaError(f"row {number} is {kind_of(row)}, but the first one is a mapping; give one kind of rows")
    layouts = {names: _names(schema, names) for names in set(map(tuple, rows))}
    for name in schema.names:
        if not any(name.lower() in layout for layout in layouts.values()):
            raise SchemaError(f"the rows have no column {name!r}; they have {', '.join(map(str, rows[0]))}")
    placed = [(row, layouts[tuple(row)]) for row in rows]
    keys = {name: name.lower() for name in schema.names}
    return {name: [row[at[key]] if key in at else None for row, at in placed] for name, key in keys.items()}


def _from_rows(schema: Schema, rows: Sequence[Any]) -> dict[str, list[Any]]:
    width = len(schema.columns)
    for number, row in enumerate(rows):
        if isinstance(row, str | bytes | Mapping) or not (hasattr(row, "__len__") and hasattr(row, "__getitem__")):
            raise SchemaError(f"row {number} is {kind_of(row)}; give the values of its {width} columns")
        if len(row) != width:
            raise SchemaError(f"row {number} has {len(row)} values; the schema has {width} columns")
    return (
        dict(zip(schema.names, map(list, zip(*rows, strict=True)), strict=True))
        if rows
        else {n: [] for n in schema.names}
    )


def _series(name: str, values: list[Any], wanted: pl.DataType) -> pl.Series:
    kinds = set(map(type, values))
    if not kinds <= _PLAIN_TYPES:
        values = [_plain(value) for value in values]
        kinds = set(map(type, values))
    if wanted.is_numeric() and kinds & {bool, np.bool_}:
        raise SchemaError(f"column {name!r} holds numbers but a row gives a Boolean; write 0 or 1")
    if wanted == pl.Float64 and kinds <= {int, float, type(None)}:
        return pl.Series(name, [None if value is None else float(value) for value in values], dtype=wanted)
    if np.datetime64 in kinds:
        return _from_numpy_times(name, _numpy_times(name, values))
    try:
        return pl.Series(name, values, dtype=None if kinds & {date, datetime, time} else wanted)
    except MISFITS as error:
        raise SchemaError(f"column {name!r} cannot hold its values: {str(error).splitlines()[0]}") from error


_PLAIN_TYPES = {type(None), bool, int, float, str, date, datetime, time}


def _plain(value: Any) -> Any:
    """Return a value of pandas or of an enumeration as one of Python, or of numpy for times, which are exact there."""
    if isinstance(value, Enum):
        return value.value
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    return value.to_datetime64() if hasattr(value, "to_datetime64") else value


def _numpy_times(name: str, values: list[Any]) -> np.ndarray[Any, Any]:
    units = {str(value.dtype) if isinstance(value, np.datetime64) else type(value).__name__ for value in values}
    units -= {"NoneType", "datetime64"}
    if len(units) > 1:
        raise SchemaError(f"column {name!r} has times of {' and '.join(sorted(units))}; give them in one unit")
    return np.array([np.datetime64("NaT") if value is None else value for value in values])

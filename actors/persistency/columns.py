"""Polars columns of arbitrary values: any block can be built, and any two blocks can be joined.

Where values do not fit one Polars type they are widened: integers and floats to Float64, everything else to text. What
has no Polars type of its own (a set, a dictionary, an object) is text from the start.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from actors.persistency.values import stable_text


def make_series(name: str, values: Sequence[Any]) -> pl.Series:
    """Return a column of these values, one cell each, of the narrowest type that holds them all."""
    kinds = set(map(type, values))
    kinds.discard(type(None))
    if kinds == {int, float}:
        return _number_series(name, values)
    if len(kinds) > 1 and not all(issubclass(kind, list | tuple) for kind in kinds):
        return _text_series(name, values)
    if any(issubclass(kind, dict | set | frozenset) for kind in kinds):
        return _text_series(name, values)
    try:
        series = pl.Series(name, values, strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        return _text_series(name, values)
    return _text_series(name, values) if _has_objects(series.dtype) else series


def widened(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    """Return a type that holds the values of both."""
    if one == other or other == pl.Null:
        return one
    if one == pl.Null:
        return other
    if one.is_integer() and other.is_integer():
        return pl.Int64() if _fits_long(one) and _fits_long(other) else pl.Float64()
    return pl.Float64() if one.is_numeric() and other.is_numeric() else pl.String()


def conform(frame: pl.DataFrame, dtypes: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return a frame with these columns, in this order; absent ones are null, others are cast."""
    if frame.schema == dict(dtypes) and frame.columns == list(dtypes):
        return frame
    columns = []
    for name, dtype in dtypes.items():
        if name not in frame.columns:
            columns.append(pl.Series(name, [None] * len(frame), dtype=dtype))
        elif frame[name].dtype == dtype:
            columns.append(frame[name])
        elif dtype == pl.String:
            columns.append(_text_series(name, frame[name].to_list()))
        else:
            columns.append(frame[name].cast(dtype))
    return pl.DataFrame(columns)


def _number_series(name: str, values: Sequence[Any]) -> pl.Series:
    try:
        return pl.Series(name, [None if value is None else float(value) for value in values], dtype=pl.Float64)
    except OverflowError:
        return _text_series(name, values)


def _text_series(name: str, values: Sequence[Any]) -> pl.Series:
    texts = [value if value is None or isinstance(value, str) else _cell_text(value) for value in values]
    return pl.Series(name, texts, dtype=pl.String)


def _cell_text(value: Any) -> str:
    return stable_text(value) if isinstance(value, list | tuple | dict | set | frozenset) else str(value)


def _has_objects(dtype: pl.DataType) -> bool:
    inner = getattr(dtype, "inner", None)
    return dtype == pl.Object or dtype == pl.Int128 or (inner is not None and _has_objects(inner))


def _fits_long(dtype: pl.DataType) -> bool:
    return dtype not in (pl.UInt64, pl.Int128, pl.UInt128)

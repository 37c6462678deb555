"""Values that people name: typed words, and JSON for lists, as they stand in frames.

What comes out is what rows bring, in type and range, so that it is found again, and nothing breaks when it is applied.
"""

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

import polars as pl

from actors.detectors.errors import DetectorValueError
from actors.frames import physical_type
from actors.model import Column, ColumnType


def typed_value(column: Column, text: str) -> Any:
    """Return the value of a column that a word stands for.

    Raises:
        DetectorValueError: the column cannot hold it.
    """
    if column.type.is_text:
        return text
    try:
        if column.type is ColumnType.BOOL:
            return {"true": True, "false": False}[text.lower()]
        return plain_value(column, float(text) if physical_type(column.type) == pl.Float64 else int(text))
    except (KeyError, ValueError):
        raise _misfit(column, text) from None


def plain_value(column: Column, value: Any) -> Any:
    """Return a plain value as it stands in a column.

    Raises:
        DetectorValueError: the column cannot hold it.
    """
    dtype = physical_type(column.type)
    if column.type.is_text:
        # Half a letter is text in Python alone.
        fits = isinstance(value, str) and value.encode("utf-8", "ignore").decode() == value
    elif column.type is ColumnType.BOOL:
        fits = isinstance(value, bool)
    elif dtype == pl.Float64:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
        # Adding 0 makes -0.0 a plain 0.0.
        return float(value) + 0.0 if fits else _refuse(column, value)
    else:
        fits = isinstance(value, int) and not isinstance(value, bool) and value in _range_of(dtype)
    return value if fits else _refuse(column, value)


def parse_list(text: str) -> list[Any]:
    """Return the list that JSON text is.

    Raises:
        DetectorValueError: it is none.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DetectorValueError(f"{text!r} is no JSON list: {error}") from None
    if not isinstance(found, list):
        raise DetectorValueError(f"{text!r} is no JSON list")
    return found


def plain_values(columns: Sequence[Column], values: Any, what: str) -> list[Any]:
    """Return a list of one value for each column.

    Raises:
        DetectorValueError: it is none, or a column cannot hold its value.
    """
    if not isinstance(values, list | tuple) or len(values) != len(columns):
        raise DetectorValueError(f"{values!r} is not {what}")
    return [plain_value(column, value) for column, value in zip(columns, values, strict=True)]


def event_id_value(columns: Sequence[Column], value: Any) -> Any:
    """Return an event id: a value, or a list of one for each column.

    Raises:
        DetectorValueError: it is none, or a column cannot hold its value.
    """
    if len(columns) == 1:
        return plain_value(columns[0], value)
    return plain_values(columns, value, f"an event id: a list of {', '.join(column.name for column in columns)}")


def _range_of(dtype: pl.DataType) -> range:
    low, high = pl.select(low=pl.lit(0, dtype).lower_bound(), high=pl.lit(0, dtype).upper_bound()).row(0)
    return range(low, high + 1)


def _refuse(column: Column, value: Any) -> Any:
    raise _misfit(column, value)


def _misfit(column: Column, value: Any) -> DetectorValueError:
    return DetectorValueError(f"column {column.name!r} is {column.type}, which cannot hold {value!r}")

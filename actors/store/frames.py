"""Frames: what a query finds as columns for engines, without making an event of every row."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from actors.store.columns import Array
from actors.store.fields import read_field
from actors.store.merging import Selection
from actors.store.queries import SeriesQuery, matching_selections
from actors.store.reading import View
from actors.store.type_table import TypeTable

FieldTypes = Mapping[str, Any]
"""Polars type of each wanted top-level field of the JSON payloads."""

_IDS = ("server", "session", "instance")


def query_frame(types: TypeTable, view: View, query: SeriesQuery | None, fields: FieldTypes) -> pl.DataFrame:
    """Return what a query finds as a frame of ids, types, times and fields."""
    selections = [] if query is None else list(matching_selections(types, view, query))
    parts = [_frame(selection, fields) for selection in selections]
    frame = pl.concat(parts) if parts else _empty(fields)
    names = pl.Series("type", ["/".join(one) for one in types.types], dtype=pl.String)
    return frame.with_columns(type=names.gather(frame["type"]))


def _frame(selection: Selection, fields: FieldTypes) -> pl.DataFrame:
    columns: list[pl.Series] = [pl.Series(name, _gather(selection, name), dtype=pl.UInt64) for name in _IDS]
    columns.append(pl.Series("type", _gather(selection, "type_id"), dtype=pl.UInt32))
    columns.append(_times("timestamp", _gather(selection, "time")))
    source = _times("source_timestamp", _gather(selection, "source_time"))
    has_source = pl.Series(_gather(selection, "has_source"))
    columns.append(source.zip_with(has_source, pl.Series([None], dtype=pl.Int64)))
    columns += [_field(selection, name, kind) for name, kind in fields.items()]
    return pl.DataFrame(columns)


def _times(name: str, ticks: Array) -> pl.Series:
    # Times beyond 64 bits of microseconds have no place in a frame.
    values = ticks.tolist() if ticks.dtype == object else ticks
    return pl.Series(name, values, dtype=pl.Int64, strict=False)


def _gather(selection: Selection, name: str) -> Array:
    if selection.which is None:
        column: Array = getattr(selection.parts[0].chunk, name)[selection.rows]
        return column
    columns = [getattr(part.chunk, name) for part in selection.parts]
    wide = any(one.dtype == object for one in columns)
    gathered = np.empty(len(selection.rows), dtype=object if wide else columns[0].dtype)
    for number, column in enumerate(columns):
        own = selection.which == number
        gathered[own] = column[selection.rows[own]]
    return gathered


def _field(selection: Selection, name: str, kind: Any) -> pl.Series:
    if selection.which is None:
        return read_field(selection.parts[0].chunk, selection.rows, name, kind)
    values = [
        read_field(part.chunk, selection.rows[selection.which == number], name, kind)
        for number, part in enumerate(selection.parts)
    ]
    order = np.argsort(np.argsort(selection.which, kind="stable"), kind="stable")
    return pl.concat(values).gather(order)


def _empty(fields: FieldTypes) -> pl.DataFrame:
    schema: dict[str, Any] = dict.fromkeys(_IDS, pl.UInt64)
    schema |= {"type": pl.UInt32, "timestamp": pl.Int64, "source_timestamp": pl.Int64}
    return pl.DataFrame(schema=schema | dict(fields))

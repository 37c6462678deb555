"""Frames: what a query finds as columns for engines, without making an event of every row."""

from collections.abc import Mapping, Sequence
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
_COLUMNS = (*_IDS, "type_id", "time", "source_time", "has_source")


def query_frame(types: TypeTable, view: View, query: SeriesQuery | None, fields: FieldTypes) -> pl.DataFrame:
    """Return what a query finds as a frame of ids, types, times and fields."""
    parts: dict[str, list[Array]] = {name: [] for name in _COLUMNS}
    values: dict[str, list[pl.Series]] = {name: [] for name in fields}
    for selection in [] if query is None else matching_selections(types, view, query):
        for name, arrays in parts.items():
            arrays.append(_gather(selection, name))
        for name, kind in fields.items():
            values[name].append(_field(selection, name, kind))
    columns = {name: np.concatenate(arrays) if arrays else np.zeros(0) for name, arrays in parts.items()}
    frame = [pl.Series(name, columns[name], dtype=pl.UInt64) for name in _IDS]
    names = pl.Series("type", ["/".join(one) for one in types.types], dtype=pl.String)
    frame.append(names.gather(pl.Series(columns["type_id"], dtype=pl.UInt32)))
    frame.append(_times("timestamp", columns["time"]))
    missing = pl.Series([None], dtype=pl.Int64)
    source = _times("source_timestamp", columns["source_time"])
    frame.append(source.zip_with(pl.Series(columns["has_source"], dtype=pl.Boolean), missing))
    return pl.DataFrame([*frame, *(_joined(name, kind, values[name]) for name, kind in fields.items())])


def _joined(name: str, kind: Any, parts: Sequence[pl.Series]) -> pl.Series:
    return pl.concat(parts) if parts else pl.Series(name, [], dtype=kind)


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

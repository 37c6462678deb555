"""Closed windows: the aggregates of windows as a frame, for people who want to see what metrics compare."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from actors.engine.arguments import CheckedSettings
from actors.engine.evaluated import Evaluated
from actors.engine.language.program import Node
from actors.engine.vectors.vector import DTYPES, Type, Vector, as_array, validity
from actors.frames import polars_schema

END, ROW_COUNT = "window_end", "window_row_count"

_TYPES: dict[Type, Any] = {Type.BOOL: pl.Boolean, Type.REAL: pl.Float64, Type.TEXT: pl.String}


def end_column(settings: CheckedSettings) -> str:
    """Return the name of the column of ends; a line is put under it where a key column has that name."""
    return _own_columns(settings)[0]


def _own_columns(settings: CheckedSettings) -> list[str]:
    found = []
    for name in (END, ROW_COUNT):
        while name in settings.key_columns:
            name += "_"
        found.append(name)
    return found


def closed_frame(settings: CheckedSettings, evaluated: Evaluated, aggregates: Sequence[Node]) -> pl.DataFrame:
    """Return the windows that a batch closed: key columns, end, number of rows, and each aggregate by its text."""
    batch, closings = evaluated.batch, evaluated.closings
    rows = batch.arrivals(closings.rows)
    columns = [batch.frame.get_column(name)[rows] for name in settings.key_columns]
    own = (closings.ends, closings.of_rooms(closings.row_counts))
    columns += [pl.Series(name, values) for name, values in zip(_own_columns(settings), own, strict=True)]
    for node in aggregates:
        values = _column(node, closings.values[node.index], len(closings.row_counts))
        columns.append(values if closings.contents is None else values[closings.contents])
    return pl.DataFrame(columns)


def _column(node: Node, vector: Vector, count: int) -> pl.Series:
    full = as_array(vector, node.term.type, count)
    kind = _TYPES.get(node.term.type, pl.Int64)
    values = full.values.astype(DTYPES[node.term.type], copy=False)
    series = pl.Series(node.term.source, values.tolist() if kind is pl.String else values, dtype=kind)
    return series.set(pl.Series(~validity(full)), None)


def empty_closed(settings: CheckedSettings, aggregates: Sequence[Node]) -> pl.DataFrame:
    """Return a frame of no windows."""
    types = polars_schema(settings.schema)
    keys: dict[str, Any] = {name: types[name] for name in settings.key_columns}
    own = dict.fromkeys(_own_columns(settings), pl.Int64())
    values = {node.term.source: _TYPES.get(node.term.type, pl.Int64) for node in aggregates}
    return pl.DataFrame(schema={**keys, **own, **values})

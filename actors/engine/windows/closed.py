"""Closed windows: the aggregates of windows as a frame, for people who want to see what metrics compare."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from actors.engine.language.program import Node
from actors.engine.vectors.batch import Batch
from actors.engine.vectors.vector import DTYPES, Type, Vector, as_array, validity
from actors.engine.windows.windows import Closings

END, ROW_COUNT = "window_end", "window_row_count"

_TYPES: dict[Type, Any] = {Type.BOOL: pl.Boolean, Type.REAL: pl.Float64, Type.TEXT: pl.String}


def closed_frame(
    batch: Batch, closings: Closings, aggregates: Sequence[Node], key_columns: Sequence[str]
) -> pl.DataFrame:
    """Return the windows that a batch closed: key columns, end, number of rows, and each aggregate by its text."""
    rows = batch.arrivals(closings.rows)
    rooms = np.arange(closings.count) if closings.rooms is None else closings.rooms
    columns = [batch.frame.get_column(name)[rows] for name in key_columns]
    columns += [pl.Series(END, closings.ends), pl.Series(ROW_COUNT, closings.row_counts[rooms])]
    for node in aggregates:
        columns.append(_column(node, closings.values[node.index], len(closings.row_counts))[rooms])
    return pl.DataFrame(columns)


def _column(node: Node, vector: Vector, count: int) -> pl.Series:
    full = as_array(vector, node.term.type, count)
    kind = _TYPES.get(node.term.type, pl.Int64)
    values = full.values.astype(DTYPES[node.term.type], copy=False)
    series = pl.Series(node.term.source, values.tolist() if kind is pl.String else values, dtype=kind)
    return series.set(pl.Series(~validity(full)), None)


def empty_closed(types: dict[str, pl.DataType], aggregates: Sequence[Node]) -> pl.DataFrame:
    """Return a frame of no windows."""
    own = {END: pl.Int64(), ROW_COUNT: pl.Int64()}
    values = {node.term.source: _TYPES.get(node.term.type, pl.Int64) for node in aggregates}
    return pl.DataFrame(schema={**types, **own, **values})

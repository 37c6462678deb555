"""Output: fired metrics to a frame of anomalies, in the order in which a row by row engine would report them.

The order is: arrival of the causing row; of one row first the windows it closed, oldest first, each with its metrics in
order; then the row's own metrics. The anomalies of one row are numbered from 0, their *ordinal*.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from actors.engine.batch import Batch
from actors.engine.vectors import Array


class Fired(NamedTuple):
    """Where one metric fired."""

    metric_index: int
    rows: Array
    """Position in the frame of each causing row."""

    windows: Array | None
    """Number of the closed window; `None` for metrics of rows."""


class Anomalies(NamedTuple):
    """Anomalies of a batch in output order."""

    rows: Array
    """Position in the frame of the causing row."""

    metric_index: Array
    windows: Array
    """Number of the closed window, or the number of windows if the metric is one of rows."""

    ordinals: Array


def ordered(fired: Sequence[Fired], window_count: int, metric_count: int) -> Anomalies:
    """Return all anomalies in output order."""
    metric_bits = max(metric_count - 1, 1).bit_length()
    window_bits = window_count.bit_length()
    parts = []
    for metric_index, rows, windows in fired:
        window: Any = window_count if windows is None else windows
        parts.append((((rows << window_bits) | window) << metric_bits) | metric_index)
    combined = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    combined.sort()
    metric = combined & ((1 << metric_bits) - 1)
    closed = (combined >> metric_bits) & ((1 << window_bits) - 1)
    rows = combined >> (metric_bits + window_bits)
    return Anomalies(rows, metric, closed, _ordinals(rows))


def _ordinals(rows: Array) -> Array:
    count = len(rows)
    position = np.arange(count)
    fresh = np.empty(count, dtype=np.bool_)
    if count:
        fresh[0] = True
        np.not_equal(rows[1:], rows[:-1], out=fresh[1:])
    ordinals: Array = position - np.maximum.accumulate(np.where(fresh, position, 0))
    return ordinals


def to_frame(
    anomalies: Anomalies, batch: Batch, times: Array, names: tuple[str, Sequence[str]], texts: pl.Series
) -> pl.DataFrame:
    """Return anomalies as a frame: time, key columns, `type`, `metric`, `offset`, `ordinal`."""
    time_column, key_columns = names
    columns = [pl.Series(time_column, times)]
    columns += [batch.frame[name].gather(anomalies.rows) for name in key_columns]
    columns += [
        pl.Series("type", anomalies.metric_index.astype(np.int32)),
        texts.gather(anomalies.metric_index),
        pl.Series("offset", batch.offsets[anomalies.rows]),
        pl.Series("ordinal", anomalies.ordinals.astype(np.int32)),
    ]
    return pl.DataFrame(columns)

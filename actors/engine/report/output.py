"""Output: fired metrics to anomalies, in the order in which a row by row engine would raise them.

The order is: arrival of the causing row; of one row first the windows it closed, oldest first, each with its metrics in
order; then the row's own metrics. The anomalies of one row are numbered from 0, their *ordinal*.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from actors.engine.vectors.vector import Array

Firing = tuple[int, int, int, Any, Any]
"""What a row by row test found: row number, position of the metric, time, state of the key before the row, detail."""

LATE_ORDINALS = 1 << 28
"""Ordinals from here on are of what a row makes known beside its own anomalies."""


class Numbering(NamedTuple):
    """Ordinals of what is made known at one row beside its own anomalies."""

    first: int = LATE_ORDINALS
    stride: int = 1

    def ordinals(self, start: int, count: int) -> Array:
        """Return some ordinals from a position on."""
        return np.arange(start, start + count) * self.stride + self.first


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


_NONE = np.zeros(0, dtype=np.int64)
NO_ANOMALIES = Anomalies(_NONE, _NONE.astype(np.uint32), _NONE, _NONE.astype(np.int32))


def ordered(fired: Sequence[Fired], row_count: int, window_count: int, metric_count: int) -> Anomalies:
    """Return all anomalies in output order: row, window and metric sorted as one integer, of 32 bits if they fit in."""
    metric_bits = max(metric_count - 1, 1).bit_length()
    window_bits = window_count.bit_length()
    dtype: Any = np.uint32 if row_count.bit_length() + window_bits + metric_bits <= 32 else np.uint64
    parts = []
    for metric_index, rows, windows in fired:
        if not len(rows):
            continue
        part = rows.astype(dtype)
        part <<= window_bits + metric_bits
        if windows is None:
            part |= (window_count << metric_bits) | metric_index
        else:
            part |= (windows.astype(dtype) << metric_bits) | metric_index
        parts.append(part)
    if not parts:
        return NO_ANOMALIES
    combined = np.concatenate(parts)
    combined.sort()
    metric = (combined & ((1 << metric_bits) - 1)).astype(np.uint32, copy=False)
    combined >>= metric_bits
    closed = (combined & ((1 << window_bits) - 1)).astype(np.int64)
    combined >>= window_bits
    return Anomalies(combined.astype(np.int64), metric, closed, _ordinals(combined))


def _ordinals(rows: Array) -> Array:
    """Return how many entries before each have the same row, for ascending rows."""
    position = np.arange(len(rows), dtype=np.int32)
    first = position.copy()
    first[1:] *= rows[1:] != rows[:-1]
    np.maximum.accumulate(first, out=first)
    ordinals: Array = position - first
    return ordinals

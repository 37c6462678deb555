"""Output: fired metrics to anomalies, in the order in which a row by row engine would raise them.

The order is: arrival of the causing row; of one row first the windows it closed, oldest first, each with its metrics in
order; then the row's own metrics. The anomalies of one row are numbered from 0, their *ordinal*.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from actors.engine.vectors.segments import run_lengths, run_starts, stable_order
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


def ordered(fired: Sequence[Fired], row_count: int, window_count: int) -> Anomalies:
    """Return all anomalies in output order, given where metrics fired in the order of the metrics."""
    of_windows = [part for part in fired if part.windows is not None and len(part.rows)]
    of_rows = [part for part in fired if part.windows is None and len(part.rows)]
    parts = of_windows + of_rows
    if not parts:
        return NO_ANOMALIES
    metric = np.repeat(np.array([part.metric_index for part in parts], np.uint32), [len(part.rows) for part in parts])
    rows = np.concatenate([part.rows for part in parts])
    # Sorted by row they keep this order: those of windows by window, each by metric; then those of rows by metric.
    windows = np.full(len(rows), window_count)
    if of_windows:
        numbers = np.concatenate([part.windows for part in of_windows if part.windows is not None])
        windows[: len(numbers)] = numbers
    if len(of_windows) > 1:
        by_window = stable_order(numbers, window_count)
        for column in (windows, metric, rows):
            column[: len(numbers)] = column.take(by_window)
    order = stable_order(rows, row_count)
    rows = rows.take(order)
    return Anomalies(rows, metric.take(order), windows.take(order), row_ordinals(rows))


def row_ordinals(rows: Array) -> Array:
    """Return how many entries before each have the same row, for ascending rows."""
    starts = run_starts(rows)
    ordinals: Array = np.arange(len(rows), dtype=np.int32)
    if len(starts) < len(rows):
        ordinals -= np.repeat(starts.astype(np.int32), run_lengths(starts, len(rows)))
        return ordinals
    return np.zeros_like(ordinals)

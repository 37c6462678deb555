"""Rows that wait to be folded into a backend, so that one event costs little more than an append.

A *layout* is the tuple of variable names of a row. Rows of one layout that follow one another form a run; a fold hands
each run over as columns, or, with a `fill` value, all runs united into one block. A fold happens when `row_count_max`
rows wait and before every read of the backend, so nobody can see that rows wait. The rows are tuples of values whose
hash has been taken or which have been copied: a caller that changes its own list afterwards changes nothing here.
"""

from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any

Columns = Sequence[Sequence[Any]]
Timestamps = Sequence[float | None]
Fold = Callable[[tuple[str, ...], Columns, Timestamps], None]
"""Takes names, one sequence of values per name, and one timestamp (or `None`) per row."""

ROW_COUNT_MAX = 4096
"""Rows that wait at most, unless the backend asks for fewer."""

KEEP_RUNS = object()
"""A fill value that says: do not unite runs."""

_Run = tuple[tuple[str, ...], list[tuple[Any, ...]], list[float | None]]


class RowBuffer:
    """Rows on their way into one backend."""

    __slots__ = ("_fill", "_fold", "_layout", "_runs", "lock", "row_count", "row_count_max")

    def __init__(self, fold: Fold, row_count_max: int = ROW_COUNT_MAX, fill: Any = KEEP_RUNS) -> None:
        self._fold = fold
        self._fill = fill
        self._layout: tuple[str, ...] | None = None
        self._runs: list[_Run] = []
        self.lock = RLock()
        self.row_count = 0
        self.row_count_max = row_count_max

    def append(self, layout: tuple[str, ...], values: tuple[Any, ...], timestamp: float | None) -> None:
        """Add one row; its values may not change afterwards."""
        with self.lock:
            if layout is not self._layout:
                self._runs.append((layout, [], []))
                self._layout = layout
            _, rows, timestamps = self._runs[-1]
            rows.append(values)
            timestamps.append(timestamp)
            self.row_count += 1
            if self.row_count >= self.row_count_max:
                self.fold()

    def append_columns(self, layout: tuple[str, ...], columns: Columns, timestamps: Timestamps) -> None:
        """Add many rows at once, given as columns; what waits goes first."""
        with self.lock:
            self.fold()
            self._fold(layout, columns, timestamps)

    def fold(self) -> None:
        """Hand everything that waits to the backend."""
        if not self.row_count:
            return
        with self.lock:
            runs, self._runs, self._layout, self.row_count = self._runs, [], None, 0
            if self._fill is not KEEP_RUNS and len(runs) > 1:
                self._fold(*_united(runs, self._fill))
                return
            for layout, rows, timestamps in runs:
                self._fold(layout, list(zip(*rows, strict=True)), timestamps)


def _united(runs: Sequence[_Run], fill: Any) -> tuple[tuple[str, ...], Columns, Timestamps]:
    names = tuple(dict.fromkeys(name for layout, _, _ in runs for name in layout))
    columns: list[list[Any]] = [[] for _ in names]
    timestamps: list[float | None] = []
    for layout, rows, stamps in runs:
        given = dict(zip(layout, zip(*rows, strict=True), strict=True))
        absent = (fill,) * len(rows)
        for name, column in zip(names, columns, strict=True):
            column.extend(given.get(name, absent))
        timestamps.extend(stamps)
    return names, columns, timestamps

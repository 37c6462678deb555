"""Rows that wait to be folded into a backend, so that one event costs little more than an append.

A *layout* is the tuple of variable names of a row. Rows of one layout that follow one another form a run; a fold hands
each run over as columns. A fold happens when `row_count_max` rows wait and before every read of the backend, so nobody
can see that rows wait. The rows are tuples of values whose hash has been taken or which have been copied: a caller that
changes its own list afterwards changes nothing here.
"""

from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any

Fold = Callable[[tuple[str, ...], list[Sequence[Any]], list[float | None]], None]
"""Takes names, one sequence of values per name, and one timestamp (or `None`) per row."""

ROW_COUNT_MAX = 4096
"""Rows that wait at most, unless the backend asks for fewer."""


class RowBuffer:
    """Rows on their way into one backend."""

    __slots__ = ("_fold", "_layout", "_runs", "lock", "row_count", "row_count_max")

    def __init__(self, fold: Fold, row_count_max: int = ROW_COUNT_MAX) -> None:
        self._fold = fold
        self._layout: tuple[str, ...] | None = None
        self._runs: list[tuple[tuple[str, ...], list[tuple[Any, ...]], list[float | None]]] = []
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

    def append_columns(
        self, layout: tuple[str, ...], columns: list[Sequence[Any]], timestamps: list[float | None]
    ) -> None:
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
            for layout, rows, timestamps in runs:
                self._fold(layout, list(zip(*rows, strict=True)), timestamps)

"""Rows that wait to be folded into a backend, so that one event costs little more than an append.

A *layout* is the tuple of variable names of a row. Rows of one layout that follow one another form a run; a fold hands
each run over as columns, or, with a `fill` value, all runs united into one block. A fold happens when `row_count_max`
rows wait and before every read of the backend, so nobody can see that rows wait. The rows are tuples of values whose
hash has been taken or which have been copied: a caller that changes its own list afterwards changes nothing here.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
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

_CELLS = 3
"""Entries of the list of waiting rows that belong to one row: layout, values and timestamp."""


class RowBuffer:
    """Rows on their way into one backend.

    Adding a row is one `extend` of a list that is never replaced, so that adding needs no lock of its own: a fold takes
    what the list held when it began. Folds exclude one another. The list is flat because a tuple per row would cost
    more than the row.
    """

    __slots__ = ("_fill", "_fold", "_pending", "_pending_length_max", "lock")

    def __init__(self, fold: Fold, row_count_max: int = ROW_COUNT_MAX, fill: Any = KEEP_RUNS) -> None:
        self._fold = fold
        self._fill = fill
        self._pending: list[Any] = []
        self._pending_length_max = row_count_max * _CELLS
        self.lock = RLock()

    @property
    def row_count(self) -> int:
        """Number of rows that wait."""
        return len(self._pending) // _CELLS

    def append(self, layout: tuple[str, ...], values: tuple[Any, ...], timestamp: float | None) -> None:
        """Add one row; its values may not change afterwards."""
        pending = self._pending
        pending.extend((layout, values, timestamp))
        if len(pending) >= self._pending_length_max:
            self.fold()

    def extend(self, layout: tuple[str, ...], rows: Sequence[tuple[Any, ...]], timestamps: Timestamps) -> None:
        """Add rows of one layout; their values may not change afterwards."""
        flat: list[Any] = [layout] * (len(rows) * _CELLS)
        flat[1::_CELLS] = rows
        flat[2::_CELLS] = timestamps
        self._pending.extend(flat)
        if len(self._pending) >= self._pending_length_max:
            self.fold()

    def append_columns(self, layout: tuple[str, ...], columns: Columns, timestamps: Timestamps) -> None:
        """Add many rows at once, given as columns; what waits goes first."""
        with self.lock:
            self.fold()
            self._fold(layout, columns, timestamps)

    def fold(self) -> None:
        """Hand everything that waits to the backend."""
        if not self._pending:
            return
        with self.lock:
            taken = self._pending[:]
            if not taken:
                return
            del self._pending[: len(taken)]
            layouts, rows, timestamps = taken[0::_CELLS], taken[1::_CELLS], taken[2::_CELLS]
            if layouts.count(layouts[0]) == len(layouts):
                self._fold(layouts[0], list(zip(*rows, strict=True)), timestamps)
            elif self._fill is not KEEP_RUNS:
                self._fold(*_united(layouts, rows, self._fill), timestamps)
            else:
                self._fold_runs(layouts, rows, timestamps)

    def _fold_runs(
        self, layouts: Sequence[tuple[str, ...]], rows: Sequence[tuple[Any, ...]], timestamps: Timestamps
    ) -> None:
        start = 0
        for layout, run in groupby(layouts):
            end = start + len(list(run))
            self._fold(layout, list(zip(*rows[start:end], strict=True)), timestamps[start:end])
            start = end


def _united(
    layouts: Sequence[tuple[str, ...]], rows: Sequence[tuple[Any, ...]], fill: Any
) -> tuple[tuple[str, ...], Columns]:
    names = tuple(dict.fromkeys(name for layout in dict.fromkeys(layouts) for name in layout))
    given = [dict(zip(layout, values, strict=True)) for layout, values in zip(layouts, rows, strict=True)]
    return names, [[row.get(name, fill) for row in given] for name in names]

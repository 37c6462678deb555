"""Look-back by time: the value that a key had a length of time ago.

Rows are taken in order of arrival; where times of a key fall back, a row counts at the latest time before it. So the
moment that is looked at never moves back, and what lies before it is forgotten but for the row that answers for it.
"""

from collections.abc import Sequence

import numpy as np

from actors.engine.keys.idle import KeyState
from actors.engine.keys.kept import Kept, Work
from actors.engine.keys.log import KeyedLog
from actors.engine.vectors.batch import relaid
from actors.engine.vectors.segments import Layout, accumulate, lower_bound
from actors.engine.vectors.vector import DTYPES, Array, Type, Vector, filler, simplified, validity

NEVER = -(1 << 61)
"""The latest time of a key without rows."""

_EARLIEST = NEVER + 1
"""Earlier times count as this one, so that a look-back fits into 64 bits."""


class TimedMoveState:
    """The value of the latest row at or before `T - window`."""

    def __init__(self, kind: Type, window: int, tolerance: int | None, every: int | None) -> None:
        if every is not None and every > window:
            raise ValueError("`every` is longer than the window, so that there would be nothing to look at")
        self._window = window
        self._tolerance = tolerance
        self._every = every
        self._fill = filler(kind)
        # Rows of each key that a later one may look at: the latest time up to the row, which ascends, its value (the
        # filler for NULL), and whether that is there. With `every`, all but the last are the last of their stretches.
        self._log = KeyedLog([np.int64, DTYPES[kind], np.bool_])

    def evaluate(self, vectors: Sequence[Vector], layout: Layout) -> Vector:
        """Return the earlier value for every row; the first vector holds the times."""
        (times, timed), (values, valid) = vectors
        if timed is None:
            return self._look(times, values, valid, layout)
        # Rows without a time are not there at all.
        found, there = np.full(layout.row_count, self._fill, dtype=values.dtype), np.zeros(layout.row_count, np.bool_)
        if timed.any():
            seen = self._look(
                times[timed], values[timed], None if valid is None else valid[timed], relaid(layout, timed)
            )
            found[timed], there[timed] = seen.values, validity(seen)
        return simplified(found, there)

    def _look(self, times: Array, values: Array, valid: Array | None, layout: Layout) -> Vector:
        latest = accumulate(
            np.maximum, np.maximum(times, _EARLIEST), layout, self._log.last_entries(layout.numbers, NEVER)
        )
        there = np.ones(layout.row_count, dtype=np.bool_) if valid is None else valid
        columns = [latest, np.where(there, values, self._fill).astype(values.dtype, copy=False), there]
        self._take_in(layout, columns)
        starts, stops = self._log.starts_for(layout.numbers), self._log.stops_for(layout.numbers)
        wanted = latest - self._window
        # By row: the position after that of the row that answers for it, which is before the first one kept for none.
        first = np.repeat(starts, layout.lengths)
        after = lower_bound(self._log.columns[0], first, np.repeat(stops, layout.lengths), wanted + 1)
        then, value, known = (column.take(np.maximum(after - 1, 0)) for column in self._log.columns)
        known = known & (after > first)
        if self._tolerance is not None:
            known &= wanted - then <= self._tolerance
        self._trim(layout, after[layout.lasts], stops, wanted[layout.lasts])
        return simplified(np.where(known, value, self._fill).astype(value.dtype, copy=False), known)

    def _take_in(self, layout: Layout, columns: Sequence[Array]) -> None:
        """Add rows; with `every`, leave out those that are not the last of their stretch."""
        if self._every is None:
            self._log.append(layout, columns)
            return
        stretch = columns[0] // self._every
        kept = np.ones(layout.row_count, dtype=np.bool_)
        np.not_equal(stretch[1:], stretch[:-1], out=kept[:-1])
        kept[layout.lasts] = True
        before = self._log.last_entries(layout.numbers, NEVER)
        goes_on = (before // self._every == stretch[layout.starts]) & (before != NEVER)
        self._log.drop_last(layout.numbers[goes_on])
        if not kept.all():
            layout, columns = relaid(layout, kept), [column[kept] for column in columns]
        self._log.append(layout, columns)

    def _trim(self, layout: Layout, after: Array, stops: Array, wanted: Array) -> None:
        """Forget the rows before those that answer for the latest ones, and these where they are too old already."""
        first = np.maximum(after - 1, self._log.starts[layout.numbers])
        if self._tolerance is not None:
            first += self._log.columns[0].take(first) < wanted - self._tolerance
        self._log.keep_last(layout.numbers, np.maximum(stops - first, 1))

    def keyed(self) -> Sequence[KeyState]:
        """Return the parts of the state, each by key."""
        return [self._log]

    def kept(self) -> Kept:
        """Return what is kept of each key."""
        what = f"rows of the last {self._window} ticks, with their times"
        if self._every is None:
            return self._log.kept(what)
        return self._log.kept(
            f"a row for every {self._every} of {what}", entry_count_max=self._window // self._every + 3
        )

    def work(self) -> Work:
        """Return what a row costs."""
        why = f"looks for the row of {self._window} ticks ago among those kept"
        return Work(order="O(log rows kept)", per="row", why=why, weight=20)

    def state(self) -> dict[str, Array]:
        """Return the state as arrays."""
        return self._log.state()

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""
        self._log.load(state)

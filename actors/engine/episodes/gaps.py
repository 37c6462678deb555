"""Gaps: where a row of a key comes too long after the one before it. Pure; event time only.

A gap begins so long after the row before it, and ends at the row that follows. Windows that this row closes come before
the gap if they end before it has begun, and after it otherwise.
"""

from collections.abc import Collection

import numpy as np

from actors.engine.evaluated import Evaluated
from actors.engine.keys.times import NEVER
from actors.engine.vectors.segments import running_maximum
from actors.engine.vectors.vector import Array

_AFTER_ALL = 1 << 62
"""Arrival of a row that has not come yet."""


class WindowGaps:
    """The gaps of a batch, or at a tick, that lie between the windows of one metric."""

    def __init__(self, evaluated: Evaluated, absent_after: int) -> None:
        self._is_tick = evaluated.is_tick
        numbers, arrivals, begun = _gaps(evaluated, absent_after)
        # Of each key, those that the metric has not gone past: arrival of the row that ends it, and when it has begun.
        self._ahead: dict[int, list[tuple[int, int]]] = {}
        for number, arrival, time in zip(numbers.tolist(), arrivals.tolist(), begun.tolist(), strict=True):
            self._ahead.setdefault(number, []).append((arrival, time))
        for gaps in self._ahead.values():
            gaps.reverse()

    def pass_to(self, number: int, arrival: int, time: int) -> bool:
        """Go on to a window of a key that ends at a time; return whether a gap lies before it."""
        gaps = self._ahead.get(number, [])
        count = len(gaps)
        while gaps and (gaps[-1][0] < arrival or gaps[-1][1] < time):
            gaps.pop()
        return len(gaps) < count

    def left(self, numbers: Collection[int]) -> list[int]:
        """Return those keys that have a gap after their last window."""
        # At a tick it is not known yet whether another row comes.
        return [] if self._is_tick else [one for one in numbers if self._ahead.get(one)]


def _gaps(evaluated: Evaluated, absent_after: int) -> tuple[Array, Array, Array]:
    """Return key number, arrival of the row that ends it, and begin of each gap, by key and then by arrival."""
    layout, times, before = evaluated.layout, evaluated.times, evaluated.before
    assert before is not None, "where windows close, the latest time of each key is known"
    if evaluated.is_tick:
        numbers = layout.numbers[before != NEVER]
        return numbers, np.full(len(numbers), _AFTER_ALL), before[before != NEVER] + absent_after
    raised = times.copy()
    raised[layout.starts] = np.maximum(times[layout.starts], before)
    latest = np.empty_like(times)
    latest[1:] = running_maximum(raised, layout)[:-1]
    latest[layout.starts] = before
    where = np.flatnonzero((latest != NEVER) & (times > latest + absent_after))
    segments = np.searchsorted(layout.starts, where, side="right") - 1
    return layout.numbers[segments], evaluated.batch.arrivals(where), latest[where] + absent_after

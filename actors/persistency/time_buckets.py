"""Times of observations in bounded memory: how many fell into each of a number of equal spans.

The spans begin at the first time and are powers of two of a second wide; when a time lies beyond the last one, spans
are joined in pairs. Segment bounds are exact where a cut lies between two spans, and within one span of observations
elsewhere. The slope needs no spans: it is exact, from the sum of the times of changes.
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from math import isfinite
from typing import Any

from actors.persistency.arguments import whole
from actors.persistency.errors import PersistencyValueError

_BUCKET_COUNT_MAX = 1_000_000
"""Most spans of a tracker; each takes eight bytes."""

_FIRST_WIDTH = 2.0**-20
"""Width of the spans at first: about a microsecond."""


class TimeBuckets:
    """Counts of observations per span of time.

    Raises:
        PersistencyValueError: fewer than two spans, or more than a million.
    """

    def __init__(self, bucket_count: int) -> None:
        if whole("time_buckets", bucket_count, 2) > _BUCKET_COUNT_MAX:
            raise PersistencyValueError(f"time_buckets {bucket_count} must be at most {_BUCKET_COUNT_MAX}")
        self.bucket_count = bucket_count
        self._counts = array("q", bytes(8 * bucket_count))
        self._width = _FIRST_WIDTH
        self._first = self._second = self._last = 0.0
        self._count = 0
        self._is_broken = False
        self._change_count = 0
        self._change_time_sum = 0.0

    def add(self, stamps: Sequence[float | None], changed: Sequence[int]) -> None:
        """Add the times of observations, of which those at the indexes `changed` are changes."""
        changes = set(changed)
        for index, stamp in enumerate(stamps):
            if stamp is None or not isfinite(stamp) or (self._count and stamp < self._last):
                # From here on times cannot be used, as with a list of them.
                self._is_broken = True
            if self._is_broken:
                return
            assert stamp is not None  # broken otherwise
            self._add_one(float(stamp), index in changes)

    def is_usable(self, count: int) -> bool:
        """Return whether every one of `count` observations has a time, never falling, and not all equal."""
        return not self._is_broken and count == self._count and count > 0 and self._last > self._first

    def segment_bounds(self, segment_count: int) -> list[int]:
        """Return the first index of each of so many equal spans, and the number of observations."""
        before = [0, *accumulate(self._counts)]
        bounds = [0]
        for k in range(1, segment_count):
            place = k * (self._last - self._first) / segment_count / self._width
            bucket = int(place)
            bounds.append(before[bucket] + int(self._counts[bucket] * (place - bucket)))
        return [*bounds, self._count]

    def slope(self) -> float | None:
        """Return the slope by time, or `None` when all times from the second on are equal."""
        span = self._last - self._second
        if span <= 0:
            return None
        if not self._change_count:
            return -0.5
        return (self._change_time_sum / self._change_count - (self._second - self._first)) / span - 0.5

    def to_state(self) -> list[Any]:
        """Return everything that is kept, as plain values."""
        times = [self._width, self._first, self._second, self._last]
        changes = [self._change_count, self._change_time_sum]
        return [self._counts.tolist(), *times, self._count, self._is_broken, *changes]

    @classmethod
    def from_state(cls, state: Sequence[Any]) -> "TimeBuckets":
        made = cls(len(state[0]))
        made._counts = array("q", state[0])
        made._width, made._first, made._second, made._last, made._count, made._is_broken = state[1:7]
        made._change_count, made._change_time_sum = state[7:]
        return made

    def _add_one(self, stamp: float, is_change: bool) -> None:
        if self._count == 0:
            self._first = stamp
        elif self._count == 1:
            self._second = stamp
        if is_change and self._count:
            # Relative to the first time, so that late times do not swallow the differences.
            self._change_count += 1
            self._change_time_sum += stamp - self._first
        while stamp - self._first >= self._width * self.bucket_count:
            self._join_pairs()
        self._counts[int((stamp - self._first) / self._width)] += 1
        self._last = stamp
        self._count += 1

    def _join_pairs(self) -> None:
        joined = [sum(self._counts[place : place + 2]) for place in range(0, self.bucket_count, 2)]
        self._counts = array("q", joined + [0] * (self.bucket_count - len(joined)))
        self._width *= 2

"""A list kept as runs of equal neighbours, with counts of true entries in logarithmic time.

Invariant: neighbouring runs differ, `_ends` and `_trues` ascend and have one entry per run. `_ends[i]` is the index
after run i, `_trues[i]` the number of true entries up to there.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Generic, TypeVar

from actors.persistency.errors import PersistencyTypeError

T = TypeVar("T")


class RLEList(Generic[T]):
    """A list that costs memory per run of equal values, not per value."""

    __slots__ = ("_ends", "_trues", "_values")

    def __init__(self, data: Iterable[T] | None = None) -> None:
        self._values: list[T] = []
        self._ends = array("q")
        self._trues = array("q")
        if data is not None:
            self.extend(data)

    @classmethod
    def from_runs(cls, runs: Iterable[Sequence[object]]) -> "RLEList[T]":
        """Return the list of these `(value, count)` runs."""
        made: RLEList[T] = cls()
        for value, count in runs:
            made.append_run(value, int(count))  # type: ignore[arg-type, call-overload]  # pairs come from a file
        return made

    def append(self, x: T) -> None:
        """Add one value at the end."""
        self.append_run(x, 1)

    def append_run(self, value: T, count: int) -> None:
        """Add one value `count` times at the end."""
        if count <= 0:
            return
        true_count = count if value else 0
        if self._values and self._values[-1] == value:
            self._ends[-1] += count
            self._trues[-1] += true_count
            return
        self._ends.append(len(self) + count)
        self._trues.append(self.true_count() + true_count)
        self._values.append(value)

    def extend(self, xs: Iterable[T]) -> None:
        """Add values at the end, in order."""
        if not isinstance(xs, Iterable):
            raise PersistencyTypeError(f"the values are {xs!r}; give a list of them")
        for value in xs:
            self.append_run(value, 1)

    def true_count(self, end: int | None = None) -> int:
        """Return how many of the first `end` values (default: of all) are true, in logarithmic time."""
        if not self._values:
            return 0
        if end is None or end >= self._ends[-1]:
            return self._trues[-1]
        if end <= 0:
            return 0
        run = bisect_right(self._ends, end)
        before, start = (self._trues[run - 1], self._ends[run - 1]) if run else (0, 0)
        return before + (end - start if self._values[run] else 0)

    def true_position_sum(self) -> int:
        """Return the sum of the indexes of all true values."""
        total = start = 0
        for value, end in zip(self._values, self._ends, strict=True):
            if value:
                total += (start + end - 1) * (end - start) // 2
            start = end
        return total

    def true_positions(self) -> Iterator[int]:
        """Iterate over the indexes of the true values, ascending."""
        start = 0
        for value, end in zip(self._values, self._ends, strict=True):
            if value:
                yield from range(start, end)
            start = end

    def last_true_position(self) -> int:
        """Return the index of the last true value, or -1 when there is none."""
        for value, end in zip(reversed(self._values), reversed(self._ends), strict=True):
            if value:
                return end - 1
        return -1

    def runs(self) -> list[tuple[T, int]]:
        """Return the runs as `(value, count)`, in order."""
        starts = [0, *self._ends[:-1]]
        return [(value, end - start) for value, start, end in zip(self._values, starts, self._ends, strict=False)]

    def copy(self) -> "RLEList[T]":
        """Return an independent list of the same values."""
        made: RLEList[T] = RLEList()
        made._values, made._ends, made._trues = list(self._values), self._ends[:], self._trues[:]
        return made

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[T]:
        for value, count in self.runs():
            yield from repeat(value, count)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RLEList) and self.runs() == other.runs()

    __hash__ = None  # type: ignore[assignment]  # a list that grows has no hash

    def __repr__(self) -> str:
        return f"RLEList(len={len(self)}, runs={self.runs()})"


def append_changes(series: RLEList[bool], count: int, changed: Sequence[int]) -> None:
    """Add `count` observations to a series, of which those at the ascending indexes `changed` are true."""
    if len(changed) == count:
        series.append_run(True, count)
        return
    done = 0
    for index in changed:
        series.append_run(False, index - done)
        series.append_run(True, 1)
        done = index + 1
    series.append_run(False, count - done)

"""Times of keys: the latest row of each, which says which rows are late and which keys have been idle for long."""

from collections.abc import Sequence

import numpy as np

from actors.engine.arguments import CheckedSettings
from actors.engine.keys.idle import KeyState
from actors.engine.keys.kept import Kept
from actors.engine.keys.per_key import PerKey
from actors.engine.vectors.batch import accepted_rows
from actors.engine.vectors.segments import Layout
from actors.engine.vectors.vector import Array

NEVER = np.int64(np.iinfo(np.int64).min)
"""Latest time of a key without rows."""

NO_SPLIT = np.int64(-1)
"""Split of a key without rows."""


class KeyTimes:
    """The latest time of each key; it never goes back where rows older than it are late."""

    def __init__(self, settings: CheckedSettings) -> None:
        self._follows_split = settings.follows_keys
        self._drops_late = settings.window_size is not None
        self.is_kept = self._drops_late or settings.idle_key_ttl > 0
        """Whether anybody asks."""

        # By key number: time of the latest row that took part, and the split of that row if ticks ask for it.
        self.latest = PerKey(time=NEVER, split=NO_SPLIT) if self._follows_split else PerKey(time=NEVER)
        # Where windows without rows are computed, ticks move the latest time on for ever; keys are idle by their rows.
        self._tells_rows = settings.grid is not None and settings.grid.computes_empty
        if self._tells_rows:
            self.latest = PerKey(time=NEVER, split=NO_SPLIT, row=NEVER)

    def accepted(self, times: Array, layout: Layout) -> tuple[Array, Array] | None:
        """Return which sorted rows take part, and each segment's latest time before them; `None` if all do."""
        if not self._drops_late:
            return None
        self.latest.cover(layout.numbers)
        before = self.latest["time"][layout.numbers]
        accepted = accepted_rows(times, layout, before)
        return None if accepted is None else (accepted, before)

    def before(self, numbers: Array) -> Array:
        """Return the latest time of each key so far, `NEVER` for those without rows; the numbers ascend."""
        self.latest.cover(numbers)
        times: Array = self.latest["time"][numbers]
        return times

    def note(self, layout: Layout, times: Array, split: int) -> None:
        """Take the times of sorted rows that take part."""
        if not self.is_kept:
            return
        self.latest.cover(layout.numbers)
        if self._drops_late:
            newest = times[layout.lasts]
        else:
            newest = np.maximum(np.maximum.reduceat(times, layout.starts), self.latest["time"][layout.numbers])
        self.latest["time"][layout.numbers] = newest
        if self._tells_rows:
            self.latest["row"][layout.numbers] = newest
        if self._follows_split:
            self.latest["split"][layout.numbers] = split

    def reach(self, numbers: Array, times: Array) -> None:
        """Take the times at which ticks closed the windows of keys: older rows are late from then on."""
        self.latest["time"][numbers] = times

    def of_split(self, split: int) -> Array:
        """Return the numbers of the keys of a split."""
        numbers: Array = (self.latest["split"] == split).nonzero()[0]
        return numbers

    def idle(self, split: int, before: int) -> Array:
        """Return the numbers of the keys of a split whose latest row is older than a time."""
        is_idle = (self.latest["split"] == split) & (self.latest["row" if self._tells_rows else "time"] < before)
        numbers: Array = is_idle.nonzero()[0]
        return numbers

    def state(self) -> dict[str, Array]:
        """Return the state as arrays."""
        return self.latest.state()

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""
        self.latest.load(state)

    def keyed(self) -> Sequence[KeyState]:
        """Return the parts of the state, each by key."""
        return [self.latest]

    def kept(self) -> list[Kept]:
        return [self.latest.kept("latest time")] if self.is_kept else []

    def validate(self, key_count: int) -> None:
        """Assert what is always true."""
        self.latest.validate(key_count)

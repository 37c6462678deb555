"""A shaky source whose splits get time marks while nothing comes, and whose process may be another one at any read."""

import random
from collections.abc import Callable

from actors.source.protocol import Source, SourceBatch
from actors.source.time_marks import IdleRules, MarkedSource, TimeMarks
from config.idle import PLACE_COUNT
from tests.sim.shaky import ShakySource

RULES = IdleRules(time_column="time", tick=5, unit_ns=1_000_000, after_us=15_000)


class KeptMarks(TimeMarks):
    """Time marks that are kept for a run from the beginning, whatever the source has lost."""

    def forget_before(self, split: int, record: int) -> None:
        """Forget nothing."""


class _Records(ShakySource):
    """The records under the marks; what has been given out never goes away again."""

    def __init__(self, source: Source, rng: random.Random) -> None:
        super().__init__(source, rng)
        self._given: dict[int, int] = {}

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        if self.ends:
            self.ends = {one: max(end, self._given.get(one, 0)) for one, end in self.ends.items()}
        batch = super().read(split, offset, row_count_max)
        self._given[split] = max(self._given.get(split, 0), batch.next_offset)
        return batch


class IdleSource(ShakySource):
    """What leaders and hosts of a world read; offsets, and `earliest`, are those with places for marks."""

    def __init__(self, source: Source, rng: random.Random, elapsed_us: Callable[[], int]) -> None:
        super().__init__(source, rng)
        self.marks = KeptMarks()
        self._records = _Records(source, rng)
        self._elapsed_us = elapsed_us
        self._marked = self._opened()

    def _opened(self) -> MarkedSource:
        return MarkedSource(self._records, RULES, self.marks, self._elapsed_us)

    def earliest_offset(self, split: int) -> int:
        self._fail()
        self._records.earliest = {one: offset // PLACE_COUNT for one, offset in self.earliest.items()}
        return self._marked.earliest_offset(split)

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        self._fail()
        self._records.ends = self.ends
        if self._rng.random() < 0.05:
            self._marked = self._opened()
        batch = self._marked.read(split, offset, row_count_max)
        batch.validate()
        return batch

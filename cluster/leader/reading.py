"""Reading for a leader: batches of a split, routed to partitions, with the ticks in them.

Whoever carries out `OpenSource` makes a `SplitReader`, and `ReadSplit` is one call of it: it keeps what may outlive a
batch and no leader, the partitions of known keys and the greatest time of each split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import polars as pl

from actors.host_batch import HostBatch, Rows
from actors.partition.ticks import Tick, TickFinder
from actors.routing import Router, order_by_partition
from actors.source.protocol import DeadLetter, Source, SourceBatch
from config.settings import JobSettings
from config.specs import metric_ticks

Letters = Mapping[int, tuple[DeadLetter, ...]]
"""Dead letters by the partition that keeps them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SplitBatch:
    """One batch of a split, routed."""

    split: int
    """Number of the split."""

    start: int
    """First offset of the batch."""

    end: int
    """Offset after the last (exclusive); equal to `start` when there is nothing new."""

    rows: Rows = field(default_factory=dict)
    """Rows and offsets by partition, of those that have any."""

    dead_letters: Letters = field(default_factory=dict)
    """Dead letters by the partition that keeps them."""

    ticks: tuple[Tick, ...] = ()

    at_end: bool = False
    """Whether the split ends here for good."""

    new_splits: Mapping[int, int] = field(default_factory=dict)
    """First offset of the splits that were not there before."""

    @property
    def row_count(self) -> int:
        """Number of good rows."""
        return sum(len(offsets) for _, offsets in self.rows.values())

    @property
    def dead_letter_count(self) -> int:
        """Number of bad records."""
        return sum(map(len, self.dead_letters.values()))

    def message(self, partitions: Sequence[int]) -> HostBatch:
        """Return what a host gets of the batch for some of its partitions."""
        return HostBatch(
            split=self.split,
            start=self.start,
            end=self.end,
            partitions=tuple(partitions),
            rows={number: self.rows[number] for number in partitions if number in self.rows},
            dead_letters={number: self.dead_letters[number] for number in partitions if number in self.dead_letters},
            ticks=self.ticks,
        )


class SplitReader:
    """Reads and routes the splits of an open source."""

    def __init__(self, job: JobSettings, source: Source) -> None:
        self._source = source
        self._router = Router(job.route_columns, job.partitions)
        self._ticks = TickFinder(job.time_column, metric_ticks(job, job.ticks) or None)
        self._known = self.earliest()
        self.remarks: tuple[str, ...] = ()
        """What the source has to say of what was read; other threads may ask."""

    def earliest(self) -> dict[int, int]:
        """Return the first offset that each split still has."""
        return {split.number: self._source.earliest_offset(split.number) for split in self._source.splits()}

    def read(self, split: int, offset: int, row_count_max: int) -> SplitBatch:
        """Return the records of a split from an offset on, at most `row_count_max` of them.

        Raises:
            SourceError: the source cannot be read, or no longer has the offset.
        """
        batch = self._source.read(split, offset, row_count_max)
        self.remarks = self._source.remarks()
        rows, letters = route(self._router, split, batch)
        return SplitBatch(
            split=split,
            start=offset,
            end=batch.next_offset,
            rows=rows,
            dead_letters=letters,
            ticks=self._ticks.find(split, batch.frame, batch.offsets, batch.time_marks),
            at_end=batch.at_end,
            new_splits=self._new_splits(),
        )

    def _new_splits(self) -> dict[int, int]:
        numbers = [split.number for split in self._source.splits() if split.number not in self._known]
        found = {number: self._source.earliest_offset(number) for number in numbers}
        self._known |= found
        return found


def route(router: Router, split: int, batch: SourceBatch) -> tuple[Rows, Letters]:
    """Return the rows of a batch, with their offsets, by partition, and its dead letters by the one that keeps them."""
    count = router.partition_count
    letters = {split % count: batch.dead_letters} if batch.dead_letters else {}
    if not len(batch.offsets):
        return {}, letters
    numbers = router.route(batch.frame)
    first = int(numbers[0])
    if bool((numbers == first).all()):
        return {first: (batch.frame, batch.offsets)}, letters
    # Rows of partition n are order[bounds[n]:bounds[n + 1]], in the order of their offsets.
    order, bounds = order_by_partition(numbers, count)
    frame, offsets = batch.frame[pl.Series(order.astype(np.uint32))], batch.offsets.take(order)
    rows = {
        number: (frame[start:stop], offsets[start:stop])
        for number, (start, stop) in enumerate(pairwise(bounds.tolist()))
        if start < stop
    }
    return rows, letters

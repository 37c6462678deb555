"""Feeds: the way of rows to the second copies on each host, beside the lanes to their owners.

A feed takes each batch that goes to the owners, as long as it is as far as they are and has room. One that is not, its
host being slow or new, is *behind*: what it lacks is read again for it alone, and the job does not wait. Where hosts
read their own splits, a feed is always one step behind: the host of the copies reads what their owners have said that
they have. A feed is never ahead of owners, so that a place among the rows that nothing has reached is one for it, too.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from actors.host_batch import HostBatch
from actors.partition.values import OpenedPartition
from actors.split_reader import SplitProgress
from cluster.leader.again import cut
from cluster.leader.reading import SplitBatch

CATCH_UP_FACTOR: Final = 2
"""Copies that lag get so many times the batches at a time of owners: with as many they would lag while rows come."""


class Feed:
    """What has the second copies of one host get their rows; how is said by `RoutedFeed` and `OwnFeed`."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._partitions: set[int] = set()
        self._next: dict[int, int] = {}
        self._reached: dict[int, int] = {}
        self.is_reading = False
        """Whether something is being read for it alone."""
        self.told_count = 0
        """Accepted values that its host was told."""

    @property
    def partitions(self) -> frozenset[int]:
        """Partitions whose copies are fed."""
        return frozenset(self._partitions)

    @property
    def reached(self) -> dict[int, int]:
        """Offset, by split, above which no copy has anything."""
        return dict(self._reached)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way to it."""
        raise NotImplementedError

    def join(self, partition: int, opened: OpenedPartition, earliest: Mapping[int, int]) -> None:
        """Feed one more copy from where it stands; the others skip what they have."""
        self._partitions.add(partition)
        for split in {*opened.needed, *earliest}:
            needed = opened.needed.get(split, earliest.get(split, 0))
            if needed < self._next.get(split, needed + 1):
                self._begin(split, needed)
        for split, offset in [*opened.needed.items(), *opened.reached.items()]:
            self._reached[split] = max(offset, self._reached.get(split, 0))

    def _begin(self, split: int, offset: int) -> None:
        self._next[split] = offset

    def leave(self, partition: int) -> None:
        """Feed a copy no longer."""
        self._partitions.discard(partition)

    def _reach(self, split: int, offset: int) -> None:
        self._next[split] = offset
        self._reached[split] = max(offset, self._reached.get(split, 0))

    def lag(self, sent: Mapping[int, int]) -> int:
        """Return how many records it lacks of those up to the offsets sent to owners, by split."""
        return sum(max(offset - self._next.get(split, offset), 0) for split, offset in sent.items())

    def validate(self) -> None:
        """Assert every invariant."""
        assert all(offset <= self._reached.get(split, offset) for split, offset in self._next.items())


class RoutedFeed(Feed):
    """Batches for the second copies of one host: `in_flight_max` sent and not answered, `waiting_max` in all."""

    def __init__(self, host: str, in_flight_max: int, waiting_max: int) -> None:
        super().__init__(host)
        self._in_flight_max = in_flight_max
        self._waiting_max = waiting_max
        self._queue: deque[HostBatch] = deque()
        self._goes_on: set[int] = set()
        self._in_flight_count = 0
        self.read_due_us = 0
        """Elapsed time at which it may be read again after a failure."""

    @property
    def is_idle(self) -> bool:
        """Whether everything for it was sent and answered."""
        return not self._queue and not self._in_flight_count

    @property
    def has_sent(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._queue

    @property
    def has_room(self) -> bool:
        """Whether another batch may wait."""
        return len(self._queue) + self._in_flight_count < self._waiting_max

    def _begin(self, split: int, offset: int) -> None:
        super()._begin(split, offset)
        self._goes_on.discard(split)

    def leave(self, partition: int) -> None:
        """Feed a copy no longer."""
        super().leave(partition)
        kept = [replace(batch, partitions=tuple(set(batch.partitions) - {partition})) for batch in self._queue]
        self._queue = deque(batch for batch in kept if batch.partitions)

    def post(self, batch: SplitBatch) -> None:
        """Take a batch that goes to the owners, if it is the next one here."""
        at = self._next.setdefault(batch.split, batch.start)
        if batch.start <= at < batch.end and self.has_room:
            self._take(batch)
            self._goes_on.discard(batch.split)

    def _take(self, batch: SplitBatch) -> None:
        self._queue.append(batch.message(sorted(self._partitions)))
        self._reach(batch.split, batch.end)

    def wanted(self, sent: Mapping[int, int]) -> tuple[int, int, int, bool] | None:
        """Return what is to be read for it alone, or `None`.

        That is a split, the first offset, the number of records, and whether that does not go on with a reading.
        """
        for split, end in sent.items():
            at = self._next.get(split, end)
            if at < end:
                is_first = split not in self._goes_on
                self._goes_on.add(split)
                return split, at, end - at, is_first
        return None

    def take_again(self, batch: SplitBatch, sent: Mapping[int, int]) -> None:
        """Take what was read for it alone, as far as owners were sent it and it is the next one here."""
        end = min(batch.end, sent.get(batch.split, 0))
        at = self._next.get(batch.split, batch.start)
        if end < batch.end or batch.start != at:
            # The reader is further on than the copies will be.
            self._goes_on.discard(batch.split)
        if batch.start <= at < end:
            self._take(cut(batch, end))

    def take_sendable(self, *, lags: bool = False) -> HostBatch | None:
        """Give the next batch to send; one that `lags` has more of them on the way than owners have."""
        in_flight_max = self._in_flight_max * (CATCH_UP_FACTOR if lags else 1)
        if not self._queue or self._in_flight_count >= in_flight_max:
            return None
        self._in_flight_count += 1
        return self._queue.popleft()

    def answered(self) -> None:
        """Know that the host has answered a batch."""
        self._in_flight_count -= 1

    def validate(self) -> None:
        """Assert every invariant."""
        super().validate()
        assert 0 <= self._in_flight_count <= self._in_flight_max * CATCH_UP_FACTOR
        assert len(self._queue) + self._in_flight_count <= self._waiting_max
        assert all(set(batch.partitions) <= self._partitions for batch in self._queue)


class OwnFeed(Feed):
    """Splits that the host of second copies reads itself: partition n is fed from split n, and from no other."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self._joined: dict[int, int] = {}
        self._join_count = 0
        self._has_caught_up: set[int] = set()
        self.due_us: dict[int, int] = {}
        """Elapsed time at which a split may be read again after a failure."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being read."""
        return not self.is_reading

    def has_caught_up(self, partition: int) -> bool:
        """Whether a copy had all that its owner had when it was read for last."""
        return partition in self._has_caught_up

    def _begin(self, split: int, offset: int) -> None:
        super()._begin(split, offset)
        self._join_count += 1
        self._joined[split] = self._join_count

    def leave(self, partition: int) -> None:
        """Feed a copy no longer."""
        super().leave(partition)
        for known in (self._next, self._reached, self._joined, self.due_us):
            known.pop(partition, None)
        self._has_caught_up.discard(partition)

    def wanted(self, owned: Mapping[int, int], elapsed_us: int) -> dict[int, tuple[int, int]]:
        """Return the first offset and the end of what is to be read, by split; `owned` is how far owners are.

        The split that lacks most comes first, since a request may not suffice for all of them.
        """
        lacking = {split: owned.get(split, 0) - start for split, start in sorted(self._next.items())}
        return {
            split: (self._next[split], owned[split])
            for split in sorted(lacking, key=lacking.__getitem__, reverse=True)
            if lacking[split] > 0 and self.due_us.get(split, 0) <= elapsed_us
        }

    def joinings(self) -> dict[int, int]:
        """Return a number for each split that tells one joining from the next."""
        return dict(self._joined)

    def take(self, progress: SplitProgress, end: int, joining: int | None) -> bool:
        """Know how far a split was read of what was asked for; return whether it is still fed from there."""
        if joining is None or self._joined.get(progress.split) != joining:
            # It was opened anew meanwhile, and may have less.
            return False
        self._reach(progress.split, max(progress.end, self._next[progress.split]))
        if progress.end >= end:
            self._has_caught_up.add(progress.split)
        else:
            self._has_caught_up.discard(progress.split)
        return True

    def validate(self) -> None:
        """Assert every invariant."""
        super().validate()
        assert self._next.keys() == self._joined.keys() == self._partitions
        assert self._has_caught_up <= self._partitions

"""Lanes: who owns what, and the batches on their way to each host, never more than may be.

A *lane* is the way to one host. At most `in_flight_max` of its batches wait for an answer; the next ones stand in its
queue, and while any queue has one nothing more is read: a slow host slows the source and memory stays flat. What is for
a partition that moves is *kept back*, and only that, until its new host has it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from actors.host_batch import HostBatch
from cluster.leader.reading import SplitBatch


@dataclass(slots=True)
class _Lane:
    queue: deque[HostBatch] = field(default_factory=deque)
    in_flight_count: int = 0
    reading: frozenset[int] = frozenset()
    """Partitions whose splits the host has been asked to read."""

    @property
    def is_empty(self) -> bool:
        return not self.queue and not self.in_flight_count


class Lanes:
    """The hosts of one job; `owners` is the host of each partition."""

    def __init__(self, owners: Mapping[int, str], in_flight_max: int, kept_max: int) -> None:
        self._owners = dict(owners)
        self._in_flight_max = in_flight_max
        self._kept_max = kept_max
        self._lanes = {host: _Lane() for host in dict.fromkeys(owners.values())}
        self._kept: dict[int, list[HostBatch]] = {}

    @property
    def owners(self) -> dict[int, str]:
        """Host of each partition."""
        return dict(self._owners)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts that own something."""
        return tuple(dict.fromkeys(self._owners.values()))

    @property
    def has_space(self) -> bool:
        """Whether another batch may be read."""
        # What is kept back is a slice that keeps its whole batch in memory.
        is_full = any(len(kept) >= self._kept_max for kept in self._kept.values())
        return not is_full and not any(lane.queue for lane in self._lanes.values())

    @property
    def is_empty(self) -> bool:
        """Whether everything that was read has been applied."""
        return not self._kept and all(lane.is_empty for lane in self._lanes.values())

    def has_queue(self, host: str) -> bool:
        """Whether batches stand in the queue of a host."""
        return bool(self._lanes[host].queue)

    def post(self, batch: SplitBatch) -> None:
        """Put a batch on its way: one message for every host, so that partitions without rows learn of it too."""
        by_host: dict[str, list[int]] = {}
        for partition, host in self._owners.items():
            if partition in self._kept:
                self._kept[partition].append(batch.message([partition]))
            else:
                by_host.setdefault(host, []).append(partition)
        for host, partitions in by_host.items():
            self._lanes[host].queue.append(batch.message(partitions))

    def take_sendable(self) -> Iterator[tuple[str, HostBatch, int]]:
        """Give the batches that may go now, each with its host and how many are in flight there with it."""
        for host, lane in self._lanes.items():
            while lane.queue and lane.in_flight_count < self._in_flight_max:
                lane.in_flight_count += 1
                yield host, lane.queue.popleft(), lane.in_flight_count

    def asked(self, host: str, partitions: Iterable[int]) -> None:
        """Know that a host was asked to read the splits of partitions of its own."""
        self._lanes[host].in_flight_count += 1
        self._lanes[host].reading = frozenset(partitions)

    def is_being_read(self, partition: int) -> bool:
        """Whether a partition may be further on than its host has said."""
        return any(partition in lane.reading for lane in self._lanes.values())

    def answered(self, host: str) -> None:
        """Know that a host has answered a batch, or has read."""
        self._lanes[host].in_flight_count -= 1
        self._lanes[host].reading = frozenset()

    def is_kept_back(self, partition: int) -> bool:
        """Whether a partition is about to change hosts."""
        return partition in self._kept

    def keep_back(self, partition: int) -> None:
        """Keep back what is for a partition, which is about to change hosts."""
        self._kept[partition] = []

    def hand_over(self, partition: int, host: str) -> None:
        """Let a partition have another host: it gets what was kept back and, from now on, everything."""
        self._owners[partition] = host
        self._lanes.setdefault(host, _Lane()).queue.extend(self._kept.pop(partition))

    def retire_idle(self) -> bool:
        """Forget the hosts that own nothing once they have answered everything, and return whether none is left."""
        for host in self._lanes.keys() - set(self._owners.values()):
            if self._lanes[host].is_empty:
                del self._lanes[host]
        return self._lanes.keys() == set(self._owners.values())

    def validate(self) -> None:
        """Assert every invariant."""
        assert self._kept.keys() <= self._owners.keys()
        assert set(self._owners.values()) <= self._lanes.keys()
        for kept in self._kept.values():
            assert len(kept) <= self._kept_max
        for lane in self._lanes.values():
            assert 0 <= lane.in_flight_count <= self._in_flight_max
        waiting: dict[tuple[int, int], int] = {}
        # What waits for a partition has no gap: each batch of a split begins where the one before has ended.
        for batch in [batch for lane in self._lanes.values() for batch in lane.queue]:
            for partition in batch.partitions:
                assert waiting.get((partition, batch.split), batch.start) == batch.start
                waiting[(partition, batch.split)] = batch.end

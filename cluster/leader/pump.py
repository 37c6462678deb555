"""The pump: moves the rows of one job from its source to the hosts of its partitions.

A pump reads a batch of a split, routes its rows by key, and sends one message to every host, so that partitions without
rows learn how far the stream has come. A bounded number of messages is in flight for each host: a slow host slows the
source and memory stays flat. The pump keeps no durable state: partitions say where they stand, and a batch that is
sent again is skipped where it is known. Embedded runs and the cluster's leader use the same pump; the ports differ.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import polars as pl

from actors.host import HostBatch, NotOpenError
from actors.partition.ticks import TickFinder
from actors.routing import partition_of
from actors.source.protocol import DeadLetter, Source, SourceBatch
from config.settings import JobSettings
from config.specs import metric_ticks

HELD_BATCHES_MAX_FACTOR = 4
"""Batches kept back for a partition that moves, as a multiple of those that a host may have waiting."""

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Reply(Protocol[T_co]):
    """An answer that may not have come yet."""

    def wait(self) -> T_co:
        """Return the answer, or raise what the host raised."""
        ...

    def is_ready(self) -> bool:
        """Return whether `wait` would return at once."""
        ...


class HostPort(Protocol):
    """A host as the pump sees it; calls arrive in the order in which they were made."""

    @property
    def name(self) -> str:
        """Name of the host, unique in the job."""
        ...

    def apply(self, epoch: int, batch: HostBatch, now_us: int) -> Reply[int]:
        """Send a batch; the answer is the number of anomalies that it raised."""
        ...

    def tick(self, epoch: int, now_us: int) -> Reply[None]:
        """Let the host flush what has waited long enough."""
        ...

    def flush(self, epoch: int, now_us: int) -> Reply[dict[int, dict[int, int]]]:
        """Make everything durable; the answer is the committed offsets by partition and split."""
        ...

    def deliver(self) -> Reply[int]:
        """Hand committed anomalies to the sinks; the answer is how many they took."""
        ...


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A reply of a host in this process."""

    value: T

    def wait(self) -> T:
        """Return the answer."""
        return self.value

    def is_ready(self) -> bool:
        """An answer of this process is always there."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class PumpStat:
    """What a pump has done."""

    row_count: int
    """Rows read and sent, those sent again included."""

    dead_letter_count: int
    """Bad records read."""

    anomaly_count: int
    """New anomalies that hosts have answered with."""

    positions: Mapping[int, int]
    """Next offset to read, by split."""

    at_end: bool
    """Whether every split has ended."""


def route(
    job: JobSettings, split: int, batch: SourceBatch
) -> tuple[dict[int, tuple[pl.DataFrame, np.ndarray]], dict[int, tuple[DeadLetter, ...]]]:
    """Return the rows of a batch, with their offsets, by partition, and its dead letters by the one that keeps them."""
    letters = {split % job.partitions: batch.dead_letters} if batch.dead_letters else {}
    if not len(batch.offsets):
        return {}, letters
    numbers = partition_of(batch.frame, job.key_columns, job.partitions)
    first = int(numbers[0])
    if bool((numbers == first).all()):
        return {first: (batch.frame, batch.offsets)}, letters
    order = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[order], np.arange(job.partitions + 1))
    frame, offsets = batch.frame[order], batch.offsets[order]
    rows = {
        number: (frame[int(bounds[number]) : int(bounds[number + 1])], offsets[bounds[number] : bounds[number + 1]])
        for number in range(job.partitions)
        if bounds[number] < bounds[number + 1]
    }
    return rows, letters


class Pump:
    """Reads the splits of a source in turn and sends their rows to hosts."""

    def __init__(
        self,
        job: JobSettings,
        source: Source,
        owners: Mapping[int, HostPort],
        positions: Mapping[int, int],
        epoch: int,
        now_us: Callable[[], int],
    ) -> None:
        self._job = job
        self._source = source
        self._epoch = epoch
        self._now_us = now_us
        self._positions = dict(positions)
        self._sent: dict[int, int] = {}
        self._ended: set[int] = set()
        self._ticks = TickFinder(job.time_column, metric_ticks(job, job.ticks) or None)
        self._turn = 0
        self._in_flight: dict[str, deque[Reply[int]]] = {}
        self._deliveries: dict[str, Reply[int]] = {}
        self._held: dict[int, list[HostBatch]] = {}
        self._row_count = self._dead_letter_count = self._anomaly_count = 0
        self._set_owners(owners)

    def _set_owners(self, owners: Mapping[int, HostPort]) -> None:
        self._owners = dict(owners)
        self._hosts = {port.name: port for port in self._owners.values()}
        self._in_flight = {name: self._in_flight.get(name, deque()) for name in self._hosts}
        self._deliveries = {name: reply for name, reply in self._deliveries.items() if name in self._hosts}

    def hold(self, partition: int) -> None:
        """Keep back what is for a partition, which is about to change hosts."""
        self._held[partition] = []

    def hand_over(self, partition: int, port: HostPort) -> None:
        """Send a partition's new host what was kept back for it and, from now on, everything."""
        source = self._owners[partition].name
        owners = self._owners | {partition: port}
        if source not in {owner.name for owner in owners.values()}:
            self._drain(self._in_flight[source])
        self._set_owners(owners)
        for message in self._held.pop(partition):
            self._post(port, message)

    @property
    def owners(self) -> dict[int, HostPort]:
        """Host of each partition."""
        return dict(self._owners)

    def pump_once(self) -> int:
        """Read one batch of the next split that has any and send it; return its number of records, 0 when idle.

        It is idle too while as many batches are kept back for a partition as may be.
        """
        # What is kept back is a slice that keeps its whole batch in memory.
        held_max = HELD_BATCHES_MAX_FACTOR * self._job.limits.batches_in_flight_max
        if any(len(held) >= held_max for held in self._held.values()):
            return 0
        splits = [split.number for split in self._source.splits() if split.number not in self._ended]
        for _ in range(len(splits)):
            split = splits[self._turn % len(splits)]
            self._turn += 1
            start = self._positions.setdefault(split, self._source.earliest_offset(split))
            batch = self._source.read(split, start, self._job.limits.batch_rows_max)
            if batch.at_end:
                self._ended.add(split)
            if batch.next_offset > start:
                self._send(split, start, batch)
                return batch.next_offset - start
        return 0

    def _send(self, split: int, start: int, batch: SourceBatch) -> None:
        rows, letters = route(self._job, split, batch)
        ticks = self._ticks.find(split, batch.frame, batch.offsets)

        def message(partitions: list[int]) -> HostBatch:
            return HostBatch(
                split=split,
                start=start,
                end=batch.next_offset,
                partitions=tuple(partitions),
                rows={number: rows[number] for number in partitions if number in rows},
                dead_letters={number: letters[number] for number in partitions if number in letters},
                ticks=ticks,
            )

        by_host: dict[str, list[int]] = {}
        for partition, port in self._owners.items():
            if partition in self._held:
                self._held[partition].append(message([partition]))
            else:
                by_host.setdefault(port.name, []).append(partition)
        for name, partitions in by_host.items():
            self._post(self._hosts[name], message(partitions))
        self._positions[split] = self._sent[split] = batch.next_offset
        self._row_count += len(batch.offsets)
        self._dead_letter_count += len(batch.dead_letters)

    def _post(self, port: HostPort, message: HostBatch) -> None:
        self._wait_for_room(self._in_flight[port.name])
        self._in_flight[port.name].append(port.apply(self._epoch, message, self._now_us()))

    def _wait_for_room(self, waiting: deque[Reply[int]]) -> None:
        while waiting and (len(waiting) >= self._job.limits.batches_in_flight_max or waiting[0].is_ready()):
            self._anomaly_count += waiting.popleft().wait()

    def tick(self) -> None:
        """Let hosts flush what has waited long enough; sent when no rows come, because batches do the same."""
        self.drain()
        _wait_all(port.tick(self._epoch, self._now_us()) for port in self._hosts.values())

    def deliver(self) -> None:
        """Let hosts feed the sinks, one call at a time for each host, without waiting for them."""
        if not self._job.sinks:
            return
        for name, port in self._hosts.items():
            waiting = self._deliveries.get(name)
            if waiting is None or waiting.is_ready():
                if waiting is not None:
                    waiting.wait()
                self._deliveries[name] = port.deliver()

    def drain(self) -> None:
        """Wait until nothing is in flight."""
        for waiting in self._in_flight.values():
            self._drain(waiting)

    def _drain(self, waiting: deque[Reply[int]]) -> None:
        while waiting:
            self._anomaly_count += waiting.popleft().wait()

    def finish(self) -> None:
        """Drain, make everything durable and empty the outboxes; nothing may be kept back.

        Raises:
            NotOpenError: a host was restarted after its last batch, and what it had not flushed must be sent again.
        """
        assert not self._held, "rows are kept back for a partition that moves"
        self.drain()
        self._check_committed(_wait_all([port.flush(self._epoch, self._now_us()) for port in self._hosts.values()]))
        if self._job.sinks:
            _wait_all(list(self._deliveries.values()))
            while sum(_wait_all([port.deliver() for port in self._hosts.values()])):
                pass

    def _check_committed(self, answers: list[dict[int, dict[int, int]]]) -> None:
        committed = {partition: marks for answer in answers for partition, marks in answer.items()}
        for partition, port in self._owners.items():
            marks = committed.get(partition, {})
            if any(marks.get(split, 0) < offset for split, offset in self._sent.items()):
                raise NotOpenError(f"{port.name} has lost rows of partition {partition}; open it and send them again")

    def stat(self) -> PumpStat:
        """Return counters; exact when nothing is in flight."""
        return PumpStat(
            row_count=self._row_count,
            dead_letter_count=self._dead_letter_count,
            anomaly_count=self._anomaly_count,
            positions=dict(self._positions),
            at_end=all(split.number in self._ended for split in self._source.splits()),
        )


def _wait_all(replies: Iterable[Reply[T]]) -> list[T]:
    return [reply.wait() for reply in list(replies)]


def first_needed(needed: Iterable[Mapping[int, int]], earliest: Mapping[int, int]) -> dict[int, int]:
    """Return for each split the lowest offset that any partition needs."""
    wanted = list(needed)
    return {
        split: min((marks.get(split, start) for marks in wanted), default=start) for split, start in earliest.items()
    }

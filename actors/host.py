"""The actor shell around partitions: a plain class that `cluster.deployment` turns into a Ray actor.

A *host* owns several partitions of one job. Its calls arrive in order from one leader; queries come from anybody, in
threads of their own, and read only what is committed. A host keeps nothing that its shards do not have: when it dies,
the next one opens the same directories.
"""

import logging
import os
import signal
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from actors.errors import NotOpenError, SinkError, StaleEpochError
from actors.frames import empty_frame
from actors.host_batch import HostBatch
from actors.partition.acceptances import Acceptance
from actors.partition.capture import PartitionCapture
from actors.partition.notices import PartitionNotes, SentNotices, TakenNotices
from actors.partition.partition import Partition, PartitionStat, RoutedBatch, identifier_of
from actors.partition.queries import QUERIES
from actors.partition.values import OpenedPartition
from actors.shard import ShardClosedError, ShardLostError
from actors.shard.shard import FIRST_GENERATION
from actors.shard.transfer import IncomingCopy, OutgoingCopy, ShardChunk
from actors.sink.open import NOWHERE, ChosenSink, SinkPlaces, open_sinks
from actors.sink.protocol import KeptSink, Notification, PolicySink, Sink, SinkRecord
from actors.split_reader import OpenSplit, SplitProgress, SplitReaders
from actors.standby import StandbyPartitions
from config.settings import JobSettings

log = logging.getLogger(__name__)

DELIVERY_COUNT_MAX = 1000
"""Anomalies handed to sinks in one call."""


class PartitionHost:
    """Owner of some partitions of one job."""

    def __init__(
        self, job: bytes, directory: str, places: SinkPlaces = NOWHERE, open_split: OpenSplit | None = None
    ) -> None:
        self._job = JobSettings.from_bytes(job)
        self._readers = SplitReaders(self._job, open_split)
        self._directory = Path(directory)
        self._partitions: dict[int, Partition] = {}
        self._standbys = StandbyPartitions(self._open_standby)
        self._epoch = self._opened_epoch = 0
        self._sinks: list[Sink] = open_sinks(self._job, places)
        self._turns = [threading.Lock() for _ in self._sinks]
        self._acceptances: dict[str, Acceptance] = {}
        self._outgoing: dict[int, OutgoingCopy] = {}
        self._incoming: dict[int, IncomingCopy] = {}
        self._nothing = (empty_frame(self._job.row_schema), np.empty(0, np.int64))

    def pid(self) -> int:
        """Return the process id, for those who kill it."""
        return os.getpid()

    def open(
        self,
        epoch: int,
        partitions: list[int],
        earliest: dict[int, int],
        snapshots: dict[int, bytes],
        now_us: int,
        acceptances: Sequence[bytes] = (),
        generations: Mapping[int, int] | None = None,
        are_all: bool = False,
        standbys: Sequence[int] | None = None,
    ) -> dict[int, OpenedPartition]:
        """Own these partitions under an epoch; return where each stands.

        Under a newer epoch, or when it is said, they are all that the host owns: others are closed, so that their owner
        may open them.
        `snapshots` are for partitions whose shard is empty here and whose source no longer holds the beginning;
        `acceptances` come with the call, because a process that knew them before may have been restarted since.
        `generations` say which copy of each shard is the current one; an older one is put aside, and where there is
        none an empty one is made (`OpenedPartition.is_empty`). 0 means that none was ever made. `standbys`, where they
        are given, are the partitions of which the host may still have second copies.

        Raises:
            ShardLostError: a shard is newer than that, or was damaged and is now put aside.
        """
        wanted = {number: max(generation, FIRST_GENERATION) for number, generation in (generations or {}).items()}
        self._follow(epoch)
        # Another call may have brought the epoch before.
        is_newer, self._opened_epoch = epoch > self._opened_epoch, epoch
        # The source may have lost its beginning after a partition was opened to be rebuilt from there.
        renewed = {number for number, one in self._partitions.items() if number in snapshots and _is_empty(one)}
        self._let_go(set(partitions if is_newer or are_all else self._partitions) - renewed, wanted)
        if standbys is not None:
            self._standbys.close_others({*standbys, *partitions}, epoch, now_us)
        self.accept(epoch, acceptances)
        was_empty = {}
        for number in partitions:
            if number not in self._partitions:
                partition = self._standbys.take(number, wanted.get(number)) or self._open_shard(
                    number, wanted.get(number)
                )
                was_empty[number] = _is_empty(partition)
                self._begin(epoch, partition, earliest, snapshots.get(number), now_us)
            else:
                was_empty[number] = _is_empty(self._partitions[number])
                self._partitions[number].begin(epoch, self._earliest_for(number, earliest), now_us)
        return {number: self._opened(number, was_empty[number]) for number in partitions}

    def _earliest_for(self, number: int, earliest: dict[int, int]) -> dict[int, int]:
        # What is gone of the splits of other partitions is no gap of this one.
        return {split: offset for split, offset in earliest.items() if number in self._job.partitions_of_split(split)}

    def _opened(self, number: int, is_empty: bool) -> OpenedPartition:
        # What a beginning partition has received is committed; the engine may lack some of it.
        one = self._partitions[number]
        return OpenedPartition(needed=one.received, reached=one.committed, generation=one.generation, is_empty=is_empty)

    def open_at_rest(
        self, epoch: int, partitions: list[int], now_us: int, generations: Mapping[int, int] | None = None
    ) -> None:
        """Own the partitions of a job that does not run, to answer queries; shards that are missing are not made.

        Raises:
            ShardLostError: a shard is gone, damaged, or of another generation; the message names the partition.
        """
        self._follow(epoch)
        is_newer, self._opened_epoch = epoch > self._opened_epoch, epoch
        self._let_go(partitions if is_newer else self._partitions, generations or {})
        for number in partitions:
            if number not in self._partitions:
                generation = (generations or {}).get(number)
                standby = self._standbys.take(number, generation)
                partition = standby or self._open_shard(number, generation, is_at_rest=True)
                self._begin(epoch, partition, {}, None, now_us)

    def stand_by(
        self, epoch: int, number: int, generation: int, others: Sequence[int], now_us: int, acceptances: Sequence[bytes]
    ) -> OpenedPartition:
        """Have a second copy of a partition, of a generation of its own, and return where it stands.

        `others` are all partitions that the host shall have copies of; further ones are closed. A copy that is there
        is taken whatever its generation was, and where there is none an empty one is made.

        Raises:
            ShardLostError: what is here cannot go on; a copy of a greater generation has to be brought.
        """
        self._follow(epoch)
        owned = self._partitions.pop(number, None)
        if owned is not None:
            # Another host is the owner by now, whatever this one has missed.
            owned.close()
        self._standbys.close_others({number, *others}, epoch, now_us)
        self._note(acceptances)
        known = list(self._acceptances.values())
        one, is_empty = self._standbys.open(epoch, number, generation, known, now_us)
        return OpenedPartition(needed=one.received, reached=one.committed, generation=one.generation, is_empty=is_empty)

    def outbox_marks(self) -> dict[int, dict[bytes, bytes]]:
        """Return what sinks have, by partition owned: their second copies have to know."""
        return {number: partition.outbox_marks() for number, partition in list(self._partitions.items())}

    def take_marks(self, epoch: int, marks: Mapping[int, Mapping[bytes, bytes]]) -> None:
        """Know what sinks have of the partitions that the host has second copies of."""
        self._follow(epoch)
        self._standbys.take_marks(marks)

    def flush_standbys(self, epoch: int, now_us: int, are_due: bool = False) -> dict[int, dict[int, int]]:
        """Make durable what second copies have, or what of it has waited for the flush period.

        Returns the committed offsets of each copy that is open, by partition and split.
        """
        self._follow(epoch)
        return self._standbys.flush(epoch, now_us, are_due=are_due)

    def _let_go(self, wanted: Collection[int], generations: Mapping[int, int]) -> None:
        """Close partitions that are not wanted as they are, and broken and older ones, which are to be opened again."""
        for number, owned in list(self._partitions.items()):
            is_other = owned.generation != generations.get(number, owned.generation)
            if number not in wanted or owned.is_broken or is_other:
                del self._partitions[number]
                owned.close()

    def _follow(self, epoch: int) -> None:
        # Partitions refuse by themselves; the host does for those that it does not own, or not yet.
        if epoch < self._epoch:
            raise StaleEpochError(f"epoch {epoch} is over: this host follows epoch {self._epoch}")
        self._epoch = epoch

    def _open_shard(self, number: int, generation: int | None, *, is_at_rest: bool = False) -> Partition:
        directory = self._shard_directory(number)
        try:
            return Partition.open(self._job, number, directory, generation, is_at_rest=is_at_rest)
        except ShardLostError as error:
            reason = f"partition {number} of job {self._job.name!r}: {error}"
            raise ShardLostError(reason, number, error.generation) from error

    def _open_standby(self, number: int, generation: int) -> Partition:
        return Partition.open(self._job, number, self._shard_directory(number), generation, is_standby=True)

    def _begin(
        self, epoch: int, partition: Partition, earliest: dict[int, int], snapshot: bytes | None, now_us: int
    ) -> None:
        try:
            if snapshot is not None and not any(partition.committed.values()):
                partition.restore(snapshot, now_us)
            partition.begin(epoch, self._earliest_for(partition.number, earliest), now_us)
            partition.accept(epoch, list(self._acceptances.values()))
        except BaseException:
            # A leader whose epoch is over must not take the shard away from the host that owns it.
            partition.close()
            raise
        self._partitions[partition.number] = partition

    def apply(self, epoch: int, batch: HostBatch, now_us: int) -> int:
        """Apply a batch to the partitions that it is for and return the number of anomalies it raised."""
        self._follow(epoch)
        partitions = [self._standbys.find(number) or self._partition(number) for number in batch.partitions]
        return sum(partition.apply(epoch, self._routed(partition.number, batch), now_us) for partition in partitions)

    def _routed(self, number: int, batch: HostBatch) -> RoutedBatch:
        frame, offsets = batch.rows.get(number, self._nothing)
        letters = batch.dead_letters.get(number, ())
        return RoutedBatch(
            split=batch.split,
            start=batch.start,
            end=batch.end,
            frame=frame,
            offsets=offsets,
            dead_letters=letters,
            ticks=batch.ticks,
        )

    def open_splits(self, epoch: int, splits: list[int]) -> dict[int, int]:
        """Open the source of the job anew for the splits of the partitions that the host is to own.

        Returns the first offset that each split still has.

        Raises:
            ConfigError: the source has another number of splits than the job has partitions.
            SourceError: the source cannot be opened.
        """
        self._follow(epoch)
        return self._readers.open(splits)

    def read_splits(
        self,
        epoch: int,
        offsets: dict[int, int],
        count_max: int,
        now_us: int,
        ends: Mapping[int, int] = MappingProxyType({}),
    ) -> list[SplitProgress]:
        """Read the splits of partitions from these offsets on and apply what comes, at most so many batches in all.

        Those of second copies are named in `ends`, with the offsets at which to stop.
        """
        self._follow(epoch)
        partitions = {
            split: (split in ends and self._standbys.find(split)) or self._partition(split) for split in offsets
        }
        return self._readers.read_on(partitions, epoch, offsets, count_max, now_us, ends)

    def accept(self, epoch: int, acceptances: Sequence[bytes]) -> None:
        """Let values that were reported count as known, each from its place on, in the partitions of their keys."""
        self._follow(epoch)
        found = self._note(acceptances)
        for partition in self._partitions.values():
            partition.accept(epoch, found)
        self._standbys.accept(epoch, found)

    def _note(self, acceptances: Sequence[bytes]) -> list[Acceptance]:
        found = [Acceptance.from_bytes(data) for data in acceptances]
        # Partitions that come here later have to know them too.
        self._acceptances |= {acceptance.acceptance_id: acceptance for acceptance in found}
        return found

    def flush_due(self, epoch: int, now_us: int) -> None:
        """Flush what has waited for the flush period; sent when no rows come."""
        self._follow(epoch)
        self._check_owns_any()
        for partition in self._partitions.values():
            partition.flush_if_due(epoch, now_us)

    def flush(self, epoch: int, now_us: int) -> dict[int, dict[int, int]]:
        """Make everything durable and return the committed offsets by partition and split."""
        self._follow(epoch)
        self._check_owns_any()
        for partition in self._partitions.values():
            partition.flush(epoch, now_us)
        return {number: partition.committed for number, partition in self._partitions.items()}

    def release(self, epoch: int, partitions: list[int], now_us: int) -> None:
        """Flush and close partitions, so that another host may open them.

        One that is broken, or whose shard is lost, has nothing to flush: the next owner sees what there is.
        """
        self._follow(epoch)
        for number in partitions:
            self._readers.forget(number)
            self._standbys.close(number, epoch, now_us)
            partition = self._partitions.get(number)
            if partition is not None:
                if not partition.is_broken:
                    partition.flush(epoch, now_us, with_snapshot=True)
                del self._partitions[number]
                partition.close()

    def capture(self, epoch: int, number: int, now_us: int) -> PartitionCapture:
        """Return what a partition has now, to be made a snapshot of while rows go on; its rows are durable."""
        self._follow(epoch)
        partition = self._partition(number)
        partition.flush(epoch, now_us)
        return partition.capture()

    def begin_copy(self, epoch: int, number: int, generation: int, now_us: int) -> int:
        """Copy a partition that is open, as it is now, for another node; return the length of the copy in bytes.

        The copy gets the generation that it will be opened at, and stands until `end_copy`.
        """
        self._follow(epoch)
        partition = self._partition(number)
        partition.flush(epoch, now_us, with_snapshot=True)
        copy = self._outgoing[number] = OutgoingCopy(self._shard_directory(number), generation)
        return partition.copy_to(copy)

    def read_chunk(self, number: int, generation: int, offset: int) -> ShardChunk:
        """Return the chunk of a begun copy at an offset; an empty one at the end."""
        copy = self._outgoing.get(number)
        if copy is None or copy.generation != generation:
            # Begun by a process before this one.
            copy = self._outgoing[number] = OutgoingCopy(self._shard_directory(number), generation)
        return copy.read_chunk(offset)

    def end_copy(self, epoch: int, number: int, generation: int) -> None:
        """Remove a copy that was sent, or will not be."""
        self._follow(epoch)
        self._outgoing.pop(number, None)
        OutgoingCopy(self._shard_directory(number), generation).remove()

    def receive_chunk(self, epoch: int, number: int, generation: int, chunk: ShardChunk) -> int:
        """Take a chunk of a partition's copy from another node; return the offset of the one that is needed next.

        Raises:
            ShardCopyError: it does not continue what is here, which was dropped: send the copy from 0 on.
        """
        self._follow(epoch)
        return self._incoming_copy(number, generation).receive(chunk.offset, chunk.data, chunk.digest)

    def finish_copy(self, epoch: int, number: int, generation: int, size_bytes: int, digest: bytes) -> None:
        """Check a copy that has arrived, whose last chunk has this digest; opening at its generation makes it current.

        Raises:
            ShardCopyError: it is not what the sender has; it was dropped.
        """
        self._follow(epoch)
        copy = self._incoming_copy(number, generation)
        copy.finish(size_bytes, digest, identifier_of(self._job, number))

    def _incoming_copy(self, number: int, generation: int) -> IncomingCopy:
        copy = self._incoming.get(number)
        if copy is None or copy.generation != generation:
            copy = self._incoming[number] = IncomingCopy(self._shard_directory(number), generation)
        return copy

    def _shard_directory(self, number: int) -> Path:
        return self._directory / f"{number:04d}"

    def deliver(self, sink: int, is_last: bool = False) -> int:
        """Hand committed anomalies to one of the job's sinks, named by its position, and return how many it took.

        With `is_last`, what the sink does as time passes may fail: nothing of it would be done after the job.

        Raises:
            SinkError: it does not take those of a partition; other partitions were served all the same.
        """
        self._check_owns_any()
        count, failures = 0, []
        # Leaders do not know of one another, and marks of a sink only grow.
        with self._turns[sink]:
            for partition in list(self._partitions.values()):
                try:
                    count += self._deliver(partition, sink)
                except SinkError as error:
                    failures.append(error)
            if failures:
                raise failures[0]
            if isinstance(keeper := self._sinks[sink], KeptSink):
                try:
                    keeper.keep(self._open_episodes)
                except SinkError as error:
                    if not is_last:
                        raise
                    log.warning("a sink failed at the end", extra={"job": self._job.name, "reason": str(error)})
        return count

    def take_notices(self, epoch: int, sink: int, now_us: int, is_all: bool) -> TakenNotices:
        """Take notices of a sink that follows a policy out of the outboxes, and return the standings that have changed.

        With `is_all` that is all standings, and the tallies.
        """
        self._check_follows(epoch)
        chosen = self._chosen(sink)
        count, changed, tallies = 0, [], {}
        with self._turns[sink]:
            for partition in list(self._partitions.values()):
                # One that has moved meanwhile is the business of its next owner.
                with suppress(ShardClosedError):
                    taken, some = partition.take_notices(sink, DELIVERY_COUNT_MAX, now_us, chosen.concerns)
                    count += taken
                    if is_all:
                        some, tallies[partition.number] = partition.standings(sink)
                    changed += some
        return TakenNotices(count=count, standings=tuple(changed), tallies=tallies)

    def note_notices(self, epoch: int, sink: int, notes: Mapping[int, PartitionNotes]) -> None:
        """Note durably what has become of notices of partitions; done twice it is as done once.

        Raises:
            NotOpenError: the host does not own one of them; those before it are noted.
        """
        self._check_follows(epoch)
        with self._turns[sink]:
            for number, some in notes.items():
                self._note_in(self._partition(number), sink, some)

    def send_notices(
        self, epoch: int, sink: int, sent: Sequence[tuple[Notification, Mapping[int, PartitionNotes]]]
    ) -> SentNotices:
        """Send notifications, each with what is to be noted of it; what concerns partitions here is noted at once.

        Raises:
            SinkError: the sink does not take the first of them. Of others that it does not take nothing is said.
        """
        self._check_follows(epoch)
        chosen, count, trouble = self._chosen(sink), 0, None
        noted: set[int] = set(self._partitions)
        with self._turns[sink]:
            for start in range(0, len(sent), chosen.mark_count):
                part = sent[start : start + chosen.mark_count]
                done = 0
                try:
                    for one, _ in part:
                        chosen.notify(one)
                        done += 1
                except SinkError as error:
                    trouble = error
                self._note_sent(sink, [notes for _, notes in part[:done]], noted)
                count += done
                if trouble is not None:
                    break
        if trouble is not None and not count:
            raise trouble
        return SentNotices(count=count, noted=frozenset(noted), trouble=None if trouble is None else str(trouble))

    def _note_sent(self, sink: int, notes: Sequence[Mapping[int, PartitionNotes]], noted: set[int]) -> None:
        """Note what was sent in the partitions here; `noted` loses those that have gone meanwhile."""
        joined: dict[int, list[PartitionNotes]] = {}
        for one in notes:
            for number, some in one.items():
                joined.setdefault(number, []).append(some)
        for number, parts in joined.items():
            partition = self._partitions.get(number)
            try:
                for some in [] if partition is None else [PartitionNotes.joined(parts)]:
                    assert partition is not None
                    self._note_in(partition, sink, some)
            except ShardClosedError:
                partition = None
            if partition is None:
                noted.discard(number)

    def _note_in(self, partition: Partition, sink: int, some: PartitionNotes) -> None:
        if some.ops:
            partition.note_notices(sink, some.ops)
        for counts, at_us in some.digests:
            partition.take_off(sink, counts, at_us)

    def _chosen(self, sink: int) -> PolicySink:
        chosen = self._sinks[sink]
        assert isinstance(chosen, PolicySink), "only such sinks follow a policy"
        return chosen

    def _check_follows(self, epoch: int) -> None:
        """Refuse a leader whose epoch is over; calls beside the rows tell of no newer one."""
        if epoch < self._epoch:
            raise StaleEpochError(f"epoch {epoch} is over: this host follows epoch {self._epoch}")
        self._check_owns_any()

    def _open_episodes(self) -> list[SinkRecord]:
        """Return notices of the episodes that go on here."""
        found: list[SinkRecord] = []
        for partition in list(self._partitions.values()):
            # One that has moved meanwhile is the business of its next owner.
            with suppress(ShardClosedError):
                found += [one.to_sink(partition.number) for one in partition.open_notices()]
        return found

    def _deliver(self, partition: Partition, sink: int) -> int:
        try:
            waiting = partition.outbox(sink, DELIVERY_COUNT_MAX)
            records = [anomaly.to_sink(partition.number) for anomaly in waiting]
            count, place = 0, self._sinks[sink]
            for part in place.parts(records) if isinstance(place, ChosenSink) else filter(None, [records]):
                try:
                    place.write(part)
                except SinkError as error:
                    if error.taken_count:
                        partition.acknowledge(sink, waiting[count : count + error.taken_count])
                    raise
                partition.acknowledge(sink, waiting[count : count + len(part)])
                count += len(part)
        except ShardClosedError:
            # The partition has moved meanwhile; its next owner delivers what was not acknowledged.
            return 0
        return count

    def _partition(self, number: int) -> Partition:
        partition = self._partitions.get(number)
        if partition is None:
            raise NotOpenError(f"this host does not own partition {number}; open it first")
        return partition

    def _check_owns_any(self) -> None:
        # A host that was restarted must not answer as if it had flushed or delivered what its predecessor had.
        if not self._partitions:
            raise NotOpenError("this host owns no partition; it was restarted: open its partitions first")

    def stat(self) -> list[PartitionStat]:
        """Return the counters of every partition owned."""
        return [partition.stat() for partition in list(self._partitions.values())]

    def ask(self, partitions: Sequence[int], query: str, arguments: Mapping[str, Any]) -> dict[int, Any]:
        """Return what partitions answer to one of the `QUERIES`, by number.

        Raises:
            NotOpenError: the host does not own one of them, so that no answer would be complete.
            ShardLostError: the files of one are gone.
        """
        if query not in QUERIES:
            raise ValueError(f"{query!r} is no query of partitions; there are {', '.join(sorted(QUERIES))}")
        return {number: getattr(self._partition(number).queries, query)(**arguments) for number in partitions}

    def validate(self) -> None:
        """Assert every invariant of the host and its partitions."""
        assert self._opened_epoch <= self._epoch, (self._opened_epoch, self._epoch)
        for number, partition in self._partitions.items():
            assert partition.number == number, f"partition {partition.number} is owned as {number}"
            assert partition.epoch <= self._epoch, f"partition {number} is ahead of its host"
            assert self._standbys.find(number) is None, f"partition {number} is owned, and has its standby here"
            partition.validate()
        self._standbys.validate(self._epoch)

    def crash(self, pid: int) -> None:
        """Die as by the power switch, if this process is meant and not one before it."""
        if pid == os.getpid():
            os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Close every partition, source and sink; what is not flushed is not kept."""
        self._readers.close()
        for partition in self._partitions.values():
            partition.close()
        self._partitions.clear()
        self._standbys.close_all()
        for sink in self._sinks:
            sink.close()


def _is_empty(partition: Partition) -> bool:
    # A second copy that takes over may have rows that it has not committed yet.
    return not any(partition.committed.values()) and not any(partition.received.values())

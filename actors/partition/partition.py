"""One partition: engine, detectors, event store, anomalies and offsets of a share of the keys, in one shard.

A partition is applied batches in the order of offsets. What it keeps is the business of its *parts*
(`actors.partition.part`); the partition decides when they are fed, and makes them durable in one transaction together
with its marks (`actors.partition.marks`).

A partition trusts no caller: it refuses an epoch older than the highest it has seen, refuses a batch that would leave
a gap, and skips rows below its marks. After a crash the engine is restored from its snapshot and rows between the
engine's mark and `committed` feed the engine only, because the rest of the shard has them. Time never comes from a
clock: `now_us` is an argument and decides no more than when to flush and what retention may delete.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from actors.errors import BrokenPartitionError, OffsetGapError, SnapshotError, StaleEpochError, TocsinError
from actors.partition.acceptances import Acceptance
from actors.partition.anomalies import Anomaly
from actors.partition.anomaly_table import decode_entry
from actors.partition.capture import PartitionCapture
from actors.partition.flushing import Flushing
from actors.partition.gaps import explain_gap
from actors.partition.notices import Counts, NoticeOp, Standing, Tally
from actors.partition.older_copies import OlderCopies
from actors.partition.parts import Parts, tables_of
from actors.partition.queries import PartitionQueries
from actors.partition.standings import MARK
from actors.partition.values import PartitionStat, RoutedBatch
from actors.shard import Shard, ShardLostError
from actors.shard.generations import open_at_rest, open_generation, open_standby
from actors.shard.shard import Txn
from actors.shard.transfer import OutgoingCopy
from actors.sink.protocol import SinkRecord
from config.settings import JobSettings

__all__ = ["Partition", "PartitionStat", "RoutedBatch", "identifier_of"]

log = logging.getLogger(__name__)


def identifier_of(job: JobSettings, number: int) -> str:
    """Return what the shard of a partition calls itself."""
    return f"{job.name}/{number}"


class Partition:
    """One partition, open in its shard; close it, or use it as a context manager.

    Raises:
        ShardError: somebody else owns the shard, or it belongs to another partition.
        SnapshotError: the shard was made by a job with other metrics, keys, windows or columns.
    """

    def __init__(self, job: JobSettings, number: int, shard: Shard) -> None:
        self._job = job
        self._number = number
        self._shard = shard
        self._parts = Parts(job, number, shard)
        self._marks = self._parts.marks
        self._older_copies = OlderCopies(shard, number)
        self._flushing = Flushing(job.flush, self._parts, shard, number, self._after_flush)
        self._is_broken = False
        self._parts.load()

    @classmethod
    def open(
        cls,
        job: JobSettings,
        number: int,
        directory: Path,
        generation: int | None = None,
        *,
        is_at_rest: bool = False,
        is_standby: bool = False,
    ) -> "Partition":
        """Open, or make, the partition in a directory and restore what its shard holds.

        With a `generation` the shard is the copy of that generation, whatever else stands there
        (`actors.shard.generations`); `is_at_rest` makes none, `is_standby` takes an older one for it.

        Raises:
            ShardLostError: the shard is newer, damaged, or gone.
        """
        options: dict[str, Any] = {
            "identifier": identifier_of(job, number),
            "map_size_bytes_max": job.limits.map_size_bytes_max,
            "tables": tables_of(job),
        }
        if is_at_rest:
            shard = open_at_rest(directory, generation, **options)
        elif is_standby and generation is not None:
            shard = open_standby(directory, generation, **options)
        elif generation is not None:
            shard = open_generation(directory, generation, **options)
        else:
            shard = Shard.open(directory, **options)
        try:
            return cls(job, number, shard)
        except BaseException:
            shard.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, epoch: int, earliest: Mapping[int, int], now_us: int) -> dict[int, int]:
        """Enter an epoch, durably, and return for each split the offset from which the partition needs rows.

        `earliest` gives the first offset that each split's source still has; what lies between is gone and reported
        as a gap.

        Raises:
            StaleEpochError: a newer leader has been here.
        """
        self._check_epoch(epoch)
        self._marks.epoch = epoch
        for gap in self._marks.skip_gone(earliest, now_us):
            log.warning(
                "input is gone", extra={"partition": self._number, "reason": f"{gap.records} {explain_gap(gap)}"}
            )
        self._flushing.write(now_us)
        return self.received

    @property
    def number(self) -> int:
        """Number of the partition, from 0."""
        return self._number

    @property
    def queries(self) -> PartitionQueries:
        """What can be asked of the partition.

        Raises:
            ShardLostError: the shard's files are gone, or others; what no file has must not pass for an answer.
        """
        self._shard.check_files()
        return self._parts.queries

    @property
    def epoch(self) -> int:
        """Highest epoch that the partition has seen."""
        return self._marks.epoch

    @property
    def received(self) -> dict[int, int]:
        """For each split the offset from which the partition needs rows."""
        return dict(self._marks.received)

    @property
    def committed(self) -> dict[int, int]:
        """For each split the offset below which everything is in the shard."""
        return dict(self._marks.committed)

    @property
    def generation(self) -> int:
        """Generation of the shard."""
        return self._shard.generation

    @property
    def is_broken(self) -> bool:
        """Whether a batch failed half-way, or the shard's files are lost: close the partition and open it again."""
        try:
            self._shard.check_files()
        except ShardLostError:
            return True
        return self._is_broken

    def _check_epoch(self, epoch: int) -> None:
        self._shard.raise_if_lost()
        if self._is_broken:
            raise BrokenPartitionError(f"a batch failed in partition {self._number} half-way; open it again")
        if epoch < self._marks.epoch:
            raise StaleEpochError(f"epoch {epoch} is over: partition {self._number} follows epoch {self._marks.epoch}")

    def apply(self, epoch: int, batch: RoutedBatch, now_us: int) -> int:
        """Apply one batch, flush if it is time, and return the number of anomalies that are new.

        Rows below the partition's marks are skipped, so a batch may be sent again.

        Raises:
            StaleEpochError: a newer leader has been here.
            OffsetGapError: rows between the partition's mark and the batch are missing.
            ShardFullError: an earlier flush failed and fails still; nothing of this batch was applied.
            ShardLostError: the shard's files are gone, or others.
            BrokenPartitionError: this batch, or an earlier one, failed half-way.
        """
        self._check_epoch(epoch)
        if self._flushing.degraded is not None:
            self.flush(epoch, now_us)
        needed = self._marks.received.get(batch.split, 0)
        if batch.start > needed:
            raise OffsetGapError(
                f"partition {self._number} needs split {batch.split} from offset {needed}; the batch starts at "
                f"{batch.start}: send the rows between first"
            )
        raised = 0
        if batch.end > needed:
            raised = self._apply_whole(batch, needed)
            self._marks.received[batch.split] = batch.end
        self._flushing.write_if_due(now_us)
        return raised

    def _apply_whole(self, batch: RoutedBatch, needed: int) -> int:
        # Whatever fails in between has fed the engine: applying the batch again would count its rows twice.
        self._is_broken = True
        try:
            raised = self._parts.apply(batch, needed)
        except Exception as error:
            # What failed may be anything, and whoever reads of it has to know which rows to look at. Where it failed is
            # logged here, because tracebacks do not travel between processes.
            log.exception("a batch failed", extra={"partition": self._number, "split": batch.split})
            raise BrokenPartitionError(
                f"partition {self._number} of job {self._job.name!r} cannot apply the rows of split {batch.split} from "
                f"offset {max(needed, batch.start)} to {batch.end}: {type(error).__name__}: {error}; open it again"
            ) from error
        self._is_broken = False
        return raised

    def accept(self, epoch: int, acceptances: Sequence[Acceptance]) -> None:
        """Let values count as known from their places on; durable with the next flush, and known ones change nothing.

        Raises:
            StaleEpochError: a newer leader has been here.
        """
        self._check_epoch(epoch)
        for acceptance in acceptances:
            self._parts.learning.accept(acceptance)

    def flush(self, epoch: int, now_us: int, *, with_snapshot: bool = False) -> None:
        """Make everything applied so far durable, in one transaction; `with_snapshot` spares the next owner a replay.

        Raises:
            StaleEpochError: a newer leader has been here.
            ShardFullError: no room; everything pending is kept and the next flush tries again.
            ShardLostError: the shard's files are gone, or others; nothing since the last flush counts.
        """
        self._check_epoch(epoch)
        if with_snapshot:
            self._parts.metrics.want_snapshot()
        self._flushing.write(now_us)

    def flush_if_due(self, epoch: int, now_us: int) -> None:
        """Flush when the flush period has passed; a failure is kept in `stat` and tried again.

        Raises:
            StaleEpochError: a newer leader has been here.
            ShardLostError: the shard's files are gone, or others, whether or not there is anything to flush.
        """
        self._check_epoch(epoch)
        self._shard.check_files()
        self._flushing.write_if_due(now_us)

    def _after_flush(self) -> None:
        self._older_copies.remove_surpassed(self._marks.committed, self._marks.gaps)

    def copy_to(self, copy: OutgoingCopy) -> int:
        """Make a copy of what is committed, to be sent, and return its length in bytes."""
        return copy.make(self._shard)

    def capture(self) -> PartitionCapture:
        """Return engine, detectors and marks as they stand at the rows received so far, to be made bytes of later."""
        return self._parts.capture()

    def snapshot(self) -> bytes:
        """Return the same as bytes."""
        return b"".join(self.capture().pieces())

    def restore(self, snapshot: bytes, now_us: int) -> None:
        """Take over a snapshot, into a shard that is still empty; history below it is recorded as a gap.

        Raises:
            SnapshotError: the bytes are no snapshot of this partition, or the shard holds rows already.
        """
        body = self._parts.checked_snapshot(snapshot)
        self._is_broken = True
        try:
            for part in self._parts:
                part.restore(body)
            self._marks.date_gaps(now_us)
        except (TocsinError, ValueError, KeyError, TypeError) as error:
            raise SnapshotError(f"the snapshot of partition {self._number} is torn: {error}") from error
        self._is_broken = False
        self._flushing.write(now_us)

    def outbox(self, sink: int, count_max: int) -> list[Anomaly]:
        """Return anomalies that one of the job's sinks has not taken, split after split, each split's oldest first."""
        with self._shard.read() as txn:
            waiting = self._parts.outbox.oldest(txn, sink, count_max)
        found = [decode_entry(key, value, self._parts.anomalies.render) for key, value in waiting]
        return [self._parts.with_peak(one) for one in found]

    def open_notices(self) -> list[Anomaly]:
        """Return what a sink is told when an episode fires, of all that go on."""
        with self._shard.read() as txn:
            return [self._parts.with_peak(one) for one in self._parts.episodes.open_notices(txn)]

    def acknowledge(self, sink: int, taken: Sequence[Anomaly]) -> None:
        """Take anomalies that `outbox` gave for a sink out of it: the sink has them durably."""
        ids = [anomaly.id for anomaly in taken]
        self._shard.write(lambda txn: self._parts.outbox.take_out(txn, sink, ids))
        self._parts.outbox.note_taken(sink, len(ids))

    def take_notices(
        self, sink: int, count_max: int, now_us: int, concerns: Callable[[SinkRecord], bool]
    ) -> tuple[int, list[Standing]]:
        """Take notices of a sink that follows a policy out of the outbox, into the standings of their episodes.

        Returns how many were taken out, and the standings that have changed.
        """
        waiting = self.outbox(sink, count_max)
        if not waiting:
            return 0, []
        records = [record for one in waiting if concerns(record := one.to_sink(self._number))]
        ids = [one.id for one in waiting]

        def write(txn: Txn) -> list[Standing]:
            self._parts.outbox.take_out(txn, sink, ids)
            return self._parts.standings.take(txn, sink, records, now_us)

        changed = self._shard.write(write)
        self._parts.outbox.note_taken(sink, len(ids))
        return len(ids), changed

    def standings(self, sink: int) -> tuple[list[Standing], Tally]:
        """Return what a sink that follows a policy has been told, and what was counted for it."""
        with self._shard.read() as txn:
            return self._parts.standings.all(txn, sink), self._parts.standings.tally(txn, sink)

    def note_notices(self, sink: int, ops: Sequence[NoticeOp]) -> None:
        """Note durably what has become of notices; done twice it is as done once."""
        self._shard.write(lambda txn: self._parts.standings.note(txn, sink, ops))

    def take_off(self, sink: int, counts: Counts, at_us: int) -> None:
        """Note durably that a digest of this time has told of some; done twice it is as done once."""
        self._shard.write(lambda txn: self._parts.standings.take_off(txn, sink, counts, at_us))

    def outbox_marks(self) -> dict[bytes, bytes]:
        """Return what sinks have, and what they were told, for a second copy of the partition."""
        with self._shard.read() as txn:
            return self._parts.outbox.marks(txn) | self._parts.standings.marks(txn)

    def take_marks(self, marks: Mapping[bytes, bytes]) -> None:
        """Know what sinks have, from the copy that feeds them."""
        told = {place: mark for place, mark in marks.items() if place.startswith(MARK)}
        taken = {place: mark for place, mark in marks.items() if place not in told}

        def write(txn: Txn) -> None:
            self._parts.outbox.raise_marks(txn, taken)
            self._parts.standings.take_marks(txn, told)

        self._shard.write(write)

    def recount_outbox(self) -> None:
        """Count what waits for sinks anew, when this copy begins to feed them."""
        with self._shard.read() as txn:
            self._parts.outbox.recount(txn)

    def has_missed(self, acceptances: Sequence[Acceptance]) -> bool:
        """Whether rows from the place of one of these values on were applied without it."""
        received = {split: max(self._marks.received.get(split, 0), end) for split, end in self._marks.reached().items()}
        return any(self._parts.learning.has_missed(acceptance, received) for acceptance in acceptances)

    def stat(self) -> PartitionStat:
        """Return counters; cheap enough to be asked once a second."""
        parts, flushing = self._parts, self._flushing
        with self._shard.read() as txn:
            anomaly_count = int(txn.stat(db=parts.tables["anomalies"])["entries"])
        return PartitionStat(
            partition=self._number,
            epoch=self._marks.epoch,
            received=self.received,
            committed=self.committed,
            row_count=parts.row_count,
            replayed_row_count=parts.replayed_row_count,
            state_size_bytes=parts.metrics.state_size_bytes,
            late_row_count=parts.late_rows.total,
            null_comparison_counts=parts.metrics.null_comparison_counts,
            anomaly_count=anomaly_count,
            dead_letter_count=parts.dead_letters.count,
            event_count=parts.event_count,
            flush_count=flushing.count,
            outbox_counts=parts.outbox.counts,
            size_bytes=self._shard.stat().used_size_bytes,
            degraded=flushing.degraded,
            gaps=tuple(self._marks.gaps),
        )

    def validate(self) -> None:
        """Assert every invariant; a partition that is broken, or whose shard is lost, has none."""
        if not self.is_broken:
            self._parts.validate()

    def close(self) -> None:
        """Release the shard; what is not flushed is not kept (flush first)."""
        self._parts.events.close()
        self._shard.close()

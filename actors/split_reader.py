"""Split readers: how a host reads the splits of its own partitions, where a job is partitioned by split.

Partition n is given the rows of split n and no others, so nobody routes them: the leader says from which offsets and
under which epoch, and the host opens the source, reads, decodes and applies. What it gets back is how far each split
has come. A source that fails is a value: partitions are none the worse for it, and the source of that split is opened
again with the next read.

Each split has a source of its own, so that one that fails, or has moved to another host, is no matter of the others.
Second copies are read for in the same way, as far as the leader knows that their owners are.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from actors.errors import NotOpenError, OffsetGapError, SourceError, TocsinError
from actors.partition.partition import Partition
from actors.partition.ticks import TickFinder
from actors.partition.values import RoutedBatch
from actors.source.protocol import Source, SourceBatch
from config.errors import ConfigError
from config.settings import JobSettings
from config.specs import metric_ticks

OpenSplit = Callable[[int], Source]
"""Opens the source of a job to read one of its splits, which is named by its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitProgress:
    """What reading a split has come to."""

    split: int
    """Number of the split, and of its partition."""

    start: int
    """Offset that was asked for."""

    end: int
    """Offset after the last record that the partition has now."""

    row_count: int = 0
    """Good rows that were read."""

    dead_letter_count: int = 0
    """Bad records that were read."""

    anomaly_count: int = 0
    """New anomalies that they raised."""

    at_end: bool = False
    """Whether the split ends here for good."""

    trouble: str | None = None
    """Why the source gave no more, or `None`."""

    gone_until: int = 0
    """First offset that the source still has, when the one that comes next is gone; else 0."""

    remarks: tuple[str, ...] = ()
    """What the source has to say of the records of the split."""

    def then(self, later: "SplitProgress") -> "SplitProgress":
        """Return this and what followed it as one."""
        return replace(
            later,
            start=self.start,
            row_count=self.row_count + later.row_count,
            dead_letter_count=self.dead_letter_count + later.dead_letter_count,
            anomaly_count=self.anomaly_count + later.anomaly_count,
        )


@dataclass(slots=True)
class _Reader:
    """The source of one split; `next_offset` is where it has read to, and `ticks` know the rows before that."""

    source: Source
    ticks: TickFinder
    next_offset: int | None = None


class SplitReaders:
    """The sources of one host's splits, opened when they are needed."""

    def __init__(self, job: JobSettings, open_split: OpenSplit | None) -> None:
        self._job = job
        self._open_split = open_split
        self._readers: dict[int, _Reader] = {}

    def open(self, splits: Collection[int]) -> dict[int, int]:
        """Open the sources of these splits anew, and no others; return the first offset that each still has.

        Raises:
            ConfigError: the source has another number of splits than the job has partitions.
            SourceError: the source cannot be opened.
        """
        self.close()
        return {split: self._reader(split).source.earliest_offset(split) for split in splits}

    def read_on(
        self,
        partitions: Mapping[int, Partition],
        epoch: int,
        offsets: Mapping[int, int],
        count_max: int,
        now_us: int,
        ends: Mapping[int, int] = MappingProxyType({}),
    ) -> list[SplitProgress]:
        """Read splits from these offsets on, in turn, until there is nothing new or `count_max` batches are applied.

        Splits that `ends` names are read as far as that and no further.

        Raises:
            OffsetGapError: a partition is not as far as its offset says.
        """
        found: dict[int, SplitProgress] = {}
        turns, count = deque(offsets), 0
        while turns and count < count_max:
            split = turns.popleft()
            start = found[split].end if split in found else offsets[split]
            progress = self._read(partitions[split], epoch, start, ends.get(split), now_us)
            found[split] = found[split].then(progress) if split in found else progress
            if progress.end > progress.start:
                count += 1
                if not progress.at_end and progress.end < ends.get(split, progress.end + 1):
                    turns.append(split)
        return list(found.values())

    def _read(self, partition: Partition, epoch: int, start: int, end: int | None, now_us: int) -> SplitProgress:
        split = partition.number
        have = partition.received.get(split, 0)
        if have < start:
            raise OffsetGapError(f"partition {split} needs its split from offset {have}, not {start}: open it again")
        if have > start:
            # The same was asked before.
            return SplitProgress(split=split, start=start, end=have)
        try:
            is_open = split in self._readers
            reader = self._reader(split)
            earliest = start if is_open else reader.source.earliest_offset(split)
            if earliest > start:
                return self._failed(split, start, f"it begins at {earliest} now; rows before are gone", earliest)
            batch = self._batch(reader.source, split, start, end)
        except ConfigError:
            raise
        except Exception as error:  # whatever it is, the split is tried again
            is_known = isinstance(error, TocsinError | OSError)
            return self._failed(split, start, str(error) if is_known else f"{type(error).__name__}: {error}")
        return self._applied(partition, epoch, reader, start, batch, now_us)

    def _batch(self, source: Source, split: int, start: int, end: int | None) -> SourceBatch:
        count_max = self._job.limits.batch_rows_max
        if end is None:
            return source.read(split, start, count_max)
        batch = source.read(split, start, min(count_max, end - start))
        if batch.at_end and batch.next_offset < end:
            raise SourceError(f"it ends at {batch.next_offset} here, and the owner of the partition has read to {end}")
        return batch.below(end)

    def _applied(
        self, partition: Partition, epoch: int, reader: _Reader, start: int, batch: SourceBatch, now_us: int
    ) -> SplitProgress:
        split = partition.number
        anomaly_count = 0
        if batch.next_offset > start:
            if reader.next_offset != start:
                # What it knows of times are those of other rows.
                reader.ticks = self._tick_finder()
            routed = RoutedBatch(
                split=split,
                start=start,
                end=batch.next_offset,
                frame=batch.frame,
                offsets=batch.offsets,
                dead_letters=batch.dead_letters,
                ticks=reader.ticks.find(split, batch.frame, batch.offsets, batch.time_marks),
            )
            reader.next_offset = batch.next_offset
            anomaly_count = partition.apply(epoch, routed, now_us)
        return SplitProgress(
            split=split,
            start=start,
            end=batch.next_offset,
            row_count=len(batch.offsets),
            dead_letter_count=len(batch.dead_letters),
            anomaly_count=anomaly_count,
            at_end=batch.at_end,
            remarks=reader.source.remarks(),
        )

    def _failed(self, split: int, start: int, reason: str, gone_until: int = 0) -> SplitProgress:
        self.forget(split)
        return SplitProgress(
            split=split, start=start, end=start, trouble=f"split {split} of the source: {reason}", gone_until=gone_until
        )

    def _reader(self, split: int) -> _Reader:
        if split not in self._readers:
            if self._open_split is None:
                raise NotOpenError("this host reads no source; it was started for rows that others send")
            source = self._open_split(split)
            self._readers[split] = _Reader(source, self._tick_finder())
            check_split_count(self._job, source)
        return self._readers[split]

    def _tick_finder(self) -> TickFinder:
        return TickFinder(self._job.time_column, metric_ticks(self._job, self._job.ticks) or None)

    def forget(self, split: int) -> None:
        """Close the source of a split."""
        reader = self._readers.pop(split, None)
        if reader is not None:
            reader.source.close()

    def close(self) -> None:
        """Close all sources."""
        for split in list(self._readers):
            self.forget(split)


def check_split_count(job: JobSettings, source: Source) -> None:
    """Check that the source of a job has a split for each partition, where each is to have one.

    Raises:
        ConfigError: it has another number.
    """
    count = len(source.splits())
    if job.partition_by == "split" and count != job.partitions:
        raise ConfigError(
            f"the source of job {job.name!r} has {count} splits, and the job {job.partitions} partitions; with "
            f"`partition_by: split` each split is one partition: say `partitions: {count}`"
        )

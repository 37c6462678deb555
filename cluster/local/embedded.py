"""The embedded run: a job in this process, with the partitions of a cluster and without Ray and Raft.

It is what `tocsin run` does and what a cluster's output is compared with: the same partitions are given the same rows
in the order of their offsets, so its anomalies are those of any cluster, byte for byte.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from actors.host import HostBatch, PartitionHost
from actors.model import AnomalyId, Schema
from actors.partition.anomaly_table import Anomaly, AnomalyFilter
from actors.partition.values import null_comparisons
from actors.source.open import open_host_feed, open_source, open_stream_table
from actors.source.protocol import Source, SourceBatch, SplitInfo
from actors.source.transport.host_metrics import HostFeed
from cluster.leader.pump import Done, Pump, first_needed
from config.load import load_job
from config.settings import JobSettings

EPOCH = 0
"""An embedded run has no elections; a cluster that takes over its directory has a higher epoch."""


class LocalHost:
    """A host of this process, as the pump sees it."""

    def __init__(self, host: PartitionHost) -> None:
        self._host = host

    @property
    def name(self) -> str:
        """There is one host."""
        return "local"

    def apply(self, epoch: int, batch: HostBatch, now_us: int) -> Done[int]:
        """Apply the batch at once."""
        return Done(self._host.apply(epoch, batch, now_us))

    def tick(self, epoch: int, now_us: int) -> Done[None]:
        """Flush when it is time."""
        self._host.tick(epoch, now_us)
        return Done(None)

    def flush(self, epoch: int, now_us: int) -> Done[dict[int, dict[int, int]]]:
        """Make everything durable."""
        return Done(self._host.flush(epoch, now_us))

    def deliver(self) -> Done[int]:
        """Feed the sinks."""
        return Done(self._host.deliver())


class WatchedSource:
    """A source, and the times of the rows that were read from it."""

    def __init__(self, source: Source, time_column: str) -> None:
        self._source = source
        self._time_column = time_column
        self.times: tuple[int, int] | None = None
        """Earliest and latest time, in ticks; `None` before the first row."""

    @property
    def schema(self) -> Schema:
        """Columns of the rows."""
        return self._source.schema

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return the splits there are."""
        return self._source.splits()

    def earliest_offset(self, split: int) -> int:
        """Return the first offset that can still be read."""
        return self._source.earliest_offset(split)

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        """Return records, and note their times."""
        batch = self._source.read(split, offset, row_count_max)
        times = batch.frame[self._time_column].drop_nulls()
        if len(times):
            known = [*(self.times or ()), times.min(), times.max()]
            self.times = min(known), max(known)
        return batch

    def remarks(self) -> tuple[str, ...]:
        """Return what should be known of the records."""
        return self._source.remarks()

    def close(self) -> None:
        """Close the other source."""
        self._source.close()


class EmbeddedJob:
    """A job whose partitions are open in this process; close it, or use it as a context manager."""

    def __init__(self, job: JobSettings, source: Source, directory: Path, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self.feed: HostFeed | None = None
        """Measures this machine before every run, when that is the job's source."""
        self._returned: set[AnomalyId] = set()
        self._counted = 0
        self._source = source = WatchedSource(source, job.time_column)
        self._host = PartitionHost(job.to_bytes(), str(directory))
        try:
            earliest = {split.number: source.earliest_offset(split.number) for split in source.splits()}
            needed = self._host.open(EPOCH, list(range(job.partitions)), earliest, {}, now_us())
            port = LocalHost(self._host)
            positions = first_needed(needed.values(), earliest)
            self._pump = Pump(job, source, dict.fromkeys(range(job.partitions), port), positions, EPOCH, now_us)
        except BaseException:
            self._host.close()
            raise

    @property
    def pump(self) -> Pump:
        """What moves the rows."""
        return self._pump

    @property
    def host(self) -> PartitionHost:
        """What owns the partitions."""
        return self._host

    @property
    def times(self) -> tuple[int, int] | None:
        """Earliest and latest time of the rows that were read, in ticks; `None` without any."""
        return self._source.times

    def remarks(self) -> tuple[str, ...]:
        """Return what the source has to say of its records."""
        return self._source.remarks()

    def null_comparison_counts(self) -> tuple[int, ...]:
        """Return for each metric how many of its comparisons met NULL."""
        return null_comparisons(self._host.stat())

    def run(self) -> None:
        """Take a sample if this job has any, pump until the source is empty for now, and make everything durable."""
        if self.feed is not None:
            self.feed.feed(self._now_us())
        while self._pump.pump_once():
            pass
        self._pump.finish()

    def anomalies(self, count_max: int) -> list[Anomaly]:
        """Return committed anomalies in the order of their ids."""
        found = self._host.anomalies(AnomalyFilter(), count_max, False)
        return sorted(found, key=lambda anomaly: anomaly.id)[:count_max]

    def new_anomalies(self, count_max: int) -> list[Anomaly]:
        """Return the committed anomalies that no call has returned before; all calls together return `count_max`."""
        if len(self._returned) >= count_max or (self._returned and self._counted == self._pump.stat().anomaly_count):
            return []
        self._counted = self._pump.stat().anomaly_count
        # Ids of another split may come before those known, so that a position in the order would not do.
        found = [one for one in self.anomalies(count_max + len(self._returned)) if one.id not in self._returned]
        found = found[: count_max - len(self._returned)]
        self._returned.update(one.id for one in found)
        return found

    def has_more(self, count_max: int) -> bool:
        """Return whether there are committed anomalies that `new_anomalies` kept back because of its `count_max`."""
        return len(self._returned) >= count_max and len(self.anomalies(count_max + 1)) > count_max

    def anomaly_entries(self) -> list[tuple[bytes, bytes]]:
        """Return the whole anomaly table in the order of ids, as stored."""
        return sorted(self._host.anomaly_entries())

    def close(self) -> None:
        """Close the partitions."""
        self._host.close()


@contextmanager
def run_file(path: Path, directory: Path, now_us: Callable[[], int]) -> Iterator[tuple[JobSettings, EmbeddedJob]]:
    """Open the job of a file in this process, its partitions and stream tables below a directory."""
    job = load_job(path)
    with open_job(job, directory, now_us) as running:
        yield job, running


@contextmanager
def open_job(job: JobSettings, directory: Path, now_us: Callable[[], int]) -> Iterator[EmbeddedJob]:
    """Open a job in this process, its partitions and stream tables below a directory."""
    with ExitStack() as stack:
        tables = {}
        feed = None
        if job.source.type == "host_metrics":
            table = stack.enter_context(open_stream_table(job, directory / "streams"))
            tables[table.name] = table
            feed = open_host_feed(job, table)
        source = open_source(job, directory / "streams", tables, directory / "partitions")
        stack.callback(source.close)
        running = stack.enter_context(embedded_job(job, source, directory / "partitions", now_us))
        running.feed = feed
        yield running


@contextmanager
def embedded_job(job: JobSettings, source: Source, directory: Path, now_us: Callable[[], int]) -> Iterator[EmbeddedJob]:
    """Open a job in this process and close it afterwards."""
    running = EmbeddedJob(job, source, directory, now_us)
    try:
        yield running
    finally:
        running.close()

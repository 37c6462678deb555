"""The embedded run: a job in this process, with the partitions of a cluster and without Ray and Raft.

It is what `tocsin run` does and what a cluster's output is compared with: the same partitions are given the same rows
in the order of their offsets, so its anomalies are those of any cluster, byte for byte.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from actors.host import HostBatch, PartitionHost
from actors.model import AnomalyId
from actors.partition.anomaly_table import Anomaly, AnomalyFilter
from actors.source.open import open_host_feed, open_source, open_stream_table
from actors.source.protocol import Source
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


class EmbeddedJob:
    """A job whose partitions are open in this process; close it, or use it as a context manager."""

    def __init__(self, job: JobSettings, source: Source, directory: Path, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self.feed: HostFeed | None = None
        """Measures this machine before every run, when that is the job's source."""
        self._returned: set[AnomalyId] = set()
        self._counted = 0
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

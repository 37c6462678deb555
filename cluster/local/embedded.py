"""The embedded run: a job in this process, with the partitions of a cluster and without Ray and Raft.

It is what `tocsin run` does and what a cluster's output is compared with: the same partitions are given the same rows
in the order of their offsets, so its anomalies are those of any cluster, byte for byte.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from actors.engine.episodes.episode import Episode, EpisodeId
from actors.errors import SinkError, SourceError
from actors.files import make_directory, replace_file
from actors.host import PartitionHost
from actors.model import AnomalyId
from actors.partition.anomalies import Anomaly, AnomalyFilter
from actors.partition.episode_table import EpisodeFilter
from actors.partition.values import null_comparisons
from actors.source.open import is_fed, open_host_feed, open_source, open_stream_table
from actors.source.protocol import Source, SourceBatch
from actors.source.push.feeds import open_feed
from actors.source.transport.host_metrics import HostFeed
from actors.source.wrapped import WrappedSource
from cluster.errors import ClusterError
from cluster.leader.core import LeaderCore
from cluster.leader.events import (
    Answered,
    BatchApplied,
    Delivered,
    Done,
    Event,
    Failed,
    GroupSeen,
    HostFlushed,
    NoticesSent,
    NoticesTaken,
    PartitionsOpened,
    SourceOpened,
    SplitRead,
    SplitsOpened,
    SplitsRead,
    TimePassed,
)
from cluster.leader.failures import failure_of
from cluster.leader.instructions import (
    Deliver,
    FlushDue,
    FlushHost,
    Instruction,
    NoteNotices,
    OpenPartitions,
    OpenSource,
    OpenSplits,
    Propose,
    ReadSplit,
    ReadSplits,
    Request,
    SendBatch,
    SendNotices,
    StartHost,
    TakeNotices,
    Warn,
)
from cluster.leader.reading import SplitReader
from cluster.leader.status import Phase, PumpStat
from cluster.leader.subscription import LeaderTask
from cluster.surroundings import feed_places_here, sink_places_here, surroundings_here
from config.load import load_job
from config.push import PushSource
from config.settings import JobSettings
from raft.commands import Answer, Command, JobResumed, JobStopped, JobSubmitted, Refused
from raft.group import GroupState, answer_to, apply

EPOCH = 0
"""An embedded run has no elections; a cluster that takes over its directory has a higher epoch."""


STARTED_FILE = "started"
"""File, beside the partitions of a run, with the time of its first start, in microseconds since 1970."""


REMARKED_RECORD_COUNT = 1000
"""Records after which what is odd about them is said, though more may come."""

Say = Callable[[Sequence[str]], None]
"""Takes what people should know at once."""


class WatchedSource(WrappedSource):
    """A source, and the times of the rows that were read from it; `say` is told early what is odd about them."""

    def __init__(self, source: Source, time_column: str, say: Say) -> None:
        super().__init__(source)
        self._time_column = time_column
        self._say: Say | None = say
        self._record_count = 0
        self.times: tuple[int, int] | None = None
        """Earliest and latest time, in ticks; `None` before the first row."""

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        """Return records, and note their times."""
        batch = self._source.read(split, offset, row_count_max)
        self._record_count += len(batch.offsets) + len(batch.dead_letters)
        if self._say is not None and self._record_count >= REMARKED_RECORD_COUNT:
            self._say(self._source.remarks())
            self._say = None
        times = batch.frame[self._time_column].drop_nulls()
        if len(times):
            known = [*(self.times or ()), times.min(), times.max()]
            self.times = min(known), max(known)
        return batch

    def close(self) -> None:
        """Do nothing: who opened the other source closes it."""


class EmbeddedJob:
    """A job whose partitions are open in this process; close it, or use it as a context manager.

    The leader's core decides here too. Its instructions are carried out one after the other, at once, and a group of
    one applies what it proposes.
    """

    def __init__(
        self,
        job: JobSettings,
        source: Source,
        directory: Path,
        now_us: Callable[[], int],
        say: Say = lambda _: None,
    ) -> None:
        self._now_us = now_us
        self.feed: HostFeed | None = None
        """Measures this machine before every run, when that is the job's source."""
        self._returned: set[AnomalyId] = set()
        self._counted = 0
        self._returned_episodes: dict[EpisodeId, Episode] = {}
        self._source = source = WatchedSource(source, job.time_column, say)
        self._job = job
        self._core = LeaderCore(LeaderTask(job_id=job.name, epoch=EPOCH), job, "embedded")
        self._group = GroupState()
        self._request_count = 0
        self._todo: deque[Instruction] = deque()
        self._sink_error: SinkError | None = None
        places = sink_places_here(has_stdout=True)
        self._host = PartitionHost(job.to_bytes(), str(directory), places, open_split=lambda split: source)
        try:
            self._reader = SplitReader(job, source)
            self._apply(JobSubmitted(job_id=job.name, spec=b"", partition_count=job.partitions, host_count=1))
            self._carry_out(lambda: self._core.phase is Phase.RUNNING)
        except BaseException:
            self._host.close()
            raise

    def stat(self) -> PumpStat:
        """Return what was read and found since the job was opened."""
        stat = self._core.status().pump
        assert stat is not None, "the partitions are open"
        return stat

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
        """Take a sample if this job has any, read until the source is empty for now, and make everything durable.

        Raises:
            SinkError: a sink does not take anomalies; everything else is done, and they wait for the next run.
        """
        if self.feed is not None:
            self.feed.feed(self._now_us())
        self._sink_error = None
        if self._core.phase is Phase.STOPPED:
            self._apply(JobResumed(job_id=self._job.name))
        self._step(TimePassed(now_us=self._now_us()))
        self._carry_out(lambda: False)
        if not self._core.is_over:
            self._apply(JobStopped(job_id=self._job.name))
            self._carry_out(lambda: False)
        if self._sink_error is not None:
            raise self._sink_error
        assert self._core.is_over or self._core.phase is Phase.STOPPED, self._core.status()

    def _apply(self, command: Command) -> Answer:
        self._request_count += 1
        named = replace(command, request_id=command.request_id or f"request-{self._request_count}")
        self._group, _ = apply(self._group, named)
        answer = answer_to(self._group, named.request_id)
        if isinstance(answer, Refused):
            raise ClusterError(answer.reason)
        assert answer is not None, "the request has an id"
        self._step(GroupSeen(now_us=self._now_us(), state=self._group))
        return answer

    def _step(self, event: Event) -> None:
        self._todo.extend(self._core.step(event))

    def _carry_out(self, is_enough: Callable[[], bool]) -> None:
        while self._todo and not is_enough():
            instruction = self._todo.popleft()
            try:
                event = self._answer(instruction)
            except SinkError as error:
                self._sink_error = error
                assert isinstance(instruction, Request), "only deliveries write to sinks"
                event = Failed(now_us=self._now_us(), request=instruction.request, failure=failure_of(error))
            if event is not None:
                self._step(event)

    def _answer(self, instruction: Instruction) -> Event | None:
        """Carry an instruction out and return its answer; what fails, but for sinks, is raised."""
        host, now_us = self._host, self._now_us()
        match instruction:
            case OpenSource(request=request):
                return SourceOpened(now_us=now_us, request=request, earliest=self._reader.earliest())
            case ReadSplit(request=request, split=split, offset=offset, row_count_max=count):
                return SplitRead(now_us=now_us, request=request, batch=self._reader.read(split, offset, count))
            case OpenSplits(request=request, splits=splits):
                return SplitsOpened(now_us=now_us, request=request, earliest=host.open_splits(EPOCH, list(splits)))
            case ReadSplits(request=request, offsets=offsets, batch_count_max=count):
                found = host.read_splits(EPOCH, dict(offsets), count, now_us)
                for progress in found:
                    if progress.trouble is not None:
                        raise SourceError(progress.trouble)
                return SplitsRead(now_us=now_us, request=request, progress=tuple(found))
            case StartHost(request=request):
                return Done(now_us=now_us, request=request)
            case OpenPartitions(request=request, partitions=numbers, earliest=earliest):
                opened = host.open(EPOCH, list(numbers), dict(earliest), {}, now_us)
                return PartitionsOpened(now_us=now_us, request=request, opened=opened)
            case SendBatch(request=request, batch=batch):
                count = host.apply(EPOCH, batch, now_us)
                return BatchApplied(now_us=now_us, request=request, anomaly_count=count)
            case FlushDue(request=request):
                host.flush_due(EPOCH, now_us)
                return Done(now_us=now_us, request=request)
            case FlushHost(request=request):
                return HostFlushed(now_us=now_us, request=request, committed=host.flush(EPOCH, now_us))
            case Deliver(request=request, sink=sink, is_last=is_last):
                return Delivered(now_us=now_us, request=request, count=host.deliver(sink, is_last))
            case TakeNotices(request=request, sink=sink, is_all=is_all):
                taken = host.take_notices(EPOCH, sink, now_us, is_all)
                return NoticesTaken(now_us=now_us, request=request, taken=taken)
            case NoteNotices(request=request, sink=sink, notes=notes):
                host.note_notices(EPOCH, sink, notes)
                return Done(now_us=now_us, request=request)
            case SendNotices(request=request, sink=sink, sent=sent):
                return NoticesSent(now_us=now_us, request=request, sent=host.send_notices(EPOCH, sink, sent))
            case Propose(request=request, command=command):
                return Answered(now_us=now_us, request=request, answer=self._apply(command))
            case Warn(reason=reason):
                raise ClusterError(reason)
        return None

    def anomalies(self, count_max: int) -> list[Anomaly]:
        """Return committed anomalies in the order of their ids."""
        found: list[Anomaly] = self.ask("anomalies", wanted=AnomalyFilter(), count_max=count_max)
        return sorted(found, key=lambda anomaly: anomaly.id)[:count_max]

    def new_anomalies(self, count_max: int) -> list[Anomaly]:
        """Return the committed anomalies that no call has returned before; all calls together return `count_max`."""
        if len(self._returned) >= count_max or (self._returned and self._counted == self.stat().anomaly_count):
            return []
        self._counted = self.stat().anomaly_count
        # Ids of another split may come before those known, so that a position in the order would not do.
        found = [one for one in self.anomalies(count_max + len(self._returned)) if one.id not in self._returned]
        found = found[: count_max - len(self._returned)]
        self._returned.update(one.id for one in found)
        return found

    def new_episodes(self, count_max: int) -> list[Episode]:
        """Return the committed episodes that have begun or turned since the last call; of those that are gone nothing.

        They come in the order of the rows that began them; at most `count_max` are returned, each whenever it turns.
        """
        found: list[Episode] = sorted(
            self.ask("episodes", wanted=EpisodeFilter(), count_max=count_max), key=lambda one: one.id
        )[:count_max]
        known, self._returned_episodes = self._returned_episodes, {one.id: one for one in found}
        return [one for one in found if one.id not in known or known[one.id].state is not one.state]

    def has_more(self, count_max: int) -> bool:
        """Return whether there are committed anomalies that `new_anomalies` kept back because of its `count_max`."""
        return len(self._returned) >= count_max and len(self.anomalies(count_max + 1)) > count_max

    def anomaly_entries(self) -> list[tuple[bytes, bytes]]:
        """Return the whole anomaly table in the order of ids, as stored."""
        return sorted(self.ask("anomaly_entries"))

    def ask(self, query: str, **arguments: Any) -> list[Any]:
        """Return what all partitions answer to one of `actors.partition.queries.QUERIES`, one after the other."""
        found = self._host.ask(range(self._job.partitions), query, arguments)
        return [item for answer in found.values() for item in answer]

    def close(self) -> None:
        """Close the partitions."""
        self._host.close()


@contextmanager
def run_file(
    path: Path, directory: Path, now_us: Callable[[], int], say: Say = lambda _: None
) -> Iterator[tuple[JobSettings, EmbeddedJob]]:
    """Open the job of a file in this process, its partitions and stream tables below a directory."""
    job = load_job(path)
    with open_job(job, directory, now_us, say) as running:
        yield job, running


@contextmanager
def open_job(
    job: JobSettings, directory: Path, now_us: Callable[[], int], say: Say = lambda _: None
) -> Iterator[EmbeddedJob]:
    """Open a job in this process, its partitions and stream tables below a directory.

    What is odd about the first `REMARKED_RECORD_COUNT` records goes to `say` as soon as they are read.
    """
    job = _begun(job, directory, now_us)
    with ExitStack() as stack:
        tables = {}
        feed = None
        if is_fed(job):
            table = stack.enter_context(open_stream_table(job, directory / "streams"))
            tables[table.name] = table
            if isinstance(job.source, PushSource):
                pushed = open_feed(job, table, feed_places_here())
                stack.callback(pushed.close)
            else:
                feed = open_host_feed(job, table)
        source = open_source(
            job, directory / "streams", tables, directory / "partitions", around=surroundings_here(stdin=0)
        )
        stack.callback(source.close)
        running = stack.enter_context(embedded_job(job, source, directory / "partitions", now_us, say))
        running.feed = feed
        yield running


def _begun(job: JobSettings, directory: Path, now_us: Callable[[], int]) -> JobSettings:
    """Return a job that begins at the newest records as one that began when the directory was used first."""
    begun = job.begun(now_us())
    if begun is job:
        return job
    path = directory / STARTED_FILE
    if not path.exists():
        make_directory(directory)
        replace_file(path, str(now_us()).encode())
    return job.begun(int(path.read_text()))


@contextmanager
def embedded_job(
    job: JobSettings, source: Source, directory: Path, now_us: Callable[[], int], say: Say = lambda _: None
) -> Iterator[EmbeddedJob]:
    """Open a job in this process and close it afterwards."""
    running = EmbeddedJob(job, source, directory, now_us, say)
    try:
        yield running
    finally:
        running.close()

"""The runner: carries out in a cluster what the leader's core wants, and lets the core know what came of it.

One thread steps the core, reads the source and sends to hosts; replies come back through a queue from whatever thread
has them. What waits for others (processes that start, the group's answers) is done by a few threads beside it.
"""

import logging
import queue
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from actors.errors import SinkError, SourceError
from actors.source.open import is_fed, open_source
from actors.source.protocol import Source
from cluster.allowed import allowed_here
from cluster.errors import NoAnswerError
from cluster.leader import events, instructions
from cluster.leader.again import read_again
from cluster.leader.copying import copy_shard
from cluster.leader.core import LeaderCore
from cluster.leader.failures import failure_of
from cluster.leader.instructions import Instruction, Request
from cluster.leader.ports import Deployment, GroupPort, HostPort, MemberPort, Reply, SnapshotReference
from cluster.leader.pulse import Pulse
from cluster.leader.reading import SplitReader
from cluster.leader.status import Phase, PumpStat, RunnerStatus
from cluster.leader.subscription import LeaderTask
from cluster.surroundings import surroundings_here
from config.settings import JobSettings
from raft.group import GroupState

log = logging.getLogger(__name__)

WATCH_S = 0.1
"""Seconds between two looks at the group's state."""

THREAD_COUNT = 4
"""Threads that wait for processes to start and to end; as many wait for the group to answer."""

T = TypeVar("T")


def now_us() -> int:
    """Return the time of day, in microseconds since 1970."""
    return time.time_ns() // 1000


class JobRunner:
    """Runs one job under one epoch, in a thread of its own."""

    def __init__(
        self, group: GroupPort, deployment: Deployment, job_id: str, epoch: int, counted: PumpStat | None = None
    ) -> None:
        self._group = group
        self._deployment = deployment
        self._job_id = job_id
        self._epoch = epoch
        self._spec = group.state().jobs[job_id].spec
        self._settings = JobSettings.from_bytes(self._spec)
        task = LeaderTask(job_id=job_id, epoch=epoch, member_ids=group.member_ids, counted=counted)
        self._core = LeaderCore(task, self._settings, uuid.uuid4().hex, jitter=random.uniform(0.5, 1.0))
        self._source: Source | None = None
        self._reader: SplitReader | None = None
        self._again: dict[tuple[str, int], SplitReader] = {}
        self._hosts: dict[str, HostPort] = {}
        self._starts: dict[str, instructions.StartHost] = {}
        self._starting = threading.Lock()
        self._pulse = Pulse(lambda: time.monotonic_ns() // 1000)
        self._snapshots: dict[int, SnapshotReference] = {}
        self._events: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(THREAD_COUNT, thread_name_prefix=f"beside {job_id}")
        # Of their own, so that a host that takes long to start or to end keeps nothing from being decided.
        self._proposing = ThreadPoolExecutor(THREAD_COUNT, thread_name_prefix=f"proposing {job_id}")
        self._phase = self._core.phase
        self._seen: GroupState | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"job {job_id}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; `is_alive` says when it has."""
        self._stopping.set()

    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    def status(self) -> RunnerStatus:
        """Return what the leader is doing for the job."""
        reader = self._reader
        status = self._core.status()
        return status if reader is None else replace(status, remarks=status.remarks + reader.remarks)

    def _run(self) -> None:
        look_due_s = 0.0
        try:
            while not (self._stopping.is_set() or self._core.is_over or self._core.phase is Phase.STOPPED):
                event = self._next_event(look_due_s - time.monotonic())
                # A state seen after an answer contains what was answered.
                if isinstance(event, events.Answered) or time.monotonic() >= look_due_s:
                    look_due_s = time.monotonic() + WATCH_S
                    self._look()
                    self._look_at_nodes()
                    self._look_at_hosts()
                self._step(event)
        except Exception:
            log.exception("a runner ends", extra={"job": self._job_id})
        finally:
            self._close_source()
            for pool in (self._pool, self._proposing):
                pool.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> None:
        state = self._group.state()
        if state is not self._seen:
            self._seen = state
            self._step(events.GroupSeen(now_us=now_us(), state=state))

    def _look_at_nodes(self) -> None:
        if self._seen is not None and self._seen.nodes:
            nodes, answering = self._deployment.present_nodes(), self._deployment.answering_nodes()
            self._step(events.NodesSeen(now_us=now_us(), nodes=nodes, answering=answering))

    def _look_at_hosts(self) -> None:
        silence_us = self._pulse.look()
        if any(silence_us.values()):
            self._step(events.HostsSeen(now_us=now_us(), silence_us=silence_us))

    def _next_event(self, longest_s: float) -> events.Event:
        try:
            return self._events.get(timeout=max(min(self._core.wait_us / 1e6, longest_s), 0))
        except queue.Empty:
            return events.TimePassed(now_us=now_us())

    def _step(self, event: events.Event) -> None:
        for instruction in self._core.step(event):
            try:
                _CARRY[type(instruction)](self, instruction)
            except Exception as error:
                if not isinstance(instruction, Request):
                    log.exception("an instruction failed", extra={"job": self._job_id})
                    continue
                self._fail(instruction, error)
        if self._core.phase is not self._phase:
            self._phase = self._core.phase
            log.info("a job is in another phase", extra={"job": self._job_id, "phase": str(self._phase)})

    def _fail(self, request: Request, error: Exception) -> None:
        if isinstance(error, SinkError):
            log.warning("a sink failed", extra={"job": self._job_id, "reason": str(error)})
        log.debug("a request failed", extra={"job": self._job_id}, exc_info=error)
        self._events.put(events.Failed(now_us=now_us(), request=request.request, failure=failure_of(error)))

    def _beside(self, request: Request, action: Callable[[], None], pool: ThreadPoolExecutor | None = None) -> None:
        """Do something that takes its time in another thread."""

        def act() -> None:
            try:
                action()
            except Exception as error:  # whatever it is, the core decides what follows
                self._fail(request, error)

        (pool or self._pool).submit(act)

    def _take(self, request: Request, reply: Reply[T], event: Callable[[T], events.Event]) -> None:
        reply.when_done(lambda answer: self._events.put(event(answer)), lambda error: self._fail(request, error))

    def _done(self, request: Request, reply: Reply[Any]) -> None:
        self._take(request, reply, lambda _: events.Done(now_us=now_us(), request=request.request))

    def _host(self, name: str) -> HostPort:
        if name not in self._hosts:
            raise NoAnswerError(f"{name} does not run")
        return self._hosts[name]

    def _member(self, name: str) -> MemberPort:
        member = self._deployment.find_member(name)
        if member is None:
            raise NoAnswerError(f"{name} does not run")
        return member

    def _open_source(self, request: instructions.OpenSource) -> None:
        self._close_source()
        if is_fed(self._settings):
            self._deployment.start_sampler(self._job_id, self._spec, "")
        positions = self._deployment.partitions_directory(self._job_id)
        streams = self._deployment.streams_directory()
        self._source = open_source(
            self._settings, streams, positions=positions, allowed=allowed_here(), around=surroundings_here()
        )
        self._reader = SplitReader(self._settings, self._source)
        earliest = self._reader.earliest()
        self._events.put(events.SourceOpened(now_us=now_us(), request=request.request, earliest=earliest))

    def _close_source(self, instruction: Instruction | None = None) -> None:
        source, self._source, self._reader = self._source, None, None
        self._again.clear()
        if source is not None:
            source.close()

    def _read_split(self, request: instructions.ReadSplit) -> None:
        assert self._reader is not None, "the source is open"
        batch = self._reader.read(request.split, request.offset, request.row_count_max)
        self._events.put(events.SplitRead(now_us=now_us(), request=request.request, batch=batch))

    def _read_again(self, request: instructions.ReadAgain) -> None:
        if self._source is None:
            raise SourceError("the source is closed just now; it is opened again")
        batch = read_again(self._again, self._settings, self._source, request)
        self._events.put(events.SplitRead(now_us=now_us(), request=request.request, batch=batch))

    def _stand_by(self, request: instructions.StandBy) -> None:
        reply = self._host(request.host).stand_by(
            self._epoch, request.partition, request.generation, request.others, now_us(), request.acceptances
        )
        self._take(
            request,
            reply,
            lambda opened: events.StandbyOpened(now_us=now_us(), request=request.request, opened=opened),
        )

    def _read_marks(self, request: instructions.ReadMarks) -> None:
        self._take(
            request,
            self._host(request.host).outbox_marks(),
            lambda marks: events.MarksRead(now_us=now_us(), request=request.request, marks=marks),
        )

    def _take_marks(self, request: instructions.TakeMarks) -> None:
        self._done(request, self._host(request.host).take_marks(self._epoch, request.marks))

    def _flush_standbys(self, request: instructions.FlushStandbys) -> None:
        self._take(
            request,
            self._host(request.host).flush_standbys(self._epoch, now_us(), request.are_due),
            lambda committed: events.HostFlushed(now_us=now_us(), request=request.request, committed=committed),
        )

    def _start_host(self, request: instructions.StartHost) -> None:
        # A start on a node that does not answer takes long, and must not undo a later one on another.
        def take(record: Callable[[], None]) -> None:
            with self._starting:
                if self._starts[request.host] is request:
                    record()

        def start() -> None:
            host = self._deployment.start_host(self._job_id, request.host, self._spec, request.node)
            take(lambda: self._hosts.update({request.host: host}))
            self._take(request, host.ready(), partial(started, host))

        def started(host: HostPort, answer: bool) -> events.Event:
            take(lambda: self._pulse.follow(request.host, host))
            return events.Done(now_us=now_us(), request=request.request)

        with self._starting:
            before = self._starts.get(request.host)
            self._starts[request.host] = request
            if before is not None and before.node != request.node:
                # Whoever had that name on a node that was lost says nothing any more, and this is not it.
                self._pulse.forget(request.host)
        self._beside(request, start)

    def _open_splits(self, request: instructions.OpenSplits) -> None:
        host = self._host(request.host)

        def open_splits() -> None:
            if is_fed(self._settings):
                self._deployment.start_sampler(self._job_id, self._spec, request.host)
            self._take(
                request,
                host.open_splits(self._epoch, list(request.splits)),
                lambda earliest: events.SplitsOpened(now_us=now_us(), request=request.request, earliest=earliest),
            )

        self._beside(request, open_splits)

    def _read_splits(self, request: instructions.ReadSplits) -> None:
        offsets, count_max, ends = dict(request.offsets), request.batch_count_max, dict(request.ends)
        self._take(
            request,
            self._host(request.host).read_splits(self._epoch, offsets, count_max, now_us(), ends),
            lambda found: events.SplitsRead(now_us=now_us(), request=request.request, progress=tuple(found)),
        )

    def _open_partitions(self, request: instructions.OpenPartitions) -> None:
        reply = self._host(request.host).open(
            self._epoch,
            list(request.partitions),
            dict(request.earliest),
            dict(request.snapshots),
            now_us(),
            request.acceptances,
            request.generations,
            request.are_all,
            request.standbys,
        )
        self._take(
            request,
            reply,
            lambda opened: events.PartitionsOpened(now_us=now_us(), request=request.request, opened=opened),
        )

    def _accept_values(self, request: instructions.AcceptValues) -> None:
        self._done(request, self._host(request.host).accept(self._epoch, list(request.acceptances)))

    def _send_batch(self, request: instructions.SendBatch) -> None:
        self._take(
            request,
            self._host(request.host).apply(self._epoch, request.batch, now_us()),
            lambda count: events.BatchApplied(now_us=now_us(), request=request.request, anomaly_count=count),
        )

    def _flush_due(self, request: instructions.FlushDue) -> None:
        self._done(request, self._host(request.host).flush_due(self._epoch, now_us()))

    def _flush_host(self, request: instructions.FlushHost) -> None:
        self._take(
            request,
            self._host(request.host).flush(self._epoch, now_us()),
            lambda committed: events.HostFlushed(now_us=now_us(), request=request.request, committed=committed),
        )

    def _deliver(self, request: instructions.Deliver) -> None:
        self._take(
            request,
            self._host(request.host).deliver(request.sink, request.is_last),
            lambda count: events.Delivered(now_us=now_us(), request=request.request, count=count),
        )

    def _take_notices(self, request: instructions.TakeNotices) -> None:
        self._take(
            request,
            self._host(request.host).take_notices(self._epoch, request.sink, now_us(), request.is_all),
            lambda taken: events.NoticesTaken(now_us=now_us(), request=request.request, taken=taken),
        )

    def _note_notices(self, request: instructions.NoteNotices) -> None:
        self._done(request, self._host(request.host).note_notices(self._epoch, request.sink, request.notes))

    def _send_notices(self, request: instructions.SendNotices) -> None:
        self._take(
            request,
            self._host(request.host).send_notices(self._epoch, request.sink, request.sent),
            lambda sent: events.NoticesSent(now_us=now_us(), request=request.request, sent=sent),
        )

    def _release(self, request: instructions.ReleasePartitions) -> None:
        host = self._hosts.get(request.host) or self._deployment.find_host(self._job_id, request.host)
        if host is None:
            self._events.put(events.Done(now_us=now_us(), request=request.request))
        else:
            self._done(request, host.release(self._epoch, list(request.partitions), now_us()))

    def _copy_shard(self, request: instructions.CopyShard) -> None:
        source, target = self._host(request.source), self._host(request.target)

        def copy() -> None:
            copy_shard(source, target, self._epoch, request.partition, request.generation, now_us)
            self._events.put(events.ShardCopied(now_us=now_us(), request=request.request))

        self._beside(request, copy)

    def _take_snapshot(self, request: instructions.TakeSnapshot) -> None:
        taken = self._host(request.host).snapshot(self._epoch, request.partition, now_us(), request.core_share)
        self._snapshots[request.request] = taken
        self._take(
            request,
            taken,
            lambda offsets: events.SnapshotTaken(now_us=now_us(), request=request.request, offsets=offsets),
        )

    def _store_snapshot(self, request: instructions.StoreSnapshot) -> None:
        taken = self._snapshots[request.snapshot]
        self._take(
            request,
            self._member(request.member).store_snapshot(self._job_id, request.partition, taken),
            lambda answer: events.SnapshotStored(
                now_us=now_us(), request=request.request, digest=answer[0], size_bytes=answer[1]
            ),
        )

    def _drop_snapshot(self, instruction: instructions.DropSnapshot) -> None:
        taken = self._snapshots.pop(instruction.snapshot, None)
        if taken is not None:
            taken.drop()

    def _read_snapshot(self, request: instructions.ReadSnapshot) -> None:
        self._take(
            request,
            self._member(request.member).read_snapshot(self._job_id, request.partition, request.digest),
            lambda data: events.SnapshotFound(now_us=now_us(), request=request.request, data=data),
        )

    def _propose(self, request: instructions.Propose) -> None:
        def propose() -> None:
            answer = self._group.propose(request.command)
            self._events.put(events.Answered(now_us=now_us(), request=request.request, answer=answer))

        self._beside(request, propose, self._proposing)

    def _prepare_host(self, instruction: instructions.PrepareHost) -> None:
        host, node = instruction.host, instruction.node
        log.info("a host starts ahead", extra={"job": self._job_id, "host": host, "node": node})

        def prepare() -> None:
            try:
                self._deployment.prepare_host(self._job_id, host, self._spec, node)
            except Exception:  # it is started when it is needed
                log.warning("a host did not start ahead", extra={"job": self._job_id, "host": host}, exc_info=True)

        self._pool.submit(prepare)

    def _end_host(self, instruction: instructions.EndHost) -> None:
        self._pulse.forget(instruction.host)
        self._hosts.pop(instruction.host, None)
        started = self._starts[instruction.host]

        def end() -> None:
            try:
                self._deployment.end_host(self._job_id, started.host, started.node)
            except Exception:  # who starts it next finds that it still hangs
                log.exception("a host that hangs was not ended", extra={"job": self._job_id})

        self._pool.submit(end)

    def _end_other_hosts(self, instruction: instructions.EndOtherHosts) -> None:
        for host in self._hosts.keys() - set(instruction.hosts):
            del self._hosts[host]
            self._pulse.forget(host)
        self._deployment.end_hosts(self._job_id, but=instruction.hosts)

    def _end_sampler(self, instruction: Instruction) -> None:
        self._deployment.end_sampler(self._job_id)

    def _warn(self, instruction: instructions.Warn) -> None:
        log.warning(instruction.phrase, extra={"job": self._job_id, "reason": instruction.reason})


_CARRY: dict[type[Instruction], Callable[[JobRunner, Any], None]] = {
    instructions.OpenSource: JobRunner._open_source,
    instructions.CloseSource: JobRunner._close_source,
    instructions.ReadSplit: JobRunner._read_split,
    instructions.ReadAgain: JobRunner._read_again,
    instructions.StandBy: JobRunner._stand_by,
    instructions.ReadMarks: JobRunner._read_marks,
    instructions.TakeMarks: JobRunner._take_marks,
    instructions.FlushStandbys: JobRunner._flush_standbys,
    instructions.StartHost: JobRunner._start_host,
    instructions.OpenSplits: JobRunner._open_splits,
    instructions.ReadSplits: JobRunner._read_splits,
    instructions.OpenPartitions: JobRunner._open_partitions,
    instructions.AcceptValues: JobRunner._accept_values,
    instructions.SendBatch: JobRunner._send_batch,
    instructions.FlushDue: JobRunner._flush_due,
    instructions.FlushHost: JobRunner._flush_host,
    instructions.Deliver: JobRunner._deliver,
    instructions.TakeNotices: JobRunner._take_notices,
    instructions.NoteNotices: JobRunner._note_notices,
    instructions.SendNotices: JobRunner._send_notices,
    instructions.ReleasePartitions: JobRunner._release,
    instructions.CopyShard: JobRunner._copy_shard,
    instructions.TakeSnapshot: JobRunner._take_snapshot,
    instructions.StoreSnapshot: JobRunner._store_snapshot,
    instructions.DropSnapshot: JobRunner._drop_snapshot,
    instructions.ReadSnapshot: JobRunner._read_snapshot,
    instructions.Propose: JobRunner._propose,
    instructions.PrepareHost: JobRunner._prepare_host,
    instructions.EndHost: JobRunner._end_host,
    instructions.EndOtherHosts: JobRunner._end_other_hosts,
    instructions.EndSampler: JobRunner._end_sampler,
    instructions.Warn: JobRunner._warn,
}

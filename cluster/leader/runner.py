"""One running job, seen by the leader: hosts, subscription, checkpoints, scaling, recovery.

A runner lives in a thread of the leading member, for one epoch. It opens the job's partitions on their hosts,
subscribes the source where they stand, and pumps. Whatever goes wrong on the way (a host dies, a disk is full, a file
is missing) it starts over: partitions know where they stand, so starting over loses and doubles nothing. It ends when
its epoch is over, when the job is no longer wanted, or when the job has come to its end.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import msgpack

from actors.errors import SnapshotError, StaleEpochError, TocsinError
from actors.shard import ShardIdentifierError
from actors.source.open import open_source
from actors.source.protocol import Source
from cluster.deployment import deploy
from cluster.leader.acceptances import first_unsent, place_acceptances, placed_acceptances
from cluster.leader.checkpoints import Checkpointer
from cluster.leader.group_port import GroupPort
from cluster.leader.moves import Mover
from cluster.leader.placement import place, plan_moves
from cluster.leader.pump import Pump, first_needed
from cluster.local.home import Home
from config.errors import ConfigError
from config.settings import JobSettings
from raft.commands import (
    AssignmentChanged,
    JobFinished,
    MoveAbandoned,
)
from raft.group import Job, JobStatus, Manifest

log = logging.getLogger(__name__)

IDLE_S = 0.01
"""Seconds between two looks at a source that has nothing new."""

WATCH_S = 0.1
"""Seconds between two looks at the group's state."""

RETRY_S_MIN = 0.05
RETRY_S_MAX = 2.0
"""Seconds before a job starts over, doubled with every failure in a row."""

FATAL = (SnapshotError, ShardIdentifierError, ConfigError)
"""Errors that starting over cannot mend."""


def now_us() -> int:
    """Return the time of day, in microseconds since the epoch."""
    return time.time_ns() // 1000


class JobRunner:
    """Runs one job under one epoch, in a thread of its own."""

    def __init__(self, group: GroupPort, job_id: str, epoch: int, home: Home) -> None:
        self._group = group
        self._job_id = job_id
        self._epoch = epoch
        self._home = home
        self._stopping = threading.Event()
        self._received: dict[int, int] = {}
        self._status: dict[str, Any] = {"epoch": epoch, "phase": "starting", "trouble": None, "failure_count": 0}
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

    def status(self) -> dict[str, Any]:
        """Return what the runner is doing, as plain values."""
        return dict(self._status)

    def _run(self) -> None:
        pause_s = RETRY_S_MIN
        while not self._stopping.is_set():
            try:
                self._work()
                return
            except StaleEpochError:
                log.warning("a newer leader runs the job", extra={"job": self._job_id, "epoch": self._epoch})
                return
            except FATAL as error:
                self._fail(error)
                return
            except (TocsinError, OSError) as error:
                self._trouble(str(error))
            except Exception as error:
                log.exception("a job starts over", extra={"job": self._job_id})
                self._trouble(f"{type(error).__name__}: {error}")
            pumped = self._status.pop("pumped", False)
            pause_s = RETRY_S_MIN if pumped else min(pause_s * 2, RETRY_S_MAX)
            self._stopping.wait(pause_s * random.uniform(0.5, 1.0))

    def _trouble(self, text: str) -> None:
        self._status.update(phase="recovering", trouble=text, failure_count=self._status["failure_count"] + 1)
        log.warning("a job starts over", extra={"job": self._job_id, "reason": text})

    def _fail(self, error: Exception) -> None:
        self._status.update(phase="failed", trouble=str(error))
        summary = msgpack.packb({"failed": str(error)})
        self._group.propose(JobFinished(epoch=self._epoch, job_id=self._job_id, summary=summary))

    def _work(self) -> None:
        record = self._group.state().jobs[self._job_id]
        settings = JobSettings.from_bytes(record.spec)
        self._status.update(phase="opening", started_us=now_us())
        source = self._open_source(settings, record)
        try:
            self._settle_moves(record)
            pump = self._subscribe(settings, source)
            self._pump(settings, pump)
        finally:
            source.close()

    def _open_source(self, settings: JobSettings, record: Job) -> Source:
        directory = self._home.streams_directory
        if settings.source.type == "host_metrics":
            sampler = deploy.ensure_stream(self._group.group_id, self._job_id, record.spec, str(directory))
            deploy.call(sampler.ready.remote)
        return open_source(settings, directory, positions=self._home.partitions_directory(self._job_id))

    def _subscribe(self, settings: JobSettings, source: Source) -> Pump:
        self._assign()
        earliest = {split.number: source.earliest_offset(split.number) for split in source.splits()}
        owners = self._owners()
        needed = self._open_hosts(owners, earliest)
        positions = first_needed(needed, earliest)
        self._received = {split: max(marks.get(split, 0) for marks in needed) for split in earliest}
        self._status.update(
            phase="running",
            trouble=None,
            opened_us=now_us(),
            rows_sent_again=sum(self._received[split] - positions[split] for split in earliest),
        )
        return Pump(settings, source, owners, positions, self._epoch, now_us)

    def _assign(self) -> None:
        record = self._group.state().jobs[self._job_id]
        placed = place(record.owners, record.host_count)
        if placed:
            owners = tuple(sorted(placed.items()))
            self._group.propose(AssignmentChanged(epoch=self._epoch, job_id=self._job_id, owners=owners))

    def _owners(self) -> dict[int, deploy.RayHost]:
        record = self._group.state().jobs[self._job_id]
        hosts = {name: self._host(name) for name in set(record.owners)}
        return {partition: hosts[name] for partition, name in enumerate(record.owners)}

    def _host(self, name: str) -> deploy.RayHost:
        record = self._group.state().jobs[self._job_id]
        directory = str(self._home.partitions_directory(self._job_id))
        host = deploy.ensure_host(self._group.group_id, self._job_id, name, record.spec, directory)
        accepted = placed_acceptances(self._group.state().jobs[self._job_id])
        if accepted:
            # Whoever is sent rows knows the values that were accepted before them.
            host.accept(self._epoch, accepted).wait()
        return host

    def _open_hosts(self, owners: dict[int, deploy.RayHost], earliest: dict[int, int]) -> list[dict[int, int]]:
        by_host: dict[str, tuple[deploy.RayHost, list[int]]] = {}
        for partition, host in owners.items():
            by_host.setdefault(host.name, (host, []))[1].append(partition)
        snapshots = self._snapshots(list(owners)) if any(earliest.values()) else {}
        replies = [
            host.open(self._epoch, numbers, earliest, {n: snapshots[n] for n in numbers if n in snapshots}, now_us())
            for host, numbers in by_host.values()
        ]
        return [marks for reply in replies for marks in reply.wait().values()]

    def _snapshots(self, partitions: list[int]) -> dict[int, bytes]:
        # Asked for only when the source has lost its beginning; a shard that holds rows ignores its snapshot.
        record = self._group.state().jobs[self._job_id]
        found = {}
        for partition in partitions:
            manifest = record.newest_manifest(partition)
            data = None if manifest is None else self._read_snapshot(partition, manifest)
            if data is not None:
                found[partition] = data
        return found

    def _read_snapshot(self, partition: int, manifest: Manifest) -> bytes | None:
        for holder in manifest.holders:
            member = deploy.find_member(self._group.group_id, holder)
            if member is not None:
                data: bytes | None = deploy.call(member.read_snapshot.remote, self._job_id, partition, manifest.digest)
                if data is not None:
                    return data
        return None

    def _pump(self, settings: JobSettings, pump: Pump) -> None:
        checkpointer = Checkpointer(self._group, self._job_id, self._epoch, settings, now_us)
        mover = Mover(self._group, self._job_id, self._epoch, self._host, now_us)
        every = _Every(WATCH_S)
        delivery = _Every(settings.flush.period_ms / 1000)
        tick = _Every(settings.flush.period_ms / 1000)
        try:
            while not self._stopping.is_set():
                moved = pump.pump_once()
                self._note(pump)
                if every.is_due():
                    if not self._is_wanted():
                        mover.settle(pump)
                        self._rest(pump)
                        return
                    self._plan_moves(mover)
                    if not mover.is_moving:
                        self._accept(pump)
                self._advance(mover, pump)
                if delivery.is_due():
                    pump.deliver()
                if not mover.is_moving:
                    checkpointer.after(pump)
                if not moved:
                    if not mover.is_moving and self._is_complete(pump, checkpointer):
                        return
                    if tick.is_due():
                        pump.tick()
                    self._stopping.wait(IDLE_S)
        finally:
            mover.close()
            checkpointer.close()

    def _accept(self, pump: Pump) -> None:
        """Give accepted values that wait for it a place among the rows, and tell the hosts."""
        place = first_unsent(pump.stat().positions, self._received)
        if place_acceptances(self._group, self._job_id, self._epoch, place, self._stopping.is_set):
            for name in {port.name for port in pump.owners.values()}:
                self._host(name)

    def _rest(self, pump: Pump) -> None:
        pump.finish()
        sampler = deploy.find_stream(self._group.group_id, self._job_id)
        if sampler is not None:
            deploy.end_actor(sampler)
        self._note(pump)
        self._status["phase"] = "stopped"

    def _note(self, pump: Pump) -> None:
        stat = pump.stat()
        if stat.row_count and "first_pumped_us" not in self._status:
            self._status["first_pumped_us"] = now_us()
        self._status.update(pump=asdict(stat), pumped=True, noted_us=now_us())
        if stat.anomaly_count and "first_anomaly_us" not in self._status:
            self._status["first_anomaly_us"] = now_us()

    def _is_wanted(self) -> bool:
        state = self._group.state()
        if state.epoch != self._epoch:
            raise StaleEpochError(f"epoch {self._epoch} is over: {state.leader_id} leads epoch {state.epoch}")
        job = state.jobs.get(self._job_id)
        return job is not None and job.status is JobStatus.RUNNING

    def _is_complete(self, pump: Pump, checkpointer: Checkpointer) -> bool:
        if not pump.stat().at_end:
            return False
        pump.finish()
        checkpointer.take(pump)
        self._note(pump)
        self._status["phase"] = "finished"
        summary = msgpack.packb({"pump": asdict(pump.stat()), "finished_us": now_us()})
        self._group.propose(JobFinished(epoch=self._epoch, job_id=self._job_id, summary=summary))
        return True

    def _settle_moves(self, record: Job) -> None:
        """Undo the moves that a former leader left unfinished: the source stays the owner."""
        for partition, target in record.moves.items():
            host = deploy.find_host(self._group.group_id, self._job_id, target)
            if host is not None:
                host.release(self._epoch, [partition], now_us()).wait()
            self._group.propose(MoveAbandoned(epoch=self._epoch, job_id=self._job_id, partition=partition))

    def _plan_moves(self, mover: Mover) -> None:
        record = self._group.state().jobs[self._job_id]
        moves = [] if mover.is_moving else plan_moves(record.owners, record.host_count)
        if moves:
            mover.plan(moves)
            self._status["phase"] = "scaling"

    def _advance(self, mover: Mover, pump: Pump) -> None:
        if not mover.is_moving:
            return
        mover.advance(pump)
        self._status["moves"] = mover.progress
        if mover.is_moving:
            return
        for name in mover.sources - {port.name for port in pump.owners.values()}:
            deploy.end_host(self._group.group_id, self._job_id, name)
        self._status["phase"] = "running"


class _Every:
    """Says when a period has passed."""

    def __init__(self, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._period_s = period_s
        self._clock = clock
        self._due_s = clock() + period_s

    def is_due(self) -> bool:
        """Return whether the period has passed since it was due last."""
        if self._clock() < self._due_s:
            return False
        self._due_s = self._clock() + self._period_s
        return True

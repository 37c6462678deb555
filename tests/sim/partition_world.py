"""A world for partitions: hosts and leaders in one process, a manual clock, and everything going wrong.

Everything random comes from one seed. Hosts are real, over real LMDB; what is simulated is the way to them. A leader's
messages to one host arrive in order, but between leaders in any order; they are lost, their answers are lost, and they
are repeated later; batches are cut anywhere. Hosts crash between messages and before, within or after a write, and are
started again; disks are full for a while; maps grow, so that a write runs twice. Leaders are deposed and go on as long
as they like; what they know of the group is what it was then. Moves are interrupted wherever that happens to hit them.

`World.run` ends when a leader has finished the job; faults stop before that, or it would never end.
"""

import contextlib
import random
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from actors.errors import StaleEpochError, TocsinError
from actors.host import HostBatch, PartitionHost
from actors.shard import Shard, ShardFullError
from actors.source.protocol import Source, SourceBatch
from cluster.leader.placement import Move, place, plan_moves
from cluster.leader.pump import Pump, first_needed
from config import JobSettings
from raft.commands import (
    AssignmentChanged,
    Command,
    JobFinished,
    JobSubmitted,
    LeaderElected,
    MoveAbandoned,
    MoveFinished,
    MoveStarted,
    ScaleRequested,
)
from raft.group import GroupState, Job, JobStatus, apply
from tests.support.memory_sink import MemorySink
from tests.support.partition_jobs import Outcome, feed_sink, read_outcome

STEP_COUNT_MAX = 20_000
"""Steps after which a world that has not finished never will."""

HOST_COUNT_MAX = 3


class CrashError(BaseException):
    """The process of a host is gone; nothing may catch this but the world."""


class HostGoneError(TocsinError):
    """No answer: the host is dead, or the message or its answer was lost."""


class RefusedError(TocsinError):
    """The group refused a command."""


class WaitingReply:
    """An answer that comes when the world lets it; waiting for it lets the world go on."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.answer: Any = None
        self._error: Exception | None = None
        self._is_ready = False

    def is_ready(self) -> bool:
        return self._is_ready

    def resolve(self, answer: Any = None, error: Exception | None = None) -> None:
        if not self._is_ready:
            self.answer, self._error, self._is_ready = answer, error, True

    def wait(self) -> Any:
        while not self._is_ready:
            self._world.carry()
        if self._error is not None:
            raise self._error
        return self.answer


@dataclass(frozen=True, slots=True)
class Message:
    """One call of a leader to a host."""

    method: str
    arguments: tuple[Any, ...]
    reply: WaitingReply


@dataclass(slots=True)
class SimHost:
    """The place of a host: its process may be dead."""

    name: str
    process: PartitionHost | None = None


class HostLink:
    """A host as one leader sees it: the pump's port, and what else leaders say to hosts."""

    def __init__(self, world: "World", epoch: int, name: str) -> None:
        self._world = world
        self._key = (epoch, name)

    @property
    def name(self) -> str:
        return self._key[1]

    def apply(self, epoch: int, batch: HostBatch, now_us: int) -> WaitingReply:
        return self.send("apply", epoch, batch, now_us)

    def tick(self, epoch: int, now_us: int) -> WaitingReply:
        return self.send("tick", epoch, now_us)

    def flush(self, epoch: int, now_us: int) -> WaitingReply:
        return self.send("flush", epoch, now_us)

    def deliver(self) -> WaitingReply:
        return self.send("deliver")

    def send(self, method: str, *arguments: Any) -> WaitingReply:
        reply = WaitingReply(self._world)
        self._world.post(self._key, Message(method, arguments, reply))
        return reply


class CutSource:
    """Another source whose batches end anywhere."""

    def __init__(self, source: Source, rng: random.Random) -> None:
        self._source = source
        self._rng = rng
        self.schema = source.schema
        self.splits = source.splits
        self.earliest_offset = source.earliest_offset
        self.close = source.close

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        return self._source.read(split, offset, self._rng.randint(1, row_count_max + 3))


class Leader:
    """One leadership: what `cluster.leader.runner` does, a step at a time."""

    def __init__(self, world: "World", epoch: int) -> None:
        self.epoch = epoch
        self.view = world.group
        """The group as this leader knows it: kept up until it is deposed."""
        self._world = world
        self._rng = world.rng
        self.steps = self._run()

    def _run(self) -> Iterator[None]:
        while True:
            try:
                yield from self._work()
                return
            except StaleEpochError:
                return
            except (TocsinError, MemoryError) as error:
                self._world.troubles.append(f"{type(error).__name__}: {error}")
            yield
            self._look_at_the_group()

    def _look_at_the_group(self) -> None:
        if self._world.group.epoch == self.epoch:
            self.view = self._world.group

    def _job(self) -> Job:
        return self.view.jobs[self._world.job.name]

    def _link(self, name: str) -> HostLink:
        self._world.start_host(name)
        return HostLink(self._world, self.epoch, name)

    def _wait(self, reply: WaitingReply) -> Iterator[None]:
        while not reply.is_ready():
            yield

    def _work(self) -> Iterator[None]:
        for partition, target in self._job().moves.items():
            released = self._link(target).send("release", self.epoch, [partition], self._world.now_us)
            yield from self._wait(released)
            released.wait()
            self._propose(MoveAbandoned(epoch=self.epoch, job_id=self._job().job_id, partition=partition))
            yield
        placed = place(self._job().owners, self._job().host_count)
        if placed:
            owners = tuple(sorted(placed.items()))
            self._propose(AssignmentChanged(epoch=self.epoch, job_id=self._job().job_id, owners=owners))
        pump = yield from self._subscribe()
        yield from self._pump(pump)

    def _propose(self, command: Command) -> None:
        self._world.propose(self, command)

    def _owners(self) -> dict[int, HostLink]:
        links = {name: self._link(name) for name in dict.fromkeys(self._job().owners)}
        return {partition: links[name] for partition, name in enumerate(self._job().owners)}

    def _subscribe(self) -> Iterator[None]:
        source = self._world.source
        earliest = {split.number: source.earliest_offset(split.number) for split in source.splits()}
        owners = self._owners()
        replies = []
        for name in dict.fromkeys(self._job().owners):
            numbers = [partition for partition, link in owners.items() if link.name == name]
            link = owners[numbers[0]]
            replies.append(link.send("open", self.epoch, numbers, earliest, {}, self._world.now_us))
        for reply in replies:
            yield from self._wait(reply)
        needed = [marks for reply in replies for marks in reply.wait().values()]
        positions = first_needed(needed, earliest)
        return Pump(self._world.job, source, owners, positions, self.epoch, lambda: self._world.now_us)

    def _pump(self, pump: Pump) -> Iterator[None]:
        while True:
            moved = pump.pump_once()
            yield
            if self.view.epoch != self.epoch:
                pump.finish()
                return
            chance = self._rng.random()
            if chance < 0.1:
                yield from self._scale(pump)
            elif chance < 0.2:
                pump.deliver()
            elif chance < 0.35:
                self._checkpoint(pump)
            if not moved and pump.stat().at_end:
                pump.finish()
                self._propose(JobFinished(epoch=self.epoch, job_id=self._job().job_id, summary=b""))
                return
            if self._rng.random() < 0.1:
                pump.tick()

    def _checkpoint(self, pump: Pump) -> None:
        partition = self._rng.randrange(self._world.job.partitions)
        link = pump.owners[partition]
        assert isinstance(link, HostLink)
        reply = link.send("snapshot", self.epoch, partition, self._world.now_us)
        self._world.snapshots_asked.append((partition, reply))

    def _scale(self, pump: Pump) -> Iterator[None]:
        for move in plan_moves(self._job().owners, self._job().host_count):
            pump.hold(move.partition)
            for _ in self._move(move):
                # The other partitions go on meanwhile.
                if self._rng.random() < 0.5:
                    pump.pump_once()
                yield
            target: HostLink = self._link(move.target)
            # A leader that sends to the former owner must not make the new one believe that there were no rows.
            if self._rng.random() < 0.1:
                target = self._link(move.source)
            pump.hand_over(move.partition, target)

    def _move(self, move: Move) -> Iterator[None]:
        job_id, partition = self._job().job_id, move.partition
        source, target = self._link(move.source), self._link(move.target)
        self._propose(
            MoveStarted(epoch=self.epoch, job_id=job_id, partition=partition, source=move.source, target=move.target)
        )
        yield
        released = source.send("release", self.epoch, [partition], self._world.now_us)
        yield from self._wait(released)
        released.wait()
        yield
        opened = target.send("open", self.epoch, [partition], {}, {}, self._world.now_us)
        yield from self._wait(opened)
        opened.wait()
        yield
        self._propose(MoveFinished(epoch=self.epoch, job_id=job_id, partition=partition, target=move.target))


@dataclass(slots=True)
class WriteFate:
    """What happens to the next writes: `kind` after `countdown` of them, `count` times."""

    kind: str = ""
    countdown: int = 0
    count: int = 0


@dataclass(slots=True)
class World:
    """One job, its hosts, its leaders and what goes wrong."""

    seed: int
    job: JobSettings
    source: Source
    directory: Path
    fault_count: int = 12
    may_lose_shards: bool = False
    rng: random.Random = field(init=False)
    group: GroupState = field(init=False, default_factory=GroupState)
    now_us: int = 1_000_000
    hosts: dict[str, SimHost] = field(init=False, default_factory=dict)
    channels: dict[tuple[int, str], deque[Message]] = field(init=False, default_factory=dict)
    leaders: list[Leader] = field(init=False, default_factory=list)
    sink: MemorySink = field(init=False, default_factory=MemorySink)
    fate: WriteFate = field(init=False, default_factory=WriteFate)
    snapshots_asked: list[tuple[int, WaitingReply]] = field(init=False, default_factory=list)
    troubles: list[str] = field(init=False, default_factory=list)
    diary: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.source = CutSource(self.source, self.rng)
        submitted = JobSubmitted(
            job_id=self.job.name, spec=b"", partition_count=self.job.partitions, host_count=self.rng.randint(1, 2)
        )
        self.group, _ = apply(self.group, submitted)
        self.elect()

    def run(self) -> None:
        """Go on until a leader has finished the job."""
        for _ in range(STEP_COUNT_MAX):
            if self._is_finished():
                self._close_hosts()
                return
            self.step()
        raise AssertionError(f"the job never ends; last troubles: {self.troubles[-5:]}")

    def outcome(self) -> Outcome:
        """Return what is left when the job has ended and all hosts are closed."""
        splits = [split.number for split in self.source.splits()]
        return read_outcome(self.job, self.directory, splits, self.sink)

    def snapshots(self) -> list[tuple[int, bytes]]:
        """Return the snapshots that hosts gave, with their partitions."""
        answered = [(number, reply.answer) for number, reply in self.snapshots_asked if reply.is_ready()]
        return [(number, answer[1]) for number, answer in answered if answer is not None]

    def _is_finished(self) -> bool:
        return self._is_job_finished() and not self._resume_for_lost_shards()

    def _resume_for_lost_shards(self) -> bool:
        """Run the job again when a shard was lost after its last message."""
        lost = [number for number in range(self.job.partitions) if not (self.directory / f"{number:04d}").exists()]
        if lost:
            job = replace(self.group.jobs[self.job.name], status=JobStatus.RUNNING)
            self.group = replace(self.group, jobs={job.job_id: job})
            self.elect()
        return bool(lost)

    def _is_job_finished(self) -> bool:
        return self.group.jobs[self.job.name].status is JobStatus.FINISHED

    def step(self) -> None:
        """Let a leader do something, or carry a message."""
        if self.rng.random() < 0.5 and any(self.channels.values()):
            self.carry()
            return
        leader = self.leaders[-1] if self.rng.random() < 0.7 else self.rng.choice(self.leaders)
        try:
            next(leader.steps)
        except StopIteration:
            self._remove(leader)

    def _remove(self, leader: Leader) -> None:
        self.note(f"leader {leader.epoch} ends")
        # It may have been killed while it waited for its last answer.
        self.leaders = [other for other in self.leaders if other is not leader]
        if leader.epoch == self.group.epoch and not self._is_job_finished():
            self.elect()

    def carry(self) -> None:
        """Let something go wrong, or let one message arrive."""
        self.now_us += self.rng.choice((0, 1_000, 20_000, 150_000))
        if self.fault_count and self.rng.random() < 0.12:
            self.fault_count -= 1
            self._fault()
            return
        if self.rng.random() < 0.1:
            # Somebody starts dead processes again; they own nothing then.
            for name in self.hosts:
                self.start_host(name)
        waiting = [key for key, channel in self.channels.items() if channel]
        if waiting:
            key = self.rng.choice(waiting)
            self._arrive(key, self.channels[key].popleft())

    def post(self, key: tuple[int, str], message: Message) -> None:
        """Put a message on its way."""
        self.channels.setdefault(key, deque()).append(message)

    def _arrive(self, key: tuple[int, str], message: Message) -> None:
        fate = self.rng.random() if self.fault_count else 1.0
        if fate < 0.01:
            self.note(f"lost {message.method} {key}")
            message.reply.resolve(error=HostGoneError("the message was lost"))
            return
        answer, error = self._call(key[1], message)
        if fate < 0.02:
            self.note(f"answer lost of {message.method} {key}")
            error = HostGoneError("the answer was lost")
        message.reply.resolve(answer, error)
        if fate > 0.95 and self.fault_count and message.method in ("apply", "flush", "tick", "deliver"):
            channel = self.channels[key]
            channel.insert(self.rng.randint(0, len(channel)), Message(message.method, message.arguments, message.reply))

    def _call(self, name: str, message: Message) -> tuple[Any, Exception | None]:
        host = self.hosts[name]
        if host.process is None:
            return None, HostGoneError(f"{name} is dead")
        try:
            return getattr(host.process, message.method)(*message.arguments), None
        except CrashError:
            self.note(f"{name} crashes in {message.method}")
            self._end(host)
            return None, HostGoneError(f"{name} died in {message.method}")
        except (TocsinError, MemoryError) as error:
            self.note(f"{name} {message.method}: {type(error).__name__}: {error}")
            return None, error

    def start_host(self, name: str) -> None:
        """Start the process of a host when it has none."""
        host = self.hosts.setdefault(name, SimHost(name))
        if host.process is None:
            host.process = PartitionHost(self.job.to_bytes(), str(self.directory))
            feed_sink(host.process, self.sink)

    def _end(self, host: SimHost) -> None:
        """End a process as SIGKILL does: nothing is flushed, locks are free."""
        process, host.process = host.process, None
        if process is not None:
            process.close()

    def _close_hosts(self) -> None:
        self.fate = WriteFate()
        for host in self.hosts.values():
            self._end(host)

    def _fault(self) -> None:
        faults: list[Callable[[], None]] = [
            self._crash_host, self._crash_host, self._arm_write, self._arm_write, self._arm_write, self.elect,
            self.elect, self._kill_leader, self._scale, self._scale, self._jump, self._break_partition,
        ]  # fmt: skip
        if self.may_lose_shards:
            faults.append(self._lose_shard)
        self.rng.choice(faults)()

    def _crash_host(self) -> None:
        host = self.rng.choice(list(self.hosts.values()))
        self.note(f"{host.name} crashes")
        self._end(host)

    def _arm_write(self) -> None:
        kind = self.rng.choice(("before", "within", "after", "full", "twice"))
        self.fate = WriteFate(kind, self.rng.randrange(6), self.rng.randint(1, 6) if kind == "full" else 1)
        self.note(f"armed {self.fate}")

    def elect(self) -> None:
        """Let another leader win; the former does not know yet."""
        term = self.group.leader_term + 1
        self.group, _ = apply(self.group, LeaderElected(member_id=f"member-{term % 3}", term=term))
        self.note(f"epoch {self.group.epoch}")
        self.leaders.append(Leader(self, self.group.epoch))

    def _kill_leader(self) -> None:
        # Its generator may be running just now, waiting for an answer, so it is only never resumed.
        if len(self.leaders) > 1:
            self.leaders.remove(self.rng.choice(self.leaders[:-1]))

    def _scale(self) -> None:
        count = self.rng.randint(1, min(HOST_COUNT_MAX, self.job.partitions))
        self.note(f"scale to {count}")
        self.group, _ = apply(self.group, ScaleRequested(job_id=self.job.name, host_count=count))
        self.leaders[-1].view = self.group

    def _break_partition(self) -> None:
        """Let the next batch of a partition fail when the engine has it and the rest has not."""
        open_now = [one for host in self.hosts.values() if host.process for one in host.process._partitions.values()]
        if open_now:
            partition = self.rng.choice(open_now)
            self.note(f"partition {partition.number} will break")
            real = partition._parts.metrics.engine.append_physical

            def fail(*arguments: Any) -> None:
                partition._parts.metrics.engine.append_physical = real
                real(*arguments)
                raise MemoryError("no memory left in the middle of a batch")

            partition._parts.metrics.engine.append_physical = fail

    def _jump(self) -> None:
        self.now_us += self.rng.choice((-500_000, 500_000, 60_000_000))

    def _lose_shard(self) -> None:
        number = self.rng.randrange(self.job.partitions)
        self.note(f"shard {number} is lost")
        for host in self.hosts.values():
            if host.process is not None and number in host.process._partitions:
                self._end(host)
        shutil.rmtree(self.directory / f"{number:04d}", ignore_errors=True)

    def propose(self, leader: Leader, command: Command) -> None:
        """Have a command applied, as the Raft group does for its leader; a deposed one learns that it is."""
        before = self.group
        self.group, _ = apply(before, command)
        if self.fault_count and self.rng.random() < 0.05:
            self.note(f"answer lost of {type(command).__name__}")
            raise HostGoneError("the group did not answer in time")
        leader.view = self.group
        if self.group is before or (self.group.jobs == before.jobs and self.group.epoch == before.epoch):
            raise RefusedError(f"refused: {command}")

    def note(self, text: str) -> None:
        """Write the diary that a failing seed is read by."""
        self.diary.append(text)

    def write(self, original: Callable[..., Any], shard: Shard, action: Callable[[Any], Any]) -> Any:
        """Run a write of a shard as fate has it."""
        kind = self._next_fate()
        if kind == "full":
            raise ShardFullError("the disk is full")
        if kind == "before":
            raise CrashError
        if kind in ("within", "twice"):
            with contextlib.suppress(_AbortedError):
                original(shard, lambda txn: _abort_after(action, txn))
            if kind == "within":
                raise CrashError
        result = original(shard, action)
        if kind == "after":
            raise CrashError
        return result

    def _next_fate(self) -> str:
        if not self.fate.count:
            return ""
        if self.fate.countdown:
            self.fate.countdown -= 1
            return ""
        self.fate.count -= 1
        return self.fate.kind


class _AbortedError(Exception):
    pass


def _abort_after(action: Callable[[Any], Any], txn: Any) -> None:
    action(txn)
    raise _AbortedError

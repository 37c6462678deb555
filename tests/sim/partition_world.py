"""A world for leaders and partitions: real but for the ways between them and the clock, and everything goes wrong.

Real are the leader's core, the group's `apply`, hosts, partitions and sinks over LMDB; everything random comes from one
seed. A leader's messages to one host arrive in order, but between leaders in any order; they are lost, doubled, or go
to the wrong host; replies come in any order, late, twice or never. Batches are cut anywhere. Hosts crash between
messages and before, within or after a write, and are started again; disks are full for a while; maps grow, so that a
write runs twice. Proposals are answered late or never, and applied all the same. Members that store snapshots die. The
source fails and comes back, grows, and trims its beginning. Leaders are deposed and go on as long as they like; what
they know of the group is what it was then.

Every part with `validate()` is validated after every step. `World.run` ends when the job is finished; faults stop
before that, or it would never end.
"""

import random
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path

from actors.errors import TocsinError
from actors.host import PartitionHost
from actors.partition.values import OpenedPartition
from actors.source.protocol import Source
from cluster.errors import NoAnswerError
from cluster.leader import events, instructions
from cluster.leader.again import Readers, read_again
from cluster.leader.core import LeaderCore
from cluster.leader.events import Event
from cluster.leader.failures import failure_of
from cluster.leader.instructions import HostRequest, Instruction, Request
from cluster.leader.limits import LeaderLimits
from cluster.leader.reading import SplitReader
from cluster.leader.status import Phase
from cluster.leader.subscription import LeaderTask
from config import JobSettings
from raft.commands import Command, ForgetSnapshots, JobResumed, JobSubmitted, LeaderElected, Refused
from raft.group import GroupState, Job, JobStatus, answer_to, apply, named_snapshots, validate
from tests.sim.members import SimMember
from tests.sim.shaky import CrashError, ShakyDisk, ShakySink, ShakySource
from tests.support.partition_jobs import Outcome, feed_sinks, read_outcome

STEP_COUNT_MAX = 20_000
"""Steps after which a world that has not finished never will."""

MEMBERS = ("member-0", "member-1", "member-2")

LIMITS = LeaderLimits(
    reply_timeout_us=3_000_000,
    send_timeout_us=3_000_000,
    start_timeout_us=3_000_000,
    store_timeout_us=1_000_000,
    node_lost_us=2_000_000,
    standby_again_max=12,
    standby_marks_us=100_000,
    standby_away_us=300_000,
    standby_settle_us=3_000_000,
    standby_catch_up_us=500_000,
    standby_end_us=3_000_000,
    promotion_us=500_000,
)


OF_SINKS = (
    instructions.Deliver,
    instructions.TakeNotices,
    instructions.NoteNotices,
    instructions.SendNotices,
)
"""What hosts do beside everything else, for one sink each."""


class NoReplyError(NoAnswerError):
    """No answer: somebody is dead."""


@dataclass(frozen=True, slots=True)
class Message:
    """One request on its way to a host."""

    leader: "SimLeader"
    request: HostRequest


@dataclass(slots=True)
class SimHost:
    """The place of a host: its process may be dead."""

    name: str
    process: PartitionHost | None = None


class SimLeader:
    """A leader's core, and what is on its way to it."""

    def __init__(self, world: "World", epoch: int, number: int) -> None:
        self.epoch = epoch
        self.view = world.group
        """The group as this leader knows it."""
        self.inbox: list[Event] = []
        self.reader: SplitReader | None = None
        self.again: Readers = {}
        self.snapshots: dict[int, bytes] = {}
        task = LeaderTask(job_id=world.job.name, epoch=epoch, member_ids=MEMBERS)
        self.core = LeaderCore(task, world.job, f"leader-{number}", limits=LIMITS, jitter=0.7)


@dataclass(slots=True)
class World:
    """One job, its hosts and its leaders; what goes wrong is in `tests.sim.partition_faults`."""

    seed: int
    job: JobSettings
    source: Source
    directory: Path
    fault_count: int = 12
    may_lose_shards: bool = False
    values: tuple[bytes, ...] = ()
    """Values that are accepted on the way."""
    has_values: bool = field(init=False)
    rng: random.Random = field(init=False)
    shaky: ShakySource = field(init=False)
    group: GroupState = field(init=False, default_factory=GroupState)
    now_us: int = 1_000_000
    hosts: dict[str, SimHost] = field(init=False, default_factory=dict)
    channels: dict[tuple[int, str, int | None], deque[Message]] = field(init=False, default_factory=dict)
    proposals: list[tuple[SimLeader, instructions.Propose]] = field(init=False, default_factory=list)
    members: dict[str, SimMember] = field(init=False, default_factory=dict)
    leaders: list[SimLeader] = field(init=False, default_factory=list)
    leader_count: int = 0
    sinks: list[ShakySink] = field(init=False)
    disk: ShakyDisk = field(init=False, default_factory=ShakyDisk)
    taken: list[tuple[int, bytes]] = field(init=False, default_factory=list)
    diary: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.has_values = bool(self.values)
        self.rng = random.Random(self.seed)
        self.shaky = ShakySource(self.source, self.rng)
        self.members = {name: SimMember(self.directory / name) for name in MEMBERS}
        self.sinks = [ShakySink() for _ in self.job.sinks]
        host_count = self.rng.randint(0, 2)
        self.decide(
            JobSubmitted(job_id=self.job.name, spec=b"", partition_count=self.job.partitions, host_count=host_count)
        )
        self.elect()

    @property
    def sim_job(self) -> Job:
        """The job as the group knows it."""
        return self.group.jobs[self.job.name]

    def decide(self, command: Command) -> None:
        """Have the group apply a command."""
        self.group, actions = apply(self.group, command)
        validate(self.group)
        for action in actions:
            if isinstance(action, ForgetSnapshots):
                for member in self.members.values():
                    member.forget(action)

    def run(self) -> None:
        """Go on until a leader has finished the job."""
        for _ in range(STEP_COUNT_MAX):
            if self._is_finished():
                self._close()
                return
            self.step()
        raise AssertionError(f"the job never ends: {self.leaders[-1].core.status()}")

    def outcome(self) -> Outcome:
        """Return what is left when the job has ended and all hosts are closed."""
        splits = [split.number for split in self.source.splits()]
        return read_outcome(self.job, self.directory, splits, self.sinks)

    def _is_finished(self) -> bool:
        return self._is_job_finished() and not self._resume_for_lost_shards()

    def _is_job_finished(self) -> bool:
        return self.sim_job.status is JobStatus.FINISHED

    def _resume_for_lost_shards(self) -> bool:
        """Run the job again when a shard was lost after its last message."""
        lost = [number for number in range(self.job.partitions) if not self.shard_directory(number).exists()]
        if lost:
            job = replace(self.sim_job, status=JobStatus.RUNNING, summary=b"")
            self.group = replace(self.group, jobs={job.job_id: job})
            self.elect()
        return bool(lost)

    def shard_directory(self, number: int) -> Path:
        """Return where the current shard of a partition is."""
        return self.directory / f"{number:04d}"

    def step(self) -> None:
        """Let something arrive, or let time pass."""
        if self.fault_count and self.rng.random() < 0.03:
            self.fault_count -= 1
            self.fault()
            return
        chance = self.rng.random()
        if chance < 0.55 and self._deliver_event():
            return
        if chance < 0.9 and self._carry_message():
            return
        if self.proposals and self.rng.random() < 0.5:
            self._decide_proposal(*self.proposals.pop(self.rng.randrange(len(self.proposals))))
            return
        self.pass_time()

    def _leader(self) -> SimLeader:
        return self.leaders[-1] if self.rng.random() < 0.7 else self.rng.choice(self.leaders)

    def _deliver_event(self) -> bool:
        """Give a leader an event that is on its way; which is any of them, so replies come late."""
        leader = self._leader()
        if not leader.inbox:
            return False
        event = leader.inbox.pop(self.rng.randrange(len(leader.inbox)))
        if self.fault_count and self.rng.random() < 0.03:
            leader.inbox.append(event)
        self.tell(leader, replace(event, now_us=self.now_us))
        return True

    def tell(self, leader: SimLeader, event: Event) -> None:
        """Step a leader's core and carry its instructions out."""
        if isinstance(event, events.Answered):
            self.look(leader)
        for instruction in leader.core.step(event):
            self._obey(leader, instruction)
        leader.core.validate()

    def look(self, leader: SimLeader) -> None:
        self.tell(leader, events.GroupSeen(now_us=self.now_us, state=leader.view))

    def pass_time(self) -> None:
        """Let time pass, and a leader look at the group; dead processes are started again, and own nothing."""
        leader = self._leader()
        if leader.view.epoch == self.group.epoch or self.rng.random() < 0.2:
            leader.view = self.group
        self.now_us += self.rng.choice((0, 1_000, 20_000, 150_000 if self.fault_count else 30_000))
        if not (leader.inbox or self.proposals or any(self.channels.values())):
            self.now_us += leader.core.wait_us
        if self.rng.random() < 0.3:
            for name in self.hosts:
                self.start_host(name)
        self.look(leader)
        self._supervise()

    def _supervise(self) -> None:
        """Start a core for a job that shall run, as the cluster's leader does, and forget those that are over."""
        newest = self.leaders[-1]
        for leader in self.leaders[:-1]:
            if leader.core.is_over and not leader.inbox:
                self.leaders.remove(leader)
        if self.sim_job.status is JobStatus.STOPPED and not self.fault_count:
            self.decide(JobResumed(job_id=self.job.name))
        is_done = newest.core.is_over or newest.core.phase is Phase.STOPPED
        if is_done and self.sim_job.status is JobStatus.RUNNING:
            self.leaders.remove(newest)
            self.start_leader()

    def _obey(self, leader: SimLeader, instruction: Instruction) -> None:
        match instruction:
            case HostRequest(host=host) if not isinstance(instruction, instructions.StartHost):
                self._post(leader, host, instruction)
            case instructions.EndOtherHosts(hosts=kept):
                self.end_other_hosts(leader, [self.place_of(leader, host) for host in kept])
            case instructions.PrepareHost():
                self.obey_prepare(leader, instruction)
            case instructions.DropSnapshot(snapshot=number):
                leader.snapshots.pop(number, None)
            case instructions.Propose():
                self.proposals.append((leader, instruction))
            case instructions.Warn(phrase=phrase, reason=reason):
                self.note(f"leader {leader.epoch}: {phrase}: {reason}")
            case Request():
                try:
                    leader.inbox.append(self._answer(leader, instruction))
                except TocsinError as error:
                    self._fail(leader, instruction, error)

    def _fail(self, leader: SimLeader, request: Request, error: BaseException) -> None:
        self.note(f"leader {leader.epoch}: {type(request).__name__}: {type(error).__name__}: {error}")
        leader.inbox.append(events.Failed(now_us=0, request=request.request, failure=failure_of(error)))

    def _answer(self, leader: SimLeader, instruction: Request) -> Event:
        number = instruction.request
        match instruction:
            case instructions.OpenSource():
                leader.reader = SplitReader(self.job, self.shaky)
                leader.again.clear()
                return events.SourceOpened(now_us=0, request=number, earliest=leader.reader.earliest())
            case instructions.ReadAgain():
                batch = read_again(leader.again, self.job, self.shaky, instruction)
                return events.SplitRead(now_us=0, request=number, batch=batch)
            case instructions.ReadSplit(split=split, offset=offset, row_count_max=count):
                assert leader.reader is not None
                return events.SplitRead(now_us=0, request=number, batch=leader.reader.read(split, offset, count))
            case instructions.StartHost():
                self.obey_start(leader, instruction)
                return events.Done(now_us=0, request=number)
            case instructions.StoreSnapshot(member=name, partition=partition, snapshot=snapshot):
                data = leader.snapshots[snapshot]
                digest = self._member(name).keep(self.job.name, partition, data)
                return events.SnapshotStored(now_us=0, request=number, digest=digest, size_bytes=len(data))
            case instructions.ReadSnapshot(member=name, partition=partition, digest=digest):
                found = self._member(name).find(self.job.name, partition, digest)
                return events.SnapshotFound(now_us=0, request=number, data=found)
            case instructions.CopyShard():
                self.copy_shard(leader, instruction)
                return events.ShardCopied(now_us=0, request=number)
        raise AssertionError(f"nobody carries out {instruction}")

    def _member(self, name: str) -> SimMember:
        member = self.members[name]
        if not member.is_alive or (self.fault_count and self.rng.random() < 0.05):
            raise NoReplyError(f"{name} does not answer")
        return member

    def obey_start(self, leader: SimLeader, request: instructions.StartHost) -> None:
        """Start a host for a leader."""
        self.start_host(request.host)

    def obey_prepare(self, leader: SimLeader, instruction: instructions.PrepareHost) -> None:
        """Start a host ahead, in worlds that have nodes."""
        raise AssertionError(f"there are no nodes for {instruction}")

    def copy_shard(self, leader: SimLeader, request: instructions.CopyShard) -> None:
        """Copy a shard to another node, in worlds that have nodes."""
        raise AssertionError(f"there are no nodes for {request}")

    def place_of(self, leader: SimLeader, host: str) -> str:
        """Return the name, in `hosts`, of the host that a leader means."""
        return host

    def end_other_hosts(self, leader: SimLeader, kept: list[str]) -> None:
        """End the hosts that own nothing."""
        for host in self.hosts.values():
            if host.name not in kept:
                self.end(host)

    def can_reach(self, host: str) -> bool:
        """Whether messages get to a host now."""
        return True

    def _decide_proposal(self, leader: SimLeader, request: instructions.Propose) -> None:
        if self.fault_count and self.rng.random() < 0.1:
            # It waits on: whether and when it is applied is another matter than whether there is an answer in time.
            self.note(f"no answer to {type(request.command).__name__} of leader {leader.epoch}")
            self._fail(leader, request, NoReplyError("the group does not answer"))
            if self.rng.random() < 0.7:
                self.proposals.append((leader, request))
            return
        self.decide(request.command)
        answer = answer_to(self.group, request.command.request_id)
        assert answer is not None
        if isinstance(answer, Refused):
            self.note(f"refused to leader {leader.epoch}: {answer.reason}")
        if leader.epoch == self.group.epoch:
            leader.view = self.group
        leader.inbox.append(events.Answered(now_us=0, request=request.request, answer=answer))

    def _post(self, leader: SimLeader, host: str, request: HostRequest) -> None:
        key = (
            leader.epoch,
            self.place_of(leader, host),
            request.sink if isinstance(request, OF_SINKS) else None,
        )
        self.channels.setdefault(key, deque()).append(Message(leader, request))

    def _carry_message(self) -> bool:
        waiting = [key for key, channel in self.channels.items() if channel and self.can_reach(key[1])]
        if not waiting:
            return False
        key = self.rng.choice(waiting)
        self._arrive(key, self.channels[key].popleft())
        return True

    def _arrive(self, key: tuple[int, str, int | None], message: Message) -> None:
        leader, request = message.leader, message.request
        fate = self.rng.random() if self.fault_count else 1.0
        name = type(request).__name__
        if fate < 0.01:
            self.note(f"lost {name} {key}")
            return
        host = key[1]
        if 0.01 < fate < 0.015 and isinstance(request, instructions.SendBatch | instructions.ReadSplits):
            host = self.rng.choice(list(self.hosts))
        try:
            event = self._call(host, leader, request)
        except (TocsinError, MemoryError) as error:
            self._fail(leader, request, error)
            return
        if 0.02 < fate < 0.03:
            self.note(f"reply lost of {name} {key}")
            return
        leader.inbox.append(event)
        is_repeatable = isinstance(request, instructions.SendBatch | instructions.FlushDue | instructions.FlushHost)
        # No rows may come while a value gets its place, and hosts are asked once for what they read.
        is_repeatable = is_repeatable or (isinstance(request, instructions.ReadSplits) and not self.has_values)
        if 0.95 < fate < 1.0 and is_repeatable:
            channel = self.channels[key]
            channel.insert(self.rng.randint(0, len(channel)), message)

    def _call(self, name: str, leader: SimLeader, request: HostRequest) -> Event:
        host = self.hosts.get(name)
        if host is None or host.process is None:
            if isinstance(request, instructions.ReleasePartitions):
                return events.Done(now_us=0, request=request.request)
            raise NoReplyError(f"{name} is dead")
        process = host.process
        try:
            return self._ask(process, leader, request)
        except CrashError:
            self.note(f"{name} crashes in {type(request).__name__}")
            self.end(host)
            raise NoReplyError(f"{name} died in {type(request).__name__}") from None
        finally:
            if host.process is not None:
                process.validate()

    def _ask(self, host: PartitionHost, leader: SimLeader, request: HostRequest) -> Event:
        epoch, number, now_us = leader.epoch, request.request, self.now_us
        match request:
            case instructions.OpenPartitions():
                opened = self.open(host, leader, request)
                return events.PartitionsOpened(now_us=0, request=number, opened=opened)
            case instructions.OpenSplits(splits=splits):
                earliest = host.open_splits(epoch, list(splits))
                return events.SplitsOpened(now_us=0, request=number, earliest=earliest)
            case instructions.ReadSplits(offsets=offsets, batch_count_max=count_max, ends=ends):
                progress = host.read_splits(epoch, dict(offsets), count_max, now_us, dict(ends))
                return events.SplitsRead(now_us=0, request=number, progress=tuple(progress))
            case instructions.AcceptValues(acceptances=acceptances):
                host.accept(epoch, list(acceptances))
            case instructions.SendBatch(batch=batch):
                count = host.apply(epoch, batch, now_us)
                return events.BatchApplied(now_us=0, request=number, anomaly_count=count)
            case instructions.FlushDue():
                host.flush_due(epoch, now_us)
            case instructions.FlushHost():
                return events.HostFlushed(now_us=0, request=number, committed=host.flush(epoch, now_us))
            case instructions.Deliver(sink=sink, is_last=is_last):
                return events.Delivered(now_us=0, request=number, count=host.deliver(sink, is_last))
            case instructions.TakeNotices(sink=sink, is_all=is_all):
                taken = host.take_notices(epoch, sink, now_us, is_all)
                return events.NoticesTaken(now_us=0, request=number, taken=taken)
            case instructions.NoteNotices(sink=sink, notes=notes):
                host.note_notices(epoch, sink, notes)
            case instructions.SendNotices(sink=sink, sent=sent):
                return events.NoticesSent(now_us=0, request=number, sent=host.send_notices(epoch, sink, sent))
            case instructions.StandBy(partition=partition, generation=generation, others=others):
                known = request.acceptances
                one = host.stand_by(epoch, partition, generation, others, now_us, known)
                return events.StandbyOpened(now_us=0, request=number, opened=one)
            case instructions.ReadMarks():
                return events.MarksRead(now_us=0, request=number, marks=host.outbox_marks())
            case instructions.TakeMarks(marks=marks):
                host.take_marks(epoch, marks)
            case instructions.FlushStandbys(are_due=are_due):
                committed = host.flush_standbys(epoch, now_us, are_due)
                return events.HostFlushed(now_us=0, request=number, committed=committed)
            case instructions.ReleasePartitions(partitions=partitions):
                host.release(epoch, list(partitions), now_us)
            case instructions.TakeSnapshot(partition=partition):
                captured = host.capture(epoch, partition, now_us)
                data = leader.snapshots[number] = b"".join(captured.pieces())
                self.taken.append((partition, data))
                return events.SnapshotTaken(now_us=0, request=number, offsets=captured.offsets)
            case _:
                raise AssertionError(f"no host does {request}")
        return events.Done(now_us=0, request=number)

    def open(
        self, host: PartitionHost, leader: SimLeader, request: instructions.OpenPartitions
    ) -> dict[int, OpenedPartition]:
        """Let a host open partitions."""
        earliest, snapshots = dict(request.earliest), dict(request.snapshots)
        return host.open(
            leader.epoch,
            list(request.partitions),
            earliest,
            snapshots,
            self.now_us,
            request.acceptances,
            request.generations,
            request.are_all,
            request.standbys,
        )

    def directory_of(self, name: str) -> Path:
        """Return where the shards of a host are."""
        return self.directory

    def start_host(self, name: str) -> None:
        """Start the process of a host when it has none."""
        host = self.hosts.setdefault(name, SimHost(name))
        if host.process is None:
            directory = str(self.directory_of(name))
            host.process = PartitionHost(self.job.to_bytes(), directory, open_split=lambda split: self.shaky)
            feed_sinks(host.process, self.sinks)

    def end(self, host: SimHost) -> None:
        """End a process as SIGKILL does: nothing is flushed, locks are free."""
        process, host.process = host.process, None
        if process is not None:
            process.close()

    def _close(self) -> None:
        self.disk = ShakyDisk()
        for host in self.hosts.values():
            self.end(host)
        for member in self.members.values():
            member.start(named_snapshots(self.group))
            member.store.validate()
            member.die(loses_directory=False)

    def elect(self) -> None:
        """Let another leader win; the former does not know yet."""
        term = self.group.leader_term + 1
        members = tuple((name, name, name) for name in MEMBERS)
        self.decide(LeaderElected(member_id=MEMBERS[term % 3], term=term, members=members))
        self.start_leader()

    def start_leader(self) -> None:
        """Start a core under the epoch that there is."""
        self.leader_count += 1
        self.note(f"leader {self.group.epoch}")
        self.leaders.append(SimLeader(self, self.group.epoch, self.leader_count))

    def fault(self) -> None:
        """Let something go wrong, in worlds where anything does."""

    def note(self, text: str) -> None:
        """Write the diary that a failing seed is read by."""
        self.diary.append(text)

"""A leader's core that is answered by hand."""

from collections.abc import Mapping
from typing import Any, TypeVar

from actors.partition.values import OpenedPartition
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
    PartitionsOpened,
    Reply,
    SourceOpened,
    SplitRead,
    TimePassed,
)
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.instructions import (
    Deliver,
    FlushHost,
    Instruction,
    OpenPartitions,
    OpenSource,
    Propose,
    ReadSplit,
    Request,
    SendBatch,
    StartHost,
)
from cluster.leader.reading import SplitBatch
from cluster.leader.subscription import LeaderTask
from config import JobSettings
from raft.commands import Command, JobSubmitted, LeaderElected
from raft.group import GroupState, answer_to, apply

I = TypeVar("I", bound=Request)  # noqa: E741  # a type variable

MEMBERS = ("m0", "m1", "m2")


class Driver:
    """A core under epoch 1 and everything it has asked for that has no answer; validated after every step."""

    def __init__(self, job: JobSettings, host_count: int = 1, member_ids: tuple[str, ...] = ()) -> None:
        self.job = job
        self.now_us = 1_000_000
        self.given: list[Instruction] = []
        """Everything that was asked for."""
        self.open_requests: list[Request] = []
        self.core = LeaderCore(LeaderTask(job_id=job.name, epoch=1, member_ids=member_ids), job, "n")
        self.group = GroupState()
        self.decide(LeaderElected(member_id="m0", term=1, members=tuple((name, name, name) for name in MEMBERS)))
        submitted = JobSubmitted(job_id=job.name, spec=b"", partition_count=job.partitions, host_count=host_count)
        self.decide(submitted)

    def decide(self, command: Command) -> None:
        """Have the group apply a command; the core sees it with the next `look`."""
        self.group, _ = apply(self.group, command)

    def step(self, event: Event) -> list[Instruction]:
        """Step the core and return its instructions."""
        found = self.core.step(event)
        self.core.validate()
        self.given += found
        known = {request.request for request in self.open_requests}
        self.open_requests += [one for one in found if isinstance(one, Request) and one.request not in known]
        return found

    def look(self) -> list[Instruction]:
        """Let the core see the group."""
        return self.step(GroupSeen(now_us=self.now_us, state=self.group))

    def wait(self, time_us: int) -> list[Instruction]:
        """Let time pass."""
        self.now_us += time_us
        return self.step(TimePassed(now_us=self.now_us))

    def waiting(self, kind: type[I]) -> list[I]:
        """Return the requests of a kind that have no answer."""
        return [request for request in self.open_requests if isinstance(request, kind)]

    def reply(self, kind: type[Request], event: type[Reply] = Done, /, **values: Any) -> list[Instruction]:
        """Answer the oldest request of a kind that waits."""
        return self.reply_to(self.waiting(kind)[0], event, **values)

    def reply_to(self, request: Request, event: type[Reply] = Done, /, **values: Any) -> list[Instruction]:
        """Answer a request."""
        self.open_requests.remove(request)
        return self.step(event(now_us=self.now_us, request=request.request, **values))

    def fail(self, kind: type[Request], reason: str, of: FailureKind = FailureKind.OTHER) -> list[Instruction]:
        """Let the oldest request of a kind that waits fail."""
        return self.reply(kind, Failed, failure=Failure(of, reason))

    def accept(self) -> list[Instruction]:
        """Have the group apply the oldest proposal that waits, and answer it."""
        request = self.waiting(Propose)[0]
        self.decide(request.command)
        self.look()
        answer = answer_to(self.group, request.command.request_id)
        return self.reply_to(request, Answered, answer=answer)

    def open(
        self,
        earliest: Mapping[int, int],
        needed: Mapping[int, Mapping[int, int]] | None = None,
        reached: Mapping[int, int] | None = None,
    ) -> None:
        """Go through the opening; what partitions need is by partition, the beginning unless said otherwise."""
        self.look()
        self.reply(OpenSource, SourceOpened, earliest=earliest)
        while self.waiting(Propose):
            self.accept()
        while self.waiting(StartHost):
            self.reply(StartHost)
        for request in self.waiting(OpenPartitions):
            marks = {number: (needed or {}).get(number, earliest) for number in request.partitions}
            opened = {number: OpenedPartition(needed=one, reached=reached or one) for number, one in marks.items()}
            self.reply_to(request, PartitionsOpened, opened=opened)

    def give(self, end: int, *, at_end: bool = False) -> list[Instruction]:
        """Answer the read that waits with records up to an offset; none of them is a row."""
        request = self.waiting(ReadSplit)[0]
        batch = SplitBatch(split=request.split, start=request.offset, end=end, at_end=at_end)
        return self.reply_to(request, SplitRead, batch=batch)

    def applied(self, count: int = 0) -> list[Instruction]:
        """Answer the oldest batch that waits."""
        return self.reply(SendBatch, BatchApplied, anomaly_count=count)

    def flush(self) -> None:
        """Answer the flushes with everything that was sent."""
        sent: dict[int, dict[int, int]] = {}
        for batch in [one.batch for one in self.given if isinstance(one, SendBatch)]:
            for partition in batch.partitions:
                sent.setdefault(partition, {})[batch.split] = batch.end
        while self.waiting(FlushHost):
            self.reply(FlushHost, HostFlushed, committed=sent)

    def delivered(self, count: int) -> list[Instruction]:
        """Answer the oldest delivery."""
        return self.reply(Deliver, Delivered, count=count)


def kinds(instructions: list[Instruction]) -> list[str]:
    """Return the names of instructions."""
    return [type(one).__name__ for one in instructions]

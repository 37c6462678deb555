"""The desk: numbers a leader's requests, knows which wait for a reply and until when, and gathers what goes out.

Whoever asks says what is to happen on the reply. A request that is *forgotten* has no effect any more, whatever comes
back. Proposals are never forgotten: one without an answer may still be applied, so it is repeated until there is one,
and nobody may begin anew before.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from cluster.leader.clock import Backoff, ElapsedTime
from cluster.leader.events import Answered, Failed, Reply
from cluster.leader.failures import Failure, FailureKind, TroubleError
from cluster.leader.instructions import (
    CopyShard,
    Instruction,
    OpenPartitions,
    Propose,
    ReadSplits,
    ReleasePartitions,
    Request,
    SendBatch,
    TakeSnapshot,
)
from cluster.leader.limits import LeaderLimits
from raft.commands import Command, Refused

R = TypeVar("R", bound=Reply)


def raise_trouble(failure: Failure) -> None:
    """Do what follows from most failures: end the attempt."""
    raise TroubleError(failure)


@dataclass(slots=True)
class _Waiting:
    request: Request
    due_us: int
    on_reply: Callable[[Any], None]
    on_failure: Callable[[Failure], None]


@dataclass(slots=True)
class _Proposal:
    request: Propose
    backoff: Backoff
    on_accepted: Callable[[], None] | None
    on_refused: Callable[[Failure], None]
    due_us: int | None = None
    """When it is proposed again; `None` while an answer may come."""


class Desk:
    """Requests and proposals of one leader; `nonce` tells its proposals from those of every other."""

    def __init__(self, nonce: str, clock: ElapsedTime, limits: LeaderLimits, jitter: float) -> None:
        self.limits = limits
        self.jitter = jitter
        """Factor of all pauses, so that leaders that failed together do not come back together."""
        self._nonce = nonce
        self._clock = clock
        self._number = 0
        self._waiting: dict[int, _Waiting] = {}
        self._proposals: dict[int, _Proposal] = {}
        self._out: list[Instruction] = []

    @property
    def elapsed_us(self) -> int:
        """Time that has passed."""
        return self._clock.elapsed_us

    @property
    def now_us(self) -> int:
        """Time of day."""
        return self._clock.now_us

    @property
    def has_proposals(self) -> bool:
        """Whether a proposal has no answer yet."""
        return bool(self._proposals)

    def next_number(self) -> int:
        """Return the number of the next request."""
        self._number += 1
        return self._number

    def say(self, instruction: Instruction) -> None:
        """Give an instruction that is not answered."""
        self._out.append(instruction)

    def ask(
        self,
        request: Request,
        on_reply: Callable[[R], None],
        on_failure: Callable[[Failure], None] = raise_trouble,
        timeout_us: int | None = None,
    ) -> int:
        """Give a request and return its number."""
        due_us = self.elapsed_us + (self.limits.reply_timeout_us if timeout_us is None else timeout_us)
        self._waiting[request.request] = _Waiting(request, due_us, on_reply, on_failure)
        self._out.append(request)
        return request.request

    def propose(
        self,
        command: Command,
        on_accepted: Callable[[], None],
        on_refused: Callable[[Failure], None] = raise_trouble,
    ) -> None:
        """Have the group apply a command; it gets the id of its request here."""
        number = self.next_number()
        request = Propose(request=number, command=replace(command, request_id=f"{self._nonce}/{number}"))
        self._proposals[number] = _Proposal(request, Backoff(self.limits, self.jitter), on_accepted, on_refused)
        self._out.append(request)

    def settle(self, event: Reply) -> None:
        """Do what follows from a reply; one that nobody waits for is ignored."""
        if event.request in self._proposals:
            self._settle_proposal(self._proposals[event.request], event)
            return
        waiting = self._waiting.pop(event.request, None)
        if waiting is None:
            return
        if isinstance(event, Failed):
            failure = replace(event.failure, host=getattr(waiting.request, "host", ""))
            waiting.on_failure(_with_partitions(failure, waiting.request))
        else:
            waiting.on_reply(event)

    def _settle_proposal(self, proposal: _Proposal, event: Reply) -> None:
        if not isinstance(event, Answered):
            proposal.due_us = self.elapsed_us + proposal.backoff.pause_us()
            return
        del self._proposals[event.request]
        if proposal.on_accepted is None:
            return
        if isinstance(event.answer, Refused):
            proposal.on_refused(Failure(FailureKind.OTHER, event.answer.reason))
        else:
            proposal.on_accepted()

    def look_at_the_time(self) -> None:
        """Repeat proposals, and give up on replies that are overdue."""
        for proposal in self._proposals.values():
            if proposal.due_us is not None and proposal.due_us <= self.elapsed_us:
                proposal.due_us = None
                self._out.append(proposal.request)
        overdue = [number for number, waiting in self._waiting.items() if waiting.due_us <= self.elapsed_us]
        for number in overdue:
            waiting = self._waiting.pop(number, None)
            if waiting is not None:
                waiting.on_failure(Failure(FailureKind.OTHER, f"no reply in time to {_name(waiting.request)}"))

    def forget(self) -> None:
        """Forget all requests, and what was to follow from proposals."""
        self._waiting.clear()
        for proposal in self._proposals.values():
            proposal.on_accepted = None

    def take_out(self) -> list[Instruction]:
        """Return the instructions given since the last call."""
        out, self._out = self._out, []
        return out

    def dues_us(self) -> list[int]:
        """Return the elapsed times at which something is due."""
        proposals = [proposal.due_us for proposal in self._proposals.values() if proposal.due_us is not None]
        return proposals + [waiting.due_us for waiting in self._waiting.values()]

    def validate(self) -> None:
        """Assert every invariant."""
        assert not self._waiting.keys() & self._proposals.keys()
        for number, waiting in self._waiting.items():
            assert number == waiting.request.request <= self._number
        for number, proposal in self._proposals.items():
            assert number == proposal.request.request <= self._number
            assert proposal.request.command.request_id == f"{self._nonce}/{number}"


def _with_partitions(failure: Failure, request: Request) -> Failure:
    """Return a failure that names whose shard is lost: that which the request was about, if it was about one alone."""
    about = _partitions(request)
    if failure.kind is not FailureKind.SHARD_LOST or failure.partitions or len(about) != 1:
        return failure
    return replace(failure, partitions=about)


def _partitions(request: Request) -> tuple[int, ...]:
    match request:
        case OpenPartitions(partitions=partitions) | ReleasePartitions(partitions=partitions):
            return partitions
        case SendBatch(batch=batch):
            return batch.partitions
        case ReadSplits(offsets=offsets):
            return tuple(offsets)
        case TakeSnapshot(partition=partition) | CopyShard(partition=partition):
            return (partition,)
    return ()


def _name(request: Request) -> str:
    where = getattr(request, "host", None) or getattr(request, "member", None)
    return f"{type(request).__name__} of {where}" if where else type(request).__name__

"""Member: one process's place in the replicated group.

A `Member` runs Raft in a thread of its own (`raft.consensus` over `raft.transport` and `raft.journal`), keeps the group
state by `raft.group`, and tells its user what to do about it through `on_action`. Two kinds of leading are kept apart:
Raft's leader of a *term*, and the leader of an *epoch*, which is what users act under. The second begins only when the
member has applied its own election, and ends when Raft's leadership ends, whatever the reason.

A member begins as `forming` (`raft.membership`), is then a voter, and stops for good when going on would not be safe.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, Self

from raft.commands import (
    Accepted,
    Action,
    BecomeLeader,
    LeaderElected,
    MemberAdded,
    MemberRemoved,
    StateRestored,
    StepDown,
    decode_command,
    encode_answer,
    encode_command,
    request_id,
)
from raft.consensus import Consensus
from raft.errors import (
    JournalDamagedError,
    MemberFailedError,
    MembershipError,
    ProposalError,
    ProposalTimeoutError,
)
from raft.group import GroupState, answer_to, apply
from raft.group_codec import decode_state, encode_state
from raft.journal import Journal
from raft.member_status import MemberStatus
from raft.membership import Greeting, MembershipChange, Waiting, form
from raft.messages import check_contents, check_proposal
from raft.pysyncobj_seam import FAIL_REASON
from raft.settings import MemberSettings as MemberSettings
from raft.settings import check, split_address
from raft.transport import TcpTransport
from raft.wire import Waker

log = logging.getLogger(__name__)

ROUND_S: Final = 0.05
"""Longest round of the member's thread, and so the fineness of its timeouts."""

ATTEMPT_S: Final = 1.0
"""Time after which a proposal without an answer is sent again; the request id keeps it from counting twice."""

RETRY_S: Final = 0.02
"""Pause before a proposal that found no leader is tried again."""


class Member:
    """One member of the group; all methods may be called from any thread."""

    def __init__(self, settings: MemberSettings, on_action: Callable[[Action], None] | None = None) -> None:
        """Start the member.

        Args:
            settings: Who it is, and where the others are.
            on_action: Called from the member's thread for each action; must be quick, and must not propose and wait.

        Raises:
            SettingsError: The settings cannot work, or the address is in use.
            JournalError: The directory cannot be used.
        """
        check(settings)
        self._settings = settings
        self._on_action = on_action or (lambda _: None)
        self._journal, self._damage = open_journal(settings)
        self._machine = GroupMachine(self._on_applied)
        self._consensus: Consensus | None = None
        self._led: BecomeLeader | None = None
        self._failure: Exception | None = None
        self._is_reluctant = False
        self._waiting: str = Waiting.FOR_MEMBERS
        self._closing = threading.Event()
        self._latest_status: MemberStatus | None = None
        try:
            self._transport = TcpTransport(
                greeting=self._greeting,
                address=settings.address,
                credentials=settings.credentials,
            )
        except BaseException:
            self._journal.close()
            raise
        self._waker = Waker(self._transport.poller)
        self._thread = threading.Thread(target=self._run, name=f"raft-{settings.name}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return self._settings.name

    def state(self) -> GroupState:
        """Return the state as far as this member has applied the log; it may be behind the leader's."""
        return self._machine.state

    def applied_index(self) -> int:
        """Return the last log entry that `state()` contains for certain; of two members the higher one knows more."""
        consensus = self._consensus
        return consensus.applied_index if consensus is not None else 0

    def is_leader(self) -> bool:
        """Whether this member leads an epoch, and nobody else can have been elected at this moment.

        May be false for a moment in a busy time; `led_epoch` is the one to follow.
        """
        consensus = self._consensus
        return self.led_epoch() is not None and consensus is not None and consensus.leads_alone

    def led_epoch(self) -> int | None:
        """Return the epoch this member leads, or `None` when it does not, or a majority is silent beyond the lease."""
        led, consensus = self._led, self._consensus
        return led.epoch if led is not None and consensus is not None and consensus.leads else None

    def leader_id(self) -> str | None:
        """Return the name of Raft's leader, as far as this member knows."""
        consensus = self._consensus
        return consensus.leader_name if consensus is not None else None

    def propose(self, command: bytes, timeout_s: float = 5.0) -> bytes:
        """Have an encoded command applied by the group, through any member, and return its encoded answer.

        The answer has been applied here when it is returned, so `state()` contains it. The command needs a request id.
        It is sent again as often as needed, which does not make it count twice.

        Raises:
            FormatError: The bytes are no command, or have no request id.
            ProposalTimeoutError: No answer in time; whether the command counts is unknown. Proposing the same bytes
                again is safe.
            MemberFailedError: This member has stopped.
        """
        check_proposal(decode_command(command))
        return self._propose(command, timeout_s)

    def renew(self, timeout_s: float = 5.0) -> None:
        """Begin another epoch under the same leadership, because whoever acted for this member under the last is gone.

        Does nothing when this member does not lead.

        Raises:
            ProposalTimeoutError: No answer in time.
        """
        led, status = self._led, self.status()
        if led is not None:
            again = LeaderElected(request_id=request_id(), member_id=self.name, term=led.term, members=status.voters)
            self._propose(encode_command(again), timeout_s)

    def _propose(self, command: bytes, timeout_s: float) -> bytes:
        """Submit a command until there is an answer."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            answer, reason = self._attempt(lambda consensus, reply: consensus.submit(command, reply), deadline_s)
            if reason == FAIL_REASON.SUCCESS and answer is not None:
                return answer
            self._check_running()
            if time.monotonic() >= deadline_s:
                raise ProposalTimeoutError(f"no answer in {timeout_s} s, {self._why_silent()}; try the same again")
            self._closing.wait(RETRY_S)

    def be_reluctant(self, *, is_reluctant: bool) -> None:
        """Let others stand for election first, because whoever acts for this member as a leader cannot just now.

        If none of them can be elected, this member is, a second later than otherwise.
        """
        self._is_reluctant = is_reluctant
        if self._consensus is not None:
            self._consensus.be_reluctant(is_reluctant=is_reluctant)

    def hand_over(self, timeout_s: float = 5.0, preferred: Collection[str] = ()) -> bool:
        """Have another voter elected in this place, a preferred one if possible, and return whether another leads.

        Proposals wait meanwhile. When nobody can be elected in time, this member leads on. Does nothing when another
        leads already.

        Raises:
            MemberFailedError: This member has stopped.
        """
        self._check_running()
        consensus, end_s = self._consensus, time.monotonic() + timeout_s
        if consensus is None or len(consensus.voters) < 2:
            return False
        if consensus.role == "leader":
            consensus.hand_over(timeout_s, frozenset(preferred))
            self._waker.wake()
        while consensus.leader_name in (None, self.name):
            self._check_running()
            if time.monotonic() >= end_s:
                return False
            self._closing.wait(RETRY_S)
        return True

    def admit(self, name: str, address: str, identity: str, timeout_s: float = 5.0) -> None:
        """Make a member a voter: a new one, or one that has come back without its directory (after `expel`).

        `identity` is what the member's own status shows, or this member's list of rejected ones.

        Raises:
            MembershipError: The name or address is a voter's, or another change is going on.
            ProposalTimeoutError: No answer in time.
        """
        split_address(address)
        if (name, address, identity) not in self.status().voters:
            self._change(MemberAdded(member_id=name, address=address, identity=identity), timeout_s)

    def expel(self, name: str, timeout_s: float = 5.0) -> None:
        """Take the vote from a member; it may be admitted again.

        Raises:
            MembershipError: It leads (end its process first), or another change is going on.
            ProposalTimeoutError: No answer in time.
        """
        for voter, _, identity in self.status().voters:
            if voter == name:
                self._change(MemberRemoved(member_id=name, identity=identity), timeout_s)

    def status(self) -> MemberStatus:
        """Return what this member knows about itself and the others."""
        latest = self._latest_status
        if latest is not None and self._failure is None and self._thread.is_alive():
            return latest
        problem = str(self._failure) if self._failure else self._damage
        role = "failed" if self._failure else "closed" if self._closing.is_set() else "forming"
        return MemberStatus(name=self.name, identity=self._journal.identity, role=role, problem=problem)

    def close(self) -> None:
        """Stop taking part; what was acknowledged stays in the journal."""
        self._closing.set()
        self._waker.wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Proposals, in the caller's thread.

    def _attempt(
        self, submit: Callable[[Consensus, Callable[[bytes | None, int], None]], None], deadline_s: float
    ) -> tuple[bytes | None, int]:
        """Submit once and wait for the outcome, not longer than one attempt takes."""
        self._check_running()
        consensus = self._consensus
        if consensus is None:
            return None, FAIL_REASON.MISSING_LEADER
        replies: SimpleQueue[tuple[bytes | None, int]] = SimpleQueue()
        submit(consensus, lambda answer, reason: replies.put((answer, reason)))
        self._waker.wake()
        try:
            return replies.get(timeout=max(0.0, min(ATTEMPT_S, deadline_s - time.monotonic())))
        except Empty:
            return None, FAIL_REASON.UNKNOWN_OUTCOME

    def _change(self, change: MembershipChange, timeout_s: float) -> None:
        """Change who votes, and wait until it is committed."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            answer, reason = self._attempt(lambda consensus, reply: consensus.submit_change(change, reply), deadline_s)
            if reason == FAIL_REASON.SUCCESS and answer is not None:
                return
            if reason == FAIL_REASON.REQUEST_DENIED:
                raise MembershipError(f"the leader refuses {change}: in use, its own, or another change is going on")
            self._check_running()
            if time.monotonic() >= deadline_s:
                raise ProposalTimeoutError(f"no answer in {timeout_s} s, {self._why_silent()}; look at the voters")
            self._closing.wait(RETRY_S)

    def _check_running(self) -> None:
        if self._failure is not None:
            raise MemberFailedError(f"member {self.name!r} has stopped: {self._failure}") from self._failure
        if self._closing.is_set():
            raise ProposalError(f"member {self.name!r} is closed")

    def _why_silent(self) -> str:
        """Return what keeps the group from answering, as far as known."""
        status = self.status()
        if status.problem:
            return status.problem
        return f"leader {status.leader_id}, connected to {', '.join(status.connected) or 'nobody'}"

    # The member's thread.

    def _run(self) -> None:
        """Take part until closed or failed."""
        try:
            while not self._closing.is_set():
                self._transport.maintain()
                if self._consensus is None:
                    self._form()
                else:
                    self._consensus.step(ROUND_S)
                    self._watch_leadership()
                self._latest_status = self._current_status()
        except Exception as error:
            self._failure = error
            log.exception("member stopped", extra={"member": self.name})
        finally:
            self._step_down()
            self._transport.destroy()
            self._waker.close()
            self._journal.close()

    def _form(self) -> None:
        """Wait until it is known who votes, then begin."""
        settings, journal = self._settings, self._journal
        if not journal.voters:
            others = {name: address for name, address in settings.addresses.items() if name != settings.name}
            self._transport.call(others.values())
            outcome = form(self._greeting(), settings.addresses, dict(self._transport.heard))
            if isinstance(outcome, Waiting):
                missing = sorted(others.keys() - self._transport.heard.keys())
                self._waiting = f"{outcome}; not heard: {', '.join(missing)}" if missing else outcome
                self._transport.poller.poll(ROUND_S)
                return
            journal.form(outcome)
        self._waiting = ""
        consensus = Consensus(
            name=settings.name,
            journal=journal,
            transport=self._transport,
            machine=self._machine,
            timing=settings.timing,
            check_contents=check_contents,
            log_entry_count_max=settings.log_entry_count_max,
            log_size_bytes_max=settings.log_size_bytes_max,
        )
        consensus.use_poller(self._transport.poller)
        self._consensus = consensus
        consensus.be_reluctant(is_reluctant=self._is_reluctant)
        self._transport.call(address for name, address, _ in consensus.voters if name != settings.name)
        self._transport.greet_again()

    def _greeting(self) -> Greeting:
        return Greeting(
            name=self.name,
            address=self._settings.address,
            identity=self._journal.identity,
            voters=self._consensus.voters if self._consensus is not None else self._journal.voters,
        )

    def _on_applied(self, action: Action) -> None:
        """Pass an action on; leadership only when it is this member's, and still is."""
        consensus = self._consensus
        if isinstance(action, BecomeLeader):
            if consensus is None or not consensus.leads_term(action.term) or action.member_id != self.name:
                return
            self._led = action
            log.info("became leader", extra={"member": self.name, "epoch": action.epoch})
        elif isinstance(action, StepDown):
            self._step_down()
            return
        self._pass_on(action)

    def _watch_leadership(self) -> None:
        if self._led is not None and self._consensus is not None and not self._consensus.leads_term(self._led.term):
            self._step_down()

    def _step_down(self) -> None:
        """Say, once, that the epoch is over."""
        led, self._led = self._led, None
        if led is not None:
            log.info("leads no longer", extra={"member": self.name, "epoch": led.epoch})
            self._pass_on(StepDown(member_id=self.name, epoch=led.epoch))

    def _pass_on(self, action: Action) -> None:
        """Give an action to the user, whose faults must not end this member's part in Raft."""
        try:
            self._on_action(action)
        except Exception:
            log.exception("action failed", extra={"member": self.name, "action": type(action).__name__})

    def _current_status(self) -> MemberStatus:
        """Return the status, seen from the member's thread."""
        consensus, transport = self._consensus, self._transport
        rejected = (*transport.rejected.values(), *transport.strangers.values())
        if consensus is None:
            return MemberStatus(
                name=self.name,
                identity=self._journal.identity,
                role="forming",
                problem=" ".join(filter(None, (self._damage, self._waiting))),
                rejected=rejected,
            )
        return MemberStatus(
            name=self.name,
            identity=self._journal.identity,
            role=consensus.role,
            problem=consensus.problem,
            term=consensus.raftCurrentTerm,
            commit_index=consensus.raftCommitIndex,
            applied_index=consensus.raftLastApplied,
            log_entry_count=len(self._journal),
            log_size_bytes=self._journal.size_bytes,
            leader_id=consensus.leader_name,
            epoch=self._machine.state.epoch,
            voters=consensus.voters,
            connected=tuple(sorted(transport.connected_names())),
            silence_s=consensus.silence_s(),
            rejected=rejected,
        )


class GroupMachine:
    """The group state as what the log is applied to."""

    def __init__(self, on_applied: Callable[[Action], None]) -> None:
        self.state = GroupState()
        self._on_applied = on_applied

    def apply(self, command: bytes) -> bytes:
        """Apply a committed command; one of a later version must not be passed over, so its error stops the member."""
        value = decode_command(command)
        self.state, actions = apply(self.state, value)
        for action in actions:
            self._on_applied(action)
        return encode_answer(answer_to(self.state, value.request_id) or Accepted(epoch=self.state.epoch))

    def dump(self) -> bytes:
        """Return the state as bytes."""
        return encode_state(self.state)

    def restore(self, state: bytes) -> None:
        """Replace the state."""
        self.state = decode_state(state)
        self._on_applied(StateRestored())


def open_journal(settings: MemberSettings) -> tuple[Journal, str]:
    """Return the journal, and what happened to the one before when that cannot be trusted.

    A damaged journal is put aside. The new one has a new identity, so the member is no voter until it is admitted.
    """
    directory = settings.directory / "journal"
    try:
        return Journal.open(directory, durable=settings.durable), ""
    except JournalDamagedError as error:
        aside = _free_name(directory)
        directory.rename(aside)
        problem = f"{error}; put aside as {aside.name}."
        log.warning("journal damaged", extra={"member": settings.name, "problem": problem})
        return Journal.open(directory, durable=settings.durable), problem


def _free_name(directory: Path) -> Path:
    """Return a name beside a directory that is not taken."""
    number = 1
    while (aside := directory.with_name(f"{directory.name}.damaged-{number}")).exists():
        number += 1
    return aside

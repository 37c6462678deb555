"""Consensus: PySyncObj's Raft with the rules it lacks, so that no committed entry can be lost.

PySyncObj 0.3.17 keeps its elections, its counting of commits, its queue of commands and their forwarding to the leader.
Replaced here, each because committed entries could be lost or two leaders elected in one term without it:

- nothing leaves a member before its journal is durable: messages are *held* until `Journal.sync` has returned;
- a follower truncates its log only where a term conflicts, and acknowledges only what it has compared;
- an acknowledgement carries its term and counts in that term only; a vote counts once for each voter;
- a leader's lease counts from when it asked, not from when it read the answer; while a leader is heard, nobody votes;
- the commit index follows what has been compared, not the length of the log;
- dump and log change in one transaction of the journal;
- an answer to a forwarded command is not taken for another command's after a restart;
- who votes follows the log, also before an entry is committed and after a restart, one change at a time.

Entries and messages are plain values (bytes and msgpack), never pickles. The names with `_SyncObj__` are private names
of PySyncObj's class, which has no other seams; hence the exact version. Its clock is a global of its module, which
`use_clock` replaces (for simulations).
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import pysyncobj.syncobj
import pysyncobj.version
from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf
from pysyncobj.node import Node

from raft.commands import LeaderElected, encode_command
from raft.errors import JournalFullError, MemberFailedError
from raft.journal import Dump, Entry, Journal
from raft.membership import (
    MEMBERSHIP,
    MembershipChange,
    Voters,
    Waiting,
    changed_voters,
    decode_change,
    encode_change,
)
from raft.settings import Timing
from raft.transport import HeldTransport, Message, node_of
from raft.wire import Poller

PYSYNCOBJ_VERSION: Final = "0.3.17"
"""The version whose private names are used here."""

ENTRIES_IN_FLIGHT_MAX: Final = 4096
"""Entries sent to a follower and not acknowledged, beyond which it gets heartbeats only."""

WAIT_S_MIN: Final = 0.005
"""Shortest wait for messages."""

REGULAR: Final = b"\x00"
"""First byte of a log entry that holds a command."""

FOLLOWER: Final = 0
CANDIDATE: Final = 1
LEADER: Final = 2


class Machine(Protocol):
    """What the log is applied to."""

    def apply(self, command: bytes) -> bytes:
        """Apply a committed command and return its answer; must not fail."""

    def dump(self) -> bytes:
        """Return the state as bytes."""

    def restore(self, state: bytes) -> None:
        """Replace the state."""


@contextlib.contextmanager
def use_clock(clock: Callable[[], float]) -> Iterator[None]:
    """Let PySyncObj read this clock in place of the machine's, for simulations; process-wide."""
    former = pysyncobj.syncobj.monotonicTime
    pysyncobj.syncobj.monotonicTime = clock
    try:
        yield
    finally:
        pysyncobj.syncobj.monotonicTime = former


def _now() -> float:
    """Return the time that PySyncObj sees."""
    now: float = pysyncobj.syncobj.monotonicTime()
    return now


class Consensus(SyncObj):  # type: ignore[misc]  # PySyncObj has no types
    """One member's part in Raft; not thread-safe but for `submit`."""

    def __init__(
        self,
        *,
        name: str,
        journal: Journal,
        transport: HeldTransport,
        machine: Machine,
        timing: Timing,
        log_entry_count_max: int = 4096,
        log_size_bytes_max: int = 16 << 20,
        append_size_bytes_max: int = 1 << 20,
        generator: random.Random | None = None,
    ) -> None:
        if pysyncobj.version.VERSION != PYSYNCOBJ_VERSION:
            raise MemberFailedError(
                f"pysyncobj {pysyncobj.version.VERSION} is installed, needed is {PYSYNCOBJ_VERSION}"
            )
        self._journal = journal
        self._held = transport
        self._machine = machine
        self._timing = timing
        self._log_entry_count_max = log_entry_count_max
        self._log_size_bytes_max = log_size_bytes_max
        self._append_size_bytes_max = append_size_bytes_max
        self._generator = generator or random.Random()
        self._votes: set[str] = set()
        self._votes_term = 0
        self._problem = ""
        self._change_index = 0
        self._released_at_s = _now()
        self._heard_at_s = 0.0
        self._voters: Voters = ()
        self._is_voter = False
        address = next((entry[1] for entry in journal.voters if entry[0] == name), "")
        super().__init__(node_of(name, address, journal.identity), [], _settings(timing), transport=transport)
        self._take_over_journal()
        self.addOnTickCallback(self._release)

    # What the member uses.

    def step(self, wait_s: float) -> None:
        """Do what is due, and wait for messages at most this long.

        Raises:
            MemberFailedError: Going on would not be safe.
        """
        if not self._release():
            time.sleep(wait_s)
            return
        if not self.is_voter:
            self._SyncObj__raftElectionDeadline = _now() + self._timing.election_max_s
        wait_s = self._wait_until_due(wait_s)
        self.doTick(wait_s)
        self._forgive_pause(wait_s)
        self._release()

    def submit(self, command: bytes, callback: Callable[[bytes | None, int], None]) -> None:
        """Queue an encoded command; the callback gets its answer and one of `FAIL_REASON`. From any thread."""
        self._applyCommand(REGULAR + command, callback)

    def submit_change(self, change: MembershipChange, callback: Callable[[bytes | None, int], None]) -> None:
        """Queue a change of who votes. From any thread."""
        self._applyCommand(encode_change(change), callback)

    @property
    def voters(self) -> Voters:
        """Voting members by the newest entry of the log."""
        return self._voters

    @property
    def is_voter(self) -> bool:
        """Whether this member votes."""
        return self._is_voter

    @property
    def leads(self) -> bool:
        """Whether this member is Raft's leader and has heard from a majority within the lease."""
        return self._SyncObj__raftState == LEADER and self.has_heard_majority(self._timing.lease_s)

    @property
    def leads_alone(self) -> bool:
        """Whether it leads, and a majority has answered so recently that it cannot have elected another."""
        return self.leads and self.has_heard_majority(self._timing.election_min_s)

    def has_heard_majority(self, within_s: float) -> bool:
        """Whether a majority, with this member, has answered what was sent within this time."""
        since_s = _now() - within_s
        answered = sum(1 for node in self.otherNodes if self._SyncObj__lastResponseTime.get(node, 0.0) > since_s)
        return (answered + 1) * 2 > len(self.otherNodes) + 1

    @property
    def leader_name(self) -> str | None:
        """Who leads, as far as this member knows."""
        leader = self._getLeader()
        return None if leader is None else str(leader.name)

    @property
    def role(self) -> str:
        """`follower`, `candidate` or `leader`."""
        return ("follower", "candidate", "leader")[self._SyncObj__raftState]

    @property
    def problem(self) -> str:
        """Why this member does not take part fully; empty when it does."""
        return self._problem or ("" if self.is_voter else Waiting.FOR_ADMISSION)

    def leads_term(self, term: int) -> bool:
        """Whether this member is Raft's leader of this very term."""
        return bool(self._SyncObj__raftState == LEADER and self.raftCurrentTerm == term)

    def silence_s(self) -> dict[str, float]:
        """Return the seconds since each follower answered; a leader alone knows."""
        if self._SyncObj__raftState != LEADER:
            return {}
        now = _now()
        return {str(node.name): now - at_s for node, at_s in self._SyncObj__lastResponseTime.items()}

    def use_poller(self, poller: Poller) -> None:
        """Wait with this poller in `step`."""
        self._poller = poller

    # Durability: nothing leaves before it is safe.

    def _release(self) -> bool:
        """Make the journal durable, then let the held messages go; tell whether that succeeded."""
        try:
            self._journal.sync()
        except JournalFullError as error:
            self._problem = str(error)
            self._held.discard()
            return False
        self._problem = ""
        self._held.release()
        self._released_at_s = _now()
        return True

    def _wait_until_due(self, wait_s: float) -> float:
        """Return how long to wait for messages; to the moment of an election, so that two rarely fall together."""
        leads = self._SyncObj__raftState == LEADER
        due_s = self._SyncObj__newAppendEntriesTime if leads else self._SyncObj__raftElectionDeadline
        return min(wait_s, max(WAIT_S_MIN, due_s - _now()))

    def _forgive_pause(self, wait_s: float) -> None:
        """A member that was suspended has heard nothing because it did not listen: wait anew before an election."""
        if _now() - self._released_at_s > wait_s + self._timing.election_min_s / 2:
            self._restart_election_timer()

    def _restart_election_timer(self) -> None:
        """Wait a whole election timeout from now on."""
        self._SyncObj__raftElectionDeadline = _now() + self._SyncObj__generateRaftTimeout()

    def _SyncObj__generateRaftTimeout(self) -> float:  # noqa: N802
        """Return a random election timeout."""
        return self._generator.uniform(self._timing.election_min_s, self._timing.election_max_s)

    # Start.

    def _take_over_journal(self) -> None:
        """Begin where the journal ends."""
        journal = self._journal
        self._SyncObj__raftLog = journal
        self._SyncObj__raftCurrentTerm = max(journal.getCurrentTerm(), journal.last_term)
        self._SyncObj__votedForNodeId = journal.getVotedForNodeId()
        self._SyncObj__raftCommitIndex = max(journal.getRaftCommitIndex(), journal.first_index)
        self._SyncObj__raftLastApplied = journal.first_index
        # Numbers of forwarded commands are not used twice: a late response to the process before this one would be
        # taken for the answer to another command.
        self._SyncObj__commandsLocalCounter = self._generator.getrandbits(62)
        if journal.dump is not None:
            self._machine.restore(journal.dump.state)
        self._follow_membership()

    # Messages.

    def _SyncObj__onMessageReceived(self, node: Node, message: Message) -> None:  # noqa: N802
        """Handle a message of another voter; rules that are sound in PySyncObj stay there."""
        handlers: dict[str, Callable[[Node, Message], None]] = {
            "append_entries": self._on_append,
            "next_node_idx": self._on_acknowledgement,
            "request_vote": self._on_vote_request,
            "response_vote": self._on_vote,
        }
        handler = handlers.get(message["type"])
        if node not in self._SyncObj__otherNodes:
            return
        if handler is not None:
            handler(node, message)
        elif message["type"] in ("apply_command", "apply_command_response"):
            super()._SyncObj__onMessageReceived(node, message)

    def _see_term(self, term: int) -> None:
        """Follow a term that is newer than ours."""
        if term > self.raftCurrentTerm:
            self._SyncObj__setCurrentTerm(term, None)
            self._SyncObj__setState(FOLLOWER)
            self._SyncObj__raftLeader = None

    def _on_vote_request(self, node: Node, message: Message) -> None:
        """Vote for a candidate whose log is at least as new, once in a term, and not while a leader is heard."""
        if self._SyncObj__raftLeader is not None and _now() - self._heard_at_s < self._timing.election_min_s:
            return
        self._see_term(message["term"])
        if message["term"] < self.raftCurrentTerm or self._SyncObj__votedForNodeId not in (None, node.id):
            return
        if (message["last_log_term"], message["last_log_index"]) < (self._journal.last_term, self._journal.last_index):
            return
        self._SyncObj__setCurrentTerm(self.raftCurrentTerm, node.id)
        self._restart_election_timer()
        self._held.send(node, {"type": "response_vote", "term": message["term"]})

    def _on_vote(self, node: Node, message: Message) -> None:
        """Count a vote, each voter once."""
        self._see_term(message["term"])
        if self._SyncObj__raftState != CANDIDATE or message["term"] != self.raftCurrentTerm:
            return
        if self._votes_term != message["term"]:
            self._votes, self._votes_term = set(), message["term"]
        self._votes.add(node.id)
        if (1 + len(self._votes)) * 2 > len(self._SyncObj__otherNodes) + 1:
            self._SyncObj__onBecomeLeader()

    def _on_append(self, node: Node, message: Message) -> None:
        """Take entries, or a dump, from the leader."""
        sent_at_s = message["at_s"]
        if message["term"] < self.raftCurrentTerm:
            self._acknowledge(node, self._journal.last_index, sent_at_s, success=False)
            return
        self._follow(node, message["term"])
        matched = self._take_dump(message) if "dump" in message else self._take_entries(message)
        if matched is None:
            # Everything up to the commit index is the same everywhere; the leader may go on from there.
            self._acknowledge(node, self.raftCommitIndex, sent_at_s, success=False)
            return
        self._commit(min(message["commit_index"], matched))
        self._SyncObj__leaderCommitIndex = self.raftCommitIndex
        self._acknowledge(node, matched, sent_at_s, success=True)

    def _follow(self, node: Node, term: int) -> None:
        """Accept a node as the leader of a term."""
        if term == self.raftCurrentTerm and self._SyncObj__raftState == LEADER:
            raise MemberFailedError(f"{node.id} and this member both lead term {term}; votes have been lost")
        self._see_term(term)
        self._restart_election_timer()
        self._heard_at_s = _now()
        if self._SyncObj__raftLeader != node:
            self._SyncObj__onLeaderChanged()
        self._SyncObj__raftLeader = node
        self._SyncObj__setState(FOLLOWER)

    def _take_entries(self, message: Message) -> int | None:
        """Append what is new; return up to where the log is the leader's, or `None` when it does not connect."""
        journal = self._journal
        previous, entries = message["prevLogIdx"], [_entry(entry) for entry in message["entries"]]
        if previous < journal.first_index:
            # The dump covers these, so they are committed and the same as the leader's.
            entries = [entry for entry in entries if entry[1] > journal.first_index]
            previous = journal.first_index
        elif journal.term_at(previous) != message["prevLogTerm"]:
            return None
        matched: int = previous + len(entries)
        while entries and journal.term_at(entries[0][1]) == entries[0][2]:
            del entries[0]
        if entries:
            self._replace_entries(entries)
        return matched

    def _replace_entries(self, entries: list[Entry]) -> None:
        """Append entries, after giving up those in their place, whose terms conflict."""
        first, journal = entries[0][1], self._journal
        if first <= self.raftCommitIndex:
            raise MemberFailedError(f"the leader would replace entry {first}, committed up to {self.raftCommitIndex}")
        replaced = journal[first - journal.first_index :]
        if replaced:
            journal.truncate(first)
        for entry in entries:
            journal.add(*entry)
        if any(entry[0][:1] == MEMBERSHIP for entry in (*replaced, *entries)):
            self._follow_membership()

    def _take_dump(self, message: Message) -> int:
        """Take the leader's dump unless we are further; return up to where the log is the leader's."""
        index, term, state, voters = message["dump"]
        if index > self.raftCommitIndex:
            self._journal.install(Dump(index=index, term=term, state=state, voters=tuple(map(tuple, voters))))
            self._machine.restore(state)
            self._SyncObj__raftCommitIndex = index
            self._SyncObj__raftLastApplied = index
            self._follow_membership()
            self._forget_waiting(index)
        return int(index)

    def _commit(self, index: int) -> None:
        """Raise the commit index."""
        if index > self.raftCommitIndex:
            self._SyncObj__raftCommitIndex = index
            self._journal.setRaftCommitIndex(index)

    def _acknowledge(self, node: Node, index: int, sent_at_s: float, *, success: bool) -> None:
        """Answer a message of the leader: how far our log is its log, or from where to send again."""
        message = {"type": "next_node_idx", "term": self.raftCurrentTerm, "next_node_idx": index + 1}
        self._held.send(node, {**message, "success": success, "at_s": sent_at_s})

    def _on_acknowledgement(self, node: Node, message: Message) -> None:
        """Count an acknowledgement of this term."""
        self._see_term(message["term"])
        if self._SyncObj__raftState != LEADER or message["term"] != self.raftCurrentTerm:
            return
        # What counts is when the question was sent: a leader that was suspended reads old answers when it continues.
        self._SyncObj__lastResponseTime[node] = max(self._SyncObj__lastResponseTime[node], message["at_s"])
        following, matched = message["next_node_idx"], self._SyncObj__raftMatchIndex[node]
        if message["success"]:
            self._SyncObj__raftMatchIndex[node] = max(matched, following - 1)
            self._SyncObj__raftNextIndex[node] = max(self._SyncObj__raftNextIndex[node], following)
        else:
            self._SyncObj__raftNextIndex[node] = min(max(matched + 1, following), self._journal.last_index + 1)
        if self._SyncObj__raftNextIndex[node] <= self._journal.last_index:
            self._send_entries(node)

    # Leading.

    def _SyncObj__onBecomeLeader(self) -> None:  # noqa: N802
        """Begin to lead: the first entry of the term is the election itself."""
        now, journal = _now(), self._journal
        self._SyncObj__raftLeader = self.selfNode
        self._SyncObj__setState(LEADER)
        self._SyncObj__lastResponseTime.clear()
        for node in self.otherNodes:
            self._SyncObj__raftNextIndex[node] = journal.last_index + 1
            self._SyncObj__raftMatchIndex[node] = 0
            self._SyncObj__lastResponseTime[node] = now
        elected = LeaderElected(member_id=self.selfNode.name, term=self.raftCurrentTerm, members=self._voters)
        journal.add(REGULAR + encode_command(elected), journal.last_index + 1, self.raftCurrentTerm)
        self._SyncObj__noopIDx = journal.last_index
        self._change_index = 0
        self._SyncObj__sendAppendEntries()
        # A group of one commits at once, so the entry has to be durable before that.
        if not self._release():
            self._SyncObj__setState(FOLLOWER)
            self._SyncObj__raftLeader = None

    def _SyncObj__sendAppendEntries(self) -> None:  # noqa: N802
        """Send every follower what it lacks, or a heartbeat."""
        self._SyncObj__newAppendEntriesTime = _now() + self._timing.heartbeat_s
        for node in sorted(self.otherNodes & self._SyncObj__connectedNodes, key=str):
            self._send_entries(node)

    def _send_entries(self, node: Node) -> None:
        """Send one follower the dump when the log starts too late, entries otherwise."""
        journal, message = self._journal, {"type": "append_entries", "term": self.raftCurrentTerm}
        message |= {"commit_index": self.raftCommitIndex, "at_s": _now()}
        following: int = self._SyncObj__raftNextIndex[node]
        if following <= journal.first_index and journal.dump is not None:
            dump = journal.dump
            self._held.send(node, {**message, "dump": (dump.index, dump.term, dump.state, dump.voters)})
            self._SyncObj__raftNextIndex[node] = dump.index + 1
            return
        following = max(following, journal.first_index + 1)
        start = following - journal.first_index
        count = self._sendable_count(start, following - 1 - self._SyncObj__raftMatchIndex[node])
        message |= {"prevLogIdx": following - 1, "prevLogTerm": journal.term_at(following - 1)}
        self._held.send(node, {**message, "entries": journal[start : start + count]})
        self._SyncObj__raftNextIndex[node] = following + count

    def _sendable_count(self, start: int, in_flight: int) -> int:
        """Return how many entries from a position on to put into one message."""
        size_bytes = 0
        available = self._journal[start : start + max(0, ENTRIES_IN_FLIGHT_MAX - max(0, in_flight))]
        for count, entry in enumerate(available):
            size_bytes += len(entry[0])
            if size_bytes > self._append_size_bytes_max:
                return max(1, count)
        return len(available)

    def _checkCommandsToApply(self) -> None:  # noqa: N802
        """Take commands from the queue, and send them on in one message."""
        last = self._journal.last_index
        super()._checkCommandsToApply()
        if self._SyncObj__raftState == LEADER and self._journal.last_index > last:
            self._SyncObj__sendAppendEntries()

    # Applying.

    def _SyncObj__applyLogEntries(self) -> bool:  # noqa: N802
        """Apply what is committed, answer those who wait, and tell whether there was anything."""
        applied = False
        while self.raftLastApplied < self.raftCommitIndex:
            index = self.raftLastApplied + 1
            command, _, term = self._journal[index - self._journal.first_index]
            answer = self._apply_entry(command)
            self._SyncObj__raftLastApplied = index
            for expected_term, callback in self._SyncObj__commandsWaitingCommit.pop(index, ()):
                taken = expected_term == term
                callback(answer if taken else None, FAIL_REASON.SUCCESS if taken else FAIL_REASON.DISCARDED)
            applied = True
        return applied

    def _apply_entry(self, command: bytes) -> bytes:
        """Apply one entry; one that this program does not know must not be passed over."""
        kind, payload = command[:1], command[1:]
        if kind in (REGULAR, MEMBERSHIP):
            return self._machine.apply(payload)
        if payload:
            raise MemberFailedError(f"entry of kind {kind!r} is unknown; update this member")
        return b""

    def _forget_waiting(self, index: int) -> None:
        """Answer those who wait for entries that a dump has jumped over."""
        waiting = self._SyncObj__commandsWaitingCommit
        for passed in [at for at in waiting if at <= index]:
            for _, callback in waiting.pop(passed):
                callback(None, FAIL_REASON.UNKNOWN_OUTCOME)

    def _SyncObj__tryLogCompaction(self) -> None:  # noqa: N802
        """Let a dump stand for what is applied, once the log has grown beyond its limits."""
        journal, index = self._journal, self.raftLastApplied
        if len(journal) <= self._log_entry_count_max and journal.size_bytes <= self._log_size_bytes_max:
            return
        term = journal.term_at(index)
        if index > journal.first_index and term is not None:
            voters = self._voters_at(index)
            journal.compact(Dump(index=index, term=term, state=self._machine.dump(), voters=voters))

    # Membership.

    def _voters_at(self, index: int) -> Voters:
        """Return who votes after an entry."""
        journal = self._journal
        voters = journal.dump.voters if journal.dump else journal.voters
        for entry in journal[: index - journal.first_index + 1]:
            change = decode_change(entry[0])
            voters = voters if change is None else changed_voters(voters, change)
        return voters

    def _follow_membership(self) -> None:
        """Let those vote whom the newest entries name, committed or not."""
        self._set_voters(self._voters_at(self._journal.last_index))

    def _set_voters(self, voters: Voters) -> None:
        """Connect to new voters and part from former ones."""
        nodes = set(map(_node, voters))
        wanted = nodes - {self.selfNode}
        self._voters, self._is_voter = voters, self.selfNode in nodes
        for node in self.otherNodes - wanted:
            self._SyncObj__otherNodes.discard(node)
            self._SyncObj__raftNextIndex.pop(node, None)
            self._SyncObj__raftMatchIndex.pop(node, None)
            self._SyncObj__lastResponseTime.pop(node, None)
            self._held.dropNode(node)
        for node in wanted - self.otherNodes:
            self._SyncObj__otherNodes.add(node)
            self._SyncObj__raftNextIndex[node] = self._journal.last_index + 1
            self._SyncObj__raftMatchIndex[node] = 0
            self._SyncObj__lastResponseTime[node] = _now()
            self._held.addNode(node)

    def _SyncObj__parseChangeClusterRequest(self, command: bytes) -> MembershipChange | None:  # noqa: N802
        """Return the change of who votes that a command asks for, if it does."""
        return decode_change(command)

    def _SyncObj__changeCluster(self, change: MembershipChange) -> bool:  # noqa: N802
        """Let the change take effect with its entry, which follows, or refuse it."""
        if self.raftLastApplied < max(self._SyncObj__noopIDx, self._change_index):
            return False
        voters = changed_voters(self._voters, change)
        if voters == self._voters or self.selfNode not in map(_node, voters):
            return False
        self._set_voters(voters)
        self._change_index = self._journal.last_index + 1
        return True


def _settings(timing: Timing) -> SyncObjConf:
    """Return PySyncObj's settings; journal, dump and transport are ours."""
    return SyncObjConf(
        autoTick=False,
        appendEntriesPeriod=timing.heartbeat_s,
        raftMinTimeout=timing.election_min_s,
        raftMaxTimeout=timing.election_max_s,
        leaderFallbackTimeout=timing.lease_s,
        connectionTimeout=max(3.5, timing.election_max_s),
        dynamicMembershipChange=True,
        commandsQueueSize=10_000,
        commandsWaitLeader=True,
        useFork=False,
    )


def _node(voter: tuple[str, str, str]) -> Node:
    """Return the node of a voter."""
    return node_of(*voter)


def _entry(entry: Any) -> Entry:
    """Return an entry as it came over the network."""
    command, index, term = entry
    return command, index, term

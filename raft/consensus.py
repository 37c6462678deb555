"""Consensus: PySyncObj's Raft with the rules it lacks, so that no committed entry can be lost.

PySyncObj 0.3.17 keeps its counting of commits, its queue of commands and their forwarding to the leader, and that a
leader gives up when a majority is silent. Elections are our own (`raft.elections`). Replaced here, each because
committed entries could be lost or two leaders elected in one term without it:

- nothing leaves a member before its journal is durable: messages are *held* until `Journal.sync` has returned;
- a follower truncates its log only where a term conflicts, and acknowledges only what it has compared;
- an acknowledgement carries its term and counts in that term only; a vote counts once for each voter;
- a leader's lease counts from when it asked, not from when it read the answer; while a leader is heard, nobody votes;
- the commit index follows what has been compared, not the length of the log;
- dump and log change in one transaction of the journal;
- an answer to a forwarded command is not taken for another command's after a restart;
- who votes follows the log, also before an entry is committed and after a restart, one change at a time.

Added is that a leader can hand its leadership over (`raft.handover`).

Entries and messages are plain values (bytes and msgpack), never pickles. What belongs to PySyncObj is reached through
`raft.pysyncobj_seam`. A message that has the form of one (`raft.messages`) and cannot be true, or cannot be read, is
refused by `ContradictionError` or `FormatError` after its sender's term has been followed, and changes nothing else.
"""

import random
import time
from collections.abc import Callable
from typing import Final, Protocol

from raft.commands import LeaderElected, encode_command
from raft.elections import Elections
from raft.errors import ContradictionError, JournalFullError, MemberFailedError
from raft.handover import HandOver
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
from raft.messages import (
    REGULAR,
    Acknowledgement,
    AppendEntries,
    InstallDump,
    Message,
)
from raft.pysyncobj_seam import FAIL_REASON, FOLLOWER, LEADER, Node, RaftSeam, Reply, now_s
from raft.pysyncobj_seam import use_clock as use_clock
from raft.replication import append_message, dump_message, new_entries, sendable_count, voters_at
from raft.settings import Timing
from raft.transport import HeldTransport, node_of

WAIT_S_MIN: Final = 0.005
"""Shortest wait for messages."""


class Machine(Protocol):
    """What the log is applied to."""

    def apply(self, command: bytes) -> bytes:
        """Apply a committed command and return its answer; must not fail."""

    def dump(self) -> bytes:
        """Return the state as bytes."""

    def restore(self, state: bytes) -> None:
        """Replace the state."""


class Consensus(RaftSeam):
    """One member's part in Raft; not thread-safe but for `submit`."""

    def __init__(
        self,
        *,
        name: str,
        journal: Journal,
        transport: HeldTransport,
        machine: Machine,
        timing: Timing,
        check_contents: Callable[[Message], None] = lambda _: None,
        log_entry_count_max: int = 4096,
        log_size_bytes_max: int = 16 << 20,
        append_size_bytes_max: int = 1 << 20,
        generator: random.Random | None = None,
    ) -> None:
        self._journal = journal
        self._held = transport
        self._machine = machine
        self._timing = timing
        self._check_contents = check_contents
        self._log_entry_count_max = log_entry_count_max
        self._log_size_bytes_max = log_size_bytes_max
        self._append_size_bytes_max = append_size_bytes_max
        self._generator = generator or random.Random()
        self._problem = ""
        self._change_index = 0
        self._voters: Voters = ()
        self._is_voter = False
        address = next((entry[1] for entry in journal.voters if entry[0] == name), "")
        super().__init__(node_of(name, address, journal.identity), timing, transport)
        self._elections = Elections(self, self._raft, journal, transport, timing, self._generator)
        transport.on_ended = self._elections.on_ended
        self._handing = HandOver(self._raft, journal, transport)
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
        self.run_once(self._wait_until_due(wait_s))
        self._elections.step()
        self._handing.step()
        self._release()

    def submit(self, command: bytes, reply: Reply) -> None:
        """Queue an encoded command. From any thread."""
        self.enqueue(REGULAR + command, reply)

    def submit_change(self, change: MembershipChange, reply: Reply) -> None:
        """Queue a change of who votes. From any thread."""
        self.enqueue(encode_change(change), reply)

    def hand_over(self, timeout_s: float, preferred: frozenset[str] = frozenset()) -> None:
        """Have another voter elected, if this member leads, within this time; commands wait. From any thread."""
        self._handing.want(timeout_s, preferred)

    def be_reluctant(self, *, is_reluctant: bool) -> None:
        """Let others stand for election first, or not any more. From any thread."""
        self._elections.is_reluctant = is_reluctant

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
        return self._raft.state == LEADER and self._elections.has_heard_majority(self._timing.lease_s)

    @property
    def leads_alone(self) -> bool:
        """Whether it leads, and a majority has answered so recently that it cannot have elected another."""
        # Before its first entry is committed, answers since the election are assumed, not heard.
        if not self.leads or self._raft.commit_index < self._raft.election_index or self._handing.may_elect:
            return False
        return self._elections.has_heard_majority(self._timing.election_min_s)

    @property
    def leader_name(self) -> str | None:
        """Who leads, as far as this member knows."""
        leader = self._raft.leader
        return None if leader is None else leader.name

    @property
    def applied_index(self) -> int:
        """Last log entry that has been applied."""
        return self._raft.applied_index

    @property
    def role(self) -> str:
        """`follower`, `candidate` or `leader`."""
        return ("follower", "candidate", "leader")[self._raft.state]

    @property
    def problem(self) -> str:
        """Why this member does not take part fully; empty when it does."""
        return self._problem or ("" if self.is_voter else Waiting.FOR_ADMISSION)

    def leads_term(self, term: int) -> bool:
        """Whether this member is Raft's leader of this very term."""
        return self._raft.state == LEADER and self._raft.term == term

    def silence_s(self) -> dict[str, float]:
        """Return the seconds since each follower answered; a leader alone knows."""
        if self._raft.state != LEADER:
            return {}
        now = now_s()
        return {node.name: now - at_s for node, at_s in self._raft.answered_at_s.items()}

    def validate(self) -> None:
        """Assert every invariant."""
        raft, journal = self._raft, self._journal
        journal.validate()
        assert journal.first_index <= raft.applied_index <= raft.commit_index <= journal.last_index
        assert raft.term >= max(journal.last_term, journal.getCurrentTerm())
        assert raft.others == {_node(voter) for voter in self._voters} - {self.selfNode}
        assert raft.next_index.keys() == raft.match_index.keys() == raft.others
        assert raft.answered_at_s.keys() <= raft.others
        if raft.state == LEADER:
            assert raft.leader == self.selfNode
            assert raft.answered_at_s.keys() == raft.others
            following = journal.last_index + 1
            assert all(raft.match_index[node] < raft.next_index[node] <= following for node in raft.others)

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
        return True

    def _wait_until_due(self, wait_s: float) -> float:
        """Return how long to wait for messages; to the moment of an election, so that two rarely fall together."""
        leads = self._raft.state == LEADER
        due_s = self._raft.append_due_s if leads else self._elections.due_s
        return min(wait_s, max(WAIT_S_MIN, due_s - now_s()))

    # Start.

    def _take_over_journal(self) -> None:
        """Begin where the journal ends."""
        journal = self._journal
        self._raft.log = journal
        self._raft.term = max(journal.getCurrentTerm(), journal.last_term)
        self._raft.voted_for = journal.getVotedForNodeId()
        self._raft.commit_index = max(journal.getRaftCommitIndex(), journal.first_index)
        self._raft.applied_index = journal.first_index
        # Numbers of forwarded commands are not used twice: a late response to the process before this one would be
        # taken for the answer to another command.
        self._raft.command_number = self._generator.getrandbits(62)
        if journal.dump is not None:
            self._machine.restore(journal.dump.state)
        self._follow_membership()

    # Messages.

    def on_message(self, node: Node, message: Message) -> None:
        """Handle a message of another voter; rules that are sound in PySyncObj stay there.

        Raises:
            FormatError: It holds what this member cannot read.
            ContradictionError: It cannot be true.
        """
        if node not in self._raft.others:
            return
        if message["type"] == "append_entries":
            self._on_append(node, message)
        elif message["type"] == "next_node_idx":
            self._on_acknowledgement(node, message)
        elif message["type"] == "request_pre_vote":
            self._elections.on_pre_vote_request(node, message)
        elif message["type"] == "response_pre_vote":
            self._elections.on_pre_vote(node, message)
        elif message["type"] == "request_vote":
            self._elections.on_vote_request(node, message)
        elif message["type"] == "timeout_now":
            self._elections.on_timeout_now(node, message)
        elif message["type"] == "response_vote":
            self._elections.on_vote(node, message)
        else:
            self._check_contents(message)
            self.take_as_pysyncobj(node, message)

    def _on_append(self, node: Node, message: AppendEntries | InstallDump) -> None:
        """Take entries, or a dump, from the leader."""
        sent_at_s = message["at_s"]
        if message["term"] < self._raft.term:
            self._acknowledge(node, self._journal.last_index, sent_at_s, success=False)
            return
        self._follow(node, message["term"])
        self._check_contents(message)
        matched = self._take_dump(message) if "dump" in message else self._take_entries(message)
        if matched is None:
            # Everything up to the commit index is the same everywhere; the leader may go on from there.
            self._acknowledge(node, self._raft.commit_index, sent_at_s, success=False)
            return
        self._commit(min(message["commit_index"], matched))
        self._raft.leader_commit_index = self._raft.commit_index
        self._acknowledge(node, matched, sent_at_s, success=True)

    def _follow(self, node: Node, term: int) -> None:
        """Accept a node as the leader of a term."""
        if term == self._raft.term and self._raft.state == LEADER:
            raise ContradictionError(f"{node.id} and this member both lead term {term}; votes have been lost")
        self._elections.see_term(term)
        self._elections.hear()
        if self._raft.leader != node:
            self.note_other_leader()
        self._raft.leader = node
        self.set_state(FOLLOWER)

    def _take_entries(self, message: AppendEntries) -> int | None:
        """Append what is new; return up to where the log is the leader's, or `None` when it does not connect."""
        found = new_entries(self._journal, message)
        if found is None:
            return None
        matched, entries = found
        if entries:
            self._replace_entries(entries)
        return matched

    def _replace_entries(self, entries: list[Entry]) -> None:
        """Append entries, after giving up those in their place, whose terms conflict."""
        first, journal = entries[0][1], self._journal
        if first <= self._raft.commit_index:
            raise ContradictionError(
                f"the leader would replace entry {first}, committed up to {self._raft.commit_index}"
            )
        if (before := journal.term_at(first - 1)) is None or before > entries[0][2]:
            raise ContradictionError(f"entry {first} of term {entries[0][2]} would follow one of term {before}")
        replaced = journal[first - journal.first_index :]
        if replaced:
            journal.truncate(first)
        for entry in entries:
            journal.add(*entry)
        if any(entry[0][:1] == MEMBERSHIP for entry in (*replaced, *entries)):
            self._follow_membership()

    def _take_dump(self, message: InstallDump) -> int:
        """Take the leader's dump unless we are further; return up to where the log is the leader's."""
        index, term, state, voters = message["dump"]
        if index > self._raft.commit_index:
            self._journal.install(Dump(index=index, term=term, state=state, voters=voters))
            self._machine.restore(state)
            self._raft.commit_index = index
            self._raft.applied_index = index
            self._follow_membership()
            self._forget_waiting(index)
        return index

    def _commit(self, index: int) -> None:
        if index > self._raft.commit_index:
            self._raft.commit_index = index
            self._journal.setRaftCommitIndex(index)

    def _acknowledge(self, node: Node, index: int, sent_at_s: float, *, success: bool) -> None:
        """Answer a message of the leader: how far our log is its log, or from where to send again."""
        message: Acknowledgement = {
            "type": "next_node_idx",
            "term": self._raft.term,
            "next_node_idx": index + 1,
            "success": success,
            "at_s": sent_at_s,
        }
        self._held.send(node, message)

    def _on_acknowledgement(self, node: Node, message: Acknowledgement) -> None:
        """Count an acknowledgement of this term."""
        self._elections.see_term(message["term"])
        if self._raft.state != LEADER or message["term"] != self._raft.term:
            return
        following, matched = message["next_node_idx"], self._raft.match_index[node]
        if message["success"] and following > self._journal.last_index + 1:
            raise ContradictionError(f"{node.id} acknowledges entry {following - 1}, which nobody has sent")
        # What counts is when the question was sent: a leader that was suspended reads old answers when it continues.
        sent_at_s = min(message["at_s"], now_s())
        self._raft.answered_at_s[node] = max(self._raft.answered_at_s[node], sent_at_s)
        if message["success"]:
            self._raft.match_index[node] = max(matched, following - 1)
            self._raft.next_index[node] = max(self._raft.next_index[node], following)
        else:
            self._raft.next_index[node] = min(max(matched + 1, following), self._journal.last_index + 1)
        if self._raft.next_index[node] <= self._journal.last_index:
            self._send_to(node)

    # Leading.

    def on_elected(self) -> None:
        """Begin to lead: the first entry of the term is the election itself."""
        now, journal = now_s(), self._journal
        self._raft.leader = self.selfNode
        self.set_state(LEADER)
        self._raft.answered_at_s.clear()
        for node in self.otherNodes:
            self._raft.next_index[node] = journal.last_index + 1
            self._raft.match_index[node] = 0
            self._raft.answered_at_s[node] = now
        elected = LeaderElected(member_id=self.selfNode.name, term=self._raft.term, members=self._voters)
        journal.add(REGULAR + encode_command(elected), journal.last_index + 1, self._raft.term)
        self._raft.election_index = journal.last_index
        self._change_index = 0
        self.send_entries()
        # A group of one commits at once, so the entry has to be durable before that.
        if not self._release():
            self.set_state(FOLLOWER)
            self._raft.leader = None

    def send_entries(self) -> None:
        """Send every follower what it lacks, or a heartbeat."""
        self._raft.append_due_s = now_s() + self._timing.heartbeat_s
        for node in sorted(self.otherNodes & self._raft.connected, key=str):
            self._send_to(node)

    def _send_to(self, node: Node) -> None:
        """Send one follower the dump when the log starts too late, entries otherwise."""
        journal, term, commit_index, at_s = self._journal, self._raft.term, self._raft.commit_index, now_s()
        following = self._raft.next_index[node]
        if following <= journal.first_index and journal.dump is not None:
            self._held.send(node, dump_message(journal, term, commit_index, at_s))
            self._raft.next_index[node] = journal.dump.index + 1
            return
        following = max(following, journal.first_index + 1)
        in_flight = following - 1 - self._raft.match_index[node]
        count = sendable_count(journal, following, in_flight, self._append_size_bytes_max)
        self._held.send(node, append_message(journal, term, commit_index, at_s, (following, count)))
        self._raft.next_index[node] = following + count

    def on_commands_due(self) -> None:
        """Take commands from the queue, and send them on in one message; while handing over they wait."""
        if self._handing.is_going_on:
            return
        last = self._journal.last_index
        self.take_commands()
        if self._raft.state == LEADER and self._journal.last_index > last:
            self.send_entries()

    # Applying.

    def apply_entries(self) -> bool:
        """Apply what is committed, answer those who wait, and tell whether there was anything."""
        applied = False
        while self._raft.applied_index < self._raft.commit_index:
            index = self._raft.applied_index + 1
            command, _, term = self._journal[index - self._journal.first_index]
            answer = self._apply_entry(command)
            self._raft.applied_index = index
            for expected_term, callback in self._raft.waiting.pop(index, ()):
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
        waiting = self._raft.waiting
        for passed in [at for at in waiting if at <= index]:
            for _, callback in waiting.pop(passed):
                callback(None, FAIL_REASON.UNKNOWN_OUTCOME)

    def shorten_log(self) -> None:
        """Let a dump stand for what is applied, once the log has grown beyond its limits."""
        journal, index = self._journal, self._raft.applied_index
        if len(journal) <= self._log_entry_count_max and journal.size_bytes <= self._log_size_bytes_max:
            return
        term = journal.term_at(index)
        if index > journal.first_index and term is not None:
            voters = voters_at(journal, index)
            journal.compact(Dump(index=index, term=term, state=self._machine.dump(), voters=voters))

    # Membership.

    def _follow_membership(self) -> None:
        """Let those vote whom the newest entries name, committed or not."""
        self._set_voters(voters_at(self._journal, self._journal.last_index))

    def _set_voters(self, voters: Voters) -> None:
        """Connect to new voters and part from former ones."""
        nodes = set(map(_node, voters))
        wanted = nodes - {self.selfNode}
        self._voters, self._is_voter = voters, self.selfNode in nodes
        for node in self.otherNodes - wanted:
            self._raft.others.discard(node)
            self._raft.next_index.pop(node, None)
            self._raft.match_index.pop(node, None)
            self._raft.answered_at_s.pop(node, None)
            self._held.dropNode(node)
        for node in wanted - self.otherNodes:
            self._raft.others.add(node)
            self._raft.next_index[node] = self._journal.last_index + 1
            self._raft.match_index[node] = 0
            self._raft.answered_at_s[node] = now_s()
            self._held.addNode(node)

    def requested_change(self, entry: bytes) -> MembershipChange | None:
        """Return the change of who votes that an entry asks for, if it does."""
        return decode_change(entry)

    def begin_change(self, change: MembershipChange) -> bool:
        """Let the change take effect with its entry, which follows, or refuse it."""
        if self._raft.applied_index < max(self._raft.election_index, self._change_index):
            return False
        voters = changed_voters(self._voters, change)
        if voters == self._voters or self.selfNode not in map(_node, voters):
            return False
        self._set_voters(voters)
        self._change_index = self._journal.last_index + 1
        return True


def _node(voter: tuple[str, str, str]) -> Node:
    return node_of(*voter)

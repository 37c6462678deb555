"""Elections: who stands for election, what is asked before, and who votes for whom.

A member that has not heard of a leader for an *election timeout* first asks the others whether they would vote for it
(section 9.6 of Raft's dissertation, *pre-vote*). A member would if the asking one's log is at least as new as its own
and it hears no leader itself; asking and answering change nothing. With the consent of a majority the member begins a
term and stands for election. So one that was cut off, suspended or starved raises no term, and costs no election when
it is back. A leader gives up when a majority is silent (PySyncObj's rule), so who asks is not refused for ever.

A leader whose process has ended need not be waited for: its machine *refuses* connections, since nobody listens there
any more. Members that learn so hear no leader from then on, and ask at once; who consents gives way. What was learned
before the leader was last heard is about an earlier process, and counts for nothing.

Whom the leader has told to stand (`TimeoutNow`) asks nobody. A member of a version that does not know the question
(`HeldTransport.can_be_asked`) counts as consenting while it is connected: it votes by its own rules, as before.
"""

import random
from typing import Final, Protocol

from raft.errors import ContradictionError
from raft.journal import Journal
from raft.messages import PreVote, PreVoteRequest, TimeoutNow, Vote, VoteRequest
from raft.pysyncobj_seam import CANDIDATE, FOLLOWER, LEADER, Internals, Node, now_s
from raft.settings import Timing
from raft.transport import HeldTransport

TERM_STEP_MAX: Final = 1 << 32
"""Terms that a member can have missed; one that jumps further would use up all terms for everybody."""


class Standing(Protocol):
    """What elections need of the member."""

    selfNode: Node  # noqa: N815 -- PySyncObj's name

    @property
    def is_voter(self) -> bool:
        """Whether it votes."""

    def set_state(self, state: int) -> None:
        """Follow, stand for election, or lead."""

    def set_term(self, term: int, voted_for: str | None) -> None:
        """Begin a term, or vote in it."""

    def note_other_leader(self) -> None:
        """Nobody leads that did."""

    def on_elected(self) -> None:
        """Begin to lead."""


class Elections:
    """A member's part in elections."""

    def __init__(
        self,
        member: Standing,
        raft: Internals,
        journal: Journal,
        held: HeldTransport,
        timing: Timing,
        generator: random.Random,
    ) -> None:
        self._member, self._raft, self._journal, self._held = member, raft, journal, held
        self._timing, self._generator = timing, generator
        self._heard_at_s = 0.0
        self._asked_term = 0
        self._consenting: set[str] = set()
        self._votes: set[str] = set()
        self._gone_until_s = 0.0
        self.is_reluctant = False
        """Whether this member waits longer than others, so that one of them leads if any can. Set from any thread."""
        self.due_s = 0.0
        """When a follower that has heard no leader asks whether it may stand for election."""
        self.restart_timer()

    def restart_timer(self) -> None:
        """Wait for a random election timeout from now on; a short one while the leader is known to be gone."""
        timing, now = self._timing, now_s()
        if now >= self._gone_until_s:
            wait_s = self._generator.uniform(timing.election_min_s, timing.election_max_s)
            self.due_s = now + wait_s + (timing.election_max_s if self.is_reluctant else 0.0)
        else:
            wait_s = self._generator.uniform(0.0, 2 * timing.heartbeat_s)
            self.due_s = now + wait_s + (timing.election_min_s if self.is_reluctant else 0.0)

    def hear(self) -> None:
        """A leader has been heard."""
        self._heard_at_s, self._asked_term = now_s(), 0
        self._give_way()

    def on_ended(self, node: Node, since_s: float) -> None:
        """Nobody listens where a node did, as an attempt to reach it has found that began at this time."""
        raft = self._raft
        if raft.state == FOLLOWER and raft.leader == node and self._heard_at_s < since_s:
            raft.leader = None
            self._gone_until_s = now_s() + self._timing.election_max_s
            self.restart_timer()

    def _give_way(self) -> None:
        """Let somebody else lead or be elected: wait for a whole election timeout again."""
        self._gone_until_s = 0.0
        self.restart_timer()

    def has_heard_majority(self, within_s: float) -> bool:
        """Whether a majority, with this member, has answered what it has sent within this time; for a leader."""
        since_s = now_s() - within_s
        return self._is_majority(sum(self._raft.answered_at_s.get(node, 0.0) > since_s for node in self._raft.others))

    def step(self) -> None:
        """Ask for consent when no leader has been heard for too long; after what has arrived was looked at."""
        if self._raft.state == LEADER or not self._member.is_voter:
            self.due_s = now_s() + self._timing.election_max_s
        elif self.due_s < now_s():
            self._ask()

    def see_term(self, term: int) -> None:
        """Follow a term that is newer than ours.

        Raises:
            ContradictionError: It cannot have come yet.
        """
        if term > self._raft.term + TERM_STEP_MAX:
            raise ContradictionError(f"term {term} cannot come after term {self._raft.term}")
        if term > self._raft.term:
            self._member.set_term(term, None)
            self._member.set_state(FOLLOWER)
            self._raft.leader = None

    # Standing for election.

    def _ask(self) -> None:
        """Ask everybody whether they would vote for this member."""
        raft, journal = self._raft, self._journal
        self.restart_timer()
        raft.leader = None
        self._member.note_other_leader()
        self._asked_term, self._consenting = raft.term + 1, set()
        request: PreVoteRequest = {
            "type": "request_pre_vote",
            "term": raft.term + 1,
            "last_log_index": journal.last_index,
            "last_log_term": journal.last_term,
        }
        for node in sorted(raft.others & raft.connected, key=str):
            if self._held.can_be_asked(node):
                self._held.send(node, request)
            else:
                self._consenting.add(node.id)
        self._stand_with_consent()

    def on_pre_vote_request(self, node: Node, message: PreVoteRequest) -> None:
        """Say whether this member would vote for another; silent while it hears a leader."""
        if self._is_led():
            return
        consents = self._may_elect(node, message)
        if consents and now_s() < self._gone_until_s:
            self._give_way()
        term = message["term"] if consents else self._raft.term
        answer: PreVote = {"type": "response_pre_vote", "term": term, "consents": consents}
        self._held.send(node, answer)

    def on_pre_vote(self, node: Node, message: PreVote) -> None:
        """Count who would vote for this member; who would not may know of a newer term."""
        if not message["consents"]:
            self.see_term(message["term"])
        elif message["term"] == self._asked_term:
            self._consenting.add(node.id)
            self._stand_with_consent()

    def _stand_with_consent(self) -> None:
        """Stand for election if a majority consents, and nothing has changed since it was asked."""
        if self._asked_term == self._raft.term + 1 and self._is_majority(len(self._consenting)):
            self._stand()

    def _stand(self, *, is_handed_over: bool = False) -> None:
        """Begin a term and ask for votes."""
        raft, journal = self._raft, self._journal
        # The votes may take their time.
        self._give_way()
        raft.leader = None
        self._asked_term, self._votes = 0, set()
        self._member.set_state(CANDIDATE)
        self._member.set_term(raft.term + 1, self._member.selfNode.id)
        request: VoteRequest = {
            "type": "request_vote",
            "term": raft.term,
            "last_log_index": journal.last_index,
            "last_log_term": journal.last_term,
        }
        if is_handed_over:
            request["is_handed_over"] = True
        for node in sorted(raft.others & raft.connected, key=str):
            self._held.send(node, request)
        self._member.note_other_leader()
        self._lead_with_votes()

    def on_timeout_now(self, node: Node, message: TimeoutNow) -> None:
        """Stand for election at once, because the leader wants to be replaced and this log is as good as its own."""
        raft, journal = self._raft, self._journal
        named = (message["last_log_term"], message["last_log_index"])
        if (message["term"], node, named) == (raft.term, raft.leader, (journal.last_term, journal.last_index)):
            self._stand(is_handed_over=True)

    def on_vote(self, node: Node, message: Vote) -> None:
        """Count a vote, each voter once."""
        self.see_term(message["term"])
        if self._raft.state == CANDIDATE and message["term"] == self._raft.term:
            self._votes.add(node.id)
            self._lead_with_votes()

    def _lead_with_votes(self) -> None:
        if self._is_majority(len(self._votes)):
            self._member.on_elected()

    def _is_majority(self, others: int) -> bool:
        """Whether this member and so many others are more than half of the voters."""
        return (1 + others) * 2 > len(self._raft.others) + 1

    # Voting.

    def on_vote_request(self, node: Node, message: VoteRequest) -> None:
        """Vote for a candidate whose log is at least as new, once in a term, and not while a leader is heard."""
        if self._is_led() and not message.get("is_handed_over", False):
            return
        self.see_term(message["term"])
        if not self._may_elect(node, message):
            return
        self._member.set_term(self._raft.term, node.id)
        self._give_way()
        self._held.send(node, {"type": "response_vote", "term": message["term"]})

    def _may_elect(self, node: Node, message: VoteRequest | PreVoteRequest) -> bool:
        """Whether this member's vote in a term is free, and the log of who asks for it at least as new as its own."""
        raft, journal = self._raft, self._journal
        is_free = message["term"] > raft.term or (message["term"] == raft.term and raft.voted_for in (None, node.id))
        named = (message["last_log_term"], message["last_log_index"])
        return is_free and named >= (journal.last_term, journal.last_index)

    def _is_led(self) -> bool:
        """Whether a leader is heard, or this member is one that a majority hears."""
        if self._raft.state == LEADER:
            return self.has_heard_majority(self._timing.election_min_s)
        return self._raft.leader is not None and now_s() - self._heard_at_s < self._timing.election_min_s

"""Handing over: what a leader does so that another member leads at once (section 3.10 of Raft's dissertation).

The leader takes no commands any more, which wait, and goes on to send what followers lack. The first one whose log is
the leader's is told so by `TimeoutNow` and stands for election at once; the others vote for it although they hear their
leader. If the leader is still there when its time is over, it goes on.

What was sent may still arrive then, so from the moment of sending somebody can be elected while the leader is heard.
`TimeoutNow` therefore names the leader's last entry and counts only for a log that ends with it; a leader that goes on
adds an empty entry, and once that is committed, a majority has a log that is newer than the candidate's could be.
"""

from typing import Final

from raft.journal import Journal
from raft.pysyncobj_seam import LEADER, Internals, Node, now_s
from raft.transport import HeldTransport

NOTHING: Final = b"\x01"
"""A log entry without a command."""


class HandOver:
    """A member's hand-over of leadership, when it leads and is asked for one."""

    def __init__(self, raft: Internals, journal: Journal, held: HeldTransport) -> None:
        self._raft, self._journal, self._held = raft, journal, held
        self._wanted: tuple[float, frozenset[str]] | None = None
        self._preferred: frozenset[str] = frozenset()
        self._until_s: float | None = None
        self._sent: tuple[int, int] | None = None
        self._is_sent = False

    def want(self, timeout_s: float, preferred: frozenset[str]) -> None:
        """Ask for a hand-over within this time, to one of the preferred members if any can be told. From any thread."""
        self._wanted = timeout_s, preferred

    @property
    def is_going_on(self) -> bool:
        """Whether the leader takes no commands."""
        return self._until_s is not None and self._raft.state == LEADER

    @property
    def may_elect(self) -> bool:
        """Whether somebody can be elected in the leader's next term although voters hear the leader."""
        if self._sent is None or self._sent[0] != self._raft.term:
            return False
        return self._raft.commit_index <= self._sent[1]

    def step(self) -> None:
        """Do what is due; after each round of the member."""
        wanted, self._wanted = self._wanted, None
        if self._raft.state != LEADER:
            self._until_s = None
        elif wanted is not None and self._until_s is None:
            timeout_s, self._preferred = wanted
            self._until_s, self._is_sent = now_s() + timeout_s, False
        if self._until_s is None:
            return
        if now_s() >= self._until_s:
            self._give_up()
        elif not self._is_sent:
            self._tell_the_foremost()

    def _tell_the_foremost(self) -> None:
        """Let a voter with a whole log stand for election: a preferred one, of several the one that answered last."""
        raft, journal = self._raft, self._journal
        whole = [node for node in raft.others & raft.connected if raft.match_index[node] == journal.last_index]
        if not whole:
            return
        node: Node = max(whole, key=lambda node: (node.name in self._preferred, raft.answered_at_s[node], node.name))
        self._sent, self._is_sent = (raft.term, journal.last_index), True
        self._held.send(
            node,
            {
                "type": "timeout_now",
                "term": raft.term,
                "last_log_index": journal.last_index,
                "last_log_term": journal.last_term,
            },
        )

    def _give_up(self) -> None:
        """Lead on, and make what was sent void."""
        self._until_s = None
        if self._is_sent:
            self._journal.add(NOTHING, self._journal.last_index + 1, self._raft.term)

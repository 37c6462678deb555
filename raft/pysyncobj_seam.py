"""The seam to PySyncObj: everything of it that Raft uses, with types, and its private names under names of ours.

PySyncObj's class can be changed in no other way than by its private names, which a new version may change without a
word; hence the exact version, and `tests/unit/raft/test_pysyncobj_seam.py`, which looks for each of them. `Internals`
names what is read and written there, `REPLACED` the methods that are called in place of PySyncObj's own. No other
module of ours uses a private name of PySyncObj. Its clock is a global of its module.
"""

import _socket
import contextlib
import math
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

import pysyncobj.node
import pysyncobj.syncobj
import pysyncobj.transport
import pysyncobj.version
from pysyncobj import FAIL_REASON as FAIL_REASON
from pysyncobj import SyncObj, SyncObjConf

from raft.errors import MemberFailedError
from raft.messages import Message
from raft.settings import Timing

# PySyncObj puts a function in its place that works on Windows only, for the whole process.
socket.inet_ntop = _socket.inet_ntop

PYSYNCOBJ_VERSION: Final = "0.3.17"
"""The version whose private names are used here."""

REPLACED: Final[Mapping[str, str]] = {
    "_SyncObj__onMessageReceived": "on_message",
    "_SyncObj__generateRaftTimeout": "never_s",
    "_SyncObj__sendAppendEntries": "send_entries",
    "_checkCommandsToApply": "on_commands_due",
    "_SyncObj__applyLogEntries": "apply_entries",
    "_SyncObj__tryLogCompaction": "shorten_log",
    "_SyncObj__parseChangeClusterRequest": "requested_change",
    "_SyncObj__changeCluster": "begin_change",
}
"""Methods of PySyncObj's class, and those of a subclass of `RaftSeam` that stand in their place."""

FOLLOWER: Final = 0
CANDIDATE: Final = 1
LEADER: Final = 2

T = TypeVar("T")

Reply = Callable[[bytes | None, int], None]
"""Takes the answer to a command, and one of `FAIL_REASON`."""


class Node(pysyncobj.node.Node):  # type: ignore[misc]  # PySyncObj has no types
    """A member to PySyncObj: equal when the id is."""

    id: str
    name: str
    address: str
    identity: str


class Transport(pysyncobj.transport.Transport):  # type: ignore[misc]  # PySyncObj has no types
    """What PySyncObj sends through."""

    def __init__(self) -> None:
        super().__init__(None, None, [])

    def note_connected(self, node: Node) -> None:
        """A node can be sent to."""
        self._onNodeConnected(node)

    def note_disconnected(self, node: Node) -> None:
        """A node cannot be sent to any more."""
        self._onNodeDisconnected(node)

    def hand_over(self, node: Node, message: Message) -> None:
        """Give PySyncObj a message of a node."""
        self._onMessageReceived(node, message)


class Private(Generic[T]):
    """An attribute of PySyncObj's class under a name of ours."""

    def __init__(self, name: str) -> None:
        self.name = f"_SyncObj__{name}"

    def __get__(self, internals: "Internals", _: type) -> T:
        value: T = internals.attributes[self.name]
        return value

    def __set__(self, internals: "Internals", value: T) -> None:
        # A name that is not there would be made, and read by nobody.
        assert self.name in internals.attributes
        internals.attributes[self.name] = value


class Internals:
    """What PySyncObj keeps about one member's part in Raft."""

    state = Private[int]("raftState")
    """`FOLLOWER`, `CANDIDATE` or `LEADER`."""

    term = Private[int]("raftCurrentTerm")
    """Highest term seen."""

    voted_for = Private[str | None]("votedForNodeId")
    """Id of the node voted for in this term."""

    leader = Private[Node | None]("raftLeader")
    """Who leads, as far as known."""

    append_due_s = Private[float]("newAppendEntriesTime")
    """When a leader sends again."""

    log = Private[Any]("raftLog")
    """The journal."""

    commit_index = Private[int]("raftCommitIndex")
    """Last entry known to be committed."""

    applied_index = Private[int]("raftLastApplied")
    """Last entry applied."""

    leader_commit_index = Private[int | None]("leaderCommitIndex")
    """The leader's commit index."""

    election_index = Private[int]("noopIDx")
    """A leader's first entry of its term."""

    others = Private[set[Node]]("otherNodes")
    """The other voters."""

    connected = Private[set[Node]]("connectedNodes")
    """Nodes that can be sent to."""

    next_index = Private[dict[Node, int]]("raftNextIndex")
    """First entry to send to each of them."""

    match_index = Private[dict[Node, int]]("raftMatchIndex")
    """Last entry each of them has acknowledged."""

    answered_at_s = Private[dict[Node, float]]("lastResponseTime")
    """When each of them was last sent what it has answered."""

    command_number = Private[int]("commandsLocalCounter")
    """Number of the newest forwarded command."""

    waiting = Private[dict[int, list[tuple[int, Reply]]]]("commandsWaitingCommit")
    """Term and reply of those who wait for each entry."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}


class Poller(Protocol):
    """Waits for messages."""

    def poll(self, wait_s: float) -> None:
        """Wait at most this long, and hand over what has arrived."""


class RaftSeam(SyncObj):  # type: ignore[misc]  # PySyncObj has no types
    """PySyncObj's Raft; a subclass has a method for everything in `REPLACED`."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for theirs, ours in REPLACED.items():
            setattr(cls, theirs, getattr(cls, ours))

    def __init__(self, own: Node, timing: Timing, transport: Transport) -> None:
        if pysyncobj.version.VERSION != PYSYNCOBJ_VERSION:
            raise MemberFailedError(
                f"pysyncobj {pysyncobj.version.VERSION} is installed, needed is {PYSYNCOBJ_VERSION}"
            )
        self._raft = Internals()
        self._raft.attributes = self.__dict__
        super().__init__(own, [], _settings(timing), transport=transport)

    def never_s(self) -> float:
        """Return PySyncObj's election timeout: elections are ours (`raft.elections`)."""
        return math.inf

    def use_poller(self, poller: Poller) -> None:
        """Wait with this poller in `run_once`."""
        self._poller = poller

    def run_once(self, wait_s: float) -> None:
        """Do what is due, and wait for messages at most this long."""
        self.doTick(wait_s)

    def enqueue(self, command: bytes, reply: Reply) -> None:
        """Queue a log entry for the leader. From any thread."""
        self._applyCommand(command, reply)

    def set_state(self, state: int) -> None:
        """Follow, stand for election, or lead."""
        self._SyncObj__setState(state)

    def set_term(self, term: int, voted_for: str | None) -> None:
        """Begin a term, or vote in it."""
        self._SyncObj__setCurrentTerm(term, voted_for)

    def note_other_leader(self) -> None:
        """Somebody else leads: who waits for the former leader's answers is answered."""
        self._SyncObj__onLeaderChanged()

    def take_as_pysyncobj(self, node: Node, message: Message) -> None:
        """Let PySyncObj handle a message."""
        super()._SyncObj__onMessageReceived(node, message)

    def take_commands(self) -> None:
        """Let PySyncObj take commands from its queue."""
        super()._checkCommandsToApply()


@contextlib.contextmanager
def use_clock(clock: Callable[[], float]) -> Iterator[None]:
    """Let PySyncObj read this clock in place of the machine's, for simulations; process-wide."""
    former = pysyncobj.syncobj.monotonicTime
    pysyncobj.syncobj.monotonicTime = clock
    try:
        yield
    finally:
        pysyncobj.syncobj.monotonicTime = former


def now_s() -> float:
    """Return the time that PySyncObj sees."""
    now: float = pysyncobj.syncobj.monotonicTime()
    return now


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

"""One member alone with made-up messages: ours, and PySyncObj's own for comparison."""

import random
from pathlib import Path
from typing import Any

from pysyncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from raft.commands import Accepted, encode_answer
from raft.consensus import Consensus
from raft.journal import Entry, Journal
from raft.settings import Timing
from raft.transport import HeldTransport, Message, node_of

NAMES = ("a", "b", "c")
VOTERS_OF_FIVE = tuple((name, name, f"id-{name}") for name in "abcde")


class RecordingTransport(HeldTransport):
    """Keeps what would be sent, by the receiver's name."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, Message]] = []
        self.older_names = ""

    def can_be_asked(self, node: Node) -> bool:
        return node.name not in self.older_names

    def addNode(self, node: Node) -> None:  # noqa: N802
        self._onNodeConnected(node)

    def transmit(self, node: Node, message: Message) -> None:
        self.sent.append((node.name, message))

    def take(self, kind: str) -> list[Message]:
        """Return and forget the messages of a kind."""
        taken = [message for _, message in self.sent if message["type"] == kind]
        self.sent = [(name, message) for name, message in self.sent if message["type"] != kind]
        return taken


class TextMachine:
    """A state that is the commands in their order."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []

    def apply(self, command: bytes) -> bytes:
        self.commands.append(command)
        return encode_answer(Accepted(epoch=0))

    def dump(self) -> bytes:
        return b",".join(self.commands)

    def restore(self, state: bytes) -> None:
        self.commands = state.split(b",") if state else []


class Lone:
    """Our member `b`, alone with the messages a test makes up; process and directory can be told apart."""

    def __init__(self, directory: Path, *, names: str = "abc", log_entry_count_max: int = 1000, seed: int = 1) -> None:
        self.directory = directory
        self.journal = Journal.open(directory, durable=False)
        if not self.journal.voters:
            own = {"b": self.journal.identity}
            self.journal.form(tuple((name, name, own.get(name, f"id-{name}")) for name in names))
        self.transport = RecordingTransport()
        self.machine = TextMachine()
        self.member = Consensus(
            name="b",
            journal=self.journal,
            transport=self.transport,
            machine=self.machine,
            timing=Timing(),
            log_entry_count_max=log_entry_count_max,
            generator=random.Random(seed),
        )

    def receive(self, name: str, **message: Any) -> None:
        """Take a message, and let the answers go out."""
        self.transport._onMessageReceived(node_of(name, name, f"id-{name}"), message)
        self.member._release()

    def append(self, *entries: Entry, after: tuple[int, int], term: int = 1, commit_index: int = 1) -> None:
        """Take entries from `a`, that follow the one with this index and term."""
        index, previous_term = after
        self.receive(
            "a",
            type="append_entries",
            term=term,
            commit_index=commit_index,
            at_s=0.0,
            prevLogIdx=index,
            prevLogTerm=previous_term,
            entries=entries,
        )

    def elect(self) -> None:
        """Stand for election with the consent of `a` and `c`, and of three win it with the vote of `a`."""
        self.time_out()
        term = self.member.raftCurrentTerm + 1
        for name in "ac":
            self.receive(name, type="response_pre_vote", term=term, consents=True)
        self.receive("a", type="response_vote", term=self.member.raftCurrentTerm)

    def time_out(self) -> None:
        """Let so much time pass that the member looks for a new leader."""
        self.member._elections.due_s = 0
        self.member.step(0)

    def forget_leader(self) -> None:
        """Let so much time pass that the leader is no longer heard."""
        self.member._elections._heard_at_s = 0.0

    def matched(self) -> int:
        """Return up to where the newest acknowledgement says that the logs agree."""
        acknowledgement = self.transport.take("next_node_idx")[-1]
        assert acknowledgement["success"]
        return int(acknowledgement["next_node_idx"]) - 1

    def indices(self) -> list[int]:
        """Return the indices of the log."""
        return [entry[1] for entry in self.journal[:]]

    def crash(self) -> None:
        """End the process; what was not synced is gone."""
        self.journal.close()


class PlainTransport(Transport):
    """Keeps what PySyncObj sends."""

    def __init__(self) -> None:
        super().__init__(None, None, [])
        self.sent: list[Message] = []

    def send(self, _: Node, message: Message) -> bool:
        self.sent.append(message)
        return True


class Plain(SyncObj):
    """PySyncObj's own member `b` with its own journal and dump."""

    def __init__(self, directory: Path, *, names: str = "abc") -> None:
        directory.mkdir(exist_ok=True)
        self.plain_transport = PlainTransport()
        settings = SyncObjConf(
            autoTick=False,
            journalFile=str(directory / "journal"),
            fullDumpFile=str(directory / "dump"),
            useFork=False,
        )
        others = [Node(name) for name in names if name != "b"]
        super().__init__(Node("b"), others, settings, transport=self.plain_transport, nodeClass=Node)
        for node in others:
            self.plain_transport._onNodeConnected(node)

    @replicated
    def put(self, value: int) -> None:
        """Change nothing; it is the log that matters."""

    def receive(self, name: str, **message: Any) -> None:
        """Take a message."""
        self.plain_transport._onMessageReceived(Node(name), message)

    def append(self, *entries: Entry, after: tuple[int, int], term: int = 1, commit_index: int = 1) -> None:
        """Take entries from `a`, that follow the one with this index and term."""
        message = {"type": "append_entries", "term": term, "commit_index": commit_index, "entries": list(entries)}
        self.receive("a", **message, prevLogIdx=after[0], prevLogTerm=after[1])

    def indices(self) -> list[int]:
        """Return the indices of the log."""
        return [entry[1] for entry in self._SyncObj__raftLog[:]]

    def acknowledged(self) -> int:
        """Return up to where acknowledgements say that the logs agree."""
        kind = "next_node_idx"
        return max(sent["next_node_idx"] - 1 for sent in self.plain_transport.sent if sent["type"] == kind)

"""Bytes of strangers and of faulty members end their connection and nothing else."""

import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raft.commands import (
    AcceptancePlaced,
    Accepted,
    AssignmentChanged,
    Command,
    HeadAssigned,
    HeadStarted,
    JobFinished,
    JobRemoved,
    JobResumed,
    JobStopped,
    JobSubmitted,
    LeaderElected,
    MemberAdded,
    MemberRemoved,
    MoveAbandoned,
    MoveFinished,
    MoveStarted,
    NodeDrained,
    NodeJoined,
    NodeLeft,
    NodeLost,
    NoticesIntended,
    ScaleRequested,
    ShardRebuilt,
    SilenceAdded,
    SilenceExpired,
    SnapshotReplicated,
    StandbyPlaced,
    StandbyPromoted,
    ValueAccepted,
    decode_answer,
    decode_command,
    encode_answer,
    encode_command,
)
from raft.consensus import Consensus
from raft.errors import ContradictionError, FormatError
from raft.group import GroupState, apply, validate
from raft.group_codec import decode_state, encode_state
from raft.journal import Journal
from raft.member import GroupMachine
from raft.membership import Greeting, decode_change, encode_change
from raft.messages import check_contents, checked
from raft.settings import Timing
from raft.transport import node_of
from raft.wire import decode_hello, decode_message, decode_verdict, encode_hello, encode_message, encode_verdict
from tests.support.hostile_frames import ODD_FRAMES, changed_frames
from tests.unit.raft.lone import RecordingTransport

JOB = JobSubmitted(request_id="r", job_id="j", spec=b"s", partition_count=2, host_count=1)
ADDED = MemberAdded(member_id="d", address="127.0.0.1:1", identity="id-d")
COMMANDS: tuple[Command, ...] = (
    JOB,
    ADDED,
    LeaderElected(member_id="a", term=1, members=(("a", "127.0.0.1:1", "id-a"),)),
    SnapshotReplicated(
        epoch=1, job_id="j", partition=0, next_offsets=((0, 1),), digest=b"d" * 32, size_bytes=1, holders=("a",)
    ),
)
EVERY_COMMAND: tuple[Command, ...] = (
    *COMMANDS,
    JobStopped(request_id="r", job_id="j"),
    JobResumed(request_id="r", job_id="j"),
    JobRemoved(request_id="r", job_id="j"),
    JobFinished(request_id="r", epoch=1, job_id="j", summary=b"s"),
    AssignmentChanged(request_id="r", epoch=1, job_id="j", owners=((0, "a"), (1, "b")), host_nodes=(("a", "n"),)),
    ScaleRequested(request_id="r", job_id="j", host_count=2),
    ValueAccepted(request_id="r", job_id="j", content=b"c"),
    AcceptancePlaced(request_id="r", epoch=1, job_id="j", acceptance_id="q", positions=((0, 5),)),
    MoveStarted(request_id="r", epoch=1, job_id="j", partition=0, source="a", target="b"),
    MoveFinished(request_id="r", epoch=1, job_id="j", partition=0, target="b", generation=2),
    ShardRebuilt(request_id="r", epoch=1, job_id="j", partition=0, generation=2),
    StandbyPlaced(request_id="r", epoch=1, job_id="j", partition=0, host="b", generation=2, is_ready=False),
    StandbyPromoted(request_id="r", epoch=1, job_id="j", partition=0, host="b", generation=2),
    NodeJoined(
        request_id="r",
        node="n",
        address="n:1",
        directory="/n",
        machine="n",
        carries_ray=True,
        is_voter=True,
        incarnation="i",
    ),
    NodeDrained(request_id="r", node="n"),
    NodeLeft(request_id="r", node="n"),
    NodeLost(request_id="r", epoch=1, node="n"),
    HeadAssigned(request_id="r", epoch=1, node="n"),
    HeadStarted(request_id="r", node="n", generation=1, address="n:2"),
    MoveAbandoned(request_id="r", epoch=1, job_id="j", partition=0),
    NoticesIntended(request_id="r", epoch=1, job_id="j", sink="s", intents=(("i", 1, b"c"),), dropped=("h",)),
    SilenceAdded(
        request_id="r",
        job="*",
        metric=("m",),
        severity=("error",),
        key=(("host", "w*"),),
        labels=(("team", "a"),),
        start_us=1,
        end_us=2,
        who="ann",
        why="",
    ),
    SilenceExpired(request_id="r", silence_id="r", end_us=1),
    MemberRemoved(member_id="a", identity="id-a"),
)
GREETING = Greeting(name="a", address="127.0.0.1:1", identity="id-a", voters=())
STATE = apply(apply(GroupState(), COMMANDS[2])[0], JOB)[0]
DECODERS: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
    "command": (decode_command, [encode_command(command) for command in EVERY_COMMAND]),
    "answer": (decode_answer, [encode_answer(Accepted(epoch=1))]),
    "state": (decode_state, [encode_state(STATE)]),
    "change": (decode_change, [encode_change(ADDED)]),
    "hello": (decode_hello, [encode_hello(GREETING)]),
    "verdict": (decode_verdict, [encode_verdict("lost")]),
}


@pytest.mark.parametrize("kind", DECODERS)
def test_changed_bytes_are_a_value_or_an_error_of_ours(kind: str) -> None:
    decode, real = DECODERS[kind]
    refused = 0
    for data in changed_frames(random.Random(1), real, 2000):
        try:
            value = decode(data)
        except FormatError:
            refused += 1
            continue
        if isinstance(value, GroupState):
            validate(value)
        elif isinstance(value, Command):
            validate(apply(STATE, value)[0])
    assert refused > 100


def test_every_command_is_tried() -> None:
    names = {kind.__name__ for kind in subclasses(Command)} - {
        "JobCommand",
        "LeaderCommand",
        "LeaderJobCommand",
        "PartitionCommand",
    }
    assert {type(command).__name__ for command in EVERY_COMMAND} == names


def subclasses(kind: type) -> set[type]:
    """Return all classes below one."""
    below = set(kind.__subclasses__())
    return below.union(*map(subclasses, below))


@pytest.mark.parametrize("kind", DECODERS)
@settings(max_examples=120)
@given(data=st.binary(max_size=60))
@example(data=ODD_FRAMES[1])
def test_any_bytes_are_a_value_or_an_error_of_ours(kind: str, data: bytes) -> None:
    with contextlib.suppress(FormatError):
        DECODERS[kind][0](data)


class Listening:
    """A member `b` of three that has its journal and its state, and takes frames of `a`."""

    def __init__(self, directory: Path) -> None:
        self.journal = Journal.open(directory, durable=False)
        own = {"b": self.journal.identity}
        self.journal.form(tuple((name, name, own.get(name, f"id-{name}")) for name in "abc"))
        self.machine = GroupMachine(lambda _: None)
        self.transport = RecordingTransport()
        self.consensus = Consensus(
            name="b",
            journal=self.journal,
            transport=self.transport,
            machine=self.machine,
            timing=Timing(),
            check_contents=check_contents,
            generator=random.Random(1),
        )

    def take(self, frame: bytes) -> bool:
        """Take a frame and do what follows from it; tell whether the connection still stands."""
        try:
            self.transport.hand_over(node_of("a", "a", "id-a"), checked(decode_message(frame)))
        except (FormatError, ContradictionError):
            return False
        finally:
            self.consensus.step(0)
            self.consensus.validate()
            validate(self.machine.state)
        return True


def entries(*commands: Command, after: int, term: int, commit_index: int) -> bytes:
    """Return the frame of entries that follow one of the same term."""
    made = tuple((b"\x00" + encode_command(one), after + at, term) for at, one in enumerate(commands, 1))
    times = {"at_s": 0.5, "commit_index": commit_index, "prevLogIdx": after, "prevLogTerm": term if after > 1 else 0}
    return encode_message({"type": "append_entries", "term": term, "entries": made, **times})


def real_messages() -> list[bytes]:
    """Return one message of each kind, as members send them."""
    dump = (2, 1, encode_state(STATE), (("a", "a", "id-a"), ("b", "b", "id-b")))
    made: list[dict[str, Any]] = [
        {"type": "append_entries", "term": 1, "commit_index": 2, "at_s": 0.5, "dump": dump},
        {"type": "next_node_idx", "term": 1, "next_node_idx": 2, "success": True, "at_s": 0.5},
        {"type": "request_pre_vote", "term": 2, "last_log_index": 9, "last_log_term": 1},
        {"type": "response_pre_vote", "term": 1, "consents": False},
        {"type": "request_vote", "term": 2, "last_log_index": 9, "last_log_term": 1},
        {"type": "response_vote", "term": 1},
        {"type": "apply_command", "command": b"\x00" + encode_command(JOB), "request_id": 7},
        {"type": "apply_command", "command": encode_change(ADDED), "request_id": 8},
        {"type": "apply_command_response", "request_id": 7, "log_idx": 3, "log_term": 1},
        {"type": "apply_command_response", "request_id": 7, "error": 3},
    ]
    elected = LeaderElected(member_id="a", term=1, members=(("a", "a", "id-a"),))
    return [
        entries(elected, JOB, after=1, term=1, commit_index=3),
        entries(after=1, term=1, commit_index=1),
        *(encode_message(message) for message in made),
    ]


def check_member(seed: int, directory: Path, *, leads: bool) -> None:
    """Let a member take many changed messages of every kind, and go on."""
    member = Listening(directory)
    frames = real_messages()
    refused = 0
    for frame in changed_frames(random.Random(seed), frames, 400):
        if leads and member.consensus.role != "leader":
            member.consensus._elections.due_s = 0
            member.consensus.step(0)
            term = member.consensus.raftCurrentTerm + 1
            member.take(encode_message({"type": "response_pre_vote", "term": term, "consents": True}))
            member.take(encode_message({"type": "response_vote", "term": member.consensus.raftCurrentTerm}))
        refused += not member.take(frame)
    assert refused > 100
    term, last = member.consensus.raftCurrentTerm + 1, member.journal.last_index
    heartbeat = {"type": "append_entries", "term": term, "commit_index": 1, "at_s": 0.5, "entries": ()}
    assert member.take(encode_message({**heartbeat, "prevLogIdx": last, "prevLogTerm": member.journal.last_term}))
    assert member.consensus.role == "follower"
    member.journal.close()


@pytest.mark.parametrize("seed", range(6))
def test_a_follower_lives_through_changed_messages_of_every_kind(seed: int, tmp_path: Path) -> None:
    check_member(seed, tmp_path, leads=False)


@pytest.mark.parametrize("seed", range(6))
def test_a_leader_lives_through_changed_messages_of_every_kind(seed: int, tmp_path: Path) -> None:
    check_member(seed, tmp_path, leads=True)


@pytest.mark.slow
@pytest.mark.parametrize("leads", [False, True])
@pytest.mark.parametrize("seed", range(100, 300))
def test_members_live_through_very_many_changed_messages(seed: int, leads: bool, tmp_path: Path) -> None:
    check_member(seed, tmp_path, leads=leads)

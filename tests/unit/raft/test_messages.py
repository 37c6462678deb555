"""Messages have the form of their kind, and hold what this member can read; shapes say what that is."""

from collections.abc import Mapping
from typing import Any

import msgpack
import pytest

from raft.commands import JobSubmitted, LeaderElected, MemberAdded, encode_command
from raft.errors import FormatError
from raft.group import GroupState
from raft.group_codec import encode_state
from raft.membership import encode_change
from raft.messages import check_contents, checked
from raft.shapes import LENGTH_MAX, Count, Seconds, require, unpack

JOB = JobSubmitted(request_id="r", job_id="j", spec=b"", partition_count=1, host_count=1)
APPEND: Mapping[str, Any] = {
    "type": "append_entries",
    "term": 2,
    "commit_index": 1,
    "at_s": 0.5,
    "prevLogIdx": 1,
    "prevLogTerm": 0,
    "entries": ((b"\x00" + encode_command(JOB), 2, 1), (b"\x01", 3, 2)),
}
HEAD = {name: APPEND[name] for name in ("type", "term", "commit_index", "at_s")}
INSTALL = {**HEAD, "dump": (7, 2, encode_state(GroupState()), (("a", "h:1", "i"),))}


@pytest.mark.parametrize("message", [APPEND, {**APPEND, "entries": ()}, INSTALL])
def test_what_a_leader_sends_is_taken(message: Mapping[str, Any]) -> None:
    assert checked(message) is message
    check_contents(checked(message))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (5, "a message is 5, not Mapping"),
        ({}, "the type of a message is None"),
        ({"type": ("request_vote",)}, "the type of a message is"),
        ({"type": "pickle"}, "none of append_entries"),
        ({"type": "response_vote"}, "the message response_vote is"),
        ({"type": "response_vote", "term": 1, "more": 1}, "the message response_vote is"),
        ({"type": "response_vote", "term": True}, "the message response_vote is"),
        ({"type": "response_vote", "term": -1}, "the message response_vote is"),
        ({"type": "response_vote", "term": 1 << 63}, "the message response_vote is"),
        ({**APPEND, "at_s": float("nan")}, "the message append_entries is"),
        ({**APPEND, "entries": ((b"", 2),)}, "the message append_entries is"),
        ({**APPEND, "entries": ((b"\x01", 3, 1),)}, r"entries \[3\] do not follow 1"),
        ({**APPEND, "entries": ((b"\x01", 2, 3),)}, r"terms \[0, 3, 2\] are not in order"),
        ({**APPEND, "prevLogTerm": 3}, "are not in order"),
        ({**HEAD, "dump": (7, 3, b"", ())}, "are not in order"),
        ({"type": "apply_command_response", "request_id": 1, "log_idx": 1}, "the message apply_command_response is"),
    ],
)
def test_what_has_not_the_form_of_a_message_is_refused(message: object, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        checked(message)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (b"\x00", "0 bytes are no command"),
        (b"\x07new", "is unknown; update this member"),
        (b"\x02" + encode_command(JOB), "JobSubmitted does not change who votes"),
    ],
)
def test_entries_that_could_not_be_applied_are_refused(entry: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        check_contents(checked({**APPEND, "entries": ((entry, 2, 1),)}))


def test_a_dump_whose_state_cannot_be_read_is_refused() -> None:
    with pytest.raises(FormatError, match="bytes are no group state"):
        check_contents(checked({**HEAD, "dump": (7, 2, b"\xc1", ())}))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (b"", "0 bytes are no command"),
        (b"\x00" + encode_command(LeaderElected(member_id="a", term=9)), "LeaderElected cannot be proposed"),
        (
            b"\x00" + encode_command(MemberAdded(member_id="a", address="h:1", identity="i")),
            "MemberAdded cannot be proposed",
        ),
        (
            b"\x00" + encode_command(JobSubmitted(job_id="j", spec=b"", partition_count=1, host_count=1)),
            "no request id",
        ),
        *(
            (
                b"\x00"
                + encode_command(JobSubmitted(request_id="r", job_id=name, spec=b"", partition_count=1, host_count=1)),
                "its directory has its name",
            )
            for name in ("", "..", "../../etc", "a\0b", "x" * 201)
        ),
    ],
)
def test_a_forwarded_command_is_one_that_may_be_proposed(command: bytes, words: str) -> None:
    message = checked({"type": "apply_command", "command": command, "request_id": 1})
    with pytest.raises(FormatError, match=words):
        check_contents(message)


def test_changes_of_members_may_be_forwarded() -> None:
    change = encode_change(MemberAdded(member_id="a", address="h:1", identity="i"))
    check_contents(checked({"type": "apply_command", "command": change}))


@pytest.mark.parametrize(
    ("value", "shape", "fits"),
    [
        (1, Count, True),
        (1.0, Count, False),
        (float("inf"), Seconds, False),
        (None, int | None, True),
        (("a", 1), tuple[str, int], True),
        (("a", 1, 2), tuple[str, int], False),
        (("a", "b"), tuple[str, ...], True),
        ({"a": 1}, Mapping[str, int], True),
        ({1: 1}, Mapping[str, int], False),
        ([], tuple[str, ...], False),
    ],
)
def test_shapes_are_exact(value: object, shape: Any, fits: bool) -> None:
    if fits:
        assert require(value, shape, "it") is value
    else:
        with pytest.raises(FormatError, match=r"^it is "):
            require(value, shape, "it")


def test_values_that_are_nested_deeply_are_shown_shortly() -> None:
    deep = unpack(b"\x91" * 500 + b"\xc0", "it")
    with pytest.raises(FormatError) as error:
        require(deep, int, "it")
    assert len(str(error.value)) < 100


@pytest.mark.parametrize(
    "data",
    [
        # A byte each, and a hundred times that in memory.
        msgpack.Packer().pack_array_header(5) + (msgpack.Packer().pack_array_header(1 << 20) + b"\x80" * (1 << 20)) * 5,
        msgpack.Packer().pack_array_header(LENGTH_MAX + 1) + b"\xc0" * (LENGTH_MAX + 1),
        msgpack.packb("x" * (LENGTH_MAX + 1)),
        msgpack.packb(msgpack.ExtType(5, b"x")),
        b"\x91" * 5000 + b"\xc0",
    ],
    ids=["containers", "elements", "letters", "extension", "depth"],
)
def test_values_beyond_the_limits_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=f"{len(data)} bytes are no message"):
        unpack(data, "message")


def test_payloads_have_no_other_limit_than_their_frame() -> None:
    assert unpack(msgpack.packb((b"x" * (8 << 20), 1)), "message") == (b"x" * (8 << 20), 1)

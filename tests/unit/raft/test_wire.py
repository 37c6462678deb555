"""Hellos, verdicts and messages, without a network."""

import msgpack
import pytest

from raft.errors import FormatError
from raft.membership import Greeting
from raft.wire import (
    decode_hello,
    decode_message,
    decode_verdict,
    encode_hello,
    encode_message,
    encode_verdict,
)

GREETING = Greeting(name="a", address="h:1", identity="i", voters=(("a", "h:1", "i"),))


def test_a_hello_says_who_speaks() -> None:
    assert decode_hello(encode_hello(GREETING)) == GREETING


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no hello"),
        (b"\x80\x04pickle", "no hello"),
        (msgpack.packb(["tocsin-raft", 3, ["a", "h:1", "i", []]]), "speaks 'tocsin-raft' 3, not tocsin-raft 2; update"),
        (msgpack.packb(["other", 2, []]), "speaks 'other' 2"),
        (msgpack.packb(["tocsin-raft", 2, ["a"]]), "no hello"),
        (msgpack.packb(["tocsin-raft", 1, ["g", "a", "h:1", "i", []], b"n", True]), "no hello"),
    ],
)
def test_what_is_no_hello_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        decode_hello(data)


def test_a_verdict_is_a_reason_or_none() -> None:
    assert [decode_verdict(encode_verdict(reason)) for reason in ("", "lost")] == ["", "lost"]
    with pytest.raises(FormatError):
        decode_verdict(msgpack.packb(5))


def test_a_message_keeps_its_values() -> None:
    message = {"type": "append_entries", "entries": [(b"\x00c", 2, 1)], "at_s": 1.5}
    assert decode_message(encode_message(message)) == {**message, "entries": ((b"\x00c", 2, 1),)}
    with pytest.raises(FormatError, match="no message"):
        decode_message(b"\x80\x04pickle")

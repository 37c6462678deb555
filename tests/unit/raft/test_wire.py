"""Hellos, proofs, ciphers and messages, without a network."""

import msgpack
import pytest

from raft.errors import FormatError
from raft.membership import Greeting
from raft.wire import Secret, decode_hello, decode_message, encode_hello, encode_message

GREETING = Greeting(group="g", name="a", address="h:1", identity="i", voters=(("a", "h:1", "i"),))


def test_a_hello_says_who_speaks_and_is_never_the_same() -> None:
    one, other = encode_hello(GREETING, protected=True), encode_hello(GREETING, protected=True)
    assert (decode_hello(one).greeting, decode_hello(one).protected) == (GREETING, True)
    assert one != other


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no hello"),
        (b"\x80\x04pickle", "no hello"),
        (msgpack.packb(["tocsin-raft", 2, ["g", "a", "h:1", "i", []], b"n", True]), "speaks 'tocsin-raft' 2"),
        (msgpack.packb(["other", 1, [], b"n", True]), "speaks 'other' 1"),
        (msgpack.packb(["tocsin-raft", 1, ["g"], b"n", True]), "no hello"),
    ],
)
def test_what_is_no_hello_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        decode_hello(data)


def test_a_proof_needs_the_password_the_role_and_the_hellos() -> None:
    secret = Secret("g", "correct horse")
    proof = secret.proof("caller", b"one", b"two")
    assert proof == Secret("g", "correct horse").proof("caller", b"one", b"two")
    assert proof != Secret("g", "other horse").proof("caller", b"one", b"two")
    assert proof != Secret("h", "correct horse").proof("caller", b"one", b"two")
    assert proof != secret.proof("listener", b"one", b"two")
    assert proof != secret.proof("caller", b"onet", b"wo")


def test_frames_are_read_in_their_order_only() -> None:
    secret = Secret("g", "correct horse")
    sender, receiver = secret.cipher(b"hellos"), secret.cipher(b"hellos")
    assert sender is not None
    assert receiver is not None
    first, second = sender.encrypt(b"first"), sender.encrypt(b"second")
    assert receiver.decrypt(first) == b"first"
    with pytest.raises(FormatError, match="altered, repeated or left out"):
        receiver.decrypt(first)
    assert receiver.decrypt(sender.encrypt(b"third")) == b"third"
    assert second != b"second"


def test_without_a_password_there_is_no_cipher() -> None:
    assert Secret("g", None).cipher(b"hellos") is None


def test_a_message_keeps_its_values() -> None:
    message = {"type": "append_entries", "entries": [(b"\x00c", 2, 1)], "at_s": 1.5}
    assert decode_message(encode_message(message)) == {**message, "entries": ((b"\x00c", 2, 1),)}
    with pytest.raises(FormatError, match="no message"):
        decode_message(b"\x80\x04pickle")

"""Connections to a listening member, by strangers, by liars and by members, over real sockets in one thread."""

import functools
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cluster.local.speed import slowness
from raft.membership import Greeting
from raft.messages import Message
from raft.pysyncobj_seam import Node
from raft.transport import TcpTransport, node_of
from raft.wire import Secret, encode_hello, encode_message
from tests.support.hostile_frames import changed_frames
from tests.support.raft_process import free_addresses

PASSWORDS = (None, "a password for tests")
VOTE = {"type": "response_vote", "term": 1}


@contextmanager
def listening(password: str | None) -> Iterator[tuple[TcpTransport, str, list[Message]]]:
    """Run a member's transport; return it with its address and the messages it has taken of member `a`."""
    address = free_addresses(1)["m0"]
    transport = TcpTransport(greeting=lambda: greeting("b", address), bind_address=address, secret=secret(password))
    taken: list[Message] = []
    transport.setOnMessageReceivedCallback(lambda _, message: taken.append(message))
    transport.addNode(a_node())
    try:
        yield transport, address, taken
    finally:
        transport.destroy()


@functools.cache
def secret(password: str | None) -> Secret:
    """Return the keys of a password, which take long to make."""
    return Secret("g", password)


def greeting(name: str, address: str = "127.0.0.1:9") -> Greeting:
    return Greeting(group="g", name=name, address=address, identity=f"id-{name}", voters=())


def a_node() -> Node:
    return node_of("a", "127.0.0.1:9", "id-a")


class Caller:
    """A connection to the member, made by hand."""

    def __init__(self, transport: TcpTransport, address: str, password: str | None) -> None:
        self.transport, self.secret = transport, secret(password)
        host, _, port = address.rpartition(":")
        self.sock = socket.create_connection((host, int(port)))
        self.sock.settimeout(0.001)
        self.hello = self.read()
        self.own = encode_hello(greeting("a"), protected=self.secret.protected)

    def answer(self) -> bytes:
        """Return what a member answers to the hello."""
        return encode_message((self.own, self.secret.proof("caller", self.hello, self.own)))

    def send(self, frame: bytes) -> None:
        self.sock.sendall(struct.pack(">I", len(frame)) + frame)

    def read(self) -> bytes:
        """Return the next frame, empty when the connection has ended."""
        received = b""
        deadline_s = time.monotonic() + 5 * slowness()
        while len(received) < 4 or len(received) < 4 + struct.unpack_from(">I", received)[0]:
            assert time.monotonic() < deadline_s
            self.transport.poller.poll(0)
            try:
                part = self.sock.recv(1 << 16)
            except TimeoutError:
                continue
            except ConnectionResetError:
                return b""
            if not part:
                return b""
            received += part
        return received[4:]

    def has_ended(self) -> bool:
        """Whether the member has ended the connection; what it had said before is passed over."""
        while self.read():
            pass
        self.sock.close()
        return True


def vote_passes(transport: TcpTransport, address: str, password: str | None, taken: list[Message]) -> bool:
    """Whether a member can still greet and be heard."""
    caller = Caller(transport, address, password)
    caller.send(caller.answer())
    assert caller.read()
    cipher = caller.secret.cipher(caller.hello, caller.own)
    frame = encode_message(VOTE)
    taken.clear()
    caller.send(cipher.encrypt(frame) if cipher else frame)
    until(lambda: bool(taken), transport)
    caller.sock.close()
    return taken == [VOTE]


def until(condition: Callable[[], bool], transport: TcpTransport) -> None:
    deadline_s = time.monotonic() + 5 * slowness()
    while not condition():
        assert time.monotonic() < deadline_s
        transport.poller.poll(0.01)


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\1\5",
        b"\0\0\0\4\x93\1\2\3",
        b"\0\0\0\4\x92\5\xc4\0",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_a_few_bytes_of_a_stranger_end_the_connection_only(data: bytes, password: str | None) -> None:
    with listening(password) as (transport, address, taken):
        stranger = Caller(transport, address, password)
        stranger.sock.sendall(data)
        assert stranger.has_ended()
        assert [peer.address for peer in transport.rejected.values()] == ["127.0.0.1"]
        assert vote_passes(transport, address, password, taken)


@pytest.mark.parametrize("password", PASSWORDS)
def test_changed_answers_to_the_hello_end_the_connection_only(password: str | None) -> None:
    dice = random.Random(1)
    with listening(password) as (transport, address, taken):
        for at in range(150):
            caller = Caller(transport, address, password)
            frame = (
                list(changed_frames(dice, [caller.answer()], 1))[-1] if at % 2 else dice.randbytes(dice.randrange(40))
            )
            if frame == caller.answer():
                continue
            caller.send(frame)
            # Of a connection without a password, what follows a changed greeting may still be a good one.
            caller.send(b"\5")
            assert caller.has_ended()
        assert vote_passes(transport, address, password, taken)


@pytest.mark.parametrize("password", PASSWORDS)
def test_changed_frames_of_a_member_end_its_connection_only(password: str | None) -> None:
    with listening(password) as (transport, address, taken):
        for frame in changed_frames(random.Random(2), [encode_message(VOTE)], 60):
            caller = Caller(transport, address, password)
            caller.send(caller.answer())
            assert caller.read()
            cipher = caller.secret.cipher(caller.hello, caller.own)
            for sent in (frame, b"\xc1"):
                caller.send(cipher.encrypt(sent) if cipher else sent)
            assert caller.has_ended()
        assert transport.rejected["127.0.0.1:9"].name == "a"
        assert vote_passes(transport, address, password, taken)


def test_frames_that_are_not_encrypted_end_a_protected_connection() -> None:
    password = PASSWORDS[1]
    with listening(password) as (transport, address, taken):
        for frame in (b"", b"\5", encode_message(VOTE), b"x" * 15, b"x" * 100):
            caller = Caller(transport, address, password)
            caller.send(caller.answer())
            assert caller.read()
            caller.send(frame)
            assert caller.has_ended()
        assert vote_passes(transport, address, password, taken)


@pytest.mark.parametrize(
    "address", ["a..b:80", "x" * 80 + ".org:80", "no address", "127.0.0.1:\N{SUPERSCRIPT TWO}", "\0:1"]
)
def test_a_voter_whose_address_names_no_machine_is_called_in_vain(address: str) -> None:
    with listening(None) as (transport, own, taken):
        transport.addNode(node_of("c", address, "id-c"))
        transport.maintain()
        assert vote_passes(transport, own, None, taken)

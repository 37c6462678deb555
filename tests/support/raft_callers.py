"""A listening transport and callers made by hand, all in one thread, over real sockets."""

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cluster.local.speed import slowness
from raft.membership import Greeting
from raft.messages import Message
from raft.pysyncobj_seam import Node
from raft.transport import TcpTransport, node_of
from raft.wire import decode_verdict, encode_hello, encode_message
from tests.support.credentials import Side, credentials
from tests.support.raft_process import free_addresses

VOTE = {"type": "response_vote", "term": 1}


@contextmanager
def listening() -> Iterator[tuple[TcpTransport, str, list[Message]]]:
    """Run a member's transport; return it with its address and the messages it has taken of member `a`."""
    address = free_addresses(1)["m0"]
    transport = TcpTransport(greeting=lambda: greeting("b", address), address=address, credentials=credentials())
    taken: list[Message] = []
    transport.setOnMessageReceivedCallback(lambda _, message: taken.append(message))
    transport.addNode(a_node())
    try:
        yield transport, address, taken
    finally:
        transport.destroy()


def greeting(name: str, address: str = "127.0.0.1:9") -> Greeting:
    return Greeting(name=name, address=address, identity=f"id-{name}", voters=())


def a_node() -> Node:
    return node_of("a", "127.0.0.1:9", "id-a")


def until(condition: Callable[[], bool], *transports: TcpTransport) -> None:
    """Let transports act until a condition is true."""
    deadline_s = time.monotonic() + 20 * slowness()
    while not condition():
        assert time.monotonic() < deadline_s
        for transport in transports:
            transport.poller.poll(0.001)


class Stranger:
    """A TCP connection to the member, made by hand."""

    def __init__(self, transport: TcpTransport, address: str, *, source: str = "127.0.0.1") -> None:
        self.transport = transport
        host, _, port = address.rpartition(":")
        self.sock = socket.create_connection((host, int(port)), source_address=(source, 0))
        self.sock.setblocking(False)
        self.heard = bytearray()
        self.is_over = False

    def send(self, data: bytes) -> None:
        """Send bytes, as far as the other side takes them."""
        try:
            while data:
                self.transport.poller.poll(0)
                data = data[self.sock.send(data) :]
        except OSError:
            self.is_over = True

    def listen(self) -> bytes:
        """Let the member act, and return what has come."""
        self.transport.poller.poll(0.001)
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self.is_over = self.is_over or not data
        self.heard += data
        return data

    def has_ended(self) -> bool:
        """Whether the member ends the connection; what it says before is kept."""
        deadline_s = time.monotonic() + 20 * slowness()
        while not self.is_over:
            assert time.monotonic() < deadline_s
            self.listen()
        self.sock.close()
        return True


class Caller(Stranger):
    """One that speaks TLS."""

    def __init__(self, transport: TcpTransport, address: str, context: ssl.SSLContext | None = None) -> None:
        super().__init__(transport, address)
        self.side = Side(context or credentials().client_context(), is_server=False)
        self.plain = bytearray()

    def shake(self) -> None:
        """Do the handshake, as far as the caller can tell.

        Raises:
            SSLError: The caller refuses the member.
        """
        while not self.side.is_ready and not self.is_over:
            self.side.shake()
            self.push()
            self.pull()

    def push(self) -> None:
        """Send what TLS has made."""
        self.send(self.side.outgoing.read())

    def pull(self) -> None:
        """Decrypt what comes."""
        self.side.incoming.write(self.listen())
        if self.side.is_ready:
            try:
                while data := self.side.tls.read(1 << 16):
                    self.plain += data
            except ssl.SSLWantReadError:
                pass

    def say(self, data: bytes) -> None:
        """Send bytes through TLS."""
        while data:
            data = data[self.side.tls.write(data) :]
        self.push()

    def frame(self) -> bytes:
        """Return the next frame, empty when the connection has ended."""
        while len(self.plain) < 4 or len(self.plain) < 4 + struct.unpack_from(">I", self.plain)[0]:
            if self.is_over:
                return b""
            self.pull()
        size = struct.unpack_from(">I", self.plain)[0]
        frame = bytes(self.plain[4 : 4 + size])
        del self.plain[: 4 + size]
        return frame

    def greet(self) -> str:
        """Do all that a member does, and return the verdict."""
        self.shake()
        assert self.frame()
        self.say(framed(encode_hello(greeting("a"))))
        return decode_verdict(self.frame())


def framed(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def vote_passes(transport: TcpTransport, address: str, taken: list[Message]) -> bool:
    """Whether a member can still greet and be heard."""
    caller = Caller(transport, address)
    assert caller.greet() == ""
    taken.clear()
    caller.say(framed(encode_message(VOTE)))
    until(lambda: bool(taken), transport)
    caller.sock.close()
    return taken == [VOTE]

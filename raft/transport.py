"""Transports: what PySyncObj's messages travel through.

`HeldTransport` is the base of all: it holds messages until the journal is durable. `TcpTransport` carries them over
TLS over TCP: every member calls each other voter and sends on that connection, and listens for their calls. A
connection begins with the handshake of TLS, in which both sides prove that they know the password, and then both say
who they are (`raft.wire`). A *stranger* is who has not proved it: it gets nothing but TLS's handshake, its bytes end
its own connection, and many strangers take places from each other only. Frames are msgpack, so nobody's bytes are ever
run as code; whatever else they hold ends their connection and is remembered among the rejected peers.
"""

import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from raft.credentials import Credentials
from raft.errors import ContradictionError, FormatError, SettingsError
from raft.membership import Greeting, refusal
from raft.messages import Message as Message
from raft.messages import checked
from raft.pysyncobj_seam import Node, Transport
from raft.settings import split_address
from raft.wire import (
    FRAME_SIZE_BYTES_MAX,
    PROTOCOL,
    FrameSocket,
    Poller,
    decode_hello,
    decode_message,
    decode_verdict,
    encode_hello,
    encode_message,
    encode_verdict,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_S: Final = 0.25
"""Pause before a member is called again."""

CONNECT_S: Final = 2.0
"""Time in which a connection must be open."""

HANDSHAKE_S: Final = 5.0
"""Time from then on in which both sides must have proved the password and greeted; several ways there and back."""

RESOLVE_S: Final = 10.0
"""Time for which the address behind a host's name is believed; looking it up may take long."""

STRANGER_COUNT_MAX: Final = 32
"""Connections at a time on which nobody has greeted yet; beyond, the oldest of where most come from ends."""

INCOMING_COUNT_MAX: Final = 256
"""Connections taken at a time."""

STRANGER_LOG_S: Final = 60.0
"""Shortest time between two log entries about strangers, who could otherwise fill the disk."""

REJECTED_COUNT_MAX: Final = 16
"""Rejected peers that are remembered."""

HEARD_COUNT_MAX: Final = 256
"""Members that are remembered for what they told about themselves; more than any group has."""


def node_of(name: str, address: str, identity: str) -> Node:
    """Return the node of a voter; another incarnation of the same name is another node."""
    return Node(f"{name}/{identity}", name=name, address=address, identity=identity)


class HeldTransport(Transport):
    """A transport that holds messages until they are released, which happens once the journal is durable."""

    def __init__(self) -> None:
        super().__init__()
        self._held: list[tuple[Node, Message]] = []
        self.on_ended: Callable[[Node, float], None] = lambda node, since_s: None
        """Told of a voter whose process has ended, and since when an attempt to reach it has been made."""

    def send(self, node: Node, message: Message) -> bool:
        """Hold a message for a node."""
        self._held.append((node, message))
        return True

    def can_be_asked(self, node: Node) -> bool:
        """Whether a node that is connected knows the messages of a pre-vote."""
        return True

    def release(self) -> None:
        """Let the messages held go out."""
        held, self._held = self._held, []
        for node, message in held:
            self.transmit(node, message)

    def discard(self) -> None:
        """Forget the messages held, as if the network had lost them."""
        self._held = []

    def transmit(self, node: Node, message: Message) -> None:
        """Send a message now, or lose it."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedPeer:
    """A member whose messages are not taken, or that does not take ours."""

    name: str
    """Its name, as far as it said one."""

    address: str

    identity: str
    """Which incarnation of its directory it says it is."""

    reason: str
    """Why, and the way out."""


class TcpTransport(HeldTransport):
    """Messages over TCP; used from one thread."""

    def __init__(self, *, greeting: Callable[[], Greeting], address: str, credentials: Credentials) -> None:
        super().__init__()
        self.poller = Poller()
        self.greeting = greeting
        self.caller_tls, self.listener_tls = credentials.client_context(), credentials.server_context()
        for context in (self.caller_tls, self.listener_tls):
            context.set_alpn_protocols([PROTOCOL])
        self.heard: dict[str, Greeting] = {}
        self.rejected: dict[str, RejectedPeer] = {}
        self.strangers: dict[str, RejectedPeer] = {}
        self._stranger_log_due_s = 0.0
        self._reported: dict[str, RejectedPeer] = {}
        self._nodes: dict[str, Node] = {}
        self._calls: dict[str, _Call] = {}
        self._incoming: list[_Incoming] = []
        self._listener = _listen(address)
        self.poller.watch(self._listener, 1, self._accept)

    def call(self, addresses: Iterable[str]) -> None:
        """Call these members and no others."""
        wanted = set(addresses)
        for address in self._calls.keys() - wanted:
            self._calls.pop(address).close()
        for address in wanted - self._calls.keys():
            self._calls[address] = _Call(self, address)

    def greet_again(self) -> None:
        """Say anew who this member is; what it tells about itself has changed."""
        for call in self._calls.values():
            call.close()
        self.maintain()

    def maintain(self) -> None:
        """Open connections that are due, give up those that hang."""
        now_s = time.monotonic()
        for call in list(self._calls.values()):
            call.maintain(now_s)
        for incoming in list(self._incoming):
            incoming.maintain(now_s)

    def addNode(self, node: Node) -> None:  # noqa: N802 -- PySyncObj's name
        """Let a voter take part."""
        self._nodes[node.id] = node
        call = self._calls.setdefault(node.address, _Call(self, node.address))
        if call.peer_id == node.id:
            self.note_connected(node)

    def dropNode(self, node: Node) -> None:  # noqa: N802 -- PySyncObj's name
        """Part from a former voter."""
        if self._nodes.pop(node.id, None) is None:
            return
        if not any(other.address == node.address for other in self._nodes.values()):
            self._calls.pop(node.address).close()
        self.note_disconnected(node)
        for incoming in [incoming for incoming in self._incoming if incoming.peer_id == node.id]:
            incoming.close()

    def transmit(self, node: Node, message: Message) -> None:
        """Send a message on the call to the node, if it stands."""
        call = self._calls.get(node.address)
        if call is not None and call.peer_id == node.id:
            call.send(message)

    def can_be_asked(self, node: Node) -> bool:
        """Whether the node's end of the call names a version of the messages with a pre-vote among them."""
        call = self._calls.get(node.address)
        return call is not None and call.speaks == PROTOCOL

    def destroy(self) -> None:
        """Close everything."""
        for call in self._calls.values():
            call.close()
        for incoming in list(self._incoming):
            incoming.close()
        self._calls.clear()
        self.poller.forget(self._listener)
        self._listener.close()

    def connected_names(self) -> set[str]:
        """Return the names of the members that can be sent to."""
        return {node.name for node in self._nodes.values() if self._calls[node.address].peer_id == node.id}

    def incoming_count(self) -> int:
        """Return the connections that others have to this member."""
        return len(self._incoming)

    def note_heard(self, greeting: Greeting) -> None:
        """Remember what a member of this group told about itself."""
        _remember(self.heard, greeting.name, greeting, HEARD_COUNT_MAX)

    def note_accepted(self, greeting: Greeting) -> None:
        """Forget that a member was rejected."""
        self.rejected.pop(greeting.address, None)

    def note_rejected(self, address: str, greeting: Greeting | None, reason: str) -> None:
        """Remember that a peer is rejected, and say so when that is new."""
        name, identity = (greeting.name, greeting.identity) if greeting else ("", "")
        peer = RejectedPeer(name=name, address=address, identity=identity, reason=reason)
        _remember(self.rejected, address, peer, REJECTED_COUNT_MAX)
        if self._reported.get(address) != peer:
            _remember(self._reported, address, peer, REJECTED_COUNT_MAX)
            log.warning("member rejected", extra={"peer": name, "address": address, "reason": reason})

    def note_stranger(self, address: str, reason: str) -> None:
        """Remember that somebody has not proved to know the password, and say so now and then."""
        peer = RejectedPeer(name="", address=address, identity="", reason=reason)
        _remember(self.strangers, address, peer, REJECTED_COUNT_MAX)
        if time.monotonic() >= self._stranger_log_due_s:
            self._stranger_log_due_s = time.monotonic() + STRANGER_LOG_S
            log.warning("stranger rejected", extra={"address": address, "reason": reason})

    def on_call_changed(self, peer_id: str, *, connected: bool) -> None:
        """A call stands or has ended."""
        node = self._nodes.get(peer_id)
        if node is not None and connected:
            self.note_connected(node)
        elif node is not None:
            self.note_disconnected(node)

    def on_nobody_there(self, peer_id: str, since_s: float) -> None:
        """Nobody listens any more where a call to a peer stood."""
        node = self._nodes.get(peer_id)
        if node is not None:
            self.on_ended(node, since_s)

    def on_message(self, incoming: "_Incoming", frame: bytes) -> None:
        """A member that has greeted has sent a message.

        Raises:
            FormatError: It is none, or one that is not taken.
        """
        node = self._nodes.get(incoming.peer_id)
        if node is not None:
            message = checked(decode_message(frame))
            try:
                self.hand_over(node, message)
            except ContradictionError as error:
                raise FormatError(str(error)) from error

    def forget_incoming(self, incoming: "_Incoming") -> None:
        """A connection that was taken is gone."""
        if incoming in self._incoming:
            self._incoming.remove(incoming)

    def replace_incoming(self, incoming: "_Incoming") -> None:
        """Only the newest connection of a member counts, so that messages of an older one cannot come late."""
        for other in [other for other in self._incoming if other.peer_id == incoming.peer_id and other is not incoming]:
            other.close()

    def _accept(self, _: int) -> None:
        try:
            sock, remote = self._listener.accept()
        except OSError:
            return
        if len(self._incoming) >= INCOMING_COUNT_MAX:
            sock.close()
            return
        self._make_room()
        try:
            self._incoming.append(_Incoming(self, sock, str(remote[0])))
        except OSError:
            # Some systems refuse options of a connection that has ended already.
            sock.close()

    def _make_room(self) -> None:
        """End the oldest stranger's connection when they are too many, of the machine that has the most of them."""
        strangers = [incoming for incoming in self._incoming if not incoming.peer_id]
        if len(strangers) >= STRANGER_COUNT_MAX:
            [(crowd, _)] = Counter(stranger.remote for stranger in strangers).most_common(1)
            next(stranger for stranger in strangers if stranger.remote == crowd).close()


class _Call:
    """The connection on which this member sends to another; opened again whenever it ends."""

    def __init__(self, transport: TcpTransport, address: str) -> None:
        self.peer_id = ""
        self._transport, self._address = transport, address
        self._connection: FrameSocket | None = None
        self._due_s = self._began_s = self._stands_since_s = 0.0
        self._former_peer_id = ""
        self._resolved: Any = None
        self._resolve_at_s = 0.0
        self._greeting: Greeting | None = None

    def maintain(self, now_s: float) -> None:
        """Open the connection when it is due; give it up when the handshake hangs."""
        if self.peer_id or now_s < self._due_s:
            return
        self.close()
        self._due_s, self._began_s = now_s + CONNECT_S, now_s
        sock: socket.socket | None = None
        try:
            if now_s >= self._resolve_at_s:
                self._resolve_at_s = now_s + RESOLVE_S
                self._resolved = _resolve(self._address)
            family, kind, _, _, target = self._resolved
            sock = socket.socket(family, kind)
            sock.setblocking(False)
            sock.connect_ex(target)
            transport = self._transport
            self._connection = FrameSocket(transport.poller, sock, self, transport.caller_tls, is_caller=True)
        except OSError:
            if sock is not None:
                sock.close()
            self._resolve_at_s = self._due_s = now_s + CONNECT_S

    @property
    def speaks(self) -> str | None:
        """What the listener calls the newest version of the messages that both know."""
        return None if self._connection is None else self._connection.protocol

    def send(self, message: Message) -> None:
        """Send a message; the call stands."""
        if self._connection is not None:
            self._connection.send(encode_message(message))

    def close(self) -> None:
        """End the call; `maintain` opens it again."""
        if self._connection is not None:
            self._connection.close()
        self.on_closed()
        self._due_s = 0.0

    def on_connected(self) -> None:
        """Somebody listens; now it has to answer."""
        self._due_s = time.monotonic() + HANDSHAKE_S

    def on_proved(self) -> None:
        """The other side speaks first."""

    def on_closed(self) -> None:
        """The call has ended."""
        peer_id, self.peer_id = self.peer_id, ""
        is_nobody_there = self._connection is not None and self._connection.is_nobody_there
        self._connection, self._greeting = None, None
        now_s = time.monotonic()
        self._due_s = now_s + RETRY_S
        if peer_id:
            self._former_peer_id = peer_id
            if now_s - self._stands_since_s > RETRY_S:
                # Called again at once, to see whether anybody is there.
                self._due_s = 0.0
            self._transport.on_call_changed(peer_id, connected=False)
        elif is_nobody_there and self._former_peer_id:
            self._transport.on_nobody_there(self._former_peer_id, self._began_s)

    def on_refused(self, reason: str) -> None:
        """The listener cannot be used."""
        self._transport.note_rejected(self._address, self._greeting, reason)

    def on_frame(self, frame: bytes) -> None:
        """Answer the listener's hello, then take its verdict."""
        transport = self._transport
        if self.peer_id or self._connection is None:
            raise FormatError("spoke without being asked")
        if self._greeting is None:
            self._greeting = decode_hello(frame)
            self._connection.send(encode_hello(transport.greeting()))
            return
        greeting, reason = self._greeting, decode_verdict(frame)
        # Also one that refuses us may know more than we do.
        transport.note_heard(greeting)
        problem = f"refuses us: {reason}" if reason else refusal(transport.greeting(), greeting)
        if problem is not None:
            raise FormatError(problem)
        transport.note_accepted(greeting)
        self.peer_id, self._stands_since_s = _node_id(greeting), time.monotonic()
        transport.on_call_changed(self.peer_id, connected=True)


class _Incoming:
    """A connection on which another member sends to this one."""

    def __init__(self, transport: TcpTransport, sock: socket.socket, remote: str) -> None:
        self.peer_id, self.remote = "", remote
        self._greeting: Greeting | None = None
        self._transport = transport
        self._until_s = time.monotonic() + HANDSHAKE_S
        self._connection = FrameSocket(transport.poller, sock, self, transport.listener_tls, is_caller=False)

    def maintain(self, now_s: float) -> None:
        """Give up a caller that does not greet."""
        if not self.peer_id and now_s > self._until_s:
            self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()
        self._transport.forget_incoming(self)

    def on_connected(self) -> None:
        """It is open from the start."""

    def on_proved(self) -> None:
        """The caller knows the password, so it may know who we are."""
        self._connection.send(encode_hello(self._transport.greeting()))

    def on_closed(self) -> None:
        """The caller is gone."""
        self._transport.forget_incoming(self)

    def on_refused(self, reason: str) -> None:
        """The caller is not taken."""
        if not self._connection.is_proved:
            self._transport.note_stranger(self.remote, reason)
        else:
            address = self._greeting.address if self._greeting is not None else ""
            self._transport.note_rejected(address or self.remote, self._greeting, reason)

    def on_frame(self, frame: bytes) -> None:
        """Judge the caller's hello, then take its messages."""
        if self.peer_id:
            self._transport.on_message(self, frame)
            return
        transport = self._transport
        greeting = self._greeting = decode_hello(frame)
        transport.note_heard(greeting)
        reason = refusal(transport.greeting(), greeting) or ""
        self._connection.send(encode_verdict(reason))
        if reason:
            raise FormatError(reason)
        transport.note_accepted(greeting)
        self.peer_id = _node_id(greeting)
        self._connection.frame_size_bytes_max = FRAME_SIZE_BYTES_MAX
        transport.replace_incoming(self)


def _remember(known: dict[str, T], key: str, value: T, count_max: int) -> None:
    """Put a value among the newest ones that are kept."""
    known.pop(key, None)
    while len(known) >= count_max:
        del known[next(iter(known))]
    known[key] = value


def _resolve(address: str) -> Any:
    """Return how to reach an address.

    Raises:
        OSError: It cannot be reached; also when it is no address, because other members say theirs.
    """
    try:
        host, port = split_address(address)
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except ValueError as error:
        raise OSError(f"{address!r} names no machine: {error}") from error


def _listen(address: str) -> socket.socket:
    try:
        family, kind, _, _, target = _resolve(address)
        sock = socket.socket(family, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind(target)
        sock.listen(INCOMING_COUNT_MAX)
    except OSError as error:
        raise SettingsError(f"cannot listen at {address}: {error}; choose another port, or end who uses it") from error
    return sock


def _node_id(greeting: Greeting) -> str:
    return str(node_of(greeting.name, greeting.address, greeting.identity).id)

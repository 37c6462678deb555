"""Wire: frames over TLS over one TCP connection, and what is said first.

A connection begins with the TLS handshake (`raft.credentials`), in which both sides prove that they know the group's
password. Until it is over nothing else is sent, and nothing that arrives is anything but TLS. From then on there are
*frames*, a length and that many bytes: the listener's hello, the caller's hello, the listener's verdict, and then the
caller's messages. A hello holds a greeting; a verdict is why the caller is refused, empty when it is not. The caller
sends, the listener only receives.
"""

import contextlib
import errno
import selectors
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import astuple
from typing import Annotated, Any, Final, Protocol

import msgpack

from raft.credentials import SERVER_NAME
from raft.errors import FormatError
from raft.membership import Greeting
from raft.shapes import require, shown, unpack

WIRE_VERSION: Final = 2
"""Version of hellos, verdicts and messages."""

PROTOCOL: Final = "tocsin-raft/2.1"
"""Messages of version 2 with those of a pre-vote, as TLS's handshake names it (ALPN); before, nothing was named."""

HANDSHAKE_SIZE_BYTES_MAX: Final = 1 << 16
"""Bytes taken of somebody who has not proved to know the password; a handshake has less than 4 KiB."""

HELLO_SIZE_BYTES_MAX: Final = 1 << 16
"""Largest frame before the verdict."""

FRAME_SIZE_BYTES_MAX: Final = 256 << 20
"""Largest frame after it."""

UNSENT_SIZE_BYTES_MAX: Final = 64 << 20
"""Bytes waiting for a slow reader, beyond which a connection is given up."""

TEXT_LENGTH_MAX: Final = 1000
"""Letters of a name, an address or an identity in a hello."""

SILENCE_S_MAX: Final = 3
"""Seconds without any sign of life of the other machine, after which a connection is given up."""

OTHER_PASSWORD: Final = "has another password, or belongs to another group"
"""Why somebody is refused whose certificate is of another authority, or who refuses ours."""

NO_HANDSHAKE: Final = "does not speak TLS 1.3 as members do: no member, or one of another version"
"""Why anybody else is refused who does not prove to know the password."""

ALTERED: Final = "was altered on its way"
"""Why a connection ends whose bytes the other side, which had proved to know the password, has not sent."""

_REFUSALS: Final = frozenset(
    f"{layer}_ALERT_{name}"
    for layer in ("TLSV1", "TLSV13", "SSLV3")
    for name in ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "CERTIFICATE_REQUIRED")
)
"""What OpenSSL calls the other side's refusals of our certificate."""

_MAGIC: Final = "tocsin-raft"
_Text = Annotated[str, lambda text: len(text) <= TEXT_LENGTH_MAX]
_GREETING: Final = tuple[_Text, _Text, _Text, tuple[tuple[_Text, _Text, _Text], ...]]
_LENGTH = struct.Struct(">I")
_READ_SIZE_BYTES: Final = 1 << 18


def encode_hello(greeting: Greeting) -> bytes:
    """Return the frame of a hello."""
    return _packed((_MAGIC, WIRE_VERSION, astuple(greeting)))


def decode_hello(frame: bytes) -> Greeting:
    """Return the greeting in the frame of a hello.

    Raises:
        FormatError: It is none, or of another version.
    """
    try:
        parts = require(unpack(frame, "hello"), tuple[str, int, object], "the hello")
        if parts[:2] == (_MAGIC, WIRE_VERSION):
            name, address, identity, voters = require(parts[2], _GREETING, "the greeting")
    except FormatError as error:
        raise FormatError(f"sent {len(frame)} bytes that are no hello: {error}") from error
    if parts[:2] != (_MAGIC, WIRE_VERSION):
        raise FormatError(f"speaks {shown(parts[0])} {parts[1]}, not {_MAGIC} {WIRE_VERSION}; update the older one")
    return Greeting(name=name, address=address, identity=identity, voters=voters)


def encode_verdict(reason: str) -> bytes:
    """Return the frame of a verdict: why the caller is refused, or that it is not."""
    return _packed(reason)


def decode_verdict(frame: bytes) -> str:
    """Return why the caller is refused, empty when it is not.

    Raises:
        FormatError: The frame holds no verdict.
    """
    reason: str = require(unpack(frame, "verdict"), str, "the verdict")
    return reason


def encode_message(message: object) -> bytes:
    """Return the frame of a message."""
    return _packed(message)


def decode_message(frame: bytes) -> Any:
    """Return what a frame holds; `raft.messages` says whether it is a message.

    Raises:
        FormatError: It holds nothing that could be one.
    """
    return unpack(frame, "message")


def _packed(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


class Poller:
    """Waits for sockets; calls what was registered for each that is ready."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def watch(self, sock: socket.socket, events: int, callback: Callable[[int], None]) -> None:
        """Call back with the events that are ready, until forgotten."""
        if sock in self._selector.get_map():
            self._selector.modify(sock, events, callback)
        else:
            self._selector.register(sock, events, callback)

    def forget(self, sock: socket.socket) -> None:
        """Watch a socket no longer."""
        if sock in self._selector.get_map():
            self._selector.unregister(sock)

    def poll(self, wait_s: float) -> None:
        """Wait at most this long, and call back for what is ready."""
        for key, events in self._selector.select(wait_s):
            # A callback may have closed this one meanwhile.
            if self._selector.get_map().get(key.fd) is key:
                key.data(events)

    def close(self) -> None:
        """Watch nothing any more."""
        self._selector.close()


class Waker:
    """Ends the wait of a poller from another thread."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        poller.watch(self._receiver, selectors.EVENT_READ, self._drain)

    def wake(self) -> None:
        """Let the poller return; harmless after `close`."""
        with contextlib.suppress(OSError):
            self._sender.send(b"!")

    def close(self) -> None:
        """Stop waking."""
        self._poller.forget(self._receiver)
        self._receiver.close()
        self._sender.close()

    def _drain(self, _: int) -> None:
        """Forget the calls that have done their work."""
        with contextlib.suppress(OSError):
            while self._receiver.recv(1024):
                pass


class FrameOwner(Protocol):
    """Who uses a connection."""

    def on_connected(self) -> None:
        """The connection that was being opened is open; the TLS handshake follows."""

    def on_proved(self) -> None:
        """The TLS handshake is over: the other side knows the password, and frames may be sent."""

    def on_frame(self, frame: bytes) -> None:
        """A whole frame has arrived; `FormatError` closes the connection."""

    def on_refused(self, reason: str) -> None:
        """The other side has sent what is not taken, or does not take us; `on_closed` follows."""

    def on_closed(self) -> None:
        """The connection is gone; called once, and not after `close`."""


class FrameSocket:
    """Frames over TLS over one non-blocking TCP socket."""

    def __init__(
        self, poller: Poller, sock: socket.socket, owner: FrameOwner, context: ssl.SSLContext, *, is_caller: bool
    ) -> None:
        self.frame_size_bytes_max = HELLO_SIZE_BYTES_MAX
        self.is_proved = False
        self.is_nobody_there = False
        """Whether the other machine has said that nobody listens at the address."""
        self._poller, self._sock, self._owner = poller, sock, owner
        self._connecting, self._open = is_caller, True
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = SERVER_NAME if is_caller else None
        self._tls = context.wrap_bio(self._arrived, self._leaving, server_side=not is_caller, server_hostname=name)
        self._stranger_size_bytes = 0
        self._received, self._unsent = bytearray(), bytearray()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _notice_silence(sock)
        self._watch()

    @property
    def protocol(self) -> str | None:
        """What both sides have agreed on in the handshake, if the other side names anything."""
        return self._tls.selected_alpn_protocol()

    def send(self, body: bytes) -> None:
        """Send a frame, now or when the other side has room; only after `on_proved`."""
        assert self.is_proved
        if not self._open:
            return
        rest = memoryview(_LENGTH.pack(len(body)) + body)
        while rest:
            # OpenSSL takes no more than one record at a time.
            rest = rest[self._tls.write(rest) :]
        self._unsent += self._leaving.read()
        if len(self._unsent) > UNSENT_SIZE_BYTES_MAX + len(body):
            self._fail()
        else:
            self._flush()

    def close(self) -> None:
        """Close without telling the owner."""
        if self._open:
            self._open = False
            self._poller.forget(self._sock)
            self._sock.close()

    def _fail(self) -> None:
        """Close and tell the owner."""
        if self._open:
            self.close()
            self._owner.on_closed()

    def _refuse(self, reason: str) -> None:
        """Close, and tell the owner why."""
        if self._open:
            self._owner.on_refused(reason)
            self._fail()

    def _watch(self) -> None:
        """Wait for what can be done next."""
        writing = selectors.EVENT_WRITE if self._unsent or self._connecting else 0
        self._poller.watch(self._sock, selectors.EVENT_READ | writing, self._on_ready)

    def _on_ready(self, events: int) -> None:
        """Do what has become possible."""
        if self._connecting:
            problem = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if problem:
                self.is_nobody_there = problem == errno.ECONNREFUSED
                self._fail()
                return
            self._connecting = False
            self._owner.on_connected()
            self._decrypt()
        elif events & selectors.EVENT_READ:
            self._read()
        if self._open:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._fail()
            return
        self._watch()

    def _read(self) -> None:
        """Receive what has arrived, and hand over whole frames."""
        try:
            received = self._sock.recv(_READ_SIZE_BYTES if self.is_proved else HANDSHAKE_SIZE_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._fail()
            return
        if not self.is_proved:
            self._stranger_size_bytes += len(received)
            if self._stranger_size_bytes > HANDSHAKE_SIZE_BYTES_MAX:
                self._refuse(NO_HANDSHAKE)
                return
        self._arrived.write(received)
        self._decrypt()

    def _decrypt(self) -> None:
        """Go on with the handshake, and with what follows it."""
        try:
            if not self.is_proved:
                self._tls.do_handshake()
                self.is_proved = True
                self._owner.on_proved()
            self._read_frames()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._say_why()
            self._refuse(self._meaning(error))
        except FormatError as error:
            self._refuse(str(error))
        self._unsent += self._leaving.read()

    def _read_frames(self) -> None:
        """Take what has been decrypted, and give whole frames to the owner."""
        while self._open and (self._arrived.pending or self._tls.pending()):
            plain = self._tls.read(_READ_SIZE_BYTES)
            if not plain:
                # The other side says that it ends the connection.
                self._fail()
                return
            self._received += plain
            self._hand_over()

    def _hand_over(self) -> None:
        """Give whole frames to the owner."""
        while self._open and len(self._received) >= _LENGTH.size:
            size = _LENGTH.unpack_from(self._received)[0]
            if size > self.frame_size_bytes_max:
                raise FormatError(f"a frame of {size} bytes, allowed are {self.frame_size_bytes_max}")
            if len(self._received) < _LENGTH.size + size:
                return
            frame = bytes(self._received[_LENGTH.size : _LENGTH.size + size])
            del self._received[: _LENGTH.size + size]
            self._owner.on_frame(frame)

    def _meaning(self, error: ssl.SSLError) -> str:
        """Return what an error of TLS means, in one of few ways, so that strangers cannot fill lists and logs."""
        if isinstance(error, ssl.SSLCertVerificationError) or error.reason in _REFUSALS:
            return OTHER_PASSWORD
        return ALTERED if self.is_proved else NO_HANDSHAKE

    def _say_why(self) -> None:
        """Send TLS's word on what was wrong, if there is room for it: it tells a member that its password is wrong."""
        self._unsent += self._leaving.read()
        with contextlib.suppress(OSError):
            self._sock.send(self._unsent)


def _notice_silence(sock: socket.socket) -> None:
    """Let the connection end when the other machine has been gone for `SILENCE_S_MAX`, not after many minutes."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", 1),
        ("TCP_KEEPINTVL", 1),
        ("TCP_KEEPCNT", SILENCE_S_MAX),
        ("TCP_USER_TIMEOUT", SILENCE_S_MAX * 1000),
    ):
        # Not every system has all of these.
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)

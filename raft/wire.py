"""Wire: frames over one TCP connection, and the handshake with which a connection begins.

A *frame* is a length and that many bytes. The handshake has three frames: the listener's hello, the caller's hello with
its proof, and the listener's verdict with its proof. A hello holds a greeting and a random nonce; a *proof* is an HMAC
over both hellos under a key made from the group's password, so it cannot be made without the password nor repeated.
After the verdict the caller's frames are encrypted and numbered when there is a password, and plain when there is none.
The caller sends, the listener only receives.
"""

import contextlib
import hashlib
import hmac
import secrets
import selectors
import socket
import struct
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Annotated, Any, Final, Protocol

import msgpack
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from raft.errors import FormatError
from raft.membership import Greeting
from raft.shapes import require, shown, unpack

WIRE_VERSION: Final = 1
"""Version of hellos, verdicts and messages."""

HELLO_SIZE_BYTES_MAX: Final = 1 << 16
"""Largest frame before the handshake is over."""

FRAME_SIZE_BYTES_MAX: Final = 256 << 20
"""Largest frame after it."""

UNSENT_SIZE_BYTES_MAX: Final = 64 << 20
"""Bytes waiting for a slow reader, beyond which a connection is given up."""

TEXT_LENGTH_MAX: Final = 1000
"""Letters of a name, an address or an identity in a hello."""

SILENCE_S_MAX: Final = 3
"""Seconds without any sign of life of the other machine, after which a connection is given up."""

_MAGIC: Final = "tocsin-raft"
_Text = Annotated[str, lambda text: len(text) <= TEXT_LENGTH_MAX]
_HELLO: Final = tuple[
    tuple[_Text, _Text, _Text, _Text, tuple[tuple[_Text, _Text, _Text], ...]], Annotated[bytes, len], bool
]
_LENGTH = struct.Struct(">I")
_READ_SIZE_BYTES: Final = 1 << 18


class Secret:
    """Keys made from the password of a group, or none."""

    def __init__(self, group: str, password: str | None) -> None:
        self.protected = password is not None
        salt = f"{_MAGIC}/{group}".encode()
        self._key = hashlib.scrypt((password or "").encode(), salt=salt, n=1 << 14, r=8, p=1, dklen=32)

    def proof(self, role: str, *parts: bytes) -> bytes:
        """Return the proof that the password is known to who plays the role in this handshake."""
        return hmac.digest(self._key, msgpack.packb((role, parts)), "sha256")

    def cipher(self, *parts: bytes) -> "Cipher | None":
        """Return the cipher for the frames after a handshake, or `None` without a password."""
        return Cipher(self.proof("session", *parts)) if self.protected else None


class Cipher:
    """Encrypts or decrypts the frames of one connection, in their order."""

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)
        self._number = 0

    def encrypt(self, body: bytes) -> bytes:
        """Return the next frame encrypted."""
        return self._cipher.encrypt(self._next(), body, None)

    def decrypt(self, body: bytes) -> bytes:
        """Return the next frame decrypted.

        Raises:
            FormatError: It was not made by the other side for this place.
        """
        try:
            return self._cipher.decrypt(self._next(), body, None)
        except InvalidTag:
            raise FormatError("a frame was altered, repeated or left out") from None

    def _next(self) -> bytes:
        """Return the nonce of the next frame."""
        self._number += 1
        return self._number.to_bytes(12, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Beginning of a handshake."""

    greeting: Greeting
    """Who speaks."""

    nonce: bytes
    """Random, so that proofs cannot be repeated."""

    protected: bool
    """Whether the speaker has a password."""


def encode_hello(greeting: Greeting, *, protected: bool) -> bytes:
    """Return a hello with a new nonce."""
    return _packed((_MAGIC, WIRE_VERSION, astuple(greeting), secrets.token_bytes(16), protected))


def decode_hello(data: bytes) -> Hello:
    """Return the hello in a frame.

    Raises:
        FormatError: It is none, or of another version.
    """
    try:
        parts = require(unpack(data, "hello"), tuple[str, int, object, object, object], "the hello")
        if parts[:2] == (_MAGIC, WIRE_VERSION):
            fields, nonce, protected = require(parts[2:], _HELLO, "the hello")
    except FormatError as error:
        raise FormatError(f"sent {len(data)} bytes that are no hello: {error}") from error
    if parts[:2] != (_MAGIC, WIRE_VERSION):
        raise FormatError(f"speaks {shown(parts[0])} {parts[1]}, not {_MAGIC} {WIRE_VERSION}")
    group, name, address, identity, voters = fields
    greeting = Greeting(group=group, name=name, address=address, identity=identity, voters=voters)
    return Hello(greeting=greeting, nonce=nonce, protected=protected)


def encode_message(message: object) -> bytes:
    """Return the frame of a message, or of a tuple of the handshake."""
    return _packed(message)


def decode_message(frame: bytes) -> Any:
    """Return what a frame holds; `raft.messages` says whether it is a message.

    Raises:
        FormatError: It holds nothing that could be one.
    """
    return unpack(frame, "message")


def decode_answer_to_hello(frame: bytes) -> tuple[bytes, bytes]:
    """Return the hello and the proof in the caller's frame.

    Raises:
        FormatError: It holds none.
    """
    answer: tuple[bytes, bytes] = require(unpack(frame, "hello"), tuple[bytes, bytes], "the answer to the hello")
    return answer


def decode_verdict(frame: bytes) -> tuple[str, bytes]:
    """Return why the caller is refused, if it is, and the proof in the listener's frame.

    Raises:
        FormatError: It holds none.
    """
    verdict: tuple[str, bytes] = require(unpack(frame, "verdict"), tuple[str, bytes], "the verdict")
    return verdict


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
        """A connection that was being opened is open."""

    def on_frame(self, frame: bytes) -> None:
        """A whole frame has arrived; `FormatError` closes the connection."""

    def on_refused(self, reason: str) -> None:
        """The other side has sent what is not taken; `on_closed` follows."""

    def on_closed(self) -> None:
        """The connection is gone; called once, and not after `close`."""


class FrameSocket:
    """Frames over one non-blocking TCP socket."""

    def __init__(self, poller: Poller, sock: socket.socket, owner: FrameOwner, *, connecting: bool) -> None:
        self.frame_size_bytes_max = HELLO_SIZE_BYTES_MAX
        self.decipher: Cipher | None = None
        self.encipher: Cipher | None = None
        self._poller, self._sock, self._owner = poller, sock, owner
        self._connecting, self._open = connecting, True
        self._received, self._unsent = bytearray(), bytearray()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _notice_silence(sock)
        self._watch()

    def send(self, body: bytes) -> None:
        """Send a frame, now or when the other side has room."""
        if not self._open:
            return
        if self.encipher is not None:
            body = self.encipher.encrypt(body)
        self._unsent += _LENGTH.pack(len(body)) + body
        if len(self._unsent) > UNSENT_SIZE_BYTES_MAX + len(body):
            self._fail()
        elif not self._connecting:
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

    def _watch(self) -> None:
        """Wait for what can be done next."""
        writing = selectors.EVENT_WRITE if self._unsent or self._connecting else 0
        self._poller.watch(self._sock, selectors.EVENT_READ | writing, self._on_ready)

    def _on_ready(self, events: int) -> None:
        """Do what has become possible."""
        if self._connecting:
            if self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._fail()
                return
            self._connecting = False
            self._owner.on_connected()
        if events & selectors.EVENT_READ and self._open:
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
            received = self._sock.recv(_READ_SIZE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        self._received += received
        try:
            self._hand_over()
        except FormatError as error:
            self._owner.on_refused(str(error))
            received = b""
        if not received:
            self._fail()

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
            self._owner.on_frame(self.decipher.decrypt(frame) if self.decipher else frame)


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

"""A look at Ray's control store: whether it still answers, and does not only hold its port open.

The kernel takes connections for a process that hangs. gRPC begins every connection with a frame of HTTP/2's settings,
so who has sent the preface and hears that frame has heard the process itself; it costs no call and no token.
"""

import socket
import ssl
import threading
from typing import Final

from raft.settings import split_address

LOOK_S: Final = 1.0
"""Seconds between two looks."""

LOOK_TIMEOUT_S: Final = 2.0
"""Seconds that an answer may take."""

_HELLO: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""The preface of HTTP/2, and a frame of no settings."""

_SETTINGS: Final = 4
"""Type of a frame of settings; it stands after three bytes of length."""


def answers(address: str, timeout_s: float = LOOK_TIMEOUT_S, context: ssl.SSLContext | None = None) -> bool:
    """Return whether who listens at an address (host:port) speaks HTTP/2 in time, inside TLS where that is wanted."""
    host, port = split_address(address)
    try:
        with socket.create_connection((host, port), timeout_s) as plain:
            if context is None:
                return _speaks(plain)
            with context.wrap_socket(plain, server_hostname=host) as connection:
                return _speaks(connection)
    except OSError:
        return False


def _speaks(connection: socket.socket) -> bool:
    connection.sendall(_HELLO)
    heard = connection.recv(9)
    return len(heard) > 3 and heard[3] == _SETTINGS


class GcsLook:
    """Looks again and again, in a thread of its own, until it is closed."""

    def __init__(self, address: str, context: ssl.SSLContext | None = None) -> None:
        self._address, self._context = address, context
        self._failure_count = 0
        self._has_answered = False
        self._closing = threading.Event()
        threading.Thread(target=self._run, name="look at Ray", daemon=True).start()

    @property
    def address(self) -> str:
        """Where it looks."""
        return self._address

    @property
    def failure_count(self) -> int:
        """Looks in a row that heard nothing."""
        return self._failure_count

    @property
    def has_answered(self) -> bool:
        """Whether the last look heard something; not before the first."""
        return self._has_answered

    def close(self) -> None:
        """Look no more."""
        self._closing.set()

    def _run(self) -> None:
        while not self._closing.wait(LOOK_S):
            self._has_answered = answers(self._address, context=self._context)
            self._failure_count = 0 if self._has_answered else self._failure_count + 1

"""The beat: what a node process says again and again to who would start it again, as long as it looks at its group.

The supervisor reads it from a pipe that the process was given (`cluster.node.supervise`); systemd, where that watches
(`WatchdogSec`), takes datagrams. Neither is a call that somebody else could keep waiting, and neither ever waits here.
"""

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

BEAT_VARIABLE: Final = "TOCSIN_BEAT"
"""Environment variable with the descriptor of the supervisor's pipe."""

SYSTEMD_VARIABLE: Final = "NOTIFY_SOCKET"
"""Environment variable with the socket of systemd; an address in the abstract namespace begins with `@`."""

BEAT_S: Final = 1.0
"""Seconds between two beats."""


class Beat:
    """Beats from one thread."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take from an environment who listens; children that inherit it do not beat for this process."""
        pipe, address = environment.pop(BEAT_VARIABLE, ""), environment.pop(SYSTEMD_VARIABLE, "")
        self._pipe = int(pipe) if pipe.isdecimal() else None
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._due_s = 0.0
        if self._pipe is not None:
            os.set_blocking(self._pipe, False)
            os.set_inheritable(self._pipe, False)

    def give(self) -> None:
        """Beat, if the last time is long enough ago; who does not listen any more is not missed."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + BEAT_S
        with contextlib.suppress(OSError):
            if self._pipe is not None:
                os.write(self._pipe, b".")
        if self._address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
                sending.setblocking(False)
                sending.sendto(b"WATCHDOG=1", self._address)

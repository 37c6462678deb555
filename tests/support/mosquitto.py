"""A real broker of MQTT, and a way to it that may be cut or lose what goes there."""

import os
import shutil
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.brokers import needs


def mosquitto_command(directory: Path, *lines: str) -> Callable[[int], Sequence[str]]:
    """Return what starts a broker of MQTT that keeps each message of its sessions in a directory."""
    needs("paho")
    # Debian has it where only administrators look.
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed")

    def command(port: int) -> Sequence[str]:
        settings = [f"listener {port} 127.0.0.1", "persistence true", f"persistence_location {directory}/"]
        settings += ["autosave_on_changes true", "autosave_interval 1", *(lines or ["allow_anonymous true"])]
        if os.getuid() == 0:
            # It would become another user, who may not write there.
            settings.append("user root")
        path = directory / "mosquitto.conf"
        path.write_text("\n".join(settings) + "\n")
        return [program, "-c", str(path)]

    return command


class Way:
    """A way to a server that can be cut, and on which what goes to the server may be lost; `port` is its beginning."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._place = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._place.getsockname()[1])
        self._sockets: list[socket.socket] = []
        self.loses = False
        threading.Thread(target=self._take, daemon=True).start()

    def cut(self) -> None:
        """End all connections at once, without a word."""
        for one in self._sockets:
            # What is still to be sent is thrown away.
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def close(self) -> None:
        """Take no more connections."""
        self._place.close()
        self.cut()

    def _take(self) -> None:
        while True:
            try:
                near, _ = self._place.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                near.close()
                continue
            self._sockets += [near, far]
            threading.Thread(target=self._carry, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, False), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, is_to_server: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if not (is_to_server and self.loses):
                    target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

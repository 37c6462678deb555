"""The supervisor: starts the node processes of a machine again when they end, and ends them all when it is told to.

It also ends them when its standard input ends before a line says that they shall stay, and when one says at its start
that it cannot run with what it was told: a start that comes to nothing leaves nothing. One that has run before is
started again whatever it says, since what keeps it from running, such as a full disk, may pass. Its arguments are the
directories of the nodes. Small on purpose, since all it does is to be there.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

from actors.files import private_opener

STAY_LINE: Final = "stay\n"
"""Line by which the parent lets the nodes outlive it."""

CANNOT_RUN: Final = 78
"""Exit code of a node that would fail again."""

LOOK_S: Final = 0.1
"""Seconds between two looks at the nodes."""

RESTART_S_MIN: Final = 0.5
"""Pause before a node is started again; doubled as long as it ends at once."""

RESTART_S_MAX: Final = 10.0

STOP_TIMEOUT_S: Final = 30.0
"""Seconds that nodes have to end before they are killed."""


class Supervised:
    """One node process and its successors."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pause_s = RESTART_S_MIN
        self._started_s = self._due_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._has_run = False

    def look(self) -> bool:
        """Start the process when it does not run; return whether it can run at all, as far as is known."""
        now_s = time.monotonic()
        code = None if self._process is None else self._process.poll()
        if code is not None:
            self._process = None
            lived_s = now_s - self._started_s
            self._has_run |= lived_s > RESTART_S_MAX
            self._pause_s = RESTART_S_MIN if lived_s > RESTART_S_MAX else min(2 * self._pause_s, RESTART_S_MAX)
            self._due_s = now_s + self._pause_s
        if self._process is None and now_s >= self._due_s:
            self._started_s = now_s
            try:
                self._start()
            except OSError as error:
                # No room on the disk or no memory: both may pass.
                print(f"{self._directory} was not started: {error}", file=sys.stderr)
                self._due_s = now_s + RESTART_S_MAX
        return code != CANNOT_RUN or self._has_run

    def _start(self) -> None:
        with open(self._directory / "node.log", "a", opener=private_opener) as output:
            command = [sys.executable, "-m", "cluster.node.node_main", str(self._directory)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def end(self) -> None:
        """Tell the process to end."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, deadline_s: float) -> None:
        """Wait for the end of the process, and kill it when that takes too long."""
        if self._process is None:
            return
        try:
            self._process.wait(max(deadline_s - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    """Supervise until a signal."""
    os.umask(0o077)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    threading.Thread(target=_stop_at_end_of_input, args=(stopping,), daemon=True).start()
    nodes = [Supervised(Path(directory)) for directory in sys.argv[1:]]
    while not stopping.wait(LOOK_S):
        if any(not node.look() for node in nodes):
            stopping.set()
    for node in nodes:
        node.end()
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    for node in nodes:
        node.wait(deadline_s)


def _stop_at_end_of_input(stopping: threading.Event) -> None:
    if sys.stdin.readline() != STAY_LINE:
        stopping.set()


if __name__ == "__main__":
    main()

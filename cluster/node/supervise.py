"""The supervisor: starts the node processes of a machine again when they end, and ends them all when it is told to.

It also ends them when its standard input ends before a line says that they shall stay, and when one says at its start
that it cannot run with what it was told: a start that comes to nothing leaves nothing. One that has run before is
started again whatever it says, since what keeps it from running, such as a full disk, may pass. One that is stopped or
hangs, and so gives no beat (`cluster.node.beat`), is killed first: nobody else would replace it. Its arguments are the
directories of the nodes. Small on purpose, since all it does is to be there.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

import psutil

from actors.files import private_opener
from cluster.local.speed import slowness_now
from cluster.node.beat import BEAT_VARIABLE

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

SILENCE_S_MAX: Final = 10.0
"""Seconds without a beat after which a node hangs, on a machine of usual speed; one that is stopped, on any."""

START_S_MAX: Final = 120.0
"""Seconds that a node which is not stopped has for its first beat, on a machine of usual speed."""

COUNTED_S_MAX: Final = 0.5
"""Of the time between two looks at most so much counts as silence: who did not look may have been stopped as well."""


class Silence:
    """For how long a node has given no beat, as far as this process was there to hear one."""

    def __init__(self, pipe: int, now_s: float) -> None:
        self._pipe = pipe
        self._looked_s = now_s
        self._silence_s = 0.0
        self._usual_s = START_S_MAX
        self._limit_s: float | None = None

    def is_too_long(self, pid: int, now_s: float) -> bool:
        """Listen, and return whether the process has to be replaced."""
        self._silence_s += min(now_s - self._looked_s, COUNTED_S_MAX)
        self._looked_s = now_s
        with contextlib.suppress(BlockingIOError):
            if os.read(self._pipe, 1 << 12):
                self._silence_s, self._usual_s, self._limit_s = 0.0, SILENCE_S_MAX, None
        if self._silence_s < SILENCE_S_MAX:
            return False
        if _is_stopped(pid):
            return True
        if self._silence_s < self._usual_s:
            return False
        if self._limit_s is None:
            # The speed is measured when it matters, since it is that of this moment.
            self._limit_s = self._usual_s * slowness_now()
        return self._silence_s >= self._limit_s

    def close(self) -> None:
        """Listen no more."""
        os.close(self._pipe)


def _is_stopped(pid: int) -> bool:
    """Whether a process has been stopped by a signal, and so is not only slow."""
    try:
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.NoSuchProcess:
        return False


class Supervised:
    """One node process and its successors."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pause_s = RESTART_S_MIN
        self._started_s = self._due_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._silence: Silence | None = None
        self._has_run = False

    def look(self) -> bool:
        """Start the process when it does not run; return whether it can run at all, as far as is known."""
        now_s = time.monotonic()
        code = None if self._process is None else self._process.poll()
        if code is not None:
            self._take_end(now_s)
        elif self._process is not None:
            self._kill_if_silent(self._process, now_s)
        if self._process is None and now_s >= self._due_s:
            self._started_s = now_s
            try:
                self._start(now_s)
            except OSError as error:
                # No room on the disk or no memory: both may pass.
                print(f"{self._directory} was not started: {error}", file=sys.stderr)
                self._due_s = now_s + RESTART_S_MAX
        return code != CANNOT_RUN or self._has_run

    def _kill_if_silent(self, process: "subprocess.Popen[bytes]", now_s: float) -> None:
        """Kill the process when it hangs; its end is seen at a later look, and only then another one is started."""
        if self._silence is not None and self._silence.is_too_long(process.pid, now_s):
            print(f"{self._directory}: process {process.pid} hangs and is killed", file=sys.stderr, flush=True)
            self._listen_no_more()
            process.kill()

    def _listen_no_more(self) -> None:
        silence, self._silence = self._silence, None
        if silence is not None:
            silence.close()

    def _take_end(self, now_s: float) -> None:
        self._process = None
        self._listen_no_more()
        lived_s = now_s - self._started_s
        self._has_run |= lived_s > RESTART_S_MAX
        self._pause_s = RESTART_S_MIN if lived_s > RESTART_S_MAX else min(2 * self._pause_s, RESTART_S_MAX)
        self._due_s = now_s + self._pause_s

    def _start(self, now_s: float) -> None:
        listening, beating = os.pipe()
        os.set_blocking(listening, False)
        try:
            with open(self._directory / "node.log", "a", opener=private_opener) as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "cluster.node.node_main", str(self._directory)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=(beating,),
                    env={**os.environ, BEAT_VARIABLE: str(beating)},
                )
        except BaseException:
            os.close(listening)
            raise
        finally:
            os.close(beating)
        self._silence = Silence(listening, now_s)

    def end(self) -> None:
        """Tell the process to end; one that is stopped would not hear it before its time is over."""
        if self._process is not None:
            if _is_stopped(self._process.pid):
                self._process.kill()
            else:
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

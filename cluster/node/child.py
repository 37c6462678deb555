"""The leader's process of a node, as the node sees it: started ahead of time, watched, and replaced when it dies.

It is a child of its own, so that neither batches nor Ray, which ends drivers whose cluster is gone, touch the member.
It ends with its node; one that was stopped and could not is ended by the next node process, which has it by its record.
"""

import contextlib
import json
import logging
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil

from actors.files import private_opener, replace_file
from cluster.local.processes import find_process
from cluster.local.speed import slowness
from cluster.node.status import ChildStatus
from raft import shapes

log = logging.getLogger(__name__)

SILENCE_S_MAX: Final = 10.0
"""Seconds without a word after which a process counts as hung and is killed."""

READY_TIMEOUT_S: Final = 60.0
"""Seconds until its first word, on a machine of usual speed."""

RESTART_S: Final = 0.5
"""Pause before a process that ended is started again; doubled while it goes on ending at once."""

RESTART_S_MAX: Final = 10.0


RECORD_NAME: Final = "leader.json"

END_S: Final = 5.0
"""Seconds that one of a former node process has to end; then it waits for the system, and does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRecord:
    """A leader's process, for the next node process of its directory."""

    pid: int
    started: float
    """When it started, in seconds since the epoch."""

    def write(self, directory: Path) -> None:
        """Write the record into a node's directory."""
        replace_file(directory / RECORD_NAME, json.dumps(asdict(self)).encode())

    @classmethod
    def end_recorded(cls, directory: Path) -> None:
        """Kill the process of a former node process, if it is still there."""
        try:
            record = shapes.record(cls, json.loads((directory / RECORD_NAME).read_bytes()))
        except (OSError, ValueError):
            return
        deadline_s = time.monotonic() + END_S
        # It is not ours to wait for; where nobody does, it stays as one that has ended.
        while (process := find_process(record.pid, record.started)) is not None and time.monotonic() < deadline_s:
            log.warning("a leader's process has outlived its node and ends", extra={"pid": record.pid})
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
            time.sleep(0.05)


class LeaderChild:
    """Keeps one process running for a given Ray; called from one thread, but for `heard`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._ray_address = ""
        self._address = ""
        self._heard_s = 0.0
        self._due_s = 0.0
        self._pause_s = RESTART_S
        ChildRecord.end_recorded(directory)

    @property
    def status(self) -> ChildStatus:
        """The process as it is now."""
        process = self._process
        if process is None:
            return ChildStatus()
        silence_s = time.monotonic() - self._heard_s
        return ChildStatus(pid=process.pid, address=self._address, silence_s=silence_s)

    @property
    def ray_address(self) -> str:
        """The Ray that the process drives; empty while it has not been told."""
        return self._ray_address if self._process is not None else ""

    @property
    def is_ready(self) -> bool:
        """Whether it could lead."""
        return self._process is not None and bool(self._address)

    def heard(self, pid: int, address: str) -> None:
        """Note a word of the process; called from any thread."""
        process = self._process
        if process is not None and process.pid == pid:
            self._heard_s, self._address = time.monotonic(), address
            self._pause_s = RESTART_S

    def follow(self, ray_address: str | None) -> bool:
        """Have a process for this Ray; return whether one that was ready has been lost just now.

        Without an address one stands by that has imported everything and will be told; with `None` there is none.
        """
        was_ready = self.is_ready
        if self._process is not None and (problem := self._problem(ray_address)):
            log.warning("the leader's process ends", extra={"reason": problem, "pid": self._process.pid})
            self.end()
            self._due_s = time.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, RESTART_S_MAX)
        if self._process is None and ray_address is not None and time.monotonic() >= self._due_s:
            self._start()
        if self._process is not None and ray_address and not self._ray_address:
            self._tell(ray_address)
        return was_ready and not self.is_ready

    def _problem(self, ray_address: str | None) -> str:
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            return f"it has ended ({code})"
        if ray_address is None or (self._ray_address and ray_address != self._ray_address):
            return "its Ray is over"
        if not self._ray_address:
            return ""
        silence_s = time.monotonic() - self._heard_s
        limit_s = SILENCE_S_MAX if self._address else READY_TIMEOUT_S * slowness()
        return f"silent for {silence_s:.0f} s" if silence_s > limit_s else ""

    def _start(self) -> None:
        with open(self._directory / "leader.log", "a", opener=private_opener) as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cluster.node.leader_main", str(self._directory)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        self._ray_address, self._address, self._heard_s = "", "", time.monotonic()
        record = ChildRecord(pid=self._process.pid, started=psutil.Process(self._process.pid).create_time())
        try:
            record.write(self._directory)
        except OSError as error:
            # It ends by itself, unless it is stopped.
            log.warning("the leader's process is not recorded", extra={"reason": str(error)})

    def _tell(self, ray_address: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._ray_address, self._heard_s = ray_address, time.monotonic()
        # One that has just ended is replaced at the next look.
        with contextlib.suppress(BrokenPipeError):
            # Stays open: the process ends when its node does, however that dies.
            self._process.stdin.write((json.dumps({"ray_address": ray_address}) + "\n").encode())
            self._process.stdin.flush()

    def end(self) -> None:
        """Kill the process; whatever it did is fenced by its epoch."""
        process, self._process = self._process, None
        self._address = ""
        if process is None:
            return
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()

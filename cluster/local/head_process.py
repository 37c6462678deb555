"""The head process as its parent sees it: start it, wait until Ray is up, and end it with all of its Ray.

It ends with its parent, however that dies, until the parent lets it stay: a start that comes to nothing leaves nothing.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import psutil

from actors.files import private_opener
from cluster.errors import ClusterError
from cluster.local.head import ACTOR_ENVIRONMENT, READY_PREFIX, STAY_LINE, start_environment
from cluster.local.home import ClusterRecord, Home
from cluster.local.ports import free_ports
from cluster.local.processes import CLUSTER_VARIABLE, end_processes, find_head
from cluster.local.speed import slowness

READY_TIMEOUT_S = 120.0
"""Seconds that Ray has to start, on a machine of usual speed."""

STOP_TIMEOUT_S = 20.0
"""Seconds that Ray's processes have to end before they are killed, on a machine of usual speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """What may be chosen about a local cluster."""

    group_id: int = 2
    """Id of the Raft group, greater than 1."""

    member_count: int = 3
    """Members of the group: 1, 3 or 5."""

    has_dashboard: bool = True
    """Whether Ray's job server is started, which `tocsin submit` needs."""

    cpu_count: int = 0
    """CPUs that Ray may give out; 0 means those of the machine."""

    object_store_bytes: int = 400 << 20
    """Shared memory for batches on their way."""


class HeadProcess:
    """A head process that this process has started; it ends with this process, unless it was let stay."""

    def __init__(self, process: "subprocess.Popen[str]", ray_directory: str, dashboard_address: str | None) -> None:
        self._process = process
        self._started = psutil.Process(process.pid).create_time()
        self._ray_directory = ray_directory
        self._dashboard_address = dashboard_address
        self._ray_address = ""

    @classmethod
    def start(cls, home: Home, options: ClusterOptions) -> Self:
        """Start the process and wait until its Ray is up; when that fails, nothing is left.

        Raises:
            ClusterError: it did not start; the home's log says why.
        """
        ray_directory = tempfile.mkdtemp(prefix="tocsin-")
        try:
            port = free_ports(1)[0] if options.has_dashboard else 0
            process = _spawn(home, options, ray_directory, port)
        except BaseException:
            shutil.rmtree(ray_directory, ignore_errors=True)
            raise
        head = cls(process, ray_directory, f"http://127.0.0.1:{port}" if port else None)
        try:
            head._ray_address = head._wait_ready(home)
        except BaseException:
            head.end()
            raise
        return head

    def record(self, group_id: int, addresses: Mapping[str, str]) -> ClusterRecord:
        """Return what is needed to reach the cluster and to end it."""
        return ClusterRecord(
            ray_address=self._ray_address,
            dashboard_address=self._dashboard_address,
            head_pid=self._process.pid,
            head_started=self._started,
            ray_directory=self._ray_directory,
            group_id=group_id,
            member_addresses=addresses,
        )

    def let_stay(self) -> None:
        """Let the cluster outlive this process."""
        assert self._process.stdin is not None
        self._process.stdin.write(STAY_LINE)
        self._process.stdin.close()

    def end(self) -> None:
        """End the process and all of its Ray."""
        end_cluster(self._process.pid, self._started, self._ray_directory)

    def _wait_ready(self, home: Home) -> str:
        """Return where Ray listens."""
        assert self._process.stdout is not None
        timeout_s = READY_TIMEOUT_S * slowness()
        # Ends the wait too, because the output ends with the processes that hold it.
        giving_up = threading.Timer(timeout_s, self.end)
        giving_up.start()
        try:
            for line in self._process.stdout:
                if line.startswith(READY_PREFIX):
                    return str(json.loads(line.removeprefix(READY_PREFIX))["address"])
        finally:
            giving_up.cancel()
        said = " ".join(home.log_path.read_text(errors="replace").splitlines()[-1:]) or f"no word in {timeout_s:.0f} s"
        raise ClusterError(f"Ray did not start: {said}; {home.log_path} says more")


def _spawn(home: Home, options: ClusterOptions, ray_directory: str, dashboard_port: int) -> "subprocess.Popen[str]":
    cpu_count = options.cpu_count or os.cpu_count() or 1
    arguments = [ray_directory, dashboard_port, cpu_count, options.object_store_bytes, slowness()]
    marks = {**ACTOR_ENVIRONMENT, **start_environment(slowness()), CLUSTER_VARIABLE: ray_directory}
    with open(home.log_path, "a", opener=private_opener) as log:
        return subprocess.Popen(
            [sys.executable, "-m", "cluster.local.head", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            env={**os.environ, **marks},
        )


def end_cluster(head_pid: int, head_started: float, ray_directory: str) -> None:
    """End a head process and all of its Ray, also when the head is gone already.

    Raises:
        ClusterError: processes remain.
    """
    head = find_head(head_pid, head_started)
    if head is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            head.send_signal(signal.SIGTERM)
        psutil.wait_procs([head], timeout=STOP_TIMEOUT_S * slowness())
    end_processes(head_pid, head_started, ray_directory)
    shutil.rmtree(ray_directory, ignore_errors=True)

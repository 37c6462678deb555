"""The processes of one cluster: which they are, whether its head lives, and their end.

The head process begins a session of its own, and all of Ray's processes are in it, whatever becomes of their parents:
many of them change what they show as their command line and environment. Drivers of Ray's jobs begin sessions
themselves; they carry `CLUSTER_VARIABLE` in their environment. A pid counts with its start time only.
"""

import os
import time
from collections.abc import Iterator

import psutil

from cluster.errors import ClusterError
from cluster.local.speed import has_passed

CLUSTER_VARIABLE = "TOCSIN_CLUSTER"
"""Environment variable of all processes of a cluster: the directory of its Ray."""

KILL_TIMEOUT_S = 20.0
"""Seconds that processes have to be gone after they were killed."""

_START_TOLERANCE_S = 1.0
"""How far two readings of a process's start time may differ; the system counts from its own start."""


def find_head(pid: int, started: float) -> psutil.Process | None:
    """Return the head process, or `None` when it has ended."""
    try:
        process = psutil.Process(pid)
        is_ours = abs(process.create_time() - started) < _START_TOLERANCE_S
        return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def processes_of(head_pid: int, head_started: float, ray_directory: str) -> Iterator[psutil.Process]:
    """Yield all processes of a cluster but this one, the head's own among them while it lives."""
    # A pid is not given anew while a session has it as its name: another process of that pid means that all are gone.
    session = None if _is_anothers(head_pid, head_started) else head_pid
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            is_younger = process.create_time() > head_started - _START_TOLERANCE_S
            if is_younger and (os.getsid(process.pid) == session or _marker(process) == ray_directory):
                yield process
        except (psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            continue


def end_processes(head_pid: int, head_started: float, ray_directory: str) -> None:
    """Kill all processes of a cluster.

    Raises:
        ClusterError: some remain.
    """
    started_s = time.monotonic()
    while found := list(processes_of(head_pid, head_started, ray_directory)):
        if has_passed(started_s, KILL_TIMEOUT_S):
            pids = ", ".join(str(process.pid) for process in found)
            raise ClusterError(f"processes {pids} of the cluster do not end; look at what they wait for (`ps`)")
        for process in found:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied as error:
                raise ClusterError(f"process {process.pid} of the cluster belongs to another user; end it") from error
        # Those that were just being started are found the next time.
        psutil.wait_procs(found, timeout=1.0)


def _is_anothers(pid: int, started: float) -> bool:
    """Whether the head's pid has been given to another process."""
    try:
        return abs(psutil.Process(pid).create_time() - started) >= _START_TOLERANCE_S
    except psutil.NoSuchProcess:
        # After a restart of the machine the same numbers mean others.
        return started < psutil.boot_time()


def _marker(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(CLUSTER_VARIABLE)
    except psutil.AccessDenied:
        return None

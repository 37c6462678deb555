"""Processes that belong together: which they are, whether the first of them lives, and their end.

The supervisor begins a session of its own, and so does what starts Ray on a machine. All that they start stays in it,
whatever becomes of the parents; many of Ray's processes change what they show as command line and environment. Drivers
of Ray's jobs begin sessions themselves; they carry `CLUSTER_VARIABLE` in their environment. A pid counts with its start
time only.
"""

import contextlib
import os
import time
from collections.abc import Iterator

import psutil

from cluster.errors import ClusterError
from cluster.local.speed import has_passed

CLUSTER_VARIABLE = "TOCSIN_CLUSTER"
"""Environment variable of all processes of a cluster on a machine: its mark, which is a directory for Ray's own."""

KILL_TIMEOUT_S = 20.0
"""Seconds that processes have to be gone after they were killed."""

_START_TOLERANCE_S = 1.0
"""How far two readings of a process's start time may differ; the system counts from its own start."""


def find_process(pid: int, started: float) -> psutil.Process | None:
    """Return the process that started then, or `None` when it has ended."""
    try:
        process = psutil.Process(pid)
        is_ours = abs(process.create_time() - started) < _START_TOLERANCE_S
        return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def processes_of(first_pid: int, first_started: float, mark: str) -> Iterator[psutil.Process]:
    """Yield all processes of a session or with a mark but this one, the first among them while it lives."""
    # A pid is not given anew while a session has it as its name: another process of that pid means that all are gone.
    session = None if _is_anothers(first_pid, first_started) else first_pid
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            is_younger = process.create_time() > first_started - _START_TOLERANCE_S
            if is_younger and (os.getsid(process.pid) == session or _marker(process) == mark):
                yield process
        except (psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            continue


def kill_process(pid: int, first_pid: int, first_started: float, mark: str) -> bool:
    """Kill one process of a session or with a mark; return whether there was one of that number."""
    found = next((one for one in processes_of(first_pid, first_started, mark) if one.pid == pid), None)
    if found is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        found.kill()
    return True


def end_processes(first_pid: int, first_started: float, mark: str) -> None:
    """Kill all processes of a session or with a mark.

    Raises:
        ClusterError: some remain.
    """
    started_s = time.monotonic()
    while found := list(processes_of(first_pid, first_started, mark)):
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
    """Whether the first one's pid has been given to another process."""
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

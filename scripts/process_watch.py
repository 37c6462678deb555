"""What the processes of a cluster on this machine use while something runs: CPU time and memory, by kind of process.

Used by benchmarks: `ProcessWatch` looks some times a second, in a thread of its own, and is asked afterwards.
"""

import threading
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from cluster.errors import NotRunningError
from cluster.local.cluster import all_processes
from cluster.local.home import Home

PERIOD_S = 0.2
"""Seconds between two looks."""

RENEWAL_S = 1.0
"""Seconds after which processes that are new are looked for."""


def process_name(process: psutil.Process) -> str:
    """Return what a process is."""
    words = process.cmdline()
    modules = [word for word in words if word.startswith(("cluster.", "ray::"))]
    if modules and modules[0].startswith("ray::"):
        # Ray says what an actor is doing, and of one that starts also its name.
        return "ray::" + modules[0].rpartition(":")[2].partition(".")[0]
    return modules[0] if modules else Path(words[0]).name if words else process.name()


def own_bytes(pid: int) -> int:
    """Return the memory that a process has for itself, without what it maps of files, as it does whole databases.

    Raises:
        OSError: there is no such process, or this system does not say.
    """
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:")), 0)


class ProcessWatch:
    """Looks at the processes of a home until it is left."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._names: dict[int, str] = {}
        self._processes: dict[int, psutil.Process] = {}
        self._cpu_s: dict[int, list[tuple[float, float]]] = defaultdict(list)
        self._sizes: list[tuple[float, Counter[str]]] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        renewal_due_s = 0.0
        while not self._ending.wait(PERIOD_S):
            if time.monotonic() >= renewal_due_s:
                self._renew()
                renewal_due_s = time.monotonic() + RENEWAL_S
            self._look()

    def _renew(self) -> None:
        with suppress(NotRunningError):
            for process in all_processes(self._home):
                with suppress(psutil.NoSuchProcess):
                    # Ray's workers change their names once they know what they are for.
                    self._names[process.pid] = process_name(process)
                    self._processes.setdefault(process.pid, process)

    def _look(self) -> None:
        sizes: Counter[str] = Counter()
        for pid, process in list(self._processes.items()):
            try:
                spent, size = process.cpu_times(), own_bytes(pid)
            except (psutil.NoSuchProcess, OSError):
                del self._processes[pid]
                continue
            self._cpu_s[pid].append((time.time(), spent.user + spent.system))
            sizes[self._names[pid]] += size
        self._sizes.append((time.time(), sizes))

    def cpu_s(self, start_us: int, end_us: int) -> Counter[str]:
        """Return the seconds of CPU time that each kind of process took between two times of day."""
        found: Counter[str] = Counter()
        for pid, looks in self._cpu_s.items():
            # A Counter of seconds: its type wants whole numbers, its arithmetic does not.
            found[self._names[pid]] += _between(looks, end_us / 1e6) - _between(looks, start_us / 1e6)  # type: ignore[assignment]
        return found

    def sizes(self) -> list[tuple[float, Counter[str]]]:
        """Return the times of all looks, in seconds since 1970, with the memory of each kind of process, in bytes."""
        return self._sizes


def _between(looks: list[tuple[float, float]], time_s: float) -> float:
    """Return what was spent up to a time; before the first look it counts as what it was then."""
    place = bisect_right(looks, time_s, key=lambda look: look[0])
    if place == 0 or place == len(looks):
        return looks[min(place, len(looks) - 1)][1]
    (before_s, before), (after_s, after) = looks[place - 1], looks[place]
    return before + (after - before) * (time_s - before_s) / (after_s - before_s)

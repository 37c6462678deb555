"""Hosts of jobs that do not run: given back some time after they were last asked for anything.

A query opens them again on demand. Whoever asks says so (`HostUse`), so that no host ends under a query. Only the
leading node's process gives hosts back, and clients ask that one first; what was asked through another node's may come
too early to an end, and is asked again by the client.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final, Protocol

from cluster.node.looks import LedGroup, look_for_ever
from config.settings import JobSettings
from raft.group import JobStatus

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
"""Seconds between two looks."""

RETRY_S: Final = 5.0
"""Pause after something went wrong."""

END_TIMEOUT_S: Final = 10.0
"""Seconds for which a query waits for hosts that are just being ended, to open them anew."""


class HostUse:
    """Who asks the hosts of which job, and when that was last; called from any thread."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._changed = threading.Condition()
        self._askers = Counter[str]()
        self._used_s: dict[str, float] = {}
        self._ending = ""

    @contextmanager
    def asking(self, job_id: str) -> Iterator[None]:
        """Keep the hosts of a job while they are asked; those that are just being ended are gone before."""
        with self._changed:
            self._changed.wait_for(lambda: self._ending != job_id, END_TIMEOUT_S)
            self._askers[job_id] += 1
        try:
            yield
        finally:
            with self._changed:
                self._askers[job_id] -= 1
                self._used_s[job_id] = self._clock_s()

    @contextmanager
    def ending(self, job_id: str, linger_s: float) -> Iterator[bool]:
        """Say whether nobody has asked for so long, counted from the first look; who asks meanwhile waits."""
        with self._changed:
            since_s = self._used_s.setdefault(job_id, self._clock_s())
            is_over = not self._askers[job_id] and self._clock_s() - since_s >= linger_s
            self._ending = job_id if is_over else ""
        try:
            yield is_over
        finally:
            with self._changed:
                self._ending = ""
                self._changed.notify_all()

    def forget(self, job_id: str) -> None:
        """Count anew when the job rests the next time."""
        with self._changed:
            self._used_s.pop(job_id, None)


class LedJobs(Protocol):
    """The leader, as far as it is asked what it still does."""

    def runs(self, job_id: str) -> bool:
        """Whether something is still done for a job, which may have been stopped."""
        ...


class Hosts(Protocol):
    """What there is of hosts."""

    def jobs_with_hosts(self) -> frozenset[str]:
        """Return the jobs that have hosts now."""
        ...

    def end_hosts(self, job_id: str, but: tuple[str, ...]) -> None:
        """End the hosts of a job but those named."""
        ...

    def end_idle_processes(self) -> None:
        """End the processes that jobs shared and none has needed for some time."""
        ...


class LingeringHosts:
    """Looks, while its process leads, whose hosts nobody has asked for long enough."""

    def __init__(self, leader: LedJobs, hosts: Hosts, group: LedGroup, use: HostUse) -> None:
        self._leader = leader
        self._hosts = hosts
        self._group = group
        self._use = use

    def start(self) -> None:
        """Look for ever, in a thread of its own."""
        trouble = "hosts of jobs that do not run were not given back"
        look_for_ever(self.look, every_s=LOOK_S, retry_s=RETRY_S, trouble=trouble)

    def look(self) -> None:
        """Give back what is due."""
        if self._group.led_epoch() is None:
            return
        found = self._hosts.jobs_with_hosts()
        # Seen after the hosts, so that a job of which there are some is in it, unless it was removed.
        jobs = self._group.state().jobs
        for job_id in sorted(found):
            job = jobs.get(job_id)
            if job is not None and (job.status is JobStatus.RUNNING or self._leader.runs(job_id)):
                self._use.forget(job_id)
                continue
            with self._use.ending(job_id, 0.0 if job is None else linger_of(job.spec)) as is_over:
                if is_over:
                    self._hosts.end_hosts(job_id, ())
                    self._use.forget(job_id)
                    log.info("a job that does not run has given its hosts back", extra={"job": job_id})
        self._hosts.end_idle_processes()


@lru_cache(maxsize=256)
def linger_of(spec: bytes) -> float:
    """Return the seconds for which a job keeps its hosts when it does not run."""
    return JobSettings.from_bytes(spec).linger

"""The processes that fill stream tables (host metrics): one that hangs is killed, and Ray starts it again.

Ray restarts one that has died. One that was stopped, or hangs, writes no rows, and nobody else would notice: its job
only sees that nothing is new. Only the leading node's process looks. A table has one writer (the lock of its shard),
and that is gone before the next one can begin.
"""

import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from cluster.leader.ports import HostPort
from cluster.leader.pulse import Pulse
from cluster.node.looks import LedGroup, look_for_ever
from raft.group import JobStatus

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""Seconds between two looks."""

SILENCE_US_MAX: Final = 3_000_000
"""Silence, in microseconds, after which one is looked at: it hangs, or it is only being started."""


class Samplers(Protocol):
    """The processes that fill stream tables, by name."""

    def sampler_names(self) -> frozenset[str]:
        """Return those that there are."""
        ...

    def find_sampler(self, name: str) -> HostPort | None:
        """Return one that can be asked whether it is there, or `None`."""
        ...

    def end_hung_sampler(self, name: str) -> bool:
        """Kill one that runs and still does not answer within ten seconds; return whether it did hang."""
        ...


class SamplerWatch:
    """Looks, while its process leads and jobs run."""

    def __init__(
        self,
        group: LedGroup,
        samplers: Samplers,
        clock_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        self._group = group
        self._samplers = samplers
        self._pulse = Pulse(clock_us)
        self._followed: set[str] = set()

    def start(self) -> None:
        """Look for ever, in a thread of its own."""
        look_for_ever(self.look, every_s=LOOK_S, trouble="nobody has looked after what fills stream tables")

    def look(self) -> None:
        """Ask whom it is time to ask, and replace those that have been silent for too long."""
        jobs = self._group.state().jobs.values()
        is_wanted = self._group.led_epoch() is not None and any(job.status is JobStatus.RUNNING for job in jobs)
        self._follow(self._samplers.sampler_names() if is_wanted else frozenset())
        for name, silence_us in self._pulse.look().items():
            if silence_us >= SILENCE_US_MAX:
                self._forget(name)
                if self._samplers.end_hung_sampler(name):
                    log.warning("what fills a stream table hung and is ended", extra={"sampler": name})

    def _follow(self, names: frozenset[str]) -> None:
        for name in self._followed - names:
            self._forget(name)
        for name in names - self._followed:
            sampler = self._samplers.find_sampler(name)
            if sampler is not None:
                self._followed.add(name)
                self._pulse.follow(name, sampler)

    def _forget(self, name: str) -> None:
        self._followed.discard(name)
        self._pulse.forget(name)

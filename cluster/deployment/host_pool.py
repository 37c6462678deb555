"""The process that jobs share on a node: one host of each, side by side.

A plain class that `cluster.deployment.deploy` turns into a Ray actor. A *slot* is the place of one host, known by job
and host. Its calls are done in their order in one thread of Ray, which no other slot has as long as there are enough:
so no job waits for a batch of another.

When the process dies all its slots are gone. A call to a slot that is not there is refused as a host refuses it that
was restarted, and each job's leader has its own opened again: jobs that share a process share its fate.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from actors.errors import NotOpenError
from cluster.deployment.partition_host import PartitionHost
from cluster.errors import NoAnswerError

THREAD_COUNT: Final = 16
"""Threads for calls that have an order; with more slots than these, some share one."""

Slot = tuple[str, str]
"""Job and host."""


@dataclass(frozen=True, slots=True)
class _Held:
    slot: Slot
    host: PartitionHost
    thread: int
    made_of: tuple[bytes, str, str]
    """Settings of the job, its directory, and that of the node's stream tables."""


class HostPool:
    """Hosts of several jobs; `make_host` and `clock_s` are other ones in tests."""

    def __init__(
        self,
        make_host: Callable[[bytes, str, str], PartitionHost] = PartitionHost,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_host = make_host
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._held: dict[Slot, _Held] = {}
        self._dropped: list[_Held] = []
        self._is_ending = False
        self._empty_since_s = clock_s()

    def pid(self) -> int:
        """Return the process id, at once."""
        return os.getpid()

    def hold(self, job_id: str, host: str, job: bytes, directory: str, streams: str) -> int:
        """Have a slot, made when it is missing, and return the thread for its calls.

        Raises:
            NoAnswerError: the process is about to end; another one takes its place.
        """
        slot, made_of = (job_id, host), (job, directory, streams)
        with self._lock:
            if self._is_ending:
                raise NoAnswerError("the process that jobs share is about to end, since none of them needed it")
            held = self._held.get(slot)
            if held is None or held.made_of != made_of:
                # What is there was made for another job of that name.
                self._drop([slot])
                made = self._make_host(*made_of)
                held = self._held[slot] = _Held(slot, made, self._thread_for(slot), made_of)
            return held.thread

    def _thread_for(self, slot: Slot) -> int:
        # Where what was there before is closed, so that it is closed first.
        before = [one.thread for one in self._dropped if one.slot == slot]
        load = Counter(dict.fromkeys(range(THREAD_COUNT), 0))
        load.update(one.thread for one in (*self._held.values(), *self._dropped))
        return before[-1] if before else min(load, key=lambda thread: (load[thread], thread))

    def thread_of(self, job_id: str, host: str) -> int:
        """Return the thread for the calls of a slot; any, when there is no such slot."""
        held = self._held.get((job_id, host))
        return 0 if held is None else held.thread

    def act(self, job_id: str, host: str, method: str, *arguments: Any) -> Any:
        """Have a host do something; called in the thread of its slot."""
        self._close_dropped(lambda one: one.slot == (job_id, host))
        if method == "release" and (job_id, host) not in self._held:
            # It owns nothing, as one that was restarted.
            return None
        return self.read(job_id, host, method, *arguments)

    def read(self, job_id: str, host: str, method: str, *arguments: Any) -> Any:
        """Ask a host beside everything else that it does.

        Raises:
            NotOpenError: there is no such slot, since the process was restarted, or gave it up.
        """
        held = self._held.get((job_id, host))
        if held is None:
            raise NotOpenError(f"{host} of job {job_id!r} is not in this process any more: start it first")
        return getattr(held.host, method)(*arguments)

    def slots(self) -> list[Slot]:
        """Return what is held."""
        return list(self._held)

    def drop(self, job_id: str, kept: Collection[str]) -> list[int]:
        """Give up the hosts of a job but those named; return the threads in which `close_dropped` closes them."""
        with self._lock:
            return self._drop([slot for slot in self._held if slot[0] == job_id and slot[1] not in kept])

    def drop_host(self, job_id: str, host: str) -> list[int]:
        """Give up one host, which is elsewhere now; return the threads as `drop` does."""
        with self._lock:
            return self._drop([(job_id, host)])

    def _drop(self, slots: Collection[Slot]) -> list[int]:
        gone = [self._held.pop(slot) for slot in slots if slot in self._held]
        self._dropped += gone
        if not self._held:
            self._empty_since_s = self._clock_s()
        return sorted({one.thread for one in gone})

    def close_dropped(self, thread: int) -> None:
        """Close what was dropped, after all that it was asked before; called in that thread."""
        self._close_dropped(lambda one: one.thread == thread)

    def _close_dropped(self, is_meant: Callable[[_Held], bool]) -> None:
        for one in [one for one in self._dropped if is_meant(one)]:
            # One that cannot be closed yet stays, and is tried again before its slot is used.
            one.host.close()
            with self._lock:
                self._dropped.remove(one)

    def end_if_empty(self, seconds: float) -> bool:
        """Take no more slots if there have been none for so long, and say so: the process may be ended."""
        with self._lock:
            is_empty = not self._held and not self._dropped
            self._is_ending = self._is_ending or (is_empty and self._clock_s() - self._empty_since_s >= seconds)
            return self._is_ending

    def validate(self) -> None:
        """Assert every invariant."""
        assert not (self._is_ending and self._held)
        for slot, held in self._held.items():
            assert slot == held.slot
            assert 0 <= held.thread < THREAD_COUNT
            held.host.validate()

"""Deliveries: hosts hand committed anomalies to the sinks, one call at a time for each host, beside the rows.

A sink that fails fails by itself: the anomalies wait in the outbox, the host is asked again after a pause that grows,
and the status says why. A host that owns nothing any more, or that has died, is no business of the deliveries: whoever
sends it rows finds out.
"""

from functools import partial

from cluster.leader.clock import Backoff
from cluster.leader.desk import Desk, raise_trouble
from cluster.leader.events import Delivered
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.instructions import Deliver


class Deliveries:
    """Deliveries of one job, every `period_us` for each host."""

    def __init__(self, desk: Desk, period_us: int) -> None:
        self._desk = desk
        self._period_us = period_us
        self._due_us: dict[str, int] = {}
        self._asked: set[str] = set()
        self._backoffs: dict[str, Backoff] = {}
        self._troubles: dict[str, str] = {}
        self._empty: set[str] = set()

    @property
    def trouble(self) -> str | None:
        """Why anomalies wait, or `None`."""
        return next(iter(self._troubles.values()), None)

    @property
    def is_idle(self) -> bool:
        """Whether no host is asked."""
        return not self._asked

    def advance(self, hosts: tuple[str, ...]) -> None:
        """Ask the hosts that are due."""
        for host in self._known(hosts):
            if host not in self._asked and self._due_us.setdefault(host, self._next_us()) <= self._desk.elapsed_us:
                self._ask(host)

    def _next_us(self) -> int:
        return self._desk.elapsed_us + self._period_us

    def _known(self, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for gone in (self._due_us.keys() | self._troubles.keys()) - set(hosts):
            self._due_us.pop(gone, None)
            self._troubles.pop(gone, None)
        return hosts

    def empty(self, hosts: tuple[str, ...], *, is_last_try: bool) -> bool:
        """Go on until nothing waits, and return whether that is so; the last try takes a failure for an answer.

        Call `begin_emptying` first. While rows come no longer, a host that owns nothing has been restarted.
        """
        for host in hosts:
            if host in self._asked or host in self._empty or (is_last_try and host in self._troubles):
                continue
            if host not in self._troubles or self._due_us.get(host, 0) <= self._desk.elapsed_us:
                self._ask(host, is_at_end=True)
        return all(host in self._empty or (is_last_try and host in self._troubles) for host in hosts)

    def begin_emptying(self) -> None:
        """Take every outbox for full, whatever was answered before."""
        self._empty.clear()
        self._troubles.clear()

    def _ask(self, host: str, *, is_at_end: bool = False) -> None:
        self._asked.add(host)
        self._desk.ask(
            Deliver(request=self._desk.next_number(), host=host),
            partial(self._on_delivered, host),
            partial(self._on_failure, host, is_at_end),
        )

    def _on_delivered(self, host: str, event: Delivered) -> None:
        self._asked.discard(host)
        self._troubles.pop(host, None)
        self._backoffs.pop(host, None)
        self._due_us[host] = self._next_us()
        if not event.count:
            self._empty.add(host)

    def _on_failure(self, host: str, is_at_end: bool, failure: Failure) -> None:
        self._asked.discard(host)
        if failure.kind is FailureKind.SINK:
            limit = self._desk.limits.sink_retry_us_max
            backoff = self._backoffs.setdefault(host, Backoff(self._desk.limits, self._desk.jitter, limit))
            self._troubles[host] = failure.reason
            self._empty.discard(host)
            self._due_us[host] = self._desk.elapsed_us + backoff.pause_us()
        elif is_at_end or failure.kind is FailureKind.SHARD_LOST:
            raise_trouble(failure)
        else:
            self._due_us[host] = self._next_us()

    def dues_us(self) -> list[int]:
        """Return the elapsed times at which a host is asked."""
        return [due_us for host, due_us in self._due_us.items() if host not in self._asked]

    def validate(self) -> None:
        """Assert every invariant."""
        assert not self._empty & self._troubles.keys()

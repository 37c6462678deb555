"""Deliveries: hosts hand committed anomalies to the sinks, one call at a time for each host and sink, beside the rows.

A sink that fails fails by itself: its anomalies wait in the outbox, the host is asked again after a pause that grows,
and the status says why; other sinks have pauses and marks of their own. A host that owns nothing any more, or that has
died, is no business of the deliveries: whoever sends it rows finds out.
"""

from collections.abc import Collection, Sequence
from functools import partial

from cluster.leader.clock import Backoff
from cluster.leader.desk import Desk, raise_trouble
from cluster.leader.events import Delivered
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.instructions import Deliver

Way = tuple[str, int]
"""A host, and the position of a sink among those of the job."""


class Deliveries:
    """Deliveries of one job, every `period_us` for each host and each of the sinks, which have identities.

    `others` are positions of sinks that are fed otherwise: they follow a policy (`cluster.leader.notices`).
    """

    def __init__(self, desk: Desk, period_us: int, sinks: Sequence[str], others: Collection[int] = frozenset()) -> None:
        self._desk = desk
        self._period_us = period_us
        self._sinks = tuple(sinks)
        self._numbers = [number for number in range(len(sinks)) if number not in others]
        self._due_us: dict[Way, int] = {}
        self._asked: set[Way] = set()
        self._backoffs: dict[Way, Backoff] = {}
        self._troubles: dict[Way, str] = {}
        self._empty: set[Way] = set()
        self._overcome: dict[str, str] = {}

    @property
    def troubles(self) -> dict[str, str]:
        """Why anomalies wait, by the identity of the sink."""
        return {self._sinks[sink]: reason for (_, sink), reason in self._troubles.items()}

    @property
    def troubles_overcome(self) -> dict[str, str]:
        """The last trouble of each sink that is over, by the identity of the sink."""
        return dict(self._overcome)

    @property
    def is_idle(self) -> bool:
        """Whether no host is asked."""
        return not self._asked

    def advance(self, hosts: tuple[str, ...]) -> None:
        """Ask the hosts that are due."""
        ways = self._ways(hosts)
        for gone in (self._due_us.keys() | self._troubles.keys()) - set(ways):
            self._due_us.pop(gone, None)
            self._troubles.pop(gone, None)
        for way in ways:
            if way not in self._asked and self._due_us.setdefault(way, self._next_us()) <= self._desk.elapsed_us:
                self._ask(way)

    def _next_us(self) -> int:
        return self._desk.elapsed_us + self._period_us

    def _ways(self, hosts: tuple[str, ...]) -> list[Way]:
        return [(host, sink) for host in hosts for sink in self._numbers]

    def empty(self, hosts: tuple[str, ...], *, is_last_try: bool) -> bool:
        """Go on until nothing waits, and return whether that is so; the last try takes a failure for an answer.

        Call `begin_emptying` first. While rows come no longer, a host that owns nothing has been restarted.
        """
        ways = self._ways(hosts)
        for way in ways:
            if way in self._asked or way in self._empty or (is_last_try and way in self._troubles):
                continue
            if way not in self._troubles or self._due_us.get(way, 0) <= self._desk.elapsed_us:
                self._ask(way, is_at_end=True)
        return all(way in self._empty or (is_last_try and way in self._troubles) for way in ways)

    def begin_emptying(self) -> None:
        """Take every outbox for full, whatever was answered before."""
        self._empty.clear()
        self._troubles.clear()

    def _ask(self, way: Way, *, is_at_end: bool = False) -> None:
        self._asked.add(way)
        self._desk.ask(
            Deliver(request=self._desk.next_number(), host=way[0], sink=way[1], is_last=is_at_end),
            partial(self._on_delivered, way),
            partial(self._on_failure, way, is_at_end),
        )

    def _on_delivered(self, way: Way, event: Delivered) -> None:
        self._asked.discard(way)
        trouble = self._troubles.pop(way, None)
        if trouble is not None:
            self._overcome[self._sinks[way[1]]] = trouble
        self._backoffs.pop(way, None)
        self._due_us[way] = self._next_us()
        if not event.count:
            self._empty.add(way)

    def _on_failure(self, way: Way, is_at_end: bool, failure: Failure) -> None:
        self._asked.discard(way)
        if failure.kind is FailureKind.SINK:
            limit = self._desk.limits.sink_retry_us_max
            backoff = self._backoffs.setdefault(way, Backoff(self._desk.limits, self._desk.jitter, limit))
            self._troubles[way] = failure.reason
            self._empty.discard(way)
            self._due_us[way] = self._desk.elapsed_us + backoff.pause_us()
        elif is_at_end or failure.kind is FailureKind.SHARD_LOST:
            raise_trouble(failure)
        else:
            self._due_us[way] = self._next_us()

    def dues_us(self) -> list[int]:
        """Return the elapsed times at which a host is asked."""
        return [due_us for way, due_us in self._due_us.items() if way not in self._asked]

    def validate(self) -> None:
        """Assert every invariant."""
        assert not self._empty & self._troubles.keys()

"""Sinks: who is told about committed anomalies, and what every sink promises.

A sink is fed from the outbox of a partition after the commit. Within one split of one partition ids only grow; after a
crash, or when a lost shard has been rebuilt, the outbox delivers again what it does not know to be taken, so a sink
leaves alone what is not above the last id it holds of that partition and split. When `write` returns, the records are
durable. Which sinks a job has is decided in `actors.sink.open`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from actors.model import AnomalyId

EPISODE_START = '{"episode": '
"""How the detail of a notice begins: that an episode has fired or ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkRecord:
    """One committed anomaly on its way out."""

    partition: int
    """Partition that raised it."""

    id: AnomalyId
    """Where it comes from; unique within the job."""

    time: int | None
    """Ticks of the job's time column: the time of the row, or the exclusive end of the window."""

    key: tuple[Any, ...]
    """Values of the key columns, in order; empty when the job has none."""

    type: int
    """Index of the metric or, after the metrics, of the detector."""

    metric: str
    """Text of the metric, or the detector's words."""

    detail: str | None = None
    """JSON text with what a detector has to add, or `None`."""

    @property
    def is_episode(self) -> bool:
        """Whether it says that an episode has fired or ended."""
        return self.detail is not None and self.detail.startswith(EPISODE_START)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One notification, as a sink gets it."""

    id: str
    kind: str
    """`notice`, `repeat` or `digest`."""

    group: tuple[tuple[str, str], ...] = ()
    """Name and value of what the episodes have in common."""

    records: tuple[SinkRecord, ...] = ()
    counts: tuple[tuple[int, int, int], ...] = ()
    """Type, beginnings and ends: what a digest tells of."""

    since_us: int = 0
    """When the first of these came, in microseconds since 1970."""

    at_us: int = 0
    """When it was decided."""


@runtime_checkable
class Sink(Protocol):
    """Takes anomalies; idempotent by id within a partition and split."""

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        """Take anomalies, in order of ids within a partition and split, except known ones; durable when it returns.

        Raises:
            SinkError: the sink does not take all of them; the first `taken_count` are taken, the others come again.
        """
        ...

    def close(self) -> None:
        """Give back files and handles; a second call does nothing."""
        ...


@runtime_checkable
class PolicySink(Protocol):
    """A sink of a job as far as it may follow a policy."""

    @property
    def mark_count(self) -> int:
        """Notifications after which it is to be marked that the sink has them."""
        ...

    def concerns(self, one: SinkRecord) -> bool:
        """Return whether a notice is kept for the sink: it wants it, or it inhibits what it wants."""
        ...

    def notify(self, notification: Notification) -> None:
        """Send one notification; who it is for has it when it returns.

        Raises:
            SinkError: it cannot be sent now.
        """
        ...


OpenEpisodes = Callable[[], Sequence[SinkRecord]]
"""Gives notices of the episodes that go on in the partitions here, also of those that the sink was not told of."""


@runtime_checkable
class KeptSink(Sink, Protocol):
    """A sink that has something to do as time passes, also when nothing comes."""

    def keep(self, open_episodes: OpenEpisodes) -> None:
        """Do what is due; called several times a second, never while it writes.

        Raises:
            SinkError: it cannot be done now.
        """
        ...


@runtime_checkable
class NotifyingSink(Protocol):
    """A sink of people, which can tell of several episodes at once."""

    def notify(self, notification: Notification) -> None:
        """Send one notification; who it is for has it when it returns.

        Raises:
            SinkError: it cannot be sent now.
        """
        ...

"""Anomalies as values that are asked for and travel: who shows them needs neither a shard nor Polars."""

from dataclasses import dataclass
from typing import Any

from actors.model import AnomalyId
from actors.sink.protocol import SinkRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """One anomaly: which row raised it, by which metric or detector."""

    id: AnomalyId
    """Split, offset and ordinal; unique within the job."""

    time: int | None
    """Time in ticks of the job's time column: the row's, or the exclusive end of the window."""

    key: tuple[Any, ...]
    """Values of the key columns, in their order; empty without key columns."""

    type: int
    """Position of the metric in the job; detectors follow the metrics."""

    metric: str
    """Canonical text of the metric, or its description."""

    detail: str | None
    """What is known of the anomaly, as JSON: of a metric its values and window; `None` if nothing is."""

    def to_sink(self, partition: int) -> SinkRecord:
        """Return it as sinks get it, from the partition of this number."""
        return SinkRecord(
            partition=partition,
            id=self.id,
            time=self.time,
            key=self.key,
            type=self.type,
            metric=self.metric,
            detail=self.detail,
        )


NewestPlace = tuple[bool, int, AnomalyId]
"""Where an anomaly stands in the order of times: whether it has one, the time, its id; the newest is the greatest."""


def newest_place(anomaly: Anomaly) -> NewestPlace:
    """Return the place of an anomaly in the order of times; those without a time are the oldest."""
    return anomaly.time is not None, anomaly.time or 0, anomaly.id


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyFilter:
    """Which anomalies a query wants; `None` means all."""

    time_from: int | None = None
    """Earliest time, inclusive, in ticks."""

    time_to: int | None = None
    """Latest time, inclusive, in ticks."""

    key: tuple[Any, ...] | None = None
    """The key, compared as text so that what people type finds it."""

    type: int | None = None
    """Position of the metric or detector."""

    after: AnomalyId | None = None
    """Only anomalies after this id (paging in the order of ids)."""

    older_than: NewestPlace | None = None
    """Only anomalies before this place in the order of times (paging, newest first)."""

    def accepts(self, anomaly: Anomaly) -> bool:
        """Return whether the anomaly is wanted (paging is the reader's)."""
        if self.type is not None and anomaly.type != self.type:
            return False
        if self.key is not None and tuple(map(str, anomaly.key)) != tuple(map(str, self.key)):
            return False
        if self.time_from is None and self.time_to is None:
            return True
        if anomaly.time is None:
            return False
        return (self.time_from is None or anomaly.time >= self.time_from) and (
            self.time_to is None or anomaly.time <= self.time_to
        )

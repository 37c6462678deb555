"""Settings of the event store of a job: what becomes an event, and how long events stay."""

from typing import Annotated, Any, Literal

from pydantic import Field

from config.base import Count, DurationSeconds, Names, Settings, SizeBytes


class SeriesLimit(Settings):
    """Limits of one series of stored events; `None` means unlimited."""

    min_entries: Annotated[int, Field(ge=0, strict=True)] = 0
    """Events kept whatever the other limits say."""

    max_entries: Count | None = None
    """Events kept at most."""

    duration: DurationSeconds | None = None
    """Oldest age of an event, in seconds or as a duration."""

    size: SizeBytes | None = None
    """Bytes on disk."""


class SeriesSettings(Settings):
    """One time-ordered series of stored events."""

    order_by: Literal["timestamp", "source_timestamp"] = "timestamp"
    """Time by which the series is ordered."""

    types: tuple[Names, ...] = (("*",),)
    """Patterns of event types that it holds; `?` is one part, `*` the rest."""

    limit: SeriesLimit = SeriesLimit()
    """When old events are dropped."""


class ConditionSettings(Settings):
    """One condition on stored events."""

    types: tuple[Names, ...] = (("*",),)
    """Patterns of event types that it is for."""

    condition: dict[str, Any]
    """`{type: json, data_path: ..., data_type: ..., data_value: ...}`, or `{type: all, conditions: [...]}` (or any)."""


class EventsSettings(Settings):
    """What becomes a stored event, and how long it stays."""

    store: bool = False
    """Whether every row is stored as an event."""

    anomalies: bool = True
    """Whether every anomaly is stored as an event."""

    type: Names | None = None
    """Parts of a row's event type; `{sym}` stands for a column. `None` means the job's name and the key columns."""

    payload: Names | None = None
    """Columns in an event's payload; `None` means all."""

    latest: tuple[Names, ...] = (("*",),)
    """Patterns of event types whose newest event is kept in memory."""

    series: tuple[SeriesSettings, ...] = (SeriesSettings(), SeriesSettings(order_by="source_timestamp"))
    """Series that are kept."""

    conditions: tuple[ConditionSettings, ...] = ()
    """Conditions that events must satisfy, each with the types that it is for."""


class WarmStartSettings(Settings):
    """What a changed job learns from before its first row."""

    last: DurationSeconds
    """Seconds of stored rows, back from the newest one."""

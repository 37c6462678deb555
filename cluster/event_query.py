"""Queries of stored events over all partitions of a job: parameters that people type, results merged by time."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from actors.store import Event, JsonPayload, Order, QueryLatestParams, QueryTimeseriesParams, Timestamp
from cluster.client import Client
from cluster.errors import ClusterError
from cluster.present import show_json_lines, show_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """What a person asks of the event store."""

    is_latest: bool = False
    """Whether only the newest event of each type is wanted."""

    patterns: tuple[str, ...] = ()
    """Patterns of event types, their parts joined by `/`; none means all."""

    time_from: str | None = None
    """Earliest timestamp, inclusive: ISO text in UTC or microseconds since the epoch."""

    time_to: str | None = None
    """Latest timestamp, inclusive."""

    count_max: int = 100
    """At most so many events."""

    oldest_first: bool = False
    """Whether the oldest comes first."""


def query_stored_events(client: Client, job: str, wanted: EventQuery) -> list[Event]:
    """Return events of all partitions, merged by timestamp and id.

    Raises:
        UnknownJobError: there is no such job.
        ClusterError: a time that cannot be read.
    """
    types = tuple(tuple(pattern.split("/")) for pattern in wanted.patterns) or None
    params: QueryLatestParams | QueryTimeseriesParams
    if wanted.is_latest:
        params = QueryLatestParams(event_types=types)
    else:
        params = QueryTimeseriesParams(
            event_types=types,
            t_from=parse_timestamp(wanted.time_from),
            t_to=parse_timestamp(wanted.time_to),
            order=Order.ASCENDING if wanted.oldest_first else Order.DESCENDING,
            max_results=wanted.count_max,
        )
    found = client.events(job, params)
    ordered = sorted(found, key=lambda event: (event.timestamp, event.id), reverse=not wanted.oldest_first)
    return ordered[: wanted.count_max]


def parse_timestamp(text: str | None) -> Timestamp | None:
    """Return the timestamp that a typed time means.

    Raises:
        ClusterError: it is neither ISO text nor microseconds.
    """
    if text is None:
        return None
    if text.lstrip("-").isdigit():
        return Timestamp.from_ticks(int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ClusterError(f"{text!r} is no time; write it like 2026-01-31T12:00:00, or as microseconds") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return Timestamp(since.days * 86_400 + since.seconds, since.microseconds)


def show_events(events: list[Event], *, as_json: bool) -> str:
    """Return events as text."""
    if as_json:
        return show_json_lines(_record(event) for event in events)
    names = ("timestamp", "source timestamp", "type", "id", "payload")
    rows = []
    for event in events:
        record = _record(event)
        rows.append([str(record[name.replace(" ", "_")]) for name in names])
    return show_rows(names, rows)


def _record(event: Event) -> dict[str, Any]:
    payload = event.payload.data if isinstance(event.payload, JsonPayload) else event.payload
    return {
        "timestamp": _show(event.timestamp),
        "source_timestamp": None if event.source_timestamp is None else _show(event.source_timestamp),
        "type": "/".join(event.type),
        "id": "/".join(map(str, event.id)),
        "payload": payload,
    }


def _show(timestamp: Timestamp) -> str:
    try:
        moment = datetime.fromtimestamp(timestamp.s, UTC).replace(microsecond=timestamp.us, tzinfo=None)
    except (OverflowError, ValueError, OSError):
        return f"{timestamp.ticks} us"
    return moment.isoformat(sep=" ", timespec="microseconds")

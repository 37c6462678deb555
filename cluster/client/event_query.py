"""Queries of stored events as people type them: text in, checked parameters out."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actors.store import (
    EventId,
    JsonPayload,
    Order,
    OrderBy,
    QueryLatestParams,
    QueryServerParams,
    QueryTimeseriesParams,
    Timestamp,
)
from actors.store.errors import StoreConfigError
from actors.store.events.conditions import AllCondition, AnyCondition, Condition, JsonCondition, json_type
from actors.store.events.event import UINT64_MAX, EventType
from actors.store.events.patterns import PatternSet
from actors.store.query.planner import ANY_PAYLOAD, QueryParams, asks_for_latest
from cluster.client.event_pages import continue_after
from cluster.client.typed_times import check_range, read_time
from cluster.errors import ClusterError
from config.settings import JobSettings

ORDERS = {"time": OrderBy.TIMESTAMP, "source": OrderBy.SOURCE_TIMESTAMP}
"""The times that may order a result, as people call them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """What a person asks of stored events."""

    is_latest: bool = False
    """Whether only the newest event of each type is wanted, as the latest events hold it."""

    split: int | None = None
    """Whether the events of one split are wanted in the order of their ids."""

    patterns: tuple[str, ...] = ()
    """Patterns of event types, their parts joined by `/`; none means all."""

    time_from: str | None = None
    """Earliest timestamp, inclusive, as typed."""

    time_to: str | None = None
    """Latest timestamp, inclusive."""

    source_from: str | None = None
    """Earliest source timestamp, inclusive."""

    source_to: str | None = None
    """Latest source timestamp, inclusive."""

    ids: tuple[str, ...] = ()
    """Wanted ids as split/session/instance; none means all."""

    where: tuple[str, ...] = ()
    """Fields of the payload and the values that they equal, as field=value; all must hold."""

    payload: str | None = None
    """Whole payload to equal, as JSON."""

    is_unique: bool = False
    """Whether only the first event of each type, in the result's order, is wanted."""

    order_by: str = "time"
    """One of `ORDERS`."""

    oldest_first: bool = False
    """Whether the oldest comes first."""

    count_max: int | None = 100
    """At most so many events; `None` means all."""

    after: str | None = None
    """Cursor that a page before gave."""


def make_params(wanted: EventQuery, now_us: int) -> QueryParams:
    """Return the parameters of a query that was typed.

    Raises:
        ClusterError: something cannot be read, or does not go with the rest.
    """
    _check_together(wanted)
    types = read_patterns(wanted.patterns)
    if wanted.is_latest:
        return QueryLatestParams(event_types=types)
    params: QueryServerParams | QueryTimeseriesParams
    if wanted.split is not None:
        params = QueryServerParams(server_id=wanted.split, max_results=wanted.count_max)
    else:
        check_range(_start(wanted.time_from, now_us), _end(wanted.time_to, now_us))
        check_range(_start(wanted.source_from, now_us), _end(wanted.source_to, now_us), "--source-from and --source-to")
        params = QueryTimeseriesParams(
            event_types=types,
            ids=frozenset(map(read_id, wanted.ids)) or None,
            t_from=_start(wanted.time_from, now_us),
            t_to=_end(wanted.time_to, now_us),
            source_t_from=_start(wanted.source_from, now_us),
            source_t_to=_end(wanted.source_to, now_us),
            payload=ANY_PAYLOAD if wanted.payload is None else JsonPayload(_json(wanted.payload)),
            conditions=tuple(map(read_condition, wanted.where)),
            order=Order.ASCENDING if wanted.oldest_first else Order.DESCENDING,
            order_by=ORDERS[wanted.order_by],
            unique_type=wanted.is_unique,
            max_results=wanted.count_max,
        )
    return params if wanted.after is None else continue_after(params, wanted.after)


def check_stored(job: JobSettings, params: QueryParams) -> None:
    """Refuse a query that a job's settings leave nothing to answer with.

    Raises:
        ClusterError: the job stores no events, or has no series in the order asked for.
    """
    if not (job.events.store or job.events.anomalies):
        raise ClusterError(f"job {job.name!r} stores no events; its `events` say `store: false` and `anomalies: false`")
    if isinstance(params, QueryTimeseriesParams) and not asks_for_latest(params):
        orders = sorted({series.order_by for series in job.events.series})
        if params.order_by.lower() not in orders:
            raise ClusterError(
                f"job {job.name!r} keeps no series by {params.order_by.lower()}; `events.series` has: "
                f"{', '.join(orders) or 'none'}"
            )


def _check_together(wanted: EventQuery) -> None:
    given = {
        "--type": wanted.patterns,
        "--from": wanted.time_from,
        "--to": wanted.time_to,
        "--source-from": wanted.source_from,
        "--source-to": wanted.source_to,
        "--id": wanted.ids,
        "--where": wanted.where,
        "--payload": wanted.payload,
        "--unique": wanted.is_unique,
        "--split": wanted.split is not None,
        "--order-by source": wanted.order_by == "source",
        "--oldest": wanted.oldest_first,
        "--after": wanted.after,
    }
    if wanted.is_latest:
        _refuse_others(given, ("--type",), "--latest is the newest event of each type, whatever its time")
    elif wanted.split is not None:
        _refuse_others(given, ("--split", "--oldest", "--after"), "--split gives all events of a split by id")
    elif wanted.is_unique and wanted.after is not None:
        raise ClusterError("--unique cannot go on after a cursor; give a larger --limit instead")


def _refuse_others(given: dict[str, Any], allowed: Sequence[str], reason: str) -> None:
    others = [name for name, value in given.items() if value and name not in allowed]
    if others:
        raise ClusterError(f"{reason}; leave out {' and '.join(others)}")


def read_patterns(texts: Sequence[str]) -> tuple[EventType, ...] | None:
    r"""Return typed patterns, whose words are joined by `/` (`\/` is a slash inside a word); `None` for none.

    Raises:
        ClusterError: `*` stands before the end of one.
    """
    patterns = tuple(split_type(text) for text in texts)
    try:
        PatternSet(patterns)
    except StoreConfigError as error:
        raise ClusterError(f"{error}; write types like trades/A, trades/? or trades/*") from error
    return patterns or None


def split_type(text: str) -> EventType:
    """Return the words of a typed event type."""
    return tuple(word.replace("\\/", "/") for word in re.split(r"(?<!\\)/", text))


def join_type(event_type: EventType) -> str:
    """Return an event type as people may type it."""
    return "/".join(word.replace("/", "\\/") for word in event_type)


def read_id(text: str) -> EventId:
    """Return a typed id.

    Raises:
        ClusterError: it is not three numbers.
    """
    parts = text.split("/")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and int(part) <= UINT64_MAX for part in parts):
        raise ClusterError(f"{text!r} is no id; write split/session/instance, as 0/17/1 for the row at offset 16")
    return EventId(*map(int, parts))


def read_condition(text: str) -> Condition:
    """Return the test of a typed `field=value`.

    The value is JSON where it can be read as such, or text; `a.b` is the field of that name, or field b of field a.

    Raises:
        ClusterError: there is no `=`, or nothing before it.
    """
    field, equals, typed = text.partition("=")
    if not field or not equals:
        raise ClusterError(f"{text!r} is no test of a field; write field=value, as sym=A, qty=5 or note=null")
    paths = [(field,), tuple(field.split("."))] if "." in field else [(field,)]
    tests: list[Condition] = [JsonCondition(data_path=path, data_type="string", data_value=typed) for path in paths]
    try:
        value = json.loads(typed)
    except ValueError:
        return AnyCondition(conditions=tuple(tests))
    same = [JsonCondition(data_path=path, data_type=json_type(value), data_value=value) for path in paths]
    # What is missing is null too, so a name with a dot is only null when it is so read either way.
    tests += [AllCondition(conditions=tuple(same))] if value is None else same
    return AnyCondition(conditions=tuple(tests))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ClusterError(f"{text!r} is no JSON: {error}; write it like '{{\"qty\": 5}}'") from None


def _start(text: str | None, now_us: int) -> Timestamp | None:
    return None if text is None else Timestamp.from_ticks(read_time(text, now_us).start_us)


def _end(text: str | None, now_us: int) -> Timestamp | None:
    return None if text is None else Timestamp.from_ticks(read_time(text, now_us).last_us)

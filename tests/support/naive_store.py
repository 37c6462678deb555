"""The event store written the slow, obvious way: lists in memory, sorted and filtered whole for every question.

It follows the described behaviour only and shares no code with `actors.store` but the values, the parsing of patterns
aside, which it does again by itself. `flush` makes a copy that `crash` goes back to.
"""

import copy
from collections.abc import Iterable
from typing import Any

from actors.store.config import OrderBy, OrphanPolicy, SeriesConfig, StoreConfig
from actors.store.events.event import Event, EventId, EventType, Timestamp, Verdict, VerdictKind
from actors.store.query.planner import (
    ANY_PAYLOAD,
    Order,
    QueryLatestParams,
    QueryResult,
    QueryServerParams,
    QueryTimeseriesParams,
)

Identity = tuple[str, tuple[EventType, ...]]


def type_matches(pattern: EventType, event_type: EventType) -> bool:
    if not pattern:
        return not event_type
    if pattern[0] == "*":
        return True
    return bool(event_type) and pattern[0] in ("?", event_type[0]) and type_matches(pattern[1:], event_type[1:])


def any_matches(patterns: Iterable[EventType], event_type: EventType) -> bool:
    return any(type_matches(pattern, event_type) for pattern in patterns)


def can_overlap(left: EventType, right: EventType) -> bool:
    if not left or not right:
        return all(rest in ((), ("*",)) for rest in (left, right))
    if "*" in (left[0], right[0]):
        return True
    return (left[0] == right[0] or "?" in (left[0], right[0])) and can_overlap(left[1:], right[1:])


class _Kept:
    """What survives a crash."""

    def __init__(self) -> None:
        self.last: dict[int, tuple[EventId, Timestamp]] = {}
        self.latest: dict[EventType, Event] = {}
        self.series: dict[Identity, list[Event]] = {}


class NaiveStore:
    """The reference."""

    def __init__(self, config: StoreConfig) -> None:
        self._disk = _Kept()
        self.reopen(config)

    def reopen(self, config: StoreConfig) -> None:
        """Go back to the last flush and go on with these settings."""
        self.config = config
        identities = [self._identity(series) for series in config.all_series()]
        if config.orphans is OrphanPolicy.DROP:
            self._disk.series = {one: events for one, events in self._disk.series.items() if one in identities}
        for identity in identities:
            self._disk.series.setdefault(identity, [])
        self._now = copy.deepcopy(self._disk)
        self._now.latest = self._shown_latest(self._disk)
        self._changed: dict[EventType, Event] = {}

    def register(self, events: Iterable[Event]) -> list[VerdictKind]:
        return [self._register(event) for event in events]

    def flush(self, now_us: int) -> None:
        for series in self.config.all_series():
            self._trim(series, now_us)
        self._disk.latest.update(self._changed)
        self._disk.last = copy.deepcopy(self._now.last)
        self._disk.series = copy.deepcopy(self._now.series)
        self._changed = {}

    def crash(self) -> None:
        self.reopen(self.config)

    def last_event_id(self, server: int) -> EventId:
        return self._now.last[server][0] if server in self._now.last else EventId(server, 0, 0)

    def query(self, params: Any) -> QueryResult:
        if isinstance(params, QueryLatestParams):
            return QueryResult(tuple(self._latest_of(params.event_types)), False)
        if isinstance(params, QueryServerParams):
            return self._query_server(params)
        return self._query_timeseries(params)

    def _register(self, event: Event) -> VerdictKind:
        last = self._now.last.get(event.id.server)
        if event.id.session < 1 or event.id.instance < 1 or (last is not None and event.id <= last[0]):
            return VerdictKind.REPEATED
        if last is not None and event.timestamp < last[1]:
            return VerdictKind.TIME_SHRINKS
        if not self._satisfies(event):
            return VerdictKind.CONDITION_FAILS
        stored = False
        if any_matches(self.config.latest.patterns, event.type):
            before = self._now.latest.get(event.type)
            if before is None or before.id.server == event.id.server or before.timestamp <= event.timestamp:
                self._now.latest[event.type] = self._changed[event.type] = event
                stored = True
        for series in self.config.all_series():
            by_source = series.order_by is OrderBy.SOURCE_TIMESTAMP
            if any_matches(series.subscriptions.patterns, event.type) and not (
                by_source and event.source_timestamp is None
            ):
                self._now.series[self._identity(series)].append(event)
                stored = True
        if not stored:
            return VerdictKind.UNWANTED
        self._now.last[event.id.server] = (event.id, event.timestamp)
        return VerdictKind.ACCEPTED

    def _trim(self, series: SeriesConfig, now_us: int) -> None:
        events = self._now.series[self._identity(series)]
        limit = series.limit
        events.sort(key=lambda event: self._key(series.order_by, event))
        while events and len(events) > (limit.min_entries or 0):
            too_many = limit.max_entries is not None and len(events) > limit.max_entries
            oldest = self._key(series.order_by, events[0])[0]
            expired = limit.duration is not None and oldest.ticks < now_us - round(limit.duration * 1_000_000)
            if not too_many and not expired:
                return
            del events[0]

    def _query_timeseries(self, params: QueryTimeseriesParams) -> QueryResult:
        limit = self.config.timeseries_max_results
        limit = limit if params.max_results is None else min(limit, params.max_results)
        if self._is_for_latest(params):
            events = [one for one in self._latest_of(params.event_types) if not (params.t_from or ()) > one.timestamp]
            events.sort(key=lambda one: (one.timestamp, one.id), reverse=True)
            return QueryResult(tuple(events[:limit]), len(events) > limit)
        series = next((one for one in self.config.all_series() if self._fits(params, one)), None)
        if series is None:
            return QueryResult((), False)
        events = [one for one in self._now.series[self._identity(series)] if self._satisfies(one)]
        events.sort(key=lambda one: self._key(series.order_by, one), reverse=params.order is Order.DESCENDING)
        low, high = (params.t_from, params.t_to)
        if series.order_by is OrderBy.SOURCE_TIMESTAMP:
            low, high = (params.source_t_from, params.source_t_to)
        times = [self._key(series.order_by, one)[0] for one in events]
        events = [
            one
            for one, time in zip(events, times, strict=True)
            if (low is None or low <= time) and (high is None or time <= high)
        ]
        if params.last_event_id is not None:
            ids = [one.id for one in events]
            at = ids.index(params.last_event_id) if params.last_event_id in ids else len(ids)
            events = events[at + 1 :]
        events = [one for one in events if self._is_asked(params, one)]
        if params.unique_type:
            first: dict[EventType, Event] = {}
            for one in events:
                first.setdefault(one.type, one)
            events = list(first.values())
        return QueryResult(tuple(events[:limit]), len(events) > limit)

    def _query_server(self, params: QueryServerParams) -> QueryResult:
        kept = self._disk if params.persisted else self._now
        latest = self._shown_latest(self._disk) if params.persisted else self._now.latest
        everything = {one.id: one for events in kept.series.values() for one in events}
        everything |= {one.id: one for one in latest.values()}
        after = params.last_event_id or EventId(params.server_id, 0, 0)
        events = sorted(
            (one for one in everything.values() if one.id.server == params.server_id and one.id > after),
            key=lambda one: one.id,
        )
        events = [one for one in events if self._satisfies(one)]
        limit = 4096 if params.max_results is None else min(4096, params.max_results)
        return QueryResult(tuple(events[:limit]), len(events) > limit)

    @staticmethod
    def _is_asked(params: QueryTimeseriesParams, event: Event) -> bool:
        source = event.source_timestamp
        if (params.source_t_from or params.source_t_to) and source is None:
            return False
        return not (
            (params.event_types is not None and not any_matches(params.event_types, event.type))
            or (params.ids is not None and event.id not in params.ids)
            or (params.payload is not ANY_PAYLOAD and event.payload != params.payload)
            or (params.t_from is not None and event.timestamp < params.t_from)
            or (params.t_to is not None and event.timestamp > params.t_to)
            or (params.source_t_from is not None and source is not None and source < params.source_t_from)
            or (params.source_t_to is not None and source is not None and source > params.source_t_to)
        )

    @staticmethod
    def _is_for_latest(params: QueryTimeseriesParams) -> bool:
        others = (params.ids, params.t_to, params.source_t_from, params.source_t_to, params.last_event_id)
        newest_first = params.order is Order.DESCENDING and params.order_by is OrderBy.TIMESTAMP
        return params.unique_type and newest_first and params.payload is ANY_PAYLOAD and others == (None,) * 5

    @staticmethod
    def _fits(params: QueryTimeseriesParams, series: SeriesConfig) -> bool:
        if series.order_by is not params.order_by:
            return False
        asked = params.event_types
        return asked is None or any(can_overlap(p, q) for p in asked for q in series.subscriptions.patterns)

    def _latest_of(self, asked: tuple[EventType, ...] | None) -> list[Event]:
        return [one for one in self._now.latest.values() if asked is None or any_matches(asked, one.type)]

    def _shown_latest(self, kept: _Kept) -> dict[EventType, Event]:
        wanted = self.config.latest.patterns
        return {
            event_type: event
            for event_type, event in kept.latest.items()
            if any_matches(wanted, event_type) and self._satisfies(event)
        }

    def _satisfies(self, event: Event) -> bool:
        rules = (one for one in self.config.conditions if any_matches(one.subscriptions.patterns, event.type))
        return all(rule.condition.holds(event.payload) for rule in rules)

    @staticmethod
    def _key(order_by: OrderBy, event: Event) -> tuple[Timestamp, EventId]:
        time = event.timestamp if order_by is OrderBy.TIMESTAMP else event.source_timestamp
        assert time is not None
        return time, event.id

    @staticmethod
    def _identity(series: SeriesConfig) -> Identity:
        return series.order_by.value, series.subscriptions.patterns


def kinds(verdicts: Iterable[Verdict]) -> list[VerdictKind]:
    return [verdict.kind for verdict in verdicts]

"""Queries: from parameters and a view to events.

What columns can tell is decided for whole blocks (`actors.store.disk.criteria`); conditions, payloads and "one per
type" are decided event by event, and only when they are asked for.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from actors.store.config import OrderBy, SeriesConfig
from actors.store.disk.criteria import Criteria
from actors.store.disk.latest import Entry, entry_event
from actors.store.disk.merging import Selection
from actors.store.disk.state import BEFORE_ALL, Gap, Key, Position, SeriesState
from actors.store.disk.trimming import live_rows
from actors.store.disk.type_table import TypeTable
from actors.store.events.columns import Array
from actors.store.events.conditions import Condition
from actors.store.events.event import Event, EventType, Timestamp
from actors.store.events.patterns import PatternSet
from actors.store.query.planner import (
    ANY_PAYLOAD,
    SERVER_MAX_RESULTS,
    Order,
    QueryLatestParams,
    QueryResult,
    QueryServerParams,
    QueryTimeseriesParams,
)
from actors.store.query.reading import View, events_of, key_of, selected_events

ROWS_AT_ONCE = 512
"""Events that are made at a time while single ones are tested."""

EMPTY = QueryResult((), False)
"""The result that found nothing."""


def query_latest(types: TypeTable, entries: Mapping[int, Entry], params: QueryLatestParams) -> QueryResult:
    """Return the latest events of the wanted types, in no order."""
    chosen = _latest_entries(types, entries, params.event_types)
    return QueryResult(tuple(entry_event(types, type_id, entry) for type_id, entry in chosen), False)


def query_latest_by_time(
    types: TypeTable, entries: Mapping[int, Entry], params: QueryTimeseriesParams, result_count_max: int
) -> QueryResult:
    """Return the latest events of the wanted types from a time on, the newest first."""
    low = None if params.t_from is None else params.t_from.ticks
    chosen = [
        (type_id, entry)
        for type_id, entry in _latest_entries(types, entries, params.event_types)
        if low is None or entry.ticks >= low
    ]
    chosen.sort(key=lambda one: (one[1].ticks, *one[1][2:5]), reverse=True)
    events = tuple(entry_event(types, type_id, entry) for type_id, entry in chosen[:result_count_max])
    return QueryResult(events, len(chosen) > result_count_max)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeriesQuery:
    """A query of one series."""

    params: QueryTimeseriesParams
    """What is asked."""

    series: SeriesConfig
    """The series that answers."""

    number: int
    """Its number on disk."""

    result_count_max: int
    """Most events."""

    tests_conditions: bool
    """Whether stored events may fail the present conditions."""

    after: Key | None = None
    """Key that the rows come after, in the asked direction."""

    until: Mapping[int, Position] | None = None
    """Last event of each server that is looked at, servers not named having none; `None` means all."""

    server: int | None = None
    """Only events of this server; `None` means all."""

    @property
    def tests_each(self) -> bool:
        """Whether payloads have to be looked at one by one."""
        return self.tests_conditions or bool(self.params.conditions) or self.params.payload is not ANY_PAYLOAD


def query_series(types: TypeTable, view: View, query: SeriesQuery) -> QueryResult:
    """Return the events of a series that a query asks for."""
    prepared = prepare_series(types, view, query)
    if prepared is None:
        return EMPTY
    found: list[Event] = []
    for events in _matching_events(types, prepared, query):
        found += events
        if len(found) > query.result_count_max:
            break
    return QueryResult(tuple(found[: query.result_count_max]), len(found) > query.result_count_max)


def prepare_series(types: TypeTable, view: View, query: SeriesQuery) -> Iterator[Selection] | None:
    """Return the rows that match as far as columns tell, `None` when there can be none."""
    params, series = query.params, view.state.series[query.number]
    member = types.mask(query.series.subscriptions).array()
    mask, type_ids = _wanted_types(types, params.event_types, member)
    if type_ids is not None and not type_ids:
        return None
    after = params.after if query.after is None else query.after
    if params.last_event_id is not None:
        after = _find_sentinel(types, view, series, query, member)
        if after is None:
            return None
    criteria = replace(_criteria(params, mask, after), server=query.server)
    if query.until is not None:
        series = replace(series, gaps=(*series.gaps, Gap(start=query.until, end=None)))
    return view.selections(series, criteria, type_ids)


def query_server(
    types: TypeTable,
    view: View,
    held: Sequence[tuple[SeriesState, Array]],
    latest: Mapping[int, Entry] | None,
    params: QueryServerParams,
) -> QueryResult:
    """Return the events of a server that any storage holds, by id; `latest` is `None` to take those on disk."""
    after = BEFORE_ALL if params.last_event_id is None else params.last_event_id[1:]
    count = SERVER_MAX_RESULTS if params.max_results is None else min(params.max_results, SERVER_MAX_RESULTS)
    entries = view.latest_entries(types) if latest is None else latest.items()
    own = [(one[3:5], type_id, one) for type_id, one in entries if one.server == params.server_id and one[3:5] > after]
    waiting = sorted(own, reverse=True)
    found: list[Event] = []
    for event in _server_events(types, view, held, params.server_id, after):
        while waiting and waiting[-1][0] <= event.id[1:]:
            position, type_id, entry = waiting.pop()
            if position < event.id[1:]:
                found.append(entry_event(types, type_id, entry))
        found.append(event)
        if len(found) > count:
            break
    while waiting and len(found) <= count:
        _, type_id, entry = waiting.pop()
        found.append(entry_event(types, type_id, entry))
    return QueryResult(tuple(found[:count]), len(found) > count)


def _server_events(
    types: TypeTable, view: View, held: Sequence[tuple[SeriesState, Array]], server: int, after: tuple[int, int]
) -> Iterator[Event]:
    for part in view.log_parts(server, after):
        rows = part.rows
        if part.source >= 0:
            rows = live_rows(view.txn, view.tables.runs, part, server, held)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            for event in events_of(part.chunk, rows[start : start + ROWS_AT_ONCE], types.types):
                if _satisfies(types, event):
                    yield event


def matching_selections(types: TypeTable, view: View, query: SeriesQuery) -> Iterator[Selection]:
    """Yield the rows that a query asks for, all tests passed, without making events of them."""
    wanted = query.result_count_max
    seen: set[EventType] = set()
    for selection in prepare_series(types, view, query) or ():
        if query.tests_each or query.params.unique_type:
            events = selected_events(selection, 0, len(selection.rows), types.types)
            kept = [place for place, event in enumerate(events) if _is_wanted(types, event, query, seen)]
            selection = selection.picked(np.array(kept, dtype=np.int64))
        if wanted < len(selection.rows):
            selection = selection.picked(np.arange(wanted))
        if len(selection.rows):
            yield selection
        wanted -= len(selection.rows)
        if wanted <= 0:
            return


def _matching_events(types: TypeTable, selections: Iterable[Selection], query: SeriesQuery) -> Iterator[list[Event]]:
    unique = query.params.unique_type
    seen: set[EventType] = set()
    wanted = query.result_count_max + 1
    for selection in selections:
        if unique and not query.tests_each:
            selection = _first_of_types(selection, {types.find(one) for one in seen})
        step = ROWS_AT_ONCE if query.tests_each else wanted
        for start in range(0, len(selection.rows), step):
            events = selected_events(selection, start, start + step, types.types)
            if unique or query.tests_each:
                events = [event for event in events if _is_wanted(types, event, query, seen)]
            yield events
            wanted -= len(events)
            if wanted <= 0:
                return


def _first_of_types(selection: Selection, seen: set[int | None]) -> Selection:
    which = np.zeros(len(selection.rows), dtype=np.int64) if selection.which is None else selection.which
    numbers = np.empty(len(selection.rows), dtype=np.int64)
    for position, part in enumerate(selection.parts):
        own = which == position
        numbers[own] = part.chunk.type_id[selection.rows[own]]
    distinct, first = np.unique(numbers, return_index=True)
    places = np.sort(
        [place for number, place in zip(distinct.tolist(), first.tolist(), strict=True) if number not in seen]
    )
    places = places.astype(np.int64)
    return selection.picked(places)


def _is_wanted(types: TypeTable, event: Event, query: SeriesQuery, seen: set[EventType]) -> bool:
    """Return whether an event passes the tests of single events; remember its type when only one of each is wanted."""
    if query.params.payload is not ANY_PAYLOAD and event.payload != query.params.payload:
        return False
    if not all(condition.holds(event.payload) for condition in query.params.conditions):
        return False
    if query.tests_conditions and not _satisfies(types, event):
        return False
    if query.params.unique_type:
        if event.type in seen:
            return False
        seen.add(event.type)
    return True


def _satisfies(types: TypeTable, event: Event) -> bool:
    conditions: Sequence[Condition] = types.judge(event.type)[1]
    return all(condition.holds(event.payload) for condition in conditions)


def _criteria(params: QueryTimeseriesParams, mask: Array | None, after: Key | None) -> Criteria:
    return Criteria(
        order_by=params.order_by,
        descending=params.order is Order.DESCENDING,
        types=mask,
        time_from=_ticks(params.t_from),
        time_to=_ticks(params.t_to),
        source_from=_ticks(params.source_t_from),
        source_to=_ticks(params.source_t_to),
        ids=params.ids,
        after=after,
    ).narrowed()


def _ticks(time: Timestamp | None) -> int | None:
    return None if time is None else Timestamp(*time).ticks


def _wanted_types(
    types: TypeTable, asked: tuple[EventType, ...] | None, member: Array
) -> tuple[Array | None, list[int] | None]:
    """Return which types are wanted, and their numbers when they are few or known one by one."""
    if asked is None:
        return member, None
    patterns = PatternSet(asked)
    if patterns.is_exact:
        found = (types.find(one) for one in patterns.patterns)
        type_ids = [one for one in found if one is not None and member[one]]
        mask = np.zeros(len(member), dtype=bool)
        mask[type_ids] = True
        return mask, type_ids
    known = types.mask(patterns).array()
    size = min(len(member), len(known))
    mask = member[:size] & known[:size]
    return mask, np.flatnonzero(mask).tolist()


def _find_sentinel(types: TypeTable, view: View, series: SeriesState, query: SeriesQuery, member: Array) -> Key | None:
    params = query.params
    assert params.last_event_id is not None
    found = view.find(params.last_event_id, series)
    if found is None or not view.is_held(*found, series, member):
        return None
    chunk, row = found
    if query.tests_conditions and not _satisfies(types, events_of(chunk, np.array([row]), types.types)[0]):
        return None
    key = key_of(chunk, row, params.order_by)
    bounds = (params.t_from, params.t_to)
    if params.order_by is OrderBy.SOURCE_TIMESTAMP:
        bounds = (params.source_t_from, params.source_t_to)
    low, high = _ticks(bounds[0]), _ticks(bounds[1])
    return key if (low is None or low <= key[0]) and (high is None or key[0] <= high) else None


def _latest_entries(
    types: TypeTable, entries: Mapping[int, Entry], asked: tuple[EventType, ...] | None
) -> Iterator[tuple[int, Entry]]:
    patterns = None if asked is None else PatternSet(asked)
    if patterns is None or patterns.is_everything:
        yield from entries.items()
    elif patterns.is_exact:
        for pattern in patterns.patterns:
            type_id = types.find(pattern)
            if type_id is not None and type_id in entries:
                yield type_id, entries[type_id]
    else:
        mask = types.mask(patterns).array()
        yield from ((type_id, entry) for type_id, entry in entries.items() if mask[type_id])

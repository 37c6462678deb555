"""Pages of events out of several partitions: one order, exact under any limit, continued at a place.

A *place* is where an event stands in the order: its time and its id, which no two events of a job share. The next page
begins after a place in every partition at once, so it does not matter which of them the last event came from, nor what
has come in since. Partitions are asked for a page each, and again only when theirs is used up. Pure but for the asking.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from actors.store import Event, EventId, Order, OrderBy, QueryLatestParams, QueryServerParams, QueryTimeseriesParams
from actors.store.query.planner import QueryParams, QueryResult, place_of
from cluster.client.nodes import PAGE_EVENT_COUNT
from cluster.errors import ClusterError

Ask = Callable[[Sequence[int], QueryParams], Mapping[int, QueryResult]]
"""Asks partitions, by their numbers, and returns the answer of each."""

_ORDERS = {OrderBy.TIMESTAMP: "time", OrderBy.SOURCE_TIMESTAMP: "source"}
_SPLIT = "split"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Some events in order, and how to go on."""

    events: tuple[Event, ...]

    more_follows: bool
    """Whether at least one further event would have matched."""

    next: str | None
    """Cursor that the next page begins after; `None` when nothing was found or the query cannot be continued."""


def read_page(partitions: Sequence[int], params: QueryParams, ask: Ask) -> EventPage:
    """Return what partitions hold of the events asked for, at most `max_results` of them in all."""
    if isinstance(params, QueryLatestParams):
        return EventPage(events=_latest(ask(partitions, params)), more_follows=False, next=None)
    found = merged_events(partitions, params, ask)
    if params.max_results is None:
        events, follows = tuple(found), False
    else:
        chosen = list(islice(found, params.max_results + 1))
        events, follows = tuple(chosen[: params.max_results]), len(chosen) > params.max_results
    return EventPage(events=events, more_follows=follows, next=cursor_after(params, events[-1]) if events else None)


def stream_events(partitions: Sequence[int], params: QueryParams, ask: Ask) -> Iterator[Event]:
    """Yield what partitions hold of the events asked for, at most `max_results` of them in all."""
    if isinstance(params, QueryLatestParams):
        return iter(read_page(partitions, params, ask).events)
    return islice(merged_events(partitions, params, ask), params.max_results)


def merged_events(
    partitions: Sequence[int], params: QueryTimeseriesParams | QueryServerParams, ask: Ask
) -> Iterator[Event]:
    """Yield the events of all partitions in the order asked for, without regard to `max_results`.

    Memory holds a page of each partition.
    """
    wanted = params.max_results
    first = replace(params, max_results=PAGE_EVENT_COUNT if wanted is None else min(wanted + 1, PAGE_EVENT_COUNT))
    answers = ask(partitions, first)
    streams = [_stream(number, first, answers[number], ask) for number in partitions]
    descending = isinstance(params, QueryTimeseriesParams) and params.order is Order.DESCENDING
    merged = heapq.merge(*streams, key=lambda event: _place(params, event), reverse=descending)
    if not (isinstance(params, QueryTimeseriesParams) and params.unique_type):
        yield from merged
        return
    seen: set[tuple[str, ...]] = set()
    for event in merged:
        if event.type not in seen:
            seen.add(event.type)
            yield event


def _stream(number: int, params: Any, answer: QueryResult, ask: Ask) -> Iterator[Event]:
    while True:
        yield from answer.events
        if not answer.more_follows or not answer.events:
            return
        params = _continued(params, answer.events[-1])
        answer = ask([number], params)[number]


def _place(params: QueryTimeseriesParams | QueryServerParams, event: Event) -> Any:
    return event.id if isinstance(params, QueryServerParams) else place_of(event, params.order_by)


def _continued(params: QueryTimeseriesParams | QueryServerParams, last: Event) -> Any:
    if isinstance(params, QueryServerParams):
        return replace(params, last_event_id=last.id)
    return replace(params, after=place_of(last, params.order_by), last_event_id=None)


def _latest(answers: Mapping[int, QueryResult]) -> tuple[Event, ...]:
    """Return the newest event of each type, the newest first."""
    newest: dict[tuple[str, ...], Event] = {}
    for answer in answers.values():
        for event in answer.events:
            known = newest.get(event.type)
            if known is None or (event.timestamp, event.id) > (known.timestamp, known.id):
                newest[event.type] = event
    return tuple(sorted(newest.values(), key=lambda event: (event.timestamp, event.id), reverse=True))


def cursor_after(params: QueryTimeseriesParams | QueryServerParams, event: Event) -> str | None:
    """Return the text that continues a query after an event; one of each type cannot be continued."""
    if isinstance(params, QueryServerParams):
        return f"{_SPLIT}:{'/'.join(map(str, event.id))}"
    if params.unique_type:
        return None
    return f"{_ORDERS[params.order_by]}:{'/'.join(map(str, place_of(event, params.order_by)))}"


def continue_after(params: QueryTimeseriesParams | QueryServerParams, cursor: str) -> Any:
    """Return the query that begins after a cursor.

    Raises:
        ClusterError: it is no cursor, or one of another order.
    """
    kind, _, rest = cursor.partition(":")
    wanted = _SPLIT if isinstance(params, QueryServerParams) else _ORDERS[params.order_by]
    if kind not in (_SPLIT, *_ORDERS.values()):
        raise _no_cursor(cursor)
    if kind != wanted:
        raise ClusterError(f"cursor {cursor!r} is of a query by {kind}, this one is by {wanted}; ask in the same order")
    try:
        place = tuple(map(int, rest.split("/")))
    except ValueError:
        raise _no_cursor(cursor) from None
    if isinstance(params, QueryServerParams):
        if len(place) != 3:
            raise _no_cursor(cursor)
        if place[0] != params.server_id:
            raise ClusterError(f"cursor {cursor!r} is of split {place[0]}; ask for that one")
        return replace(params, last_event_id=EventId(*place))
    if len(place) != 4:
        raise _no_cursor(cursor)
    return replace(params, after=place)


def _no_cursor(text: str) -> ClusterError:
    return ClusterError(f"{text!r} is no cursor; copy what the page before gave, as time:1767225602000000/0/3/1")

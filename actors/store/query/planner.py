"""Queries and their planning: where the events that a query asks for are looked up.

Planning is pure and as simple as the storages: a query for only the latest event of each type goes to the latest
events, every other one to the first configured series, in order, that is ordered as asked and may hold a wanted type.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from actors.store.config import OrderBy, SeriesConfig
from actors.store.disk.state import Key
from actors.store.errors import QueryError
from actors.store.events.conditions import Condition
from actors.store.events.event import Event, EventId, EventType, Payload, Timestamp
from actors.store.events.patterns import PatternSet

SERVER_MAX_RESULTS = 4096
"""Most events that one server query returns."""


class Order(StrEnum):
    """Direction of a result."""

    DESCENDING = "DESCENDING"
    """The newest event first."""

    ASCENDING = "ASCENDING"
    """The oldest event first."""


class AnyPayload(Enum):
    """Stands for a payload that is not compared (`None` is an event without payload).

    An enumeration, because queries travel between processes and its one member is the same in each.
    """

    ANY = "any"


ANY_PAYLOAD = AnyPayload.ANY
"""The one value of `AnyPayload`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLatestParams:
    """Asks for the latest event of types; the result has no order and is never cut."""

    event_types: tuple[EventType, ...] | None = None
    """Patterns of the wanted types; `None` means all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryTimeseriesParams:
    """Asks for events in the order of one of their times; all bounds are inclusive.

    Raises:
        QueryError: `max_results` is negative, or both `last_event_id` and `after` are given.
    """

    event_types: tuple[EventType, ...] | None = None
    """Patterns of the wanted types; `None` means all."""

    ids: frozenset[EventId] | None = None
    """Wanted ids; `None` means all."""

    t_from: Timestamp | None = None
    """Smallest timestamp."""

    t_to: Timestamp | None = None
    """Greatest timestamp."""

    source_t_from: Timestamp | None = None
    """Smallest source timestamp; events without one are left out."""

    source_t_to: Timestamp | None = None
    """Greatest source timestamp; events without one are left out."""

    payload: Payload | AnyPayload = ANY_PAYLOAD
    """Payload to equal, as Python compares."""

    conditions: tuple[Condition, ...] = ()
    """What the payload must satisfy, all of it."""

    order: Order = Order.DESCENDING
    """Direction of the result."""

    order_by: OrderBy = OrderBy.TIMESTAMP
    """Time that orders the result."""

    unique_type: bool = False
    """Whether only the first event of each type, in the result's order, is wanted."""

    max_results: int | None = None
    """Most events; `None` leaves it to the store's own limit."""

    last_event_id: EventId | None = None
    """Event that ended the page before: the result begins after it. It must itself lie in the series and range."""

    after: Key | None = None
    """Place in the order that the result begins after, as `place_of` gives it; no event need be there."""

    def __post_init__(self) -> None:
        check_max_results(self.max_results)
        if self.last_event_id is not None and self.after is not None:
            raise QueryError("last_event_id and after are two ways to continue; give one of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryServerParams:
    """Asks for the events of one server that any storage still holds, ascending by id.

    Raises:
        QueryError: `max_results` is negative, or the last event is another server's.
    """

    server_id: int
    """The server."""

    persisted: bool = False
    """Whether only events on disk count."""

    max_results: int | None = None
    """Most events; `None` leaves it to the store's own limit."""

    last_event_id: EventId | None = None
    """Id that the result begins after; there need not be such an event."""

    def __post_init__(self) -> None:
        check_max_results(self.max_results)
        if self.last_event_id is not None and self.last_event_id.server != self.server_id:
            raise QueryError(
                f"last_event_id is of server {self.last_event_id.server}, the query asks for {self.server_id};"
                " give an id of that server"
            )


QueryParams = QueryLatestParams | QueryTimeseriesParams | QueryServerParams
"""What can be asked."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Events found."""

    events: tuple[Event, ...]
    """The events."""

    more_follows: bool
    """Whether at least one further event would have matched."""


def place_of(event: Event, order_by: OrderBy) -> Key:
    """Return where an event stands in a series of that order, for `after` of the next page's query.

    Raises:
        QueryError: the event has no source timestamp, so that it is in no series by that time.
    """
    time = event.timestamp if order_by is OrderBy.TIMESTAMP else event.source_timestamp
    if time is None:
        raise QueryError(f"event {tuple(event.id)} has no source timestamp; it stands in no series by that time")
    return time.ticks, *event.id


def check_max_results(max_results: int | None) -> None:
    """Refuse a negative number of results.

    Raises:
        QueryError: it is negative.
    """
    if max_results is not None and max_results < 0:
        raise QueryError(f"max_results is {max_results}; give a number from 0, or None for the store's own limit")


def asks_for_latest(params: QueryTimeseriesParams) -> bool:
    """Return whether the latest events alone answer a query."""
    return (
        params.unique_type
        and params.order is Order.DESCENDING
        and params.order_by is OrderBy.TIMESTAMP
        and params.ids is None
        and params.t_to is None
        and params.source_t_from is None
        and params.source_t_to is None
        and params.payload is ANY_PAYLOAD
        and not params.conditions
        and params.last_event_id is None
        and params.after is None
    )


def choose_series(params: QueryTimeseriesParams, series: Sequence[SeriesConfig]) -> SeriesConfig | None:
    """Return the first series that is ordered as asked and may hold a wanted type, `None` when there is none."""
    asked = None if params.event_types is None else PatternSet(params.event_types)
    fitting = (one for one in series if one.order_by is params.order_by)
    return next((one for one in fitting if asked is None or not asked.isdisjoint(one.subscriptions)), None)

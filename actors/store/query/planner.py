"""Queries and their planning: where the events that a query asks for are looked up.

Planning is pure and as simple as the storages: a query for only the latest event of each type goes to the latest
events, every other one to the first configured series, in order, that is ordered as asked and may hold a wanted type.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from enum import Enum, StrEnum
from typing import Any

from actors.store.arguments import QUERY, convert_fields
from actors.store.config import OrderBy, SeriesConfig
from actors.store.disk.state import Key
from actors.store.errors import QueryError
from actors.store.events.conditions import Condition, check_conditions
from actors.store.events.event import BinaryPayload, Event, EventId, EventType, JsonPayload, Payload, Timestamp
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


@dataclass(frozen=True, slots=True)
class QueryLatestParams:
    """Asks for the latest event of types; the result has no order and is never cut.

    Raises:
        QueryError: what is asked for makes no sense.
    """

    event_types: tuple[EventType, ...] | None = None
    """Patterns of the wanted types; `None` means all."""

    def __post_init__(self) -> None:
        convert_fields(self, {"event_types": QUERY.patterns})


@dataclass(frozen=True, slots=True)
class QueryTimeseriesParams:
    """Asks for events in the order of one of their times; all bounds are inclusive.

    Raises:
        QueryError: what is asked for makes no sense, or both `last_event_id` and `after` are given.
    """

    event_types: tuple[EventType, ...] | None = None
    """Patterns of the wanted types; `None` means all."""

    _: KW_ONLY

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
        convert_fields(self, _TIMESERIES_READERS)
        if self.payload is not ANY_PAYLOAD:
            _check_payload(self.payload)
        for name in ("order", "order_by", "unique_type", "conditions"):
            if getattr(self, name) is None:
                raise QUERY.refuse(name, None, "leave it out, or give one")
        if self.last_event_id is not None and self.after is not None:
            raise QueryError("last_event_id and after are two ways to continue; give one of them")


@dataclass(frozen=True, slots=True)
class QueryServerParams:
    """Asks for the events of one server that any storage still holds, ascending by id.

    Raises:
        QueryError: what is asked for makes no sense, or the last event is another server's.
    """

    server_id: int

    persisted: bool = False
    """Whether only events on disk count."""

    max_results: int | None = None
    """Most events; `None` leaves it to the store's own limit."""

    last_event_id: EventId | None = None
    """Id that the result begins after; there need not be such an event."""

    def __post_init__(self) -> None:
        QUERY.uint64(self.server_id, "server_id")
        convert_fields(self, _SERVER_READERS)
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

    more_follows: bool
    """Whether at least one further event would have matched."""


def place_of(event: Event, order_by: OrderBy) -> Key:
    """Return where an event stands in a series of that order, for `after` of the next page's query.

    Raises:
        QueryError: the event has no source timestamp, so that it is in no series by that time.
    """
    by_time = QUERY.choice(OrderBy, order_by, "order_by") is OrderBy.TIMESTAMP
    time = event.timestamp if by_time else event.source_timestamp
    if time is None:
        raise QueryError(f"event {tuple(event.id)} has no source timestamp; it stands in no series by that time")
    return time.ticks, *event.id


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


def _ids(value: Any, name: str) -> frozenset[EventId]:
    return frozenset(QUERY.event_id(one, name) for one in QUERY.sequence(value, name))


def _check_payload(value: Any) -> None:
    if not (value is None or isinstance(value, JsonPayload | BinaryPayload | AnyPayload)):
        raise QUERY.refuse("payload", value, "give a JsonPayload, a BinaryPayload, or None for events without one")


def _place(value: Any, name: str) -> Key:
    listed = QUERY.sequence(value, name)
    if len(listed) != 4:
        raise QUERY.refuse(name, value, "give what place_of returns")
    ticks, *numbers = listed
    server, session, instance = (QUERY.uint64(one, name) for one in numbers)
    return QUERY.integer(ticks, name, -(1 << 84)), server, session, instance


_TIMESERIES_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "event_types": QUERY.patterns,
    "ids": _ids,
    "t_from": QUERY.timestamp,
    "t_to": QUERY.timestamp,
    "source_t_from": QUERY.timestamp,
    "source_t_to": QUERY.timestamp,
    "conditions": lambda value, _: check_conditions(value, QUERY),
    "order": lambda value, name: QUERY.choice(Order, value, name),
    "order_by": lambda value, name: QUERY.choice(OrderBy, value, name),
    "unique_type": QUERY.flag,
    "max_results": QUERY.integer,
    "last_event_id": QUERY.event_id,
    "after": _place,
}
_SERVER_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "server_id": QUERY.uint64,
    "persisted": QUERY.flag,
    "max_results": QUERY.integer,
    "last_event_id": QUERY.event_id,
}

"""Facts about a store on disk: its servers and series, how far they reach, and what they count."""

from dataclasses import dataclass

from actors.store.config import OrderBy
from actors.store.disk.state import SeriesState
from actors.store.events.event import Event, EventId, EventType, Timestamp
from actors.store.query.planner import Order, QueryTimeseriesParams
from actors.store.query.reader import StoreReader
from actors.store.query.reading import View


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """The log of one server."""

    server: int
    """Number of the server."""

    block_count: int
    """Blocks in the log."""

    last_id: EventId
    """Last event that was accepted."""

    last_timestamp: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFacts:
    """One series."""

    number: int
    """Number on disk."""

    order_by: OrderBy
    """Time that orders it."""

    patterns: tuple[EventType, ...]
    """Patterns of its types."""

    is_active: bool
    """Whether it is configured."""

    entry_count: int
    """Events in it."""

    entry_size_bytes: float
    """Average bytes per event, as the size limit counts."""

    run_count: int
    """Sorted runs, of a series by source timestamp."""

    oldest: Event | None
    """Its first event; `None` when there is none, or it cannot be read."""

    newest: Event | None
    """Its last event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """What a store is and holds, beside its events."""

    format: int
    """Version of the record, of the tables beside it and of their newest blocks; older blocks may be among them."""

    flush_number: int
    """Number of the last flush."""

    type_count: int
    """Distinct event types ever stored."""

    latest_count: int
    """Types whose latest event is kept."""

    servers: tuple[ServerFacts, ...]
    """The logs by server."""

    series: tuple[SeriesFacts, ...]
    """The series by number."""


def read_facts(reader: StoreReader) -> StoreFacts:
    """Return the facts about a store as of one commit.

    Raises:
        StoreFormatError: the store is of another version.
        BlockDamagedError: an end of a series does not fit its checksum.
    """
    with reader.view() as view:
        state = view.state
        return StoreFacts(
            format=state.format,
            flush_number=state.flush_number,
            type_count=len(reader.types),
            latest_count=view.txn.stat(db=view.tables.latest)["entries"],
            servers=tuple(
                ServerFacts(
                    server=server,
                    block_count=one.end_block - one.first_block,
                    last_id=EventId(server, *one.last),
                    last_timestamp=Timestamp.from_ticks(one.last_ticks),
                )
                for server, one in sorted(state.servers.items())
            ),
            series=tuple(_series_facts(reader, view, one) for _, one in sorted(state.series.items())),
        )


def _series_facts(reader: StoreReader, view: View, series: SeriesState) -> SeriesFacts:
    return SeriesFacts(
        number=series.number,
        order_by=series.order_by,
        patterns=series.patterns,
        is_active=series.is_active,
        entry_count=series.count,
        entry_size_bytes=series.entry_size_bytes,
        run_count=len(series.runs),
        oldest=_end_of(reader, view, series, Order.ASCENDING),
        newest=_end_of(reader, view, series, Order.DESCENDING),
    )


def _end_of(reader: StoreReader, view: View, series: SeriesState, order: Order) -> Event | None:
    found = reader.query_in(view, series, QueryTimeseriesParams(order=order, max_results=1)).events
    return found[0] if found else None

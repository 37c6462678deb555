"""History: a long range of a series as columns, batch by batch, for those who go over it once.

Each batch is read in a transaction of its own and continues after the last row of the one before, so a slow reader
keeps no transaction open, and memory holds one batch. What is registered after the first batch was asked for is left
out; what the limits give up meanwhile is missing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np
import polars as pl

from actors.shard import Shard
from actors.store.arguments import QUERY, set_fields
from actors.store.config import OrderBy, SeriesConfig, StoreConfig
from actors.store.disk.merging import Selection, key_at
from actors.store.disk.state import Key, Position, StoreState, read_state
from actors.store.disk.type_table import TypeTable
from actors.store.disk.writing import Tables
from actors.store.errors import QueryError
from actors.store.events.event import EventType, Timestamp
from actors.store.query.frames import ROW_COLUMNS, FrameBuilder, check_fields, gather
from actors.store.query.planner import Order, QueryTimeseriesParams, choose_series
from actors.store.query.queries import SeriesQuery, matching_selections
from actors.store.query.reading import View

BATCH_ROW_COUNT = 1 << 16
"""Rows of a batch unless asked otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryParams:
    """Asks for a range of a series as frames; times are inclusive.

    Raises:
        QueryError: what is asked for makes no sense.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Polars type of each wanted top-level field of the JSON payloads; what is missing or of another type is null."""

    columns: Sequence[str] = ROW_COLUMNS
    """Which of `ROW_COLUMNS` come before the fields."""

    prefix: str = ""
    """Put before the names of these columns, so that fields may have the same names."""

    event_types: tuple[EventType, ...] | None = None
    """Patterns of the wanted types; `None` means all."""

    t_from: Timestamp | None = None
    """Smallest time, of those that order the series."""

    t_to: Timestamp | None = None
    """Greatest time."""

    order_by: OrderBy = OrderBy.TIMESTAMP
    """Time that orders the rows; the oldest comes first."""

    server: int | None = None
    """Only events of this server; `None` means all."""

    instance: int | None = None
    """Only events with this number within their session; `None` means all."""

    batch_row_count: int = BATCH_ROW_COUNT
    """Rows of every batch but the last."""

    def __post_init__(self) -> None:
        columns = QUERY.sequence(self.columns, "columns")
        unknown = [one for one in columns if not isinstance(one, str) or one not in ROW_COLUMNS]
        if unknown:
            raise QueryError(f"history has no column {unknown[0]!r}; its columns are {', '.join(ROW_COLUMNS)}")
        prefix = QUERY.text(self.prefix, "prefix")
        set_fields(
            self,
            columns=columns,
            prefix=prefix,
            fields=check_fields(self.fields, [prefix + one for one in columns]),
            event_types=QUERY.optional(QUERY.patterns, self.event_types, "event_types"),
            t_from=QUERY.optional(QUERY.timestamp, self.t_from, "t_from"),
            t_to=QUERY.optional(QUERY.timestamp, self.t_to, "t_to"),
            order_by=QUERY.choice(OrderBy, self.order_by, "order_by"),
            server=QUERY.optional(QUERY.uint64, self.server, "server"),
            instance=QUERY.optional(QUERY.uint64, self.instance, "instance"),
            batch_row_count=QUERY.integer(self.batch_row_count, "batch_row_count", 1),
        )

    def query(self) -> QueryTimeseriesParams:
        """Return the query that finds the same rows."""
        by_time = self.order_by is OrderBy.TIMESTAMP
        return QueryTimeseriesParams(
            event_types=self.event_types,
            t_from=self.t_from if by_time else None,
            t_to=self.t_to if by_time else None,
            source_t_from=None if by_time else self.t_from,
            source_t_to=None if by_time else self.t_to,
            order=Order.ASCENDING,
            order_by=self.order_by,
        )


OpenQuery = Callable[[], AbstractContextManager[tuple[View, SeriesQuery]]]
"""Opens a view and gives the query of the series that answers."""


def read_history(directory: str | PathLike[str], params: HistoryParams) -> Iterator[pl.DataFrame]:
    """Yield what a shard's store holds on disk, also while another process owns the shard.

    Raises:
        QueryError: an argument is of another kind.
        ShardMissingError: there is no shard, or it holds no events.
        ShardOwnedError: this process has the shard open; ask its store.
        BlockDamagedError: a block that is needed does not fit its checksum.
    """
    QUERY.instance(HistoryParams, params, "params")
    with Shard.open(QUERY.path(directory, "directory"), read_only=True) as shard:
        tables = Tables.open(shard)
        types = TypeTable(StoreConfig())
        with shard.read() as txn:
            state = read_state(txn, tables.meta)
            types.load(txn, tables.types, is_sealed=state.is_sealed)
        series = _stored_series(state, params)
        if series is None:
            yield FrameBuilder(types, params.columns, params.fields, params.prefix).frame()
            return
        yield from history_frames(types, _opened(shard, tables, series, params), params, state.last_positions())


def history_frames(
    types: TypeTable, open_query: OpenQuery, params: HistoryParams, until: Mapping[int, Position]
) -> Iterator[pl.DataFrame]:
    """Yield the rows up to the last positions `until` in batches; at least one frame, which may be empty."""
    after: Key | None = None
    last: tuple[Selection, int] | None = None
    is_first = True
    while True:
        builder = FrameBuilder(types, params.columns, params.fields, params.prefix)
        with open_query() as (view, query):
            bounded = replace(query, after=after, until=until, server=params.server)
            for selection in matching_selections(types, view, bounded):
                room = params.batch_row_count - builder.row_count
                taken, end = _taken(selection, params, room)
                builder.add(taken)
                last = (selection, end)
                if builder.row_count == params.batch_row_count:
                    break
            after = None if last is None else _key_before(*last, params.order_by)
        if builder.row_count or is_first:
            yield builder.frame()
        if builder.row_count < params.batch_row_count:
            return
        is_first = False


def _taken(selection: Selection, params: HistoryParams, room: int) -> tuple[Selection, int]:
    """Return the rows of a selection that go into a batch, and how many were looked at."""
    end = len(selection.rows)
    if params.instance is not None:
        own = np.flatnonzero(gather(selection, "instance") == params.instance)
        if len(own) > room:
            end, own = int(own[room]), own[:room]
        taken = selection.picked(own)
    else:
        end = min(end, room)
        taken = selection if end == len(selection.rows) else selection.picked(np.arange(end))
    return taken, end


def _key_before(selection: Selection, end: int, order_by: OrderBy) -> Key:
    place = 0 if selection.which is None else int(selection.which[end - 1])
    return key_at(selection.parts[place].chunk, int(selection.rows[end - 1]), order_by)


def _stored_series(state: StoreState, params: HistoryParams) -> SeriesConfig | None:
    """Return the first series on disk that may hold a wanted type."""
    ordered = sorted(state.series.values(), key=lambda one: one.number)
    known = [SeriesConfig(order_by=one.order_by, subscriptions=one.pattern_set) for one in ordered if one.is_active]
    return choose_series(params.query(), known)


def _opened(shard: Shard, tables: Tables, series: SeriesConfig, params: HistoryParams) -> OpenQuery:
    @contextmanager
    def opened() -> Iterator[tuple[View, SeriesQuery]]:
        with shard.read() as txn:
            state = read_state(txn, tables.meta)
            identity = (series.order_by, series.subscriptions.patterns)
            number = next(one.number for one in state.series.values() if (one.order_by, one.patterns) == identity)
            query = SeriesQuery(
                params=params.query(), series=series, number=number, result_count_max=1 << 62, tests_conditions=False
            )
            yield View(txn=txn, tables=tables, state=state, pending={}), query

    return opened

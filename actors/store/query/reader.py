"""Reading a store that nobody, or another process, has open: queries of what is on disk.

A reader takes no ownership and writes nothing. Every query sees the last commit; what the owner has pending is not
seen, nor are the limits and conditions that are configured now.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from actors.shard import Shard
from actors.store.config import SeriesConfig, StoreConfig
from actors.store.disk.latest import Entry
from actors.store.disk.state import SeriesState, StoreState, read_state
from actors.store.disk.type_table import TypeTable
from actors.store.disk.writing import Tables
from actors.store.errors import QueryError
from actors.store.query.planner import (
    QueryLatestParams,
    QueryParams,
    QueryResult,
    QueryServerParams,
    QueryTimeseriesParams,
    asks_for_latest,
    choose_series,
)
from actors.store.query.queries import SeriesQuery, query_latest, query_latest_by_time, query_series, query_server
from actors.store.query.reading import View

RESULT_COUNT_MAX = 4096
"""Events of one answer; `after` gives the next ones."""


class StoreReader:
    """Answers queries from the shard of a store; give it a shard that is open, usually read-only.

    Raises:
        ShardMissingError: the shard holds no events.
    """

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._tables = Tables.open(shard)
        self._types = TypeTable(StoreConfig())

    def __repr__(self) -> str:
        return f"StoreReader({self._shard!r})"

    @property
    def tables(self) -> Tables:
        """Handles of the store's tables."""
        return self._tables

    @property
    def types(self) -> TypeTable:
        """Types, as of the last view."""
        return self._types

    def query(self, params: QueryParams) -> QueryResult:
        """Return the events on disk that are asked for, at most `RESULT_COUNT_MAX` unless the latest are.

        Raises:
            QueryError: parameters of another kind.
            BlockDamagedError: a block that is needed does not fit its checksum.
        """
        with self.view() as view:
            if isinstance(params, QueryLatestParams):
                return query_latest(self._types, self._latest(view), params)
            if isinstance(params, QueryServerParams):
                held = [(one, self._types.mask(one.pattern_set).array()) for one in view.state.series.values()]
                return query_server(self._types, view, held, None, params)
            if isinstance(params, QueryTimeseriesParams):
                return self._query_timeseries(view, params)
        raise QueryError(f"{type(params).__name__} is no query; use one of the Query...Params")

    def query_in(self, view: View, series: SeriesState, params: QueryTimeseriesParams) -> QueryResult:
        """Return what one series holds of the events that are asked for."""
        config = SeriesConfig(order_by=series.order_by, subscriptions=series.pattern_set)
        count = RESULT_COUNT_MAX if params.max_results is None else min(params.max_results, RESULT_COUNT_MAX)
        query = SeriesQuery(
            params=replace(params, order_by=series.order_by),
            series=config,
            number=series.number,
            result_count_max=count,
            tests_conditions=False,
        )
        return query_series(self._types, view, query)

    @contextmanager
    def view(self) -> Iterator[View]:
        """Open the store as of the last commit."""
        with self._shard.read() as txn:
            state = read_state(txn, self._tables.meta)
            if txn.stat(db=self._tables.types)["entries"] != len(self._types):
                self._types = TypeTable(StoreConfig())
                self._types.load(txn, self._tables.types, is_sealed=state.is_sealed)
            yield View(txn=txn, tables=self._tables, state=state, pending={})

    def validate(self) -> None:
        """Assert that the types known are those on disk."""
        self._types.validate()
        with self.view() as view:
            assert len(self._types) == view.txn.stat(db=self._tables.types)["entries"], self

    def _latest(self, view: View) -> dict[int, Entry]:
        return dict(view.latest_entries(self._types))

    def _query_timeseries(self, view: View, params: QueryTimeseriesParams) -> QueryResult:
        count = RESULT_COUNT_MAX if params.max_results is None else min(params.max_results, RESULT_COUNT_MAX)
        if asks_for_latest(params):
            return query_latest_by_time(self._types, self._latest(view), params, count)
        series = stored_series(view.state, params)
        return QueryResult((), False) if series is None else self.query_in(view, series, params)


def stored_series(state: StoreState, params: QueryTimeseriesParams) -> SeriesState | None:
    """Return the first series on disk that is configured, ordered as asked and may hold a wanted type."""
    active = [one for _, one in sorted(state.series.items()) if one.is_active]
    known = [SeriesConfig(order_by=one.order_by, subscriptions=one.pattern_set) for one in active]
    chosen = choose_series(params, known)
    return None if chosen is None else active[known.index(chosen)]

"""The event store: registers events, keeps them in a shard and answers queries about them.

A store either owns its shard (`EventStore.open`), flushes by itself and is closed by its user, or lives in the shard of
a partition, which calls `write` inside its own transaction and `committed` after it. Registered events are visible at
once. A failing flush loses nothing: everything stays pending, in order, and is written by the next one.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from actors.shard import Shard, Txn
from actors.store.arguments import EVENTS, QUERY, SETTINGS
from actors.store.config import SeriesConfig, StoreConfig
from actors.store.disk.latest import Entry, LatestTable
from actors.store.disk.sealing import bulk_load
from actors.store.disk.state import read_state
from actors.store.disk.type_table import TypeTable
from actors.store.disk.writing import TABLES, FlushBatch, StoreWriter, Tables
from actors.store.errors import QueryError, StoreBusyError, StoreClosedError, StoreError
from actors.store.events.columns import Array
from actors.store.events.columns_of_events import ColumnBatch
from actors.store.events.event import Event, EventId, Timestamp, Verdict
from actors.store.events.pending import Group
from actors.store.events.registering import Registrar
from actors.store.flushing import BackgroundFlush
from actors.store.query.frames import FieldTypes, FrameBuilder, query_frame
from actors.store.query.history import HistoryParams, history_frames
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
from actors.store.query.reading import View, events_of, pending_rows
from actors.store.stat import StoreStat, series_stat

REGISTER_WAIT_S_MAX = 60.0
"""Seconds that registering waits for the flush when too much is pending."""

EventsCallback = Callable[[tuple[Event, ...]], None]
"""Receives accepted events."""


class EventStore:
    """Events in a shard; all methods may be called from any thread."""

    def __init__(
        self,
        shard: Shard,
        config: StoreConfig,
        *,
        on_registered: EventsCallback | None = None,
        on_flushed: EventsCallback | None = None,
    ) -> None:
        """Load what the shard holds; its owner drives the flush by `write` and `committed`.

        Callbacks receive accepted events: at once, and after the transaction with them is durable.
        """
        self._shard = SETTINGS.instance(Shard, shard, "shard")
        self._config = SETTINGS.instance(StoreConfig, config, "config")
        self._series = config.all_series()
        self._on_registered = SETTINGS.optional(SETTINGS.function, on_registered, "on_registered")
        self._on_flushed = SETTINGS.optional(SETTINGS.function, on_flushed, "on_flushed")
        self._tables = Tables.open(shard)
        self._types = TypeTable(config)
        self._latest = LatestTable(self._types)
        self._writer = StoreWriter(self._tables, self._types, config)
        with shard.read() as txn, bulk_load():
            self._writer.load(txn, self._latest)
        self._writer.configured(shard.write(self._writer.configure))
        self._registrar = Registrar(self._types, self._latest, config, self._writer.state)
        self._room = threading.Condition(threading.Lock())
        self._flush_lock = threading.Lock()
        self._batch: FlushBatch | None = None
        self._last_error = ""
        self._closed = False
        self._clock: Callable[[], int] | None = None
        self._background: BackgroundFlush | None = None
        self._expiry: tuple[int, int | None] = (-1, None)

    @classmethod
    def open(
        cls,
        path: Path,
        config: StoreConfig,
        *,
        clock: Callable[[], int],
        on_registered: EventsCallback | None = None,
        on_flushed: EventsCallback | None = None,
    ) -> "EventStore":
        """Open a store with a shard of its own; `clock` gives microseconds since the epoch, for the age of events.

        Raises:
            ShardError: the shard cannot be opened, is owned by another process, or carries another identifier.
            StoreConfigError: the settings are of another kind.
            RecordDamagedError: what the store says of itself does not fit its checksum.
        """
        SETTINGS.instance(StoreConfig, config, "config")
        SETTINGS.integer(SETTINGS.function(clock, "clock")(), "the time of the clock", -(1 << 63))
        shard = Shard.open(
            SETTINGS.path(path, "path"),
            identifier=config.identifier,
            map_size_bytes=config.map_size_bytes,
            map_size_bytes_max=config.map_size_bytes_max,
            tables=TABLES,
        )
        try:
            store = cls(shard, config, on_registered=on_registered, on_flushed=on_flushed)
        except BaseException:
            shard.close()
            raise
        store._clock = clock
        if config.flush_period_ms is not None:
            store._background = BackgroundFlush(store._flush_due, config.flush_period_ms)
            store._background.start()
        return store

    def register(self, events: Iterable[Event], *, durable: bool = False) -> list[Verdict]:
        """Take events in the given order and return a verdict on each; with `durable` they are on disk on return.

        Raises:
            RegisterError: a single event, or anything else that is no list of events.
            StoreBusyError: too much is pending; nothing was registered.
            StoreError: `durable` in a store whose flush belongs to a partition.
        """
        listed = events if isinstance(events, list) else EVENTS.sequence(events, "events")
        if EVENTS.flag(durable, "durable") and self._clock is None:
            raise StoreError("durable is for a store that owns its shard; here the partition decides when to commit")
        with self._room:
            self._wait_for_room()
            verdicts = self._registrar.register(listed)
        if self._on_registered is not None:
            accepted = (event for event, verdict in zip(listed, verdicts, strict=True) if verdict.is_accepted)
            self._on_registered(tuple(accepted))
        self._hurry_when_many()
        if durable:
            self.flush()
        return verdicts

    def register_columns(self, batch: ColumnBatch) -> Array:
        """Take a batch of one server's rows and return for each row whether it was accepted.

        Raises:
            RegisterError: the columns do not fit together; nothing was registered.
            StoreBusyError: too much is pending; nothing was registered.
        """
        with self._room:
            self._wait_for_room()
            accepted = self._registrar.register_columns(batch)
        self._hurry_when_many()
        return accepted

    def last_event_id(self, server: int) -> EventId:
        """Return the id of a server's last accepted event, pending or not; (server, 0, 0) before the first."""
        with self._room:
            self._check_open()
            return self._registrar.last_event_id(QUERY.uint64(server, "server"))

    def last_timestamp(self, server: int) -> Timestamp | None:
        """Return the timestamp of a server's last accepted event, `None` before the first."""
        with self._room:
            self._check_open()
            return self._registrar.last_timestamp(QUERY.uint64(server, "server"))

    def query(self, params: QueryParams) -> QueryResult:
        """Return the events that are asked for, pending ones included.

        Raises:
            QueryError: parameters of another kind.
            BlockDamagedError: a block that is needed does not fit its checksum.
        """
        if isinstance(params, QueryLatestParams):
            return query_latest(self._types, self._latest_entries(), params)
        if isinstance(params, QueryTimeseriesParams):
            return self._query_timeseries(params)
        if isinstance(params, QueryServerParams):
            return self._query_server(params)
        raise QueryError(f"{type(params).__name__} is no query; use one of the Query...Params")

    def query_frame(
        self, params: QueryTimeseriesParams, fields: FieldTypes | None = None, *, max_results: int | None = None
    ) -> pl.DataFrame:
        """Return what a time series query finds as a frame, with fields of JSON payloads as columns.

        Columns are server, session, instance, type, timestamp and source_timestamp (microseconds), then the `fields`:
        a mapping of the name of a top-level field to its Polars type; what is missing or of another type is null. The
        store's own result limit does not apply; `max_results` does.
        """
        QUERY.instance(QueryTimeseriesParams, params, "params")
        limit = QUERY.optional(QUERY.integer, max_results, "max_results")
        limit = params.max_results if limit is None else limit
        series = choose_series(params, self._series)
        with self._view() as (view, _):
            query = None if series is None else self._series_query(params, series, view, limit)
            return query_frame(self._types, view, query, {} if fields is None else fields)

    def read_history(self, params: HistoryParams) -> Iterator[pl.DataFrame]:
        """Yield a long range as frames, the oldest first, pending events included; at least one frame.

        No transaction stays open between two frames. What is registered after the first frame was asked for is left
        out. `actors.store.query.history.read_history` reads a shard that another process owns.
        """
        QUERY.instance(HistoryParams, params, "params")
        with self._room:
            self._check_open()
            until = {server: position for server, (position, _) in self._registrar.last().items()}
        query = params.query()
        series = choose_series(query, self._series)
        if series is None:
            yield FrameBuilder(self._types, params.columns, params.fields, params.prefix).frame()
            return

        @contextmanager
        def opened() -> Iterator[tuple[View, SeriesQuery]]:
            with self._view() as (view, _):
                yield view, self._series_query(query, series, view, None)

        yield from history_frames(self._types, opened, params, until)

    def write(self, txn: Txn, now_us: int) -> None:
        """Put everything pending into a transaction and give up what the limits no longer allow.

        Nothing changes in the store, so it may be called again when the transaction did not come to its end.
        """
        with self._room:
            self._check_open()
            group = self._registrar.pending.take()
            self._batch = FlushBatch(
                sequence=group.sequence,
                rows=group.rows,
                last=self._registrar.last(),
                latest=self._latest.take_changes(),
            )
        self._writer.write(txn, self._batch, now_us)

    def committed(self) -> None:
        """Drop from memory what the last `write` put into a transaction that is durable now."""
        with self._room:
            batch, self._batch = self._batch, None
            assert batch is not None, "committed() follows write()"
            self._writer.committed()
            self._registrar.pending.written()
            self._latest.saved(batch.latest)
            self._last_error = ""
            self._room.notify_all()
        if self._on_flushed is not None and batch.rows:
            for columns in batch.rows.values():
                self._on_flushed(tuple(events_of(columns, np.arange(len(columns)), self._types.types)))

    def flush(self) -> None:
        """Make everything registered so far durable, in a store that owns its shard.

        Raises:
            ShardError: it could not be written; everything stays pending and the next flush tries again.
        """
        if self._clock is None:
            raise StoreError("the flush of this store belongs to its partition; call write and committed there")
        with self._room:
            self._check_open()
            sequence = self._registrar.pending.sequence
        with self._flush_lock:
            self._flush_up_to(sequence)

    def close(self) -> None:
        """Flush, and close the shard if the store owns it; later calls do nothing.

        Raises:
            ShardError: the flush failed; the store stays open so that it can be tried again.
        """
        if self._closed:
            return
        if self._clock is not None:
            self._flush_and_shut()
            if self._background is not None:
                self._background.close()
        with self._flush_lock, self._room:
            self._closed = True
            self._room.notify_all()
        if self._clock is not None:
            self._shard.close()

    def drop(self) -> None:
        """Close without flushing: what is pending is lost, as after a crash."""
        with self._room:
            self._closed = True
            self._room.notify_all()
        if self._background is not None:
            self._background.close()
        if self._clock is not None:
            with self._flush_lock:
                self._shard.close()

    def stat(self) -> StoreStat:
        """Measure the store."""
        with self._room:
            self._check_open()
            state, pending = self._writer.state, self._registrar.pending
            return StoreStat(
                pending_row_count=pending.row_count,
                pending_size_bytes=pending.size_bytes,
                flush_number=state.flush_number,
                type_count=len(self._types),
                is_degraded=bool(self._last_error),
                last_error=self._last_error,
                damages=self._writer.damages,
                series=tuple(map(series_stat, state.series.values())),
            )

    def validate(self) -> None:
        """Assert every invariant of the parts and between them."""
        with self._room:
            self._types.validate()
            self._latest.validate()
            self._registrar.validate()
            self._writer.validate()
            assert self._writer.state.sequence <= self._registrar.pending.sequence
            for server, state in self._writer.state.servers.items():
                assert self._registrar.last()[server][0] >= state.last

    def __repr__(self) -> str:
        place = f"EventStore({str(self._shard.directory)!r}"
        if self._closed:
            return f"{place}, closed)"
        state, pending = "degraded" if self._last_error else "open", self._registrar.pending.row_count
        return f"{place}, {state}, {len(self._types)} types, {len(self._series)} series, {pending} events pending)"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _flush_and_shut(self) -> None:
        """Flush until nothing is left, also of what other threads register meanwhile, and refuse calls from then on."""
        while not self._closed:
            self.flush()
            with self._room:
                if self._registrar.pending.sequence == self._writer.state.sequence:
                    self._closed = True
                    self._room.notify_all()

    def _flush_due(self) -> None:
        with self._room:
            if self._closed:
                return
            due = bool(self._registrar.pending.row_count or self._latest.take_changes())
        if due or self._has_expired():
            self.flush()

    def _has_expired(self) -> bool:
        """Return whether an event on disk is too old for its series; what is oldest changes only with a flush."""
        assert self._clock is not None, "only a store that owns its shard flushes by itself"
        if not self._writer.has_duration_limit:
            return False
        number = self._writer.state.flush_number
        if self._expiry[0] != number:
            with self._shard.read() as txn:
                self._expiry = (number, self._writer.next_expiry_us(txn))
        moment = self._expiry[1]
        return moment is not None and self._clock() >= moment

    def _flush_up_to(self, sequence: int) -> None:
        """Flush unless everything up to a call is on disk and nothing can have expired."""
        assert self._clock is not None
        self._check_open()
        clock = self._clock
        try:
            self._shard.write(lambda txn: self.write(txn, clock()))
        except Exception as error:
            with self._room:
                self._last_error = str(error)
            raise
        self.committed()

    def _query_timeseries(self, params: QueryTimeseriesParams) -> QueryResult:
        cap = self._config.timeseries_max_results
        limit = cap if params.max_results is None else min(params.max_results, cap)
        if asks_for_latest(params):
            return query_latest_by_time(self._types, self._latest_entries(), params, limit)
        series = choose_series(params, self._series)
        if series is None:
            self._latest_entries()
            return QueryResult((), False)
        with self._view() as (view, _):
            return query_series(self._types, view, self._series_query(params, series, view, limit))

    def _query_server(self, params: QueryServerParams) -> QueryResult:
        with self._view(not params.persisted, not params.persisted) as (view, latest):
            held = self._writer.masks(view.state.series.values())
            return query_server(self._types, view, held, None if params.persisted else latest, params)

    def _series_query(
        self, params: QueryTimeseriesParams, series: SeriesConfig, view: View, limit: int | None
    ) -> SeriesQuery:
        return SeriesQuery(
            params=params,
            series=series,
            number=self._writer.series_number(series),
            result_count_max=(1 << 62) if limit is None else limit,
            tests_conditions=any(one != self._writer.conditions for one in view.state.conditions),
        )

    def _latest_entries(self) -> dict[int, Entry]:
        with self._room:
            self._check_open()
            latest = self._latest.copy()
        # An answer from memory alone must not stand for files that are gone.
        self._shard.check_files()
        return latest

    @contextmanager
    def _view(self, with_pending: bool = True, with_latest: bool = False) -> Iterator[tuple[View, dict[int, Entry]]]:
        with self._room:
            self._check_open()
            groups: Sequence[Group] = self._registrar.pending.groups() if with_pending else ()
            latest = self._latest.copy() if with_latest else {}
        # The transaction begins after the pending rows were looked at: whatever a flush moved to disk in between is in
        # the transaction, and the record's sequence number tells so.
        with self._shard.read() as txn:
            state = read_state(txn, self._tables.meta)
            pending = pending_rows(groups, state.sequence)
            yield View(txn=txn, tables=self._tables, state=state, pending=pending), latest

    def _wait_for_room(self) -> None:
        self._check_open()
        limit = self._config.pending_size_bytes_max
        if self._registrar.pending.size_bytes < limit:
            return
        message = (
            f"{self._registrar.pending.size_bytes} bytes are pending, pending_size_bytes_max is {limit};"
            " flush before registering more"
        )
        if self._background is None:
            raise StoreBusyError(message)
        self._background.hurry()
        if not self._room.wait_for(
            lambda: self._closed or self._registrar.pending.size_bytes < limit, REGISTER_WAIT_S_MAX
        ):
            raise StoreBusyError(f"{message}; the last flush says: {self._last_error or 'nothing'}")
        self._check_open()

    def _hurry_when_many(self) -> None:
        if self._background is not None and self._registrar.pending.row_count >= self._config.flush_row_count:
            self._background.hurry()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(f"the store in {self._shard.directory} has been closed; open it again")

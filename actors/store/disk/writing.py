"""Writing: the part of a flush that puts pending rows, latest events, marks and deletions into one transaction.

`write` computes what the store will be from what it is and what is pending; nothing it remembers changes before
`committed`, so it may be called any number of times for a transaction that did not come to its end.
"""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import msgpack
import numpy as np

from actors.shard import Shard, Table, Txn
from actors.store.config import OrderBy, OrphanPolicy, SeriesConfig, StoreConfig
from actors.store.disk.latest import Entry, LatestTable, rewrite_entries, save_entries
from actors.store.disk.log import LogReader, Written, append_log, grown_heads, load_heads, save_heads
from actors.store.disk.sealing import seal_table
from actors.store.disk.source_series import append_runs, delete_runs, find_main, load_tail, sort_by_source
from actors.store.disk.state import (
    FORMAT,
    STATE_KEY,
    Gap,
    Position,
    SeriesState,
    ServerState,
    StoreState,
    encode_state,
    read_state,
)
from actors.store.disk.trimming import TrimView, delete_unneeded, oldest_ticks, trim_series
from actors.store.disk.type_table import TypeTable
from actors.store.errors import BlockDamagedError
from actors.store.events.columns import Array, Columns, empty_columns, join_columns, take_columns
from actors.store.events.event import US_PER_S

log = logging.getLogger(__name__)

ROW_WEIGHT_BYTES = 16
"""What a row beside its payload counts when the size of a block is shared out."""


TABLES = ("event_meta", "event_type", "event_latest", "event_log", "event_head", "event_source")
"""Tables of a store in its shard."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Handles of the store's tables."""

    meta: Table
    """The store's record."""

    types: Table
    """Event types by number."""

    latest: Table
    """Latest events by type number."""

    log: Table
    """Blocks of the log by server and number."""

    heads: Table
    """Newest full block by server and type number."""

    runs: Table
    """Blocks of sorted runs by series, run and number."""

    @classmethod
    def open(cls, shard: Shard) -> "Tables":
        """Return the handles; tables that are missing are created."""
        return cls(*(shard.table(name) for name in TABLES))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlushBatch:
    """What one flush writes."""

    sequence: int
    """Number of the last call of `register` in it."""

    rows: Mapping[int, Columns]
    """Rows by server."""

    last: Mapping[int, tuple[Position, int]]
    """Last event and its ticks, of every server."""

    latest: Mapping[int, Entry]
    """Latest events that changed."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Draft:
    state: StoreState
    tails: dict[int, Columns] = field(default_factory=dict)
    run_tails: dict[int, tuple[int, Columns]] = field(default_factory=dict)
    heads: dict[int, Array] = field(default_factory=dict)
    type_count: int = 0


class StoreWriter:
    """Knows what is on disk and writes what comes next; one thread at a time."""

    def __init__(self, tables: Tables, types: TypeTable, config: StoreConfig) -> None:
        self._tables = tables
        self._types = types
        self._config = config
        self._state = StoreState()
        self._numbers: dict[tuple[OrderBy, tuple[tuple[str, ...], ...]], int] = {}
        self._tails: dict[int, Columns] = {}
        self._run_tails: dict[int, tuple[int, Columns]] = {}
        self._heads: dict[int, Array] = {}
        self._draft: _Draft | None = None
        self._sealed: list[int] = []
        self._damages: dict[str, None] = {}
        self.conditions = bytes(msgpack.packb([repr(rule.describe()) for rule in config.conditions]))

    @property
    def state(self) -> StoreState:
        """What is on disk."""
        return self._state

    @property
    def has_duration_limit(self) -> bool:
        """Whether events expire while nothing is registered."""
        return any(series.limit.duration is not None for series in self._config.all_series())

    @property
    def damages(self) -> tuple[str, ...]:
        """What was found damaged and is not written to any more, each with the range that is lost."""
        return tuple(self._damages)

    def next_expiry_us(self, txn: Txn) -> int | None:
        """Return when the first event on disk gets too old for its series, `None` when none ever does."""
        state = self._state
        view = TrimView(txn=txn, log=self._tables.log, runs=self._tables.runs, servers=state.servers)
        moments = []
        for one in self._config.all_series():
            series = state.series[self.series_number(one)]
            if one.limit.duration is not None and series.count > (one.limit.min_entries or 0):
                ticks = None
                with suppress(BlockDamagedError):
                    ticks = oldest_ticks(view, series, self._mask(series))
                if ticks is not None:
                    moments.append(ticks + round(one.limit.duration * US_PER_S) + 1)
        return min(moments, default=None)

    def series_number(self, series: SeriesConfig) -> int:
        """Return the number of a configured series."""
        return self._numbers[series.order_by, series.subscriptions.patterns]

    def load(self, txn: Txn, latest: LatestTable) -> None:
        """Read what is on disk, types and latest events too.

        Raises:
            RecordDamagedError: the record, a type or a head does not fit its checksum.
        """
        tables, state = self._tables, read_state(txn, self._tables.meta)
        self._state = state
        self._types.load(txn, tables.types, is_sealed=state.is_sealed)
        for type_id in latest.load(txn, tables.latest, is_sealed=state.is_sealed):
            # The number may be what is damaged.
            known = type_id < len(self._types)
            name = repr("/".join(self._types.types[type_id])) if known else f"number {type_id}"
            self._report(f"the latest event of type {name} is lost")
        self._heads = load_heads(txn, tables.heads, len(self._types), is_sealed=state.is_sealed)
        for server, one in state.servers.items():
            if not one.tail_rows:
                continue
            reader = LogReader(txn, tables.log, server, one)
            try:
                self._tails[server] = reader.block(one.tail_block).to_columns()
            except BlockDamagedError as error:
                self._seal(reader, server, one, error)

    def configure(self, txn: Txn) -> StoreState:
        """Bring the series on disk in line with the settings and return the record that was written."""
        if not self._state.is_sealed:
            seal_table(txn, self._tables.types)
            seal_table(txn, self._tables.heads)
            rewrite_entries(txn, self._tables.latest)
        by_identity = {(one.order_by, one.patterns): one for one in self._state.series.values()}
        wanted = {(one.order_by, one.subscriptions.patterns) for one in self._config.all_series()}
        positions = self._state.last_positions()
        series: dict[int, SeriesState] = {}
        for identity, one in by_identity.items():
            if identity in wanted:
                series[one.number] = _resumed(one, positions)
            elif self._config.orphans is OrphanPolicy.KEEP:
                series[one.number] = _suspended(one, positions)
            else:
                delete_runs(txn, self._tables.runs, one.number)
        number = max(self._state.series, default=-1) + 1
        for order_by, patterns in sorted(wanted - set(by_identity)):
            series[number] = SeriesState(number=number, order_by=order_by, patterns=patterns, dead=positions)
            number += 1
        for server in self._sealed:
            save_heads(txn, self._tables.heads, server, grown_heads(None, 0), self._heads[server])
        state = replace(self._state, series=series, format=FORMAT)
        encoded = encode_state(state)
        if encoded != txn.get(STATE_KEY, db=self._tables.meta):
            txn.put(STATE_KEY, encoded, db=self._tables.meta)
        return state

    def configured(self, state: StoreState) -> None:
        """Remember the record that `configure` wrote."""
        self._state = state
        self._numbers = {(one.order_by, one.patterns): one.number for one in state.series.values() if one.is_active}

    def write(self, txn: Txn, batch: FlushBatch, now_us: int) -> None:
        """Put a batch into a transaction, and give up what the limits no longer allow."""
        draft = _Draft(state=self._state)
        draft.type_count = self._types.save(txn, self._tables.types)
        save_entries(txn, self._tables.latest, batch.latest)
        servers = dict(self._state.servers)
        written = {server: self._append(txn, server, rows, servers, draft) for server, rows in batch.rows.items()}
        for server, (position, ticks) in batch.last.items():
            servers[server] = replace(servers.get(server, ServerState()), last=position, last_ticks=ticks)
        view = TrimView(txn=txn, log=self._tables.log, runs=self._tables.runs, servers=servers)
        series = dict(self._state.series)
        for one in self._config.all_series():
            number = self.series_number(one)
            grown = self._grow_series(txn, series[number], batch.rows, written, draft)
            series[number] = self._trim(view, grown, one, now_us)
        if any(one is not self._state.series[number] for number, one in series.items()):
            servers.update(delete_unneeded(view, [(one, self._mask(one)) for one in series.values()], servers))
        conditions = self._state.conditions
        if batch.rows and self.conditions not in conditions:
            conditions = (*conditions, self.conditions)
        draft.state = StoreState(
            sequence=batch.sequence,
            flush_number=self._state.flush_number + 1,
            conditions=conditions,
            servers=servers,
            series=series,
        )
        txn.put(STATE_KEY, encode_state(draft.state), db=self._tables.meta)
        self._draft = draft

    def committed(self) -> None:
        """Remember what the last `write` put into the transaction: it is durable."""
        draft, self._draft = self._draft, None
        assert draft is not None, "committed() follows write()"
        self._state = draft.state
        self._tails.update(draft.tails)
        self._run_tails.update(draft.run_tails)
        self._heads.update(draft.heads)
        self._types.saved(draft.type_count)

    def validate(self) -> None:
        """Assert that what is remembered beside the record fits it."""
        for server, state in self._state.servers.items():
            assert 0 <= state.first_block <= state.tail_block
            assert len(self._tails.get(server, ())) == state.tail_rows
            heads = self._heads.get(server)
            assert heads is None or (heads < state.tail_block).all()
        for number, series in self._state.series.items():
            assert series.number == number
            assert series.count >= 0
            if series.order_by is OrderBy.SOURCE_TIMESTAMP:
                assert series.count == sum(run.count for run in series.runs)
            for run in series.runs:
                assert run.first_block <= run.last_block
                assert run.number < series.next_run
                assert run.first_ticks <= run.last_key[0]
        for tail in (*self._tails.values(), *(columns for _, columns in self._run_tails.values())):
            tail.validate()

    def masks(self, series: Iterable[SeriesState]) -> list[tuple[SeriesState, Array]]:
        """Return series together with the types in them."""
        return [(one, self._mask(one)) for one in series]

    def _seal(self, reader: LogReader, server: int, state: ServerState, error: BlockDamagedError) -> None:
        """Leave a damaged tail as it is and go on behind it; queries that need it name it."""
        number = state.tail_block
        before = reader.last_id_before(number)
        lost = f"{state.tail_rows} events after id {before} up to {(server, *state.last)}"
        self._report(f"block {number} of server {server}'s log: {lost} are lost ({error})")
        heads = grown_heads(self._heads.get(server), len(self._types))
        # Any type may be in a block whose header is damaged.
        heads[reader.types_in(number, len(self._types))] = number
        self._heads[server] = heads
        servers = {**self._state.servers, server: replace(state, tail_block=number + 1, tail_rows=0)}
        self._state = replace(self._state, servers=servers)
        self._sealed.append(server)

    def _report(self, damage: str) -> None:
        if damage not in self._damages:
            log.error("damage is left alone", extra={"damage": damage})
        self._damages[damage] = None

    def _mask(self, series: SeriesState) -> Array:
        return self._types.mask(series.pattern_set).array()

    def _trim(self, view: TrimView, series: SeriesState, config: SeriesConfig, now_us: int) -> SeriesState:
        try:
            return trim_series(view, series, config.limit, self._mask(series), now_us)
        except BlockDamagedError as error:
            # Damage to what should go must not keep what comes from being stored.
            log.warning("a series is not trimmed", extra={"series": series.number, "error": str(error)})
            return series

    def _append(
        self, txn: Txn, server: int, rows: Columns, servers: dict[int, ServerState], draft: _Draft
    ) -> list[Written]:
        state = servers.get(server, ServerState())
        tail = self._tails.get(server) or empty_columns()
        before = grown_heads(self._heads.get(server), draft.type_count)
        append = append_log(txn, self._tables.log, server, state, tail, before.copy(), rows)
        save_heads(txn, self._tables.heads, server, before, append.heads)
        servers[server] = append.state
        draft.tails[server] = append.tail
        draft.heads[server] = append.heads
        return append.written

    def _grow_series(
        self,
        txn: Txn,
        series: SeriesState,
        rows: Mapping[int, Columns],
        written: Mapping[int, list[Written]],
        draft: _Draft,
    ) -> SeriesState:
        mask = self._mask(series)
        if series.order_by is OrderBy.TIMESTAMP:
            count = sum(int(np.count_nonzero(mask[columns.type_id])) for columns in rows.values())
            blocks = [block for part in written.values() for block in part]
            return _measured(replace(series, count=series.count + count), blocks, mask) if count else series
        members = [(columns, np.flatnonzero(mask[columns.type_id] & columns.has_source)) for columns in rows.values()]
        chosen = join_columns([take_columns(columns, numbers) for columns, numbers in members if len(numbers)])
        if not len(chosen):
            return series
        series = replace(series, count=series.count + len(chosen))
        tail = self._run_tail(txn, series)
        append = append_runs(txn, self._tables.runs, series, tail, sort_by_source(chosen))
        main = find_main(append.series)
        assert main is not None
        draft.run_tails[series.number] = (main.number, append.tail)
        return _measured(append.series, append.written, mask)

    def _run_tail(self, txn: Txn, series: SeriesState) -> Columns:
        main, known = find_main(series), self._run_tails.get(series.number)
        if main is not None and known is not None and known[0] == main.number:
            return known[1]
        try:
            return load_tail(txn, self._tables.runs, series)
        except BlockDamagedError as error:
            # What comes goes into a block behind it.
            self._report(f"the last block of the series by source timestamp {series.number}: {error}")
            return empty_columns()


def _measured(series: SeriesState, blocks: Iterable[Written], mask: Array) -> SeriesState:
    """Return a series with the sizes of blocks counted in, each by the share that its own rows have in the bytes."""
    rows, size, tail = series.full_rows, series.full_bytes, series.tail_entry_bytes
    for block in blocks:
        own = mask[block.columns.type_id]
        count = int(np.count_nonzero(own))
        weights = block.columns.payload_lengths() + ROW_WEIGHT_BYTES
        taken = block.size_bytes * float(weights[own].sum() / weights.sum())
        if block.is_full:
            rows, size = rows + count, size + taken
        elif count:
            tail = taken / count
    return replace(series, full_rows=rows, full_bytes=size, tail_entry_bytes=tail)


def _suspended(series: SeriesState, positions: Mapping[int, Position]) -> SeriesState:
    if not series.is_active:
        return series
    return replace(series, gaps=(*series.gaps, Gap(start=positions, end=None)))


def _resumed(series: SeriesState, positions: Mapping[int, Position]) -> SeriesState:
    if series.is_active:
        return series
    return replace(series, gaps=(*series.gaps[:-1], replace(series.gaps[-1], end=positions)))

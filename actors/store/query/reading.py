"""Reading: the rows of a series as one query sees them, on disk and pending together.

A view holds a read transaction, the record as of that transaction, and the pending rows that the record does not count
yet; so what a query sees does not depend on when the flush runs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from actors.shard import Txn
from actors.store.config import OrderBy
from actors.store.disk.blocks import Block
from actors.store.disk.criteria import Criteria, matching_rows
from actors.store.disk.latest import Entry, read_entries, refuse_damage
from actors.store.disk.log import LogReader, read_heads
from actors.store.disk.merging import Part, Selection, Source, key_at, merge_sources, search_time
from actors.store.disk.payload_columns import PayloadColumns, find_places
from actors.store.disk.source_series import RunReader, sort_by_source
from actors.store.disk.state import BEFORE_ALL, Key, Position, SeriesState, ServerState, StoreState
from actors.store.disk.trimming import live_rows
from actors.store.disk.type_table import TypeTable
from actors.store.disk.writing import Tables
from actors.store.events.columns import Array, Chunk, Columns, join_columns, slice_columns, take_columns
from actors.store.events.event import US_PER_S, Event, EventId, EventType, JsonPayload, Payload, Timestamp
from actors.store.events.payloads import JSON, decode_many, decode_payload
from actors.store.events.pending import Group

FOLLOWED_TYPES_MAX = 32
"""Wanted types up to which the chains of blocks are followed instead of reading every header."""

PENDING = -1
"""Source number of pending rows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """The store as one query sees it."""

    txn: Txn
    """Read transaction."""

    tables: Tables
    """Handles of the tables."""

    state: StoreState
    """The record as of the transaction."""

    pending: Mapping[int, Sequence[Columns]]
    """Rows by server that are not on disk as of the transaction, in order."""

    def selections(
        self, series: SeriesState, criteria: Criteria, type_ids: Sequence[int] | None
    ) -> Iterator[Selection]:
        """Yield the rows of a series that the criteria allow, in order; `type_ids` are the wanted types when known."""
        criteria = replace(criteria, gaps=series.gaps)
        if series.order_by is OrderBy.TIMESTAMP:
            servers = {*self.state.servers, *self.pending}
            if criteria.server is not None:
                servers &= {criteria.server}
                criteria = replace(criteria, server=None)
            sources = [self._by_time(series, server, criteria, type_ids) for server in sorted(servers)]
        else:
            readers = (RunReader(self.txn, self.tables.runs, series.number, run) for run in series.runs)
            sources = [source for reader in readers if (source := reader.source(criteria)) is not None]
            sources += self._pending_by_source(criteria)
        return merge_sources(sources, series.order_by, criteria.descending)

    def find(self, event_id: EventId, series: SeriesState) -> tuple[Chunk, int] | None:
        """Return the chunk and row of an event that a series may hold, `None` when it is not found."""
        position = (event_id.session, event_id.instance)
        for columns in self.pending.get(event_id.server, ()):
            row = _find_row(columns, position)
            if row is not None:
                return columns, row
        state = self.state.servers.get(event_id.server)
        found = None if state is None else self.log(event_id.server, state).find(position)
        if found is not None or series.order_by is OrderBy.TIMESTAMP:
            return found
        criteria = Criteria(order_by=series.order_by, ids=frozenset([event_id]))
        for run in series.runs:
            for part in RunReader(self.txn, self.tables.runs, series.number, run).parts(criteria):
                return part.chunk, int(part.rows[0])
        return None

    def is_held(self, chunk: Chunk, row: int, series: SeriesState, types: Array) -> bool:
        """Return whether a series holds a row that was found."""
        part = Part(chunk, np.array([row]))
        if not isinstance(chunk, Block):
            # A pending row is held by every series that wants it.
            by_source = series.order_by is OrderBy.SOURCE_TIMESTAMP
            return bool(types[chunk.type_id[row]]) and (not by_source or bool(chunk.has_source[row]))
        return len(live_rows(self.txn, self.tables.runs, part, int(chunk.server[row]), [(series, types)])) > 0

    def latest_entries(
        self, types: TypeTable, on_damage: Callable[[int], None] = refuse_damage
    ) -> Iterator[tuple[int, Entry]]:
        """Yield the latest events on disk that are still wanted, with the numbers of their types."""
        sealed = self.state.is_sealed
        return read_entries(self.txn, self.tables.latest, types, is_sealed=sealed, on_damage=on_damage)

    def log(self, server: int, state: ServerState) -> LogReader:
        """Return the log of a server."""
        return LogReader(self.txn, self.tables.log, server, state)

    def log_parts(self, server: int, after: Position) -> Iterator[Part]:
        """Yield every row of a server after a position, ascending, pending ones last."""
        state = self.state.servers.get(server)
        if state is not None:
            yield from self.log(server, state).parts(Criteria(), after)
        for columns in self.pending.get(server, ()):
            rows = np.arange(len(columns))
            later = (columns.session > after[0]) | ((columns.session == after[0]) & (columns.instance > after[1]))
            if later.any():
                yield Part(columns, rows[later], PENDING)

    def _by_time(self, series: SeriesState, server: int, criteria: Criteria, type_ids: Sequence[int] | None) -> Source:
        state, pending = self.state.servers.get(server), self.pending.get(server, ())
        begins = None
        if criteria.descending:
            begins = int(pending[-1].time[-1]) if pending else None if state is None else state.last_ticks
        return Source(self._log_and_pending(series, server, criteria, type_ids), begins)

    def _log_and_pending(
        self, series: SeriesState, server: int, criteria: Criteria, type_ids: Sequence[int] | None
    ) -> Iterator[Part]:
        if criteria.descending:
            yield from self._pending_parts(server, criteria)
        state = self.state.servers.get(server)
        if state is not None:
            heads = None
            if criteria.descending and type_ids is not None and len(type_ids) <= FOLLOWED_TYPES_MAX:
                heads = read_heads(self.txn, self.tables.heads, server, type_ids, is_sealed=self.state.is_sealed)
            yield from self.log(server, state).parts(criteria, series.dead.get(server, BEFORE_ALL), heads)
        if not criteria.descending:
            yield from self._pending_parts(server, criteria)

    def _pending_parts(self, server: int, criteria: Criteria) -> Iterator[Part]:
        groups = self.pending.get(server, ())
        for columns in reversed(groups) if criteria.descending else groups:
            start = 0 if criteria.time_from is None else search_time(columns.time, criteria.time_from, "left")
            end = len(columns) if criteria.time_to is None else search_time(columns.time, criteria.time_to, "right")
            columns = slice_columns(columns, start, max(start, end))
            rows = matching_rows(columns, None, criteria)
            if len(rows):
                yield Part(columns, rows, PENDING)

    def _pending_by_source(self, criteria: Criteria) -> list[Source]:
        everything = join_columns([one for groups in self.pending.values() for one in groups])
        rows = matching_rows(everything, None, replace(criteria, needs_source=True))
        if not len(rows):
            return []
        columns = sort_by_source(take_columns(everything, rows))
        begins = int(columns.source_time[-1 if criteria.descending else 0])
        return [Source(iter([Part(columns, np.arange(len(columns)), PENDING)]), begins)]


def pending_rows(groups: Sequence[Group], sequence: int) -> dict[int, list[Columns]]:
    """Return the rows of the groups that are not on disk, by server and in order."""
    rows: dict[int, list[Columns]] = {}
    for group in groups:
        if group.sequence > sequence:
            for server, columns in group.rows.items():
                rows.setdefault(server, []).append(columns)
    return rows


def selected_events(selection: Selection, start: int, end: int, types: Sequence[EventType]) -> list[Event]:
    """Return rows `start` to `end` (exclusive) of a selection as events."""
    rows = selection.rows[start:end]
    if selection.which is None:
        return events_of(selection.parts[0].chunk, rows, types)
    which = selection.which[start:end]
    events: list[Event | None] = [None] * len(rows)
    for number, part in enumerate(selection.parts):
        places = np.flatnonzero(which == number)
        if len(places):
            for place, event in zip(places.tolist(), events_of(part.chunk, rows[places], types), strict=True):
                events[place] = event
    return [event for event in events if event is not None]


def events_of(chunk: Chunk, rows: Array, types: Sequence[EventType]) -> list[Event]:
    """Return rows of a chunk as events."""
    ids = zip(chunk.server[rows].tolist(), chunk.session[rows].tolist(), chunk.instance[rows].tolist(), strict=True)
    stamps = _timestamps(chunk.time[rows])
    has_source = chunk.has_source[rows]
    sources: Iterable[Timestamp | None] = _timestamps(chunk.source_time[rows])
    if not has_source.all():
        sources = [one if has else None for one, has in zip(sources, has_source.tolist(), strict=True)]
    event_types = map(types.__getitem__, chunk.type_id[rows].tolist())
    payloads = _payloads(chunk, rows)
    return list(map(_EVENT, zip(map(_EVENT_ID, ids), event_types, stamps, sources, payloads, strict=True)))


def key_of(chunk: Chunk, row: int, order_by: OrderBy) -> Key:
    """Return where a row stands in a series of that order."""
    return key_at(chunk, row, order_by)


# Events are made by the thousand: mapping `tuple.__new__` over columns keeps the loop in C.
_EVENT = partial(tuple.__new__, Event)
_EVENT_ID = partial(tuple.__new__, EventId)
_TIMESTAMP = partial(tuple.__new__, Timestamp)
_JSON_PAYLOAD = partial(tuple.__new__, JsonPayload)


def _timestamps(ticks: Array) -> Iterable[Timestamp]:
    if ticks.dtype == object:
        return map(Timestamp.from_ticks, ticks.tolist())
    seconds, microseconds = np.divmod(ticks, US_PER_S)
    return map(_TIMESTAMP, zip(seconds.tolist(), microseconds.tolist(), strict=True))


def _payloads(chunk: Chunk, rows: Array) -> Iterable[Payload]:
    if isinstance(chunk, Block) and chunk.fields is not None:
        return _payloads_of_fields(chunk.fields, chunk.kind, rows)
    kinds, data = chunk.kind[rows], chunk.data
    begins, ends = chunk.offsets[rows], chunk.offsets[rows + 1]
    if len(rows) and (kinds == JSON).all():
        down = len(rows) > 1 and rows[0] > rows[-1]
        if bool((np.diff(rows) == (-1 if down else 1)).all()):
            piece = data[begins[-1] : ends[0]] if down else data[begins[0] : ends[-1]]
            values = list(decode_many(piece))
            return map(_JSON_PAYLOAD, zip(reversed(values) if down else values))
    spans = zip(kinds.tolist(), begins.tolist(), ends.tolist(), strict=True)
    return [decode_payload(kind, data[begin:end]) for kind, begin, end in spans]


def _payloads_of_fields(fields: PayloadColumns, kinds: Array, rows: Array) -> Iterable[Payload]:
    if fields.layout_count == 1 and fields.rows_of(0) is None:
        return map(_JSON_PAYLOAD, zip(fields.mappings(0, rows)))
    payloads: list[Payload] = [None] * len(rows)
    for layout in range(fields.layout_count):
        places, positions = find_places(fields.rows_of(layout), rows)
        for place, mapping in zip(places.tolist(), fields.mappings(layout, positions), strict=True):
            payloads[place] = JsonPayload(mapping)
    places, positions = find_places(fields.other_rows(), rows)
    if len(places):
        others = fields.other_payloads()
        for place, position in zip(places.tolist(), positions.tolist(), strict=True):
            payloads[place] = decode_payload(int(kinds[rows[place]]), others[position])
    return payloads


def _find_row(columns: Columns, position: Position) -> int | None:
    rows = np.flatnonzero((columns.session == position[0]) & (columns.instance == position[1]))
    return int(rows[0]) if len(rows) else None

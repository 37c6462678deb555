"""Registering: judging events in their order and taking the good ones.

Everything about an event is decided here, once: its shape, its id and time against the last of its server, its payload,
its conditions, and whether any storage wants it. What is accepted is encoded and visible at once; what is not leaves no
trace. The fast path takes rows that are columns already and falls back to judging row by row where that is needed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from actors.store.columns import Array, Columns, empty_columns, make_columns, offsets_of, slice_columns, times
from actors.store.config import StoreConfig
from actors.store.events import (
    ACCEPTED,
    Event,
    EventId,
    EventType,
    Timestamp,
    Verdict,
    VerdictKind,
    find_fault,
)
from actors.store.latest import Entry, LatestTable
from actors.store.payloads import JSON, decode_payload, encode_payload
from actors.store.pending import PendingRows
from actors.store.state import BEFORE_ALL, Position, StoreState
from actors.store.type_table import TypeTable, Wanted

_LATEST, _BY_TIME, _BY_SOURCE = Wanted.LATEST.value, Wanted.BY_TIME.value, Wanted.BY_SOURCE.value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnBatch:
    """Events of one server as columns of one length, in the order of their ids."""

    server: int
    """Number of the server."""

    types: Sequence[EventType]
    """Types that occur, each once."""

    type_index: Array
    """For each row the position of its type in `types`."""

    session: Array
    """Session numbers."""

    instance: Array
    """Instance numbers."""

    timestamp: Array
    """Timestamps, microseconds since the epoch; they do not shrink."""

    source_timestamp: Array | None = None
    """Source timestamps, microseconds; `None` when no row has one."""

    has_source: Array | None = None
    """Which rows have a source timestamp; `None` when all have, if there are any."""

    payloads: Sequence[bytes] | None = None
    """Payload of each row, valid msgpack of a JSON value (it is not looked into); or `payload_data`."""

    payload_data: bytes = b""
    """All payloads in one piece, used when `payloads` is `None`."""

    payload_offsets: Array | None = None
    """Where each payload begins in `payload_data`, and the end; `None`: rows have no payload."""

    def __len__(self) -> int:
        return len(self.session)


@dataclass(slots=True, eq=False)
class _Gathered:
    entries: list[Entry] = field(default_factory=list)
    type_ids: list[int] = field(default_factory=list)

    def columns(self) -> Columns:
        if not self.entries:
            return empty_columns()
        ticks, source, server, session, instance, kind, payload = zip(*self.entries, strict=True)
        return make_columns(ticks, source, server, session, instance, self.type_ids, kind, payload)


class Registrar:
    """Knows the last event of every server, the latest events and what is pending; the caller serialises all calls."""

    def __init__(self, types: TypeTable, latest: LatestTable, config: StoreConfig, state: StoreState) -> None:
        self._types = types
        self._latest = latest
        self._payload_size_bytes_max = config.payload_size_bytes_max
        self._last: dict[int, tuple[Position, int]] = {
            server: (one.last, one.last_ticks) for server, one in state.servers.items()
        }
        self.pending = PendingRows(state.sequence)

    def last_event_id(self, server: int) -> EventId:
        """Return the id of a server's last accepted event, (server, 0, 0) before the first."""
        position, _ = self._last.get(server, (BEFORE_ALL, 0))
        return EventId(server, *position)

    def last_timestamp(self, server: int) -> Timestamp | None:
        """Return the timestamp of a server's last accepted event, `None` before the first."""
        last = self._last.get(server)
        return None if last is None else Timestamp.from_ticks(last[1])

    def last(self) -> dict[int, tuple[Position, int]]:
        """Return the last event and its ticks, of every server."""
        return dict(self._last)

    def register(self, events: Sequence[Event]) -> list[Verdict]:
        """Take the events that can be taken and return a verdict on each."""
        gathered: dict[int, _Gathered] = {}
        verdicts = [self._judge(event, gathered) for event in events]
        if any(verdict is ACCEPTED for verdict in verdicts):
            self.pending.add({server: rows.columns() for server, rows in gathered.items()})
        return verdicts

    def register_columns(self, batch: ColumnBatch) -> Array:
        """Take the rows that can be taken and return for each whether it was."""
        accepted = np.zeros(len(batch), dtype=bool)
        if not len(batch):
            return accepted
        start = self._first_new(batch)
        if start == len(batch):
            return accepted
        if start is None or not self._is_simple(batch, start):
            return self._register_rows(batch)
        type_ids = np.array([self._types.number(one) for one in batch.types], dtype=np.uint32)
        columns = slice_columns(_columns_of(batch, type_ids[batch.type_index]), start, len(batch))
        self.pending.add({batch.server: columns})
        end = len(batch) - 1
        self._last[batch.server] = ((int(batch.session[end]), int(batch.instance[end])), int(batch.timestamp[end]))
        self._offer_last_of_types(columns)
        accepted[start:] = True
        return accepted

    def _judge(self, event: Event, gathered: dict[int, _Gathered]) -> Verdict:
        try:
            fault = find_fault(event)
            if fault is not None:
                return Verdict(VerdictKind.INVALID, fault)
            kind, payload = encode_payload(event.payload)
            "/".join(event.type).encode("utf-8", "surrogatepass")
        except (TypeError, ValueError, AttributeError) as error:
            return Verdict(VerdictKind.INVALID, str(error))
        source = event.source_timestamp
        source_ticks = None if source is None else source[0] * 1_000_000 + source[1]
        ticks = event.timestamp[0] * 1_000_000 + event.timestamp[1]
        server, session, instance = event.id
        entry = Entry(ticks, source_ticks, server, session, instance, kind, payload)
        return self._take(event.type, entry, gathered)

    def _take(self, event_type: EventType, entry: Entry, gathered: dict[int, _Gathered]) -> Verdict:
        ticks, source_ticks, server, session, instance, kind, payload = entry
        last = self._last.get(server)
        if last is not None or session == 0 or instance == 0:
            refusal = _refuse_order(entry, last or (BEFORE_ALL, ticks))
            if refusal is not None:
                return refusal
        if len(payload) > self._payload_size_bytes_max:
            return Verdict(
                VerdictKind.INVALID,
                f"the payload takes {len(payload)} bytes, payload_size_bytes_max is {self._payload_size_bytes_max};"
                " raise it or store less",
            )
        wanted, conditions = self._types.judge(event_type)
        if conditions:
            value = decode_payload(kind, payload)
            if not all(condition.holds(value) for condition in conditions):
                return Verdict(VerdictKind.CONDITION_FAILS, f"a condition on type {'/'.join(event_type)!r} fails")
        in_series = wanted & _BY_TIME or (wanted & _BY_SOURCE and source_ticks is not None)
        for_latest = wanted & _LATEST and self._latest.would_take(self._types.find(event_type), server, ticks)
        if not in_series and not for_latest:
            return Verdict(VerdictKind.UNWANTED, f"no storage wants type {'/'.join(event_type)!r}")
        type_id = self._types.number(event_type)
        self._last[server] = ((session, instance), ticks)
        if for_latest:
            self._latest.offer(type_id, entry)
        rows = gathered.get(server)
        if rows is None:
            rows = gathered[server] = _Gathered()
        if in_series:
            rows.entries.append(entry)
            rows.type_ids.append(type_id)
        return ACCEPTED

    def _first_new(self, batch: ColumnBatch) -> int | None:
        """Return the first row whose id is new, `None` when ids do not grow throughout."""
        session, instance = batch.session, batch.instance
        grows = (session[1:] > session[:-1]) | ((session[1:] == session[:-1]) & (instance[1:] > instance[:-1]))
        if not grows.all():
            return None
        position = self._last.get(batch.server, (BEFORE_ALL, 0))[0]
        new = (session > position[0]) | ((session == position[0]) & (instance > position[1]))
        return int(np.argmax(new)) if new.any() else len(batch)

    def _is_simple(self, batch: ColumnBatch, start: int) -> bool:
        """Return whether every row from `start` on is wanted by a series and unconditionally good."""
        time = batch.timestamp
        last = self._last.get(batch.server)
        if bool((time[start + 1 :] < time[start:-1]).any()) or (last is not None and int(time[start]) < last[1]):
            return False
        if int(batch.session[start]) == 0 or not bool((batch.instance[start:] > 0).all()):
            return False
        has_source = batch.source_timestamp is not None and (batch.has_source is None or bool(batch.has_source.all()))
        for event_type in batch.types:
            wanted, conditions = self._types.judge(event_type)
            if conditions or not (wanted & _BY_TIME or (wanted & _BY_SOURCE and has_source)):
                return False
        if batch.payloads is not None:
            return max(map(len, batch.payloads)) <= self._payload_size_bytes_max
        offsets = batch.payload_offsets
        return offsets is None or int(np.diff(offsets).max()) <= self._payload_size_bytes_max

    def _register_rows(self, batch: ColumnBatch) -> Array:
        columns = _columns_of(batch, np.asarray(batch.type_index, dtype=np.uint32))
        gathered: dict[int, _Gathered] = {}
        accepted = np.zeros(len(batch), dtype=bool)
        for row in range(len(batch)):
            source = int(columns.source_time[row]) if columns.has_source[row] else None
            payload = columns.data[int(columns.offsets[row]) : int(columns.offsets[row + 1])]
            position = (int(columns.session[row]), int(columns.instance[row]))
            entry = Entry(int(columns.time[row]), source, batch.server, *position, int(columns.kind[row]), payload)
            accepted[row] = self._take(batch.types[int(batch.type_index[row])], entry, gathered) is ACCEPTED
        if accepted.any():
            self.pending.add({server: rows.columns() for server, rows in gathered.items()})
        return accepted

    def _offer_last_of_types(self, columns: Columns) -> None:
        distinct, from_end = np.unique(columns.type_id[::-1], return_index=True)
        wanted, rows = self._types.wanted, len(columns) - 1 - from_end
        for type_id, entry in zip(distinct.tolist(), _entries_at(columns, rows), strict=True):
            if wanted[type_id] & _LATEST:
                self._latest.offer(type_id, entry)


def _refuse_order(entry: Entry, last: tuple[Position, int]) -> Verdict | None:
    position, ticks = last
    if entry[3:5] <= position or 0 in entry[3:5]:
        return Verdict(
            VerdictKind.REPEATED,
            f"id {tuple(entry[2:5])} is not after ({entry.server}, {position[0]}, {position[1]}), the last of its"
            " server; ids grow from (1, 1)",
        )
    if entry.ticks < ticks:
        behind_us = ticks - entry.ticks
        return Verdict(
            VerdictKind.TIME_SHRINKS,
            f"the timestamp lies {behind_us} us before the last of server {entry.server}; use at least that one",
        )
    return None


def _columns_of(batch: ColumnBatch, type_id: Array) -> Columns:
    count = len(batch)
    source = np.zeros(count, dtype=np.int64) if batch.source_timestamp is None else times(batch.source_timestamp)
    has_source = np.full(count, batch.source_timestamp is not None)
    if batch.has_source is not None:
        has_source = np.asarray(batch.has_source, dtype=bool)
        source = np.where(has_source, source, 0)
    if batch.payloads is not None:
        offsets, data = offsets_of(batch.payloads), b"".join(batch.payloads)
    else:
        given = batch.payload_offsets
        offsets = np.zeros(count + 1, dtype=np.int64) if given is None else np.asarray(given, dtype=np.int64)
        data = batch.payload_data
    has_payload = batch.payloads is not None or batch.payload_offsets is not None
    return Columns(
        time=times(batch.timestamp),
        source_time=source,
        has_source=has_source,
        server=np.full(count, batch.server, dtype=np.uint64),
        session=np.asarray(batch.session, dtype=np.uint64),
        instance=np.asarray(batch.instance, dtype=np.uint64),
        type_id=type_id,
        kind=np.full(count, JSON if has_payload else 0, dtype=np.uint8),
        offsets=offsets,
        data=data,
    )


def _entries_at(columns: Columns, rows: Array) -> Iterator[Entry]:
    fields = zip(
        columns.time[rows].tolist(),
        columns.source_time[rows].tolist(),
        columns.has_source[rows].tolist(),
        columns.server[rows].tolist(),
        columns.session[rows].tolist(),
        columns.instance[rows].tolist(),
        columns.kind[rows].tolist(),
        columns.offsets[rows].tolist(),
        columns.offsets[rows + 1].tolist(),
        strict=True,
    )
    for ticks, source, has_source, server, session, instance, kind, begin, end in fields:
        payload = columns.data[begin:end]
        yield Entry(ticks, source if has_source else None, server, session, instance, kind, payload)

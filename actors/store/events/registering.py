"""Registering: judging events in their order and taking the good ones.

Everything about an event is decided here, once: its shape, its id and time against the last of its server, its payload,
its conditions, and whether any storage wants it. What is accepted is encoded and visible at once; what is not leaves no
trace. The fast path takes rows that are columns already and falls back to judging row by row where that is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from actors.store.config import StoreConfig
from actors.store.disk.latest import Entry, LatestTable, entries_at
from actors.store.disk.state import BEFORE_ALL, Position, StoreState
from actors.store.disk.type_table import CONDITIONAL, TypeTable, Wanted
from actors.store.events.columns import Array, Columns, empty_columns, last_rows, make_columns, slice_columns
from actors.store.events.columns_of_events import ColumnBatch, check_batch, columns_of_events
from actors.store.events.event import (
    ACCEPTED,
    Event,
    EventId,
    EventType,
    Timestamp,
    Verdict,
    VerdictKind,
    find_fault,
)
from actors.store.events.payloads import decode_payload, encode_payload
from actors.store.events.pending import PendingRows

_LATEST, _BY_TIME, _BY_SOURCE = Wanted.LATEST.value, Wanted.BY_TIME.value, Wanted.BY_SOURCE.value


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

    def validate(self) -> None:
        """Assert that nothing pending comes after the last event of its server."""
        self.pending.validate()
        for group in self.pending.groups():
            for server, rows in group.rows.items():
                position, ticks = self._last[server]
                assert (int(rows.session[-1]), int(rows.instance[-1])) <= position
                assert int(rows.time[-1]) <= ticks

    def register(self, events: Sequence[Event]) -> list[Verdict]:
        """Take the events that can be taken and return a verdict on each."""
        columns = columns_of_events(self._types, events)
        if columns is not None and self._add_simple(columns):
            return [ACCEPTED] * len(events)
        gathered: dict[int, _Gathered] = {}
        verdicts = [self._judge(event, gathered) for event in events]
        if any(verdict is ACCEPTED for verdict in verdicts):
            self.pending.add({server: rows.columns() for server, rows in gathered.items()})
        return verdicts

    def register_columns(self, batch: ColumnBatch) -> Array:
        """Take the rows that can be taken and return for each whether it was."""
        types, columns = check_batch(self._types, batch)
        accepted = np.zeros(len(columns), dtype=bool)
        start = self._first_new(columns) if len(columns) else 0
        if start == len(columns):
            return accepted
        numbered = columns
        if types is not self._types.types:
            if any(self._types.judge(one)[0] == 0 for one in types):
                return self._register_rows(types, columns)
            type_ids = np.array([self._types.number(one) for one in types], dtype=np.uint32)
            numbered = replace(columns, type_id=type_ids[columns.type_id])
        simple = slice_columns(numbered, start, len(columns))
        if not self._add_simple(simple):
            return self._register_rows(types, columns)
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

    def _first_new(self, columns: Columns) -> int:
        """Return the number of rows before the first whose id comes after the last of its server."""
        position = self._last.get(int(columns.server[0]), (BEFORE_ALL, 0))[0]
        new = (columns.session > position[0]) | ((columns.session == position[0]) & (columns.instance > position[1]))
        return int(np.argmax(new)) if new.any() else len(columns)

    def _add_simple(self, columns: Columns) -> bool:
        """Take rows of one server if nothing about any of them needs a second look; return whether that was so."""
        last, flags_of = last_rows(columns.type_id), self._types.flags
        flags = set(map(flags_of.__getitem__, last))
        if not self._is_simple(columns, flags):
            return False
        server, end = int(columns.server[0]), len(columns) - 1
        self.pending.add({server: columns})
        self._last[server] = ((int(columns.session[end]), int(columns.instance[end])), int(columns.time[end]))
        if not all(one & _LATEST for one in flags):
            last = {type_id: row for type_id, row in last.items() if flags_of[type_id] & _LATEST}
        self._latest.offer_rows(columns, last)
        return True

    def _is_simple(self, columns: Columns, flags: set[int]) -> bool:
        """Return whether every row of one server is in order, wanted by a series and unconditionally good."""
        time, session, instance = columns.time, columns.session, columns.instance
        position, ticks = self._last.get(int(columns.server[0]), (BEFORE_ALL, int(time[0])))
        first = (int(session[0]), int(instance[0]))
        if first <= position or int(time[0]) < ticks or 0 in first:
            return False
        grows = (session[1:] > session[:-1]) | ((session[1:] == session[:-1]) & (instance[1:] > instance[:-1]))
        if not ((grows & (time[1:] >= time[:-1])).all() and instance.all()):
            return False
        largest = self._payload_size_bytes_max
        if len(columns.data) > largest and int(columns.payload_lengths().max()) > largest:
            return False
        enough = _BY_TIME | _BY_SOURCE if columns.has_source.all() else _BY_TIME
        return all(one & enough and not one & CONDITIONAL for one in flags)

    def _register_rows(self, types: Sequence[EventType], columns: Columns) -> Array:
        """Judge rows one by one; their `type_id` is the position in `types`."""
        gathered: dict[int, _Gathered] = {}
        rows = np.arange(len(columns))
        judged = zip(columns.type_id.tolist(), entries_at(columns, rows), strict=True)
        accepted = np.array([self._take(types[place], entry, gathered) is ACCEPTED for place, entry in judged])
        if accepted.any():
            self.pending.add({server: rows.columns() for server, rows in gathered.items()})
        return accepted


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

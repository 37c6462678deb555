"""The latest events: one per type, all in memory, written by every flush for the types that changed.

A new event takes the place of the stored one unless that is greater: within a server by id, between servers by
timestamp. No limit touches the table.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import NamedTuple

import msgpack
import numpy as np

from actors.shard import Table, Txn
from actors.store.disk.sealing import damaged, find_damaged, join_values, put_sealed, read_table
from actors.store.disk.type_table import CONDITIONAL, TypeTable, Wanted
from actors.store.events.columns import Array, Columns
from actors.store.events.conditions import Condition
from actors.store.events.event import US_PER_S, Event, EventId, Timestamp
from actors.store.events.payloads import decode_payload

_KEY = struct.Struct(">I")
_LATEST = Wanted.LATEST.value


class Entry(NamedTuple):
    """A latest event; its type is the key that it is stored under."""

    ticks: int
    """Timestamp."""

    source_ticks: int | None
    """Source timestamp."""

    server: int
    """Number of the server."""

    session: int
    """Number of the session."""

    instance: int
    """Number within the session."""

    kind: int
    """Kind of the payload."""

    payload: bytes
    """Encoded payload."""


_ENTRY = partial(tuple.__new__, Entry)


class LatestTable:
    """The latest event of each type by type number; the caller serialises all calls."""

    def __init__(self, types: TypeTable) -> None:
        self._types = types
        self._entries: dict[int, Entry] = {}
        self._changed: dict[int, Entry] = {}
        self._recent: dict[int, tuple[Columns, int]] = {}
        self._recent_server: int | None = None

    def offer(self, type_id: int, entry: Entry) -> bool:
        """Take an entry as the latest of its type unless the stored one is greater; return whether it was taken."""
        self._settle()
        return self._offer(type_id, entry)

    def offer_rows(self, columns: Columns, rows: Mapping[int, int]) -> None:
        """Offer rows of one server, whose ids come after those offered before, each as the latest of its type.

        `rows` has a row's number by the number of its type.
        """
        server = int(columns.server[0])
        if self._recent_server not in (None, server):
            self._settle()
        self._recent_server = server
        self._recent.update(zip(rows, zip(repeat(columns), rows.values()), strict=False))

    def _settle(self) -> None:
        """Make entries of the rows that were offered: columns are not kept longer than until the flush."""
        recent, self._recent, self._recent_server = self._recent, {}, None
        by_columns: dict[int, tuple[Columns, list[int], list[int]]] = {}
        for type_id, (columns, row) in recent.items():
            _, type_ids, rows = by_columns.setdefault(id(columns), (columns, [], []))
            type_ids.append(type_id)
            rows.append(row)
        for columns, type_ids, rows in by_columns.values():
            for type_id, entry in zip(type_ids, entries_at(columns, np.array(rows)), strict=True):
                self._offer(type_id, entry)

    def _offer(self, type_id: int, entry: Entry) -> bool:
        stored = self._entries.get(type_id)
        if stored is not None and stored.server != entry.server and stored.ticks > entry.ticks:
            return False
        self._entries[type_id] = entry
        self._changed[type_id] = entry
        return True

    def would_take(self, type_id: int | None, server: int, ticks: int) -> bool:
        """Return whether an entry newer than its own server's others would be taken."""
        self._settle()
        stored = None if type_id is None else self._entries.get(type_id)
        return stored is None or stored.server == server or stored.ticks <= ticks

    def copy(self) -> dict[int, Entry]:
        """Return all entries as of now."""
        self._settle()
        return dict(self._entries)

    def take_changes(self) -> dict[int, Entry]:
        """Return the entries that are not on disk."""
        self._settle()
        return dict(self._changed)

    def saved(self, changes: Mapping[int, Entry]) -> None:
        """Forget changes that are on disk now, unless something newer has come."""
        for type_id, entry in changes.items():
            if self._changed.get(type_id) is entry:
                del self._changed[type_id]

    def validate(self) -> None:
        """Assert that what is to be written is what is known, and that every entry is of a type that wants it."""
        self._settle()
        for type_id, entry in self._changed.items():
            assert self._entries[type_id] is entry
        for type_id, entry in self._entries.items():
            assert self._types.wanted[type_id] & _LATEST
            assert all_hold(self._types.conditions[type_id], entry)

    def load(self, txn: Txn, table: Table, *, is_sealed: bool) -> list[int]:
        """Read the entries that are still wanted and satisfy the conditions; return the types of damaged ones."""
        damages: list[int] = []
        self._entries = dict(read_entries(txn, table, self._types, is_sealed=is_sealed, on_damage=damages.append))
        return damages


def refuse_damage(type_id: int) -> None:
    """Raise the error about a damaged entry."""
    raise damaged(f"the latest event of type {type_id}")


def read_entries(
    txn: Txn, table: Table, types: TypeTable, *, is_sealed: bool, on_damage: Callable[[int], None] = refuse_damage
) -> Iterator[tuple[int, Entry]]:
    """Return the entries on disk that are still wanted and satisfy the conditions, by type number.

    `on_damage` receives the types whose entries do not fit their checksum and are left out.

    Raises:
        RecordDamagedError: an entry does not fit its checksum, without `on_damage`.
    """
    keys, values = read_table(txn, table)
    # From the last to the first, so that positions stay.
    for position in reversed(find_damaged(keys, values) if is_sealed else ()):
        on_damage(int.from_bytes(keys.pop(position), "big"))
        del values[position]
    type_ids = np.frombuffer(b"".join(keys), dtype=">u4").tolist()
    unknown = next((number for number in type_ids if number >= len(types)), None)
    if unknown is not None:
        raise damaged(f"the latest event of type {unknown}, which there is not,")
    entries = zip(type_ids, _decode(values, is_sealed=is_sealed), strict=True)
    flags = set(map(types.flags.__getitem__, type_ids))
    # Tests that all entries would pass are left out, which keeps the loop in C.
    if all(one & _LATEST and not one & CONDITIONAL for one in flags):
        return entries
    return (
        (type_id, entry)
        for type_id, entry in entries
        if types.wanted[type_id] & _LATEST and all_hold(types.conditions[type_id], entry)
    )


def rewrite_entries(txn: Txn, table: Table) -> None:
    """Write all entries of an earlier format in the present one."""
    keys, values = read_table(txn, table)
    type_ids = (int.from_bytes(key, "big") for key in keys)
    save_entries(txn, table, dict(zip(type_ids, _decode(values, is_sealed=False), strict=True)))


def _decode(values: Sequence[bytes], *, is_sealed: bool) -> Iterator[Entry]:
    if not values:
        return iter(())
    unpacker = msgpack.Unpacker(max_buffer_size=0, use_list=False)
    unpacker.feed(join_values(values, is_sealed=is_sealed))
    if is_sealed:
        seconds, us, source_seconds, source_us, *rest = zip(*unpacker, strict=True)
    else:
        # Earlier formats have pairs, and nil in place of one.
        times, sources, *rest = zip(*unpacker, strict=True)
        seconds, us = zip(*times, strict=True)
        source_seconds, source_us = zip(*(one or (None, None) for one in sources), strict=True)
    ticks = [one * US_PER_S + part for one, part in zip(seconds, us, strict=True)]
    pairs = zip(source_seconds, source_us, strict=True)
    source_ticks = [None if one is None else one * US_PER_S + part for one, part in pairs]
    # Mapping `tuple.__new__` over columns keeps the loop in C.
    return map(_ENTRY, zip(ticks, source_ticks, *rest, strict=True))


def save_entries(txn: Txn, table: Table, entries: Mapping[int, Entry]) -> None:
    """Write entries."""
    type_ids = sorted(entries)
    put_sealed(txn, table, list(map(_KEY.pack, type_ids)), _packed([entries[type_id] for type_id in type_ids]))


def all_hold(conditions: Iterable[Condition], entry: Entry) -> bool:
    """Return whether conditions hold for an entry."""
    tests = tuple(conditions)
    if not tests:
        return True
    payload = decode_payload(entry.kind, entry.payload)
    return all(condition.holds(payload) for condition in tests)


def entry_event(types: TypeTable, type_id: int, entry: Entry) -> Event:
    """Return an entry as an event."""
    source = None if entry.source_ticks is None else Timestamp.from_ticks(entry.source_ticks)
    return Event(
        EventId(entry.server, entry.session, entry.instance),
        types.types[type_id],
        Timestamp.from_ticks(entry.ticks),
        source,
        decode_payload(entry.kind, entry.payload),
    )


def entries_at(columns: Columns, rows: Array) -> Iterator[Entry]:
    """Return rows of columns as entries, one after the other."""
    data, has_source = columns.data, columns.has_source[rows]
    sources = columns.source_time[rows].tolist()
    if not has_source.all():
        sources = [ticks if is_there else None for ticks, is_there in zip(sources, has_source.tolist(), strict=True)]
    begins, ends = columns.offsets[rows].tolist(), columns.offsets[rows + 1].tolist()
    fields = zip(
        columns.time[rows].tolist(),
        sources,
        columns.server[rows].tolist(),
        columns.session[rows].tolist(),
        columns.instance[rows].tolist(),
        columns.kind[rows].tolist(),
        [data[begin:end] for begin, end in zip(begins, ends, strict=True)],
        strict=True,
    )
    return map(_ENTRY, fields)


def _packed(entries: Sequence[Entry]) -> list[bytes]:
    """Return entries as they are stored, each as a list: seconds and microseconds of both times, and the rest."""
    if not entries:
        return []
    ticks, sources, *rest = zip(*entries, strict=True)
    fields = zip(
        [one // US_PER_S for one in ticks],
        [one % US_PER_S for one in ticks],
        [None if one is None else one // US_PER_S for one in sources],
        [None if one is None else one % US_PER_S for one in sources],
        *rest,
        strict=True,
    )
    # One packer for all: making one takes as long as packing an entry.
    return list(map(msgpack.Packer().pack, fields))

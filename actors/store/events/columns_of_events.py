"""Incoming events as columns: batches that a partition has as arrays, and lists of ordinary events.

This is the fast way in. Whatever is out of the ordinary is left to `actors.store.events.registering`, which judges
every event by itself and says what is wrong with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actors.store.arguments import EVENTS
from actors.store.disk.type_table import TypeTable
from actors.store.events.columns import Array, Columns, offsets_of, times
from actors.store.events.event import SECONDS_MAX, SECONDS_MIN, UINT64_MAX, US_PER_S, Event, EventType
from actors.store.events.payloads import JSON, NONE, encode_payload, encode_plain

INT64_MAX = (1 << 63) - 1
"""Greatest number of 63 bits."""

SECONDS_IN_INT64 = (1 << 63) // US_PER_S - 1
"""Seconds up to which microseconds fit into 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
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

    def __repr__(self) -> str:
        return f"ColumnBatch({len(self)} rows of server {self.server}, {len(self.types)} types)"


def check_batch(table: TypeTable, batch: ColumnBatch) -> tuple[Sequence[EventType], Columns]:
    """Return types, and a batch as columns whose `type_id` is the position among them.

    They are the types of the table if it has all of the batch, else those of the batch. Nothing is shared with that.

    Raises:
        RegisterError: columns are of different lengths, or hold what does not belong into them.
    """
    EVENTS.instance(ColumnBatch, batch, "batch")
    count = np.size(batch.session)
    types, numbers = _types_of(table, batch.types)
    type_id = _numbers_of(batch.type_index, "type_index", count, len(types) - 1)
    if None not in numbers:
        types, type_id = table.types, np.array(numbers, dtype=np.uint32)[type_id]
    source = np.zeros(count, dtype=np.int64)
    if batch.source_timestamp is not None:
        source = _times_of(batch.source_timestamp, "source_timestamp", count)
    has_source = np.full(count, batch.source_timestamp is not None)
    if batch.has_source is not None:
        has_source = _array_of(batch.has_source, "has_source", count, "b").copy()
        source = np.where(has_source, source, 0)
    has_payload, offsets, data = _payloads_of(batch, count)
    return types, Columns(
        time=_times_of(batch.timestamp, "timestamp", count),
        source_time=source,
        has_source=has_source,
        server=np.full(count, EVENTS.uint64(batch.server, "server"), dtype=np.uint64),
        session=_numbers_of(batch.session, "session", count, UINT64_MAX),
        instance=_numbers_of(batch.instance, "instance", count, UINT64_MAX),
        type_id=type_id.astype(np.uint32, copy=False),
        kind=np.full(count, JSON if has_payload else NONE, dtype=np.uint8),
        offsets=offsets,
        data=data,
    )


def _types_of(table: TypeTable, types: Sequence[EventType]) -> tuple[Sequence[EventType], list[int | None]]:
    """Return types and their numbers, `None` for those that have none."""
    listed = types if type(types) is list else EVENTS.sequence(types, "types")
    if set(map(type, listed)) <= _TUPLES:
        numbers = table.find_all(listed)
        if None not in numbers:
            return listed, numbers
    listed = [tuple(one) if isinstance(one, list) else one for one in listed]
    for one in listed:
        if not isinstance(one, tuple) or not set(map(type, one)) <= {str}:
            raise EVENTS.refuse("type", one, "write it as a tuple of strings")
    return listed, table.find_all(listed)


_TUPLES, _INTEGERS = frozenset({tuple}), frozenset({int})
_FEW = 16


def _array_of(values: Array, name: str, count: int, kinds: str) -> Array:
    array = np.asarray(values)
    if array.shape != (count,):
        raise EVENTS.refuse(name, array, f"give one value for each of the {count} rows")
    if count and array.dtype.kind not in kinds:
        raise EVENTS.refuse(name, array, "give Booleans" if kinds == "b" else "give integers")
    return array


def _numbers_of(values: Array, name: str, count: int, greatest: int) -> Array:
    array = _array_of(values, name, count, "iu")
    is_signed = array.dtype.kind != "u"
    # A negative number becomes one beyond those of 63 bits, so that one look at the greatest tells.
    numbers = array.astype(np.uint64)
    limit = min(greatest, INT64_MAX) if is_signed else greatest
    # Of few rows a list has its greatest sooner than an array.
    if limit < UINT64_MAX and count and (max(numbers.tolist()) if count < _FEW else int(numbers.max())) > limit:
        raise EVENTS.refuse(name, array, f"give numbers from 0 to {greatest}")
    return numbers


def _times_of(values: Array, name: str, count: int) -> Array:
    array = _array_of(values, name, count, "iuO")
    if array.dtype.kind == "i" or not count:
        return array.astype(np.int64)
    for one in array.tolist():
        if type(one) is not int or not SECONDS_MIN * US_PER_S <= one < (SECONDS_MAX + 1) * US_PER_S:
            raise EVENTS.refuse(name, one, "give microseconds, whose seconds are within 64 bits")
    return times(array.tolist())


def _payloads_of(batch: ColumnBatch, count: int) -> tuple[bool, Array, bytes]:
    """Return whether rows have payloads, where each begins, and all of them."""
    if batch.payloads is not None:
        payloads = EVENTS.sequence(batch.payloads, "payloads")
        if len(payloads) != count or not set(map(type, payloads)) <= {bytes}:
            raise EVENTS.refuse("payloads", payloads, f"give bytes for each of the {count} rows")
        return True, offsets_of(payloads), b"".join(payloads)
    if batch.payload_offsets is None:
        return False, np.zeros(count + 1, dtype=np.int64), b""
    data = EVENTS.instance(bytes, batch.payload_data, "payload_data")
    offsets = _numbers_of(batch.payload_offsets, "payload_offsets", count + 1, len(data)).astype(np.int64)
    if int(offsets[0]) != 0 or int(offsets[-1]) != len(data) or (np.diff(offsets) < 0).any():
        raise EVENTS.refuse("payload_offsets", offsets, f"let them grow from 0 to {len(data)}, the end of payload_data")
    return True, offsets, data


def columns_of_events(types: TypeTable, events: Sequence[Event]) -> Columns | None:
    """Return ordinary events of one server and of known types as columns, `None` when any is out of the ordinary."""
    count = len(events)
    try:
        ids, event_types, stamps, sources, payloads = zip(*events, strict=True)
        server, session, instance = zip(*ids, strict=True)
        type_ids = types.find_all(event_types)
        if None in type_ids or len(set(server)) != 1 or not _are_plain_integers(server, session, instance):
            return None
        time = _ticks(stamps)
        # Timestamps are pairs, so none but `None` is false.
        has_source = np.ones(count, dtype=bool) if all(sources) else np.array([one is not None for one in sources])
        source = _ticks(sources if all(sources) else [(0, 0) if one is None else one for one in sources])
        if time is None or source is None:
            return None
        kinds, data = np.full(count, JSON, dtype=np.uint8), encode_plain(payloads)
        if data is None:
            several, data = map(list, zip(*map(encode_payload, payloads), strict=True))
            kinds = np.array(several, dtype=np.uint8)
        return Columns(
            time=time,
            source_time=source,
            has_source=has_source,
            server=np.full(count, server[0], dtype=np.uint64),
            session=np.array(session, dtype=np.uint64),
            instance=np.array(instance, dtype=np.uint64),
            type_id=np.array(type_ids, dtype=np.uint32),
            kind=kinds,
            offsets=offsets_of(data),
            data=b"".join(data),
        )
    except (TypeError, ValueError, AttributeError, OverflowError):
        # Overflow: a number of no 64 bits.
        return None


def _are_plain_integers(*columns: Sequence[int]) -> bool:
    return all(set(map(type, one)) == _INTEGERS for one in columns)


def _ticks(stamps: Sequence[tuple[int, int]]) -> Array | None:
    seconds, microseconds = zip(*stamps, strict=True)
    if not _are_plain_integers(seconds, microseconds):
        return None
    if min(microseconds) < 0 or max(microseconds) >= US_PER_S:
        return None
    if min(seconds) < -SECONDS_IN_INT64 or max(seconds) > SECONDS_IN_INT64:
        return None
    ticks: Array = np.array(seconds, dtype=np.int64) * US_PER_S + np.array(microseconds, dtype=np.int64)
    return ticks

"""Incoming events as columns: batches that a partition has as arrays, and lists of ordinary events.

This is the fast way in. Whatever is out of the ordinary is left to `actors.store.events.registering`, which judges
every event by itself and says what is wrong with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actors.store.disk.type_table import TypeTable
from actors.store.events.columns import Array, Columns, offsets_of, times
from actors.store.events.event import UINT64_MAX, US_PER_S, Event, EventType
from actors.store.events.payloads import JSON, encode_payload, encode_plain

SECONDS_IN_INT64 = (1 << 63) // US_PER_S - 1
"""Seconds up to which microseconds fit into 64 bits."""


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


def columns_of_batch(batch: ColumnBatch, type_id: Array) -> Columns:
    """Return a batch as columns of those type numbers."""
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


def columns_of_events(types: TypeTable, events: Sequence[Event]) -> Columns | None:
    """Return ordinary events of one server and of known types as columns, `None` when any is out of the ordinary."""
    try:
        ids, event_types, stamps, sources, payloads = zip(*events, strict=True)
        server, session, instance = zip(*ids, strict=True)
        type_ids = types.find_all(event_types)
        if None in type_ids or len(set(server)) != 1 or not _are_uint64(server, session, instance):
            return None
        time = _ticks(stamps)
        has_source = [one is not None for one in sources]
        source = _ticks([(0, 0) if one is None else one for one in sources])
        if time is None or source is None:
            return None
        kinds, data = [JSON] * len(events), encode_plain(payloads)
        if data is None:
            kinds, data = map(list, zip(*map(encode_payload, payloads), strict=True))
    except (TypeError, ValueError, AttributeError):
        return None
    return Columns(
        time=time,
        source_time=source,
        has_source=np.array(has_source),
        server=np.array(server, dtype=np.uint64),
        session=np.array(session, dtype=np.uint64),
        instance=np.array(instance, dtype=np.uint64),
        type_id=np.array(type_ids, dtype=np.uint32),
        kind=np.array(kinds, dtype=np.uint8),
        offsets=offsets_of(data),
        data=b"".join(data),
    )


def _are_uint64(*columns: Sequence[int]) -> bool:
    return all(set(map(type, one)) == {int} and min(one) >= 0 and max(one) <= UINT64_MAX for one in columns)


def _ticks(stamps: Sequence[tuple[int, int]]) -> Array | None:
    seconds, microseconds = zip(*stamps, strict=True)
    if set(map(type, seconds)) != {int} or set(map(type, microseconds)) != {int}:
        return None
    if min(microseconds) < 0 or max(microseconds) >= US_PER_S:
        return None
    if min(seconds) < -SECONDS_IN_INT64 or max(seconds) > SECONDS_IN_INT64:
        return None
    ticks: Array = np.array(seconds, dtype=np.int64) * US_PER_S + np.array(microseconds, dtype=np.int64)
    return ticks

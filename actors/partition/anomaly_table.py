"""The anomalies of one partition: their table, the outbox that feeds sinks, and the dead letters.

An *anomaly* is stored once, under its id (split, offset, ordinal), so replaying a row overwrites what the row raised
before and can neither lose nor double it. The ids of a split only grow from commit to commit, so the *outbox* is one
mark for each split: the last id that every sink has taken. A *dead letter* is an input record that could not become a
row, stored under its (split, offset). Everything here takes a transaction and never begins or commits one.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lmdb
import msgpack
import numpy as np
import polars as pl

from actors.model import AnomalyId

_ID = struct.Struct(">IQI")
_SPLIT = struct.Struct(">I")
_RECORD = struct.Struct(">IQ")


Packed = Sequence[Any] | None
"""The detail of a metric's anomaly as it is stored; the engine that gave it makes text of it."""

Renderer = Callable[[AnomalyId, int, Sequence[Any]], str | None]
"""From the id and the type of an anomaly and its packed detail to JSON text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """One anomaly: which row raised it, by which metric or detector."""

    id: AnomalyId
    """Split, offset and ordinal; unique within the job."""

    time: int | None
    """Time in ticks of the job's time column: the row's, or the exclusive end of the window."""

    key: tuple[Any, ...]
    """Values of the key columns, in their order; empty without key columns."""

    type: int
    """Position of the metric in the job; detectors follow the metrics."""

    metric: str
    """Canonical text of the metric, or its description."""

    detail: str | None
    """What is known of the anomaly, as JSON: of a metric its values and window; `None` if nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyFilter:
    """Which anomalies a query wants; `None` means all."""

    time_from: int | None = None
    """Earliest time, inclusive, in ticks."""

    time_to: int | None = None
    """Latest time, inclusive, in ticks."""

    key: tuple[Any, ...] | None = None
    """The key, compared as text so that what people type finds it."""

    type: int | None = None
    """Position of the metric or detector."""

    after: AnomalyId | None = None
    """Only anomalies after this id (paging)."""

    def accepts(self, anomaly: Anomaly) -> bool:
        """Return whether the anomaly is wanted (paging is the reader's)."""
        if self.type is not None and anomaly.type != self.type:
            return False
        if self.key is not None and tuple(map(str, anomaly.key)) != tuple(map(str, self.key)):
            return False
        if self.time_from is None and self.time_to is None:
            return True
        if anomaly.time is None:
            return False
        return (self.time_from is None or anomaly.time >= self.time_from) and (
            self.time_to is None or anomaly.time <= self.time_to
        )


def encode_id(anomaly_id: AnomalyId) -> bytes:
    """Return the 16 key bytes of an id; their order is the order of ids."""
    return _ID.pack(anomaly_id.split, anomaly_id.offset, anomaly_id.ordinal)


def decode_id(key: bytes) -> AnomalyId:
    """Return the id of 16 key bytes."""
    split, offset, ordinal = _ID.unpack(key)
    return AnomalyId(split=split, offset=offset, ordinal=ordinal)


def encode_entries(
    key_columns: tuple[str, ...], split: int, frame: pl.DataFrame, packed: Sequence[Packed] = (), metric_count: int = 0
) -> list[tuple[bytes, bytes]]:
    """Return the table entries of a merged anomaly frame, whose first column is the time, in the frame's order.

    `packed` are the details of its anomalies whose type is below `metric_count`, in their order, or nothing.
    """
    if frame.is_empty():
        return []
    times = frame.to_series(0).to_list()
    keys = (
        zip(*(frame[name].to_list() for name in key_columns), strict=True) if key_columns else iter([()] * len(times))
    )
    types, metrics, offsets, ordinals = (frame[name].to_list() for name in ("type", "metric", "offset", "ordinal"))
    rest = zip(types, metrics, _details(frame, types, packed, metric_count), offsets, ordinals, strict=True)
    return [
        (_ID.pack(split, offset, ordinal), msgpack.packb((time, key, kind, metric, detail)))
        for time, key, (kind, metric, detail, offset, ordinal) in zip(times, keys, rest, strict=True)
    ]


def _details(
    frame: pl.DataFrame, types: Sequence[int], packed: Sequence[Packed], metric_count: int
) -> Sequence[str | Packed]:
    if len(packed) == len(types):
        return packed
    texts: list[str | None] = frame["detail"].to_list()
    if not packed:
        return texts
    remaining = iter(packed)
    return [next(remaining) if kind < metric_count else text for kind, text in zip(types, texts, strict=True)]


def decode_entry(key: bytes, value: bytes, render: Renderer | None = None) -> Anomaly:
    """Return the anomaly of one table entry; `render` makes the text of a packed detail, which is left out without."""
    time, columns, kind, metric, detail = msgpack.unpackb(value)
    place = decode_id(key)
    if isinstance(detail, list):
        detail = None if render is None else render(place, kind, detail)
    return Anomaly(id=place, time=time, key=tuple(columns), type=kind, metric=metric, detail=detail)


def merge_anomalies(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the anomaly frames of one batch as one, in the order of rows, with ordinals counted anew for each row.

    The first frame is the engine's, the others are the detectors' in their order; each has its anomalies of one row
    in order already, so the result depends on the rows alone and not on how batches are cut.
    """
    filled = [part if "detail" in part.columns else part.with_columns(detail=pl.lit(None, pl.String)) for part in parts]
    present = [part for part in filled if not part.is_empty()] or filled[:1]
    if len(present) == 1:
        return present[0]
    names = present[0].columns
    merged = pl.concat(part.select(names) for part in present)
    merged = merged[np.argsort(merged["offset"].to_numpy(), kind="stable")]
    offsets = merged["offset"].to_numpy()
    starts = np.flatnonzero(np.concatenate(([True], offsets[1:] != offsets[:-1])))
    ordinals = np.arange(len(offsets)) - np.repeat(starts, np.diff(np.append(starts, len(offsets))))
    return merged.with_columns(pl.Series("ordinal", ordinals, dtype=pl.Int32))


def scan_anomalies(
    txn: lmdb.Transaction,
    table: Any,
    wanted: AnomalyFilter,
    count_max: int,
    *,
    newest_first: bool = False,
    render: Renderer | None = None,
) -> list[Anomaly]:
    """Return at most `count_max` wanted anomalies, in the order of ids or, `newest_first`, against it."""
    found: list[Anomaly] = []
    with txn.cursor(table) as cursor:
        for key, value in _entries(cursor, wanted.after, newest_first):
            if len(found) >= count_max:
                break
            anomaly = decode_entry(key, value, render)
            if wanted.accepts(anomaly):
                found.append(anomaly)
    return found


def _entries(cursor: Any, after: AnomalyId | None, newest_first: bool) -> Iterator[tuple[bytes, bytes]]:
    if after is None:
        placed = cursor.last() if newest_first else cursor.first()
    else:
        bound = encode_id(after)
        placed = cursor.set_range(bound)
        if newest_first:
            placed = cursor.prev() if placed else cursor.last()
        elif placed and cursor.key() == bound:
            placed = cursor.next()
    if not placed:
        return iter(())
    return iter(cursor.iterprev() if newest_first else cursor.iternext())


def waiting_entries(txn: lmdb.Transaction, table: Any, outbox: Any) -> Iterator[tuple[bytes, bytes]]:
    """Give the entries above the outbox marks, split after split, in the order of ids."""
    with txn.cursor(table) as cursor:
        placed = cursor.first()
        while placed:
            split = bytes(cursor.key()[: _SPLIT.size])
            mark = txn.get(split, db=outbox)
            if mark is not None and cursor.set_range(mark) and cursor.key() == mark:
                cursor.next()
            while (key := bytes(cursor.key())) and key[: _SPLIT.size] == split:
                yield key, bytes(cursor.value())
                cursor.next()
            placed = bool(key)


def raise_marks(txn: lmdb.Transaction, outbox: Any, taken: Sequence[AnomalyId]) -> None:
    """Mark anomalies, each split's in the order of ids, and all before them as taken by every sink."""
    for split, last in {anomaly_id.split: anomaly_id for anomaly_id in taken}.items():
        txn.put(_SPLIT.pack(split), encode_id(last), db=outbox)


def encode_record(split: int, offset: int) -> bytes:
    """Return the key bytes of a dead letter."""
    return _RECORD.pack(split, offset)


def decode_record(key: bytes) -> tuple[int, int]:
    """Return split and offset of a dead letter's key bytes."""
    split, offset = _RECORD.unpack(key)
    return int(split), int(offset)

"""The anomalies of one partition.

An *anomaly* is stored once, under its id (split, offset, ordinal), so replaying a row overwrites what the row raised
before and can neither lose nor double it. Everything here takes a transaction and never begins or commits one.
"""

import heapq
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgpack
import polars as pl

from actors.model import AnomalyId
from actors.partition.anomalies import Anomaly, AnomalyFilter
from actors.partition.part import Entry, Fields, Part, Saved
from actors.partition.sealing import unseal

if TYPE_CHECKING:
    from actors.shard import Txn

TABLE = "anomalies"
"""Table of the shard."""

_ID = struct.Struct(">IQI")

ID_SIZE = _ID.size
"""Bytes of an id."""

Packed = Sequence[Any] | None
"""The detail of a metric's anomaly as it is stored; the engine that gave it makes text of it."""

Renderer = Callable[[AnomalyId, int, Sequence[Any]], str | None]
"""From the id and the type of an anomaly and its packed detail to JSON text."""


class AnomalyTable(Part):
    """The anomalies of one partition; what is not written yet is pending."""

    def __init__(
        self, key_columns: tuple[str, ...], metric_count: int, render: Callable[[int, Sequence[Any]], Any]
    ) -> None:
        self._key_columns = key_columns
        self._metric_count = metric_count
        self._render = render
        self._pending: list[tuple[bytes, bytes]] = []
        # Below these offsets, by split, metrics that are gone have packed the details.
        self._details_from: dict[int, int] = {}

    @property
    def pending_count(self) -> int:
        """Anomalies that the next write puts into the table."""
        return len(self._pending)

    def pending_ids(self) -> list[AnomalyId]:
        return [decode_id(key) for key, _ in self._pending]

    def add(self, split: int, frame: pl.DataFrame, packed: Sequence[Packed] = ()) -> None:
        """Take a merged anomaly frame; `packed` are the details of the metrics' anomalies, or nothing."""
        self._pending += encode_entries(self._key_columns, split, frame, packed, self._metric_count)

    def forget_details(self, marks: dict[int, int]) -> None:
        """Note that the metrics are others from these offsets on: nobody can read the details below any more."""
        self._details_from = marks

    def render(self, place: AnomalyId, kind: int, packed: Sequence[Any]) -> str | None:
        """Return the text of a packed detail, unless metrics that are gone have packed it."""
        if place.offset < self._details_from.get(place.split, 0):
            return None
        text: str | None = self._render(kind, packed)
        return text

    def entries(self) -> list[Entry]:
        """Return what has been raised since the last flush."""
        return [(TABLE, key, value) for key, value in self._pending]

    def fields(self) -> Fields:
        """Return where details begin that can be read."""
        return {"details_from": self._details_from}

    def saved(self) -> None:
        """Forget what has been written."""
        self._pending.clear()

    def load(self, saved: Saved) -> None:
        """Take over where details begin that can be read."""
        self._details_from = saved.record.get("details_from", {})

    def validate(self) -> None:
        """Assert that every pending anomaly has an id of its own and can be read."""
        assert len(set(self.pending_ids())) == len(self._pending), "two anomalies with one id"
        for key, value in self._pending:
            anomaly = decode_entry(key, value)
            assert len(anomaly.key) == len(self._key_columns), anomaly


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
    details = _details(frame, types, packed, metric_count)
    # One packer for all takes half of the time that one for each does.
    pack, pack_id = msgpack.Packer().pack, _ID.pack
    values = map(pack, zip(times, keys, types, metrics, details, strict=True))
    return [
        (pack_id(split, offset, ordinal), value)
        for offset, ordinal, value in zip(offsets, ordinals, values, strict=True)
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
    time, columns, kind, metric, detail = msgpack.unpackb(unseal(key, value))
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
    # Who only reads anomalies does without numpy, which takes long to import.
    import numpy as np

    names = present[0].columns
    merged = pl.concat(part.select(names) for part in present)
    merged = merged[np.argsort(merged["offset"].to_numpy(), kind="stable")]
    offsets = merged["offset"].to_numpy()
    starts = np.flatnonzero(np.concatenate(([True], offsets[1:] != offsets[:-1])))
    ordinals = np.arange(len(offsets)) - np.repeat(starts, np.diff(np.append(starts, len(offsets))))
    return merged.with_columns(pl.Series("ordinal", ordinals, dtype=pl.Int32))


def scan_anomalies(
    txn: "Txn", table: Any, wanted: AnomalyFilter, count_max: int, *, render: Renderer | None = None
) -> list[Anomaly]:
    """Return at most `count_max` wanted anomalies, in the order of ids."""
    found: list[Anomaly] = []
    with txn.cursor(table) as cursor:
        placed = cursor.first() if wanted.after is None else cursor.set_range(encode_id(wanted.after))
        if placed and wanted.after is not None and cursor.key() == encode_id(wanted.after):
            placed = cursor.next()
        for key, value in cursor if placed else ():
            if len(found) >= count_max:
                break
            anomaly = decode_entry(key, value, render)
            if wanted.accepts(anomaly):
                found.append(anomaly)
    return found


def newest_anomalies(
    txn: "Txn", table: Any, wanted: AnomalyFilter, count_max: int, *, render: Renderer | None = None
) -> list[Anomaly]:
    """Return at most `count_max` wanted anomalies, newest first.

    Ids are no order of times, since splits go on beside each other and rows come late: the whole table is looked at.
    """
    bound = None if wanted.older_than is None else (*wanted.older_than[:2], encode_id(wanted.older_than[2]))
    # The newest so far, the oldest of them first; ids compare as their bytes do.
    kept: list[tuple[tuple[bool, int, bytes], bytes]] = []
    with txn.cursor(table) as cursor:
        for key, value in cursor.iterprev() if cursor.last() else ():
            time = msgpack.unpackb(unseal(key, value))[0]
            place = time is not None, time or 0, key
            if (bound is not None and place >= bound) or (len(kept) >= count_max and place < kept[0][0]):
                continue
            if wanted.accepts(decode_entry(key, value)):
                (heapq.heappush if len(kept) < count_max else heapq.heappushpop)(kept, (place, value))
    return [decode_entry(place[2], value, render) for place, value in sorted(kept, reverse=True)]

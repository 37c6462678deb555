"""Rows and anomalies of a partition as events of its store, by the job's mapping.

The event of a row has the id (split, offset + 1, 1); the anomalies that the row raised follow as instances 2, 3, ... in
the order of their ordinals. Its source timestamp is the row's own time; its timestamp is the *watermark*, the running
maximum of the times of the split's rows in this partition, because a store's timestamps do not shrink. All of that
depends on rows and offsets only, so a replay gives the same events. A row without a time has no event, nor have
its anomalies.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgpack
import numpy as np
import polars as pl

from actors.model import SECONDS_PER_UNIT, UNITS_PER_SECOND, ColumnType
from actors.partition.assembly import build_store
from actors.partition.episode_table import LATE_ORDINALS
from actors.partition.part import Fields, Part, Saved
from actors.partition.row_payloads import pack_rows
from actors.shard import Shard
from actors.shard.shard import Txn
from actors.sink.anomaly_frames import raised_records
from actors.sink.lines import ANOMALY
from actors.store import ColumnBatch, EventStore
from config.settings import JobSettings

US_PER_S = 1_000_000
"""Microseconds in one second."""

Array = np.ndarray[Any, Any]


def ticks_to_us(kind: ColumnType, ticks: Array) -> Array:
    """Return times of a temporal column as microseconds since the epoch (or midnight), rounded down."""
    if kind is ColumnType.MONTH:
        months = np.asarray(ticks, "datetime64[M]") - np.datetime64("1970-01", "M").astype(np.int64)
        shifted = months - np.timedelta64(1970 * 12, "M")
        return shifted.astype("datetime64[us]").astype(np.int64)
    if kind in SECONDS_PER_UNIT:
        return ticks * (SECONDS_PER_UNIT[kind] * US_PER_S)
    per_second = UNITS_PER_SECOND[kind]
    return ticks * (US_PER_S // per_second) if per_second <= US_PER_S else ticks // (per_second // US_PER_S)


class StoredEvents(Part):
    """The event store of a partition and what it is fed; a job that stores no events has none."""

    def __init__(self, job: JobSettings, shard: Shard) -> None:
        self.store = build_store(job, shard)
        """The store, `None` when the job stores no events."""

        self._row_events = RowEvents(job)

    def register(self, split: int, frame: pl.DataFrame, offsets: Array, anomalies: pl.DataFrame) -> int:
        """Register rows and the anomalies that they raised, and return how many events were accepted."""
        return 0 if self.store is None else self._row_events.register(self.store, split, frame, offsets, anomalies)

    @property
    def pending_size_bytes(self) -> int:
        """Bytes of events that wait for a flush."""
        return 0 if self.store is None else self.store.stat().pending_size_bytes

    @property
    def watermarks(self) -> Mapping[int, int]:
        """The timestamp of the last row's event, by split."""
        return self._row_events.watermarks

    def fields(self) -> Fields:
        """Return the watermarks."""
        return {"watermarks": self._row_events.watermarks}

    def write(self, txn: Txn, now_us: int) -> None:
        """Write what waits, and give up what is older than the limits allow."""
        if self.store is not None:
            self.store.write(txn, now_us)

    def saved(self) -> None:
        """Note that what was written is durable."""
        if self.store is not None:
            self.store.committed()

    def load(self, saved: Saved) -> None:
        """Take over the watermarks; the store has opened itself."""
        self.restore(saved.record)

    def snapshot(self) -> Fields:
        """Return the watermarks: events stay where they are."""
        return self.fields()

    def restore(self, body: Fields) -> None:
        """Take over the watermarks."""
        if self.store is not None:
            self._row_events.watermarks = body["watermarks"]

    def validate(self) -> None:
        """Assert that no event is newer than its split's watermark."""
        if self.store is None:
            return
        for split, watermark in self._row_events.watermarks.items():
            last = self.store.last_timestamp(split)
            assert last is None or last.ticks <= watermark, f"split {split}: an event at {last} beyond {watermark}"

    def close(self) -> None:
        """Close the store; the shard stays open."""
        if self.store is not None:
            self.store.close()


class RowEvents:
    """Registers a job's rows and anomalies in a store; `watermarks` is its state, by split."""

    def __init__(self, job: JobSettings) -> None:
        self._job = job
        self._events = job.events
        self._name = job.name
        self._time = job.time_column
        self._time_type = job.row_schema[job.time].type
        names = {column.name.lower(): column.name for column in job.row_schema.columns}
        template = job.events.type or (job.name, *(f"{{{name}}}" for name in job.key_columns))
        self._type_parts = [_part(text, names) for text in template]
        self._payload = [names[name.lower()] for name in job.events.payload or job.row_schema.names]
        self.watermarks: dict[int, int] = {}

    def register(
        self, store: EventStore, split: int, frame: pl.DataFrame, offsets: Array, anomalies: pl.DataFrame
    ) -> int:
        """Register rows and the anomalies that they raised, and return how many events were accepted."""
        times = frame[self._time]
        present = times.is_not_null().to_numpy()
        if not present.all():
            timeless = offsets[~present].tolist()
            frame, offsets = frame.filter(pl.Series(present)), offsets[present]
            anomalies = anomalies.filter(~pl.col("offset").is_in(timeless) | (pl.col("ordinal") >= LATE_ORDINALS))
        if not len(offsets):
            return self._register_at_ticks(store, split, anomalies)
        source_us = ticks_to_us(self._time_type, frame[self._time].to_numpy())
        start = self.watermarks.get(split, int(source_us[0]))
        watermarks = np.maximum.accumulate(np.maximum(source_us, start))
        self.watermarks[split] = int(watermarks[-1])
        parts = []
        if self._events.store:
            parts.append(self._rows(split, frame, offsets, watermarks, source_us))
        if self._events.anomalies and len(anomalies):
            # A tick may happen at a row of another partition, which is after the last own row.
            places = np.searchsorted(offsets, anomalies["offset"].to_numpy(), side="right")
            parts.append(self._anomalies(split, anomalies, np.concatenate(([start], watermarks))[places]))
        if not parts:
            return 0
        return int(np.count_nonzero(store.register_columns(_merge(parts))))

    def _rows(
        self, split: int, frame: pl.DataFrame, offsets: Array, watermarks: Array, source_us: Array
    ) -> ColumnBatch:
        types, type_index = self._types(frame)
        data, data_offsets = pack_rows(frame, self._payload)
        return ColumnBatch(
            server=split,
            types=types,
            type_index=type_index,
            session=offsets + 1,
            instance=np.ones(len(offsets), np.int64),
            timestamp=watermarks,
            source_timestamp=source_us,
            payload_data=data,
            payload_offsets=data_offsets,
        )

    def _types(self, frame: pl.DataFrame) -> tuple[list[tuple[str, ...]], Array]:
        columns = list(dict.fromkeys(name for _, name in self._type_parts if name is not None))
        if not columns:
            return [tuple(text for text, _ in self._type_parts)], np.zeros(frame.height, np.int64)
        chosen = frame.select(columns)
        distinct = chosen.unique(maintain_order=True)
        types = [self._type_of(row) for row in distinct.iter_rows(named=True)]
        numbered = distinct.with_row_index("type index")
        found = chosen.join(numbered, on=columns, how="left", nulls_equal=True, maintain_order="left")["type index"]
        return types, found.to_numpy().astype(np.int64)

    def _type_of(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(text if name is None else _text(row[name]) for text, name in self._type_parts)

    def _register_at_ticks(self, store: EventStore, split: int, anomalies: pl.DataFrame) -> int:
        """Register what ticks between the rows of others have raised."""
        if not self._events.anomalies or anomalies.is_empty():
            return 0
        times = np.full(anomalies.height, self.watermarks[split])
        return int(np.count_nonzero(store.register_columns(self._anomalies(split, anomalies, times))))

    def _anomalies(self, split: int, anomalies: pl.DataFrame, times: Array) -> ColumnBatch:
        causes = anomalies["offset"].to_numpy()
        kinds = sorted(set(anomalies["type"].to_list()))
        pack = msgpack.Packer().pack
        return ColumnBatch(
            server=split,
            types=[(self._name, ANOMALY, str(kind)) for kind in kinds],
            type_index=np.searchsorted(np.array(kinds), anomalies["type"].to_numpy()),
            session=causes + 1,
            instance=anomalies["ordinal"].to_numpy().astype(np.int64) + 2,
            timestamp=times,
            source_timestamp=ticks_to_us(self._time_type, anomalies[self._time].to_numpy()),
            payloads=[pack(record) for record in raised_records(self._job, anomalies)],
        )


def _part(text: str, names: Mapping[str, str]) -> tuple[str, str | None]:
    """Return a part of an event type as its text, or as the column that it stands for."""
    if text.startswith("{") and text.endswith("}"):
        return text, names[text[1:-1].lower()]
    return text, None


def _text(value: Any) -> str:
    return "NULL" if value is None else str(value)


def _payloads(batch: ColumnBatch) -> Sequence[bytes]:
    """Return the payload of each row."""
    if batch.payloads is not None or batch.payload_offsets is None:
        return batch.payloads or ()
    data = batch.payload_data
    return [data[start:end] for start, end in pairwise(batch.payload_offsets.tolist())]


def _merge(parts: Sequence[ColumnBatch]) -> ColumnBatch:
    """Return rows and anomalies of one split as one batch, in the order of ids."""
    if len(parts) == 1:
        return parts[0]
    first, second = parts
    sessions = np.concatenate([first.session, second.session])
    instances = np.concatenate([first.instance, second.instance])
    order = np.lexsort((instances, sessions))
    payloads = [*_payloads(first), *_payloads(second)]
    assert first.source_timestamp is not None, "every event of a row has the row's time"
    assert second.source_timestamp is not None, "every anomaly has a time"
    return ColumnBatch(
        server=first.server,
        types=[*first.types, *second.types],
        type_index=np.concatenate([first.type_index, second.type_index + len(first.types)])[order],
        session=sessions[order],
        instance=instances[order],
        timestamp=np.concatenate([first.timestamp, second.timestamp])[order],
        source_timestamp=np.concatenate([first.source_timestamp, second.source_timestamp])[order],
        payloads=[payloads[row] for row in order.tolist()],
    )

"""One partition: engine, detectors, event store, anomalies and offsets of a share of the keys, in one shard.

A partition is applied batches in the order of offsets and keeps three marks for each split:

- `received`: everything below has been applied in memory;
- `committed`: everything below is in the shard. It is written in the same transaction as what it stands for;
- `engine`: where the engine snapshot in the shard stands (at or below `committed`).

A partition trusts no caller: it refuses an epoch older than the highest it has seen, refuses a batch that would leave
a gap, and skips rows below its marks. After a crash the engine is restored from its snapshot and rows between the
engine's mark and `committed` feed the engine only, because the rest of the shard has them. Time never comes from a
clock: `now_us` is an argument and decides no more than when to flush and what retention may delete.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

import msgpack
import numpy as np
import polars as pl

from actors.detectors.stability import Verdict
from actors.engine.episodes.episode import Episode
from actors.errors import BrokenPartitionError, OffsetGapError, SnapshotError, StaleEpochError, TocsinError
from actors.model import AnomalyId
from actors.partition.acceptances import Acceptance
from actors.partition.anomaly_table import (
    Anomaly,
    AnomalyFilter,
    decode_entry,
    encode_entries,
    merge_anomalies,
    raise_marks,
    scan_anomalies,
)
from actors.partition.assembly import build_engine, build_store
from actors.partition.detection import TABLE, Learning, read_verdicts
from actors.partition.episode_table import TABLES as EPISODE_TABLES
from actors.partition.episode_table import EpisodeFilter, EpisodeTable
from actors.partition.event_mapping import RowEvents
from actors.partition.metrics import RowTests
from actors.partition.rejected_records import LateRow, SetAside, add_letters, scan_late, scan_letters
from actors.partition.values import Marks, PartitionStat, RoutedBatch
from actors.partition.warm_start import warm_up
from actors.shard import Shard, ShardFullError
from actors.shard.shard import Txn
from actors.source.protocol import DeadLetter
from actors.store import Event
from actors.store.query.planner import QueryParams, QueryResult
from config.settings import JobSettings

__all__ = ["Partition", "PartitionStat", "RoutedBatch"]

log = logging.getLogger(__name__)

SNAPSHOT_VERSION = 1
"""Version of the bytes that `Partition.snapshot` returns."""

STORE_PENDING_BYTES_MAX = 64 << 20
"""Bytes of pending events that make a flush due."""


class Partition:
    """One partition, open in its shard; close it, or use it as a context manager.

    Raises:
        ShardError: somebody else owns the shard, or it belongs to another partition.
        SnapshotError: the shard was made by a job with other metrics, keys, windows or columns.
    """

    def __init__(self, job: JobSettings, number: int, shard: Shard) -> None:
        self._job = job
        self._number = number
        self._shard = shard
        self._engine = build_engine(job)
        self._learning = Learning(job, number)
        self._marks = Marks()
        self._epoch = 0
        self._open_tables()
        self._store = build_store(job, shard)
        self._row_events = RowEvents(job) if self._store is not None else None
        self._pending_anomalies: list[tuple[bytes, bytes]] = []
        self._dead_letters = SetAside(self._tables["dead_letters"], job.limits.dead_letters_max)
        texts = [metric.describe or metric.when for metric in job.metrics]
        self._episodes = EpisodeTable(self._tables, texts, has_notices=bool(job.sinks) and job.episodes.deliver)
        self._late_rows = SetAside(self._tables["late_rows"], job.limits.late_rows_max)
        self._tests = RowTests(job, number, self._engine, self._late_rows, self._episodes)
        self._tests.absent_type = len(job.metrics) + self._learning.type_count
        self._row_count = self._replayed_row_count = self._event_count = 0
        self._flush_count = self._state_size_bytes = 0
        self._rows_since_flush = self._rows_since_snapshot = 0
        self._flushed_at_us: int | None = None
        self._degraded: str | None = None
        self._is_broken = False
        # One is counted by the thread that flushes, the other by the one that delivers.
        self._outbox_in_count = self._outbox_out_count = 0
        self._known_ticks: dict[int, int] = {}
        self._gaps: list[tuple[int, int, int]] = []
        self._stale_keys: list[bytes] = []
        # Below these offsets, by split, metrics that are gone have packed the details of anomalies.
        self._details_from: dict[int, int] = {}
        self._load()

    @classmethod
    def open(cls, job: JobSettings, number: int, directory: Path) -> "Partition":
        """Open, or make, the partition in a directory and restore what its shard holds."""
        shard = Shard.open(
            directory, identifier=f"{job.name}/{number}", map_size_bytes_max=job.limits.map_size_bytes_max
        )
        try:
            return cls(job, number, shard)
        except BaseException:
            shard.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, epoch: int, earliest: Mapping[int, int], now_us: int) -> dict[int, int]:
        """Enter an epoch, durably, and return for each split the offset from which the partition needs rows.

        `earliest` gives the first offset that each split's source still has; what lies between is gone and reported
        as a gap.

        Raises:
            StaleEpochError: a newer leader has been here.
        """
        self._check_epoch(epoch)
        self._epoch = epoch
        for split, offset in earliest.items():
            have = self._marks.received.setdefault(split, 0)
            if have < offset:
                self._gaps.append((split, have, offset))
                log.warning("input is gone", extra={"partition": self._number, "split": split, "until": offset})
                self._marks.received[split] = offset
        self._write_flush(now_us)
        return dict(self._marks.received)

    @property
    def number(self) -> int:
        """Number of the partition, from 0."""
        return self._number

    @property
    def received(self) -> dict[int, int]:
        """For each split the offset from which the partition needs rows."""
        return dict(self._marks.received)

    @property
    def committed(self) -> dict[int, int]:
        """For each split the offset below which everything is in the shard."""
        return dict(self._marks.committed)

    @property
    def is_broken(self) -> bool:
        """Whether a batch failed half-way: close the partition and open it again, its shard is whole."""
        return self._is_broken

    def _check_epoch(self, epoch: int) -> None:
        if self._is_broken:
            raise BrokenPartitionError(f"a batch failed in partition {self._number} half-way; open it again")
        if epoch < self._epoch:
            raise StaleEpochError(f"epoch {epoch} is over: partition {self._number} follows epoch {self._epoch}")

    def apply(self, epoch: int, batch: RoutedBatch, now_us: int) -> int:
        """Apply one batch, flush if it is time, and return the number of anomalies that are new.

        Rows below the partition's marks are skipped, so a batch may be sent again.

        Raises:
            StaleEpochError: a newer leader has been here.
            OffsetGapError: rows between the partition's mark and the batch are missing.
            ShardFullError: an earlier flush failed and fails still; nothing of this batch was applied.
            BrokenPartitionError: an earlier batch failed half-way.
        """
        self._check_epoch(epoch)
        if self._degraded is not None:
            self.flush(epoch, now_us)
        needed = self._marks.received.get(batch.split, 0)
        if batch.start > needed:
            raise OffsetGapError(
                f"partition {self._number} needs split {batch.split} from offset {needed}; the batch starts at "
                f"{batch.start}: send the rows between first"
            )
        raised = 0
        if batch.end > needed:
            # Whatever fails in between has fed the engine: applying the batch again would count its rows twice.
            self._is_broken = True
            raised = self._apply_rows(batch, needed)
            self._is_broken = False
            self._marks.received[batch.split] = batch.end
        self._flush_if_due(now_us)
        return raised

    def _apply_rows(self, batch: RoutedBatch, needed: int) -> int:
        ticks = tuple(tick for tick in batch.ticks if tick[0] >= needed)
        if not len(batch.offsets) and not batch.dead_letters and not ticks:
            return 0
        frame, offsets = _from_offset(batch.frame, batch.offsets, needed)
        committed = self._marks.committed.get(batch.split, 0)
        fresh, fresh_offsets = _from_offset(frame, offsets, committed)
        tested = self._tests.test(batch.split, frame, offsets, ticks, committed)
        merged = merge_anomalies([tested.raised, *self._learning.process(batch.split, fresh, fresh_offsets)])
        assert merged.is_empty() or merged["offset"][0] >= needed, "ids of a split only grow, or sinks would miss one"
        keys, metric_count = self._job.key_columns, len(self._job.metrics)
        self._pending_anomalies += encode_entries(keys, batch.split, merged, tested.packed, metric_count)
        self._pending_anomalies += encode_entries(keys, batch.split, tested.at_ticks)
        if tested.at_ticks.height:
            merged = pl.concat([merged, tested.at_ticks.select(merged.columns)]).sort("offset", "ordinal")
        add_letters(self._dead_letters, batch.dead_letters, committed)
        if self._store is not None and self._row_events is not None:
            self._event_count += self._row_events.register(self._store, batch.split, fresh, fresh_offsets, merged)
        self._row_count += len(fresh_offsets)
        self._replayed_row_count += len(offsets) - len(fresh_offsets)
        # Ticks change the engine too, so that a partition without rows must not believe its snapshot to be up to date.
        self._rows_since_flush += len(offsets) + len(ticks)
        self._rows_since_snapshot += len(offsets) + len(ticks)
        return len(merged)

    def accept(self, epoch: int, acceptances: Sequence[Acceptance]) -> None:
        """Let values count as known from their places on; durable with the next flush, and known ones change nothing.

        Raises:
            StaleEpochError: a newer leader has been here.
        """
        self._check_epoch(epoch)
        for acceptance in acceptances:
            self._learning.accept(acceptance)

    def flush(self, epoch: int, now_us: int, *, with_snapshot: bool = False) -> None:
        """Make everything applied so far durable, in one transaction; `with_snapshot` spares the next owner a replay.

        Raises:
            StaleEpochError: a newer leader has been here.
            ShardFullError: no room; everything pending is kept and the next flush tries again.
        """
        self._check_epoch(epoch)
        self._write_flush(now_us, with_snapshot=with_snapshot)

    def flush_if_due(self, epoch: int, now_us: int) -> None:
        """Flush when the flush period has passed; a failure is kept in `stat` and tried again."""
        self._check_epoch(epoch)
        self._flush_if_due(now_us)

    def _flush_if_due(self, now_us: int) -> None:
        if self._flushed_at_us is None:
            self._flushed_at_us = now_us
        has_advanced = self._rows_since_flush > 0 or self._marks.reached() != self._marks.committed
        pending = has_advanced or self._degraded is not None
        is_old = now_us - self._flushed_at_us >= self._job.flush.period_ms * 1000
        is_much = self._rows_since_flush >= self._job.flush.rows or self._is_store_half_full()
        if pending and (is_old or is_much):
            try:
                self._write_flush(now_us)
            except ShardFullError:
                log.warning("flush failed", extra={"partition": self._number, "reason": self._degraded})

    def _is_store_half_full(self) -> bool:
        # Flushing early keeps the store from refusing events in the middle of a batch.
        return self._store is not None and self._store.stat().pending_size_bytes >= STORE_PENDING_BYTES_MAX

    def _write_flush(self, now_us: int, *, with_snapshot: bool = False) -> None:
        entries = self._changed_entries()
        is_due = self._rows_since_snapshot >= (1 if with_snapshot else self._job.snapshot_interval_rows)
        snapshot = self._engine.snapshot() if is_due else None
        absence = self._tests.snapshot() if is_due else None
        engine = dict(self._marks.received) if is_due or not self._rows_since_snapshot else self._marks.engine
        meta = self._encode_meta(engine)

        def write(txn: Txn) -> None:
            if self._store is not None:
                self._store.write(txn, now_us)
            for key in self._stale_keys:
                txn.delete(key, db=self._tables[TABLE])
            for table, key, value in entries:
                txn.put(key, value, db=self._tables[table])
            if snapshot is not None:
                txn.put(b"snapshot", snapshot, db=self._tables["engine"])
                if absence is not None:
                    txn.put(b"absence", absence, db=self._tables["engine"])
            self._dead_letters.trim(txn)
            self._late_rows.trim(txn)
            self._episodes.write(txn)
            txn.put(b"marks", meta, db=self._tables["partition"])

        try:
            self._shard.write(write)
        except ShardFullError as error:
            self._degraded = str(error)
            raise
        if is_due:
            self._rows_since_snapshot = 0
        self._after_flush(engine, now_us)

    def _changed_entries(self) -> list[tuple[str, bytes, bytes]]:
        entries = [("anomalies", key, value) for key, value in self._pending_anomalies]
        entries += [("dead_letters", key, value) for key, value in self._dead_letters.entries()]
        entries += [("late_rows", key, value) for key, value in self._late_rows.entries()]
        entries += [(TABLE, key, value) for key, value in self._learning.changed_entries()]
        return entries

    def _after_flush(self, engine: dict[int, int], now_us: int) -> None:
        if self._store is not None:
            self._store.committed()
        self._learning.mark_saved()
        self._stale_keys.clear()
        if self._job.sinks:
            self._outbox_in_count += len(self._pending_anomalies) + self._episodes.pending_notice_count
        self._pending_anomalies.clear()
        self._dead_letters.mark_saved()
        self._late_rows.mark_saved()
        self._episodes.mark_saved()
        self._marks.committed = self._marks.reached()
        self._marks.engine = engine
        self._rows_since_flush = 0
        # Measured here, because `stat` is asked by other threads while rows change the state.
        self._state_size_bytes = self._engine.memory().state_size_bytes
        self._flush_count += 1
        self._degraded = None
        self._flushed_at_us = now_us

    def _open_tables(self) -> None:
        names = ("partition", "engine", "anomalies", "outbox", "dead_letters", "late_rows", *EPISODE_TABLES, TABLE)
        self._tables = {name: self._shard.table(name) for name in names}

    def _encode_meta(self, engine: Mapping[int, int]) -> bytes:
        meta = {
            "version": SNAPSHOT_VERSION,
            "fingerprint": self._fingerprint(),
            "epoch": self._epoch,
            "received": self._marks.reached(),
            "engine": engine,
            "watermarks": self._row_events.watermarks if self._row_events is not None else {},
            "gaps": self._gaps,
            "dead_letter_count": self._dead_letters.total,
            "late_row_count": self._late_rows.total,
            "details_from": self._details_from,
            "tells_replayed_episodes": self._tests.tells_replayed_episodes,
            "ticks": self._reached_ticks(),
        }
        return bytes(msgpack.packb(meta))

    def _reached_ticks(self) -> dict[int, int]:
        # While the engine replays it is behind the ticks that the shard knows.
        known, now = self._known_ticks, self._tests.ticks
        return {split: max(known.get(split, time), now.get(split, time)) for split, time in (known | now).items()}

    def _fingerprint(self) -> list[str]:
        return [self._engine.fingerprint, *self._learning.fingerprints]

    def _load(self) -> None:
        with self._shard.read() as txn:
            stored = txn.get(b"marks", db=self._tables["partition"])
            if stored is None:
                return
            snapshot = txn.get(b"snapshot", db=self._tables["engine"])
            absence = txn.get(b"absence", db=self._tables["engine"])
            with txn.cursor(self._tables[TABLE]) as cursor:
                entries = [(bytes(key), bytes(value)) for key, value in cursor]
            if self._job.sinks:
                self._outbox_in_count = sum(1 for _ in self._waiting(txn))
        meta = msgpack.unpackb(stored, strict_map_key=False)
        is_warm_start = self._job.warm_start is not None and list(meta["fingerprint"]) != self._fingerprint()
        if not is_warm_start:
            self._check_fingerprint(meta["fingerprint"])
            if snapshot is not None:
                self._engine.restore(snapshot)
                if absence is not None:
                    self._tests.restore(absence)
            self._learning.load(entries)
        self._epoch = meta["epoch"]
        self._gaps = [(split, start, end) for split, start, end in meta["gaps"]]
        self._dead_letters.count = meta.get("dead_letter_count", 0)
        self._late_rows.count = meta.get("late_row_count", 0)
        self._details_from = meta.get("details_from", {})
        self._known_ticks = meta.get("ticks", {})
        self._tests.tells_replayed_episodes = meta.get("tells_replayed_episodes", False)
        self._marks = Marks(
            received=dict(meta["engine"]), committed=dict(meta["received"]), engine=dict(meta["engine"])
        )
        if self._row_events is not None:
            self._row_events.watermarks = meta["watermarks"]
        if is_warm_start:
            self._begin_anew([key for key, _ in entries], meta["watermarks"])

    def _begin_anew(self, stale_keys: Sequence[bytes], watermarks: Mapping[int, int]) -> None:
        """Let a changed job learn from stored rows and go on where the job before it stopped."""
        assert self._store is not None, "a warm start needs a store"
        self._replayed_row_count = warm_up(self._job, self._store, watermarks, self._relearn)
        # Stored rows tell this partition's own times only, and a tick comes from any row of its split.
        for split, time in self._known_ticks.items():
            self._tests.reach(split, time, self._marks.committed[split])
        self._stale_keys = list(stale_keys)
        self._episodes.put({episode.id: episode for episode in self._engine.open_episodes()})
        # The first flush replaces everything that was learned, and the engine's snapshot.
        self._marks.received = self._marks.reached()
        self._details_from = self._marks.reached()
        self._rows_since_snapshot = self._job.snapshot_interval_rows

    def _relearn(self, split: int, frame: pl.DataFrame, offsets: np.ndarray) -> None:
        self._tests.relearn(split, frame, offsets)
        self._learning.process(split, frame, offsets)

    def _check_fingerprint(self, stored: Sequence[str]) -> None:
        if list(stored) != self._fingerprint():
            raise SnapshotError(
                f"the shard of partition {self._number} was made by a job {self._job.name!r} with other metrics, keys, "
                "windows, columns or detectors; set `warm_start`, or submit the changed job under a new name"
            )

    def snapshot(self) -> bytes:
        """Return engine, detectors and marks as they stand at the rows received so far.

        While the engine replays, detectors stand further on than the engine, so there are marks for both.
        """
        body = {
            "version": SNAPSHOT_VERSION,
            "fingerprint": self._fingerprint(),
            "partition": self._number,
            "received": self._marks.received,
            "committed": self._marks.reached(),
            "engine": self._engine.snapshot(),
            "absence": self._tests.snapshot(),
            **self._learning.snapshot(),
            "watermarks": self._row_events.watermarks if self._row_events is not None else {},
        }
        return bytes(msgpack.packb(body))

    def restore(self, snapshot: bytes, now_us: int) -> None:
        """Take over a snapshot, into a shard that is still empty; history below it is recorded as a gap.

        Raises:
            SnapshotError: the bytes are no snapshot of this partition, or the shard holds rows already.
        """
        try:
            body = msgpack.unpackb(snapshot, strict_map_key=False)
            version, partition, fingerprint = body["version"], body["partition"], body["fingerprint"]
        except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
            raise SnapshotError(f"these {len(snapshot)} bytes are no snapshot of a partition: {error}") from error
        if version != SNAPSHOT_VERSION:
            raise SnapshotError(f"a snapshot of format {version}; this version reads format {SNAPSHOT_VERSION}")
        if partition != self._number:
            raise SnapshotError(f"a snapshot of partition {partition} does not fit partition {self._number}")
        if any(self._marks.reached().values()):
            raise SnapshotError(f"partition {self._number} holds rows already; restore into an empty directory")
        self._check_fingerprint(fingerprint)
        self._is_broken = True
        try:
            self._take_over(body)
        except (TocsinError, ValueError, KeyError, TypeError) as error:
            raise SnapshotError(f"the snapshot of partition {self._number} is torn: {error}") from error
        self._is_broken = False
        self._write_flush(now_us)

    def _take_over(self, body: Mapping[str, Any]) -> None:
        self._engine.restore(body["engine"])
        if body.get("absence") is not None:
            self._tests.restore(body["absence"])
        # The shard is empty: episodes that began before are told anew, those of the replay too.
        self._episodes.put({episode.id: episode for episode in self._engine.open_episodes()})
        self._tests.tells_replayed_episodes = True
        self._learning.restore(body)
        self._marks.received, self._marks.committed = dict(body["received"]), dict(body["committed"])
        self._gaps += [(split, 0, offset) for split, offset in body["committed"].items() if offset]
        if self._row_events is not None:
            self._row_events.watermarks = body["watermarks"]
        self._rows_since_snapshot = self._job.snapshot_interval_rows

    def events(self, params: QueryParams) -> list[Event]:
        """Return stored events, pending ones included; none when the job stores no events."""
        return list(self.event_page(params).events)

    def event_page(self, params: QueryParams) -> QueryResult:
        """Return stored events, pending ones included, and whether more would have matched."""
        return QueryResult((), False) if self._store is None else self._store.query(params)

    def verdicts(self) -> list[Verdict]:
        """Return how the variables that the job follows behave, as committed."""
        return read_verdicts(self._job, self._shard)

    def anomalies(self, wanted: AnomalyFilter, count_max: int, *, newest_first: bool = False) -> list[Anomaly]:
        """Return committed anomalies, in the order of ids or against it."""
        with self._shard.read() as txn:
            table = self._tables["anomalies"]
            return scan_anomalies(txn, table, wanted, count_max, newest_first=newest_first, render=self._render)

    def _render(self, place: AnomalyId, kind: int, packed: Sequence[Any]) -> str | None:
        if place.offset < self._details_from.get(place.split, 0):
            return None
        return self._engine.render_detail(kind, packed)

    def anomaly_entries(self) -> list[tuple[bytes, bytes]]:
        """Return the committed anomaly table as it is stored, to compare runs byte by byte."""
        with self._shard.read() as txn, txn.cursor(self._tables["anomalies"]) as cursor:
            return [(bytes(key), bytes(value)) for key, value in cursor]

    def dead_letters(self, count_max: int) -> list[DeadLetter]:
        """Return committed dead letters, oldest first."""
        with self._shard.read() as txn:
            return scan_letters(self._dead_letters, txn, count_max)

    def late_rows(self, count_max: int) -> list[LateRow]:
        """Return committed rows that the metrics discarded, oldest first."""
        with self._shard.read() as txn:
            return scan_late(self._late_rows, txn, count_max)

    def episodes(self, wanted: EpisodeFilter, count_max: int, *, newest_first: bool = False) -> list[Episode]:
        """Return committed episodes, in the order of the rows that began them or against it."""
        with self._shard.read() as txn:
            return self._episodes.scan(txn, wanted, count_max, newest_first=newest_first)

    def outbox(self, count_max: int) -> list[Anomaly]:
        """Return anomalies that sinks have not taken, split after split, each split's oldest first."""
        if not self._job.sinks:
            return []
        with self._shard.read() as txn:
            waiting = islice(self._waiting(txn), count_max)
            return [decode_entry(key, value, self._render) for key, value in waiting]

    def _waiting(self, txn: Txn) -> Iterator[tuple[bytes, bytes]]:
        return self._episodes.waiting(txn, self._tables["anomalies"], self._tables["outbox"])

    def acknowledge(self, taken: Sequence[Anomaly]) -> None:
        """Take anomalies that `outbox` gave out of it: every sink has them durably."""
        ids = [anomaly.id for anomaly in taken]

        def write(txn: Txn) -> None:
            raise_marks(txn, self._tables["outbox"], ids)
            self._episodes.forget(txn, ids)

        self._shard.write(write)
        self._outbox_out_count += len(taken)

    def stat(self) -> PartitionStat:
        """Return counters; cheap enough to be asked once a second."""
        with self._shard.read() as txn:
            counts = {name: int(txn.stat(db=table)["entries"]) for name, table in self._tables.items()}
        return PartitionStat(
            partition=self._number,
            epoch=self._epoch,
            received=dict(self._marks.received),
            committed=dict(self._marks.committed),
            row_count=self._row_count,
            replayed_row_count=self._replayed_row_count,
            state_size_bytes=self._state_size_bytes,
            late_row_count=self._late_rows.total,
            anomaly_count=counts["anomalies"],
            dead_letter_count=self._dead_letters.count,
            event_count=self._event_count,
            flush_count=self._flush_count,
            outbox_count=self._outbox_in_count - self._outbox_out_count,
            size_bytes=self._shard.stat().used_size_bytes,
            degraded=self._degraded,
            gaps=tuple(self._gaps),
        )

    def close(self) -> None:
        """Release the shard; what is not flushed is not kept (flush first)."""
        if self._store is not None:
            self._store.close()
        self._shard.close()


def _from_offset(frame: pl.DataFrame, offsets: np.ndarray, start: int) -> tuple[pl.DataFrame, np.ndarray]:
    """Return the rows at or above an offset, and their offsets."""
    skipped = int(np.searchsorted(offsets, start))
    return (frame, offsets) if not skipped else (frame[skipped:], offsets[skipped:])

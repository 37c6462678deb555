"""Jobs and records for tests of partitions, and everything that can be read from the directories they leave behind."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import msgpack
import numpy as np
import pytest

from actors.engine.episodes.episode import Episode
from actors.given_rows import to_frame
from actors.host import PartitionHost
from actors.partition.episode_table import EpisodeFilter
from actors.partition.partition import Partition, RoutedBatch
from actors.partition.rejected_records import LateRow
from actors.partition.sealing import unseal
from actors.sink.protocol import Sink, SinkRecord
from actors.source.protocol import DeadLetter, Source
from actors.store import Event
from actors.store.query.planner import QueryServerParams
from cluster.local.embedded import EmbeddedJob
from config import JobSettings, make_job
from tests.support.memory_sink import MemorySink

Record = tuple[object, ...] | str
"""A row, or text that is none."""

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT", "user": "STRING"}

PLAIN: dict[str, Any] = {
    "job": "trades",
    "schema": SCHEMA,
    "time": "time",
    "key": ["sym"],
    "metrics": ["qty > 8", "sum(qty) > 12 and prev(qty) < 4"],
    "window": {"size": 20, "step": 10},
    "source": {"rows": []},
    "events": {"anomalies": False},
    "partitions": 2,
    "engine": {"garbage_size": 4},
    "snapshot_interval_rows": 8,
    "flush": {"period_ms": 100, "rows": 10},
    "limits": {"batch_rows_max": 7, "batches_in_flight_max": 3},
}

LEARNING: dict[str, Any] = {
    "detectors": [
        {"type": "new_value", "watch": ["user"], "learn": {"rows": 3}, "report": "once"},
        {"type": "new_value_combination", "watch": [["qty", "user"]], "event": ["user"], "learn": {"rows": 2}},
    ],
}

ALL_DETECTORS: dict[str, Any] = {
    "detectors": [
        {"type": "new_value", "watch": ["user"], "learn": {"duration": 40}, "expire_after": 25},
        {"type": "new_event", "event": ["user"], "learn": {"rows": 2}},
        {"type": "value_range", "watch": ["qty"], "learn": {"rows": 4}},
        {"type": "charset", "watch": ["user"], "learn": {"rows": 3}},
        {"type": "event_sequence", "event": ["user"], "learn": {"rows": 6}, "options": {"length": 2}},
        {"type": "count_vector", "event": ["user"], "learn": {"rows": 6}, "options": {"window_row_count": 3}},
        {"type": "stability", "event": ["user"], "watch": ["qty"], "options": {"value_count_max": 3}},
        {"type": "stability", "name": "times", "watch": ["qty", "user"], "options": {"segmentation": "both"}},
    ],
}

FINDING_EPISODES: dict[str, Any] = {
    "detectors": [
        {"type": "new_value", "watch": ["user", "qty"], "learn": {"rows": 2}, "keep_firing": 6},
        {"type": "new_event", "event": ["user"], "learn": {"rows": 2}, "for": 2},
        {"type": "value_range", "watch": ["qty"], "learn": {"rows": 2}},
    ],
    "ticks": 5,
    "absent": 12,
    "sinks": [{"type": "ndjson", "path": "out"}, {"type": "ndjson", "path": "episodes", "only": "episodes"}],
}

EPISODES: dict[str, Any] = {
    "metrics": [
        {"when": "qty > 6", "for": 3, "keep_firing": 9},
        {"when": "sum(qty) > 8", "clear": "sum(qty) < 6"},
        "qty > prev(qty)",
    ],
    "episodes": {"deliver": True},
}

GROUPS: dict[str, Any] = {
    "metrics": [
        {"when": "sum(qty) > 12", "for": 3},
        {"when": "count(qty) > 1", "key": ["user", "sym"], "window": {"size": 30, "step": 7}, "keep_firing": 9},
        {"when": "qty > prev(qty)", "key": ["sym", "user"]},
        {"when": "avg(qty) > 7", "window": {"size": 25}, "clear": "avg(qty) < 3"},
        {"when": "max(qty) - min(qty) > 6", "window": {"rows": 5, "step": 2}, "for": 4},
        {"when": "count(qty) > 3", "window": {"gap": 9}, "key": ["sym", "user"]},
        {"when": "count(qty) < 1", "window": {"size": 20, "empty": "zero"}, "for": 20},
        "qty > 8",
    ],
    "episodes": {"deliver": True},
}

EVENTS: dict[str, Any] = {"events": {"store": True, "anomalies": True, "type": ["trades", "{sym}"]}}

SINKS: dict[str, Any] = {"sinks": [{"type": "ndjson", "path": "out"}]}

OWN_SPLITS: dict[str, Any] = {
    "partition_by": "split",
    "source": {"type": "stream", "name": "rows", "splits": 2},
}

TWO_SINKS: dict[str, Any] = {"sinks": [{"type": "ndjson", "path": "out"}, {"type": "ndjson", "path": "other"}]}


def make_partition_job(**settings: Any) -> JobSettings:
    """Return a small job with two metrics, no detectors, events or sinks; settings replace the plain ones."""
    return make_job(PLAIN | settings)


def make_records(
    seed: int, split_count: int, record_count: int, *, are_keys_shared: bool = False
) -> list[list[Record]]:
    """Return records by split: keys that live in one split each, or in all, late rows, NULLs, records that are none."""
    rng = random.Random(seed)
    splits: list[list[Record]] = []
    for split in range(split_count):
        now = 1_700_000_000_000
        records: list[Record] = []
        for number in range(record_count):
            now += rng.choice((0, 1, 2, 5, 9))
            if rng.random() < 0.08:
                records.append(f"no row {number}")
                continue
            sym = rng.choice(
                [f"{letter}{split * (not are_keys_shared)}" for letter in "ABCDE"] + ([None] if split == 0 else [])
            )
            time = now - (rng.randrange(30) if rng.random() < 0.05 else 0)
            qty = None if rng.random() < 0.05 else rng.randrange(12)
            records.append((time, sym, qty, rng.choice(("ann", "bob", "cid", "dan"))))
        splits.append(records)
    return splits


def make_batch(
    job: JobSettings,
    start: int,
    rows: Sequence[tuple[object, ...]],
    *,
    split: int = 0,
    end: int | None = None,
    offsets: Sequence[int] | None = None,
    letters: Sequence[int] = (),
) -> RoutedBatch:
    """Return a batch of rows at consecutive offsets, unless said otherwise."""
    places = np.array(range(start, start + len(rows)) if offsets is None else offsets, dtype=np.int64)
    return RoutedBatch(
        split=split,
        start=start,
        end=start + len(rows) if end is None else end,
        frame=to_frame(job.row_schema, list(rows)),
        offsets=places,
        dead_letters=tuple(DeadLetter(split=split, offset=at, reason="bad", raw=b"?") for at in letters),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Everything that a run leaves behind, in an order that does not depend on how it went."""

    anomalies: list[tuple[bytes, bytes]]
    """The anomaly table as stored."""

    dead_letters: list[DeadLetter]
    """Dead letters by split and offset."""

    episodes: list[Episode]
    """Episodes by id."""

    late_rows: list[LateRow]
    """Discarded rows by split and offset."""

    events: list[Event]
    """Stored events by id."""

    detectors: dict[int, list[tuple[bytes, bytes]]]
    """By partition: the state of its detectors as stored."""

    watermarks: dict[int, dict[int, int]]
    """By partition and split."""

    sent: list[list[tuple[Any, ...]]]
    """What each sink has, by the id of the anomaly."""

    gaps: list[tuple[int, tuple[int, int, int]]]
    """Partition, and input that it never saw."""


def read_outcome(job: JobSettings, directory: Path, splits: Sequence[int], sinks: Sequence[MemorySink]) -> Outcome:
    """Return what closed partitions hold and what the sinks have taken."""
    anomalies, letters, late, episodes, events, gaps = [], [], [], [], [], []
    detectors, watermarks = {}, {}
    for number in range(job.partitions):
        with Partition.open(job, number, directory / f"{number:04d}") as partition:
            anomalies += partition.queries.anomaly_entries()
            letters += partition.queries.dead_letters(1_000_000)
            late += partition.queries.late_rows(1_000_000)
            episodes += partition.queries.episodes(EpisodeFilter(), 1_000_000)
            for split in splits:
                events += partition.queries.events(QueryServerParams(server_id=split, max_results=100_000))
            detectors[number] = read_table(partition, "detectors")
            watermarks[number] = read_meta(partition)["watermarks"]
            lost = [gap for gap in partition.stat().gaps if not gap.has_results]
            gaps += [(number, (gap.split, gap.start, gap.end)) for gap in lost]
            assert not any(partition.stat().outbox_counts.values()), "a sink has not been given everything"
    return Outcome(
        anomalies=sorted(anomalies),
        dead_letters=sorted(letters, key=lambda letter: (letter.split, letter.offset)),
        episodes=sorted(episodes, key=lambda episode: episode.id),
        late_rows=sorted(late, key=lambda row: (row.split, row.offset)),
        events=sorted(events, key=lambda event: event.id),
        detectors=detectors,
        watermarks=watermarks,
        sent=[sent(sink) for sink in sinks],
        gaps=gaps,
    )


def sent(sink: MemorySink) -> list[tuple[Any, ...]]:
    """Return what a sink has, by the id of the anomaly."""
    found = []
    for partition, records in sink.taken.items():
        found += [_content(partition, record) for record in records]
    return sorted(found)


def _content(partition: int, record: SinkRecord) -> tuple[Any, ...]:
    body = msgpack.packb([record.time, record.key, record.type, record.metric, record.detail])
    return (partition, record.id.split, record.id.offset, record.id.ordinal, body)


def read_table(partition: Partition, name: str) -> list[tuple[bytes, bytes]]:
    """Return a table of an open partition, its values without their checksums."""
    shard = partition._shard
    with shard.read() as txn, txn.cursor(shard.table(name)) as cursor:
        return [(bytes(key), unseal(key, bytes(value))) for key, value in cursor]


def read_meta(partition: Partition) -> dict[str, Any]:
    """Return the stored marks of an open partition."""
    stored = dict(read_table(partition, "partition"))[b"marks"]
    meta: dict[str, Any] = msgpack.unpackb(stored, strict_map_key=False)
    return meta


def undisturbed(job: JobSettings, source: Source, directory: Path) -> Outcome:
    """Return what one run in this process leaves behind."""
    sinks = [MemorySink() for _ in job.sinks]
    running = EmbeddedJob(job, source, directory, lambda: 0)
    feed_sinks(running.host, sinks)
    running.run()
    running.close()
    return read_outcome(job, directory, [split.number for split in source.splits()], sinks)


def feed_sinks(host: PartitionHost, sinks: Sequence[Sink]) -> None:
    """Let a host feed these sinks instead of those its job names."""
    host._sinks[:] = sinks


def skip_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let shards not wait for the disk: a process that dies loses nothing that it has committed."""
    real = lmdb.open
    monkeypatch.setattr(
        "actors.shard.shard.lmdb.open", lambda *given, **named: real(*given, **(named | {"sync": False}))
    )

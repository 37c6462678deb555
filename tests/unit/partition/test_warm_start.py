"""A changed job begins with what the stored rows of the job before it teach."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.errors import SnapshotError
from actors.partition.anomalies import AnomalyFilter
from actors.partition.partition import Partition
from config import ConfigError, JobSettings
from tests.support.partition_jobs import ALL_DETECTORS, EVENTS, SINKS, Record, make_batch, make_partition_job

STORED: dict[str, Any] = EVENTS | {"metrics": ["qty > 8"], "window": None}
CHANGED: dict[str, Any] = EVENTS | ALL_DETECTORS | {"metrics": ["sum(qty) > 12 and prev(qty) < 4", "qty > 9"]}
FOREVER = {"warm_start": {"last": "10d"}}


def make_rows(start: int, end: int) -> list[Record]:
    users = ["ann", "bob", None, "eve"]
    return [(1000 + 3 * n, "ABC"[n % 3], (n * 7) % 12, users[(n * n) % 4]) for n in range(start, end)]


def run(directory: Path, job: JobSettings, start: int, end: int, epoch: int = 1) -> list[tuple[bytes, bytes]]:
    """Apply rows and return the anomalies as they are stored."""
    with Partition.open(job, 0, directory) as partition:
        needed = partition.begin(epoch, {0: 0}, 0)[0]
        for at in range(max(start, needed), end, 7):
            partition.apply(epoch, make_batch(job, at, make_rows(at, min(at + 7, end))), 0)
        partition.flush(epoch, 0)
        return partition.queries.anomaly_entries()


def found_after(entries: list[tuple[bytes, bytes]], count: int) -> list[bytes]:
    return [value for _, value in entries[count:]]


def test_a_changed_job_goes_on_as_if_it_had_seen_all_rows(tmp_path: Path) -> None:
    known = len(run(tmp_path / "one", make_partition_job(**STORED), 0, 100))
    changed = make_partition_job(**CHANGED, **FOREVER)
    with Partition.open(changed, 0, tmp_path / "one") as partition:
        assert partition.begin(2, {0: 0}, 0) == {0: 100}
        assert partition.stat().replayed_row_count == 100
        assert partition.stat().anomaly_count == known
    resumed = found_after(run(tmp_path / "one", changed, 100, 200, epoch=3), known)
    with Partition.open(changed, 0, tmp_path / "two") as partition:
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, make_batch(changed, 0, make_rows(0, 100)), 0)
        partition.flush(1, 0)
        before = len(partition.queries.anomaly_entries())
    assert resumed == found_after(run(tmp_path / "two", changed, 100, 200, epoch=2), before)
    assert resumed


def test_a_warm_start_is_repeated_when_it_did_not_become_durable(tmp_path: Path) -> None:
    known = len(run(tmp_path, make_partition_job(**STORED), 0, 50))
    changed = make_partition_job(**CHANGED, **FOREVER)
    for _ in range(2):
        with Partition.open(changed, 0, tmp_path) as partition:
            assert partition.stat().replayed_row_count == 50
            first = partition.snapshot()
    with Partition.open(changed, 0, tmp_path) as partition:
        assert partition.snapshot() == first
        partition.begin(2, {0: 0}, 0)
    with Partition.open(changed, 0, tmp_path) as partition:
        assert (partition.stat().replayed_row_count, partition.stat().anomaly_count) == (0, known)


def test_only_the_last_rows_are_learnt(tmp_path: Path) -> None:
    run(tmp_path, make_partition_job(**STORED), 0, 100)
    job = make_partition_job(**CHANGED, warm_start={"last": 0.03})
    with Partition.open(job, 0, tmp_path) as partition:
        assert partition.stat().replayed_row_count == 11


def test_without_a_warm_start_a_changed_job_is_refused(tmp_path: Path) -> None:
    run(tmp_path, make_partition_job(**STORED), 0, 10)
    with pytest.raises(SnapshotError, match="set `warm_start`"):
        Partition.open(make_partition_job(**CHANGED), 0, tmp_path)


def test_details_of_metrics_that_are_gone_are_left_out(tmp_path: Path) -> None:
    old = make_partition_job(**(STORED | SINKS | {"metrics": ["qty > 8", "qty > 3 and qty < 9"]}))
    known = len(run(tmp_path, old, 0, 20))
    changed = make_partition_job(**(STORED | SINKS | FOREVER | {"metrics": ["qty > 8 and qty < 100"]}))
    run(tmp_path, changed, 20, 40, epoch=2)
    with Partition.open(changed, 0, tmp_path) as partition:
        found = partition.queries.anomalies(AnomalyFilter(), 100)
        assert partition.outbox(0, 100) == found
    assert [anomaly.detail for anomaly in found[:known]] == [None] * known
    assert found[known].detail == '{"values": {"qty > 8": true, "qty < 100": true, "qty": 10}}'


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ({"store": False}, "set `events: {store: true}`"),
        ({"store": True, "payload": ["sym", "qty"]}, "column 'time' is not in `events.payload`"),
        ({"store": True, "series": [{"order_by": "source_timestamp"}]}, "give `events.series` one"),
    ],
)
def test_a_warm_start_needs_all_of_each_row(events: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        make_partition_job(**(STORED | FOREVER | {"events": events}))


def test_the_setting_is_no_part_of_what_a_job_computes() -> None:
    assert make_partition_job(**STORED).fingerprint == make_partition_job(**STORED, **FOREVER).fingerprint


def test_windows_that_ticks_have_closed_before_a_warm_start_are_not_reported_again(tmp_path: Path) -> None:
    rows: list[Record] = [(1000, "A", 9, "ann"), (1001, "B", 9, "ann"), (1050, "A", 1, "ann"), (1080, "B", 1, "ann")]
    closing = {"ticks": 10, "engine": {"ticks_close_windows": True}}
    stored = make_partition_job(**EVENTS | closing | {"metrics": ["sum(qty) > 8"]})
    changed = make_partition_job(**EVENTS | closing | {"metrics": ["sum(qty) > 7"]} | FOREVER)
    first = replace(make_batch(stored, 0, rows[:3]), ticks=((2, 1050),))
    with Partition.open(stored, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, first, 0)
        partition.flush(1, 0)
        known = partition.queries.anomaly_entries()
        assert len(known) == 4
    with Partition.open(changed, 0, tmp_path) as partition:
        partition.begin(2, {0: 0}, 0)
        partition.apply(2, replace(make_batch(changed, 3, rows[3:]), ticks=((3, 1080),)), 0)
        partition.flush(2, 0)
        assert partition.queries.anomaly_entries() == known


def test_ticks_that_rows_of_other_partitions_made_are_known_after_a_warm_start(tmp_path: Path) -> None:
    rows: list[Record] = [(1000, "A", 9, "ann"), (1001, "B", 9, "ann"), (1080, "B", 1, "ann")]
    closing = {"ticks": 10, "engine": {"ticks_close_windows": True}}
    stored = make_partition_job(**EVENTS | closing | {"metrics": ["sum(qty) > 8"]})
    changed = make_partition_job(**EVENTS | closing | {"metrics": ["sum(qty) > 7"]} | FOREVER)
    with Partition.open(stored, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, replace(make_batch(stored, 0, rows[:2], end=3), ticks=((2, 1050),)), 0)
        partition.flush(1, 0)
        known = partition.queries.anomaly_entries()
        assert len(known) == 4
    for epoch in (2, 3):
        with Partition.open(changed, 0, tmp_path) as partition:
            partition.begin(epoch, {0: 0}, 0)
    with Partition.open(changed, 0, tmp_path) as partition:
        partition.begin(4, {0: 0}, 0)
        partition.apply(4, replace(make_batch(changed, 3, rows[2:]), ticks=((3, 1050), (3, 1080))), 0)
        partition.flush(4, 0)
        assert partition.queries.anomaly_entries() == known

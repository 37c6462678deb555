"""A snapshot goes on where it was taken, in an empty directory only, and says what is missing."""

from pathlib import Path
from typing import Any

import msgpack
import pytest

from actors.errors import SnapshotError
from actors.partition.gaps import Gap
from actors.partition.partition import Partition
from actors.partition.parts import Parts
from actors.partition.sealing import unseal
from config import JobSettings
from tests.support.partition_jobs import EVENTS, LEARNING, OWN_SPLITS, SINKS, make_batch, make_partition_job
from tests.unit.partition.test_recovery import ROWS, contents, send

JOB = make_partition_job(**LEARNING, **EVENTS, **SINKS, snapshot_interval_rows=1000)


def make_snapshot(directory: Path, end: int, job: JobSettings = JOB) -> bytes:
    with Partition.open(job, 0, directory) as partition:
        partition.begin(1, {0: 0}, 0)
        send(partition, job, end)
        partition.flush(1, 0)
        return partition.snapshot()


def test_a_restored_partition_goes_on_as_the_one_that_was_saved(tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path / "old", 30)
    with Partition.open(JOB, 0, tmp_path / "old") as old, Partition.open(JOB, 0, tmp_path / "new") as new:
        new.restore(snapshot, 0)
        for partition in (old, new):
            partition.begin(2, {0: 0}, 0)
            send(partition, JOB, 60, epoch=2)
            partition.flush(2, 0)
        assert new.received == {0: 60}
        later = {
            name: [(key, value) for key, value in contents(old)[name] if key[4:12] >= (30).to_bytes(8, "big")]
            for name in ("anomalies", "dead_letters")
        }
        assert {name: contents(new)[name] for name in later} == later
        assert contents(new)["detectors"] == contents(old)["detectors"]
        assert contents(new)["events"] == [event for event in contents(old)["events"] if event.id.session > 30]


def test_a_restored_partition_survives_a_crash_at_once(tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path / "old", 30)
    with Partition.open(JOB, 0, tmp_path / "new") as partition:
        partition.restore(snapshot, 0)
    with Partition.open(JOB, 0, tmp_path / "new") as partition:
        assert partition.begin(2, {0: 10}, 0) == {0: 30}
        assert partition.committed == {0: 30}


def test_history_below_the_snapshot_is_a_gap(tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path / "old", 30)
    with Partition.open(JOB, 0, tmp_path / "new") as partition:
        partition.restore(snapshot, 0)
        assert partition.stat().gaps == (Gap(split=0, start=0, end=30, noted_us=0),)


def test_a_snapshot_without_rows_has_no_gap(tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path / "old", 0)
    with Partition.open(JOB, 0, tmp_path / "new") as partition:
        partition.restore(snapshot, 0)
        assert partition.stat().gaps == ()


def test_a_snapshot_holds_what_is_not_flushed_yet(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path / "old") as old, Partition.open(JOB, 0, tmp_path / "new") as new:
        old.begin(1, {0: 0}, 0)
        send(old, JOB, 25)
        new.restore(old.snapshot(), 0)
        assert new.received == {0: 25}


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_what_was_captured_while_rows_go_on_is_the_snapshot_of_a_partition_that_stopped(
    tmp_path: Path, cut: int
) -> None:
    job = make_partition_job(**LEARNING, **EVENTS, **SINKS, ticks="10ms", snapshot_interval_rows=5)
    with Partition.open(job, 0, tmp_path / "going") as going, Partition.open(job, 0, tmp_path / "stopped") as stopped:
        for partition in (going, stopped):
            partition.begin(1, {0: 0}, 0)
            send(partition, job, cut)
        captured = going.capture()
        send(going, job, 60)
        going.flush(1, 0)
        assert captured.offsets == stopped.received
        assert b"".join(captured.pieces()) == stopped.snapshot()


def test_a_snapshot_taken_during_a_replay_teaches_detectors_nothing_twice(tmp_path: Path) -> None:
    make_snapshot(tmp_path / "old", 30)
    with Partition.open(JOB, 0, tmp_path / "old") as old, Partition.open(JOB, 0, tmp_path / "new") as new:
        old.begin(2, {0: 0}, 0)
        send(old, JOB, 10, epoch=2)
        new.restore(old.snapshot(), 0)
        assert (new.received, new.committed) == ({0: 10}, {0: 30})
        for partition in (old, new):
            partition.begin(3, {0: 0}, 0)
            send(partition, JOB, 60, epoch=3)
            partition.flush(3, 0)
        assert contents(new)["detectors"] == contents(old)["detectors"]


def test_a_shard_that_holds_rows_takes_no_snapshot(tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path, 30)
    with Partition.open(JOB, 0, tmp_path) as partition:
        assert partition.received == {0: 0}
        with pytest.raises(SnapshotError, match="has rows already"):
            partition.restore(snapshot, 0)


def test_a_snapshot_of_another_partition_or_job_is_refused(tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path / "old", 30)
    with Partition.open(JOB, 1, tmp_path / "1") as partition, pytest.raises(SnapshotError, match="fit partition 1"):
        partition.restore(snapshot, 0)
    other = make_partition_job(metrics=["qty > 1"], window=None)
    with Partition.open(other, 0, tmp_path / "2") as partition, pytest.raises(SnapshotError, match="other metrics"):
        partition.restore(snapshot, 0)


@pytest.mark.parametrize("kept", [0, 1, 10, 100, 1000, -1])
def test_a_torn_snapshot_is_refused(kept: int, tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path / "old", 30)
    assert len(snapshot) > 1000
    with Partition.open(JOB, 0, tmp_path / "new") as partition, pytest.raises(SnapshotError):
        partition.restore(snapshot[:kept], 0)


def read_snapshot(snapshot: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgpack.unpackb(unseal(b"snapshot", snapshot), strict_map_key=False)
    return found


@pytest.mark.parametrize("part", ["engine", "detectors", "received", "committed", "watermarks", "version"])
def test_a_snapshot_with_a_damaged_part_is_refused_and_never_written(part: str, tmp_path: Path) -> None:
    body = read_snapshot(make_snapshot(tmp_path / "old", 30))
    torn = {name: value for name, value in body.items() if name != part}
    if part in ("engine", "detectors"):
        torn[part] = b"torn" if part == "engine" else [b"torn" for _ in body[part]]
    with Partition.open(JOB, 0, tmp_path / "new") as partition, pytest.raises(SnapshotError):
        partition.restore(msgpack.packb(torn), 0)
    with Partition.open(JOB, 0, tmp_path / "new") as partition:
        assert partition.begin(1, {0: 0}, 0) == {0: 0}
        assert partition.stat().gaps == ()


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    body = read_snapshot(make_snapshot(tmp_path / "old", 3))
    with Partition.open(JOB, 0, tmp_path / "new") as partition, pytest.raises(SnapshotError, match="format 99"):
        partition.restore(msgpack.packb(body | {"version": 99}), 0)


def test_a_batch_below_a_restored_mark_is_skipped(tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path / "old", 30)
    with Partition.open(JOB, 0, tmp_path / "new") as partition:
        partition.restore(snapshot, 0)
        assert partition.apply(1, make_batch(JOB, 0, ROWS[:30]), 0) == 0
        assert partition.stat().row_count == 0


@pytest.mark.parametrize("change", [{"partitions": 1}, {"partitions": 8}, OWN_SPLITS])
@pytest.mark.parametrize("warm", [{}, {"warm_start": {"last": "1h"}}])
def test_a_shard_of_other_shares_of_the_keys_is_refused(
    change: dict[str, Any], warm: dict[str, Any], tmp_path: Path
) -> None:
    stored = {"events": {"store": True}}
    make_snapshot(tmp_path, 30, make_partition_job(**stored, partitions=2))
    other = make_partition_job(**stored, **change, **warm)
    with pytest.raises(SnapshotError, match=r"were 2 by key and are .* put them back"):
        Partition.open(other, 0, tmp_path)


def test_a_shard_that_does_not_say_its_share_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fingerprint_of_before(parts: Parts) -> list[str]:
        return [parts.metrics.engine.fingerprint, *parts.learning.fingerprints]

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "fingerprint", property(fingerprint_of_before))
        make_snapshot(tmp_path, 30)
    with Partition.open(JOB, 0, tmp_path) as partition:
        assert partition.committed == {0: 30}

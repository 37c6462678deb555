"""After a crash a partition asks for what it lacks, and ends as one that never crashed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.errors import BrokenPartitionError
from actors.partition import metrics
from actors.partition.gaps import Gap, decode_gaps, encode_gaps
from actors.partition.partition import Partition
from actors.store.query.planner import QueryServerParams
from config import JobSettings
from tests.support.partition_jobs import EVENTS, LEARNING, SINKS, make_batch, make_partition_job, read_meta, read_table

JOB = make_partition_job(**LEARNING, **EVENTS, **SINKS, snapshot_interval_rows=1000)

ROWS = [(1000 + at * 7, "ABC"[at % 3], at * 5 % 12, ("ann", "bob", "cid")[at % 5 % 3]) for at in range(60)]

TABLES = ("anomalies", "dead_letters", "detectors")


def send(partition: Partition, job: JobSettings, end: int, *, epoch: int = 1, size: int = 10) -> None:
    """Send the rows that the partition lacks, up to an offset."""
    start = partition.received[0]
    while start < end:
        count = min(size, end - start)
        partition.apply(epoch, make_batch(job, start, ROWS[start : start + count], letters=[start]), 0)
        start += count


def contents(partition: Partition) -> dict[str, Any]:
    found: dict[str, Any] = {name: read_table(partition, name) for name in TABLES}
    return found | {
        "events": partition.queries.events(QueryServerParams(server_id=0)),
        "watermarks": read_meta(partition)["watermarks"],
    }


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with Partition.open(JOB, 0, tmp_path_factory.mktemp("undisturbed")) as partition:
        partition.begin(1, {0: 0}, 0)
        send(partition, JOB, 60)
        partition.flush(1, 0)
        return contents(partition)


def crash(partition: Partition) -> None:
    """End as a killed process does: nothing is flushed and the lock is free."""
    partition.close()


def test_the_undisturbed_run_has_something_of_everything(expected: dict[str, Any]) -> None:
    assert {name: len(expected[name]) > 0 for name in (*TABLES, "events")} == dict.fromkeys((*TABLES, "events"), True)
    assert {value[0] for _, value in expected["detectors"]} != set()


@pytest.mark.parametrize("flushed_at", [0, 10, 30, 50])
def test_a_crash_costs_what_was_not_flushed_and_no_more(
    flushed_at: int, tmp_path: Path, expected: dict[str, Any]
) -> None:
    partition = Partition.open(JOB, 0, tmp_path)
    partition.begin(1, {0: 0}, 0)
    send(partition, JOB, flushed_at)
    partition.flush(1, 0)
    send(partition, JOB, min(flushed_at + 9, 60), size=3)
    crash(partition)
    with Partition.open(JOB, 0, tmp_path) as partition:
        assert partition.committed == {0: flushed_at}
        partition.begin(2, {0: 0}, 0)
        send(partition, JOB, 60, epoch=2, size=10)
        partition.flush(2, 0)
        assert contents(partition) == expected


@pytest.mark.parametrize("interval", [1, 7, 25, 1000])
def test_crashing_again_and_again_changes_nothing(interval: int, tmp_path: Path, expected: dict[str, Any]) -> None:
    job = make_partition_job(**LEARNING, **EVENTS, **SINKS, snapshot_interval_rows=interval)
    for epoch, end in enumerate((10, 30, 40, 60), start=1):
        partition = Partition.open(job, 0, tmp_path)
        partition.begin(epoch, {0: 0}, 0)
        send(partition, job, end, epoch=epoch)
        partition.flush(epoch, 0)
        send(partition, job, min(end + 5, 60), epoch=epoch)
        crash(partition)
    with Partition.open(job, 0, tmp_path) as partition:
        partition.begin(9, {0: 0}, 0)
        send(partition, job, 60, epoch=9)
        partition.flush(9, 0)
        assert contents(partition) == expected


def test_rows_that_the_shard_has_feed_the_engine_only(tmp_path: Path) -> None:
    job = make_partition_job(**LEARNING, snapshot_interval_rows=20)
    with Partition.open(job, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        send(partition, job, 20)
        partition.flush(1, 0)
        send(partition, job, 35)
        partition.flush(1, 0)
    with Partition.open(job, 0, tmp_path) as partition:
        assert partition.begin(2, {0: 0}, 0) == {0: 20}
        assert partition.committed == {0: 35}
        send(partition, job, 60, epoch=2)
        assert partition.stat().replayed_row_count == 15
        assert partition.stat().row_count == 25


def test_beginning_and_flushing_during_a_replay_keep_the_committed_mark(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        send(partition, JOB, 30)
        partition.flush(1, 0)
    for epoch in (2, 3):
        with Partition.open(JOB, 0, tmp_path) as partition:
            assert partition.begin(epoch, {0: 0}, 0) == {0: 0}
            send(partition, JOB, 10, epoch=epoch)
            partition.flush(epoch, 0)
            assert (partition.received, partition.committed) == ({0: 10}, {0: 30})


def test_the_engine_is_saved_every_so_many_rows(tmp_path: Path) -> None:
    job = make_partition_job(snapshot_interval_rows=10)
    marks = []
    with Partition.open(job, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        for end in (5, 9, 12, 20, 25):
            send(partition, job, end)
            partition.flush(1, 0)
            marks.append(read_meta(partition)["engine"][0])
    assert marks == [0, 0, 12, 12, 25]


def test_a_large_engine_is_saved_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "SNAPSHOT_BYTES_FREE", 0)
    job = make_partition_job(snapshot_interval_rows=10)
    marks = []
    for epoch in (1, 2):
        with Partition.open(job, 0, tmp_path) as partition:
            partition.begin(epoch, {0: 0}, 0)
            for end in (10, 20, 25):
                send(partition, job, 30 * (epoch - 1) + end, epoch=epoch)
                partition.flush(epoch, 0)
                marks.append(read_meta(partition)["engine"][0])
    # Each has some 600 bytes, so that nineteen rows are between two.
    assert marks == [10, 10, 10, 30, 50, 50]


def test_the_engine_mark_follows_while_no_row_has_come_since(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, make_batch(JOB, 0, [], end=90), 0)
        partition.flush(1, 0)
    with Partition.open(JOB, 0, tmp_path) as partition:
        assert partition.begin(2, {0: 0}, 0) == {0: 90}


def test_a_flush_with_a_snapshot_leaves_nothing_to_replay(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        send(partition, JOB, 30)
        partition.flush(1, 0, with_snapshot=True)
    with Partition.open(JOB, 0, tmp_path) as partition:
        assert partition.begin(2, {0: 0}, 0) == {0: 30}


def test_rows_that_are_committed_and_gone_before_their_replay_are_no_loss(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        send(partition, JOB, 30)
        partition.flush(1, 0)
    not_replayed = Gap(split=0, start=0, end=20, noted_us=5, has_results=True)
    for epoch in (2, 3):
        with Partition.open(JOB, 0, tmp_path) as partition:
            assert partition.begin(epoch, {0: 20}, epoch + 3) == {0: 20}
            # It is found once, though the engine's snapshot stays the same.
            assert partition.stat().gaps == (not_replayed,)
            assert partition.committed == {0: 30}
            partition.validate()


def test_a_source_that_overtook_a_partition_leaves_both_kinds_of_gap(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        send(partition, JOB, 30)
        partition.flush(1, 0)
    for epoch in (2, 3):
        with Partition.open(JOB, 0, tmp_path) as partition:
            assert partition.begin(epoch, {0: 45}, 7) == {0: 45}
            lost, not_replayed = partition.stat().gaps if epoch == 3 else reversed(partition.stat().gaps)
            assert lost == Gap(split=0, start=30, end=45, noted_us=7)
            assert not_replayed == Gap(split=0, start=0, end=30, noted_us=7, has_results=True)
            assert partition.committed == {0: 45}


def test_gaps_of_a_shard_of_before_have_no_time() -> None:
    before = {"gaps": [[0, 3, 4], [1, 0, 9]]}
    lone, other = decode_gaps(before)
    assert (lone.records, lone.noted_us, lone.has_results) == ("record 3 of split 0", None, False)
    assert (other.records, other.noted_us) == ("records 0 to 8 of split 1", None)
    assert decode_gaps(encode_gaps([lone, other])) == [lone, other]


def fail_after(real: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any) -> None:
        real(*arguments)
        raise MemoryError("no memory left")

    return run


def test_a_batch_that_fails_half_way_breaks_the_partition_until_it_is_opened_again(
    tmp_path: Path, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        send(partition, JOB, 30)
        engine = partition._parts.metrics.engine
        monkeypatch.setattr(engine, "append_physical", fail_after(engine.append_physical))
        with pytest.raises(BrokenPartitionError, match="offset 30 to 40: MemoryError: no memory left"):
            send(partition, JOB, 40)
        assert partition.is_broken
        with pytest.raises(BrokenPartitionError, match="open it again"):
            send(partition, JOB, 40)
        with pytest.raises(BrokenPartitionError):
            partition.flush(1, 0)
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(2, {0: 0}, 0)
        send(partition, JOB, 60, epoch=2)
        partition.flush(2, 0)
        assert contents(partition) == expected


def test_a_job_without_metrics_works_and_recovers(tmp_path: Path) -> None:
    job = make_partition_job(**LEARNING, **EVENTS, metrics=[], window=None, snapshot_interval_rows=5)
    found = []
    for directory, ends in (("disturbed", (20, 60)), ("undisturbed", (60,))):
        for epoch, end in enumerate(ends, start=1):
            with Partition.open(job, 0, tmp_path / directory) as partition:
                partition.begin(epoch, {0: 0}, 0)
                send(partition, job, end, epoch=epoch)
                partition.flush(epoch, 0)
                found.append(contents(partition)["anomalies"])
    assert found[1] == found[2]
    assert len(found[0]) == 5

"""What a partition takes: this epoch or a newer one, no gaps, and every row once."""

from pathlib import Path

import pytest

from actors.errors import OffsetGapError, SnapshotError, StaleEpochError
from actors.partition.anomalies import AnomalyFilter
from actors.partition.gaps import Gap
from actors.partition.partition import Partition
from actors.shard import ShardError, ShardIdentifierError, ShardOwnedError
from tests.support.partition_jobs import LEARNING, make_batch, make_partition_job

JOB = make_partition_job(metrics=["qty > 8"], window=None)


def row(qty: int, sym: str = "A", time: int = 1000) -> tuple[object, ...]:
    return (time, sym, qty, "ann")


def test_an_older_epoch_is_refused_by_every_call(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(4, {0: 0}, 0)
        with pytest.raises(StaleEpochError, match="epoch 3 is over: partition 0 follows epoch 4"):
            partition.apply(3, make_batch(JOB, 0, [row(9)]), 0)
        for refused in (partition.flush, partition.flush_if_due):
            with pytest.raises(StaleEpochError):
                refused(3, 0)
        with pytest.raises(StaleEpochError):
            partition.begin(3, {0: 0}, 0)
        assert partition.received == {0: 0}


def test_an_older_epoch_is_refused_after_reopening(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(4, {0: 0}, 0)
    with Partition.open(JOB, 0, tmp_path) as partition, pytest.raises(StaleEpochError, match="epoch 3 is over"):
        partition.begin(3, {0: 0}, 0)


def test_the_same_epoch_may_begin_again(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(4, {0: 0}, 0)
        partition.apply(4, make_batch(JOB, 0, [row(9)]), 0)
        assert partition.begin(4, {0: 0}, 0) == {0: 1}


def test_a_batch_after_a_gap_is_refused(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, make_batch(JOB, 0, [row(9)]), 0)
        with pytest.raises(OffsetGapError, match="needs split 0 from offset 1; the batch starts at 2"):
            partition.apply(1, make_batch(JOB, 2, [row(9)]), 0)
        assert partition.received == {0: 1}


def test_a_split_that_is_new_starts_at_its_beginning(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {}, 0)
        with pytest.raises(OffsetGapError, match="needs split 7 from offset 0"):
            partition.apply(1, make_batch(JOB, 3, [row(9)], split=7), 0)
        assert partition.apply(1, make_batch(JOB, 0, [row(9)], split=7), 0) == 1


def test_a_batch_without_rows_for_the_partition_moves_its_mark(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        assert partition.apply(1, make_batch(JOB, 0, [], end=50), 0) == 0
        partition.flush(1, 0)
        assert partition.committed == {0: 50}


def test_rows_below_the_mark_are_skipped(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        assert partition.apply(1, make_batch(JOB, 0, [row(9), row(1)]), 0) == 1
        assert partition.apply(1, make_batch(JOB, 0, [row(9), row(1)]), 0) == 0
        assert partition.apply(1, make_batch(JOB, 1, [row(1), row(10), row(11)]), 0) == 2
        assert partition.stat().row_count == 4
        partition.flush(1, 0)
        found = partition.queries.anomalies(AnomalyFilter(), 10)
    assert [anomaly.id.offset for anomaly in found] == [0, 2, 3]


def test_splits_have_marks_of_their_own(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0, 1: 0}, 0)
        partition.apply(1, make_batch(JOB, 0, [row(9)], end=5), 0)
        partition.apply(1, make_batch(JOB, 0, [row(9, "B")], split=1, end=3), 0)
        partition.flush(1, 0)
        assert partition.committed == {0: 5, 1: 3}


def test_a_source_that_lost_its_beginning_is_a_gap_that_stays_known(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        assert partition.begin(1, {0: 30, 1: 0}, 0) == {0: 30, 1: 0}
        assert partition.begin(2, {0: 30, 1: 0}, 0) == {0: 30, 1: 0}
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(3, {0: 30, 1: 0}, 0)
        assert partition.stat().gaps == (Gap(split=0, start=0, end=30, noted_us=0),)
        assert partition.committed == {0: 30, 1: 0}


def test_what_is_gone_from_the_source_but_known_here_is_no_gap(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, make_batch(JOB, 0, [row(9)], end=40), 0)
        assert partition.begin(2, {0: 40}, 0) == {0: 40}
        assert partition.stat().gaps == ()


def test_a_partition_has_one_owner(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path), pytest.raises(ShardOwnedError):
        Partition.open(JOB, 0, tmp_path)
    Partition.open(JOB, 0, tmp_path).close()


def test_a_shard_of_another_partition_or_job_is_refused(tmp_path: Path) -> None:
    Partition.open(JOB, 0, tmp_path).close()
    with pytest.raises(ShardIdentifierError, match="trades/0"):
        Partition.open(JOB, 1, tmp_path)
    with pytest.raises(ShardError):
        Partition.open(make_partition_job(job="other"), 0, tmp_path)


@pytest.mark.parametrize(
    "changed",
    [{"metrics": ["qty > 9"]}, {"key": ["user"]}, {"detectors": LEARNING["detectors"]}],
    ids=["metrics", "keys", "detectors"],
)
def test_a_job_that_computes_something_else_is_refused_and_leaves_the_shard_free(
    changed: dict[str, object], tmp_path: Path
) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
    other = make_partition_job(**({"metrics": ["qty > 8"], "window": None} | changed))
    with pytest.raises(SnapshotError, match="submit the changed job under a new name"):
        Partition.open(other, 0, tmp_path)
    Partition.open(JOB, 0, tmp_path).close()


def test_flushes_come_by_period_and_by_rows(tmp_path: Path) -> None:
    job = make_partition_job(flush={"period_ms": 100, "rows": 3})
    with Partition.open(job, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 1_000_000)
        partition.apply(1, make_batch(job, 0, [row(1)]), 1_099_999)
        assert partition.committed == {0: 0}
        partition.apply(1, make_batch(job, 1, [row(1)]), 1_100_000)
        assert partition.committed == {0: 2}
        partition.apply(1, make_batch(job, 2, [row(1), row(1)]), 1_100_001)
        assert partition.committed == {0: 2}
        partition.apply(1, make_batch(job, 4, [row(1)]), 1_100_002)
        assert partition.committed == {0: 5}


def test_nothing_is_flushed_when_nothing_has_changed(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        count = partition.stat().flush_count
        partition.flush_if_due(1, 10_000_000)
        assert partition.stat().flush_count == count


def test_the_bytes_of_the_engines_state_are_known_after_a_flush(tmp_path: Path) -> None:
    with Partition.open(make_partition_job(), 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, make_batch(JOB, 0, [row(9, sym=f"key-{number}") for number in range(1000)]), 0)
        partition.flush(1, 0)
        assert partition.stat().state_size_bytes > 1000 * 50

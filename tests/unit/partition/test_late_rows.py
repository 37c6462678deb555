"""Rows that metrics discard are kept with the reason, once, whatever happens in between."""

from pathlib import Path
from typing import Any

from actors.partition.partition import Partition
from config import JobSettings
from tests.support.partition_jobs import make_batch, make_partition_job

JOB = make_partition_job(metrics=["sum(qty) > 100"], flush={"rows": 1000})
ROWS = [(1000, "A", 1, "ann"), (990, "A", 2, "bob"), (1001, "A", 3, "cid"), (996, "A", 4, "dan")]


def opened(directory: Path, job: JobSettings = JOB, epoch: int = 1) -> Partition:
    partition = Partition.open(job, 0, directory)
    partition.begin(epoch, {0: 0}, 0)
    return partition


def kept(partition: Partition) -> list[tuple[int, str, Any]]:
    return [(late.offset, late.reason, late.row) for late in partition.queries.late_rows(100)]


def test_late_rows_are_kept_with_the_reason_from_the_flush_on(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        partition.apply(1, make_batch(JOB, 0, ROWS), 0)
        assert kept(partition) == []
        partition.flush(1, 0)
        assert kept(partition) == [
            (1, "late by 10 ticks", (990, "A", 2, "bob")),
            (3, "late by 5 ticks", (996, "A", 4, "dan")),
        ]


def test_a_replay_keeps_and_counts_them_once(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        partition.apply(1, make_batch(JOB, 0, ROWS[:3]), 0)
        partition.flush(1, 0)
    with opened(tmp_path, epoch=2) as partition:
        partition.apply(2, make_batch(JOB, 0, ROWS), 0)
        partition.flush(2, 0)
        assert [offset for offset, _, _ in kept(partition)] == [1, 3]
        assert partition.stat().late_row_count == 2


def test_the_newest_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    job = make_partition_job(metrics=["sum(qty) > 100"], limits={"late_rows_max": 1})
    with opened(tmp_path, job) as partition:
        partition.apply(1, make_batch(job, 0, ROWS), 0)
        partition.flush(1, 0)
        assert [offset for offset, _, _ in kept(partition)] == [3]
        assert partition.stat().late_row_count == 2


def test_rows_are_not_late_where_order_does_not_matter(tmp_path: Path) -> None:
    job = make_partition_job(metrics=["qty > 100"], window=None)
    with opened(tmp_path, job) as partition:
        partition.apply(1, make_batch(job, 0, ROWS), 0)
        partition.flush(1, 0)
        assert kept(partition) == []


def test_columns_may_be_called_like_what_is_kept_beside_a_row(tmp_path: Path) -> None:
    schema = {"time": "TIMESTAMP", "sym": "SYMBOL", "offset": "STRING", "late_by": "INT"}
    job = make_partition_job(schema=schema, metrics=["sum(late_by) > 100"])
    with opened(tmp_path, job) as partition:
        partition.apply(1, make_batch(job, 0, [(1000, "A", "x", 7), (990, "A", "y", 8)]), 0)
        partition.flush(1, 0)
        assert kept(partition) == [(1, "late by 10 ticks", (990, "A", "y", 8))]

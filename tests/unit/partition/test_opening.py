"""Opening a partition: everything that its shard lacks is made in as few transactions as can be."""

from pathlib import Path

import pytest

from actors.partition.partition import Partition
from actors.shard import Shard
from tests.support.partition_jobs import EVENTS, make_partition_job

JOB = make_partition_job(**EVENTS)


def commits(directory: Path) -> int:
    with Shard.open(directory, read_only=True) as shard:
        return shard.stat().transaction_id


@pytest.mark.parametrize(
    ("generation", "count"),
    [
        pytest.param(None, 2, id="tables-and-store"),
        pytest.param(1, 3, id="tables-generation-and-store"),
    ],
)
def test_a_new_partition_is_made_in_few_transactions_and_opened_again_without_one(
    tmp_path: Path, generation: int | None, count: int
) -> None:
    for _ in range(2):
        with Partition.open(JOB, 0, tmp_path / "0000", generation) as partition:
            partition.validate()
        assert commits(tmp_path / "0000") == count

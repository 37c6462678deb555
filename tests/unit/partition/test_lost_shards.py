"""A host whose shards vanish or are exchanged: nothing is acknowledged or answered, and the next `open` begins anew."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.host import PartitionHost
from actors.host_batch import HostBatch
from actors.partition.anomalies import AnomalyFilter
from actors.shard import ShardLostError
from actors.store import QueryLatestParams
from tests.support.partition_jobs import SINKS, make_batch, make_partition_job

JOB = make_partition_job(
    metrics=["qty > 8"],
    window=None,
    partitions=3,
    flush={"rows": 1000, "period_ms": 100},
    events={"store": True},
    **SINKS,
)
ROWS = [(1000 + at, "A", 9, "ann") for at in range(4)]


def batch(start: int = 0) -> HostBatch:
    rows = make_batch(JOB, start, ROWS)
    return HostBatch(
        split=0, start=start, end=start + 4, partitions=(0,), rows={0: (rows.frame, rows.offsets)}, dead_letters={}
    )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[PartitionHost]:
    made = PartitionHost(JOB.to_bytes(), str(tmp_path / "partitions"))
    made.open(1, [0, 1], {0: 0}, {}, 0)
    made.apply(1, batch(), 0)
    made.flush(1, 0)
    yield made
    made.close()


def test_a_flush_acknowledges_nothing_and_names_the_partition(host: PartitionHost, tmp_path: Path) -> None:
    host.apply(1, batch(4), 0)
    shutil.rmtree(tmp_path / "partitions" / "0000")
    with pytest.raises(ShardLostError, match=r"partitions/0000 is lost: .*data.mdb is gone"):
        host.flush(1, 0)
    with pytest.raises(ShardLostError):
        host.apply(1, batch(8), 0)
    with pytest.raises(ShardLostError):
        host.capture(1, 0, 0)


def test_an_opening_may_name_all_that_a_host_shall_own(host: PartitionHost) -> None:
    host.open(1, [2], {0: 0}, {}, 0)
    assert [one.partition for one in host.stat()] == [0, 1, 2]
    host.open(1, [1], {0: 0}, {}, 0, are_all=True)
    assert [one.partition for one in host.stat()] == [1]


def test_a_lost_partition_is_released_to_its_next_owner(host: PartitionHost, tmp_path: Path) -> None:
    host.apply(1, batch(4), 0)
    shutil.rmtree(tmp_path / "partitions" / "0000")
    host.release(1, [0], 0)
    other = PartitionHost(JOB.to_bytes(), str(tmp_path / "partitions"))
    assert other.open(1, [0], {0: 0}, {}, 0)[0].is_empty
    other.close()


def test_the_next_open_of_a_lost_partition_begins_anew(host: PartitionHost, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "partitions")
    opened = host.open(1, [0, 1], {0: 0}, {}, 0)
    assert {number: dict(one.needed) for number, one in opened.items()} == {0: {0: 0}, 1: {0: 0}}
    host.apply(1, batch(), 0)
    assert host.flush(1, 0) == {0: {0: 4}, 1: {0: 0}}
    found = host.ask([0, 1], "anomalies", {"wanted": AnomalyFilter(), "count_max": 10})
    assert (len(found[0]), len(found[1])) == (4, 0)


def test_a_directory_that_comes_back_is_opened_as_it_is(host: PartitionHost, tmp_path: Path) -> None:
    host.apply(1, batch(4), 0)
    (tmp_path / "partitions" / "0000").rename(tmp_path / "away")
    with pytest.raises(ShardLostError):
        host.flush(1, 0)
    (tmp_path / "away").rename(tmp_path / "partitions" / "0000")
    assert dict(host.open(1, [0, 1], {0: 0}, {}, 0)[0].reached) == {0: 4}


def test_no_query_answers_from_a_shard_that_is_gone(host: PartitionHost, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "partitions" / "0000")
    for ask in (
        host.stat,
        lambda: host.deliver(0),
        lambda: host.ask([0, 1], "ready", {}),
        lambda: host.ask([0], "anomalies", {"wanted": AnomalyFilter(), "count_max": 10}),
        lambda: host.ask([0], "event_page", {"params": QueryLatestParams()}),
    ):
        with pytest.raises(ShardLostError, match="partitions/0000"):
            ask()

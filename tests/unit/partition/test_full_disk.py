"""A shard that is full loses nothing: what is pending stays, further rows wait, and later all is well."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from actors.partition.partition import Partition
from actors.shard import ShardFullError
from actors.store import QueryTimeseriesParams
from config.specs import store_config
from tests.support.partition_jobs import EVENTS, make_batch, make_partition_job

MAP_SIZE_BYTES = 1 << 18

SETTINGS = {"metrics": ["qty > 8"], "window": None, "flush": {"rows": 1000}} | EVENTS

JOB = make_partition_job(**SETTINGS, limits={"map_size_bytes_max": MAP_SIZE_BYTES})

ROOMY = make_partition_job(**SETTINGS)


def rows(start: int, count: int = 30) -> list[tuple[object, ...]]:
    rng = random.Random(start)
    return [(1000 + start + at, "A", (start + at) % 12, rng.randbytes(1000).hex()) for at in range(count)]


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Partition]:
    """A partition whose first rows are flushed and whose further 300 do not fit."""
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, make_batch(JOB, 0, rows(0)), 0)
        partition.flush(1, 0)
        for start in range(30, 330, 30):
            partition.apply(1, make_batch(JOB, start, rows(start)), 0)
        with pytest.raises(ShardFullError):
            partition.flush(1, 0)
        yield partition


def test_a_full_shard_says_so_and_keeps_what_it_has(full: Partition) -> None:
    assert "map_size_bytes_max" in (full.stat().degraded or "")
    assert (full.received, full.committed) == ({0: 330}, {0: 30})
    assert full.stat().anomaly_count == len([at for at in range(30) if at % 12 > 8])


def test_a_full_shard_applies_nothing_more(full: Partition) -> None:
    before = full.stat().row_count
    with pytest.raises(ShardFullError):
        full.apply(1, make_batch(JOB, 330, rows(330)), 0)
    assert (full.stat().row_count, full.received) == (before, {0: 330})


def test_a_flush_that_is_due_fails_quietly_and_the_rows_stay(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, make_batch(JOB, 0, rows(0, 300)), 0)
        partition.flush_if_due(1, 10_000_000)
        assert partition.stat().degraded is not None
        assert partition.committed == {0: 0}


def make_room(partition: Partition) -> None:
    """Free the disk, as an operator does."""
    partition._shard._map_size_bytes_max = 1 << 30


def test_with_room_again_everything_is_written(full: Partition, tmp_path_factory: pytest.TempPathFactory) -> None:
    make_room(full)
    assert full.apply(1, make_batch(JOB, 330, rows(330)), 0) > 0
    full.flush(1, 0)
    assert (full.stat().degraded, full.committed) == (None, {0: 360})
    with Partition.open(ROOMY, 0, tmp_path_factory.mktemp("roomy")) as other:
        other.begin(1, {0: 0}, 0)
        for start in range(0, 360, 30):
            other.apply(1, make_batch(ROOMY, start, rows(start)), 0)
        other.flush(1, 0)
        assert full.queries.anomaly_entries() == other.queries.anomaly_entries()


def test_a_flush_that_is_due_tries_again(full: Partition) -> None:
    make_room(full)
    full.flush_if_due(1, 10_000_000)
    assert (full.stat().degraded, full.committed) == (None, {0: 330})


def test_a_process_that_dies_with_a_full_shard_is_sent_the_rows_again(full: Partition, tmp_path: Path) -> None:
    full.close()
    with Partition.open(ROOMY, 0, tmp_path) as partition:
        needed = partition.begin(2, {0: 0}, 0)[0]
        for start in range(needed, 330, 30):
            partition.apply(2, make_batch(ROOMY, start, rows(start)), 0)
        partition.flush(2, 0)
        assert partition.committed == {0: 330}
        assert partition.stat().anomaly_count == len([at for at in range(330) if at % 12 > 8])


def test_a_map_that_may_grow_does_so_unnoticed(tmp_path: Path) -> None:
    with Partition.open(ROOMY, 0, tmp_path) as partition:
        partition._shard._env.set_mapsize(MAP_SIZE_BYTES)
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, make_batch(ROOMY, 0, rows(0, 300)), 0)
        partition.flush(1, 0)
        assert (partition.committed, partition.stat().degraded) == ({0: 300}, None)


def test_a_batch_larger_than_the_store_may_hold_is_taken_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "actors.partition.assembly.store_config", lambda job: replace(store_config(job), pending_size_bytes_max=50_000)
    )
    monkeypatch.setattr("actors.partition.flushing.STORE_PENDING_BYTES_MAX", 12_500)
    with Partition.open(ROOMY, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        for start in (0, 5, 300):
            partition.apply(1, make_batch(ROOMY, start, rows(start, 5 if not start else 295)), 0)
        assert (partition.received, partition.is_broken) == ({0: 595}, False)
        partition.flush(1, 0)
        params = QueryTimeseriesParams(max_results=4000, event_types=(("trades", "A"),))
        assert len(partition.queries.events(params)) == 595

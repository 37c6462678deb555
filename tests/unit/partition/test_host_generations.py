"""What a host opens is the current copy of each shard, and copies go from one node's directory to another's."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.errors import StaleEpochError
from actors.host import PartitionHost
from actors.host_batch import HostBatch
from actors.partition.gaps import Gap
from actors.shard import ShardLostError, ShardOwnedError
from actors.shard.generations import discard_below
from tests.support.partition_jobs import make_batch, make_partition_job
from tests.support.shard_copies import chunks_of

JOB = make_partition_job(metrics=["qty > 8"], window=None, partitions=3, flush={"rows": 1000, "period_ms": 100})
ROWS = [(1000 + at, "A", 9, "ann") for at in range(4)]


def batch(start: int = 0) -> HostBatch:
    rows = make_batch(JOB, start, ROWS)
    return HostBatch(
        split=0, start=start, end=start + 4, partitions=(0,), rows={0: (rows.frame, rows.offsets)}, dead_letters={}
    )


def filled(host: PartitionHost, epoch: int = 1, generation: int = 1) -> None:
    """Let a host have four rows of partition 0, durably."""
    host.open(epoch, [0], {0: 0}, {}, 0, (), {0: generation})
    host.apply(epoch, batch(), 0)
    host.flush(epoch, 0)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[PartitionHost]:
    made = PartitionHost(JOB.to_bytes(), str(tmp_path / "here"))
    yield made
    made.close()


@pytest.fixture
def there(tmp_path: Path) -> Iterator[PartitionHost]:
    (tmp_path / "there").mkdir()
    made = PartitionHost(JOB.to_bytes(), str(tmp_path / "there"))
    yield made
    made.close()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_new_shard_says_that_it_is_empty_and_one_with_rows_does_not(here: PartitionHost) -> None:
    opened = here.open(1, [0], {0: 0}, {}, 0, (), {0: 0})[0]
    assert (opened.generation, opened.is_empty) == (1, True)
    filled(here)
    again = here.open(2, [0], {0: 0}, {}, 0, (), {0: 1})[0]
    assert (again.generation, again.is_empty, dict(again.reached)) == (1, False, {0: 4})


def test_a_shard_that_is_gone_is_made_at_its_generation_and_says_that_it_is_empty(
    here: PartitionHost, tmp_path: Path
) -> None:
    filled(here, generation=3)
    shutil.rmtree(tmp_path / "here" / "0000")
    opened = here.open(2, [0], {0: 2}, {}, 0, (), {0: 3})[0]
    assert (opened.generation, opened.is_empty, dict(opened.needed)) == (3, True, {0: 2})


def test_a_higher_generation_of_an_open_partition_begins_anew(here: PartitionHost, tmp_path: Path) -> None:
    filled(here)
    opened = here.open(1, [0], {0: 0}, {}, 0, (), {0: 2})[0]
    assert (opened.generation, opened.is_empty, dict(opened.needed)) == (2, True, {0: 0})
    assert names(tmp_path / "here") == ["0000", "0000.generation-1"]


def test_a_lower_generation_is_refused_and_names_the_partition(here: PartitionHost) -> None:
    filled(here, generation=3)
    with pytest.raises(ShardLostError, match=r"partition 0 of job .*has generation 3, but generation 2 is the current"):
        here.open(2, [0], {0: 0}, {}, 0, (), {0: 2})


def test_the_older_copy_goes_when_the_new_one_has_what_it_had(here: PartitionHost, tmp_path: Path) -> None:
    filled(here)
    here.open(2, [0], {0: 0}, {}, 0, (), {0: 2})
    here.flush(2, 0)
    assert names(tmp_path / "here") == ["0000", "0000.generation-1"]
    here.close()
    here.open(3, [0], {0: 0}, {}, 0, (), {0: 2})
    here.apply(3, batch(), 0)
    here.flush(3, 0)
    assert names(tmp_path / "here") == ["0000"]


def test_the_older_copy_stays_when_its_input_is_gone(
    here: PartitionHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(here)
    here.open(2, [0], {0: 2}, {}, 0, (), {0: 2})
    here.apply(2, batch(), 0)
    here.flush(2, 0)
    assert names(tmp_path / "here") == ["0000", "0000.generation-1"]
    assert "an older copy is kept" in caplog.text
    assert here.stat()[0].gaps == (Gap(split=0, start=0, end=2, noted_us=0),)


def move(here: PartitionHost, there: PartitionHost, generation: int = 2) -> None:
    for chunk in chunks_of(here, 1, 0, generation):
        there.receive_chunk(1, 0, generation, chunk)
    there.finish_copy(1, 0, generation, chunk.size_bytes, chunk.digest)


def test_a_partition_moves_to_another_node_with_everything(
    here: PartitionHost, there: PartitionHost, tmp_path: Path
) -> None:
    filled(here)
    before = here.ask([0], "anomaly_entries", {})
    move(here, there)
    opened = there.open(1, [0], {0: 4}, {}, 0, (), {0: 2})[0]
    assert (opened.generation, opened.is_empty, dict(opened.needed)) == (2, False, {0: 4})
    assert there.ask([0], "anomaly_entries", {}) == before != {0: []}
    assert names(tmp_path / "there") == ["0000"]


def test_the_copy_that_was_left_behind_is_never_the_current_one(
    here: PartitionHost, there: PartitionHost, tmp_path: Path
) -> None:
    filled(here)
    move(here, there)
    with pytest.raises(ShardOwnedError):
        discard_below(tmp_path / "here" / "0000", 2)
    here.release(1, [0], 0)
    assert here.open(2, [0], {0: 0}, {}, 0, (), {0: 3})[0].is_empty
    here.release(2, [0], 0)
    discard_below(tmp_path / "here" / "0000", 4)
    assert names(tmp_path / "here") == []


def test_a_move_that_was_given_up_leaves_the_source_as_it_was(
    here: PartitionHost, there: PartitionHost, tmp_path: Path
) -> None:
    filled(here)
    chunk = next(chunks_of(here, 1, 0, 2))
    there.receive_chunk(1, 0, 2, chunk)
    discard_below(tmp_path / "there" / "0000", 2)
    here.end_copy(1, 0, 2)
    assert (names(tmp_path / "here"), names(tmp_path / "there")) == (["0000"], [])
    assert here.open(1, [0], {0: 0}, {}, 0, (), {0: 1})[0].generation == 1


def test_a_leader_that_is_over_moves_nothing(here: PartitionHost, there: PartitionHost) -> None:
    filled(here, epoch=2)
    there.open(2, [], {}, {}, 0)
    with pytest.raises(StaleEpochError):
        here.begin_copy(1, 0, 2, 0)
    chunk = next(chunks_of(here, 2, 0, 2))
    with pytest.raises(StaleEpochError):
        there.receive_chunk(1, 0, 2, chunk)


def test_an_idle_partition_notices_that_its_shard_is_gone(here: PartitionHost, tmp_path: Path) -> None:
    filled(here)
    shutil.rmtree(tmp_path / "here")
    with pytest.raises(ShardLostError):
        here.flush_due(1, 0)

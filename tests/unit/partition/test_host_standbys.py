"""Second copies on a host: fed like the owner, asked nothing, and taken over without being opened again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from actors.errors import NotOpenError, StaleEpochError
from actors.host import PartitionHost
from actors.host_batch import HostBatch
from actors.partition.acceptances import Acceptance
from actors.shard import ShardLostError
from tests.support.memory_sink import MemorySink
from tests.support.partition_jobs import LEARNING, SINKS, feed_sinks, make_batch, make_partition_job
from tests.support.shard_copies import chunks_of

JOB = make_partition_job(
    **(LEARNING | SINKS | {"metrics": ["qty > 8"], "window": None, "partitions": 1, "flush": {"rows": 1000}})
)


def batch(start: int = 0, count: int = 4) -> HostBatch:
    rows = make_batch(JOB, start, [(1000 + at, "A", 9, "ann") for at in range(start, start + count)])
    return HostBatch(
        split=0, start=start, end=start + count, partitions=(0,), rows={0: (rows.frame, rows.offsets)}, dead_letters={}
    )


@pytest.fixture
def sinks() -> list[MemorySink]:
    return [MemorySink()]


def start(directory: Path, sinks: list[MemorySink]) -> PartitionHost:
    host = PartitionHost(JOB.to_bytes(), str(directory))
    feed_sinks(host, sinks)
    return host


@pytest.fixture
def owner(tmp_path: Path, sinks: list[MemorySink]) -> Iterator[PartitionHost]:
    """A host that owns the partition, at generation 1, with four rows of which each is an anomaly."""
    host = start(tmp_path / "owner", sinks)
    host.open(1, [0], {0: 0}, {}, 0, (), {0: 1})
    host.apply(1, batch(), 0)
    host.flush(1, 0)
    yield host
    host.validate()
    host.close()


@pytest.fixture
def other(tmp_path: Path, sinks: list[MemorySink]) -> Iterator[PartitionHost]:
    """A host with the second copy, at generation 2, which has the same rows."""
    (tmp_path / "other").mkdir()
    host = start(tmp_path / "other", sinks)
    assert host.stand_by(1, 0, 2, [0], 0, ()).is_empty
    host.apply(1, batch(), 0)
    yield host
    host.validate()
    host.close()


def test_a_second_copy_answers_nothing_and_feeds_no_sink(other: PartitionHost, sinks: list[MemorySink]) -> None:
    assert other.flush_standbys(1, 0) == {0: {0: 4}}
    assert other.stat() == []
    with pytest.raises(NotOpenError):
        other.ask([0], "anomaly_entries", {})
    with pytest.raises(NotOpenError):
        other.deliver(0)
    assert not sinks[0].taken


def test_a_second_copy_that_takes_over_has_what_was_not_flushed(owner: PartitionHost, other: PartitionHost) -> None:
    opened = other.open(1, [0], {0: 0}, {}, 0, (), {0: 2}, True)[0]
    assert (dict(opened.needed), opened.generation, opened.is_empty) == ({0: 4}, 2, False)
    assert other.ask([0], "anomaly_entries", {}) == owner.ask([0], "anomaly_entries", {})


def test_after_it_took_over_sinks_get_what_they_do_not_have(
    owner: PartitionHost, other: PartitionHost, sinks: list[MemorySink]
) -> None:
    assert owner.deliver(0) == 4
    other.take_marks(1, owner.outbox_marks())
    other.apply(1, batch(4, 2), 0)
    other.flush_standbys(1, 0)
    other.open(1, [0], {0: 0}, {}, 0, (), {0: 2}, True)
    assert other.stat()[0].outbox_counts == {JOB.sinks[0].identity: 2}
    assert other.deliver(0) == 2
    assert other.deliver(0) == 0


def test_marks_of_rows_that_have_not_come_yet_count_when_they_come(owner: PartitionHost, other: PartitionHost) -> None:
    owner.apply(1, batch(4, 2), 0)
    owner.flush(1, 0)
    assert owner.deliver(0) == 6
    other.take_marks(1, owner.outbox_marks())
    other.apply(1, batch(4, 2), 0)
    other.flush_standbys(1, 0)
    other.open(1, [0], {0: 0}, {}, 0, (), {0: 2}, True)
    assert other.deliver(0) == 0


def test_an_owner_of_before_goes_on_as_the_second_copy_from_where_it_stands(owner: PartitionHost) -> None:
    opened = owner.stand_by(2, 0, 3, [0], 0, ())
    assert (dict(opened.reached), opened.generation) == ({0: 4}, 3)
    assert owner.stat() == []
    with pytest.raises(NotOpenError):
        owner.flush(2, 0)


def test_a_copy_of_before_is_not_opened_as_the_shard(owner: PartitionHost, tmp_path: Path) -> None:
    owner.close()
    opened = owner.open(2, [0], {0: 0}, {}, 0, (), {0: 2})[0]
    assert opened.is_empty
    assert (tmp_path / "owner" / "0000.generation-1").exists()


def test_a_copy_that_arrived_goes_before_the_one_that_is_there(owner: PartitionHost, other: PartitionHost) -> None:
    owner.apply(1, batch(4, 2), 0)
    for chunk in chunks_of(owner, 1, 0, 3):
        other.receive_chunk(1, 0, 3, chunk)
    other.finish_copy(1, 0, 3, chunk.size_bytes, chunk.digest)
    opened = other.stand_by(1, 0, 3, [0], 0, ())
    assert (dict(opened.needed), opened.generation) == ({0: 6}, 3)


def test_a_copy_that_is_newer_than_wanted_is_not_taken(other: PartitionHost) -> None:
    other.stand_by(1, 0, 5, [0], 0, ())
    with pytest.raises(ShardLostError, match="generation 5") as caught:
        other.stand_by(1, 0, 4, [0], 0, ())
    assert caught.value.generation == 5


def test_a_copy_that_has_missed_an_accepted_value_is_not_taken(other: PartitionHost) -> None:
    value = Acceptance(acceptance_id="v", key=("A",), groups=((0, ()),), variable="user", value="bob", positions={0: 2})
    with pytest.raises(ShardLostError, match="came too late"):
        other.stand_by(1, 0, 2, [0], 0, (value.to_bytes(),))
    later = replace(value, positions={0: 4})
    other.stand_by(1, 0, 2, [0], 0, (later.to_bytes(),))


def test_a_leader_of_before_feeds_no_second_copy(other: PartitionHost) -> None:
    other.stand_by(2, 0, 2, [0], 0, ())
    with pytest.raises(StaleEpochError):
        other.apply(1, batch(4), 0)
    with pytest.raises(StaleEpochError):
        other.stand_by(1, 0, 2, [0], 0, ())


def test_what_a_host_shall_not_have_any_more_is_closed(other: PartitionHost, tmp_path: Path) -> None:
    other.release(1, [0], 0)
    second = start(tmp_path / "other", [MemorySink()])
    assert dict(second.open(1, [0], {0: 0}, {}, 0, (), {0: 2})[0].needed) == {0: 4}
    second.close()


def test_a_second_copy_that_is_lost_is_no_trouble_of_the_host(
    owner: PartitionHost, other: PartitionHost, tmp_path: Path
) -> None:
    (tmp_path / "other" / "0000" / "data.mdb").unlink()
    assert other.flush_standbys(1, 0) == {}
    with pytest.raises(NotOpenError):
        other.apply(1, batch(4), 0)

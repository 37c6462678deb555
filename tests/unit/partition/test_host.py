"""A host owns what it was told to open under the newest epoch, and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from actors.errors import BrokenPartitionError, NotOpenError, SinkError, SnapshotError, StaleEpochError
from actors.host import PartitionHost
from actors.host_batch import HostBatch
from actors.partition.flushing import Flushing
from actors.partition.gaps import Gap
from actors.partition.values import OpenedPartition
from actors.shard import ShardFullError, ShardOwnedError
from actors.sink.protocol import SinkRecord
from tests.support.memory_sink import MemorySink
from tests.support.partition_jobs import LEARNING, TWO_SINKS, feed_sinks, make_batch, make_partition_job

JOB = make_partition_job(
    metrics=["qty > 8"], window=None, partitions=3, flush={"rows": 1000, "period_ms": 100}, **LEARNING, **TWO_SINKS
)

ROWS = [(1000 + at, "A", 9, "ann") for at in range(4)]


def batch_for(*partitions: int, start: int = 0, count: int = 4, owner: int = 0) -> HostBatch:
    """Return a batch for some partitions whose rows all belong to one of them."""
    rows = make_batch(JOB, start, ROWS[:count])
    return HostBatch(
        split=0,
        start=start,
        end=start + count,
        partitions=partitions,
        rows={owner: (rows.frame, rows.offsets)} if owner in partitions else {},
        dead_letters={},
    )


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[PartitionHost, PartitionHost]]:
    made = PartitionHost(JOB.to_bytes(), str(tmp_path)), PartitionHost(JOB.to_bytes(), str(tmp_path))
    yield made
    for host in made:
        host.close()


Hosts = tuple[PartitionHost, PartitionHost]


def needed(opened: Mapping[int, OpenedPartition]) -> dict[int, dict[int, int]]:
    """Return from where each partition needs rows."""
    return {number: dict(one.needed) for number, one in opened.items()}


class FullSink(MemorySink):
    """A sink that takes nothing of one partition."""

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        if anomalies[0].partition == 0:
            raise SinkError("no space left")
        super().write(anomalies)


def test_a_sink_that_fails_keeps_nothing_from_other_sinks_and_partitions(hosts: Hosts) -> None:
    full, good = FullSink(), MemorySink()
    host = hosts[0]
    host.open(1, [0, 1], {0: 0}, {}, 0)
    feed_sinks(host, [full, good])
    for owner in (0, 1):
        host.apply(1, batch_for(owner, owner=owner), 0)
    host.flush(1, 0)
    with pytest.raises(SinkError, match="no space left"):
        host.deliver(0)
    host.deliver(1)
    assert (sorted(good.taken), sorted(full.taken)) == ([0, 1], [1])
    assert [[bool(count) for count in stat.outbox_counts.values()] for stat in host.stat()] == [
        [True, False], [False, False],
    ]  # fmt: skip


def test_a_partition_says_how_far_it_is_though_its_engine_needs_rows_from_before(hosts: Hosts) -> None:
    first, second = hosts
    first.open(1, [0], {0: 0}, {}, 0)
    first.apply(1, batch_for(0), 0)
    first.flush(1, 0)
    first.close()
    assert second.open(2, [0], {0: 0}, {}, 0) == {0: OpenedPartition(needed={0: 0}, reached={0: 4})}


def test_a_batch_moves_every_partition_that_it_is_for(hosts: Hosts) -> None:
    host = hosts[0]
    host.open(1, [0, 1, 2], {0: 0}, {}, 0)
    assert host.apply(1, batch_for(0, 1, 2), 0) == 4
    assert host.flush(1, 0) == {0: {0: 4}, 1: {0: 4}, 2: {0: 4}}


def test_a_batch_tells_nothing_to_partitions_that_it_is_not_for(hosts: Hosts) -> None:
    host = hosts[0]
    host.open(1, [0, 1], {0: 0}, {}, 0)
    host.apply(1, batch_for(1), 0)
    assert host.flush(1, 0) == {0: {0: 0}, 1: {0: 4}}


@pytest.mark.parametrize("partitions", [(0, 2), (2,)])
def test_a_batch_for_a_partition_that_is_not_open_is_applied_to_none(partitions: tuple[int, ...], hosts: Hosts) -> None:
    host = hosts[0]
    host.open(1, [0, 1], {0: 0}, {}, 0)
    with pytest.raises(NotOpenError, match="does not own partition 2"):
        host.apply(1, batch_for(*partitions), 0)
    assert host.flush(1, 0) == {0: {0: 0}, 1: {0: 0}}


def test_opening_again_keeps_what_is_in_memory(hosts: Hosts) -> None:
    host = hosts[0]
    host.open(1, [0], {0: 0}, {}, 0)
    host.apply(1, batch_for(0), 0)
    assert needed(host.open(2, [0, 1], {0: 0}, {}, 0)) == {0: {0: 4}, 1: {0: 0}}


def test_a_partition_moves_with_everything(hosts: Hosts) -> None:
    first, second = hosts
    first.open(1, [0, 1], {0: 0}, {}, 0)
    first.apply(1, batch_for(0, 1), 0)
    with pytest.raises(ShardOwnedError):
        second.open(1, [0], {0: 0}, {}, 0)
    first.release(1, [0], 0)
    assert needed(second.open(1, [0], {}, {}, 0)) == {0: {0: 4}}
    assert first.ask([1], "anomaly_entries", {}) == {1: []}
    assert len(second.ask([0], "anomaly_entries", {})[0]) == 4
    with pytest.raises(NotOpenError):
        first.ask([0, 1], "anomaly_entries", {})
    with pytest.raises(NotOpenError):
        first.apply(1, batch_for(0, 1, start=4), 0)


def test_releasing_what_is_not_here_does_nothing(hosts: Hosts) -> None:
    hosts[0].release(1, [0, 1], 0)
    hosts[0].open(1, [0], {0: 0}, {}, 0)


def test_a_leader_whose_epoch_is_over_releases_nothing(hosts: Hosts) -> None:
    hosts[0].open(2, [0], {0: 0}, {}, 0)
    with pytest.raises(StaleEpochError):
        hosts[0].release(1, [0], 0)
    assert hosts[0].apply(2, batch_for(0), 0) == 4


def test_a_leader_whose_epoch_is_over_takes_no_shard_away(hosts: Hosts) -> None:
    first, second = hosts
    first.open(2, [0], {0: 0}, {}, 0)
    first.release(2, [0], 0)
    with pytest.raises(StaleEpochError):
        first.open(1, [0], {0: 0}, {}, 0)
    assert needed(second.open(2, [0], {0: 0}, {}, 0)) == {0: {0: 0}}


def test_a_host_that_owns_nothing_refuses_old_epochs_too(hosts: Hosts) -> None:
    first, second = hosts
    first.open(1, [0], {0: 0}, {}, 0)
    second.release(2, [0], 0)
    first.release(1, [0], 0)
    with pytest.raises(StaleEpochError, match="epoch 1 is over: this host follows epoch 2"):
        second.open(1, [0], {}, {}, 0)
    assert needed(first.open(2, [0], {0: 0}, {}, 0)) == {0: {0: 0}}


def test_under_a_newer_epoch_a_host_gives_up_what_it_is_not_told_to_own(hosts: Hosts) -> None:
    first, second = hosts
    first.open(1, [0, 1], {0: 0}, {}, 0)
    first.open(1, [2], {}, {}, 0)
    assert [stat.partition for stat in first.stat()] == [0, 1, 2]
    first.open(2, [1], {0: 0}, {}, 0)
    assert [stat.partition for stat in first.stat()] == [1]
    assert set(second.open(2, [0, 2], {0: 0}, {}, 0)) == {0, 2}


def test_hearing_of_the_newer_epoch_before_makes_no_difference(hosts: Hosts) -> None:
    first, second = hosts
    first.open(1, [0, 1], {0: 0}, {}, 0)
    first.accept(2, [])
    first.open(2, [1], {0: 0}, {}, 0)
    assert [stat.partition for stat in first.stat()] == [1]
    assert set(second.open(2, [0], {0: 0}, {}, 0)) == {0}
    first.open(2, [2], {0: 0}, {}, 0)
    assert [stat.partition for stat in first.stat()] == [1, 2]


def test_a_partition_that_moves_during_a_delivery_is_delivered_by_its_next_owner(hosts: Hosts) -> None:
    first, second = hosts
    first.open(1, [0], {0: 0}, {}, 0)
    first.apply(1, batch_for(0), 0)
    moved = first._partitions[0]
    first.release(1, [0], 0)
    assert first._deliver(moved, 0) == 0
    second.open(1, [0], {}, {}, 0)
    assert list(second.stat()[0].outbox_counts.values()) == [4, 4]


def test_a_full_disk_at_opening_leaves_the_shard_to_the_next_try(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ShardFullError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Flushing, "write", fail)
        with pytest.raises(ShardFullError):
            hosts[0].open(1, [0], {0: 0}, {}, 0)
    assert needed(hosts[1].open(1, [0], {0: 0}, {}, 0)) == {0: {0: 0}}


def test_a_partition_that_broke_is_opened_anew(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    host = hosts[0]
    host.open(1, [0], {0: 0}, {}, 0)
    host.apply(1, batch_for(0), 0)
    host.flush(1, 0)

    def fail(*_: object) -> None:
        raise MemoryError("no memory left")

    monkeypatch.setattr(host._partitions[0]._parts.learning._detectors[0], "process", fail)
    with pytest.raises(
        BrokenPartitionError, match=r"partition 0 of job 'trades' .* split 0 from offset 4 to 8: Memory"
    ):
        host.apply(1, batch_for(0, start=4), 0)
    assert needed(host.open(1, [0], {0: 0}, {}, 0)) == {0: {0: 0}}
    host.apply(1, batch_for(0), 0)
    assert host.apply(1, batch_for(0, start=4), 0) == 4
    assert host.stat()[0].replayed_row_count == 4


def test_a_snapshot_names_the_offsets_where_it_goes_on(hosts: Hosts, tmp_path: Path) -> None:
    first, second = hosts
    first.open(1, [0], {0: 0}, {}, 0)
    first.apply(1, batch_for(0), 0)
    captured = first.capture(1, 0, 0)
    assert captured.offsets == {0: 4}
    # Rows that come before it is bytes are not in it.
    first.apply(1, batch_for(0, start=4), 0)
    data = b"".join(captured.pieces())
    first.release(1, [0], 0)
    (tmp_path / "0000").rename(tmp_path / "lost")
    assert needed(second.open(1, [0], {0: 2}, {0: data}, 0)) == {0: {0: 4}}
    assert second.stat()[0].gaps == (Gap(split=0, start=0, end=4, noted_us=0),)


def test_a_partition_that_is_to_be_rebuilt_takes_a_snapshot_when_the_source_has_lost_its_beginning_meanwhile(
    hosts: Hosts, tmp_path: Path
) -> None:
    first, second = hosts
    first.open(1, [0], {0: 0}, {}, 0)
    first.apply(1, batch_for(0), 0)
    data = b"".join(first.capture(1, 0, 0).pieces())
    first.release(1, [0], 0)
    (tmp_path / "0000").rename(tmp_path / "lost")
    assert needed(second.open(1, [0], {0: 0}, {}, 0)) == {0: {0: 0}}
    assert needed(second.open(1, [0], {0: 2}, {0: data}, 0)) == {0: {0: 4}}
    assert second.stat()[0].gaps == (Gap(split=0, start=0, end=4, noted_us=0),)


def test_a_shard_that_holds_rows_ignores_a_snapshot(hosts: Hosts) -> None:
    first, second = hosts
    first.open(1, [0], {0: 0}, {}, 0)
    first.apply(1, batch_for(0, count=2), 0)
    data = b"".join(first.capture(1, 0, 0).pieces())
    first.apply(1, batch_for(0, start=2, count=2), 0)
    first.flush(1, 0)
    first.close()
    assert needed(second.open(2, [0], {0: 0}, {0: data}, 0)) == {0: {0: 0}}
    assert second.stat()[0].committed == {0: 4}


def test_a_torn_snapshot_leaves_the_shard_free(hosts: Hosts) -> None:
    with pytest.raises(SnapshotError):
        hosts[0].open(1, [0], {0: 5}, {0: b"torn"}, 0)
    assert needed(hosts[1].open(1, [0], {0: 0}, {}, 0)) == {0: {0: 0}}


def test_a_tick_flushes_what_has_waited(hosts: Hosts) -> None:
    host = hosts[0]
    host.open(1, [0], {0: 0}, {}, 0)
    host.apply(1, batch_for(0), 0)
    host.flush_due(1, 99_999)
    assert host.stat()[0].committed == {0: 0}
    host.flush_due(1, 100_000)
    assert host.stat()[0].committed == {0: 4}


def test_a_host_that_was_restarted_says_so_to_every_call(hosts: Hosts) -> None:
    for call in (lambda: hosts[0].flush_due(1, 0), lambda: hosts[0].flush(1, 0), lambda: hosts[0].deliver(0)):
        with pytest.raises(NotOpenError, match="it was restarted"):
            call()


def test_closing_flushes_nothing(hosts: Hosts) -> None:
    first, second = hosts
    first.open(1, [0], {0: 0}, {}, 0)
    first.apply(1, batch_for(0), 0)
    first.close()
    assert needed(second.open(1, [0], {0: 0}, {}, 0)) == {0: {0: 0}}

"""What leaves a partition: anomalies through the outbox, each once; and dead letters, kept once."""

import json
from pathlib import Path
from typing import Any

import pytest

from actors.host import PartitionHost
from actors.host_batch import HostBatch
from actors.partition.anomaly_table import encode_id
from actors.partition.check import check_partition
from actors.partition.partition import Partition, RoutedBatch
from actors.source.protocol import DeadLetter
from config import JobSettings
from tests.support.memory_sink import MemorySink
from tests.support.partition_jobs import SINKS, TWO_SINKS, feed_sinks, make_batch, make_partition_job

SETTINGS: dict[str, Any] = {"metrics": ["qty > 8"], "window": None, "flush": {"rows": 1000}}

JOB = make_partition_job(**SETTINGS, **SINKS)

ROWS = [(1000 + at, "A", at % 12, "ann") for at in range(24)]
"""Rows 9, 10, 11, 21, 22 and 23 raise an anomaly."""


def opened(directory: Path, job: JobSettings = JOB, epoch: int = 1) -> Partition:
    partition = Partition.open(job, 0, directory)
    partition.begin(epoch, {0: 0}, 0)
    return partition


def listed(partition: Partition, count_max: int = 100) -> list[int]:
    """Return the offsets of what waits."""
    return [anomaly.id.offset for anomaly in partition.outbox(0, count_max)]


def waiting_count(partition: Partition) -> int:
    """Return how many wait for the only sink."""
    (count,) = partition.stat().outbox_counts.values()
    return count


def offsets_waiting(partition: Partition) -> list[list[int]]:
    """Return the offsets of what waits for each sink, which is what the counters say."""
    counts = partition.stat().outbox_counts.values()
    found = [[one.id.offset for one in partition.outbox(sink, 100)] for sink in range(len(counts))]
    assert list(map(len, found)) == list(counts)
    return found


def test_the_outbox_lists_committed_anomalies_only(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        partition.apply(1, make_batch(JOB, 0, ROWS[:12]), 0)
        assert listed(partition) == []
        partition.flush(1, 0)
        assert listed(partition) == [9, 10, 11]
        assert listed(partition, 2) == [9, 10]


def test_what_is_acknowledged_does_not_wait_any_more(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        partition.apply(1, make_batch(JOB, 0, ROWS[:12]), 0)
        partition.flush(1, 0)
        partition.acknowledge(0, partition.outbox(0, 2))
        assert listed(partition) == [11]
        partition.acknowledge(0, partition.outbox(0, 2))
    with opened(tmp_path, epoch=2) as partition:
        partition.apply(2, make_batch(JOB, 0, ROWS), 0)
        partition.flush(2, 0)
        assert listed(partition) == [21, 22, 23]
        assert waiting_count(partition) == 3


def test_rows_sent_again_after_a_crash_are_not_sent_to_sinks_again(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        partition.apply(1, make_batch(JOB, 0, ROWS[:12]), 0)
        partition.flush(1, 0)
        partition.apply(1, make_batch(JOB, 12, ROWS[12:]), 0)
    with opened(tmp_path, epoch=2) as partition:
        assert listed(partition) == [9, 10, 11]
        partition.apply(2, make_batch(JOB, 0, ROWS), 0)
        partition.flush(2, 0)
        assert listed(partition) == [9, 10, 11, 21, 22, 23]


def test_each_sink_has_a_mark_of_its_own(tmp_path: Path) -> None:
    job = make_partition_job(**SETTINGS, **TWO_SINKS)
    with opened(tmp_path, job) as partition:
        partition.apply(1, make_batch(job, 0, ROWS[:12]), 0)
        partition.flush(1, 0)
        partition.acknowledge(1, partition.outbox(1, 2))
        assert offsets_waiting(partition) == [[9, 10, 11], [11]]
    with opened(tmp_path, job, epoch=2) as partition:
        partition.acknowledge(0, partition.outbox(0, 1))
        assert offsets_waiting(partition) == [[10, 11], [11]]


def test_a_sink_is_known_by_its_identity_and_one_that_comes_later_begins_at_the_beginning(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        partition.apply(1, make_batch(JOB, 0, ROWS[:12]), 0)
        partition.flush(1, 0)
        partition.acknowledge(0, partition.outbox(0, 2))
    other, same = TWO_SINKS["sinks"][1], SINKS["sinks"][0]
    job = make_partition_job(**SETTINGS, sinks=[other, same])
    with opened(tmp_path, job, epoch=2) as partition:
        assert offsets_waiting(partition) == [[9, 10, 11], [11]]


def test_every_sink_begins_at_the_mark_of_a_shard_of_before(tmp_path: Path) -> None:
    job = make_partition_job(**SETTINGS, **TWO_SINKS)
    with opened(tmp_path, job) as partition:
        partition.apply(1, make_batch(job, 0, ROWS[:12]), 0)
        partition.flush(1, 0)
        mark, table = encode_id(partition.outbox(0, 1)[0].id), partition._shard.table("outbox")
        partition._shard.write(lambda txn: txn.put(bytes(4), mark, db=table))
        assert check_partition(partition._shard) == []
    with opened(tmp_path, job, epoch=2) as partition:
        assert offsets_waiting(partition) == [[10, 11], [10, 11]]
        partition.acknowledge(1, partition.outbox(1, 100))
        assert offsets_waiting(partition) == [[10, 11], []]
        assert check_partition(partition._shard) == []


def test_each_split_waits_for_itself(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        for split in (2, 0):
            partition.apply(1, make_batch(JOB, 0, ROWS[:12], split=split), 0)
        partition.flush(1, 0)
        partition.acknowledge(0, [anomaly for anomaly in partition.outbox(0, 100) if anomaly.id.split == 2][:2])
        assert [(anomaly.id.split, anomaly.id.offset) for anomaly in partition.outbox(0, 100)] == [
            (0, 9), (0, 10), (0, 11), (2, 11),
        ]  # fmt: skip
        assert waiting_count(partition) == 4


def test_a_job_without_sinks_has_no_outbox(tmp_path: Path) -> None:
    job = make_partition_job(**SETTINGS)
    with opened(tmp_path, job) as partition:
        partition.apply(1, make_batch(job, 0, ROWS), 0)
        partition.flush(1, 0)
        assert (partition.stat().outbox_counts, partition.stat().anomaly_count) == ({}, 6)


def for_host(batch: RoutedBatch) -> HostBatch:
    """Return a batch of partition 0 as a host gets it."""
    rows = {0: (batch.frame, batch.offsets)}
    return HostBatch(split=batch.split, start=batch.start, end=batch.end, partitions=(0,), rows=rows, dead_letters={})


class ForgetfulSink(MemorySink):
    """Takes everything and then fails, once: its host does not learn that it was taken."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def write(self, anomalies: object) -> None:
        super().write(anomalies)  # type: ignore[arg-type]
        self.calls += 1
        if self.calls == 1:
            raise OSError("the connection broke")


def test_a_delivery_that_failed_is_made_again_and_sinks_leave_alone_what_they_know(tmp_path: Path) -> None:
    host, sink = PartitionHost(JOB.to_bytes(), str(tmp_path)), ForgetfulSink()
    feed_sinks(host, [sink])
    host.open(1, [0], {0: 0}, {}, 0)
    host.apply(1, for_host(make_batch(JOB, 0, ROWS)), 0)
    host.flush(1, 0)
    with pytest.raises(OSError, match="the connection broke"):
        host.deliver(0)
    assert (host.deliver(0), host.deliver(0)) == (6, 0)
    assert [record.id.offset for record in sink.taken[0]] == [9, 10, 11, 21, 22, 23]
    host.close()


def test_the_files_of_a_sink_hold_every_anomaly_once(tmp_path: Path) -> None:
    job = make_partition_job(
        metrics=["qty > 8"], window=None, sinks=[{"type": "ndjson", "path": str(tmp_path / "out")}]
    )
    for epoch, end in ((1, 12), (2, 24)):
        host = PartitionHost(job.to_bytes(), str(tmp_path / "shards"))
        host.open(epoch, [0], {0: 0}, {}, 0)
        host.apply(epoch, for_host(make_batch(job, 0, ROWS[:end])), 0)
        host.flush(epoch, 0)
        host.deliver(0)
        host.close()
    lines = (tmp_path / "out" / "partition-0000-split-0000.ndjson").read_text().splitlines()
    assert [json.loads(line)["offset"] for line in lines] == [9, 10, 11, 21, 22, 23]


def test_dead_letters_are_kept_once_and_counted(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        batch = make_batch(JOB, 0, ROWS[:3], end=6, letters=[4, 5])
        partition.apply(1, batch, 0)
        partition.apply(1, batch, 0)
        partition.flush(1, 0)
        assert partition.stat().dead_letter_count == 2
    with opened(tmp_path, epoch=2) as partition:
        partition.apply(2, batch, 0)
        partition.apply(2, make_batch(JOB, 6, [], end=8, letters=[7]), 0)
        partition.flush(2, 0)
        assert partition.stat().dead_letter_count == 3
        assert partition.queries.dead_letters(2) == [
            DeadLetter(split=0, offset=4, reason="bad", raw=b"?"),
            DeadLetter(split=0, offset=5, reason="bad", raw=b"?"),
        ]


def test_dead_letters_wait_for_the_flush(tmp_path: Path) -> None:
    with opened(tmp_path) as partition:
        partition.apply(1, make_batch(JOB, 0, [], end=1, letters=[0]), 0)
        assert partition.queries.dead_letters(10) == []
    with opened(tmp_path, epoch=2) as partition:
        assert partition.received == {0: 0}


def test_only_the_newest_dead_letters_of_a_split_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    job = make_partition_job(**SETTINGS, limits={"dead_letters_max": 3})
    with opened(tmp_path, job) as partition:
        partition.apply(1, make_batch(job, 0, [], end=2, letters=[0, 1], split=1), 0)
        partition.flush(1, 0)
        for start in (0, 4):
            letters = range(start, start + 4)
            partition.apply(1, make_batch(job, start, [], end=start + 4, letters=letters), 0)
            partition.flush(1, 0)
        kept = [(letter.split, letter.offset) for letter in partition.queries.dead_letters(10)]
        assert kept == [(0, 7), (1, 0), (1, 1)]
    with opened(tmp_path, job, epoch=2) as partition:
        assert partition.stat().dead_letter_count == 10


def test_no_dead_letter_need_be_kept(tmp_path: Path) -> None:
    job = make_partition_job(**SETTINGS, limits={"dead_letters_max": 0})
    with opened(tmp_path, job) as partition:
        partition.apply(1, make_batch(job, 0, [], end=2, letters=[0, 1]), 0)
        partition.flush(1, 0)
        assert (partition.queries.dead_letters(10), partition.stat().dead_letter_count) == ([], 2)

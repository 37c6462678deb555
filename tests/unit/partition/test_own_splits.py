"""A host reads the splits of its own partitions: in turn, from where they stand, and under the newest epoch."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from actors.errors import NotOpenError, OffsetGapError, SourceError, StaleEpochError
from actors.host import PartitionHost
from actors.partition.gaps import Gap
from actors.source.protocol import Source, SourceBatch
from actors.split_reader import SplitProgress
from cluster.local.embedded import EmbeddedJob
from config.errors import ConfigError
from tests.support.list_source import ListSource
from tests.support.partition_jobs import EPISODES, OWN_SPLITS, Record, make_partition_job, make_records

JOB = make_partition_job(metrics=["qty > 8"], window=None, limits={"batch_rows_max": 2}, **OWN_SPLITS)

ROWS: list[list[Record]] = [[(1000 + at, "A", 9, "ann") for at in range(count)] for count in (5, 3)]


class Growing(ListSource):
    """A source that has its rows up to an end, fails when it is made to, and counts how often it is open."""

    def __init__(self) -> None:
        super().__init__(JOB.row_schema, ROWS)
        self.ends = {0: 5, 1: 3}
        self.earliest = {0: 0, 1: 0}
        self.failing: set[int] = set()
        self.open_count = 0

    def earliest_offset(self, split: int) -> int:
        return self.earliest[split]

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        if split in self.failing:
            raise SourceError("the disk is away")
        found = super().read(split, offset, max(min(row_count_max, self.ends[split] - offset), 1))
        return replace(found, at_end=False) if self.ends[split] > offset else self._nothing(offset)

    def _nothing(self, offset: int) -> SourceBatch:
        found = super().read(0, 0, 1)
        return replace(found, frame=found.frame[:0], offsets=found.offsets[:0], next_offset=offset, at_end=False)

    def close(self) -> None:
        self.open_count -= 1

    def __call__(self, split: int) -> Source:
        self.open_count += 1
        return self


@pytest.fixture
def source() -> Growing:
    return Growing()


@pytest.fixture
def host(tmp_path: Path, source: Growing) -> Iterator[PartitionHost]:
    made = PartitionHost(JOB.to_bytes(), str(tmp_path), open_split=source)
    made.open_splits(1, [0, 1])
    made.open(1, [0, 1], {0: 0, 1: 0}, {}, 0)
    yield made
    made.close()
    assert not source.open_count


def reached(found: list[SplitProgress]) -> dict[int, tuple[int, int, int]]:
    return {one.split: (one.start, one.end, one.anomaly_count) for one in found}


def test_a_second_copy_is_read_as_far_as_it_is_said_and_no_further(tmp_path: Path, source: Growing) -> None:
    with closing(PartitionHost(JOB.to_bytes(), str(tmp_path / "copies"), open_split=source)) as copies:
        copies.stand_by(1, 0, 2, (0,), 0, ())
        assert reached(copies.read_splits(1, {0: 0}, 9, 0, {0: 3})) == {0: (0, 3, 3)}
        assert reached(copies.read_splits(1, {0: 3}, 9, 0, {0: 5})) == {0: (3, 5, 2)}
        with pytest.raises(NotOpenError, match="does not own partition 0"):
            copies.read_splits(1, {0: 5}, 9, 0)


def test_a_source_that_ends_before_the_owner_is_a_trouble_of_the_copy(tmp_path: Path) -> None:
    shorter = ListSource(JOB.row_schema, ROWS)
    with closing(PartitionHost(JOB.to_bytes(), str(tmp_path), open_split=lambda split: shorter)) as copies:
        copies.stand_by(1, 1, 2, (1,), 0, ())
        (found,) = copies.read_splits(1, {1: 0}, 9, 0, {1: 7})
        assert found.trouble == "split 1 of the source: it ends at 3 here, and the owner of the partition has read to 7"


def test_splits_take_turns_up_to_so_many_batches(host: PartitionHost) -> None:
    assert reached(host.read_splits(1, {1: 0, 0: 0}, 3, 0)) == {1: (0, 3, 3), 0: (0, 2, 2)}
    assert reached(host.read_splits(1, {1: 3, 0: 2}, 3, 0)) == {1: (3, 3, 0), 0: (2, 5, 3)}
    host.flush(1, 0)
    assert {one.partition: dict(one.committed) for one in host.stat()} == {0: {0: 5}, 1: {1: 3}}


def test_what_was_asked_before_is_not_read_again(host: PartitionHost) -> None:
    host.read_splits(1, {0: 0}, 1, 0)
    assert host.read_splits(1, {0: 0}, 1, 0) == [SplitProgress(split=0, start=0, end=2)]


def test_a_partition_that_is_not_so_far_refuses(host: PartitionHost) -> None:
    with pytest.raises(OffsetGapError, match="partition 0 needs its split from offset 0, not 2"):
        host.read_splits(1, {0: 2}, 1, 0)


def test_a_deposed_leader_reads_nothing(host: PartitionHost) -> None:
    host.open_splits(2, [0])
    with pytest.raises(StaleEpochError, match="epoch 1 is over"):
        host.read_splits(1, {0: 0}, 1, 0)


def test_a_host_reads_for_none_but_its_own_partitions(host: PartitionHost, source: Growing) -> None:
    host.release(1, [1], 0)
    assert source.open_count == 1
    with pytest.raises(NotOpenError, match="does not own partition 1"):
        host.read_splits(1, {0: 0, 1: 0}, 1, 0)


def test_a_source_that_fails_for_one_split_is_opened_again_for_that_one(host: PartitionHost, source: Growing) -> None:
    source.failing = {0}
    failed, other = host.read_splits(1, {0: 0, 1: 0}, 9, 0)
    assert (failed.trouble, failed.end, other.end) == ("split 0 of the source: the disk is away", 0, 3)
    assert source.open_count == 1
    source.failing = set()
    assert reached(host.read_splits(1, {0: 0}, 9, 0)) == {0: (0, 5, 5)}


def test_rows_that_are_gone_when_the_source_is_opened_again_are_said(host: PartitionHost, source: Growing) -> None:
    source.failing = {0}
    host.read_splits(1, {0: 0}, 9, 0)
    source.failing, source.earliest = set(), {0: 4, 1: 0}
    (found,) = host.read_splits(1, {0: 0}, 9, 0)
    assert (found.gone_until, found.end) == (4, 0)


def test_a_gap_of_one_split_is_none_of_the_other(tmp_path: Path, source: Growing) -> None:
    host = PartitionHost(JOB.to_bytes(), str(tmp_path), open_split=source)
    host.open(1, [0, 1], {0: 0, 1: 2}, {}, 0)
    assert {one.partition: one.gaps for one in host.stat()} == {0: (), 1: (Gap(split=1, start=0, end=2, noted_us=0),)}
    host.close()


@pytest.mark.parametrize("splits", [1, 3])
def test_a_source_with_more_or_fewer_splits_than_partitions_is_refused(tmp_path: Path, splits: int) -> None:
    other = ListSource(JOB.row_schema, [ROWS[0]] * splits)
    with pytest.raises(ConfigError, match=f"has {splits} splits, and the job 2 partitions.*say `partitions: {splits}`"):
        EmbeddedJob(JOB, other, tmp_path, lambda: 0)


def test_a_host_that_was_given_no_source_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotOpenError, match="reads no source"):
        PartitionHost(JOB.to_bytes(), str(tmp_path)).open_splits(1, [0])


@pytest.fixture
def entries(tmp_path: Path) -> Callable[..., list[tuple[bytes, bytes]]]:
    def find(name: str, records: list[list[Record]], **settings: object) -> list[tuple[bytes, bytes]]:
        job = make_partition_job(**(EPISODES | settings))
        running = EmbeddedJob(job, ListSource(job.row_schema, records), tmp_path / name, lambda: 0)
        running.run()
        found = running.anomaly_entries()
        running.close()
        return found

    return find


def test_keys_of_one_split_each_give_what_they_give_when_they_are_routed(
    entries: Callable[..., list[tuple[bytes, bytes]]],
) -> None:
    records = make_records(1, 2, 60)
    found = entries("own", records, **OWN_SPLITS)
    assert len(found) > 20
    assert found == entries("routed", records)


def test_a_key_in_two_splits_is_two_series(entries: Callable[..., list[tuple[bytes, bytes]]]) -> None:
    records = make_records(1, 2, 60, are_keys_shared=True)
    each = [entries(f"alone-{one}", [[], []][:one] + [records[one]] + [[]] * (1 - one)) for one in range(2)]
    assert entries("own", records, **OWN_SPLITS) == sorted(each[0] + each[1])
    assert entries("own", records, **OWN_SPLITS) != entries("routed", records)

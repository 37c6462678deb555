"""Comparison of anomaly tables, and the beginning of a source that an undisturbed run reads again."""

from pathlib import Path

import pytest

from cluster.local.compare import BoundedSource, Comparison, compare, undisturbed_entries
from cluster.local.embedded import embedded_job
from tests.support.list_source import ListSource
from tests.support.partition_jobs import make_partition_job, make_records, skip_sync

A, B, C = (b"a", b"1"), (b"b", b"1"), (b"c", b"1")


@pytest.mark.parametrize(
    ("found", "missing", "doubled", "different"),
    [
        ([A, B], 0, 0, 0),
        ([B, A], 0, 0, 0),
        ([A], 1, 0, 0),
        ([A, B, C], 0, 1, 0),
        ([A, B, B], 0, 1, 0),
        ([A, (b"b", b"2")], 0, 0, 1),
        ([C], 2, 1, 0),
        ([], 2, 0, 0),
    ],
)
def test_what_is_missing_doubled_and_different_is_counted(
    found: list[tuple[bytes, bytes]], missing: int, doubled: int, different: int
) -> None:
    comparison = compare(found, [A, B])
    assert comparison == Comparison(
        expected_count=2, missing_count=missing, doubled_count=doubled, different_count=different
    )
    assert comparison.is_equal == (not missing and not doubled and not different)


JOB = make_partition_job()

RECORDS = [*make_records(1, 2, 20), [(1, "Z", 1, "")]]


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_a_bounded_source_ends_where_it_is_told(size: int) -> None:
    source = BoundedSource(ListSource(JOB.row_schema, RECORDS), {0: 10, 1: 0})
    assert [split.number for split in source.splits()] == [0, 1]
    offset, seen, reads = 0, [], 0
    while not (batch := source.read(0, offset, size)).at_end:
        batch.validate()
        seen += batch.offsets.tolist() + [letter.offset for letter in batch.dead_letters]
        offset, reads = batch.next_offset, reads + 1
    assert (sorted(seen), offset, batch.next_offset, batch.frame.height) == (list(range(10)), 10, 10, 0)
    assert reads == -(-10 // size)
    assert source.read(1, 0, size).at_end


def test_the_undisturbed_run_sees_what_the_other_one_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_sync(monkeypatch)
    source = ListSource(JOB.row_schema, RECORDS[:2])
    with embedded_job(JOB, source, tmp_path, lambda: 0) as running:
        running.run()
        whole = running.anomaly_entries()
    assert undisturbed_entries(JOB, source, {0: 20, 1: 20}, lambda: 0) == whole
    begun = undisturbed_entries(JOB, source, {0: 10, 1: 20}, lambda: 0)
    assert begun == [(key, value) for key, value in whole if key[:4] != bytes(4) or key[4:12] < (10).to_bytes(8, "big")]

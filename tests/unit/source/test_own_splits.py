"""The source of a job is opened once for each split that a host reads, and shares what can be open only once."""

import shutil
from pathlib import Path

import pytest

from actors.allowed import EVERYTHING
from actors.errors import SchemaError, SourceError
from actors.shard import ShardLostError
from actors.source.open import open_source
from actors.source.own_splits import OwnSplits
from actors.stream.table import DurableStreamTable
from config.settings import JobSettings
from tests.support.jobs import make_trades_job

STREAM = make_trades_job({"type": "stream", "name": "t", "splits": 2}, partition_by="split")


def opener(job: JobSettings, directory: Path) -> OwnSplits:
    return OwnSplits(job, directory / "streams", directory / "partitions", EVERYTHING)


def fill(directory: Path) -> None:
    with DurableStreamTable.open(directory / "streams" / "t", STREAM.row_schema, split_count=2) as table:
        for split in range(2):
            table.append([(1_700_000_000_000 + split, "A", split)], split)


def test_splits_of_a_stream_table_share_it_and_the_last_one_closes_it(tmp_path: Path) -> None:
    fill(tmp_path)
    splits = opener(STREAM, tmp_path)
    first, second = splits(0), splits(1)
    assert [one.read(number, 0, 9).frame["qty"].to_list() for number, one in enumerate((first, second))] == [[0], [1]]
    first.close()
    first.close()
    assert second.read(1, 0, 9).next_offset == 1
    second.close()
    # In one process a table is open once.
    DurableStreamTable.open(tmp_path / "streams" / "t", read_only=True).close()
    again = splits(1)
    assert (again.earliest_offset(1), again.remarks(), again.schema) == (0, (), STREAM.row_schema)
    again.close()


def test_two_jobs_of_a_process_read_one_table_and_one_that_is_replaced_is_let_go_by_both(tmp_path: Path) -> None:
    fill(tmp_path)
    jobs = [STREAM, make_trades_job({"type": "stream", "name": "t"}, job="other")]
    first, second = (open_source(job, tmp_path / "streams") for job in jobs)
    assert [one.read(0, 0, 9).next_offset for one in (first, second)] == [1, 1]
    other = make_trades_job({"type": "stream", "name": "t"}, schema={"time": "TIMESTAMP", "sym": "SYMBOL", "x": "INT"})
    with pytest.raises(SchemaError, match="the stream table"):
        open_source(other, tmp_path / "streams")
    shutil.rmtree(tmp_path / "streams" / "t")
    fill(tmp_path)
    for one in (first, second):
        with pytest.raises(ShardLostError):
            one.read(0, 0, 9)
        one.close()
    again = open_source(STREAM, tmp_path / "streams")
    assert again.read(1, 0, 9).next_offset == 1
    again.close()


def test_a_table_that_is_made_later_is_found_then(tmp_path: Path) -> None:
    splits = opener(STREAM, tmp_path)
    with pytest.raises(SourceError, match="there is no stream table 't'"):
        splits(0)
    fill(tmp_path)
    splits(0).close()


def test_each_split_knows_by_itself_what_was_read_of_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("time,qty\n2026-01-01,1\n2026-01-02,2\n")
    schema = {"time": "TIMESTAMP", "file": "SYMBOL", "qty": "INT"}
    source = {"path": str(tmp_path / "*.csv")}
    job = make_trades_job(source, schema=schema, key=["file"], partition_by="split", partitions=2)
    splits = opener(job, tmp_path)
    for number in range(2):
        reader = splits(number)
        assert reader.read(number, 0, 9).next_offset == 2
        assert len(reader.splits()) == 2
        reader.close()
    (tmp_path / "b.csv").write_text("time,qty\n2026-01-01,1\n2027-01-02,2\n")
    splits(0).read(0, 2, 9)
    with pytest.raises(SourceError, match="was replaced or changed"):
        splits(1).read(1, 2, 9)


def test_the_table_of_one_of_several_nodes_is_the_split_of_its_number(tmp_path: Path) -> None:
    job = make_trades_job({"type": "stream", "name": "t", "on": ["a", "b"]}, partition_by="split")
    with DurableStreamTable.open(tmp_path / "streams" / "t", job.row_schema, split_count=1) as table:
        table.append([(1_700_000_000_000, "A", 7), (None, "A", 8)])
    source = opener(job, tmp_path)(1)
    assert [one.name for one in source.splits()] == ["a", "b"]
    batch = source.read(1, source.earliest_offset(1), 9)
    assert (batch.frame["qty"].to_list(), [one.split for one in batch.dead_letters]) == ([7], [1])
    with pytest.raises(SourceError, match="split 0 is on a, and only split 1 is here"):
        source.read(0, 0, 9)
    source.close()


def test_several_nodes_have_one_split_each(tmp_path: Path) -> None:
    fill(tmp_path)
    job = make_trades_job({"type": "stream", "name": "t", "on": ["a", "b"]}, partition_by="split")
    source = opener(job, tmp_path)(0)
    with pytest.raises(SourceError, match="t/1 is a second split; a node has one"):
        source.splits()
    source.close()

"""Stream tables: rows numbered for ever, durable, trimmed by limits, with one writer."""

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import actors.stream.blocks
import actors.stream.table
from actors.errors import SchemaError, SourceError
from actors.model import Schema
from actors.shard import ShardError, ShardMissingError, ShardOwnedError
from actors.stream.blocks import block_row_count, decode_block, encode_block, is_merged
from actors.stream.table import DurableStreamTable, StreamLimits

SCHEMA = Schema.from_mapping({"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"})


def rows(start: int, end: int) -> list[tuple[int, str, int]]:
    return [(number, f"S{number % 3}", number % 7) for number in range(start, end)]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors.stream.blocks, "BLOCK_ROW_COUNT_MAX", 10)
    monkeypatch.setattr(actors.stream.table, "BLOCK_ROW_COUNT_MAX", 10)


def read_all(table: DurableStreamTable, split: int = 0, batch: int = 7) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    offset = table.bounds(split).earliest_offset
    while True:
        frame, next_offset = table.read(split, offset, batch)
        assert frame.height == next_offset - offset
        if not frame.height:
            return found
        found += frame.rows()
        offset = next_offset


def test_rows_are_numbered_from_0_and_read_back(tmp_path: Path) -> None:
    with DurableStreamTable.open(tmp_path / "t", SCHEMA) as table:
        assert table.append(rows(0, 3)) == 0
        assert table.append(rows(3, 5)) == 3
        assert table.append([]) == 5
        assert table.read(0, 1, 3)[0].rows() == rows(1, 4)
        assert table.read(0, 5, 3)[1] == 5


def test_rows_survive_closing(tmp_path: Path) -> None:
    with DurableStreamTable.open(tmp_path / "t", SCHEMA) as table:
        table.append(rows(0, 3))
    with DurableStreamTable.open(tmp_path / "t") as table:
        assert table.schema == SCHEMA
        assert read_all(table) == rows(0, 3)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("step", [1, 2, 3, 9, 10, 11, 25, 100])
def test_any_size_of_appends_gives_the_same_rows(tmp_path: Path, step: int) -> None:
    with DurableStreamTable.open(tmp_path / "t", SCHEMA) as table:
        for start in range(0, 100, step):
            assert table.append(rows(start, min(start + step, 100))) == start
        for batch in (1, 10, 33, 1000):
            assert read_all(table, batch=batch) == rows(0, 100)


def test_small_appends_are_merged_into_few_blocks(tmp_path: Path) -> None:
    with DurableStreamTable.open(tmp_path / "t", SCHEMA) as table:
        for start in range(100):
            table.append(rows(start, start + 1))
        with table._shard.read() as txn:
            assert txn.stat(table._blocks)["entries"] < 20


def test_a_row_is_rewritten_a_few_times_only() -> None:
    blocks, written = [], 0
    for _ in range(10_000):
        pending = 1
        while blocks and is_merged(blocks[-1], pending):
            pending += blocks.pop()
        blocks.append(pending)
        written += pending
    assert len(blocks) < 20
    assert written / 10_000 < 20


def test_splits_are_independent(tmp_path: Path) -> None:
    with DurableStreamTable.open(tmp_path / "t", SCHEMA, split_count=3) as table:
        table.append(rows(0, 3), split=0)
        table.append(rows(10, 12), split=2)
        assert [table.bounds(split).next_offset for split in range(3)] == [3, 0, 2]
        assert read_all(table, 2) == rows(10, 12)
        assert read_all(table, 1) == []
        with pytest.raises(SourceError, match="no split 3; it has 0 to 2"):
            table.append(rows(0, 1), split=3)


@pytest.mark.usefixtures("small_blocks")
def test_trimming_keeps_the_numbers(tmp_path: Path) -> None:
    with DurableStreamTable.open(tmp_path / "t", SCHEMA) as table:
        table.append(rows(0, 45))
        assert table.trim(0, 23) == 23
        assert table.trim(0, 5) == 23
        assert table.read(0, 23, 100)[0].rows() == rows(23, 45)
        with pytest.raises(SourceError, match=r"offset 22 .* is trimmed; the earliest row left is 23"):
            table.read(0, 22, 1)
        assert table.append(rows(45, 46)) == 45
        assert table.trim(0, 1000) == 46
        assert table.bounds(0).size_bytes == 0
        assert table.append(rows(46, 47)) == 46
        assert read_all(table) == rows(46, 47)


@pytest.mark.usefixtures("small_blocks")
def test_limits_drop_whole_old_blocks(tmp_path: Path) -> None:
    with DurableStreamTable.open(tmp_path / "t", SCHEMA, limits=StreamLimits(row_count_max=25)) as table:
        for start in range(0, 200, 10):
            table.append(rows(start, start + 10))
            kept = table.bounds(0).next_offset - table.bounds(0).earliest_offset
            assert min(start + 10, 25) <= kept < 45
        assert read_all(table) == rows(table.bounds(0).earliest_offset, 200)


@pytest.mark.usefixtures("small_blocks")
def test_a_limit_of_bytes_keeps_the_newest_block(tmp_path: Path) -> None:
    with DurableStreamTable.open(tmp_path / "t", SCHEMA, limits=StreamLimits(size_bytes_max=1)) as table:
        table.append(rows(0, 95))
        assert table.bounds(0).earliest_offset == 90
        assert read_all(table) == rows(90, 95)
        assert table.bounds(0).size_bytes == len(encode_block(table.read(0, 90, 10)[0]))


def test_an_offset_beyond_the_end_is_refused(tmp_path: Path) -> None:
    with DurableStreamTable.open(tmp_path / "t", SCHEMA) as table, pytest.raises(SourceError, match="never reached"):
        table.read(0, 1, 1)


def test_rows_that_do_not_fit_are_refused_as_a_whole(tmp_path: Path) -> None:
    with DurableStreamTable.open(tmp_path / "t", SCHEMA) as table:
        with pytest.raises(SchemaError):
            table.append([(1, "A", 6), (2, "B", "five")])
        assert table.bounds(0).next_offset == 0


def test_another_schema_or_number_of_splits_is_refused(tmp_path: Path) -> None:
    DurableStreamTable.open(tmp_path / "t", SCHEMA).close()
    with pytest.raises(SchemaError, match="has the columns time: TIMESTAMP, sym: SYMBOL, qty: INT"):
        DurableStreamTable.open(tmp_path / "t", Schema.from_mapping({"time": "TIMESTAMP"}))
    with pytest.raises(SourceError, match="has 1 splits for ever, not 2"):
        DurableStreamTable.open(tmp_path / "t", SCHEMA, split_count=2)
    DurableStreamTable.open(tmp_path / "t", SCHEMA, split_count=1).close()


def test_a_table_that_is_not_there_is_not_made_without_a_schema(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no stream table"):
        DurableStreamTable.open(tmp_path / "t")
    with pytest.raises(ShardMissingError):
        DurableStreamTable.open(tmp_path / "u", SCHEMA, read_only=True)


def test_there_is_one_writer(tmp_path: Path) -> None:
    with DurableStreamTable.open(tmp_path / "t", SCHEMA), pytest.raises(ShardOwnedError):
        DurableStreamTable.open(tmp_path / "t", SCHEMA)


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    DurableStreamTable.open(tmp_path / "t", SCHEMA).close()
    with (
        DurableStreamTable.open(tmp_path / "t", read_only=True) as table,
        pytest.raises(ShardError, match="open for reading"),
    ):
        table.append(rows(0, 1))


def test_a_damaged_block_is_told() -> None:
    block = encode_block(pl.DataFrame({"a": [1, 2, 3]}))
    assert decode_block(block)["a"].to_list() == [1, 2, 3]
    for damaged in (block[:-1], block[:-1] + b"x", block + b"x"):
        with pytest.raises(SourceError, match="3 rows of the stream table is damaged"):
            decode_block(damaged)
    with pytest.raises(SourceError, match="format 7"):
        block_row_count(b"\x07" + block[1:])
    with pytest.raises(SourceError, match="only 5 bytes"):
        block_row_count(block[:5])


@pytest.mark.parametrize("size", [0, 100, 4096])
def test_a_truncated_table_is_an_error(tmp_path: Path, size: int) -> None:
    with DurableStreamTable.open(tmp_path / "t", SCHEMA) as table:
        table.append(rows(0, 50_000))
    os.truncate(tmp_path / "t" / "data.mdb", size)
    for read_only in (True, False):
        with pytest.raises(ShardError, match=r"data\.mdb is (empty|cut short)"):
            DurableStreamTable.open(tmp_path / "t", read_only=read_only)


@pytest.mark.parametrize("limits", [{"row_count_max": -1}, {"size_bytes_max": -5}, {"row_count_max": 1.5}])
def test_limits_below_zero_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="give a whole number from 0, or None to keep everything"):
        StreamLimits(**limits)

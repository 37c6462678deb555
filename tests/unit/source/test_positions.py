"""Positions stand for the rows that were read: a file that is another one now is an error, here and after a restart."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from actors.errors import SourceError
from actors.source.open import POSITIONS_FILE, open_source, open_stream_table
from actors.source.protocol import Source
from actors.source.transport.positions import FileMark, PositionLog
from tests.support.jobs import make_trades_job
from tests.support.reading import read_split

HEADER = "time,sym,qty\n"
THREE = [f"{number},A,{number}" for number in range(3)]
BY_FILE = {"schema": {"time": "TIMESTAMP", "file": "SYMBOL", "qty": "INT"}, "key": ["file"]}

CSV = {"type": "csv"}
NDJSON = {"type": "ndjson"}
LOG = {"type": "log", "format": r"(?P<time>\d+),(?P<sym>\w),(?P<qty>\d+)"}
PARQUET = {"type": "parquet"}
KINDS = [CSV, NDJSON, LOG, PARQUET]


def open_files(folder: Path, path: str, source: dict[str, Any], **job: Any) -> Source:
    made = make_trades_job({"path": str(folder / path)} | source, **job)
    return open_source(made, folder, positions=folder / "kept")


def write(path: Path, kind: dict[str, Any], lines: list[str]) -> None:
    if kind["type"] == "parquet":
        rows = [(int(time), sym, int(qty)) for time, sym, qty in (line.split(",") for line in lines)]
        pl.DataFrame(rows, schema=["time", "sym", "qty"], orient="row").write_parquet(path)
    elif kind["type"] == "ndjson":
        parts = (line.split(",") for line in lines)
        path.write_text("".join(f'{{"time": {time}, "sym": "{sym}", "qty": {qty}}}\n' for time, sym, qty in parts))
    else:
        path.write_text((HEADER if kind["type"] == "csv" else "") + "".join(f"{line}\n" for line in lines))


def replace(path: Path, kind: dict[str, Any], lines: list[str]) -> None:
    write(path.with_name("fresh"), kind, lines)
    path.with_name("fresh").replace(path)


OTHERS = {
    "longer": [f"{number},B,{number}" for number in range(9)],
    "as long": ["0,A,0", "1,A,1", "2,A,7"],
    "shorter": ["0,B,0"],
    "a beginning": THREE[:2],
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind["type"]))
@pytest.mark.parametrize("change", [write, replace], ids=["in place", "new inode"])
@pytest.mark.parametrize("lines", OTHERS.values(), ids=OTHERS)
def test_a_file_that_is_another_one_after_a_restart_is_an_error(
    tmp_path: Path, kind: dict[str, Any], change: Callable[..., None], lines: list[str]
) -> None:
    write(tmp_path / "a", kind, THREE)
    assert read_split(open_files(tmp_path, "a", kind)).next_offset == 3
    change(tmp_path / "a", kind, lines)
    for offset in (0, 3):
        with pytest.raises(SourceError, match=r"/a: the file (was replaced or changed|has become shorter).*begin anew"):
            open_files(tmp_path, "a", kind).read(0, offset, 10)


@pytest.mark.parametrize("kind", [CSV, NDJSON, LOG], ids=lambda kind: str(kind["type"]))
@pytest.mark.parametrize("change", [write, replace], ids=["in place", "new inode"])
@pytest.mark.parametrize("lines", OTHERS.values(), ids=OTHERS)
def test_a_followed_file_that_is_another_one_is_an_error(
    tmp_path: Path, kind: dict[str, Any], change: Callable[..., None], lines: list[str]
) -> None:
    write(tmp_path / "a", kind, THREE)
    source = open_files(tmp_path, "a", kind | {"follow": True})
    assert read_split(source).next_offset == 3
    change(tmp_path / "a", kind, lines)
    with pytest.raises(SourceError, match=r"/a: the file (was replaced or changed|has become shorter).*begin anew"):
        source.read(0, 3, 10)


@pytest.mark.parametrize("kind", [CSV, NDJSON, LOG], ids=lambda kind: str(kind["type"]))
def test_a_file_that_has_grown_goes_on_whatever_its_inode(tmp_path: Path, kind: dict[str, Any]) -> None:
    write(tmp_path / "a", kind, THREE)
    assert read_split(open_files(tmp_path, "a", kind)).next_offset == 3
    replace(tmp_path / "a", kind, [*THREE, "3,C,5"])
    for start, count in ((3, 1), (1, 3), (0, 4)):
        content = read_split(open_files(tmp_path, "a", kind), start=start)
        assert (content.rows[-1], len(content.rows)) == ((3, (3, "C", 5)), count)


def test_a_last_line_that_has_grown_after_it_was_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(HEADER + "0,A,0\n1,A,1")
    assert read_split(open_files(tmp_path, "a", CSV)).next_offset == 2
    (tmp_path / "a").write_text(HEADER + "0,A,0\n1,A,12\n")
    with pytest.raises(SourceError, match="was read without a line end and has grown"):
        open_files(tmp_path, "a", CSV).read(0, 2, 10)
    (tmp_path / "a").write_text(HEADER + "0,A,0\n1,A,1\n2,A,2\n")
    assert read_split(open_files(tmp_path, "a", CSV), start=2).rows == ((2, (2, "A", 2)),)


def test_files_that_come_before_those_read_are_an_error_after_a_restart(tmp_path: Path) -> None:
    for settings, start in (({}, 3), (BY_FILE, 0)):
        folder = tmp_path / str(start)
        folder.mkdir()
        write(folder / "b.csv", CSV, THREE)
        read_split(open_files(folder, "*.csv", CSV | {"columns": {}}, **settings), batch=2)
        write(folder / "a.csv", CSV, THREE)
        with pytest.raises(SourceError, match=r"a\.csv comes before files that were read already"):
            open_files(folder, "*.csv", CSV, **settings)


def test_a_file_that_comes_later_or_was_not_begun_may_change(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", CSV, THREE)
    assert read_split(open_files(tmp_path, "*.csv", CSV)).next_offset == 3
    write(tmp_path / "c.csv", CSV, ["5,C,5"])
    assert open_files(tmp_path, "*.csv", CSV).read(0, 2, 1).next_offset == 3
    write(tmp_path / "b.csv", CSV, ["4,B,4"])
    assert [row[0] for _, row in read_split(open_files(tmp_path, "*.csv", CSV), start=3).rows] == [4, 5]


@pytest.mark.parametrize("follow", [False, True])
def test_a_file_that_grows_after_the_next_was_read_is_an_error_after_a_restart(tmp_path: Path, follow: bool) -> None:
    kind = CSV | {"follow": follow}
    write(tmp_path / "a.csv", CSV, THREE)
    write(tmp_path / "b.csv", CSV, THREE)
    assert read_split(open_files(tmp_path, "*.csv", kind)).next_offset == 6
    with (tmp_path / "a.csv").open("a") as file:
        file.write("3,A,3\n")
    with pytest.raises(SourceError, match=r"a\.csv: the file has grown since files after it were read"):
        open_files(tmp_path, "*.csv", kind).read(0, 6, 10)


def test_a_followed_file_that_grows_after_the_next_was_read_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", CSV, THREE)
    write(tmp_path / "b.csv", CSV, [])
    source = open_files(tmp_path, "*.csv", CSV | {"follow": True})
    assert read_split(source).next_offset == 3
    write(tmp_path / "a.csv", CSV, [*THREE, "3,A,3"])
    write(tmp_path / "b.csv", CSV, THREE)
    assert read_split(source).next_offset == 7
    write(tmp_path / "a.csv", CSV, [*THREE, "3,A,3", "4,A,4"])
    with pytest.raises(SourceError, match=r"a\.csv: the file has grown since files after it were read"):
        source.splits()


def test_a_file_that_vanished_is_an_error_after_a_restart(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", CSV, THREE)
    write(tmp_path / "b.csv", CSV, THREE)
    assert read_split(open_files(tmp_path, "*.csv", CSV)).next_offset == 6
    (tmp_path / "a.csv").unlink()
    with pytest.raises(SourceError, match=r"a\.csv was read before and is gone"):
        open_files(tmp_path, "*.csv", CSV)


def test_a_choice_without_the_file_that_was_read_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", CSV, THREE)
    write(tmp_path / "b.csv", CSV, THREE)
    assert read_split(open_files(tmp_path, "a.csv", CSV)).next_offset == 3
    with pytest.raises(SourceError, match=r"a\.csv was read before and is no file of the source any more"):
        open_files(tmp_path, "b.csv", CSV)


@pytest.mark.parametrize("rows", [[(5, "B", 5)] * 9, [(0, "A", 0), (1, "A", 1), (2, "A", 7)], [(0, "A", 0)]])
def test_a_stream_table_that_was_made_anew_is_an_error(tmp_path: Path, rows: list[tuple[int, str, int]]) -> None:
    job = make_trades_job({"type": "stream", "name": "t", "splits": 2})
    table = open_stream_table(job, tmp_path)
    table.append([(0, "A", 0), (1, "A", 1)], split=1)
    for _ in range(2):
        source = open_source(job, tmp_path, {"t": table}, tmp_path / "kept")
        assert read_split(source, 1).next_offset == 2
    table.append([(2, "A", 2)], split=1)
    table.trim(1, 2)
    assert read_split(open_source(job, tmp_path, {"t": table}, tmp_path / "kept"), 1, start=2).next_offset == 3
    table.close()
    shutil.rmtree(tmp_path / "t")
    table = open_stream_table(job, tmp_path)
    table.append(rows, split=1)
    source = open_source(job, tmp_path, {"t": table}, tmp_path / "kept")
    for offset in (0, 3):
        with pytest.raises(SourceError, match="the stream table t is not the one that was read: its row 2 of split 1"):
            source.read(1, offset, 10)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind["type"]))
def test_a_link_that_points_elsewhere_is_an_error(tmp_path: Path, kind: dict[str, Any]) -> None:
    write(tmp_path / "one", kind, THREE)
    write(tmp_path / "two", kind, OTHERS["longer"])
    (tmp_path / "a").symlink_to("one")
    source = open_files(tmp_path, "a", kind)
    assert source.read(0, 0, 2).next_offset == 2
    (tmp_path / "link").symlink_to("two")
    (tmp_path / "link").replace(tmp_path / "a")
    for again in (source, open_files(tmp_path, "a", kind)):
        with pytest.raises(SourceError, match="was replaced or changed"):
            again.read(0, 3, 10)


def test_a_change_far_from_both_ends_is_seen_after_a_restart(tmp_path: Path) -> None:
    lines = [f"{number},A,{number % 7}" for number in range(100_000)]
    write(tmp_path / "a.csv", CSV, lines)
    assert read_split(open_files(tmp_path, "a.csv", CSV), batch=30_000).next_offset == 100_000
    with (tmp_path / "a.csv").open("r+b") as file:
        file.seek(500_000)
        file.write(b"9")
    with pytest.raises(SourceError, match="was replaced or changed"):
        open_files(tmp_path, "a.csv", CSV).read(0, 100_000, 10)


def test_the_log_of_positions_stays_small_and_survives_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / POSITIONS_FILE
    log = PositionLog(path)
    for count in range(2000):
        log.put(FileMark(number=count % 2, path="a", record_count=count, size_bytes=count, digest="x" * 32))
    assert path.stat().st_size < 80_000
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("ab") as file:
        file.write(b'{"format": 1, "numb')
    assert [PositionLog(path).marks[number].record_count for number in (0, 1)] == [1998, 1999]
    assert path.read_bytes().endswith(b"\n")


def test_a_log_of_positions_that_is_none_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", CSV, THREE)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / POSITIONS_FILE).write_bytes(b"\xff\n{}\n")
    with pytest.raises(SourceError, match=r"source\.positions: line 1 is damaged, or no position of format 2"):
        open_files(tmp_path, "a.csv", CSV)


def test_a_log_of_positions_that_cannot_be_written_stops_before_rows_are_given_out(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", CSV, THREE)
    (tmp_path / "kept").write_text("in the way")
    with pytest.raises(SourceError, match=r"what was read of the source cannot be noted"):
        open_files(tmp_path, "a.csv", CSV).read(0, 0, 10)


def test_a_flipped_bit_in_the_log_of_positions_is_an_error(tmp_path: Path) -> None:
    mark = FileMark(number=0, path="/data/a.csv", record_count=30, size_bytes=733, digest="714896b5")
    PositionLog(tmp_path / "log").put(mark)
    line = (tmp_path / "log").read_bytes()
    for place, bit in product(range(len(line) - 1), range(8)):
        flipped = bytes(byte ^ (1 << bit if number == place else 0) for number, byte in enumerate(line))
        (tmp_path / "log").write_bytes(flipped)
        with pytest.raises(SourceError, match="is damaged"):
            PositionLog(tmp_path / "log")


def test_a_log_of_positions_without_checksums_is_read(tmp_path: Path) -> None:
    mark = FileMark(number=0, path="/data/a.csv", record_count=30, size_bytes=733, digest="714896b5")
    (tmp_path / "log").write_text(json.dumps({"format": 1, **asdict(mark)}) + "\n")
    assert PositionLog(tmp_path / "log").marks == {0: mark}

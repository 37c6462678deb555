"""Files as splits: which files, their order, growth, and finding an offset again."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import actors.source.transport.lines
from actors.errors import SourceError
from actors.source.open import open_source
from actors.source.protocol import Source
from actors.source.transport.lines import LineFile, LineFraming
from tests.support.jobs import make_trades_job
from tests.support.reading import read_split

HEADER = "time,sym,qty\n"
BY_FILE = {"schema": {"time": "TIMESTAMP", "file": "SYMBOL", "qty": "INT"}, "key": ["file"]}


def open_files(
    folder: Path, path: str | list[str] = ".", settings: dict[str, Any] | None = None, **source: Any
) -> Source:
    paths = [str(folder / one) for one in ([path] if isinstance(path, str) else path)]
    return open_source(make_trades_job({"type": "csv", "path": paths} | source, **(settings or {})), folder)


def write(path: Path, *rows: str, end: str = "\n") -> None:
    path.write_text(HEADER + "\n".join(rows) + end)


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_a_folder_is_read_in_order_of_names(tmp_path: Path) -> None:
    write(tmp_path / "b.csv", "2,B,5")
    write(tmp_path / "a.csv", "1,A,6")
    (tmp_path / "notes.txt").write_text("no data")
    source = open_files(tmp_path)
    assert [split.name for split in source.splits()] == [str(tmp_path)]
    assert read_split(source).rows == ((0, (1, "A", 6)), (1, (2, "B", 5)))


def test_patterns_and_lists_name_files(tmp_path: Path) -> None:
    for name in ("x1", "x2", "y1", "z"):
        write(tmp_path / f"{name}.csv", f"1,{name},6")
    content = read_split(open_files(tmp_path, ["x*.csv", "z.csv", "x1.csv"]))
    assert [row[1] for _, row in content.rows] == ["x1", "x2", "z"]


def test_offsets_run_on_from_file_to_file(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "1,A,6", "", "bad", end="")
    write(tmp_path / "b.csv")
    write(tmp_path / "c.csv", "2,B,5")
    content = read_split(open_files(tmp_path), batch=2)
    assert [offset for offset, _ in content.rows] == [0, 4]
    assert [letter.offset for letter in content.dead_letters] == [2]


def test_every_file_is_a_split_when_the_file_is_a_key(tmp_path: Path) -> None:
    (tmp_path / "cpu.csv").write_text("time,qty\n1,6\n")
    (tmp_path / "app.csv").write_text("time,qty\n2,5\n3,4\n")
    source = open_files(tmp_path, settings=BY_FILE)
    assert [(split.number, split.name) for split in source.splits()] == [(0, "app"), (1, "cpu")]
    assert read_split(source, 0).rows == ((0, (2, "app", 5)), (1, (3, "app", 4)))
    assert read_split(source, 1).rows == ((0, (1, "cpu", 6)),)


def test_two_files_of_one_name_cannot_be_splits(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.csv").write_text("time,qty\n")
    (tmp_path / "a.csv").write_text("time,qty\n")
    with pytest.raises(SourceError, match="are both 'a'"):
        open_files(tmp_path, "**/*.csv", BY_FILE)


@pytest.mark.parametrize(
    ("path", "message"),
    [("no.csv", "there is no file"), ("*.csv", "no file matches"), (".", r"has no file ending in \.csv or \.tsv")],
)
def test_a_path_without_files_is_an_error(tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_files(tmp_path, path)


def test_a_file_that_vanishes_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "1,A,6")
    source = open_files(tmp_path)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        source.read(0, 0, 10)


def test_a_growing_file_is_read_line_by_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,sy")
    source = open_files(tmp_path, "a.csv", follow=True)
    assert read_split(source).next_offset == 0
    path.write_text(HEADER + "1,A,6\n2,B")
    assert read_split(source).rows == ((0, (1, "A", 6)),)
    append(path, ",5\n3,C,4\n")
    assert read_split(source, start=1).rows == ((1, (2, "B", 5)), (2, (3, "C", 4)))
    assert not source.read(0, 3, 10).at_end


def test_a_file_that_does_not_exist_yet_may_be_followed(tmp_path: Path) -> None:
    source = open_files(tmp_path, follow=True)
    assert source.read(0, 0, 10).next_offset == 0
    write(tmp_path / "a.csv", "1,A,6")
    assert read_split(source).rows == ((0, (1, "A", 6)),)


def test_a_later_file_closes_the_one_before(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "1,A,6", "2,B,5", end="")
    source = open_files(tmp_path, follow=True)
    assert read_split(source).next_offset == 1
    write(tmp_path / "b.csv", "3,C,4")
    assert [row for _, row in read_split(source, start=1).rows] == [(2, "B", 5), (3, "C", 4)]


def test_a_new_split_appears_while_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "app.csv").write_text("time,qty\n")
    source = open_files(tmp_path, settings=BY_FILE, follow=True)
    (tmp_path / "cpu.csv").write_text("time,qty\n1,6\n")
    assert [split.name for split in source.splits()] == ["app", "cpu"]
    assert read_split(source, 1).rows == ((0, (1, "cpu", 6)),)


def test_a_file_that_comes_before_the_others_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "b.csv", "1,A,6")
    source = open_files(tmp_path, follow=True)
    write(tmp_path / "a.csv", "1,A,6")
    with pytest.raises(SourceError, match=r"new files must come after b\.csv"):
        source.read(0, 0, 10)


def test_a_file_that_becomes_shorter_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write(path, "1,A,6", "2,B,5")
    source = open_files(tmp_path, "a.csv", follow=True)
    assert read_split(source).next_offset == 2
    write(path, "1,A,6")
    with pytest.raises(SourceError, match="has become shorter"):
        source.read(0, 2, 10)


def test_a_followed_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "1,A,6")
    source = open_files(tmp_path, follow=True)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(SourceError, match="is gone while it is followed"):
        source.read(0, 0, 10)


@pytest.mark.parametrize("start", [0, 1, 99, 100, 101, 550, 999, 1000])
def test_an_offset_is_found_again_without_reading_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    monkeypatch.setattr(actors.source.transport.lines, "BLOCK_SIZE_BYTES", 200)
    write(tmp_path / "a.csv", *[f"{number},S{number},{number % 7}" for number in range(1000)])
    source = open_files(tmp_path, record_size_bytes_max=100)
    read_split(source)
    for fresh in (source, open_files(tmp_path, record_size_bytes_max=100)):
        batch = fresh.read(0, start, 3)
        assert batch.offsets.tolist() == list(range(start, min(start + 3, 1000)))
        assert batch.frame["time"].to_list() == batch.offsets.tolist()


def test_parquet_rows_that_do_not_fit_are_dead_letters(tmp_path: Path) -> None:
    frame = pl.DataFrame({"time": [1, None, 3, 4], "sym": ["A", "B", None, "D"], "qty": [6.0, 5.0, 4.5, float("nan")]})
    frame.write_parquet(tmp_path / "a.parquet")
    content = read_split(open_files(tmp_path, "a.parquet", type="parquet"))
    assert content.rows == ((0, (1, "A", 6)),)
    assert [letter.offset for letter in content.dead_letters] == [1, 2, 3]
    assert content.dead_letters[1].raw == b'{"time": 3, "sym": null, "qty": 4.5}'


def test_parquet_times_and_categories_are_converted(tmp_path: Path) -> None:
    times = pl.Series([0, 1_500]).cast(pl.Datetime("us", "UTC"))
    frame = pl.DataFrame({"time": times, "sym": pl.Series(["A", "B"], dtype=pl.Categorical), "qty": [6, 5]})
    frame.with_columns(pl.col("qty").cast(pl.UInt8)).write_parquet(tmp_path / "a.parquet")
    assert read_split(open_files(tmp_path, "a.parquet", type="parquet")).rows == ((0, (0, "A", 6)), (1, (1, "B", 5)))


def test_a_category_may_be_the_text_of_a_time(tmp_path: Path) -> None:
    times = pl.Series(["2026-01-01", "2026-01-02"], dtype=pl.Categorical)
    pl.DataFrame({"time": times, "sym": ["A", "B"], "qty": [6, 5]}).write_parquet(tmp_path / "a.parquet")
    assert len(read_split(open_files(tmp_path, "a.parquet", type="parquet")).rows) == 2


def test_parquet_files_have_the_column_file(tmp_path: Path) -> None:
    pl.DataFrame({"time": [1], "qty": [6]}).write_parquet(tmp_path / "cpu.parquet")
    source = open_files(tmp_path, "cpu.parquet", BY_FILE, type="parquet")
    assert read_split(source).rows == ((0, (1, "cpu", 6)),)


def test_a_torn_parquet_file_is_an_error(tmp_path: Path) -> None:
    pl.DataFrame({"time": [1], "sym": ["A"], "qty": [6]}).write_parquet(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    for content in (b"", b"PAR1", whole[:-10], whole[:20], whole[20:], b"x" * 100):
        (tmp_path / "a.parquet").write_bytes(content)
        with pytest.raises(SourceError, match=r"a\.parquet: cannot be read as Parquet"):
            open_files(tmp_path, "a.parquet", type="parquet").read(0, 0, 10)


def test_a_parquet_column_of_another_kind_is_an_error(tmp_path: Path) -> None:
    pl.DataFrame({"time": [1], "sym": ["A"], "qty": [[6]]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"its column 'qty' holds List\(Int64\), which cannot be read as INT"):
        open_files(tmp_path, "a.parquet", type="parquet").read(0, 0, 10)


def test_the_first_read_touches_only_the_first_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors.source.transport.lines, "BLOCK_SIZE_BYTES", 200)
    write(tmp_path / "a.csv", *[f"{number},S{number},{number % 7}" for number in range(1000)])
    framing = LineFraming(has_header=True, record_size_bytes_max=100)
    lines = LineFile(tmp_path / "a.csv", framing, is_complete=True)
    lines.block_with(0)
    assert lines.mark(0).size_bytes <= len(HEADER) + 200
    source = open_files(tmp_path, record_size_bytes_max=100)
    (tmp_path / "b.csv").write_text("not the columns\n1\n")
    assert open_files(tmp_path, record_size_bytes_max=100).read(0, 0, 5).frame.height == 5
    assert source.read(0, 0, 5).frame.height == 5


def test_parquet_times_beyond_any_calendar_are_dead_letters(tmp_path: Path) -> None:
    times = pl.Series([2**62, -(2**62), 0, None], dtype=pl.Int64).cast(pl.Datetime("ms"))
    pl.DataFrame({"time": times, "sym": ["A"] * 4, "qty": [6] * 4}).write_parquet(tmp_path / "a.parquet")
    content = read_split(open_files(tmp_path, "a.parquet", type="parquet"))
    assert content.rows == ((2, (0, "A", 6)),)
    assert "4611686018427387904" in content.dead_letters[0].reason
    assert b"4611686018427387904" in content.dead_letters[0].raw

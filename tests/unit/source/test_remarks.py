"""What is odd about rows without any record being wrong, and what is said of times that are no times of the job."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from actors.errors import SourceError
from actors.source.open import open_source
from actors.source.protocol import Source
from config import make_job
from tests.support.reading import read_split

S_2026 = 1_767_225_600
TEXT_2026 = "2026-01-01 00:00:00"


def open_rows(folder: Path, rows: list[dict[str, Any]], kind: str = "TIMESTAMP", **source: Any) -> Source:
    path = folder / "a.ndjson"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    plain = {"job": "a", "schema": {"t": kind, "sym": "SYMBOL", "qty": "INT"}, "time": "t", "key": ["sym"]}
    return open_source(make_job(plain | {"metrics": ["qty < 4"], "source": {"path": str(path)} | source}), folder)


def test_a_mapped_column_that_no_record_has_is_said(tmp_path: Path) -> None:
    rows = [{"t": "2026-01-01", "sym": "A", "m": {"qty": 5}}] * 3
    for null in ("null", None):
        source = open_rows(tmp_path, rows, columns={"qty": "m.size"}, missing=null)
        assert len(read_split(source).rows) == 3
        assert source.remarks() == ("column 'qty' is NULL in all 3 rows; is 'm.size' its name in the records?",)


def test_a_key_column_that_is_null_in_all_rows_is_said(tmp_path: Path) -> None:
    source = open_rows(tmp_path, [{"t": "2026-01-01", "sym": None, "qty": 1}] * 2)
    read_split(source, batch=1)
    assert source.remarks() == ("column 'sym' is NULL in all 2 rows; is the column right?",)


def test_nothing_is_said_of_columns_with_a_value_in_any_batch_or_before_the_first_row(tmp_path: Path) -> None:
    rows = [{"t": "2026-01-01", "sym": "A", "qty": qty} for qty in (None, None, 1, None)]
    source = open_rows(tmp_path, rows)
    assert source.remarks() == ()
    read_split(source, batch=1)
    assert source.remarks() == ()


def test_nothing_but_dead_letters_is_said_with_the_first_reason(tmp_path: Path) -> None:
    source = open_rows(tmp_path, [{"t": None, "sym": "A", "qty": 1}, {}])
    read_split(source)
    assert source.remarks() == ("every record is a dead letter; of the first: the time, column 't', is empty",)


def test_a_parquet_column_and_a_template_variable_without_values(tmp_path: Path) -> None:
    frame = pl.DataFrame({"time": [S_2026 * 1000], "x": [None]}, schema={"time": pl.Int64, "x": pl.Int64})
    frame.write_parquet(tmp_path / "a.parquet")
    plain = {"job": "a", "schema": {"time": "TIMESTAMP", "qty": "INT"}, "time": "time", "metrics": ["qty < 4"]}
    source = open_source(
        make_job(plain | {"source": {"path": str(tmp_path / "a.parquet"), "columns": {"qty": "x"}}}), tmp_path
    )
    read_split(source)
    assert source.remarks() == ("column 'qty' is NULL in all 1 rows; is 'x' its name in the records?",)
    (tmp_path / "a.log").write_text("2026-01-01 00:00 in 5\n")
    templates = [{"id": "in", "text": "in <n>"}, {"id": "out", "text": "out <m>"}]
    log = make_job(
        {"job": "a", "events": {"store": True}, "source": {"path": str(tmp_path / "a.log"), "templates": templates}}
    )
    source = open_source(log, tmp_path)
    assert (len(read_split(source).rows), source.remarks()) == (1, ())


@pytest.mark.parametrize(
    ("kind", "value", "time_format"),
    [
        ("TIMESTAMP", S_2026, "epoch_s"),
        ("TIMESTAMP", str(S_2026), "epoch_s"),
        ("TIMESTAMP", float(S_2026), "epoch_s"),
        ("TIMESTAMP", S_2026 * 10**6, "epoch_us"),
        ("TIMESTAMP", S_2026 * 10**9, "epoch_ns"),
        ("MICROTIMESTAMP", S_2026 * 10**3, "epoch_ms"),
        ("NANOTIMESTAMP", S_2026, "epoch_s"),
        ("NANOTIMESTAMP", S_2026 * 10**6, "epoch_us"),
        ("DATETIME", S_2026 * 10**3, "epoch_ms"),
        ("DATE", S_2026, "epoch_s"),
    ],
)
def test_numbers_in_another_unit_are_dead_letters_that_name_the_format(
    tmp_path: Path, kind: str, value: object, time_format: str
) -> None:
    rows = [{"t": value, "sym": "A", "qty": 1}]
    (letter,) = read_split(open_rows(tmp_path, rows, kind)).dead_letters
    assert f"as {time_format} it would be {TEXT_2026}: give the source `time_format: {time_format}`" in letter.reason
    assert len(read_split(open_rows(tmp_path, rows, kind, time_format=time_format)).rows) == 1


def test_times_that_no_format_puts_within_bounds_name_the_bounds(tmp_path: Path) -> None:
    rows = [{"t": value, "sym": "A", "qty": 1} for value in (5, "1850-01-01", "2100-01-01", 10**18 * 5)]
    letters = read_split(open_rows(tmp_path, rows)).dead_letters
    assert len(letters) == 4
    assert all(letter.reason.endswith("change `limits.time_min` or `limits.time_max`") for letter in letters)


@pytest.mark.parametrize("kind", ["TIME", "SECOND", "MINUTE", "NANOTIME", "MONTH"])
@pytest.mark.parametrize(
    ("value", "time_format"), [(S_2026, "epoch_s"), (S_2026 * 1000, "epoch_ms"), (f"{S_2026}.25", "epoch_s")]
)
def test_points_in_time_do_not_become_times_of_day_or_months(
    tmp_path: Path, kind: str, value: object, time_format: str
) -> None:
    (letter,) = read_split(open_rows(tmp_path, [{"t": value, "sym": "A", "qty": 1}], kind)).dead_letters
    told = f"as {time_format} it would be {TEXT_2026}, which {kind} does not hold"
    assert f"{told}: make the column a TIMESTAMP and give the source `time_format: {time_format}`" in letter.reason


@pytest.mark.parametrize("value", [S_2026 + 0.5, f"{S_2026}.5"])
def test_fractions_of_seconds_are_dead_letters_that_name_the_format(tmp_path: Path, value: object) -> None:
    rows = [{"t": value, "sym": "A", "qty": 1}]
    (letter,) = read_split(open_rows(tmp_path, rows)).dead_letters
    assert f"as epoch_s it would be {TEXT_2026}: give the source `time_format: epoch_s`" in letter.reason
    assert len(read_split(open_rows(tmp_path, rows, time_format="epoch_s")).rows) == 1


def test_a_date_in_a_time_of_day_says_which_type_holds_it(tmp_path: Path) -> None:
    rows = [{"t": "2026-01-01T10:00:00Z", "sym": "A", "qty": 1}]
    (letter,) = read_split(open_rows(tmp_path, rows, "TIME")).dead_letters
    assert letter.reason.endswith("TIME is a time of day and this has a date: make the column a TIMESTAMP")


@pytest.mark.parametrize("value", [90_000, "90000"])
def test_numbers_of_nanoseconds_are_taken_only_when_the_job_says_that_they_are(tmp_path: Path, value: object) -> None:
    rows = [{"t": value, "sym": "A", "qty": 1}, {"t": "10:00:00", "sym": "A", "qty": 1}]
    found = read_split(open_rows(tmp_path, rows, "NANOTIME"))
    assert (len(found.rows), [letter.offset for letter in found.dead_letters]) == (1, [0])
    assert "give the source `time_format: ticks` if it is nanoseconds since midnight" in found.dead_letters[0].reason
    assert len(read_split(open_rows(tmp_path, rows[:1], "NANOTIME", time_format="ticks")).rows) == 1


def test_rows_of_a_job_file_have_no_time_format(tmp_path: Path) -> None:
    plain = {"job": "a", "schema": {"t": "TIMESTAMP", "qty": "INT"}, "time": "t", "metrics": ["qty < 4"]}
    (letter,) = read_split(open_source(make_job(plain | {"source": {"rows": [[S_2026, 1]]}}), tmp_path)).dead_letters
    assert f"as epoch_s it would be {TEXT_2026}, but TIMESTAMP counts in its own unit" in letter.reason


@pytest.mark.parametrize(
    ("text", "hint"),
    [("t;sym;qty\n", "Is the separator ';'"), ("t\tsym\n", r"Is the separator '\\t'"), ("1,A,6\n", "`header: false`")],
)
def test_a_header_without_the_columns_says_what_may_be_meant(tmp_path: Path, text: str, hint: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SourceError, match=f"no column 't'; .*{hint}"):
        open_rows(tmp_path, [], path=str(tmp_path / "a.csv")).read(0, 0, 10)

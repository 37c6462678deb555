"""CSV: which lines are records of the file, and which are not."""

from pathlib import Path
from typing import Any

import pytest

from actors.errors import SourceError
from actors.source.open import open_source
from tests.support.jobs import make_trades_job
from tests.support.reading import SplitContent, read_split

HEADER = "time,sym,qty"


def read(folder: Path, text: str | bytes, schema: dict[str, str] | None = None, **settings: Any) -> SplitContent:
    path = folder / "a.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    source = {"type": "csv", "path": str(path)} | settings
    more = {} if schema is None else {"schema": schema}
    return read_split(open_source(make_trades_job(source, **more), folder))


def reasons(content: SplitContent) -> dict[int, str]:
    return {letter.offset: letter.reason for letter in content.dead_letters}


def test_columns_are_found_by_name_whatever_their_order_and_case(tmp_path: Path) -> None:
    content = read(tmp_path, "QTY,extra,Sym,time\n6,x,A,1\n")
    assert content.rows == ((0, (1, "A", 6)),)


def test_columns_may_have_other_names_in_the_file(tmp_path: Path) -> None:
    content = read(tmp_path, "timestamp,symbol,qty\n1,A,6\n", columns={"time": "timestamp", "sym": "symbol"})
    assert content.rows == ((0, (1, "A", 6)),)


def test_without_a_header_columns_are_those_of_the_schema(tmp_path: Path) -> None:
    assert read(tmp_path, "1,A,6\n2,B,5", header=False).rows == ((0, (1, "A", 6)), (1, (2, "B", 5)))


def test_the_column_file_is_the_name_of_the_file(tmp_path: Path) -> None:
    schema = {"time": "TIMESTAMP", "file": "SYMBOL", "sym": "SYMBOL"}
    assert read(tmp_path, "time,sym\n1,A\n", schema, type="csv").rows == ((0, (1, "a", "A")),)


def test_an_empty_value_is_null_and_an_empty_text_is_not(tmp_path: Path) -> None:
    assert read(tmp_path, f'{HEADER}\n1,,\n2,"",""\n').rows == ((0, (1, None, None)),)
    assert read(tmp_path, f'{HEADER}\n2,"",3\n').rows == ((0, (2, "", 3)),)


def test_other_words_may_mean_null(tmp_path: Path) -> None:
    assert read(tmp_path, f"{HEADER}\n1,NA,-\n", null_values=["NA", "-"]).rows == ((0, (1, None, None)),)


def test_quotes_hold_separators_and_quotes(tmp_path: Path) -> None:
    assert read(tmp_path, f'{HEADER}\n1,"A, ""B""","6"\n').rows == ((0, (1, 'A, "B"', 6)),)


def test_another_separator_and_windows_line_ends(tmp_path: Path) -> None:
    content = read(tmp_path, "time;sym;qty\r\n1;A,B;6\r\n\r\n2;B;5", separator=";")
    assert content.rows == ((0, (1, "A,B", 6)), (2, (2, "B", 5)))


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbf" + HEADER.encode() + b"\n1,A,6").rows == ((0, (1, "A", 6)),)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,A", "the line has 2 values, the file has 3 columns"),
        ("1,A,6,7", "the line has 4 values, the file has 3 columns"),
        ("1,A,six", "column 'qty' is INT, which cannot hold 'six'"),
        ("1,A,6.5", "column 'qty' is INT, which cannot hold '6.5'"),
        ("1,A,nan", "column 'qty' is INT, which cannot hold 'nan'"),
        ("1,A,9223372036854775808", "column 'qty' is INT, which cannot hold '9223372036854775808'"),
        (",A,6", "the time, column 'time', is empty"),
        ("noon,A,6", "column 'time' is TIMESTAMP, which cannot hold 'noon'"),
        (
            "2101-01-01,A,6",
            "the time, column 'time', is '2101-01-01', outside 1900-01-01 00:00:00 to 2100",
        ),
        ('1,"A,6', "a quote opens inside a value, or does not close on its line"),
        ('1,A"B",6', "a quote opens inside a value, or does not close on its line"),
    ],
)
def test_a_bad_line_is_a_dead_letter_and_the_next_goes_on(tmp_path: Path, line: str, reason: str) -> None:
    content = read(tmp_path, f"{HEADER}\n{line}\n2,B,5\n")
    assert [letter.offset for letter in content.dead_letters] == [0]
    assert content.dead_letters[0].reason.startswith(reason)
    assert content.dead_letters[0].raw == line.encode()
    assert content.rows == ((1, (2, "B", 5)),)


def test_bytes_that_are_no_text_are_a_dead_letter(tmp_path: Path) -> None:
    content = read(tmp_path, HEADER.encode() + b"\n1,\xff,6\n2,B,5\n3,\xc3,4")
    assert reasons(content) == {0: "the line is not UTF-8 text", 2: "the line is not UTF-8 text"}
    assert content.rows == ((1, (2, "B", 5)),)


@pytest.mark.parametrize("mark", ["\ufeff", "x\x01", "\x1f"])
def test_marks_of_encodings_and_compression_are_text_within_a_file(tmp_path: Path, mark: str) -> None:
    schema = {"sym": "SYMBOL", "time": "TIMESTAMP"}
    assert read(tmp_path, f"A,4\n{mark},5\n", schema, header=False).rows == ((0, ("A", 4)), (1, (mark, 5)))


def test_numbers_may_have_blanks_around_them(tmp_path: Path) -> None:
    assert read(tmp_path, f"{HEADER}\n 1 ,A, 6 \n2,B,+5\n").rows == ((0, (1, "A", 6)), (1, (2, "B", 5)))


def test_numbers_that_are_not_finite_are_null_where_fractions_are_allowed(tmp_path: Path) -> None:
    schema = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "DOUBLE"}
    content = read(tmp_path, f"{HEADER}\n1,A,nan\n2,A,-inf\n3,A,1e400\n4,A,1e3\n", schema)
    assert [row[2] for _, row in content.rows] == [None, None, None, 1000.0]


def test_booleans_are_words_or_digits(tmp_path: Path) -> None:
    schema = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "BOOL"}
    content = read(tmp_path, f"{HEADER}\n1,A,true\n2,A,0\n3,A,Yes\n4,A,2\n5,A,\n", schema)
    assert content.rows == ((0, (1, "A", True)), (1, (2, "A", False)), (2, (3, "A", True)), (4, (5, "A", None)))
    assert list(reasons(content)) == [3]


def test_a_line_beyond_the_limit_is_a_dead_letter_of_bounded_size(tmp_path: Path) -> None:
    long = "1," + "A" * 5000 + ",6"
    for block in (f"{HEADER}\n{long}\n2,B,5\n", f"{HEADER}\n1,A,6\n{long}{long}"):
        content = read(tmp_path, block, record_size_bytes_max=2000)
        assert list(reasons(content).values()) == ["the line is longer than 2000 bytes"]
        assert len(content.dead_letters[0].raw) == 1024
        assert len(content.rows) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("time,sym\n1,A\n", "no column 'qty'; the file has time, sym"),
        ("time,sym,qty,QTY,qty\n", "two columns are named 'qty'"),
        (b"\xff\xff\n1,A,6\n", "does not name columns"),
        ("# exported today\ntime,sym,qty\n1,A,6\n", "remove what stands before that line"),
        ("\ntime,sym,qty\n1,A,6\n", "remove what stands before that line"),
        ("x" * 5000, "the first line is longer than 2000 bytes"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_an_error(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        read(tmp_path, text, record_size_bytes_max=2000)
    assert str(tmp_path / "a.csv") in str(caught.value)

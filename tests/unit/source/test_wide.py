"""Files of UTF-16, and values of several lines in quotes."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from actors.errors import SourceError
from actors.source.open import open_source
from actors.source.protocol import Source
from config import ConfigError
from tests.support.jobs import make_trades_job
from tests.support.reading import read_split

SCHEMA = {"time": "TIMESTAMP", "sym": "STRING", "qty": "INT"}
TEXT = "time,sym,qty\n" + "".join(f"{number},käse 🧀 {number},{number % 100}\n" for number in range(5_000))


def open_file(path: Path, **source: Any) -> Source:
    job = make_trades_job({"type": "csv", "path": str(path), **source}, schema=SCHEMA)
    return open_source(job, path.parent, positions=path.parent / "kept")


@pytest.mark.parametrize(
    ("encoding", "written"), [("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"), ("UTF-16BE", "utf-16-be")]
)
@pytest.mark.parametrize("is_packed", [False, True])
def test_a_file_of_utf_16_has_its_rows_from_any_offset(
    tmp_path: Path, encoding: str, written: str, is_packed: bool
) -> None:
    content = TEXT.encode(written)
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(content) if is_packed else content)
    found = read_split(open_file(path, encoding=encoding))
    assert [row for _, row in found.rows][4_999] == (4_999, "käse 🧀 4999", 99)
    assert (len(found.rows), found.dead_letters) == (5_000, ())
    source = open_file(path, encoding=encoding)
    for start in (4_000, 3):
        assert source.read(0, start, 2).frame["time"].to_list() == [start, start + 1]


def test_both_orders_of_bytes_are_known_by_their_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xfe\xff" + TEXT.encode("utf-16-be"))
    assert len(read_split(open_file(path, encoding="utf-16")).rows) == 5_000
    path.write_bytes(TEXT.encode("utf-16-be"))
    with pytest.raises(SourceError, match="does not begin with a mark that says which UTF-16 it is"):
        read_split(open_file(path, encoding="utf-16", columns={}))


def test_what_is_no_utf_16_is_a_dead_letter(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lone = "time,sym,qty\n1,a,1\n2,".encode("utf-16") + b"\x00\xd8" + ",2\n3,\ufeffc,3\n4,d,4".encode("utf-16-le")
    path.write_bytes(lone + b"\n")
    found = read_split(open_file(path, encoding="utf-16"))
    assert [row for _, row in found.rows] == [(1, "a", 1), (3, "\ufeffc", 3)]
    assert [(one.offset, one.reason) for one in found.dead_letters] == [
        (1, "the line is not UTF-8 text"),
        (3, "the line is not UTF-8 text"),
    ]


def test_a_file_of_utf_16_is_followed_at_any_byte_and_noticed_when_it_is_replaced(tmp_path: Path) -> None:
    path, content = tmp_path / "a.csv", TEXT[:600].encode("utf-16")
    path.write_bytes(b"")
    source, position, rows = open_file(path, encoding="utf-16", follow=True), 0, []
    for start in range(0, len(content), 7):
        with path.open("ab") as file:
            file.write(content[start : start + 7])
        found = read_split(source, start=position)
        rows, position = [*rows, *found.rows], found.next_offset
    assert [row[0] for _, row in rows] == list(range(TEXT[:600].count("\n") - 1))
    path.write_bytes(TEXT[:600].replace("5,käse", "5,bäse").encode("utf-16"))
    for one in (source, open_file(path, encoding="utf-16", follow=True)):
        with pytest.raises(SourceError, match="was replaced or changed"):
            one.read(0, position, 5)


def test_who_does_not_say_so_is_told_what_the_file_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode("utf-16"))
    with pytest.raises(SourceError, match="is UTF-16; give `encoding: utf-16`"):
        read_split(open_file(path))


def test_utf_16_is_for_files() -> None:
    source = {"type": "kafka", "brokers": ["a:1"], "topic": "t", "format": {"type": "csv", "encoding": "utf-16"}}
    with pytest.raises(ConfigError, match="utf-16 is for files"):
        make_trades_job(source)


def test_values_in_quotes_hold_line_ends_where_the_job_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'time,"sym\nbol",qty\r\n1,"a\r\nb ""c""\n\n",1\r\n\r\n2,d,2\n3,"e\n",3')
    found = read_split(open_file(path, quoted_line_ends=True, columns={"sym": "sym\nbol"}))
    assert found.rows == ((0, (1, 'a\r\nb "c"\n\n', 1)), (2, (2, "d", 2)), (3, (3, "e\n", 3)))
    assert not found.dead_letters
    with pytest.raises(SourceError, match="does not name columns"):
        read_split(open_file(path, columns={"sym": "sym\nbol"}))


def test_quotes_that_never_close_cost_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('time,sym,qty\n1,a,1\n2,"b,2\n3,c,3\n4,d"d,4\n5,e,5\n')
    found = read_split(open_file(path, quoted_line_ends=True))
    assert [row[0] for _, row in found.rows] == [1, 5]
    # From the quote that opens to the one in the next but one line, which does not close at the end of a value.
    assert [(one.offset, one.raw) for one in found.dead_letters] == [(1, b'2,"b,2\n3,c,3\n4,d"d,4')]
    other = tmp_path / "other" / "a.csv"
    other.parent.mkdir()
    other.write_text('time,sym,qty\n1,a,1\n2,"b,2\n3,c,3\n4,d,4\n')
    found = read_split(open_file(other, quoted_line_ends=True))
    assert [row[0] for _, row in found.rows] == [1, 3, 4]
    assert [(one.offset, one.raw) for one in found.dead_letters] == [(1, b'2,"b,2')]

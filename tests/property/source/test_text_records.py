"""Lines of any bytes: nothing but rows and dead letters, each record judged by itself, whatever the cuts."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import actors.source.transport.lines
from actors.source.open import open_source
from tests.support.jobs import make_trades_job
from tests.support.reading import SplitContent, read_split

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT", "price": "DOUBLE", "open": "BOOL"}

CSV_PIECES = [
    b",", b'"', b'""', b"\r", b" ", b"a", b"\xff", b"\xc3\xa9", b"\x00", b"1", b"-7", b"2.5", b"nan", b"inf", b"1e400",
    b"true", b"2018-10-08T01:01:01.002", b"2018-02-30", b"9999-12-31", b"1538960461002", b"99999999999999999999", b"'",
    b"2018-10-08 01:01:01,A,6,1.5,true", b'2018-10-08,"A, ""B""",6,,', b"5,x,1,2,0", b"\xe2\x80\xa8",
    b"\xef\xbb\xbf", b"x\x01",
]  # fmt: skip

JSON_PIECES = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"1", b"-", b"1e999", b"NaN", b"null", b"true", b"\\ud800", b"\\",
    b"\xff", b" ", b'"time":5', b'"sym":"A"', b'"qty":1.0', b'"price":"2"',
    b'{"time":5,"sym":"A","qty":1,"price":2,"open":true}',
    b'{"time":"2018-10-08","sym":null,"qty":null,"price":null,"open":null}',
    b'{"TIME":5,"sym":"A","qty":1,"price":2,"open":false}',
    b'{"time":5,"sym":1,"qty":1,"price":2,"open":0}', b'{"time":5,"sym":"\\ud800","qty":1,"price":2,"open":true}',
    b'{"time":5,"sym":"A","qty":99999999999999999999,"price":1e400,"open":true}', b'","\xe2\x90\x9e tocsin","',
]  # fmt: skip


LOG_PIECES = [
    b"2018-10-08 01:01:01", b" ", b"  ", b"\t", b"[7]", b"\r", b"A", b"\xff", b"\xc3\xa9", b"\x00", b"9999-12-31 00:00",
    b"qty 5 of A at 1.5", b"qty -7 of B at x", b"qty 99999999999999999999 of C at 2", b"open true", b"open ", b"<*>",
    b"2018-10-08 01:01:01 qty 5 of A at 1.5", b"2018-10-08T01:01:01.5+02:00 open false", b"\xe2\x80\xa8", b"\x1f",
]  # fmt: skip

LOG_TEMPLATES = [
    {"id": "qty", "text": "qty <qty> of <sym> at <price>"},
    {"id": "open", "text": "open <open>"},
    {"id": "any", "regex": r"[A-Z](?P<sym>.*)"},
]


def lines_of(pieces: list[bytes]) -> st.SearchStrategy[list[bytes]]:
    line = st.lists(st.sampled_from(pieces), max_size=9).map(b"".join)
    return st.lists(line, max_size=12)


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(actors.source.transport.lines, "BLOCK_SIZE_BYTES", 150)
    yield
    patch.undo()


def read(kind: str, lines: list[bytes], *, batch: int = 1000, ends: bool = True, follow: bool = False) -> SplitContent:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        header = [b"time,sym,qty,price,open"] if kind == "csv" else []
        path.write_bytes(b"\n".join(header + lines) + (b"\n" if ends and header + lines else b""))
        settings = {"type": kind, "path": str(path), "record_size_bytes_max": 120, "follow": follow}
        settings |= {"templates": LOG_TEMPLATES} if kind == "log" else {}
        return read_split(open_source(make_trades_job(settings, schema=SCHEMA), Path(folder)), batch=batch)


def check(kind: str, lines: list[bytes], batch: int) -> None:
    whole = read(kind, lines)
    offsets = sorted([offset for offset, _ in whole.rows] + [letter.offset for letter in whole.dead_letters])
    assert offsets == [number for number, line in enumerate(lines) if line.removesuffix(b"\r")]
    assert whole.next_offset == len(lines)
    assert read(kind, lines, batch=batch) == whole
    assert verdicts(read(kind, lines[::-1]), reverse=True) == verdicts(whole)
    if offsets:
        alone = verdicts(read(kind, [lines[offsets[-1]]]))
        assert alone == verdicts(whole)[-1:]


def verdicts(content: SplitContent, *, reverse: bool = False) -> list[str]:
    """Return what became of each record, in order of offsets; as text, because NaN is not there but might be."""
    found: dict[int, str] = {offset: repr(row) for offset, row in content.rows}
    found |= {letter.offset: letter.reason for letter in content.dead_letters}
    return [found[offset] for offset in sorted(found, reverse=reverse)]


@given(lines_of(CSV_PIECES), st.integers(1, 5))
def test_csv_lines_of_any_bytes(lines: list[bytes], batch: int) -> None:
    check("csv", lines, batch)


@given(lines_of(JSON_PIECES), st.integers(1, 5))
def test_ndjson_lines_of_any_bytes(lines: list[bytes], batch: int) -> None:
    check("ndjson", lines, batch)


@given(lines_of(LOG_PIECES), st.integers(1, 5))
def test_log_lines_of_any_bytes(lines: list[bytes], batch: int) -> None:
    check("log", lines, batch)


@given(st.sampled_from(["csv", "ndjson", "log"]), st.lists(st.binary(max_size=300), max_size=6), st.integers(1, 5))
def test_raw_bytes(kind: str, chunks: list[bytes], batch: int) -> None:
    check(kind, b"\n".join(chunks).split(b"\n") if chunks else [], batch)


@given(st.sampled_from(["csv", "ndjson", "log"]), lines_of(CSV_PIECES + JSON_PIECES))
def test_a_last_line_without_end_counts_only_when_the_file_is_complete(kind: str, lines: list[bytes]) -> None:
    whole = read(kind, [*lines, b"x"], ends=False)
    followed = read(kind, [*lines, b"x"], ends=False, follow=True)
    assert whole.next_offset == len(lines) + 1
    assert followed.next_offset == len(lines)
    assert whole.rows[: len(followed.rows)] == followed.rows

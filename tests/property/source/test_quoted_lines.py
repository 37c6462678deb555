"""Values with line ends in quotes: the same rows and dead letters at any cut, of any bytes."""

import csv
import io
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import actors.source.transport.lines
from actors.source.format.quoted import quoted_record_ends
from actors.source.open import open_source
from actors.source.transport.lines import LineFraming
from actors.source.transport.pipe import RecordCutter
from tests.support.jobs import make_trades_job
from tests.support.reading import SplitContent, read_split

LIMIT = 60
SCHEMA = {"time": "TIMESTAMP", "sym": "STRING", "qty": "INT"}
PIECES = [
    b'"', b'""', b'"', b",", b"\n", b"\r\n", b"\r", b"1", b"5", b"a", b"\xef\xbb\xbf", b"\xff", b" ",
    b'1,"a\nb",2\n', b'2,"x""\r\ny",3\r\n', b"3,c,4\n", b'4,"never closed,5\n', b'5,a"b,6\n', b'6,"",7\n', b"x" * 40,
]  # fmt: skip

dirty = st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join)
texts = st.text(alphabet='ab",\n\r é', max_size=12)


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(actors.source.transport.lines, "BLOCK_SIZE_BYTES", 10)
    yield
    patch.undo()


def job(path: Path, **source: Any) -> Any:
    plain = {
        "type": "csv",
        "path": str(path),
        "quoted_line_ends": True,
        "record_size_bytes_max": LIMIT,
        "header": False,
    }
    return make_trades_job(plain | source, schema=SCHEMA)


def read(content: bytes, batch: int = 1000, **source: Any) -> SplitContent:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(content)
        return read_split(open_source(job(path, **source), Path(folder)), batch=batch)


def read_growing(pieces: list[bytes], *, restarts: bool) -> SplitContent:
    """Return what is read of a file that is followed while pieces are added, each by another reader if it restarts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(b"")
        rows: list[Any] = []
        letters: list[Any] = []
        position, source = 0, None
        for piece in pieces:
            with path.open("ab") as file:
                file.write(piece)
            if source is None or restarts:
                source = open_source(job(path, follow=True), Path(folder), positions=Path(folder, "kept"))
            found = read_split(source, start=position)
            rows, letters, position = [*rows, *found.rows], [*letters, *found.dead_letters], found.next_offset
        return SplitContent(rows=tuple(rows), dead_letters=tuple(letters), next_offset=position)


def plain_ends(content: bytes, is_all: bool) -> list[int]:
    """Return where records end, letter by letter, as the page says."""
    ends, start = [], 0
    while start < len(content):
        is_quoted, is_wrong, end = False, False, None
        for place in range(start, len(content)):
            letter, before = content[place : place + 1], content[place - 1 : place] if place > start else b"\n"
            if letter == b'"' and not is_wrong:
                is_wrong = not is_quoted and before not in (b",", b'"', b"\n")
                is_quoted = not is_quoted and not is_wrong
            elif letter == b"\n" and not is_quoted:
                end = place + 1
                break
        first = content.find(b"\n", start) + 1
        if not first:
            return [*ends, len(content)] if is_all else ends
        if end is None and (is_wrong or not is_quoted) and is_all and len(content) - start <= LIMIT:
            end = len(content)
        if end is not None and (end == first or end - start <= LIMIT):
            start = end
        elif end is not None or is_all or len(content) - start > LIMIT:
            start = first
        else:
            return ends
        ends.append(start)
    return ends


@given(content=dirty, is_all=st.booleans())
def test_records_end_where_a_plain_search_finds_it(content: bytes, is_all: bool) -> None:
    assert quoted_record_ends(",", LIMIT)(content, is_all).tolist() == plain_ends(content, is_all)


@given(rows=st.lists(st.tuples(texts, texts), max_size=12), end=st.sampled_from(["\n", "\r\n"]))
def test_what_is_written_well_is_read_as_it_was_meant(rows: list[tuple[str, str]], end: str) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(
        [(number, one[:10], number) for number, (one, _) in enumerate(rows)]
    )
    found = read(written.getvalue().encode())
    assert not found.dead_letters
    assert found.rows == tuple((n, (n, one[:10], n)) for n, (one, _) in enumerate(rows))


@given(content=dirty, batch=st.integers(1, 5))
def test_batches_change_nothing(content: bytes, batch: int) -> None:
    assert read(content, batch=batch) == read(content)


@given(content=dirty, cuts=st.lists(st.integers(0, 200), max_size=5), restarts=st.booleans())
def test_growing_and_restarts_change_nothing(content: bytes, cuts: list[int], restarts: bool) -> None:
    # What ends it all tells the last record from one that is not whole.
    content += b"\n" + b"9,z,9\n" * 12
    places = sorted({min(cut, len(content)) for cut in cuts} | {0, len(content)})
    pieces = [content[low:high] for low, high in pairwise(places)]
    whole, grown = read(content), read_growing(pieces, restarts=restarts)
    assert grown == whole


@given(content=dirty, cuts=st.lists(st.integers(0, 200), max_size=5))
def test_a_pipe_has_the_records_of_a_file(content: bytes, cuts: list[int]) -> None:
    framing = LineFraming(record_size_bytes_max=LIMIT, record_ends=quoted_record_ends(",", LIMIT))
    text = content.removeprefix(b"\xef\xbb\xbf")
    ends = quoted_record_ends(",", LIMIT)(text, True).tolist()
    cutter = RecordCutter(framing)
    places = sorted({min(cut, len(content)) for cut in cuts} | {0, len(content)})
    records: list[bytes] = []
    for low, high in pairwise(places):
        records += cutter.cut(content[low:high])
    records += cutter.cut(b"", is_end=True)
    expected = [text[low:high].removesuffix(b"\n").removesuffix(b"\r") for low, high in pairwise([0, *ends])]
    assert records == [one[: LIMIT + 1] for one in expected]


def test_many_mistakes_take_no_long_time() -> None:
    content = b'1,a"b,2\n' * 20_000 + b'1,"open\n' * 20_001
    assert np.all(np.diff(quoted_record_ends(",", 100)(content, True)) > 0)

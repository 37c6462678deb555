"""A pipe: cut into records as it comes, kept in a journal."""

import os
from pathlib import Path
from typing import Any

import pytest

from actors.errors import SourceError
from actors.source.open import open_source
from actors.source.protocol import Source
from actors.source.surroundings import Surroundings
from actors.source.transport.lines import LineFraming
from actors.source.transport.pipe import RecordCutter
from tests.support.jobs import make_trades_job
from tests.support.reading import read_split

LINES = b"\xef\xbb\xbftime,sym,qty\r\n1,A,6\r\n\n22222222222222222222,B,5\n3,C,4"


def opened(folder: Path, descriptor: int, form: Any = "json", **settings: Any) -> Source:
    job = make_trades_job({"type": "stdin", "format": form}, **settings)
    return open_source(job, folder / "streams", around=Surroundings(stdin=descriptor))


def cut_in_pieces(content: bytes, size: int, **framing: Any) -> list[bytes]:
    cutter = RecordCutter(LineFraming(**framing))
    records = [one for at in range(0, len(content), size) for one in cutter.cut(content[at : at + size])]
    return [*records, *cutter.cut(b"", is_end=True), cutter.header or b""]


@pytest.mark.parametrize("size", range(1, 20))
def test_records_do_not_depend_on_the_pieces_in_which_they_come(size: int) -> None:
    header = b"time,sym,qty"
    whole = [b"1,A,6\r", b"", b"22222222222222222222,B,5", b"3,C,4", header]
    assert cut_in_pieces(LINES, size, has_header=True) == whole
    # Long ones are known by a byte more than they may have.
    short = [b"1,A,6\r", b"", b"22222222222222", b"3,C,4", header]
    assert cut_in_pieces(LINES, size, has_header=True, record_size_bytes_max=13) == short


def begins(content: bytes) -> list[int]:
    return [at for at in range(len(content)) if content[at : at + 1] == b"#" and content[at - 1 : at] in (b"", b"\n")]


@pytest.mark.parametrize("size", range(1, 20))
def test_lines_that_belong_together_are_one_record(size: int) -> None:
    content = b"early\n#1\n  more\n#2\n#3\n x\n\n"
    assert cut_in_pieces(content, size, beginnings=begins)[:-1] == [b"early", b"#1\n  more", b"#2", b"#3\n x"]


def test_a_pipe_ends_when_it_is_closed_and_not_before(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    source = opened(tmp_path, reading)
    os.write(writing, b'{"time": 1, "sym": "A", "qty": 6}\n{"time": 2, "sym": "B",')
    batch = source.read(0, 0, 10)
    assert (batch.frame.rows(), batch.at_end, source.read(0, 1, 10).at_end) == ([(1, "A", 6)], False, False)
    os.write(writing, b' "qty": 5}')
    os.close(writing)
    batch = source.read(0, 1, 10)
    assert (batch.frame.rows(), batch.next_offset, source.read(0, 2, 10).at_end) == ([(2, "B", 5)], 2, True)
    source.close()
    os.close(reading)


def test_what_came_before_is_read_again_from_the_journal_and_a_new_pipe_goes_on(tmp_path: Path) -> None:
    found = []
    for qty in (6, 5):
        reading, writing = os.pipe()
        os.write(writing, f"time,sym,qty\n1,A,{qty}\n".encode())
        os.close(writing)
        source = opened(tmp_path, reading, "csv")
        found.append(read_split(source).rows)
        source.close()
        os.close(reading)
    assert found == [((0, (1, "A", 6)),), ((0, (1, "A", 6)), (1, (1, "A", 5)))]


def test_a_pipe_with_another_header_is_refused(tmp_path: Path) -> None:
    for text in ("time,sym,qty\n1,A,6\n", "time,qty,sym\n1,6,A\n"):
        reading, writing = os.pipe()
        os.write(writing, text.encode())
        os.close(writing)
        source = opened(tmp_path, reading, "csv")
        if "qty,sym" in text:
            with pytest.raises(SourceError, match="stdin begins with b'time,qty,sym', and before with b'time,sym,qty'"):
                read_split(source, start=1)
        else:
            read_split(source)
        source.close()
        os.close(reading)


def test_records_of_any_bytes_are_kept(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, bytes(range(256)).replace(b"\n", b"") + b"\n" + '{"time": 1, "sym": "é", "qty": 6}\n'.encode())
    os.close(writing)
    source = opened(tmp_path, reading)
    content = read_split(source)
    assert (content.rows, content.dead_letters[0].reason) == (((1, (1, "é", 6)),), "the line is not UTF-8 text")
    assert content.dead_letters[0].raw == bytes(range(256)).replace(b"\n", b"")
    source.close()
    os.close(reading)


def test_a_journal_gives_up_its_oldest_records_beyond_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_text("".join(f'{{"time": {number}, "sym": "A", "qty": 6}}\n' for number in range(200_000)))
    descriptor = os.open(path, os.O_RDONLY)
    source = opened(tmp_path, descriptor, limits={"time_min": "1900-01-01", "stream_rows_max": 1000})
    assert len(read_split(source, batch=50_000).rows) == 200_000
    assert source.earliest_offset(0) > 0
    with pytest.raises(SourceError, match="earliest"):
        source.read(0, 0, 10)
    source.close()
    os.close(descriptor)


def test_only_a_run_has_a_standard_input(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="which `tocsin run` alone has"):
        open_source(make_trades_job({"type": "stdin", "format": "json"}), tmp_path)

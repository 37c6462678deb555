"""Files of line protocol and of MessagePack."""

import gzip
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import msgpack
import pytest

from actors.errors import SourceError
from actors.source.format.msgpack import object_ends
from actors.source.open import open_source
from actors.source.protocol import Source
from actors.source.transport import lines
from tests.support.jobs import make_trades_job
from tests.support.reading import read_split

OBJECTS = [{"time": number, "sym": f"a\n{number}", "qty": number % 100} for number in range(3_000)]
CONTENT = b"".join(map(msgpack.packb, OBJECTS))


def open_file(path: Path, **source: Any) -> Source:
    job = make_trades_job({"path": str(path), **source})
    return open_source(job, path.parent, positions=path.parent / "kept")


@pytest.mark.parametrize("is_packed", [False, True])
def test_objects_of_a_file_are_rows_from_any_offset(tmp_path: Path, is_packed: bool) -> None:
    path = tmp_path / ("a.msgpack.gz" if is_packed else "a.msgpack")
    path.write_bytes(gzip.compress(CONTENT) if is_packed else CONTENT)
    found = read_split(open_file(path))
    assert found.rows == tuple((n, (n, f"a\n{n}", n % 100)) for n in range(3_000))
    source = open_file(path)
    for start in (2_000, 3):
        assert source.read(0, start, 2).frame["time"].to_list() == [start, start + 1]


def test_arrays_and_lists_of_rows_are_read_as_those_of_messages(tmp_path: Path) -> None:
    path = tmp_path / "a.msgpack"
    path.write_bytes(msgpack.packb([1, "a", 2]) + msgpack.packb([[2, "b", 3], {"time": 3, "sym": "c", "qty": 4}]))
    found = read_split(open_file(path, explode=".", explode_rows_max=10))
    assert found.rows[-2:] == ((10, (2, "b", 3)), (11, (3, "c", 4)))


@pytest.mark.parametrize("seed", range(5))
def test_objects_are_followed_at_any_byte(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_SIZE_BYTES", 500)
    random, path, content = Random(seed), tmp_path / "a.msgpack", CONTENT[:5_000]
    cuts = sorted({0, len(content), *(random.randrange(len(content)) for _ in range(20))})
    path.write_bytes(b"")
    source, rows, position = open_file(path, follow=True, record_size_bytes_max=200), [], 0
    for low, high in pairwise(cuts):
        with path.open("ab") as file:
            file.write(content[low:high])
        if random.random() < 0.3:
            source = open_file(path, follow=True, record_size_bytes_max=200)
        found = read_split(source, start=position)
        rows, position = [*rows, *found.rows], found.next_offset
    assert [row[0] for _, row in rows] == list(range(len(object_ends(content, False))))


def test_a_last_object_that_is_torn_is_a_dead_letter(tmp_path: Path) -> None:
    path = tmp_path / "a.msgpack"
    path.write_bytes(CONTENT[:-3])
    found = read_split(open_file(path))
    assert len(found.rows) == 2_999
    assert [one.offset for one in found.dead_letters] == [2_999]
    assert "no MessagePack" in found.dead_letters[0].reason


def test_what_is_no_object_ends_the_file_with_an_error_after_the_rows_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.msgpack"
    path.write_bytes(CONTENT[:1_000][: object_ends(CONTENT[:1_000], False)[-1]] + b"\xc1" + CONTENT)
    source = open_file(path)
    count = len(object_ends(CONTENT[:1_000], False))
    assert source.read(0, 0, count).frame.height == count
    with pytest.raises(SourceError, match=r"a\.msgpack: after \d+ bytes: no MessagePack object; what comes after"):
        source.read(0, count, 10)


def test_an_object_that_is_too_long_is_an_error_that_names_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "BLOCK_SIZE_BYTES", 500)
    path = tmp_path / "a.msgpack"
    path.write_bytes(msgpack.packb({"time": 1, "sym": "x" * 3_000, "qty": 1}))
    with pytest.raises(SourceError, match=r"after 0 bytes has more than 1000 bytes; make `record_size_bytes_max`"):
        read_split(open_file(path, record_size_bytes_max=1_000))


def test_bytes_that_look_like_the_beginning_of_a_text_are_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.msgpack"
    # A number, a text of 27 bytes, and an object.
    path.write_bytes(b"\xef\xbb\xbf" + b"x" * 26 + msgpack.packb([1, "a", 1]))
    found = read_split(open_file(path))
    assert [row for _, row in found.rows] == [(1, "a", 1)]
    assert [one.offset for one in found.dead_letters] == [0, 1]


def test_line_protocol_is_read_from_files_and_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.lp"
    written = [
        "trades,sym=A qty=1i 1000000",
        "trades,sym=B qty=2i",
        "# no row",
        'trades,sym=C qty=3i,note="x y" 3000000',
    ]
    path.write_text("".join(f"{line}\n" for line in written))
    found = read_split(open_file(path))
    assert [(offset, row) for offset, row in found.rows] == [(0, (1, "A", 1)), (3, (3, "C", 3))]
    # A line without a time has none in a file.
    assert [(one.offset, one.reason) for one in found.dead_letters] == [(1, "the time, column 'time', is empty")]
    source = open_file(tmp_path / "a.lp", follow=True, precision="ms", measurements="trades", type="influx")
    assert read_split(source).next_offset == 4
    with path.open("a") as file:
        file.write("trades,sym=D qty=4i 4\nother,sym=E qty=5i 5\n")
    assert [row for _, row in read_split(source, start=4).rows] == [(4, "D", 4)]

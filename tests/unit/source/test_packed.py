"""Compressed files are read as they are."""

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.errors import SourceError
from actors.source.open import open_source
from actors.source.protocol import Source
from tests.support.jobs import make_trades_job
from tests.support.reading import read_split

HEADER = "time,sym,qty\n"
LINES = [f"{number},A,{number % 100}\n" for number in range(20_000)]
PACKINGS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def open_file(path: Path, **source: Any) -> Source:
    job = make_trades_job({"path": str(path), **source})
    return open_source(job, path.parent, positions=path.parent / "kept")


@pytest.mark.parametrize("ending", PACKINGS)
def test_a_compressed_file_has_the_rows_of_what_is_in_it(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.csv.{ending}"
    path.write_bytes(PACKINGS[ending]((HEADER + "".join(LINES)).encode()))
    content = read_split(open_file(path))
    assert [row[0] for _, row in content.rows] == list(range(20_000))
    # From any offset, also after a restart.
    source = open_file(path)
    for start in (15_000, 3, 19_999):
        assert source.read(0, start, 2).frame["time"].to_list() == list(range(20_000))[start : start + 2]


def test_zstd_is_read_where_its_package_is(tmp_path: Path) -> None:
    zstd = pytest.importorskip("backports.zstd")
    path = tmp_path / "a.csv.zst"
    path.write_bytes(zstd.compress(HEADER.encode()) + zstd.compress("".join(LINES).encode()))
    assert read_split(open_file(path)).next_offset == 20_000
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"archive \(zstd\)"):
        read_split(open_file(path, columns={}), start=0)


def test_zstd_without_its_package_is_an_error_that_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    path = tmp_path / "a.csv.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + b"\0" * 20)
    with pytest.raises(SourceError, match=r"a\.csv\.zst: .*pip install 'tocsin\[zstd\]', or unpack it first"):
        read_split(open_file(path))


@pytest.mark.parametrize("ending", PACKINGS)
def test_several_members_are_one_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.csv.{ending}"
    pack = PACKINGS[ending]
    path.write_bytes(pack(HEADER.encode()) + b"".join(pack(line.encode()) for line in LINES[:50]))
    assert read_split(open_file(path)).next_offset == 50


@pytest.mark.parametrize("ending", PACKINGS)
def test_an_archive_that_ends_in_the_middle_is_an_error(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.csv.{ending}"
    packed = PACKINGS[ending]((HEADER + "".join(LINES)).encode())
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(SourceError, match=r"a\.csv\.\w+: the archive \(\w+\) (ends in the middle|is damaged)"):
        read_split(open_file(path))


def test_a_damaged_archive_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    packed = bytearray(gzip.compress((HEADER + "".join(LINES)).encode()))
    packed[len(packed) // 2] ^= 255
    path.write_bytes(packed)
    with pytest.raises(SourceError, match="is damaged"):
        read_split(open_file(path))


def test_a_compressed_file_that_was_replaced_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress((HEADER + "1,A,1\n2,A,2\n").encode()))
    source = open_file(path)
    assert read_split(source).next_offset == 2
    path.write_bytes(gzip.compress((HEADER + "1,A,1\n2,B,2\n").encode()))
    for again in (source, open_file(path)):
        with pytest.raises(SourceError, match="was replaced or changed"):
            again.read(0, 2, 1)


def test_a_folder_has_compressed_files_among_others(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "1,A,1\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((HEADER + "2,A,2\n").encode()))
    (tmp_path / "c.txt.gz").write_bytes(b"no file of the source")
    source = open_file(tmp_path, type="csv")
    assert [row[0] for _, row in read_split(source).rows] == [1, 2]

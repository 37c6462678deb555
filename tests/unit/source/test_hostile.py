"""Files that nobody meant to be read: an error that names the file, or every record a row or a dead letter."""

import os
from pathlib import Path
from typing import Any

import pytest

from actors.errors import SourceError
from actors.source.open import open_source
from tests.support.jobs import make_trades_job
from tests.support.reading import SplitContent, read_split

TEXT = "time,sym,qty\n2026-01-01,A,1\n"
CONTENTS = {
    "random bytes": bytes((number * 7919) % 256 for number in range(5000)),
    "nothing": b"",
    "blank lines": b"\n\r\n \n",
    "a header alone": b"time,sym,qty",
    "NUL bytes": TEXT.encode() + b"2026-01-01,A\0,1\n\0\0\n",
    "mixed line ends": TEXT.encode() + b"2026-01-01,B,2\r\n2026-01-01,C,3\r2026-01-02,D,4\n",
    "carriage returns": TEXT.replace("\n", "\r").encode(),
    "a byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf" + TEXT.encode(),
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-16 without a mark": TEXT.encode("utf-16-be"),
    "UTF-32": TEXT.encode("utf-32"),
    "Latin-1": TEXT.encode() + "2026-01-01,é,1\n".encode("latin-1"),
    "a long line": TEXT.encode() + b"x" * (3 << 20) + b"\n2026-01-01,B,2\n",
    "a long first line": b"x" * (3 << 20) + b"\n",
    "open quotes": b'"time","sym","qty"\n2026-01-01,"A\n2026-01-01,B,2\n',
    "an open header": b'"time,sym\n',
    "deep JSON": b"[" * 100_000 + b"\n",
    "a long number": b'{"time": "2026-01-01", "sym": "A", "qty": ' + b"9" * 5000 + b"}\n",
    "gzip": b"\x1f\x8b\x08\x00abc\n",
}
LOG = {"type": "log", "format": r"(?P<time>[^,]*),(?P<sym>[^,]*),(?P<qty>.*)"}
NO_TEXT = {
    "a workbook": (b"PK\x03\x04\x14\x00", "zip"),
    "Parquet": (b"PAR1\x15\x04", "type: parquet"),
    "UTF-16": (TEXT.encode("utf-16"), "give `encoding: utf-16`"),
    "SQLite": (b"SQLite format 3\0\x10\0", "database"),
}
KINDS: dict[str, dict[str, Any]] = {
    "csv": {"type": "csv"},
    "csv without header": {"type": "csv", "header": False},
    "ndjson": {"type": "ndjson"},
    "log": LOG,
    "log of blocks": LOG | {"record_start": "2026"},
    "parquet": {"type": "parquet"},
}


def read(path: Path, settings: dict[str, Any]) -> SplitContent:
    return read_split(open_source(make_trades_job({"path": str(path)} | settings), path.parent))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CONTENTS)
def test_every_record_is_accounted_for_or_the_file_is_named(tmp_path: Path, kind: str, name: str) -> None:
    path, content = tmp_path / "a", CONTENTS[name]
    path.write_bytes(content)
    try:
        found = read(path, KINDS[kind])
    except SourceError as error:
        message = str(error)
    else:
        message = check_records(content, found, kind)
    assert message.startswith(f"{path}: ") or not message
    assert len(message) < 500


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "parquet"])
@pytest.mark.parametrize("name", NO_TEXT)
def test_what_is_no_text_is_said_with_the_way_out(tmp_path: Path, kind: str, name: str) -> None:
    content, way_out = NO_TEXT[name]
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(SourceError, match=f"/a: no file of lines: it is .*{way_out}"):
        read(tmp_path / "a", KINDS[kind])


def check_records(content: bytes, found: SplitContent, kind: str) -> str:
    """Check that all records are accounted for."""
    has_header = kind == "csv"
    lines = [line.removesuffix(b"\r") for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n")][has_header:]
    assert found.next_offset == len(lines) - (lines[-1:] == [b""])
    if kind != "log of blocks":
        assert len(found.rows) + len(found.dead_letters) == sum(map(bool, lines))
    assert all(0 < len(letter.reason) < 300 for letter in found.dead_letters)
    return ""


@pytest.mark.parametrize("kind", ["csv", "ndjson", "log", "parquet"])
def test_what_is_no_file_is_an_error_at_once(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    places = {
        "pipe": "is no file but a pipe or a device",
        "folder": "has no file ending in",
        "loop": "there is no file",
        "file/below": "there is no file",
        "x" * 300: "cannot be looked at: File name too long",
        "a\0b": "there is no file",
    }
    for place, message in places.items():
        with pytest.raises(SourceError, match=message):
            read(tmp_path / place, KINDS[kind])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("kind", ["csv", "ndjson", "log", "parquet"])
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_text(TEXT)
    (tmp_path / "a").chmod(0)
    with pytest.raises(SourceError, match=r"/a: cannot be read.*Permission denied"):
        read(tmp_path / "a", KINDS[kind])

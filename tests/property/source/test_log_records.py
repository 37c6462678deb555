"""Records of several lines: whatever the lines, blocks, batches and growth, they are those of a plain reading."""

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import actors.source.transport.lines
from actors.source.open import open_source
from actors.source.protocol import Source
from config import make_job
from tests.support.reading import SplitContent, read_split

LIMIT = 60
START = "> "
LINES = st.lists(
    st.sampled_from(
        [
            b"> 1 a",
            b"> 2",
            b"> x",
            b">",
            b"",
            b"more",
            b"> 3 " + b"y" * 50,
            b"y" * 70,
            b" > 4",
            b"\xff",
            b"> \xff",
            b"b\r",
        ]
    ),
    max_size=14,
)


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(actors.source.transport.lines, "BLOCK_SIZE_BYTES", 10)
    yield
    patch.undo()


def open_log(path: Path, *, follow: bool = False) -> Source:
    source = {
        "type": "log",
        "path": str(path),
        "format": r"(?s)> (?P<time>\d+)(?P<message>.*)",
        "record_start": START,
        "record_size_bytes_max": LIMIT,
        "follow": follow,
    }
    return open_source(
        make_job({"job": "a", "events": {"store": True}, "limits": {"time_min": "1900-01-01"}, "source": source}), path
    )


def plain(lines: list[bytes]) -> dict[int, str]:
    """Return what each record is, by the number of its first line: its message, or why it is none."""
    starts = [number for number, line in enumerate(lines) if line.startswith(START.encode())]
    first = starts[0] if starts else len(lines)
    found = {number: "begins" for number in range(first) if lines[number].removesuffix(b"\r")}
    for start, end in pairwise([*starts, len(lines)]):
        raw = b"\n".join(lines[start:end]).removesuffix(b"\r")
        try:
            text = raw.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            found[start] = "longer or no text" if len(raw) > LIMIT else "UTF-8"
            continue
        time, rest = text[2:3], text[3:]
        found[start] = "longer or no text" if len(raw) > LIMIT else rest if time.isdigit() else "format"
    return found


def shown(content: SplitContent) -> dict[int, str]:
    found = {offset: row[1] for offset, row in content.rows}
    for letter in content.dead_letters:
        words = ("begins", "format")
        found[letter.offset] = next((word for word in words if word in letter.reason), letter.reason)
    return found


def same(content: SplitContent, expected: dict[int, str]) -> bool:
    found = shown(content)
    for offset, what in expected.items():
        one = found.pop(offset, None)
        if what == "longer or no text":
            # Which of the two is told depends on how much of the record is looked at.
            if one is None or not ("longer" in one or "UTF-8" in one):
                return False
        elif what == "UTF-8":
            if one is None or "UTF-8" not in one:
                return False
        elif one != what:
            return False
    return not found


@given(LINES, st.integers(1, 5), st.booleans())
def test_records_are_those_of_a_plain_reading(lines: list[bytes], batch: int, ends: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        if not ends and lines and not lines[-1]:
            # Without its end, an empty line is none.
            lines = lines[:-1]
            ends = bool(lines)
        path.write_bytes(b"\n".join(lines) + (b"\n" if ends and lines else b""))
        content = read_split(open_log(path), batch=batch)
        assert same(content, plain(lines)), (shown(content), plain(lines))
        assert read_split(open_log(path)) == content


@given(LINES, st.lists(st.integers(1, 60), max_size=8))
def test_growth_changes_no_record(lines: list[bytes], steps: list[int]) -> None:
    data = b"\n".join([*lines, b"> 9 end", b""])
    with tempfile.TemporaryDirectory() as folder:
        path, source = Path(folder, "a"), None
        path.write_bytes(b"")
        source = open_log(path, follow=True)
        position = offset = 0
        found: dict[int, str] = {}
        for step in [*steps, len(data)]:
            with path.open("ab") as file:
                file.write(data[position : position + step])
            position += step
            part = read_split(source, start=offset, batch=3)
            offset = part.next_offset
            found |= shown(part)
        whole = open_log(path)
        expected = {number: what for number, what in shown(read_split(whole)).items() if number < len(lines)}
        assert (found, offset) == (expected, len(lines))

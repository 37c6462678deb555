"""A log is rotated again and again while it is read: no line is lost, none is read twice, offsets stay good."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from actors.errors import SourceError
from actors.source.open import open_source
from actors.source.protocol import Source
from tests.support.jobs import make_trades_job
from tests.support.reading import read_split
from tests.support.rotating_log import RotatingLog

STEP_COUNT = 120


class Reader:
    """Reads a log from where it is, and may be killed: what it had given out counts."""

    def __init__(self, path: Path, random: Random, options: dict[str, Any]) -> None:
        self._random = random
        self._folder = path.parent / "kept"
        source = {"type": "csv", "path": str(path), "follow": True, **options}
        self._job = make_trades_job(source, schema={"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"})
        self._source: Source | None = None
        self.rows: dict[int, tuple[int, str]] = {}
        self.offset = 0
        self.gaps: list[tuple[int, int]] = []

    def open(self) -> Source:
        if self._source is None:
            self._source = open_source(self._job, self._folder, positions=self._folder)
            earliest = self._source.earliest_offset(0)
            if earliest > self.offset:
                self.gaps.append((self.offset, earliest))
                self.offset = earliest
        return self._source

    def kill(self) -> None:
        if self._source is not None:
            # A process that dies closes its files, whatever else it leaves.
            self._source.close()
        self._source = None

    def read(self, count: int) -> None:
        batch = self.open().read(0, self.offset, count)
        batch.validate()
        for letter in batch.dead_letters:
            raise AssertionError(letter)
        self._take(zip(batch.offsets.tolist(), batch.frame.rows(), strict=True))
        self.offset = batch.next_offset

    def read_again(self) -> None:
        """Read from an offset of before: it holds what it held."""
        source = self.open()
        start = self._random.randrange(source.earliest_offset(0), self.offset + 1)
        batch = source.read(0, start, self._random.randrange(1, 9))
        for offset, row in zip(batch.offsets.tolist(), batch.frame.rows(), strict=True):
            assert offset not in self.rows or self.rows[offset] == row[:2]

    def read_to_end(self) -> None:
        before = -1
        while self.offset != before:
            before = self.offset
            self.read(7)

    def _take(self, rows: Iterator[tuple[int, tuple[Any, ...]]]) -> None:
        for offset, row in rows:
            assert offset not in self.rows
            self.rows[offset] = row[:2]


def expected(log: RotatingLog) -> list[tuple[int, str]]:
    return sorted((int(line.split(",")[0]), writer.name) for writer in log.writers for line in writer.written if line)


def run(folder: Path, seed: int, *, deletes: bool, options: dict[str, Any]) -> tuple[RotatingLog, Reader]:
    random = Random(seed)
    style = random.choice(["number", "date"])
    header = "time,sym,qty\n" if options.get("header", True) else ""
    # What one of several writers adds to a file that is closed, and deleted before it is read, nobody can know.
    log = RotatingLog(folder, random, style, 1 if deletes else random.choice([1, 1, 2]), header)
    reader = Reader(log.path, random, options)
    # What was there before the job is not asked for.
    reader.read(1)
    for _ in range(STEP_COUNT):
        writer = random.choice(log.writers)
        match random.choices(range(10), [8, 2, 1, 2, 1, 1, 1 if deletes else 0, 6, 2, 2])[0]:
            case 0:
                log.write(writer)
            case 1:
                log.write_half(writer)
            case 2:
                log.rename_and_create()
            case 3:
                log.reopen(writer)
            case 4:
                log.copy_and_truncate()
            case 5:
                log.compress()
            case 6:
                log.delete_oldest()
            case 7:
                try_to(reader.read, random.randrange(1, 9), reader, options)
            case 8:
                reader.kill()
            case _:
                if not deletes:
                    reader.read_again()
    for writer in log.writers:
        log.reopen(writer)
        log.write(writer)
    log.close()
    for _ in range(20):
        try:
            reader.read_to_end()
            break
        except SourceError:
            assert options.get("lost") == "gap"
            reader.kill()
    return log, reader


def try_to(read: Callable[[int], None], count: int, reader: Reader, options: dict[str, Any]) -> None:
    if options.get("lost") != "gap":
        read(count)
        return
    try:
        read(count)
    except SourceError:
        reader.kill()


@pytest.mark.parametrize("header", [True, False], ids=["header", "bare"])
@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost_and_nothing_read_twice(tmp_path: Path, seed: int, header: bool) -> None:
    log, reader = run(tmp_path, seed, deletes=False, options={"header": header})
    assert sorted(reader.rows.values()) == expected(log)
    assert sorted(reader.rows) == list(range(len(reader.rows)))
    if len(log.writers) == 1:
        # Of several, one may be in the new file before another has left the old one.
        assert [reader.rows[offset] for offset in sorted(reader.rows)] == expected(log)
    reader.kill()
    again = read_split(reader.open(), batch=5)
    assert {offset: row[:2] for offset, row in again.rows} == reader.rows
    reader.kill()


@pytest.mark.parametrize("seed", range(12))
def test_what_is_lost_is_a_gap(tmp_path: Path, seed: int) -> None:
    log, reader = run(tmp_path, seed, deletes=True, options={"lost": "gap"})
    missing = [row for row in expected(log) if row not in reader.rows.values()]
    found = list(reader.rows.values())
    assert len(set(found)) == len(found)
    assert set(found) <= set(expected(log))
    if missing:
        assert log.deleted
        assert reader.gaps
    reader.kill()


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    _, reader = run(tmp_path, 3, deletes=False, options={"header": False})
    reader.kill()
    assert len(os.listdir("/proc/self/fd")) == before

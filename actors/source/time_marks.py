"""Time marks: what an idle source says of the time, noted among its records before anybody acts on it.

While a split has nothing new, its time goes on from where its rows have brought it, as fast as the clock of the machine
that reads. Each time that this reaches another tick, a *time mark* gets an offset of its own, between the last record
and the one that will follow, and is durable in the notes of the source before it is given out. So time marks are input
like rows are: whoever reads the split again, from wherever, finds the same ones at the same places, and no clock is
asked what happened before.

An offset is that of a record times `PLACE_COUNT`, plus the number of its place: time marks before a record have the
first places, the record itself has the last. There is room for a silence of any length, because marks get further
apart, by a part of what it has lasted.
"""

import io
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actors.errors import SourceError
from actors.files import FileLockedError, make_directory, open_locked, replace_file, write_at
from actors.source.note_lines import checksum, note_line
from actors.source.protocol import OFFSET_MAX, Source, SourceBatch, TimeMark
from actors.source.wrapped import WrappedSource
from config.idle import PLACE_COUNT

RECORD_PLACE = PLACE_COUNT - 1
"""Place of a record, after those of all time marks before it."""

FORMAT_VERSION = 1

_CLOSE_COUNT = 64
"""Time marks of one silence that are a tick apart; later ones are as far apart as that part of the silence."""

_LOOK_BACK_COUNT = 1024
"""Records that are looked at first, to know the time that the rows of a split have brought it to."""

_LOG_SIZE_BYTES_MIN = 64 << 10

_WAY_OUT = "Read it where it was read, by `on: NODE` in the source, or begin anew: a job of another name"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleRules:
    """When an idle split gets time marks."""

    time_column: str
    tick: int
    """Distance of ticks, in units of the time column."""

    unit_ns: int
    """Length of such a unit."""

    after_us: int
    """How long nothing new must have come."""


class TimeMarks:
    """The time marks of one source; kept in a file, which is locked, or in memory alone when there is no path."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._splits: dict[int, dict[int, list[int]]] = {}
        self._latest: dict[int, int] = {}
        self._file: io.FileIO | None = None
        self._lock: io.FileIO | None = None
        self._size_bytes = 0
        # Whether a mark that nobody was given may be on disk.
        self._is_spoilt = False
        if path is not None:
            make_directory(path.parent)
            try:
                self._lock = open_locked(path.with_name(f"{path.name}.lock"), wait=False)
            except FileLockedError as error:
                raise SourceError(f"{path}: another process still reads this source; it is tried again") from error
            try:
                self._load(path)
            except BaseException:
                self._lock.close()
                raise

    def at(self, split: int, record: int) -> list[int]:
        """Return the times of the marks before a record, in the order of their places."""
        return self._splits.get(split, {}).get(record, [])

    def between(self, split: int, start: int, end: int) -> list[tuple[int, list[int]]]:
        """Return those before the records after `start` and up to `end`, in the order of these."""
        known = self._splits.get(split, {})
        return sorted((record, times) for record, times in known.items() if start < record <= end)

    def latest(self, split: int) -> int | None:
        """Return the greatest time that a mark of a split has brought."""
        return self._latest.get(split)

    def add(self, split: int, record: int, time: int) -> None:
        """Note a mark before a record, after those that are there, durably.

        Raises:
            SourceError: it cannot be written; nothing is noted.
        """
        self.mend()
        if self._path is not None:
            self._is_spoilt = True
            try:
                self._append(self._path, _line(split, record, time))
            except OSError as error:
                raise self._unwritten(error) from error
            self._is_spoilt = False
        self._note(split, record, time)

    def mend(self) -> None:
        """Take back what was written and could not be made durable, so that no record comes after it.

        Raises:
            SourceError: it cannot be taken back.
        """
        if not self._is_spoilt or self._path is None:
            return
        try:
            self._write_anew(self._path)
        except OSError as error:
            raise self._unwritten(error) from error
        self._is_spoilt = False

    def _unwritten(self, error: OSError) -> SourceError:
        return SourceError(f"{self._path}: time marks cannot be noted: {error.strerror or error}")

    def _note(self, split: int, record: int, time: int) -> None:
        self._splits.setdefault(split, {}).setdefault(record, []).append(time)
        self._latest[split] = max(time, self._latest.get(split, time))

    def forget_before(self, split: int, record: int) -> None:
        """Forget the marks before records that nobody can read any more; on disk at some later time."""
        known = self._splits.get(split, {})
        for one in [other for other in known if other < record]:
            del known[one]

    def close(self) -> None:
        """Close the file, and let others have it."""
        for file in (self._file, self._lock):
            if file is not None:
                file.close()
        self._file = self._lock = None

    def _append(self, path: Path, line: bytes) -> None:
        if self._file is None or self._size_bytes > self._size_bytes_max():
            self._write_anew(path)
        assert self._file is not None
        write_at(self._file, line, self._size_bytes)
        os.fsync(self._file.fileno())
        self._size_bytes += len(line)

    def _write_anew(self, path: Path) -> None:
        whole = b"".join(
            _line(split, record, time)
            for split, known in sorted(self._splits.items())
            for record, times in sorted(known.items())
            for time in times
        )
        file, self._file = self._file, None
        if file is not None:
            file.close()
        replace_file(path, whole)
        self._file, self._size_bytes = open_locked(path, wait=True), len(whole)

    def _size_bytes_max(self) -> int:
        count = sum(len(times) for known in self._splits.values() for times in known.values())
        return max(_LOG_SIZE_BYTES_MIN, 256 * count)

    def _load(self, path: Path) -> None:
        try:
            data = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
        # A line without its end was torn before anybody was given the mark.
        whole = data[: data.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            found = _mark(line)
            if found is None:
                raise SourceError(f"{path}: line {number} is damaged. Restore the file from a copy, or begin anew")
            self._note(*found)


@dataclass(slots=True)
class _Silence:
    """How long a split has had nothing new."""

    end: int
    """Offset after everything that has been read."""

    since_us: int
    """When the last of it came, or reading began."""

    time: int | None = None
    """Greatest time that rows or marks have brought by then, `None` while that is not known."""

    is_known: bool = False
    """Whether what was read before this process began has been looked at."""


class MarkedSource(WrappedSource):
    """A source whose splits get time marks while they are idle.

    `elapsed_us` is a clock that never goes back; without it there are no new marks, and those of before are given out.
    """

    def __init__(
        self, source: Source, rules: IdleRules, marks: TimeMarks, elapsed_us: Callable[[], int] | None
    ) -> None:
        super().__init__(source)
        self._rules = rules
        self._marks = marks
        self._elapsed_us = elapsed_us
        self._silences: dict[int, _Silence] = {}
        self._mutex = threading.Lock()

    def earliest_offset(self, split: int) -> int:
        """Return the first offset that the source still has."""
        earliest = self._source.earliest_offset(split)
        with self._mutex:
            self._marks.forget_before(split, earliest)
        return _scaled(earliest)

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        """Return at most so many records from an offset on, and the time marks among them.

        Raises:
            SourceError: as the source does, or the time marks before the offset are noted elsewhere.
        """
        with self._mutex:
            return self._read(split, offset, row_count_max)

    def close(self) -> None:
        """Close the source and its notes."""
        super().close()
        self._marks.close()

    def _read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        record, place = divmod(offset, PLACE_COUNT)
        count = len(self._marks.at(split, record))
        # The place of the record itself is good too.
        if count < place < RECORD_PLACE:
            raise SourceError(
                f"split {split}: {place} time marks have been given out before record {record}, and {count} are noted "
                f"here. {_WAY_OUT}"
            )
        self._marks.mend()
        batch = self._source.read(split, record, row_count_max)
        end = _scaled(batch.next_offset) + len(self._marks.at(split, batch.next_offset))
        end = max(offset, end)
        time = self._due_time(split, batch, end)
        if time is not None and end % PLACE_COUNT < RECORD_PLACE:
            self._marks.add(split, batch.next_offset, time)
            end += 1
            self._silences[split].end = end
        return replace(
            batch,
            offsets=batch.offsets * PLACE_COUNT + RECORD_PLACE,
            next_offset=end,
            dead_letters=tuple(replace(one, offset=_scaled(one.offset) + RECORD_PLACE) for one in batch.dead_letters),
            time_marks=self._found(split, record, place, batch.next_offset),
        )

    def _found(self, split: int, record: int, place: int, end: int) -> tuple[TimeMark, ...]:
        """Return the marks before a record from a place on, and those before the records after it up to another."""
        found = [(record, place, self._marks.at(split, record)[place:])]
        found += [(other, 0, times) for other, times in self._marks.between(split, record, end)]
        return tuple((_scaled(one) + first + at, time) for one, first, times in found for at, time in enumerate(times))

    def _due_time(self, split: int, batch: SourceBatch, end: int) -> int | None:
        """Note what was read up to an offset; return the time of a mark that is to follow, if one is."""
        if self._elapsed_us is None:
            return None
        now_us = self._elapsed_us()
        silence = self._silences.setdefault(split, _Silence(end=end, since_us=now_us))
        is_new = end > silence.end
        if is_new:
            silence.end, silence.since_us = end, now_us
        if is_new or len(batch.offsets):
            newest = batch.frame.get_column(self._rules.time_column).max()
            known = (silence.time, newest, self._marks.latest(split))
            silence.time = max((time for time in known if isinstance(time, int)), default=None)
        is_idle = end == silence.end and not (is_new or len(batch.offsets) or batch.dead_letters or batch.at_end)
        if not is_idle or now_us - silence.since_us < self._rules.after_us:
            return None
        return self._time_after(split, batch.next_offset, silence, now_us - silence.since_us)

    def _time_after(self, split: int, record: int, silence: _Silence, silent_us: int) -> int | None:
        """Return the time of the next mark before a record, `None` while it would bring nothing new."""
        if not silence.is_known:
            self._look_back(split, record, silence)
        if silence.time is None:
            return None
        noted = self._marks.at(split, record)
        latest = max([silence.time, *noted[-1:]])
        now = silence.time + silent_us * 1000 // self._rules.unit_ns
        if now // self._rules.tick <= latest // self._rules.tick or len(noted) == RECORD_PLACE:
            return None
        apart = (noted[-1] - noted[0]) // _CLOSE_COUNT if noted else 0
        return now if now - latest >= apart else None

    def _look_back(self, split: int, record: int, silence: _Silence) -> None:
        """Find the time that rows and marks had brought before reading began here."""
        earliest, distance = self._source.earliest_offset(split), _LOOK_BACK_COUNT
        found = [time for time in (silence.time, self._marks.latest(split)) if time is not None]
        while not found and record > earliest:
            start = max(earliest, record - distance)
            found = self._times(split, start, record)
            if start == earliest:
                break
            distance *= 64
        silence.time, silence.is_known = max(found, default=None), True

    def _times(self, split: int, start: int, end: int) -> list[int]:
        """Return the greatest time of each batch of some records."""
        found = []
        while start < end:
            batch = self._source.read(split, start, _LOOK_BACK_COUNT).below(end)
            newest = batch.frame.get_column(self._rules.time_column).max()
            if isinstance(newest, int):
                found.append(newest)
            if batch.next_offset <= start:
                break
            start = batch.next_offset
        return found


def _scaled(record: int) -> int:
    """Return the offset of the first place before a record."""
    if record > OFFSET_MAX // PLACE_COUNT - 1:
        raise SourceError(
            f"offset {record}, with {PLACE_COUNT} places for time marks, is beyond what positions can be; leave "
            "`idle_after` out, or make `sequence_bits` or `explode_rows_max` smaller"
        )
    return record * PLACE_COUNT


def _line(split: int, record: int, time: int) -> bytes:
    fields = {"format": FORMAT_VERSION, "split": split, "record": record, "time": time}
    return note_line(fields)


def _mark(line: bytes) -> tuple[int, int, int] | None:
    try:
        found: dict[str, Any] = json.loads(line)
        if found.pop("checksum") != checksum(found) or found["format"] != FORMAT_VERSION:
            return None
        mark = found["split"], found["record"], found["time"]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return mark if all(isinstance(one, int) for one in mark) else None

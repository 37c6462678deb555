"""Anomalies as lines of JSON: a file `partition-NNNN-split-NNNN.ndjson` for each partition and split, in order of ids.

A write is one append followed by fsync. What a crash or a full disk leaves behind is repaired by the next write: an end
that is no whole line is cut off, and the id of the last line tells which anomalies the file holds already. So a file's
bytes depend on the rows of its split alone, whatever has died. The file is looked at afresh whenever its size is not
what this sink left, so a partition may move to another process and back.
"""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

from actors.allowed import EVERYTHING, AllowedPaths
from actors.errors import SinkError
from actors.files import make_directory, open_locked, sync_directory, write_at
from actors.json_lines import json_line
from actors.sink.lines import anomaly_records
from actors.sink.protocol import SinkRecord
from config.settings import JobSettings

_CHUNK_SIZE_BYTES = 1 << 16

_Place = tuple[int, int]
"""Offset and ordinal of an anomaly: its place within its split."""

_NOTHING: _Place = (-1, -1)
"""Place of the last line of an empty file."""


class NdjsonSink:
    """Writes the anomalies of any number of partitions of a job to a folder."""

    def __init__(self, directory: Path, job: JobSettings, allowed: AllowedPaths = EVERYTHING) -> None:
        self._allowed = allowed
        self._directory = directory
        self._job = job
        # How each line begins; before, the time had the name of its column.
        names = dict.fromkeys(("time", job.time_column))
        self._line_starts = tuple(json_line({name: 0}).removesuffix("0}").encode() for name in names)
        self._ends: dict[Path, tuple[_Place, int]] = {}

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        """Append the anomalies that the files do not hold yet; durable when it returns.

        Raises:
            SinkError: a file cannot be written, or is not one of this sink.
        """
        by_path: dict[Path, list[SinkRecord]] = {}
        for record in anomalies:
            name = f"partition-{record.partition:04}-split-{record.id.split:04}.ndjson"
            by_path.setdefault(self._directory / name, []).append(record)
        for path, records in by_path.items():
            # Each time, since links may have changed.
            refusal = self._allowed.refusal(path)
            if refusal is not None:
                raise SinkError(f"sink ndjson: {refusal}; the anomalies wait meanwhile")
            try:
                self._append(path, records)
            except OSError as error:
                self._ends.pop(path, None)
                # What is in the way may be the folder, or one above it.
                reason = f"{error.filename or path} cannot be written: {error.strerror or error}"
                raise SinkError(f"sink ndjson: {reason}. Put that right; the anomalies wait meanwhile") from error

    def close(self) -> None:
        """Forget what is known of the files; they are only open during a write."""
        self._ends.clear()

    def _append(self, path: Path, records: Sequence[SinkRecord]) -> None:
        is_new = not path.exists()
        if is_new and path in self._ends:
            raise self._changed(path, "was moved away")
        make_directory(path.parent)
        with open_locked(path, wait=True) as file:
            size = os.fstat(file.fileno()).st_size
            last, known_size = self._ends.get(path, (_NOTHING, -1))
            if size < known_size:
                raise self._changed(path, "was cut short")
            if known_size != size:
                last, size = _repair(file, path, size, self._line_starts)
            fresh = [record for record in records if (record.id.offset, record.id.ordinal) > last]
            if fresh:
                self._ends.pop(path, None)
                data = b"".join(self._lines(fresh))
                write_at(file, data, size)
                os.fsync(file.fileno())
                last, size = (fresh[-1].id.offset, fresh[-1].id.ordinal), size + len(data)
            self._ends[path] = (last, size)
        if is_new:
            sync_directory(path.parent)

    def _changed(self, path: Path, fault: str) -> SinkError:
        """Return what is said of a file once: the next write takes it as it is."""
        del self._ends[path]
        return SinkError(f"sink ndjson: {path} {fault} while the job ran: its lines are not written again")

    def _lines(self, records: Sequence[SinkRecord]) -> list[bytes]:
        return [json_line(record).encode() + b"\n" for record in anomaly_records(self._job, records)]


def _repair(file: io.FileIO, path: Path, size: int, line_starts: Sequence[bytes]) -> tuple[_Place, int]:
    """Cut off what is no whole line at the end of a file; return the place of the last line and the size."""
    tail, start = b"", size
    while True:
        end = start + tail.rfind(b"\n") + 1
        before = tail[: max(end - start - 1, 0)]
        if b"\n" in before or start == 0:
            line = before[before.rfind(b"\n") + 1 :]
            place = _place(line, path)
            if place is not None or not before:
                kept = end if before else 0
                # Without any whole line, only what a crash has left of a first write may be cut off.
                if not kept and not any(_begins(file, start) for start in line_starts):
                    raise _foreign(path)
                if kept != size:
                    file.truncate(kept)
                return (_NOTHING if place is None else place), kept
            # A line that is no JSON was torn by a crash: the line before is the last.
            tail = before[: before.rfind(b"\n") + 1]
            continue
        step = min(_CHUNK_SIZE_BYTES, start)
        start -= step
        tail = _read_at(file, start, step) + tail


def _begins(file: io.FileIO, line_start: bytes) -> bool:
    """Whether a file begins like a line, or ends before that shows."""
    return line_start.startswith(_read_at(file, 0, len(line_start)).rstrip(b"\0"))


def _place(line: bytes, path: Path) -> _Place | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), int) for name in ("offset", "ordinal")):
        raise _foreign(path)
    return int(found["offset"]), int(found["ordinal"])


def _foreign(path: Path) -> SinkError:
    return SinkError(f"sink ndjson: {path} has other lines than anomalies; give the sink a folder of its own")


def _read_at(file: io.FileIO, position: int, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = os.pread(file.fileno(), size - len(parts), position + len(parts))
        if not part:
            break
        parts += part
    return parts

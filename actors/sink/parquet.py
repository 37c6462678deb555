"""Parquet files of anomalies and episodes: whole ones only, and every id in one of them.

What comes waits, durably, in lines of a hidden file for each partition and split. When the first of them has waited
long enough, or there is enough, they become a file `partition-NNNN-split-NNNN-OFFSET-ORDINAL.parquet`, named after the
last id in it, and the hidden file begins anew with that id. A crash in between is harmless: the name of the file tells
which lines it has. So is one that tears the last line, which is cut off; it was not said to be taken. Files may be
taken away.
"""

import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from actors.allowed import EVERYTHING, AllowedPaths
from actors.errors import SinkError
from actors.files import make_directory, open_locked, replace_file, sync_directory, write_at
from actors.model import AnomalyId
from actors.sink.anomaly_frames import anomaly_frame
from actors.sink.messages import identified_records
from actors.sink.protocol import SinkRecord
from config.settings import JobSettings
from config.store_sinks import ParquetSinkSettings

LOOK_PERIOD_S = 60
"""Seconds between two looks for what others have left waiting, such as a process that died."""

_Place = tuple[int, int]
"""Offset and ordinal: the place of a record within its split."""

_NOTHING: _Place = (-1, -1)
_HIDDEN = re.compile(r"\.partition-(\d{4,})-split-(\d{4,})\.waiting")


@dataclass(slots=True)
class _Waiting:
    """What waits to become a file."""

    lines: list[bytes] = field(default_factory=list)
    """A line for each record."""

    last: _Place = _NOTHING
    """Place of the last record that is in a file or waits."""

    since_s: int = 0
    """When the first of the lines came, in seconds since 1970."""

    head: bytes = b""
    """First line of the hidden file; each time that it begins anew it has another one."""

    size: int = -1
    """Bytes of the hidden file as this process has left it; -1: it was not read yet."""


class ParquetSink:
    """Writes the records of any number of partitions of a job to a folder; `now_s` gives seconds since 1970."""

    def __init__(
        self,
        settings: ParquetSinkSettings,
        job: JobSettings,
        now_s: Callable[[], int],
        allowed: AllowedPaths = EVERYTHING,
    ) -> None:
        self._settings = settings
        self._job = job
        self._now_s = now_s
        self._allowed = allowed
        self._directory = Path(settings.path)
        self._waiting: dict[Path, _Waiting] = {}
        self._looked_s: int | None = None

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        """Keep the records that are not there yet, durably, and make files that are whole.

        Raises:
            SinkError: a file cannot be written.
        """
        by_path: dict[Path, list[SinkRecord]] = {}
        for one in anomalies:
            name = f".partition-{one.partition:04}-split-{one.id.split:04}.waiting"
            by_path.setdefault(self._directory / name, []).append(one)
        for path, records in by_path.items():
            with self._opened(path) as (file, waiting):
                self._append(file, waiting, records)
                if waiting.lines and waiting.size >= self._settings.roll.size:
                    self._roll(path, file, waiting)

    def keep(self, _: object) -> None:
        """Make files of what has waited long enough, also of what a process has left that died.

        Raises:
            SinkError: a file cannot be written.
        """
        now_s = self._now_s()
        if self._looked_s is None or not 0 <= now_s - self._looked_s < LOOK_PERIOD_S:
            for path in self._left():
                if path not in self._waiting:
                    with self._opened(path):
                        pass
            self._looked_s = now_s
        for path, known in list(self._waiting.items()):
            if self._is_due(known, now_s):
                self._roll_at(path, lambda waiting: self._is_due(waiting, now_s))

    def close(self) -> None:
        """Make files of everything that waits; what cannot be written goes on waiting."""
        for path, known in list(self._waiting.items()):
            if known.lines:
                with suppress(SinkError):
                    self._roll_at(path, lambda waiting: bool(waiting.lines))
        self._waiting.clear()
        self._looked_s = None

    def _left(self) -> list[Path]:
        if self._allowed.refusal(self._directory) is not None:
            return []
        with suppress(OSError):
            return sorted(path for path in self._directory.iterdir() if _HIDDEN.fullmatch(path.name))
        return []

    def _is_due(self, waiting: _Waiting, now_s: int) -> bool:
        return bool(waiting.lines) and not 0 <= now_s - waiting.since_s < self._settings.roll.after

    def _roll_at(self, path: Path, is_due: Callable[[_Waiting], bool]) -> None:
        with self._opened(path) as (file, waiting):
            # Another process may have made the file meanwhile, and what it has now may be newer.
            if is_due(waiting):
                self._roll(path, file, waiting)

    @contextmanager
    def _opened(self, path: Path) -> Iterator[tuple[io.FileIO, _Waiting]]:
        """Give a hidden file, locked, and what it holds."""
        # Each time, since links may have changed.
        refusal = self._allowed.refusal(path)
        if refusal is not None:
            raise SinkError(f"sink {self._settings.identity}: {refusal}; what comes waits meanwhile")
        try:
            make_directory(path.parent)
            is_new = not path.exists()
            with open_locked(path, wait=True) as file:
                waiting = self._waiting.get(path)
                if waiting is None or not _is_as_left(file, waiting):
                    waiting = self._waiting[path] = self._read(path, file)
                yield file, waiting
            if is_new:
                sync_directory(path.parent)
        except OSError as error:
            self._waiting.pop(path, None)
            reason = f"{error.filename or path} cannot be written: {error.strerror or error}"
            raise SinkError(
                f"sink {self._settings.identity}: {reason}. Put that right; what comes waits meanwhile"
            ) from error

    def _read(self, path: Path, file: io.FileIO) -> _Waiting:
        """Return what a hidden file holds that is in no other; cut off what is no whole line."""
        file.seek(0)
        whole, _, torn = file.readall().rpartition(b"\n")
        first, *lines = whole.split(b"\n")
        made = self._last_made(path)
        try:
            begun = json.loads(first) if first else {}
            since_s, last = int(begun.get("since_s", 0)), max(made, tuple(begun.get("last", _NOTHING)))
            kept = [line for line in lines if _place_of(line) > last]
            last = _place_of(kept[-1]) if kept else last
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise SinkError(
                f"sink {self._settings.identity}: {path} is none of this sink's files; give it a folder of its own"
            ) from error
        size = len(whole) + 1 if first else 0
        if torn:
            file.truncate(size)
        return _Waiting(lines=kept, last=last, since_s=since_s, head=first, size=size)

    def _last_made(self, path: Path) -> _Place:
        """Return the place of the last record that is in a file."""
        stem = path.name.removeprefix(".").removesuffix(".waiting")
        names = re.compile(re.escape(stem) + r"-(\d{19})-(\d{10})\.parquet")
        found = [names.fullmatch(one.name) for one in path.parent.iterdir()]
        return max(((int(one[1]), int(one[2])) for one in found if one is not None), default=_NOTHING)

    def _append(self, file: io.FileIO, waiting: _Waiting, records: Sequence[SinkRecord]) -> None:
        fresh = [one for one in records if (one.id.offset, one.id.ordinal) > waiting.last]
        if not fresh:
            return
        lines = [_line(one) for one in fresh]
        if not waiting.lines:
            self._begin(file, waiting)
        data = b"".join(line + b"\n" for line in lines)
        position, waiting.size = waiting.size, -1
        write_at(file, data, position)
        os.fsync(file.fileno())
        waiting.lines += lines
        waiting.last = (fresh[-1].id.offset, fresh[-1].id.ordinal)
        waiting.size = position + len(data)

    def _begin(self, file: io.FileIO, waiting: _Waiting) -> None:
        """Begin a hidden file anew, with the place of the last record that is in a file."""
        waiting.since_s, waiting.size = self._now_s(), -1
        waiting.head = json.dumps({"since_s": waiting.since_s, "last": waiting.last}).encode()
        file.truncate(0)
        write_at(file, waiting.head + b"\n", 0)
        waiting.size = len(waiting.head) + 1

    def _roll(self, path: Path, file: io.FileIO, waiting: _Waiting) -> None:
        """Make a file of what waits."""
        partition = int(_HIDDEN.fullmatch(path.name)[1])  # type: ignore[index]
        records = [_record(partition, line) for line in waiting.lines]
        content = io.BytesIO()
        _frame(self._job, records).write_parquet(content)
        stem = path.name.removeprefix(".").removesuffix(".waiting")
        offset, ordinal = waiting.last
        replace_file(path.with_name(f"{stem}-{offset:019}-{ordinal:010}.parquet"), content.getvalue())
        waiting.lines = []
        self._begin(file, waiting)
        os.fsync(file.fileno())


def _is_as_left(file: io.FileIO, waiting: _Waiting) -> bool:
    """Return whether nobody else has written a hidden file: with one first line it only grows."""
    size = os.fstat(file.fileno()).st_size
    return size == waiting.size and os.pread(file.fileno(), len(waiting.head), 0) == waiting.head


def _frame(job: JobSettings, records: Sequence[SinkRecord]) -> pl.DataFrame:
    """Return records as a table: the id, the columns of anomalies, and what is said of them."""
    told = identified_records(job, records)
    labels = [json.dumps(one["labels"], ensure_ascii=False) if "labels" in one else None for one in told]
    texts = [
        pl.Series(name, [one.get(name) for one in told], dtype=pl.String)
        for name in ("kind", "state", "rule", "severity", "summary", "runbook")
    ]
    ids = pl.Series("id", [one["id"] for one in told], dtype=pl.String)
    found = anomaly_frame(job, records).with_columns(*texts, pl.Series("labels", labels, dtype=pl.String))
    return found.insert_column(0, ids)


def _line(one: SinkRecord) -> bytes:
    row = [one.id.offset, one.id.ordinal, one.id.split, one.time, one.key, one.type, one.metric, one.detail]
    # Of text that is none of Unicode, escapes are kept.
    return json.dumps(row).encode()


def _place_of(line: bytes) -> _Place:
    row = json.loads(line)
    return int(row[0]), int(row[1])


def _record(partition: int, line: bytes) -> SinkRecord:
    offset, ordinal, split, time, key, kind, metric, detail = json.loads(line)
    return SinkRecord(
        partition=partition,
        id=AnomalyId(split=split, offset=offset, ordinal=ordinal),
        time=time,
        key=tuple(key),
        type=kind,
        metric=metric,
        detail=detail,
    )

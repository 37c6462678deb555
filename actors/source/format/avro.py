"""Avro files: each record of a file becomes a line of JSON, whose rows are found as those of JSON are.

A file says itself how its records are written. Times of Avro's own kinds are ISO text, and bytes are Base64. Records
are read from the beginning to where reading goes on, once as long as positions only grow.
"""

import base64
import json
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import IO, Any

import numpy as np

from actors.errors import SourceError
from actors.extras import need
from actors.source.records import Block, Origin, Texts
from actors.source.transport.contents import stem_of
from actors.source.transport.positions import FileMark
from actors.source.transport.remote.copies import Copies
from actors.source.transport.remote.place import FilePlace
from actors.source.transport.whole import WholeFile

BLOCK_RECORD_COUNT = 4_096
"""Records that are decoded at once."""


class AvroFile:
    """The records of one Avro file, as lines of JSON."""

    def __init__(self, path: FilePlace, copies: Copies | None = None) -> None:
        self.path = path
        self.is_complete = True
        self._file = WholeFile("Avro", path, copies)
        (self._avro,) = need("avro", SourceError)
        self._open_file: IO[bytes] | None = None
        self._records: Iterator[Any] = iter(())
        self._next = 0

    def record_count(self) -> int:
        """Return the records of the file.

        Raises:
            SourceError: the file cannot be read, or is not what it was.
        """
        return self._file.known(self._count).record_count

    def block_with(self, record: int) -> Block[Texts] | None:
        """Return a block that holds a record, or `None` when the file has not that many.

        Raises:
            SourceError: the file cannot be read, or is not what it was.
        """
        count = self.record_count()
        if record >= count:
            return None
        first = record - record % BLOCK_RECORD_COUNT
        end = min(first + BLOCK_RECORD_COUNT, count)
        if self._next > first or self._open_file is None:
            self._begin()
        try:
            while self._next < first:
                next(self._records)
                self._next += 1
            lines = [_line(next(self._records)) for _ in range(first, end)]
        except Exception as error:  # what a damaged file does to the package is of many kinds
            self._end()
            raise self._file.unreadable(error) from error
        self._next = end
        return Block(
            origin=Origin(name=str(self.path), stem=stem_of(self.path)),
            offsets=np.arange(first, end, dtype=np.int64),
            next_offset=end,
            content=Texts.of_messages(lines),
        )

    def mark(self, number: int) -> FileMark:
        """Return what the file is; it is whole from the start."""
        return self._file.mark(number)

    def resume(self, mark: FileMark) -> None:
        """Go on in a file that another process has read.

        Raises:
            SourceError: the file cannot be read, or is not the one that was read.
        """
        if mark.size_bytes:
            self._file.resume(mark)
            self.record_count()

    def close(self) -> None:
        """Close the file, and remove the copy where there is one."""
        self._end()
        self._file.close()

    def _count(self) -> int:
        self._end()
        try:
            with self._file.here().open("rb") as file:
                return sum(block.num_records for block in self._avro.block_reader(file))
        except Exception as error:  # as above
            raise self._file.unreadable(error) from error

    def _begin(self) -> None:
        self._end()
        try:
            self._open_file = self._file.here().open("rb")
            self._records = iter(self._avro.reader(self._open_file))
        except Exception as error:  # as above
            raise self._file.unreadable(error) from error

    def _end(self) -> None:
        if self._open_file is not None:
            self._open_file.close()
        self._open_file, self._records, self._next = None, iter(()), 0


def _line(record: Any) -> bytes:
    return json.dumps(record, default=_plain, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)

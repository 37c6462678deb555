"""Files of lines: finding the lines of a file by number, fast, and without ever holding more than a block of them.

A *record* is a line, counted from 0 after the header; the number of a record never changes while a file only grows. An
*index* of one entry a block maps records to bytes; it is built while reading and only ever extended. Lines longer than
the limit are handed out on their own, cut, so that memory stays bounded whatever a file holds. Where lines belong
together, because an expression tells which of them *begin* something, every block begins with such a line and holds
all that belongs to its lines.
"""

import bisect
import codecs
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actors.errors import SourceError
from actors.source.protocol import RAW_SIZE_BYTES_MAX

BLOCK_SIZE_BYTES = 1 << 20
"""Bytes that are read and decoded at once, unless lines are longer."""

Beginnings = Callable[[bytes], Sequence[int]]
"""Finds the lines, within bytes, with which those after them belong together; returns where each begins, ascending."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineBlock:
    """Consecutive records of a file."""

    first_record: int
    """Number of the first record."""

    record_count: int
    """Records in the block, at least 1."""

    content: bytes
    """Their bytes with the line ends; the last line of a file may lack its own."""

    next_position: int
    """Where the next block begins, in bytes."""

    is_too_long: bool = False
    """Whether this is one line, or lines that belong together, beyond the limit; the content is cut then."""


class LineFile:
    """The lines of one file. `is_complete` tells whether its last line counts even without a line end.

    `beginnings` finds the lines with which the next lines belong together; without it each stands alone.
    """

    def __init__(
        self,
        path: Path,
        *,
        has_header: bool,
        record_size_bytes_max: int,
        is_complete: bool,
        block_size_bytes: int = 0,
        beginnings: Beginnings | None = None,
    ) -> None:
        self.path = path
        self.is_complete = is_complete
        self._has_header = has_header
        self._beginnings = beginnings
        self._record_size_bytes_max = record_size_bytes_max
        # The end of lines that belong together shows in the line after them.
        line_count = 1 if beginnings is None else 2
        self._block_size_bytes = max(block_size_bytes or BLOCK_SIZE_BYTES, line_count * record_size_bytes_max + 2)
        self._header: bytes | None = None
        self._records: list[int] = []
        self._positions: list[int] = []
        self._end_record = 0
        self._end_position = 0

    def header(self) -> bytes | None:
        """Return the header line, empty when the file has none, or `None` when it is not written yet.

        Raises:
            SourceError: the file cannot be read, is empty, or begins with a line that is too long.
        """
        if self._header is None:
            self._read_header()
        return self._header

    def block_with(self, record: int) -> LineBlock | None:
        """Return a block that holds a record, or `None` when the file has not that many.

        Raises:
            SourceError: the file cannot be read, or has become shorter.
        """
        if self.header() is None:
            return None
        first, position = self._nearest(record)
        with self._open() as file:
            while (block := self._scan(file.fileno(), first, position)) is not None:
                first, position = first + block.record_count, block.next_position
                self._extend_index(first, position)
                if record < first:
                    return block
        return None

    def record_count(self) -> int:
        """Return the records there are now.

        Raises:
            SourceError: the file cannot be read.
        """
        while self.block_with(self._end_record) is not None:
            pass
        return self._end_record

    def _nearest(self, record: int) -> tuple[int, int]:
        if record >= self._end_record:
            return self._end_record, self._end_position
        at = bisect.bisect_right(self._records, record) - 1
        return self._records[at], self._positions[at]

    def _extend_index(self, record: int, position: int) -> None:
        if record > self._end_record:
            self._end_record, self._end_position = record, position
            # A file that grows by a line at a time must not get an entry for each of them.
            if position - self._positions[-1] >= self._block_size_bytes // 2:
                self._records.append(record)
                self._positions.append(position)

    def _read_header(self) -> None:
        with self._open() as file:
            start = file.read(self._block_size_bytes)
        skipped = len(_BYTE_ORDER_MARK) if start.startswith(_BYTE_ORDER_MARK) else 0
        if not self._has_header:
            self._set_header(b"", skipped)
            return
        end = start.find(b"\n")
        if (len(start) if end < 0 else end) - skipped > self._record_size_bytes_max:
            limit = self._record_size_bytes_max
            raise SourceError(f"{self.path}: the first line is longer than {limit} bytes; is this a file of lines?")
        if end < 0 and not self.is_complete:
            return
        if not start.strip():
            raise SourceError(f"{self.path}: the file is empty; its first line must name the columns")
        end = len(start) if end < 0 else end
        self._set_header(start[skipped:end].rstrip(b"\r"), min(end + 1, len(start)))

    def _set_header(self, header: bytes, position: int) -> None:
        self._header = header
        self._records, self._positions = [0], [position]
        self._end_position = position

    def _open(self) -> io.FileIO:
        try:
            return io.FileIO(self.path)
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be read: {error.strerror or error}") from error

    def _scan(self, descriptor: int, first: int, position: int) -> LineBlock | None:
        size = os.fstat(descriptor).st_size
        if size < position:
            raise SourceError(
                f"{self.path}: the file has become shorter (from at least {position} to {size} bytes); "
                "rows that were read are gone. Give new rows in a new file"
            )
        data = self._read(descriptor, position)
        end = data.rfind(b"\n") + 1
        if self._beginnings is not None:
            is_all = self.is_complete and len(data) < self._block_size_bytes
            end = len(data) if is_all else self._last_beginning(data[:end])
            if not end and len(data) == self._block_size_bytes:
                return self._scan_long_record(descriptor, first, position, data)
            if not end:
                return None
        if not end and len(data) >= self._block_size_bytes:
            return self._scan_long_line(descriptor, first, position, data)
        if not end:
            if not data or not self.is_complete:
                return None
            end = len(data)
        content = data[:end]
        count = content.count(b"\n") + (not content.endswith(b"\n"))
        return LineBlock(first_record=first, record_count=count, content=content, next_position=position + end)

    def _last_beginning(self, content: bytes) -> int:
        """Return where the last line begins that begins something, or 0 when it is the first or there is none."""
        assert self._beginnings is not None
        return max(self._beginnings(content), default=0)

    def _scan_long_record(self, descriptor: int, first: int, position: int, data: bytes) -> LineBlock | None:
        assert self._beginnings is not None
        content, count, at_line_start = data[:RAW_SIZE_BYTES_MAX], 0, False
        while data:
            # Lines are looked at whole; the start of one that goes on from the piece before means nothing.
            end = data.rfind(b"\n") + 1 or len(data)
            found = next((at for at in self._beginnings(data[:end]) if at or at_line_start), None)
            end = end if found is None else found
            count += data.count(b"\n", 0, end)
            position += end
            if found is not None:
                break
            at_line_start = data[end - 1 : end] == b"\n"
            data = self._read(descriptor, position)
        if not data and not self.is_complete:
            return None
        count += not data and not at_line_start
        return LineBlock(
            first_record=first, record_count=count, content=content, next_position=position, is_too_long=True
        )

    def _scan_long_line(self, descriptor: int, first: int, position: int, data: bytes) -> LineBlock | None:
        start, content = position, data[:RAW_SIZE_BYTES_MAX]
        while data and b"\n" not in data:
            position += len(data)
            data = self._read(descriptor, position)
        if not data and not self.is_complete:
            return None
        position += data.find(b"\n") + 1 if data else 0
        assert position > start
        return LineBlock(first_record=first, record_count=1, content=content, next_position=position, is_too_long=True)

    def _read(self, descriptor: int, position: int) -> bytes:
        try:
            return os.pread(descriptor, self._block_size_bytes, position)
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be read: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitLines:
    """Where the lines of a block lie in its bytes."""

    starts: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    """First byte of each line."""

    ends: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    """Byte after the last one of each line, without the line end."""


def split_lines(content: bytes) -> SplitLines:
    """Return where the lines of a block lie; a carriage return before a line end belongs to it."""
    if not content:
        return SplitLines(starts=np.zeros(0, dtype=np.int64), ends=np.zeros(0, dtype=np.int64))
    buffer = np.frombuffer(content, dtype=np.uint8)
    ends = np.flatnonzero(buffer == 10).astype(np.int64)
    if not content.endswith(b"\n"):
        ends = np.append(ends, len(content))
    starts = np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1] + 1))
    before = buffer[np.maximum(ends - 1, 0)]
    return SplitLines(starts=starts, ends=ends - ((before == 13) & (ends > starts)))


def find_bad_text(content: bytes, lines: SplitLines) -> list[int]:
    """Return the numbers of the lines that are not UTF-8."""
    bad: list[int] = []
    view = memoryview(content)
    position = 0
    while position < len(content):
        try:
            codecs.utf_8_decode(view[position:], "strict", True)
            break
        except UnicodeDecodeError as error:
            line = int(np.searchsorted(lines.starts, position + error.start, side="right")) - 1
            bad.append(line)
            position = int(lines.starts[line + 1]) if line + 1 < lines.starts.size else len(content)
    return bad

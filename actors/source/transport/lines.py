"""Files of lines: finding the lines of a file by number, fast, and without ever holding more than a block of them.

A *record* is a line, counted from 0 after the header; the number of a record never changes while a file only grows. An
*index* of one entry a block maps records to bytes; it is built while reading and only ever extended. Lines longer than
the limit are handed out on their own, cut, so that memory stays bounded whatever a file holds. Where lines belong
together, because an expression tells which of them *begin* something, every block begins with such a line and holds
all that belongs to its lines.
"""

import bisect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actors.errors import SourceError
from actors.source.protocol import RAW_SIZE_BYTES_MAX, Offsets
from actors.source.records import Block, Origin, Texts
from actors.source.transport.contents import FileContent, content_of, stem_of
from actors.source.transport.positions import (
    WAY_OUT,
    FileChangedError,
    FileMark,
    ReadPrefix,
    became_shorter,
    was_changed,
)
from actors.source.transport.remote.place import FilePlace

BLOCK_SIZE_BYTES = 1 << 20
"""Bytes that are read and decoded at once, unless lines are longer."""

Beginnings = Callable[[bytes], Sequence[int]]
"""Finds the lines, within bytes, with which those after them belong together; returns where each begins, ascending."""

RecordEnds = Callable[[bytes, bool], Offsets]
"""Finds where records end, behind their line ends, in bytes that begin with one; and whether nothing comes after."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_NO_TEXT = (
    (b"PK\x03\x04", "is an archive or a workbook (zip); unpack it, or save it as text, first"),
    (b"PAR1\x15", "is Parquet; give `type: parquet`"),
    (b"\xff\xfe\0\0", "is UTF-32; save it as UTF-8"),
    (b"\xff\xfe", "is UTF-16; give `encoding: utf-16`"),
    (b"\xfe\xff", "is UTF-16; give `encoding: utf-16`"),
    (b"SQLite format 3\x00", "is a database (SQLite); write its rows to a file first"),
)
"""First bytes of files whose lines would all be dead letters, what they are, and the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFraming:
    """How a file is cut into records."""

    has_header: bool = False
    """Whether the first line names the columns and is no record."""

    record_size_bytes_max: int = 1 << 20
    """Longer lines, or lines that belong together, are cut."""

    beginnings: Beginnings | None = None
    """Finds the lines with which the next lines belong together; without it each stands alone."""

    record_ends: RecordEnds | None = None
    """Finds the ends of records that may hold line ends, and of those that are too long that of their first line; each
    is one record then, and one that is too long is a line."""

    is_binary: bool = False
    """Whether records are no text: line ends and marks at the beginning mean nothing then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lines:
    """Consecutive lines of a file."""

    record_count: int
    """Lines, at least 1."""

    content: bytes
    """Their bytes with the line ends; the last line of a file may lack its own."""

    next_position: int
    """Where the next line begins, in bytes."""

    ends: Offsets | None = None
    """Where each record ends, where one may be several lines."""

    is_too_long: bool = False
    """Whether this is one line, or lines that belong together, beyond the limit; the content is cut then."""


class LineFile:
    """The lines of one file. `is_complete` tells whether its last line counts even without a line end.

    A file that is one of several of a name is `known_as` that name; what follows a last line without an end is another
    line then. `content` is what it holds, or what opens that, where it is not to be opened by its path.
    `check` is given the origin of the records as soon as it is known, and may raise `SourceError`.
    """

    def __init__(
        self,
        path: FilePlace,
        framing: LineFraming,
        *,
        is_complete: bool,
        check: Callable[[Origin], object] | None = None,
        content: FileContent | Callable[[], FileContent] | None = None,
        known_as: Path | None = None,
    ) -> None:
        self.path = path
        self.is_complete = is_complete
        self._content = None if callable(content) else content
        self._open_content = content if callable(content) else None
        self._tag = ""
        self._known_as = known_as
        self._framing = framing
        self._check = check
        # The end of lines that belong together shows in the line after them.
        line_count = 1 if framing.beginnings is None and framing.record_ends is None else 2
        self._block_size_bytes = max(BLOCK_SIZE_BYTES, line_count * framing.record_size_bytes_max + 2)
        self._origin: Origin | None = None
        self._prefix = ReadPrefix(path)
        self._records: list[int] = []
        self._positions: list[int] = []
        self._end_record = 0

    def block_with(self, record: int) -> Block[Texts] | None:
        """Return a block that holds a record, or `None` when the file has not that many.

        Raises:
            SourceError: the file cannot be read, is empty where it must have a header, begins with a line that is too
                long, or does not hold any more what was read before.
        """
        with self._open() as file:
            origin = self._find_origin(file)
            if origin is None:
                return None
            self._end_last_line(file)
            first, position = self._nearest(record)
            while (found := self._scan(file, position)) is not None:
                block = self._block(origin, first, found)
                self._advance(file, first + found.record_count, position, found)
                first, position = first + found.record_count, found.next_position
                if record < first:
                    return block
        return None

    @property
    def end_record(self) -> int:
        """Number after the last record that was read."""
        return self._end_record

    @property
    def size_bytes(self) -> int:
        """Bytes that were read."""
        return self._prefix.size_bytes

    @property
    def digest(self) -> str:
        """Digest of the bytes that were read."""
        return self._prefix.digest

    @property
    def head(self) -> tuple[int, str]:
        """Size and digest of the first bytes that were read."""
        return self._prefix.head

    def is_changed(self) -> bool:
        """Return whether the file does not begin any more with what was read."""
        with self._open() as file:
            try:
                self._prefix.check(file)
            except FileChangedError:
                return True
        return False

    def has_more(self) -> bool:
        """Return whether there is a record after those that were read."""
        with self._open() as file:
            if self._find_origin(file) is None:
                return False
            self._end_last_line(file)
            return self._scan(file, self._prefix.size_bytes) is not None

    def record_count(self) -> int:
        """Return the records there are now.

        Raises:
            SourceError: the file cannot be read.
        """
        while self.block_with(self._end_record) is not None:
            pass
        return self._end_record

    def mark(self, number: int) -> FileMark:
        """Return how much has been read; `number` is the place of the file among those of its source."""
        return FileMark(
            number=number,
            path=str(self.path),
            record_count=self._end_record,
            size_bytes=self._prefix.size_bytes,
            digest=self._prefix.digest,
            tag=self._tag,
            chain=self._prefix.chain,
        )

    def resume(self, mark: FileMark) -> None:
        """Go on where another process has read to.

        Raises:
            SourceError: the file cannot be read, or does not begin with what was read then.
        """
        if not mark.size_bytes:
            return
        with self._open() as file:
            size = file.size()
            if size is not None and size < mark.size_bytes:
                raise became_shorter(self.path, mark.size_bytes, size)
            if self._find_origin(file) is None or self._prefix.size_bytes > mark.size_bytes:
                raise was_changed(self.path, mark.size_bytes)
            # What the store calls the same is; of anything else all that was read is compared.
            if mark.tag and mark.tag == file.tag():
                self._prefix.skip_to(mark, file)
            self._prefix.extend_from(file, mark.size_bytes)
            if self._prefix.digest != mark.digest:
                raise was_changed(self.path, mark.size_bytes)
            self._prefix.check(file)
        if mark.record_count:
            self._records.append(mark.record_count)
            self._positions.append(mark.size_bytes)
        self._end_record = mark.record_count

    def close(self) -> None:
        """Do nothing: the file is only open during a read."""

    def _end_last_line(self, file: FileContent) -> None:
        """Take the line end that the last line read has got since; it must not have got anything else."""
        if self._framing.is_binary or self._prefix.tail in (b"", _BYTE_ORDER_MARK) or self._prefix.tail.endswith(b"\n"):
            return
        more = file.read(2, self._prefix.size_bytes)
        ending = more if more == b"\r\n" else more[:1]
        if ending.strip(b"\r\n"):
            if self._known_as is not None:
                return
            raise SourceError(
                f"{self.path}: the last line was read without a line end and has grown since. Write whole lines, and "
                f"use `follow` for files that grow. {WAY_OUT}"
            )
        if ending.endswith(b"\n"):
            self._prefix.extend(ending)

    def _block(self, origin: Origin, first: int, found: "_Lines") -> Block[Texts]:
        reason = f"the line is longer than {self._framing.record_size_bytes_max} bytes"
        bad = ((first, reason, found.content),) if found.is_too_long else ()
        content = b"" if bad else found.content
        if bad or found.ends is None:
            lines = Texts.of_lines(content)
        else:
            lines = Texts.of_spans(content, found.ends, is_binary=self._framing.is_binary)
        return Block(
            origin=origin,
            offsets=np.arange(first, first + len(lines), dtype=np.int64),
            next_offset=first + found.record_count,
            content=lines,
            bad=bad,
        )

    def _nearest(self, record: int) -> tuple[int, int]:
        if record >= self._end_record:
            return self._end_record, self._prefix.size_bytes
        at = bisect.bisect_right(self._records, record) - 1
        return self._records[at], self._positions[at]

    def _advance(self, file: FileContent, record: int, position: int, found: "_Lines") -> None:
        """Note that the file was read as far as some lines that begin at a position."""
        if record <= self._end_record:
            return
        if found.is_too_long:
            self._prefix.extend_from(file, found.next_position)
        else:
            self._prefix.extend(found.content[self._prefix.size_bytes - position :])
        self._end_record = record
        # A file that grows by a line at a time must not get an entry for each of them.
        if found.next_position - self._positions[-1] >= self._block_size_bytes // 2:
            self._records.append(record)
            self._positions.append(found.next_position)

    def _find_origin(self, file: FileContent) -> Origin | None:
        """Return where the records come from, or `None` as long as the header is not written."""
        self._prefix.check(file)
        if self._origin is None:
            start = self._read(file, 0)
            if not self._framing.is_binary:
                self._check_is_text(start)
            mark = b"" if self._framing.is_binary else _BYTE_ORDER_MARK
            if not self.is_complete and start and start != mark and mark.startswith(start):
                # The mark is being written.
                return None
            skipped = len(mark) if start.startswith(mark) else 0
            header, position = self._find_header(start, skipped) if self._framing.has_header else (None, skipped)
            if position is None:
                return None
            path = self._known_as or self.path
            origin = Origin(name=str(path), stem=stem_of(path), header=header)
            if self._check is not None:
                self._check(origin)
            self._prefix.extend(start[:position])
            self._records, self._positions = [0], [position]
            self._origin = origin
        return self._origin

    def _check_is_text(self, start: bytes) -> None:
        for first_bytes, what in _NO_TEXT:
            if start.startswith(first_bytes):
                raise SourceError(f"{self.path}: no file of lines: it {what}")

    def _find_header(self, start: bytes, skipped: int) -> tuple[bytes | None, int | None]:
        """Return the header line and where the line after it begins, or `None` twice while it is not whole."""
        end = self._header_end(start, skipped)
        limit = self._framing.record_size_bytes_max
        if (len(start) if end < 0 else end) - skipped > limit:
            raise SourceError(f"{self.path}: the first line is longer than {limit} bytes; is this a file of lines?")
        if end < 0 and not self.is_complete:
            return None, None
        if not start[skipped:].strip():
            raise SourceError(f"{self.path}: the file is empty; its first line must name the columns")
        end = len(start) if end < 0 else end
        return start[skipped:end].rstrip(b"\r"), min(end + 1, len(start))

    def _header_end(self, start: bytes, skipped: int) -> int:
        """Return where the line end of the header is, -1 while it has none."""
        if self._framing.record_ends is None:
            return start.find(b"\n")
        is_all = self.is_complete and len(start) < self._block_size_bytes
        ends = self._framing.record_ends(start[skipped:], is_all)
        end = skipped + int(ends[0]) - 1 if ends.size else -1
        return end if start[end : end + 1] == b"\n" else -1

    @contextmanager
    def _open(self) -> Iterator[FileContent]:
        content = self._content
        if content is None:
            assert self._open_content is not None or isinstance(self.path, Path)
            content = self._open_content() if self._open_content is not None else content_of(Path(str(self.path)))
        with content.opened():
            if content.is_kept:
                # What is unpacked already is not unpacked again by the next read.
                self._content = content
            yield content
            if content.has_grown:
                self._prefix.check(content)
            self._tag = content.tag()

    def _scan(self, file: FileContent, position: int) -> _Lines | None:
        data = self._read(file, position)
        end = data.rfind(b"\n") + 1
        if self._framing.beginnings is not None:
            is_all = self.is_complete and len(data) < self._block_size_bytes
            end = len(data) if is_all else self._last_beginning(data[:end])
            if not end and len(data) == self._block_size_bytes:
                return self._scan_long_record(file, position, data)
            if not end:
                return None
        if self._framing.record_ends is not None:
            is_all = self.is_complete and len(data) < self._block_size_bytes
            try:
                ends = self._framing.record_ends(data, is_all)
            except ValueError as error:
                raise SourceError(f"{self.path}: after {position} bytes: {error}") from error
            end = int(ends[-1]) if ends.size else 0
            if end:
                return _Lines(record_count=ends.size, content=data[:end], next_position=position + end, ends=ends)
            if self._framing.is_binary and len(data) >= self._block_size_bytes:
                limit = self._framing.record_size_bytes_max
                raise SourceError(
                    f"{self.path}: the object after {position} bytes has more than {limit} bytes; make "
                    "`record_size_bytes_max` larger"
                )
        if not end and len(data) >= self._block_size_bytes:
            return self._scan_long_line(file, position, data)
        if not end:
            if not data or not self.is_complete:
                return None
            end = len(data)
        content = data[:end]
        count = content.count(b"\n") + (not content.endswith(b"\n"))
        return _Lines(record_count=count, content=content, next_position=position + end)

    def _last_beginning(self, content: bytes) -> int:
        """Return where the last line begins that begins something, or 0 when it is the first or there is none."""
        assert self._framing.beginnings is not None
        return max(self._framing.beginnings(content), default=0)

    def _scan_long_record(self, file: FileContent, position: int, data: bytes) -> _Lines | None:
        assert self._framing.beginnings is not None
        content, count, at_line_start = data[:RAW_SIZE_BYTES_MAX], 0, False
        while data:
            # Lines are looked at whole; the start of one that goes on from the piece before means nothing.
            end = data.rfind(b"\n") + 1 or len(data)
            found = next((at for at in self._framing.beginnings(data[:end]) if at or at_line_start), None)
            end = end if found is None else found
            count += data.count(b"\n", 0, end)
            position += end
            if found is not None:
                break
            at_line_start = data[end - 1 : end] == b"\n"
            data = self._read(file, position)
        if not data and not self.is_complete:
            return None
        count += not data and not at_line_start
        return _Lines(record_count=count, content=content, next_position=position, is_too_long=True)

    def _scan_long_line(self, file: FileContent, position: int, data: bytes) -> _Lines | None:
        start, content = position, data[:RAW_SIZE_BYTES_MAX]
        while data and b"\n" not in data:
            position += len(data)
            data = self._read(file, position)
        if not data and not self.is_complete:
            return None
        position += data.find(b"\n") + 1 if data else 0
        assert position > start
        return _Lines(record_count=1, content=content, next_position=position, is_too_long=True)

    def _read(self, file: FileContent, position: int) -> bytes:
        return file.read(self._block_size_bytes, position)

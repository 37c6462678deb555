"""What has been read of files, so that a position means the same rows after a restart.

A *mark* says how much of a file was read and the digest of exactly these bytes. Whatever becomes of the file, the
offsets of its rows are good as long as it still begins with them; inodes tell within a process when all of them must be
looked at again. The marks of a source are kept in a log, in the order of its files; a mark is written before the rows
that it stands for are given out. A machine that loses power may forget the newest marks of a file, which only makes the
check weaker.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import xxhash

from actors.errors import SourceError
from actors.files import make_directory, private_opener, replace_file, sync_directory
from actors.source.note_lines import checksum, note_line
from actors.source.transport.contents import FileContent, Stamp
from actors.source.transport.remote.place import FilePlace, place_of

FORMAT_VERSION = 2
"""Version of a line of the log; lines of version 1 have no checksum."""

REMOTE_FORMAT_VERSION = 3
"""Version of a line about a file of a store, which has a tag."""

_LOG_SIZE_BYTES_MIN = 64 << 10
"""Size below which a log is not written anew."""

_CHUNK_SIZE_BYTES = 1 << 20
PIECE_SIZE_BYTES = 4 << 20
"""Bytes of a piece of a chained digest."""

_HEAD_SIZE_BYTES, _TAIL_SIZE_BYTES = 4096, 256

WAY_OUT = "Put the file back as it was, or begin anew: a job of another name, or `run` with another --directory"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMark:
    """How much of a file has been read."""

    number: int
    """Place of the file in the order of the source's files, from 0."""

    path: str
    record_count: int
    """Records read."""

    size_bytes: int
    """Bytes that hold them, from the beginning of the file."""

    digest: str
    """XXH3 (128 bits, hexadecimal) of what the transport looks at to know the file again."""

    tag: str = ""
    """What the store of the file called its state, empty for files of a machine."""

    chain: str = ""
    """Digest of the whole pieces among what was read, by which reading goes on without them; see `ChainedDigest`."""


class ChainedDigest:
    """A digest of bytes that can be gone on with from what is noted of them.

    It chains the digests of pieces: each is that of the one before followed by the bytes of a piece; the last piece may
    be cut short.
    """

    def __init__(self, chain: bytes = b"") -> None:
        self.chain = chain
        self._start(chain)

    def _start(self, chain: bytes) -> None:
        self.chain = chain
        self._hash = xxhash.xxh3_128(chain)
        self._left = PIECE_SIZE_BYTES

    def update(self, data: bytes) -> None:
        """Take the bytes that follow."""
        view = memoryview(data)
        while len(view) >= self._left:
            self._hash.update(view[: self._left])
            view = view[self._left :]
            self._start(self._hash.digest())
        self._hash.update(view)
        self._left -= len(view)

    def hexdigest(self) -> str:
        """Return the digest of all bytes, in hexadecimal digits."""
        return self._hash.hexdigest()


class ReadPrefix:
    """The beginning of a file, as far as it has been read: what it was, and whether it still is."""

    def __init__(self, path: FilePlace) -> None:
        self._path = path
        self._hash: ChainedDigest | xxhash.xxh3_128 = xxhash.xxh3_128() if isinstance(path, Path) else ChainedDigest()
        self._head = self._tail = b""
        self._stamp: Stamp | None = None
        self.size_bytes = 0

    @property
    def digest(self) -> str:
        """Digest of all bytes read."""
        return self._hash.hexdigest()

    @property
    def chain(self) -> str:
        """Digest of the whole pieces among them, empty for files of a machine."""
        return self._hash.chain.hex() if isinstance(self._hash, ChainedDigest) else ""

    @property
    def tail(self) -> bytes:
        """The last bytes that were read."""
        return self._tail

    @property
    def head(self) -> tuple[int, str]:
        """Size and digest of the first bytes."""
        return len(self._head), xxhash.xxh3_128_hexdigest(self._head)

    def extend(self, data: bytes) -> None:
        """Take the bytes that follow."""
        self._hash.update(data)
        self._head += data[: _HEAD_SIZE_BYTES - len(self._head)]
        self._tail = (self._tail + data[-_TAIL_SIZE_BYTES:])[-_TAIL_SIZE_BYTES:]
        self.size_bytes += len(data)

    def extend_from(self, content: FileContent, end: int) -> None:
        """Take the bytes of the file up to a position, which must be there."""
        while self.size_bytes < end:
            data = content.read(min(_CHUNK_SIZE_BYTES, end - self.size_bytes), self.size_bytes)
            if not data:
                raise became_shorter(self._path, end, self.size_bytes)
            self.extend(data)

    def skip_to(self, mark: FileMark, content: FileContent) -> None:
        """Go on in the piece where a mark is, of a file that its store calls the same; what is before is not read."""
        begin = mark.size_bytes - mark.size_bytes % PIECE_SIZE_BYTES
        self._hash = ChainedDigest(bytes.fromhex(mark.chain))
        self._head = content.read(min(_HEAD_SIZE_BYTES, begin), 0)
        self._tail = content.read(min(_TAIL_SIZE_BYTES, begin), begin - min(_TAIL_SIZE_BYTES, begin))
        self.size_bytes = begin

    def check(self, content: FileContent) -> None:
        """Check that the file still begins with what was read, by a look at both ends, or at all of another inode.

        Raises:
            FileChangedError: it does not.
        """
        size, stamp = content.size(), content.stamp()
        if size is not None and size < self.size_bytes:
            raise became_shorter(self._path, self.size_bytes, size)
        if stamp == self._stamp or self._stamp is None:
            same = content.is_costly or self._has_both_ends(content)
        else:
            again = ReadPrefix(self._path)
            again.extend_from(content, self.size_bytes)
            same = again.digest == self.digest
        if not same:
            raise was_changed(self._path, self.size_bytes)
        self._stamp = stamp

    def _has_both_ends(self, content: FileContent) -> bool:
        tail_start = self.size_bytes - len(self._tail)
        same = content.read(len(self._head), 0) == self._head
        return same and content.read(len(self._tail), tail_start) == self._tail


def whole_lines(path: Path) -> tuple[bytes, bool]:
    """Return the lines of a log that have their end, and whether one has none: torn before its rows were given out.

    Raises:
        SourceError: the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    whole = data[: data.rfind(b"\n") + 1]
    return whole, whole != data


class PositionLog:
    """The marks of one source; kept in a file, or in memory alone when there is no path."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.marks: dict[int, FileMark] = {}
        self._size_bytes = 0
        if path is not None and path.exists():
            self._load(path)

    def paths(self) -> list[FilePlace]:
        """Return the files that have been read, in their order.

        Raises:
            SourceError: the log lacks one between others.
        """
        if sorted(self.marks) != list(range(len(self.marks))):
            raise SourceError(f"{self._path}: a file is missing between others. Restore the log from a copy")
        return [place_of(self.marks[number].path) for number in range(len(self.marks))]

    def put(self, mark: FileMark) -> None:
        """Keep the newest mark of a file.

        Raises:
            SourceError: the log cannot be written.
        """
        known = self.marks.get(mark.number)
        if known == mark:
            return
        self.marks[mark.number] = mark
        if self._path is None:
            return
        try:
            if self._size_bytes > max(_LOG_SIZE_BYTES_MIN, 1024 * len(self.marks)):
                self._write_anew(self._path)
            else:
                self._append(self._path, _line(mark), is_durable=known is None)
        except OSError as error:
            raise SourceError(
                f"{self._path}: what was read of the source cannot be noted: {error.strerror or error}"
            ) from error

    def _append(self, path: Path, line: bytes, *, is_durable: bool) -> None:
        is_new = not self._size_bytes
        if is_new:
            make_directory(path.parent)
        with open(path, "ab", buffering=0, opener=private_opener) as file:
            file.write(line)
            if is_durable:
                os.fsync(file.fileno())
        if is_new:
            sync_directory(path.parent)
        self._size_bytes += len(line)

    def _write_anew(self, path: Path) -> None:
        lines = b"".join(_line(mark) for _, mark in sorted(self.marks.items()))
        replace_file(path, lines)
        self._size_bytes = len(lines)

    def _load(self, path: Path) -> None:
        whole, is_torn = whole_lines(path)
        for number, line in enumerate(whole.splitlines(), 1):
            mark = _mark(line)
            if mark is None:
                raise SourceError(
                    f"{path}: line {number} is damaged, or no position of format {FORMAT_VERSION}. Restore the file "
                    "from a copy; without it, files that were replaced meanwhile are not noticed"
                )
            self.marks[mark.number] = mark
        if is_torn:
            self._write_anew(path)
        self._size_bytes = len(whole)


class FileChangedError(SourceError):
    """A file does not begin any more with what was read of it."""


def became_shorter(path: FilePlace, size_bytes: int, now_bytes: int, other_way: str = "") -> FileChangedError:
    """Return the error for a file that has lost what was read; `other_way` is one more way out."""
    return FileChangedError(
        f"{path}: the file has become shorter (from at least {size_bytes} to {now_bytes} bytes), so rows that were "
        f"read are gone. {WAY_OUT}{other_way and f', {other_way}'}"
    )


def was_changed(path: FilePlace, size_bytes: int, other_way: str = "") -> FileChangedError:
    """Return the error for a file that holds something else where it was read; `other_way` is one more way out."""
    return FileChangedError(
        f"{path}: the file was replaced or changed: its first {size_bytes} bytes are not those that were read. "
        f"{WAY_OUT}{other_way and f', {other_way}'}"
    )


def grew_too_late(path: FilePlace) -> SourceError:
    """Return the error for a file that has got more after the next one was begun, whose offsets would move."""
    return SourceError(
        f"{path}: the file has grown since files after it were read, and their offsets count its rows. Write each "
        f"file to its end before the next appears, or make `file` a key column, so that each is a split. {WAY_OUT}"
    )


def _line(mark: FileMark) -> bytes:
    fields = {"format": REMOTE_FORMAT_VERSION if mark.tag or mark.chain else FORMAT_VERSION, **asdict(mark)}
    if fields["format"] == FORMAT_VERSION:
        del fields["tag"], fields["chain"]
    return note_line(fields)


def _mark(line: bytes) -> FileMark | None:
    try:
        found: dict[str, Any] = json.loads(line)
        if found["format"] != 1 and found.pop("checksum") != checksum(found):
            return None
        if found.pop("format") not in (1, FORMAT_VERSION, REMOTE_FORMAT_VERSION):
            return None
        mark = FileMark(**found)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    numbers = (mark.number, mark.record_count, mark.size_bytes)
    texts = (mark.path, mark.digest, mark.tag, mark.chain)
    fits = all(isinstance(one, int) for one in numbers) and all(isinstance(one, str) for one in texts)
    return mark if fits else None

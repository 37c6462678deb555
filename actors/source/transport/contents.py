"""What a file holds, as a transport reads it: bytes at positions, unpacked where the file is compressed.

A compressed file is known by its first bytes, whatever its name. Its *position* counts unpacked bytes. It is unpacked
from its beginning to where it is read, once as long as positions only grow, and never held in memory as a whole. It may
consist of several members one after the other; one that ends in the middle of a member is an error.
"""

import bz2
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from actors.allowed import AllowedPaths
from actors.errors import SourceError
from actors.extras import need
from actors.source.transport.remote.place import FilePlace
from config.sources import without_packing

Stamp = tuple[int, ...]
"""What tells that there may be another file now."""


class FileContent(Protocol):
    """The content of one file; it is only read within `opened`."""

    is_packed: bool
    """Whether it is compressed, so that it is whole."""

    @property
    def is_kept(self) -> bool:
        """Whether what is known of it is worth keeping from one read to the next."""
        ...

    @property
    def has_grown(self) -> bool:
        """Whether it was found longer since it was opened, so that what was read has to be looked at again."""
        ...

    @property
    def is_costly(self) -> bool:
        """Whether looking at its beginning again is expensive."""
        ...

    def opened(self) -> AbstractContextManager[None]:
        """Return a context in which the content can be read.

        Raises:
            SourceError: the file cannot be opened.
        """
        ...

    def read(self, size: int, position: int) -> bytes:
        """Return so many bytes from a position on, fewer at the end.

        Raises:
            SourceError: they cannot be read, or an archive ends in the middle.
        """
        ...

    def size(self) -> int | None:
        """Return the bytes there are, or `None` as long as nobody knows."""
        ...

    def stamp(self) -> Stamp:
        """Return what stays the same as long as the file does."""
        ...

    def tag(self) -> str:
        """Return what says by itself that all of it is what it was, empty where nothing does."""
        ...

    def close(self) -> None:
        """Close the file, if it is held."""
        ...


class PlainContent:
    """A file read as it is. Where it is *held* it stays open, so that it can be read under whatever name, or none."""

    is_packed = is_kept = is_costly = has_grown = False

    def __init__(self, path: Path, *, is_held: bool = False) -> None:
        self._path = path
        self._is_held = is_held
        self._descriptor = -1

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Return a context in which the content can be read."""
        if self._descriptor < 0:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise unreadable(self._path, error) from error
        try:
            yield
        finally:
            if not self._is_held:
                self.close()

    def close(self) -> None:
        """Close the file; it can be opened again by its name."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read(self, size: int, position: int) -> bytes:
        """Return so many bytes from a position on."""
        try:
            return os.pread(self._descriptor, size, position)
        except OSError as error:
            raise unreadable(self._path, error) from error

    def size(self) -> int:
        """Return the bytes there are."""
        return self.stat().st_size

    def stamp(self) -> Stamp:
        """Return the inode."""
        stat = self.stat()
        return stat.st_dev, stat.st_ino

    def tag(self) -> str:
        """Return nothing: only its bytes tell what a file of a machine is."""
        return ""

    def stat(self) -> os.stat_result:
        """Return what the system says of the open file."""
        return os.fstat(self._descriptor)


class Unpacker(Protocol):
    """Unpacks one member."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _zstd() -> Unpacker:
    (zstd,) = need("zstd", lambda text: SourceError(f"{text}, or unpack it first"))
    unpacker: Unpacker = zstd.ZstdDecompressor()
    return unpacker


_PACKINGS: tuple[tuple[re.Pattern[bytes], str, Callable[[], Unpacker]], ...] = (
    (re.compile(rb"\x1f\x8b\x08"), "gzip", _Gzip),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "zstd", _zstd),
    (re.compile(rb"BZh[1-9]1AY&SY"), "bzip2", bz2.BZ2Decompressor),
    (re.compile(rb"\xfd7zXZ\x00"), "xz", lzma.LZMADecompressor),
)
"""First bytes of a compressed file, the name of the compression, what unpacks a member."""

START_SIZE_BYTES = 10
"""First bytes of a file by which it is known whether it is compressed."""

_INPUT_SIZE_BYTES = 1 << 16
_OUTPUT_SIZE_BYTES = 1 << 20


class PackedContent:
    """A compressed file, unpacked as it is read; `inner` is the file as it is."""

    is_packed = is_kept = is_costly = True
    has_grown = False

    def __init__(self, path: FilePlace, inner: FileContent, name: str, make: Callable[[], Unpacker]) -> None:
        self._path = path
        self._inner = inner
        self._name = name
        self._make = make
        self._size: int | None = None
        self._stamp: Stamp = ()
        self._start()

    def _start(self) -> None:
        self._unpacker: Unpacker | None = None
        self._input_position = self._position = 0
        self._input = b""
        self._output = bytearray()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Return a context in which the content can be read."""
        with self._inner.opened():
            stamp = self._inner.stamp()
            if stamp != self._stamp:
                self._start()
                self._stamp, self._size = stamp, None
            yield

    def size(self) -> int | None:
        """Return the unpacked bytes, once all have been read."""
        return self._size

    def stamp(self) -> Stamp:
        """Return what stays the same as long as the file does."""
        return self._inner.stamp()

    def tag(self) -> str:
        """Return nothing: where it is read on shows in what was unpacked before."""
        return ""

    def close(self) -> None:
        """Close the file, if it is held."""
        self._inner.close()

    def read(self, size: int, position: int) -> bytes:
        """Return so many unpacked bytes from a position on."""
        if position < self._position:
            self._start()
        self._drop(position)
        while len(self._output) < position - self._position + size:
            data = self._more()
            if not data:
                self._size = self._position + len(self._output)
                break
            self._output += data
            self._drop(position)
        first = position - self._position
        return bytes(self._output[first : first + size]) if first <= len(self._output) else b""

    def _drop(self, position: int) -> None:
        """Forget what is before a position."""
        count = min(position - self._position, len(self._output))
        del self._output[:count]
        self._position += count

    def _more(self) -> bytes:
        """Return the next unpacked bytes, none at the end."""
        while True:
            unpacker = self._unpacker
            if unpacker is None:
                # Archives may be padded with zeros.
                self._input = self._input.lstrip(b"\0")
                while not self._input and not self._is_input_over():
                    self._input = self._next_input().lstrip(b"\0")
                if not self._input:
                    return b""
                unpacker = self._unpacker = self._made()
            elif not self._input and unpacker.needs_input:
                self._input = self._next_input()
            data = self._unpacked(unpacker)
            if unpacker.eof:
                self._input, self._unpacker = unpacker.unused_data, None
            if data:
                return data
            if self._unpacker is not None and unpacker.needs_input and self._is_input_over():
                raise SourceError(
                    f"{self._path}: the archive ({self._name}) ends in the middle, after {self._position} bytes that "
                    "could be unpacked. It was not written to its end, or cut: put a whole one there"
                )

    def _unpacked(self, unpacker: Unpacker) -> bytes:
        given, self._input = self._input, b""
        try:
            return unpacker.decompress(given, _OUTPUT_SIZE_BYTES)
        except Exception as error:  # each package has its own, and that of zstd may not be there
            raise self._damaged(error) from error

    def _made(self) -> Unpacker:
        try:
            return self._make()
        except SourceError as error:
            raise SourceError(f"{self._path}: {error}") from error

    def _damaged(self, error: Exception) -> SourceError:
        return SourceError(
            f"{self._path}: the archive ({self._name}) is damaged after about {self._position} unpacked bytes: {error}"
        )

    def _next_input(self) -> bytes:
        data = self._inner.read(_INPUT_SIZE_BYTES, self._input_position)
        self._input_position += len(data)
        return data

    def _is_input_over(self) -> bool:
        return not self._input and not self._inner.read(1, self._input_position)


class _WholeFile(PlainContent):
    """A file that does not change: what it is shows in more than its inode."""

    def stamp(self) -> Stamp:
        stat = self.stat()
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def unpacked(path: FilePlace, inner: FileContent) -> FileContent | None:
    """Return the content of a file unpacked, or `None` when it is not compressed.

    Raises:
        SourceError: the file cannot be read.
    """
    packing = packing_of(inner)
    return None if packing is None else PackedContent(path, inner, *packing)


def packing_of(inner: FileContent) -> tuple[str, Callable[[], Unpacker]] | None:
    """Return by what a file is compressed, and what unpacks a member; `None` when it is not.

    Raises:
        SourceError: the file cannot be read.
    """
    with inner.opened():
        start = inner.read(START_SIZE_BYTES, 0)
    return next(((name, make) for pattern, name, make in _PACKINGS if pattern.match(start)), None)


def content_of(path: Path, *, is_held: bool = False) -> FileContent:
    """Return the content of a file of this machine, unpacked where it is compressed; one that is held stays open.

    Raises:
        SourceError: the file cannot be read.
    """
    whole = _WholeFile(path, is_held=is_held)
    packed = unpacked(path, whole)
    if packed is None:
        whole.close()
    return packed or PlainContent(path, is_held=is_held)


def stem_of(path: FilePlace) -> str:
    """Return the name of a file without its ending, nor that of its compression."""
    return Path(without_packing(path.name)).stem


def unreadable(path: Path, error: OSError) -> SourceError:
    """Return the error for a file that the system does not give."""
    return SourceError(f"{path}: cannot be read: {error.strerror or error}")


def check_allowed(allowed: AllowedPaths, path: str | FilePlace) -> None:
    """Check that a job may read a path or a pattern.

    Raises:
        SourceError: it may not.
    """
    refusal = allowed.refusal(path if isinstance(path, Path) else str(path))
    if refusal is not None:
        raise SourceError(refusal)

"""A file that is whole from the start, and known again by its size and its ends: of a format that cuts itself."""

import os
from collections.abc import Callable
from pathlib import Path

import xxhash

from actors.errors import SourceError
from actors.source.transport.positions import FileMark, became_shorter, was_changed
from actors.source.transport.remote.copies import Copies
from actors.source.transport.remote.place import FilePlace

_END_SIZE_BYTES = 64 << 10
"""Bytes at each end of a file by which it is known again, besides its size."""


class WholeFile:
    """What a file is, and where it can be read; `what` names its format for people."""

    def __init__(self, what: str, path: FilePlace, copies: Copies | None) -> None:
        self.path = path
        self._what = what
        self._copies = copies
        self._mark: FileMark | None = None
        self._stat: tuple[int, ...] = ()

    def here(self) -> Path:
        """Return the file, or its copy, on this machine."""
        if isinstance(self.path, Path):
            return self.path
        assert self._copies is not None
        return self._copies.path(str(self.path))

    def known(self, count: Callable[[], int]) -> FileMark:
        """Return what the file is; `count` looks into one that was not looked at yet and returns its records.

        Raises:
            SourceError: it cannot be read, or is not what it was at the first look.
        """
        stat = self._look()
        if stat == self._stat and self._mark is not None:
            return self._mark
        size, digest = stat[2], self._digest(stat[2])
        self._compare(size, digest)
        path = str(self.path)
        mark = FileMark(number=0, path=path, record_count=count(), size_bytes=size, digest=digest)
        self._mark, self._stat = mark, stat
        return mark

    def mark(self, number: int) -> FileMark:
        """Return what is known of the file, of which nothing is as long as nobody looked."""
        known = self._mark
        return FileMark(
            number=number,
            path=str(self.path),
            record_count=0 if known is None else known.record_count,
            size_bytes=0 if known is None else known.size_bytes,
            digest="" if known is None else known.digest,
        )

    def resume(self, mark: FileMark) -> None:
        """Take what another process has seen; the next look compares."""
        self._mark = mark

    def close(self) -> None:
        """Remove the copy, where there is one; a file of this machine is only open during a read."""
        if self._copies is not None:
            self._copies.close()

    def unreadable(self, error: Exception) -> SourceError:
        """Return the error for a file that is none of the format."""
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return SourceError(
            f"{self.path}: cannot be read as {self._what}: {reason}. Is it whole? Write it again or leave it out"
        )

    def _look(self) -> tuple[int, ...]:
        if self._copies is not None:
            look = self._copies.look(str(self.path))
            return 0, hash(look), look.size_bytes
        try:
            stat = os.stat(self.here())
        except OSError as error:
            raise self.unreadable(error) from error
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns

    def _digest(self, size: int) -> str:
        try:
            with self.here().open("rb") as file:
                begin = file.read(_END_SIZE_BYTES)
                file.seek(max(size - _END_SIZE_BYTES, 0))
                return xxhash.xxh3_128_hexdigest(begin + file.read())
        except OSError as error:
            raise self.unreadable(error) from error

    def _compare(self, size: int, digest: str) -> None:
        known = self._mark
        if known is not None and size < known.size_bytes:
            raise became_shorter(self.path, known.size_bytes, size)
        if known is not None and (size, digest) != (known.size_bytes, known.digest):
            raise was_changed(self.path, known.size_bytes)

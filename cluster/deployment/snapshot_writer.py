"""Snapshots of a host, on their way to the members: files on its machine, written beside the rows.

A snapshot is *captured* between two batches, written by a thread that takes a small share of one core, and stays until
the members have it or nobody wants it any more. What a host that died has left behind is removed by the next one: a
file that is wanted is locked, and a lock ends with its process.
"""

import contextlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from actors.engine.snapshot import Piece
from actors.errors import NotOpenError
from actors.files import FileLockedError, make_directory, open_locked
from actors.partition.capture import PartitionCapture
from raft.digests import new_hash

SYNC_BYTES: Final = 4 << 20
"""Bytes after which a file is put on disk, so that no flush of a shard has to wait for all of it."""

WRITE_BYTES: Final = 1 << 18
"""Length of a piece that is written at once, with those before it."""

PIECES_MAX: Final = 32
"""Most pieces that are written with one call."""

REST_S: Final = 0.005
"""Shortest rest, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSnapshot:
    """A snapshot that is a file on its host's machine."""

    path: str
    """The file."""

    digest: bytes
    """Digest of its bytes (`raft.digests`)."""

    size_bytes: int
    """Their number."""


@dataclass(slots=True)
class _Kept:
    epoch: int
    partition: int
    capture: PartitionCapture | None
    file: io.FileIO | None = None
    is_writing: bool = False


class SnapshotWriter:
    """The snapshots of one host that somebody wants, by name; `clock_s` and `rest` are other ones in tests."""

    def __init__(
        self,
        directory: Path,
        clock_s: Callable[[], float] = time.monotonic,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._directory = directory
        self._clock_s = clock_s
        self._rest = rest
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        _remove_orphans(directory)

    def keep(self, name: str, epoch: int, partition: int, capture: PartitionCapture) -> None:
        """Keep a capture until it is dropped, or its partition is captured again, or by a later leader."""
        with self._lock:
            old = [known for known, one in self._kept.items() if one.epoch < epoch or one.partition == partition]
            self._kept[name] = _Kept(epoch, partition, capture)
        for one in old:
            self.drop(one)

    def write(self, name: str, core_share: float) -> WrittenSnapshot:
        """Write a capture to a file, durably, with a share of one core.

        Raises:
            NotOpenError: it was dropped.
            OSError: the disk is full.
        """
        with self._lock:
            kept = self._find(name)
            assert kept.capture is not None, "it is written once"
            capture, kept.capture = kept.capture, None
            make_directory(self._directory)
            kept.file = open_locked(self._directory / name, wait=False)
            kept.is_writing = True
        try:
            digest, size_bytes = self._write(name, kept.file, capture, core_share)
        finally:
            with self._lock:
                kept.is_writing = False
                if self._kept.get(name) is not kept:
                    kept.file.close()
        return WrittenSnapshot(path=str(self._directory / name), digest=digest, size_bytes=size_bytes)

    def _write(self, name: str, file: io.FileIO, capture: PartitionCapture, core_share: float) -> tuple[bytes, int]:
        hashed, size_bytes, unsynced = new_hash(), 0, 0
        began_s, used_s = self._clock_s(), time.thread_time()
        unwritten: list[Piece] = []
        for piece in capture.pieces():
            self._find(name)
            hashed.update(piece)
            unwritten.append(piece)
            size_bytes += len(piece)
            unsynced += len(piece)
            if len(piece) >= WRITE_BYTES or len(unwritten) >= PIECES_MAX:
                _write_all(file, unwritten)
                unwritten = []
            if unsynced >= SYNC_BYTES:
                _write_all(file, unwritten)
                unwritten = []
                os.fdatasync(file.fileno())
                unsynced = 0
            if core_share < 1:
                early_s = began_s + (time.thread_time() - used_s) / core_share - self._clock_s()
                if early_s >= REST_S:
                    self._rest(early_s)
        _write_all(file, unwritten)
        os.fdatasync(file.fileno())
        return hashed.digest(), size_bytes

    def _find(self, name: str) -> _Kept:
        kept = self._kept.get(name)
        if kept is None:
            raise NotOpenError(f"the snapshot {name} is not wanted any more")
        return kept

    def drop(self, name: str) -> None:
        """Remove a snapshot that nobody wants any more; one that is being written ends there."""
        with self._lock:
            kept = self._kept.pop(name, None)
            if kept is None or kept.file is None:
                return
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._directory / name)
            # Who writes it closes it: its number may be that of another file as soon as it is closed.
            if not kept.is_writing:
                kept.file.close()

    def close(self) -> None:
        """Remove all of them."""
        for name in list(self._kept):
            self.drop(name)


def _write_all(file: io.FileIO, pieces: Iterable[Piece]) -> None:
    """Write pieces with one call, as long as the system takes all of them."""
    views = [memoryview(piece) for piece in pieces if len(piece)]
    while views:
        count = os.writev(file.fileno(), views)
        while views and count >= len(views[0]):
            count -= len(views.pop(0))
        if count:
            views[0] = views[0][count:]


def _remove_orphans(directory: Path) -> None:
    """Remove what a process has left behind that is gone."""
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        with contextlib.suppress(FileNotFoundError, FileLockedError):
            file = open_locked(path, wait=False)
            os.unlink(path)
            file.close()

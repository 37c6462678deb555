"""Files: what must be right after a crash, and readable by its owner alone.

A file that is *replaced* is complete on disk before it gets its name, so a crash leaves the new content or the one
before. A *lock* is one of the system (`flock`) on an open file: it ends with the process, however that ends, so nobody
is kept out by who is gone, and a lock file that lies about means nothing. A process that was forked shares the lock.
What is made here is for its owner only; what exists keeps its rights.
"""

import fcntl
import io
import os
from pathlib import Path
from typing import Final, Self

DIRECTORY_MODE: Final = 0o700
"""Rights of a directory that is made here."""

FILE_MODE: Final = 0o600
"""Rights of a file that is made here."""


class FileLockedError(BlockingIOError):
    """Another opening of the file, of this process or of another one, has locked it."""

    def __init__(self, path: str, owner: int | None) -> None:
        super().__init__(path, owner)
        self.path, self.owner = path, owner

    def __str__(self) -> str:
        who = "this process" if self.owner == os.getpid() else "another process"
        return f"{self.path} is in use by {who}{f' (pid {self.owner})' if self.owner else ''}"


class FileLock:
    """A lock file, locked from `take` to `release`; it holds the owner's process id for people to read."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file

    @classmethod
    def take(cls, path: Path, *, wait: bool = False) -> Self:
        """Lock a file, made when missing; with `wait`, as soon as the others have released it.

        Raises:
            FileLockedError: it is locked, and not waited for.
        """
        file = open_locked(path, wait=wait)
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode("ascii"))
        return cls(file)

    @property
    def is_held(self) -> bool:
        """Whether the lock has not been released."""
        return not self._file.closed

    def release(self) -> None:
        """Give the lock back; later calls do nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def open_locked(path: Path, *, wait: bool) -> io.FileIO:
    """Return a file, made when missing, opened for reading and writing and locked until it is closed.

    Raises:
        FileLockedError: it is locked, and not waited for.
    """
    file = io.FileIO(path, "r+", opener=_making_opener)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        written = os.pread(file.fileno(), 32, 0).strip()
        file.close()
        raise FileLockedError(str(path), int(written) if written.isdigit() else None) from None
    except BaseException:
        file.close()
        raise
    return file


def private_opener(path: str, flags: int) -> int:
    """Open a file for `open(..., opener=private_opener)`; one that is made is for its owner only."""
    return os.open(path, flags | os.O_CLOEXEC, FILE_MODE)


def _making_opener(path: str, flags: int) -> int:
    return private_opener(path, flags | os.O_CREAT)


def make_directory(directory: Path) -> None:
    """Make a directory, and those above it that are missing."""
    try:
        directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    except FileNotFoundError:
        make_directory(directory.parent)
        directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file; its content is on disk when this returns, its name after `sync_directory`."""
    with open(path, "wb", opener=private_opener) as file:
        # A draft that a crash has left behind may be readable by others.
        os.fchmod(file.fileno(), FILE_MODE)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Give a file, which is made when missing, new content as a whole and durably; one writer at a time."""
    draft = path.with_name(f".{path.name}.draft")
    write_synced(draft, data)
    move_file(draft, path)


def move_file(source: Path, target: Path) -> None:
    """Give a file another name in its directory, durably; who had the name is gone."""
    source.replace(target)
    sync_directory(target.parent)


def sync_directory(directory: Path) -> None:
    """Put on disk which files a directory has."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_at(file: io.FileIO, data: bytes, position: int) -> None:
    """Write all of some bytes at a position of a file."""
    view = memoryview(data)
    while view:
        written = os.pwrite(file.fileno(), view, position)
        view, position = view[written:], position + written

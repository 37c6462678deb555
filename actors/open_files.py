"""Open files: whether what stands at their paths is still what this process has open.

A file that is deleted, moved or replaced stays open, and what is written to it is gone when the process ends. So who
owns an LMDB environment *looks* before a write, after its commit and before a read: every file has the device and
inode that it had when it was opened, the data file is no shorter than it was, and its last commit is the owner's own.
A look that found a loss finds it for ever, because what is in memory fits no file any more.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from actors.lmdb_file import DATA_FILE

LOCK_FILE = "lock.mdb"
"""LMDB's file with the slots of readers."""


class FilesLostError(Exception):
    """What stands at a path is not what is open; the message says what was found."""


class OpenFiles:
    """The files of one open LMDB environment; made right after it was opened."""

    def __init__(self, directory: Path, names: tuple[str, ...], last_commit: Callable[[], int]) -> None:
        """`names` are the files beside the data file; `last_commit` gives the number that the open file has.

        Raises:
            OSError: one of them is gone already.
        """
        directory = directory.absolute()
        self._data = str(directory / DATA_FILE)
        self._others = [str(directory / name) for name in names]
        self._last_commit = last_commit
        self._known = {path: _identity(os.stat(path)) for path in (self._data, *self._others)}
        self._size_bytes = os.stat(self._data).st_size
        self._commit = last_commit()
        self.loss = ""
        """What was found to be lost; empty as long as nothing was."""

    def check_read(self) -> None:
        """Look before a read; from any thread.

        Raises:
            FilesLostError: the data file is not the one that is open, or somebody has put other content into it.
        """
        self._look_at_data()

    def check_write(self) -> None:
        """Look before a write; one thread at a time.

        Raises:
            FilesLostError: a file is not the one that is open, or somebody else has written.
        """
        _, commit = self._look_at_data()
        if commit != self._commit:
            self._lose(f"{self._data} has commit {commit}, but the last one of its owner is {self._commit}")
        for path in self._others:
            self._look(path)

    def note_commit(self) -> None:
        """Look after a commit, before anything is acknowledged; one thread at a time.

        Raises:
            FilesLostError: what was committed does not stand at its path.
        """
        self._size_bytes, self._commit = self._look_at_data()

    def _look_at_data(self) -> tuple[int, int]:
        """Return size and last commit of the data file."""
        # Taken before the look, because a write in another thread may let both grow meanwhile.
        size, commit = self._size_bytes, self._commit
        found = self._look(self._data)
        # The size comes first: reading a page that the file lacks would end the process.
        if found.st_size < size:
            self._lose(f"{self._data} was cut from {size} to {found.st_size} bytes")
        last = self._last_commit()
        if last < commit:
            self._lose(f"{self._data} was overwritten: its last commit was {commit} and is {last}")
        return found.st_size, last

    def _look(self, path: str) -> os.stat_result:
        if self.loss:
            raise FilesLostError(self.loss)
        try:
            found = os.stat(path)
        except OSError as error:
            self._lose(f"{path} is gone ({error.strerror})")
        if _identity(found) != self._known[path]:
            self._lose(f"{path} is another file than the one that is open")
        return found

    def _lose(self, loss: str) -> NoReturn:
        self.loss = self.loss or loss
        raise FilesLostError(self.loss)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino

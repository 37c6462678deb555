"""Snapshot files: `<name>.snapshot`, the one before as `<name>.old`, and `<name>.tmp` while one is written.

A file is complete on disk before it gets its name, so a crash leaves the new snapshot or the one before.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from actors.engine.errors import EngineSnapshotError
from actors.files import move_file, write_synced

log = logging.getLogger(__name__)


class NoSnapshotFiles:
    """Stands for the files where none are written; `offset` is the last one of the state that was restored."""

    def __init__(self) -> None:
        self.offset = -1

    def note(self, row_count: int, next_offset: int, snapshot: Callable[[], bytes]) -> None:
        """Write nothing."""

    def restored(self, next_offset: int) -> None:
        """Note that a snapshot was taken over."""
        self.offset = next_offset - 1


class SnapshotFiles:
    """The snapshot files of an engine."""

    def __init__(self, folder: Path, name: str, interval_rows: int) -> None:
        self._folder = folder
        self._name = name
        self._interval_rows = interval_rows
        self._rows_since = 0
        self.offset = -1
        """Last offset that the latest file, or the state that was restored, covers; -1 before the first."""

    def note(self, row_count: int, next_offset: int, snapshot: Callable[[], bytes]) -> None:
        """Note that rows were taken, and write a file if one is due.

        A file that cannot be written does not take the anomalies of the batch away: the next batch tries again.
        """
        self._rows_since += row_count
        if self._rows_since < self._interval_rows:
            return
        try:
            write_snapshot(self._folder, self._name, snapshot())
        except OSError as error:
            log.warning("snapshot file cannot be written", extra={"path": str(self._folder), "error": str(error)})
            return
        self.restored(next_offset)

    def restored(self, next_offset: int) -> None:
        """Note that a snapshot was taken over, or written."""
        self._rows_since, self.offset = 0, next_offset - 1

    def load(self, restore: Callable[[bytes], None]) -> bool:
        """Restore from the newest sound file and return whether there was one.

        Raises:
            EngineSnapshotError: the file is of an engine with other settings, or no file is sound.
        """
        return load_snapshot(self._folder, self._name, restore)


def write_snapshot(folder: Path, name: str, snapshot: bytes) -> None:
    """Write a snapshot file durably; the one before becomes `<name>.old`."""
    temporary, current, old = (folder / f"{name}.{suffix}" for suffix in ("tmp", "snapshot", "old"))
    write_synced(temporary, snapshot)
    if current.exists():
        move_file(current, old)
    move_file(temporary, current)


def load_snapshot(folder: Path, name: str, restore: Callable[[bytes], None]) -> bool:
    """Restore from the newest sound snapshot file and return whether there was one.

    Raises:
        EngineSnapshotError: the file is of an engine with other settings, or no file is sound.
    """
    failure: EngineSnapshotError | None = None
    for suffix in ("snapshot", "old"):
        path = folder / f"{name}.{suffix}"
        if not path.exists():
            continue
        try:
            restore(path.read_bytes())
        except (EngineSnapshotError, OSError) as error:
            if isinstance(error, EngineSnapshotError) and error.code == "foreign_snapshot":
                raise
            log.warning("snapshot file is damaged", extra={"path": str(path)})
            failure = EngineSnapshotError(f"{path}: {error}; remove the file to start without it")
            continue
        return True
    if failure is not None:
        raise failure
    return False

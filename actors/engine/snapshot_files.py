"""Snapshot files: `<name>.snapshot`, the one before as `<name>.old`, and `<name>.tmp` while one is written.

A file is complete on disk before it gets its name, so a crash leaves the new snapshot or the one before.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from actors.engine.errors import EngineSnapshotError

log = logging.getLogger(__name__)


def write_snapshot(folder: Path, name: str, snapshot: bytes) -> None:
    """Write a snapshot file durably; the one before becomes `<name>.old`."""
    temporary, current, old = (folder / f"{name}.{suffix}" for suffix in ("tmp", "snapshot", "old"))
    with temporary.open("wb") as file:
        file.write(snapshot)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(folder)
    if current.exists():
        current.replace(old)
        _sync_folder(folder)
    temporary.replace(current)
    _sync_folder(folder)


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
        except EngineSnapshotError as error:
            if error.code == "foreign_snapshot":
                raise
            log.warning("snapshot file is damaged", extra={"path": str(path)})
            failure = EngineSnapshotError(f"{path}: {error}; remove the file to start without it")
            continue
        return True
    if failure is not None:
        raise failure
    return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

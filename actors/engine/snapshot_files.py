"""Snapshot files: `<name>.snapshot`, the one before as `<name>.old`, and `<name>.tmp` while one is written.

A file is complete on disk before it gets its name, so a crash leaves the new snapshot or the one before.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from actors.engine.errors import EngineSnapshotError
from actors.files import move_file, write_synced

log = logging.getLogger(__name__)


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

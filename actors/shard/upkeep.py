"""Upkeep of a shard's files: what they take, whether they are whole, copies, and giving back free space.

Everything but `compact_shard` works beside a living owner and leaves it alone. A read holds its snapshot: while it
lasts the owner's file may grow, because freed pages are not used again.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.files import move_file, sync_directory
from actors.lmdb_file import DATA_FILE, read_file_meta
from actors.open_files import LOCK_FILE
from actors.shard.errors import ShardOwnedError, shard_errors
from actors.shard.ownership import OWNER_FILE, take_ownership
from actors.shard.shard import Shard

COMPACT_DIRECTORY = "compact.part"
"""Directory below the shard in which a compact copy is made; one that was left behind is removed."""

_LOCKS = Path("/proc/locks")
_META_PAGES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMeasure:
    """What one table takes."""

    name: str

    entry_count: int

    size_bytes: int
    """Bytes of its pages."""

    depth: int
    """Levels of its tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardMeasure:
    """What a shard takes."""

    file_size_bytes: int
    """Size of the data file."""

    map_size_bytes: int
    """Size up to which the shard can grow without resizing the map."""

    page_size_bytes: int

    page_count: int
    """Pages up to the last one ever used."""

    free_page_count: int
    """Pages among them that no table uses, the list of free pages included; `compact` gives them back."""

    transaction_id: int
    """Number of the last commit."""

    tables: tuple[TableMeasure, ...]
    """All tables by name."""

    owner: int | None
    """Process that has the shard open for writing; `None` when nobody has."""

    reading_processes: tuple[int, ...]
    """Other processes that read it."""


def open_beside(directory: Path) -> Shard:
    """Open a shard for reading, whoever owns it.

    Raises:
        ShardMissingError: there is no shard.
        ShardFormatError: the data file is no shard, or is cut short.
    """
    return Shard.open(directory, read_only=True)


def measure_shard(shard: Shard) -> ShardMeasure:
    """Measure an open shard."""
    names = shard.table_names()
    handles = {name: shard.table(name) for name in names}
    meta = read_file_meta(shard.directory)
    with shard.read() as txn:
        main = txn.stat()
        stats = {name: txn.stat(db=handle) for name, handle in handles.items()}
    used = _META_PAGES + _page_count(main) + sum(map(_page_count, stats.values()))
    return ShardMeasure(
        file_size_bytes=(shard.directory / DATA_FILE).stat().st_size,
        map_size_bytes=meta.map_size_bytes,
        page_size_bytes=meta.page_size_bytes,
        page_count=meta.page_count,
        free_page_count=max(meta.page_count - used, 0),
        transaction_id=meta.transaction_id,
        tables=tuple(
            TableMeasure(
                name=name,
                entry_count=stat["entries"],
                size_bytes=_page_count(stat) * stat["psize"],
                depth=stat["depth"],
            )
            for name, stat in stats.items()
        ),
        owner=find_owner(shard.directory),
        reading_processes=tuple(pid for pid in sorted(shard.reading_processes()) if pid != os.getpid()),
    )


def find_owner(directory: Path) -> int | None:
    """Return the process that has a shard open for writing, `None` when nobody has.

    The system's list of locks is read, because trying the lock could turn away an owner who comes at that moment.
    """
    path = directory / OWNER_FILE
    try:
        inode = path.stat().st_ino
        locks = [line.split() for line in _LOCKS.read_text().splitlines()]
        written = path.read_text().strip()
    except OSError:
        return None
    for words in locks:
        if "FLOCK" in words and "WRITE" in words and words[5].rpartition(":")[2] == str(inode):
            return int(written) if written.isdigit() else int(words[4])
    return None


def copy_shard(directory: Path, target: Path) -> None:
    """Write a compact copy of the last commit into a new or empty directory, while the owner goes on.

    Raises:
        ShardError: the target holds files already, or there is no shard.
        ShardFullError: the disk is full.
    """
    with open_beside(directory) as shard:
        shard.copy_to(target)


def compact_shard(directory: Path) -> tuple[int, int]:
    """Give back the free pages of a shard that nobody uses; return its size before and after, in bytes.

    The compact copy takes the place of the data file in one step.

    Raises:
        ShardMissingError: there is no shard.
        ShardOwnedError: a process has the shard open.
        ShardFullError: there is no room for the copy; nothing was changed.
    """
    with shard_errors(directory):
        before = (directory / DATA_FILE).stat().st_size
        ownership = take_ownership(directory)
        try:
            _replace_with_copy(directory, directory / COMPACT_DIRECTORY)
        finally:
            shutil.rmtree(directory / COMPACT_DIRECTORY, ignore_errors=True)
            ownership.release()
        return before, (directory / DATA_FILE).stat().st_size


def _replace_with_copy(directory: Path, fresh: Path) -> None:
    shutil.rmtree(fresh, ignore_errors=True)
    with Shard.open(directory, read_only=True) as shard:
        _refuse_readers(shard)
        shard.copy_to(fresh)
        _refuse_readers(shard)
    move_file(fresh / DATA_FILE, directory / DATA_FILE)
    # The slots of readers and the number of the last commit belong to the file that was there.
    (directory / LOCK_FILE).unlink(missing_ok=True)
    sync_directory(directory)


def _refuse_readers(shard: Shard) -> None:
    others = [str(pid) for pid in sorted(shard.reading_processes()) if pid != os.getpid()]
    if others:
        raise ShardOwnedError(f"shard {shard.directory} is being read by process {', '.join(others)}; end it first")


def _page_count(stat: Any) -> int:
    return int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])

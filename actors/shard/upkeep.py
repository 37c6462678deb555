"""Upkeep of a shard's files: what they take, whether they are whole, copies, and giving back free space.

Everything but `compact_shard` works beside a living owner and leaves it alone. A read holds its snapshot: while it
lasts the owner's file may grow, because freed pages are not used again.
"""

import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.files import move_file, sync_directory
from actors.shard.errors import ShardFormatError, ShardMissingError, ShardOwnedError
from actors.shard.ownership import OWNER_FILE, take_ownership
from actors.shard.shard import DATA_FILE, Shard

LOCK_FILE = "lock.mdb"
"""LMDB's file with the slots of readers."""

COMPACT_DIRECTORY = "compact.part"
"""Directory below the shard in which a compact copy is made; one that was left behind is removed."""

_LOCKS = Path("/proc/locks")
_MAGIC = 0xBEEFC0DE
# A page's header of 16 bytes; magic, version, address, map size; two tables of 48 bytes, the first of which begins with
# the page size; last page, transaction.
_META = struct.Struct("<16x I I Q Q I 44x 48x Q Q")
_META_PAGES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMeta:
    """What LMDB's file says of itself."""

    page_size_bytes: int
    """Bytes of a page."""

    page_count: int
    """Pages up to the last one ever used."""

    map_size_bytes: int
    """Size of the map."""

    transaction_id: int
    """Number of the last commit."""

    @property
    def size_bytes(self) -> int:
        """Bytes that the file must have."""
        return self.page_count * self.page_size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMeasure:
    """What one table takes."""

    name: str
    """Name of the table."""

    entry_count: int
    """Entries in it."""

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
    """Bytes of a page."""

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


def read_file_meta(directory: Path) -> FileMeta:
    """Return what the data file says of itself, without opening it as a map.

    Raises:
        ShardMissingError: there is no shard.
        ShardFormatError: the file is no LMDB file.
    """
    path = directory / DATA_FILE
    try:
        with path.open("rb") as file:
            first = file.read(_META.size)
            page_size = _unpack_meta(first, path)[4]
            file.seek(page_size)
            pages = [first, file.read(_META.size)]
    except FileNotFoundError:
        raise ShardMissingError(f"there is no shard in {directory}; check the path") from None
    newest = max((_unpack_meta(page, path) for page in pages), key=lambda meta: meta[6])
    _, _, _, map_size, page_size, last_page, transaction = newest
    return FileMeta(
        page_size_bytes=page_size, page_count=last_page + 1, map_size_bytes=map_size, transaction_id=transaction
    )


def check_file_length(directory: Path) -> str | None:
    """Return what is wrong with the length of the data file, `None` when nothing is.

    A file that is cut short must not be opened: reading what is missing ends the process.
    """
    meta = read_file_meta(directory)
    size = (directory / DATA_FILE).stat().st_size
    if size >= meta.size_bytes:
        return None
    return f"{DATA_FILE} has {size} bytes and needs {meta.size_bytes}: its end is missing; restore it from a copy"


def open_beside(directory: Path) -> Shard:
    """Open a shard for reading, whoever owns it.

    Raises:
        ShardMissingError: there is no shard.
        ShardFormatError: the data file is no shard, or is cut short.
    """
    fault = check_file_length(directory)
    if fault is not None:
        raise ShardFormatError(f"shard {directory}: {fault}")
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
        ShardOwnedError: a process has the shard open.
        ShardFullError: there is no room for the copy; nothing was changed.
    """
    fault = check_file_length(directory)
    if fault is not None:
        raise ShardFormatError(f"shard {directory}: {fault}")
    fresh = directory / COMPACT_DIRECTORY
    ownership = take_ownership(directory)
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        with Shard.open(directory, read_only=True) as shard:
            _refuse_readers(shard)
            before = (directory / DATA_FILE).stat().st_size
            shard.copy_to(fresh)
            _refuse_readers(shard)
        move_file(fresh / DATA_FILE, directory / DATA_FILE)
        # The slots of readers and the number of the last commit belong to the file that was there.
        (directory / LOCK_FILE).unlink(missing_ok=True)
        sync_directory(directory)
        return before, (directory / DATA_FILE).stat().st_size
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        ownership.release()


def _refuse_readers(shard: Shard) -> None:
    others = [str(pid) for pid in sorted(shard.reading_processes()) if pid != os.getpid()]
    if others:
        raise ShardOwnedError(f"shard {shard.directory} is being read by process {', '.join(others)}; end it first")


def _unpack_meta(page: bytes, path: Path) -> tuple[int, ...]:
    if len(page) < _META.size:
        raise ShardFormatError(f"{path} is cut short to {len(page)} bytes; restore it from a copy")
    meta = _META.unpack(page)
    if meta[0] != _MAGIC:
        raise ShardFormatError(f"{path} is no LMDB file; check the path, or restore it from a copy")
    return meta


def _page_count(stat: Any) -> int:
    return int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])

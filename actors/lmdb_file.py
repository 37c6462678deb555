"""LMDB's data file, looked at before it is mapped: a page that the file lacks would end the process when it is read.

A file begins with two *meta pages*; the one of the newer transaction counts. Every page up to the last one ever used is
in a tree or in the list of free pages, which is a tree too: its values are numbers of pages. LMDB never reads a free
page and need not have written it, so a whole file may end before its last page; what it lacks must be free then.
"""

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

DATA_FILE = "data.mdb"
"""LMDB's file with all tables."""

_MAGIC = 0xBEEFC0DE
# A page's header of 16 bytes; magic, version, address, map size; two trees of 48 bytes, that of free pages first, which
# begins with the page size and ends with its root; last page, transaction.
_META = struct.Struct("<16x I I Q Q I 36x Q 48x Q Q")
_NO_PAGE = (1 << 64) - 1
# A page: its number, unused, kind, end of the places of nodes. A node: low and high half of the size of the value or of
# the page below, the rest of that page or flags, size of the key.
_PAGE = struct.Struct("<Q H H H")
_PAGE_HEADER_BYTES, _BRANCH = 16, 1
_NODE = struct.Struct("<H H H H")
_IS_ELSEWHERE = 1


class DataFileError(Exception):
    """A data file that must not be opened; the message names the file and the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMeta:
    """What LMDB's file says of itself."""

    page_size_bytes: int

    page_count: int
    """Pages up to the last one ever used."""

    map_size_bytes: int

    transaction_id: int
    """Number of the last commit."""

    free_root: int
    """Page where the tree of free pages begins; `_NO_PAGE` when there is none."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the file when all its pages are written."""
        return self.page_count * self.page_size_bytes


def check_data_file(directory: Path) -> None:
    """Refuse the data file of a directory, if there is one, when reading it could end the process or show nothing.

    Call it before every opening of an LMDB environment.

    Raises:
        DataFileError: it is no LMDB file, is empty, or lacks pages that are in use.
        OSError: it cannot be read.
    """
    path = directory / DATA_FILE
    if not path.exists():
        return
    if not path.is_file():
        raise DataFileError(f"{path} is no file; check the path, or restore it from a copy")
    with path.open("rb") as file:
        meta = _read_meta(file, path)
        # Who owns the file may commit meanwhile: only what is wrong in one and the same commit is wrong.
        while not _is_whole(file, meta):
            again = _read_meta(file, path)
            if again == meta:
                size = os.fstat(file.fileno()).st_size
                raise DataFileError(
                    f"{path} has {size} bytes and needs {meta.size_bytes}: its end is missing; restore it from a copy"
                )
            meta = again


def read_file_meta(directory: Path) -> FileMeta:
    """Return what the data file of a directory says of itself, without mapping it.

    Raises:
        DataFileError: it is no LMDB file.
        OSError: it cannot be read.
    """
    path = directory / DATA_FILE
    with path.open("rb") as file:
        return _read_meta(file, path)


def _read_meta(file: BinaryIO, path: Path) -> FileMeta:
    file.seek(0)
    first = file.read(_META.size)
    if not first:
        raise DataFileError(f"{path} is empty; restore it from a copy, or remove it to begin anew")
    page_size = _unpack_meta(first, path)[4]
    file.seek(page_size)
    both = (_unpack_meta(page, path) for page in (first, file.read(_META.size)))
    _, _, _, map_size, page_size, root, last_page, transaction = max(both, key=lambda meta: meta[7])
    return FileMeta(
        page_size_bytes=page_size,
        page_count=last_page + 1,
        map_size_bytes=map_size,
        transaction_id=transaction,
        free_root=root,
    )


def _unpack_meta(page: bytes, path: Path) -> tuple[int, ...]:
    if len(page) < _META.size:
        raise DataFileError(f"{path} is cut short to {path.stat().st_size} bytes; restore it from a copy")
    meta = _META.unpack(page)
    if meta[0] != _MAGIC or meta[4] < _META.size:
        raise DataFileError(f"{path} is no LMDB file; check the path, or restore it from a copy")
    return meta


def _is_whole(file: BinaryIO, meta: FileMeta) -> bool:
    """Return whether the file has every page that is in use."""
    present = os.fstat(file.fileno()).st_size // meta.page_size_bytes
    if present >= meta.page_count:
        return True
    try:
        free = {page for page in _free_pages(file, meta) if present <= page < meta.page_count}
    except (struct.error, RecursionError):
        return False
    return len(free) == meta.page_count - present


def _free_pages(file: BinaryIO, meta: FileMeta) -> Iterator[int]:
    """Yield the numbers in the list of free pages.

    Raises:
        struct.error: the list is not all in the file.
    """

    def read(page: int, size: int) -> bytes:
        return os.pread(file.fileno(), size, page * meta.page_size_bytes) if page < meta.page_count else b""

    for value in _values(read, meta.free_root, meta.page_size_bytes):
        (count,) = struct.unpack_from("<Q", value)
        yield from struct.unpack_from(f"<{min(count, len(value))}Q", value, 8)


def _values(read: Callable[[int, int], bytes], root: int, page_size: int) -> Iterator[bytes]:
    """Yield the values of a tree."""
    if root == _NO_PAGE:
        return
    page = read(root, page_size)
    _, _, kind, nodes_end = _PAGE.unpack_from(page)
    count = (nodes_end - _PAGE_HEADER_BYTES) // 2
    for place in struct.unpack_from(f"<{max(count, 0)}H", page, _PAGE_HEADER_BYTES):
        low, high, flags, key_size = _NODE.unpack_from(page, place)
        start = place + _NODE.size + key_size
        if kind & _BRANCH:
            yield from _values(read, low | high << 16 | flags << 32, page_size)
        elif flags & _IS_ELSEWHERE:
            (elsewhere,) = struct.unpack_from("<Q", page, start)
            yield read(elsewhere, _PAGE_HEADER_BYTES + (low | high << 16))[_PAGE_HEADER_BYTES:]
        else:
            yield page[start : start + (low | high << 16)]

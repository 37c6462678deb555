"""Sealed values: entries of the store's small tables, with a checksum of key and value at their end.

The last four bytes are the CRC-32, little endian, of the key and of all before them. CRC-32 over key and value is then
the same number for every whole entry, so a table is tested without a loop. The byte before them is the head of a
msgpack integer of four bytes, so that the last item of a msgpack map can be its seal.
"""

import gc
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from actors.store.errors import RecordDamagedError

if TYPE_CHECKING:
    from actors.shard import Table, Txn

SEAL_BYTES = 5
"""Bytes that sealing adds."""

_WHOLE = 0x2144DF1C
_INTEGER = b"\xce"


@contextmanager
def bulk_load() -> Iterator[None]:
    """Keep the garbage collector off while hundreds of thousands of tuples are made, none of which is garbage."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def seal(key: bytes, value: bytes) -> bytes:
    """Return a value with its seal."""
    value += _INTEGER
    return value + zlib.crc32(value, zlib.crc32(key)).to_bytes(4, "little")


def seal_pieces(key: bytes, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Yield the pieces of a value, then its seal."""
    checksum = zlib.crc32(key)
    for piece in pieces:
        checksum = zlib.crc32(piece, checksum)
        yield piece
    yield _INTEGER + zlib.crc32(_INTEGER, checksum).to_bytes(4, "little")


def put_sealed(txn: "Txn", table: "Table", keys: Sequence[bytes], values: Sequence[bytes]) -> None:
    """Write entries with their seals; most of it is done by loops in C, since a flush has thousands of them."""
    whole = [value + _INTEGER for value in values]
    sums = map(zlib.crc32, whole, map(zlib.crc32, keys))
    sealed = [value + found.to_bytes(4, "little") for value, found in zip(whole, sums, strict=True)]
    with txn.cursor(table) as cursor:
        cursor.putmulti(list(zip(keys, sealed, strict=True)))


def is_whole(key: bytes, sealed: bytes) -> bool:
    """Return whether key and value fit the seal."""
    return zlib.crc32(sealed, zlib.crc32(key)) == _WHOLE


def unseal(key: bytes, sealed: bytes, name: str) -> bytes:
    """Return a value without its seal; `name` tells people what it is.

    Raises:
        RecordDamagedError: key and value do not fit the seal.
    """
    if not is_whole(key, sealed):
        raise damaged(name)
    return sealed[:-SEAL_BYTES]


def damaged(name: str) -> RecordDamagedError:
    """Return the error about an entry; `name` tells people which."""
    return RecordDamagedError(f"{name} does not fit its checksum; restore the shard from a copy")


def read_table(txn: "Txn", table: "Table") -> tuple[list[bytes], list[bytes]]:
    """Return the keys and the values of a table."""
    with txn.cursor(table) as cursor:
        keys = list(cursor.iternext(keys=True, values=False))
        return keys, list(cursor.iternext(keys=False, values=True))


def find_damaged(keys: Sequence[bytes], sealed: Sequence[bytes]) -> list[int]:
    """Return the positions of the entries that do not fit their seals."""
    sums = list(map(zlib.crc32, sealed, map(zlib.crc32, keys)))
    if sums.count(_WHOLE) == len(sums):
        return []
    return [position for position, found in enumerate(sums) if found != _WHOLE]


def join_values(values: Sequence[bytes], *, is_sealed: bool) -> bytes:
    """Return the values of a table one after the other, without their seals."""
    return b"".join([value[:-SEAL_BYTES] for value in values] if is_sealed else values)


def seal_table(txn: "Txn", table: "Table") -> None:
    """Seal every entry of a table that an earlier format has left without."""
    put_sealed(txn, table, *read_table(txn, table))

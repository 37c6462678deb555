"""Sealed values: what a partition keeps in its own tables, sealed as the store's small tables are, behind a byte.

No value of an earlier version begins with that byte: those are msgpack lists, maps and texts, ids of small splits, or
empty. They have no checksum and are read as they are.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from actors.errors import DamagedEntryError
from actors.store.disk import sealing

SEALED = b"\x02"
"""First byte of a sealed value."""


def seal(key: bytes, value: bytes) -> bytes:
    """Return a value with the checksum of it and its key."""
    return sealing.seal(key, SEALED + value)


def seal_pieces(key: bytes, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Yield what `seal` returns for a value that comes in pieces, a piece at a time."""
    yield from sealing.seal_pieces(key, chain((SEALED,), pieces))


def unseal(key: bytes, stored: bytes) -> bytes:
    """Return the value that was sealed, or that an earlier version has stored.

    Raises:
        DamagedEntryError: key and value do not fit their checksum.
    """
    if stored[:1] != SEALED:
        return stored
    if not sealing.is_whole(key, stored):
        raise damaged(key)
    return stored[1 : -sealing.SEAL_BYTES]


def damaged(key: bytes) -> DamagedEntryError:
    """Return the error about an entry."""
    return DamagedEntryError(
        f"the entry {bytes(key)!r} of a partition does not fit its checksum; restore the shard from a copy, or remove "
        "it so that the partition is made anew from its source"
    )

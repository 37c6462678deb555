"""Sealed values: what a partition keeps in its own tables, with a checksum of key and value in front.

A sealed value begins with a byte that no value of an earlier version begins with: those are msgpack lists, maps and
texts, ids of small splits, or empty. They have no checksum and are read as they are.
"""

import zlib

from actors.errors import DamagedEntryError

SEALED = b"\x02"
"""First byte of a sealed value."""

_HEAD_SIZE = 5


def seal(key: bytes, value: bytes) -> bytes:
    """Return a value with the checksum of it and its key."""
    return SEALED + _checksum(key, value) + value


def unseal(key: bytes, stored: bytes) -> bytes:
    """Return the value that was sealed, or that an earlier version has stored.

    Raises:
        DamagedEntryError: key and value do not fit their checksum.
    """
    if stored[:1] != SEALED:
        return stored
    value = stored[_HEAD_SIZE:]
    if stored[1:_HEAD_SIZE] != _checksum(key, value):
        raise DamagedEntryError(
            f"the entry {bytes(key)!r} of a partition does not fit its checksum; restore the shard from a copy, or "
            "remove it so that the partition is made anew from its source"
        )
    return value


def _checksum(key: bytes, value: bytes) -> bytes:
    return zlib.crc32(value, zlib.crc32(key)).to_bytes(4, "little")

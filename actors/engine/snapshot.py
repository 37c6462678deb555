"""Snapshots of an engine: versioned bytes, equal for equal state.

A snapshot is a msgpack list: magic text, format version, engine fingerprint, checksum of the body, body. The body is a
msgpack list of counters, keys and the state's arrays. Integer arrays are stored in the fewest bytes that hold their
range; the body is compressed.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from actors.engine.errors import EngineSnapshotError
from actors.engine.vectors import Array

MAGIC = "tocsin-engine"
VERSION = 1

Parts = dict[str, dict[str, Array]]


def encode_snapshot(fingerprint: str, counts: Mapping[str, int], keys: list[list[Any]], parts: Parts) -> bytes:
    """Return the bytes of a state."""
    arrays = {part: {name: _encode(array) for name, array in arrays.items()} for part, arrays in parts.items()}
    body: bytes = zlib.compress(msgpack.packb([dict(counts), keys, arrays]), 1)
    packed: bytes = msgpack.packb([MAGIC, VERSION, fingerprint, zlib.crc32(body), body])
    return packed


def decode_snapshot(snapshot: bytes, fingerprint: str) -> tuple[dict[str, int], list[list[Any]], Parts]:
    """Return the state in the bytes of a snapshot.

    Raises:
        EngineSnapshotError: the bytes are torn, foreign, or of an engine with other settings.
    """
    try:
        magic, version, written_by, checksum, body = msgpack.unpackb(snapshot)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException):
        raise EngineSnapshotError("these bytes are no engine snapshot, or only a part of one") from None
    if magic != MAGIC:
        raise EngineSnapshotError(f"these bytes are no engine snapshot; they begin with {magic!r}")
    if version != VERSION:
        raise EngineSnapshotError(f"the snapshot has format {version}, this engine reads format {VERSION}")
    if zlib.crc32(body) != checksum:
        raise EngineSnapshotError("the snapshot is damaged: its checksum does not fit; use an older one")
    if written_by != fingerprint:
        raise EngineSnapshotError(
            "the snapshot is of an engine with other metrics, keys, window or schema; restore those or remove it",
            "foreign_snapshot",
        )
    counts, keys, arrays = msgpack.unpackb(zlib.decompress(body), strict_map_key=False)
    parts = {part: {name: _decode(array) for name, array in given.items()} for part, given in arrays.items()}
    return counts, keys, parts


def _encode(array: Array) -> list[Any]:
    if array.dtype == np.object_:
        return ["text", array.tolist()]
    if array.dtype == np.bool_:
        return ["bool", len(array), np.packbits(array).tobytes()]
    if array.dtype == np.int64 and len(array):
        low, high = int(array.min()), int(array.max())
        width = next(w for w in (1, 2, 4, 8) if high - low < 1 << (8 * w))
        moved = (array.view(np.uint64) - np.uint64(low & 0xFFFFFFFFFFFFFFFF)).astype(f"<u{width}")
        return ["int", low, width, moved.tobytes()]
    return [array.dtype.newbyteorder("<").str, array.tobytes()]


def _decode(given: list[Any]) -> Array:
    if given[0] == "text":
        return np.array(given[1], dtype=object)
    if given[0] == "bool":
        return np.unpackbits(np.frombuffer(given[2], dtype=np.uint8), count=given[1]).astype(np.bool_)
    if given[0] == "int":
        moved = np.frombuffer(given[3], dtype=f"<u{given[2]}").astype(np.uint64)
        return (moved + np.uint64(given[1] & 0xFFFFFFFFFFFFFFFF)).view(np.int64)
    return np.frombuffer(given[1], dtype=given[0]).copy()

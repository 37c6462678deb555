"""Snapshots of an engine: versioned bytes, equal for equal state.

A snapshot is a msgpack list: magic text, format version, engine fingerprint, checksum of the body, body. The body is a
msgpack list of counters, keys and the state's arrays, each of them packed by itself.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import polars as pl

from actors.engine.errors import EngineSnapshotError, shown
from actors.engine.vectors.packing import pack, pack_series, unpack, unpack_series
from actors.engine.vectors.vector import Array

MAGIC = "tocsin-engine"
VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """The whole state of an engine."""

    counts: Mapping[str, int]
    keys: Sequence[pl.Series]
    """The values of every part of the keys, in number order."""

    parts: Mapping[str, dict[str, Array]]
    """Arrays by part and name."""


def encode_snapshot(fingerprint: str, state: EngineState) -> bytes:
    """Return the bytes of a state."""
    arrays = {part: {name: pack(array) for name, array in arrays.items()} for part, arrays in state.parts.items()}
    body: bytes = msgpack.packb([dict(state.counts), [pack_series(values) for values in state.keys], arrays])
    packed: bytes = msgpack.packb([MAGIC, VERSION, fingerprint, zlib.crc32(body), body])
    return packed


def decode_snapshot(snapshot: Any, fingerprint: str) -> EngineState:
    """Return the state in the bytes of a snapshot.

    Raises:
        EngineSnapshotError: the bytes are torn, foreign, or of an engine with other settings.
    """
    try:
        magic, version, written_by, checksum, body = msgpack.unpackb(snapshot)
    except Exception:
        raise EngineSnapshotError("these bytes are no engine snapshot, or only a part of one") from None
    if magic != MAGIC:
        raise EngineSnapshotError(f"these bytes are no engine snapshot; they begin with {shown(magic)}")
    if version != VERSION:
        raise EngineSnapshotError(
            f"the snapshot has format {shown(version)}, this engine reads format {VERSION}; restore it with the version"
            " of Tocsin that wrote it, or remove it and read the rows again"
        )
    if not isinstance(body, bytes) or zlib.crc32(body) != checksum:
        raise EngineSnapshotError("the snapshot is damaged: its checksum does not fit; use an older one")
    if written_by != fingerprint:
        raise EngineSnapshotError(
            "the snapshot is of an engine with other metrics, keys, window or schema; restore those or remove it",
            "foreign_snapshot",
        )
    try:
        counts, keys, arrays = msgpack.unpackb(body, strict_map_key=False)
        parts = {part: {name: unpack(array) for name, array in given.items()} for part, given in arrays.items()}
        return EngineState(counts=counts, keys=[unpack_series(values) for values in keys], parts=parts)
    except Exception as error:
        raise EngineSnapshotError(f"the snapshot does not hold a state: {error}; use an older one") from error

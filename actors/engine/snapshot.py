"""Snapshots of an engine: versioned bytes, equal for equal state.

A snapshot is a msgpack list: magic text, format version, engine fingerprint, checksum of the body, body. The body is a
msgpack list of counters, keys and the state's arrays, each of them packed by itself.
"""

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import polars as pl

from actors.engine.errors import EngineSnapshotError, shown
from actors.engine.vectors.packing import Pieces, pack, pack_series, unpack, unpack_series
from actors.engine.vectors.vector import Array

MAGIC = "tocsin-engine"
VERSION = 2

Piece = bytes | memoryview
"""Some of the bytes of a snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """The whole state of an engine."""

    counts: Mapping[str, int]
    keys: Sequence[pl.Series]
    """The values of every part of the keys, in number order."""

    parts: Mapping[str, dict[str, Array]]
    """Arrays by part and name."""


class Capture(ABC):
    """A state at one moment, which is made bytes of later."""

    @abstractmethod
    def pieces(self) -> Iterator[Piece]:
        """Yield the bytes in pieces, some of them empty; between two a caller may rest."""


class WholeCapture(Capture):
    """A state that is bytes already."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def pieces(self) -> Iterator[Piece]:
        """Yield the bytes."""
        yield self._data


class EngineCapture(Capture):
    """The state of an engine at one moment: made between two batches, and bytes beside those that follow."""

    def __init__(self, fingerprint: str, state: EngineState) -> None:
        self._fingerprint = fingerprint
        self._state = state

    def pieces(self) -> Iterator[Piece]:
        """Yield the bytes of the snapshot; the checksum of all comes first, so most of the work is done before it."""
        packer = msgpack.Packer()
        body: list[Piece] = []
        for piece in self._body(packer):
            body.append(piece)
            yield b""
        checksum = 0
        for piece in body:
            checksum = zlib.crc32(piece, checksum)
        head = [MAGIC, VERSION, self._fingerprint, checksum]
        yield packer.pack_array_header(len(head) + 1) + b"".join(map(packer.pack, head))
        yield bytes_head(sum(map(len, body)))
        yield from body

    def _body(self, packer: msgpack.Packer) -> Iterator[Piece]:
        state = self._state
        yield packer.pack_array_header(3) + packer.pack(dict(state.counts))
        yield packer.pack_array_header(len(state.keys))
        for values in state.keys:
            yield from pieces_of(packer, pack_series(values))
        yield packer.pack_map_header(len(state.parts))
        for part, arrays in state.parts.items():
            yield packer.pack(part) + packer.pack_map_header(len(arrays))
            for name, array in arrays.items():
                yield packer.pack(name)
                yield from pieces_of(packer, pack(array))


def pieces_of(packer: msgpack.Packer, value: Any) -> Iterator[Piece]:
    """Yield what msgpack makes of a value, with bytes as they are: a copy would keep other threads waiting."""
    if isinstance(value, list):
        yield packer.pack_array_header(len(value))
        for part in value:
            yield from pieces_of(packer, part)
    elif isinstance(value, bytes):
        yield bytes_head(len(value))
        yield value
    elif isinstance(value, Pieces):
        yield bytes_head(sum(map(len, value)))
        yield from value
    else:
        yield packer.pack(value)


def bytes_head(size_bytes: int) -> bytes:
    """Return what msgpack puts before so many bytes."""
    for code, form, limit in ((0xC4, ">BB", 1 << 8), (0xC5, ">BH", 1 << 16), (0xC6, ">BI", 1 << 32)):
        if size_bytes < limit:
            return struct.pack(form, code, size_bytes)
    raise EngineSnapshotError(f"a state of {size_bytes} bytes is too large for a snapshot; use more partitions")


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

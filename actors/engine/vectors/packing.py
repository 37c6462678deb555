"""Arrays and texts as few bytes, equal for equal values.

Numbers are stored as *planes*: the lowest byte of each, then the second byte of each, and so on, because bytes of one
plane are alike. Planes are deflated with a Huffman code and at most runs, which is fast and looks for no repetitions;
planes of noise, such as the lowest bytes of real numbers, are stored as they are, and texts of different lengths are
deflated in the usual way. Whole numbers are stored as differences from the lowest one,
in the fewest bytes, and real numbers that have up to four decimals as whole numbers.
"""

import struct
import zlib
from typing import Any

import numpy as np
import polars as pl

from actors.engine.vectors.vector import Array

DECIMALS_MAX = 4
"""Real numbers with more decimals than this are stored as they are."""

_SAMPLE_SIZE = 1000
"""Values that show whether it is worth while to look at all."""

_LONG_PLANE_BYTES = 1 << 14
"""Shortest plane that is looked at by itself."""

_NOISE_BYTES = 1 << 11
"""Length of each of the three pieces of a plane by which it is judged."""

_FORM = zlib.DEFLATED, -zlib.MAX_WBITS, 8
"""Method, window (without a head) and memory of all that is deflated."""

_BLOCK_HEAD = struct.Struct("<BHH")
"""Head of a block of a deflated text that is only stored: 0, length, length with all bits turned."""

_STORED_BYTES_MAX = (1 << 16) - 1
"""Most bytes of a block of a deflated text that is only stored."""

_END = b"\x03\0"
"""The last block of a deflated text, which is empty."""

_EXACT_MAX = float(1 << 52)
"""Largest whole number that a decimal is stored as."""


class Pieces(tuple[bytes | memoryview, ...]):
    """Bytes in pieces, which stand one after the other."""

    __slots__ = ()


def pack(array: Array) -> list[Any]:
    """Return an array of truth values, integers, real numbers or texts in a form that msgpack takes."""
    if array.dtype == np.object_:
        return pack_series(pl.Series(array.tolist(), dtype=pl.String))
    if array.dtype == np.bool_:
        return ["bool", len(array), _deflated(np.packbits(array).tobytes(), zlib.Z_RLE)]
    if array.dtype == np.int64:
        return ["int", *_pack_whole(array)]
    assert array.dtype == np.float64
    for digits in range(DECIMALS_MAX + 1):
        whole = _as_decimals(array, digits)
        if whole is not None:
            return ["decimal", digits, *_pack_whole(whole)]
    return ["real", len(array), _packed_planes(array.view(np.uint64), 8)]


def unpack(packed: list[Any]) -> Array:
    """Return the array that `pack` was given."""
    kind, *rest = packed
    if kind == "text":
        return np.array(unpack_series(packed).to_list(), dtype=object)
    if kind == "bool":
        return np.unpackbits(np.frombuffer(_inflated(rest[1]), dtype=np.uint8), count=rest[0]).astype(np.bool_)
    if kind == "int":
        return _unpack_whole(*rest)
    if kind == "decimal":
        real: Array = _unpack_whole(*rest[1:]) / 10.0 ** rest[0]
        return real
    return _from_planes(_inflated(rest[1]), rest[0], 8).view(np.float64)


def pack_series(values: pl.Series) -> list[Any]:
    """Return texts or whole numbers, some of which may be NULL, in a form that msgpack takes."""
    missing = pack(values.is_null().to_numpy()) if values.null_count() else None
    if values.dtype != pl.String:
        return ["whole", pack(values.fill_null(0).to_numpy()), missing]
    texts = values.fill_null("") if missing else values
    lengths = texts.str.len_bytes().to_numpy().astype(np.int64)
    joined = (texts.str.join().item() or "").encode()
    if _are_equal(lengths):
        table = np.frombuffer(joined, dtype=np.uint8).reshape(len(lengths), int(lengths[0]))
        body = _deflated(table.T.tobytes(), zlib.Z_RLE)
    else:
        body = _deflated(joined, zlib.Z_DEFAULT_STRATEGY)
    return ["text", _pack_whole(lengths), body, missing]


def unpack_series(packed: list[Any]) -> pl.Series:
    """Return the values that `pack_series` was given."""
    if packed[0] == "whole":
        values = pl.Series(unpack(packed[1]))
    else:
        values = _cut(_inflated(packed[2]), _unpack_whole(*packed[1]))
    return values if packed[3 if packed[0] == "text" else 2] is None else _with_nulls(values, unpack(packed[-1]))


def _with_nulls(values: pl.Series, missing: Array) -> pl.Series:
    return values.scatter(np.flatnonzero(missing), None)


def _cut(body: bytes, lengths: Array) -> pl.Series:
    """Return the texts in bytes, by way of lines, which Polars cuts fastest."""
    if b"\n" in body:
        return _cut_slowly(body, lengths)
    letters = np.frombuffer(body, dtype=np.uint8)
    if _are_equal(lengths):
        table = np.full((len(lengths), int(lengths[0]) + 1), ord("\n"), dtype=np.uint8)
        table[:, :-1] = letters.reshape(-1, len(lengths)).T
        lines = table.reshape(-1)
    else:
        lines = np.full(len(body) + len(lengths), ord("\n"), dtype=np.uint8)
        lines[np.arange(len(body)) + np.repeat(np.arange(len(lengths)), lengths)] = letters
    return pl.Series([lines.tobytes().decode()], dtype=pl.String).str.split("\n").explode()[: len(lengths)]


def _cut_slowly(body: bytes, lengths: Array) -> pl.Series:
    if _are_equal(lengths):
        body = np.frombuffer(body, dtype=np.uint8).reshape(-1, len(lengths)).T.tobytes()
    stops = np.cumsum(lengths)
    texts = [body[a:b].decode() for a, b in zip((stops - lengths).tolist(), stops.tolist(), strict=True)]
    return pl.Series(texts, dtype=pl.String)


def _are_equal(lengths: Array) -> bool:
    """Return whether texts are stored as planes: there are some, and all are of one length."""
    return len(lengths) > 0 and bool((lengths == lengths[0]).all())


def _as_decimals(values: Array, digits: int) -> Array | None:
    """Return real numbers times a power of ten if they are whole numbers then, and come back exactly."""
    scale = 10.0**digits
    for part in (values[:_SAMPLE_SIZE], values):
        with np.errstate(all="ignore"):
            scaled = np.rint(part * scale)
        if not (np.abs(scaled) < _EXACT_MAX).all():
            return None
        whole: Array = scaled.astype(np.int64)
        if not ((whole / scale).view(np.int64) == part.view(np.int64)).all():
            return None
    return whole


def _pack_whole(values: Array) -> list[Any]:
    """Return number of values, lowest one, bytes of each difference from it, and the differences."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    width = ((high - low).bit_length() + 7) // 8
    above = values.view(np.uint64) - np.uint64(low & 0xFFFFFFFFFFFFFFFF)
    return [len(values), low, width, _packed_planes(above, width)]


def _unpack_whole(count: int, low: int, width: int, packed: bytes) -> Array:
    above = _from_planes(_inflated(packed), count, width)
    result: Array = (above + np.uint64(low & 0xFFFFFFFFFFFFFFFF)).view(np.int64)
    return result


def _from_planes(planes: bytes, count: int, width: int) -> Array:
    table = np.zeros((count, 8), dtype=np.uint8)
    table[:, :width] = np.frombuffer(planes, dtype=np.uint8).reshape(width, count).T
    return table.reshape(-1).view("<u8").astype(np.uint64, copy=False)


def _packed_planes(values: Array, width: int) -> bytes | Pieces:
    """Return the lowest `width` bytes of each value as one deflated text, in which long planes of noise are stored."""
    count = len(values)
    # A row for each plane. A copy by numpy lets other threads go on, as `tobytes` does not.
    planes = np.empty((width, count), np.uint8)
    planes[:] = values.astype("<u8", copy=False).view(np.uint8).reshape(-1, 8)[:, :width].T
    if count < _LONG_PLANE_BYTES or not width:
        return _deflated(planes.reshape(-1).data, zlib.Z_RLE)
    parts: list[bytes | memoryview] = []
    stored = _Stored(width * count)
    for plane in planes:
        strategy = _strategy(plane)
        if strategy is None:
            stored.add(plane)
        else:
            deflater = zlib.compressobj(1, *_FORM, strategy)
            # What is flushed so can be followed by what another one makes.
            parts += (stored.taken(), deflater.compress(plane.data))
            parts.append(deflater.flush(zlib.Z_FULL_FLUSH))
    return Pieces((*parts, stored.taken(), _END))


class _Stored:
    """Planes as blocks of a deflated text that are only stored, in one piece, without the copies that zlib makes."""

    def __init__(self, size_bytes: int) -> None:
        self._bytes = np.empty(size_bytes + _BLOCK_HEAD.size * (size_bytes // _LONG_PLANE_BYTES + 1), np.uint8)
        self._memory = self._bytes.data
        self._taken = self._end = 0

    def add(self, plane: Array) -> None:
        """Add a plane."""
        for start in range(0, len(plane), _STORED_BYTES_MAX):
            part = plane[start : start + _STORED_BYTES_MAX]
            _BLOCK_HEAD.pack_into(self._memory, self._end, 0, len(part), len(part) ^ 0xFFFF)
            begin = self._end + _BLOCK_HEAD.size
            self._end = begin + len(part)
            self._bytes[begin : self._end] = part

    def taken(self) -> memoryview:
        """Return what was added since this was called before."""
        begin, self._taken = self._taken, self._end
        return self._memory[begin : self._end]


def _strategy(plane: Array) -> int | None:
    """Return how to deflate a plane, judged by some of it; `None`: it would not become shorter.

    Where there are few runs, not to look for them takes two thirds of the time.
    """
    middle = len(plane) // 2
    parts = plane[:_NOISE_BYTES], plane[middle : middle + _NOISE_BYTES], plane[-_NOISE_BYTES:]
    sample = np.concatenate(parts).data
    with_runs = len(_deflated(sample, zlib.Z_RLE))
    if with_runs > 0.97 * len(sample):
        return None
    without = len(_deflated(sample, zlib.Z_HUFFMAN_ONLY))
    return zlib.Z_RLE if without > 1.02 * with_runs else zlib.Z_HUFFMAN_ONLY


def _deflated(data: bytes | memoryview, strategy: int) -> bytes:
    deflater = zlib.compressobj(1, *_FORM, strategy)
    return deflater.compress(data) + deflater.flush()


def _inflated(data: bytes | Pieces) -> bytes:
    if isinstance(data, Pieces):
        data = b"".join(data)
    return zlib.decompress(data, -zlib.MAX_WBITS)

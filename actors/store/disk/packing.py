"""Packing of arrays: to few bytes, each array by itself, so that one of many is read without the others.

A packed array is a small list (the *form*, msgpack) and bytes in a *section* that many arrays share. Integers are
distances from the least value, or from value to value, in as few bytes as they need; floats that are decimal numbers
of a few places are integers too. The bytes of wider numbers are split into *planes* (all first bytes, all second
bytes...); planes that look random are kept as they are, the others are deflated together. All arithmetic on integers
is modulo 2^64.
"""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from actors.store.errors import BlockDamagedError
from actors.store.events.columns import Array

CONSTANT, DISTANCES, STEPS, DECIMAL, BITS = 0, 1, 2, 3, 4
"""First item of a form of numbers: one value, distances from the least, from the one before, decimals, float bits."""

UNSPLIT = -1
"""In place of the deflated planes: the numbers stand one after the other."""

DECIMAL_PLACES_MAX = 6
"""Digits behind the point up to which floats are tried as integers."""

SAMPLE_COUNT = 16
"""Values that are tried first, before all are."""

_MASK = (1 << 64) - 1
_LEVEL = 1
_EXACT_MAX = float(1 << 53)
_DEFLATE_SIZE_MIN = 48
_RANDOM_EXCESS = 1.6

Form = list[Any]
"""What is needed to unpack an array, beside its bytes."""


class SectionWriter:
    """Collects the bytes of arrays."""

    def __init__(self, *, deflates: bool = True) -> None:
        self.deflates = deflates
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> Form:
        """Add bytes and return place, length and checksum."""
        place = [self._size, len(data), zlib.crc32(data)]
        self._parts.append(data)
        self._size += len(data)
        return place

    def to_bytes(self) -> bytes:
        """Return everything added."""
        return b"".join(self._parts)


class Section:
    """The bytes of arrays, as read."""

    def __init__(self, data: bytes | memoryview, damage: Callable[[], BlockDamagedError]) -> None:
        """Take the bytes; `damage` makes the error about bytes that do not fit their checksum."""
        self._data = data
        self._damage = damage

    def part(self, place: Form) -> bytes | memoryview:
        """Return the bytes at a place.

        Raises:
            BlockDamagedError: they do not fit their checksum.
        """
        start, length, checksum = place[:3]
        part = self._data[start : start + length]
        if zlib.crc32(part) != checksum:
            raise self._damage()
        return part


def pack_integers(values: Array, writer: SectionWriter) -> Form:
    """Pack integers of 64 bits, at least one."""
    values = values.view(np.int64)
    least = int(values.min())
    width = _width(int(values.max()) - least)
    if not width:
        return [CONSTANT, least]
    # From each value to the next, modulo 2^64, one fewer than values.
    steps = np.subtract(values[1:].view(np.uint64), values[:-1].view(np.uint64)).view(np.int64)
    least_step = int(steps.min())
    step_width = _width(int(steps.max()) - least_step)
    if step_width < width:
        form: Form = [STEPS, int(values[0]), least_step, step_width]
        return [*form, *_pack_words(steps.view(np.uint64) - np.uint64(least_step & _MASK), step_width, writer)]
    distances = values.view(np.uint64) - np.uint64(least & _MASK)
    return [DISTANCES, least, width, *_pack_words(distances, width, writer)]


def unpack_integers(form: Form, count: int, section: Section) -> Array:
    """Return integers that were packed, as int64."""
    kind = form[0]
    if kind == CONSTANT:
        return np.full(count, form[1], dtype=np.int64)
    if kind == DISTANCES:
        values = _unpack_words(form[2], form[3:], count, section)
        values += np.uint64(form[1] & _MASK)
        return values.view(np.int64)
    values = np.empty(count, dtype=np.uint64)
    values[0] = np.uint64(form[1] & _MASK)
    if form[3]:
        np.add(_unpack_words(form[3], form[4:], count - 1, section), np.uint64(form[2] & _MASK), out=values[1:])
    else:
        values[1:] = np.uint64(form[2] & _MASK)
    return np.cumsum(values, dtype=np.uint64, out=values).view(np.int64)


def pack_floats(bits: Array, writer: SectionWriter) -> Form:
    """Pack 64-bit floats, at least one, given as their bits; any bits come back."""
    first = int(bits[0])
    if bool((bits == bits[0]).all()):
        return [CONSTANT, first]
    places = None
    if _are_decimal(bits[:SAMPLE_COUNT], DECIMAL_PLACES_MAX):
        places = next((one for one in range(DECIMAL_PLACES_MAX + 1) if _are_decimal(bits, one)), None)
    if places is not None:
        return [DECIMAL, places, *pack_integers(_as_decimals(bits, places), writer)]
    return [BITS, *_pack_words(bits, 8, writer)]


def unpack_floats(form: Form, count: int, section: Section) -> Array:
    """Return floats that were packed."""
    if form[0] == CONSTANT:
        return np.full(count, form[1], dtype=np.uint64).view(np.float64)
    if form[0] == DECIMAL:
        values: Array = unpack_integers(form[2:], count, section) / 10.0 ** form[1]
        return values
    return _unpack_words(8, form[1:], count, section).view(np.float64)


def pack_bytes(data: bytes, writer: SectionWriter) -> Form:
    """Pack bytes: place, length, checksum, and whether they are deflated."""
    if writer.deflates and len(data) >= _DEFLATE_SIZE_MIN:
        deflated = zlib.compress(data, _LEVEL)
        if len(deflated) < len(data):
            return [*writer.add(deflated), True]
    return [*writer.add(data), False]


def unpack_bytes(form: Form, section: Section) -> bytes:
    """Return bytes that were packed."""
    data = section.part(form)
    return zlib.decompress(data) if form[3] else bytes(data)


def _are_decimal(bits: Array, places: int) -> bool:
    """Return whether all floats are exactly what as many places behind the point say."""
    if not bool((np.abs(bits.view(np.float64)) < _EXACT_MAX).all()):
        return False
    again: Array = _as_decimals(bits, places) / 10.0**places
    return bool((again.view(np.uint64) == bits).all())


def _as_decimals(bits: Array, places: int) -> Array:
    scaled = np.rint(bits.view(np.float64) * 10.0**places)
    # Beyond 53 bits integers have gaps; such values fail the comparison that follows.
    return np.clip(scaled, -_EXACT_MAX, _EXACT_MAX).astype(np.int64)


def _width(spread: int) -> int:
    return 0 if not spread else (spread.bit_length() + 7) // 8


def _pack_words(words: Array, width: int, writer: SectionWriter) -> Form:
    """Pack the lowest `width` bytes of each word: place, length, checksum, which planes are deflated."""
    count = len(words)
    if not writer.deflates or count * width < _DEFLATE_SIZE_MIN:
        return [*writer.add(_lowest_bytes(words, width)), UNSPLIT]
    # A row for each byte of the numbers, the lowest first, a column for each number.
    planes = words.astype("<u8", copy=False).view(np.uint8).reshape(count, 8)[:, :width].T
    planes = np.ascontiguousarray(planes)
    chosen = _compressible(planes)
    deflated = zlib.compress(planes[chosen].tobytes(), _LEVEL) if chosen.any() else b""
    if not chosen.any() or len(deflated) >= count * int(np.count_nonzero(chosen)):
        return [*writer.add(_lowest_bytes(words, width)), UNSPLIT]
    data = deflated + planes[~chosen].tobytes()
    return [*writer.add(data), int(np.packbits(chosen, bitorder="little")[0])]


def _unpack_words(width: int, place: Form, count: int, section: Section) -> Array:
    data = section.part(place)
    if place[3] == UNSPLIT and width in (1, 2, 4, 8):
        return np.frombuffer(data, f"<u{width}").astype(np.uint64)
    # The bytes of each number, the lowest first; those beyond `width` stay 0.
    words = np.zeros((count, 8), dtype=np.uint8)
    if place[3] == UNSPLIT:
        words[:, :width] = np.frombuffer(data, np.uint8).reshape(count, width)
        return words.view("<u8").ravel().astype(np.uint64, copy=False)
    inflater = zlib.decompressobj()
    deflated, kept = memoryview(inflater.decompress(data)), memoryview(inflater.unused_data)
    for plane in range(width):
        source = deflated if place[3] >> plane & 1 else kept
        words[:, plane] = np.frombuffer(source[:count], np.uint8)
        if source is deflated:
            deflated = deflated[count:]
        else:
            kept = kept[count:]
    return words.view("<u8").ravel().astype(np.uint64, copy=False)


def _lowest_bytes(words: Array, width: int) -> bytes:
    if width in (1, 2, 4, 8):
        return words.astype(f"<u{width}").tobytes()
    return words.astype("<u8", copy=False).view(np.uint8).reshape(len(words), 8)[:, :width].tobytes()


def _compressible(planes: Array) -> Array:
    """Return which planes do not look random: some bytes occur more often than chance has it."""
    width, count = planes.shape
    # Bytes of plane n become numbers from 256 n on, so that one count tells how often each byte is in each plane.
    kinds = planes + (np.arange(width) << 8)[:, None]
    frequencies = np.bincount(kinds.ravel(), minlength=width << 8).reshape(width, 256)
    # Equal pairs among random bytes: one in 256.
    pairs = (frequencies * (frequencies - 1)).sum(axis=1)
    chosen: Array = pairs > _RANDOM_EXCESS * count * (count - 1) / 256
    return chosen

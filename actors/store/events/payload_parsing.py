"""Parsing of many payloads at once: from msgpack maps of one layout to an array per field.

Payloads of one stream mostly have the same keys in the same order, each with a plain value. A cursor per row walks over
them, field by field, with a few array operations for all rows together. Rows that do not fit (nested values, other
keys, integers from 2^63, 32-bit floats) are left to the caller as bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actors.store.events.columns import Array

NULL, FALSE, TRUE, INTEGER, FLOAT, TEXT = 1, 2, 3, 4, 5, 6
"""Tags: what kind of value a row has in a field."""

KEY_BYTES_MAX = 512
"""Bytes of an encoded key up to which a payload is parsed."""

FIELDS_MAX = 1024
"""Keys of a payload up to which it is parsed."""

_PAD = bytes(KEY_BYTES_MAX + 16)
_ALL_BITS = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field:
    """The values of one field; an array stands for a value in every row, and is `None` when no row has its kind."""

    key: bytes
    """The key as msgpack."""

    tags: Array
    """Which kind of value each row has."""

    integers: Array | None
    """Values of rows with integers, int64."""

    floats: Array | None
    """Values of rows with floats, as the bits of a 64-bit float, uint64."""

    starts: Array | None
    """Where the bytes of rows with text begin."""

    lengths: Array | None
    """How many bytes that are."""

    def picked(self, which: Array | slice) -> "Field":
        """Return some of the rows."""
        return Field(
            key=self.key,
            tags=self.tags[which],
            integers=None if self.integers is None else self.integers[which],
            floats=None if self.floats is None else self.floats[which],
            starts=None if self.starts is None else self.starts[which],
            lengths=None if self.lengths is None else self.lengths[which],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """Bytes that can be read one by one, and eight at a time from any place."""

    raw: bytes
    """The bytes, and some more, so that what stands at their end can be read eight at a time too."""

    data: Array
    """The same as numbers."""

    words: Array
    """At each place the eight bytes from there, little endian."""

    @classmethod
    def of(cls, data: bytes) -> "Buffer":
        """Return a buffer over a copy of some bytes."""
        raw = data + _PAD
        words: Array = np.ndarray((len(raw) - 7,), dtype="<u8", buffer=raw, strides=(1,))
        return cls(raw, np.frombuffer(raw, dtype=np.uint8), words)


def parse_rows(buffer: Buffer, begins: Array, ends: Array, keys: Sequence[bytes]) -> tuple[Array, list[Field]]:
    """Return the positions of the payloads that are maps of exactly those keys with plain values, and their fields."""
    head = _map_head(len(keys))
    # Only maps of as many keys are walked over: one long payload must not cost its length in every row.
    rows = np.flatnonzero(buffer.words[begins] & _low_bits(len(head)) == int.from_bytes(head, "little"))
    if len(rows) < len(begins):
        begins, ends = begins[rows], ends[rows]
    # For each row the place of the next key or value, and whether all before it was as wanted. Rows that do not fit
    # stay at the end of their payload, so that no place is beyond the buffer; what is read there means nothing.
    at = np.minimum(begins + len(head), ends)
    fits = np.ones(len(rows), dtype=bool)
    fields = []
    for key in keys:
        fits &= _has_key(buffer, at, key)
        at = np.minimum(at + len(key), ends)
        field, size = _read_values(buffer, at, key)
        fits &= (field.tags != 0) & (at + size <= ends)
        at = np.where(fits, at + size, ends)
        fields.append(field)
    fits &= at == ends
    return (rows, fields) if fits.all() else (rows[fits], [field.picked(fits) for field in fields])


def keys_of(payload: bytes) -> list[bytes] | None:
    """Return the encoded keys of a map of plain values, `None` when it is anything else."""
    if not payload:
        return None
    first = payload[0]
    if first & 0xF0 == 0x80:
        count, at = first & 0x0F, 1
    elif first == 0xDE and len(payload) >= 3:
        count, at = int.from_bytes(payload[1:3], "big"), 3
    else:
        return None
    if not 0 < count <= FIELDS_MAX:
        return None
    keys = []
    for _ in range(count):
        key = _text_span(payload, at) if at < len(payload) else None
        if key is None or key > KEY_BYTES_MAX or at + key >= len(payload):
            return None
        keys.append(payload[at : at + key])
        code = payload[at + key]
        value = int(_SIZES[code]) or _text_span(payload, at + key) or 0
        if not value:
            return None
        at += key + value
    return keys if at == len(payload) and len(set(keys)) == count else None


def _has_key(buffer: Buffer, at: Array, key: bytes) -> Array:
    fits = np.ones(len(at), dtype=bool)
    for start in range(0, len(key), 8):
        piece = key[start : start + 8]
        words = buffer.words[at + start]
        if len(piece) < 8:
            words &= _low_bits(len(piece))
        fits &= words == np.uint64(int.from_bytes(piece, "little"))
    return fits


def _read_values(buffer: Buffer, at: Array, key: bytes) -> tuple[Field, Array]:
    """Return the values that begin at some places and how many bytes they take."""
    codes = buffer.data[at]
    if (codes == codes[:1]).all():
        # Mostly they are alike: then arrays that only depend on the code have one item, which stands for all rows.
        codes = codes[:1]
    tags = _TAGS[codes]
    sizes = _SIZES[codes]
    present = np.bincount(tags, minlength=7)
    integers = floats = starts = lengths = None
    words = buffer.words[at + 1].byteswap() if present[INTEGER:].any() else None
    if words is not None and present[INTEGER]:
        integers = _integers(codes, words)
        huge = (codes == 0xCF) & (integers < 0)
        if huge.any():
            tags = np.where(huge, np.uint8(0), tags)
    if words is not None and present[FLOAT]:
        floats = words
    if words is not None and present[TEXT]:
        heads = _HEADS[codes]
        lengths = np.where(heads == 1, codes & 0x1F, words >> _SHIFTS[codes]).astype(np.int64)
        starts = at + heads
        sizes = np.where(tags == TEXT, heads + lengths, sizes)
    if len(tags) < len(at):
        tags = np.full(len(at), tags[0])
    field = Field(key=key, tags=tags, integers=integers, floats=floats, starts=starts, lengths=lengths)
    return field, sizes


def _integers(codes: Array, words: Array) -> Array:
    shifts = _SHIFTS[codes]
    values = (words >> shifts).view(np.int64)
    signed = _IS_SIGNED[codes]
    if signed.any():
        values = np.where(signed, words.view(np.int64) >> shifts.view(np.int64), values)
    small = _IS_SMALL[codes]
    if small.any():
        values = np.where(small, codes.view(np.int8), values)
    return values


def _map_head(count: int) -> bytes:
    return bytes([0x80 | count]) if count < 16 else b"\xde" + count.to_bytes(2, "big")


def _low_bits(byte_count: int) -> np.uint64:
    return np.uint64(_ALL_BITS >> (64 - 8 * byte_count))


def _text_span(payload: bytes, at: int) -> int | None:
    """Return the bytes of a text that begins at a place, its head included; `None` when there is none."""
    first = payload[at]
    if first & 0xE0 == 0xA0:
        return 1 + (first & 0x1F)
    if first not in (0xD9, 0xDA, 0xDB):
        return None
    width = 1 << (first - 0xD9)
    return 1 + width + int.from_bytes(payload[at + 1 : at + 1 + width], "big")


def _tables() -> tuple[Array, Array, Array, Array]:
    """Return for each first byte of a value: tag, size (0 for text), shift of the eight bytes behind it, head."""
    tags, sizes, heads = (np.zeros(256, dtype=np.int64) for _ in range(3))
    shifts = np.zeros(256, dtype=np.uint64)
    for code in range(256):
        if code < 0x80 or code >= 0xE0:
            tags[code], sizes[code] = INTEGER, 1
        elif code & 0xE0 == 0xA0:
            tags[code], heads[code] = TEXT, 1
    for power, code in enumerate((0xCC, 0xCD, 0xCE, 0xCF)):
        for one in (code, code + 4):
            tags[one], sizes[one], shifts[one] = INTEGER, 1 + (1 << power), 64 - (8 << power)
    for power, code in enumerate((0xD9, 0xDA, 0xDB)):
        tags[code], heads[code], shifts[code] = TEXT, 1 + (1 << power), 64 - (8 << power)
    for code, tag, size in ((0xC0, NULL, 1), (0xC2, FALSE, 1), (0xC3, TRUE, 1), (0xCB, FLOAT, 9)):
        tags[code], sizes[code] = tag, size
    return tags.astype(np.uint8), sizes, shifts, heads


_TAGS, _SIZES, _SHIFTS, _HEADS = _tables()
_IS_SIGNED = np.isin(np.arange(256), (0xD0, 0xD1, 0xD2, 0xD3))
_IS_SMALL = (np.arange(256) < 0x80) | (np.arange(256) >= 0xE0)

"""Payloads as columns, written: rows that go to disk together are parsed once and packed block by block.

What the bytes are is described in `actors.store.disk.payload_columns`, which reads them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from actors.store.disk.block_columns import with_head
from actors.store.disk.packing import Form, SectionWriter, pack_bytes, pack_floats, pack_integers
from actors.store.events.columns import Array, Columns
from actors.store.events.payload_parsing import FLOAT, INTEGER, TEXT, Buffer, Field, keys_of, parse_rows
from actors.store.events.payloads import JSON

LAYOUTS_MAX = 8
"""Layouts that are looked for among the rows that go to disk together."""

SHARE_MIN = 0.5
"""Share of a block's rows that must fit a layout."""

WORD_BYTES_MAX = 64
"""Bytes of the longest text up to which texts are compared eight bytes at a time, all rows at once."""

_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_BYTE_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(9)], dtype=np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class _Parsed:
    rows: Array
    """Numbers of the rows with this layout, ascending; no row is in two layouts."""

    fields: list[Field]
    """The fields in the order of the payloads; each array has one item for each of `rows`."""


class PayloadEncoder:
    """Rows parsed once, encoded block by block."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._buffer = Buffer.of(columns.data)
        self._layouts: list[_Parsed] = []
        # Where the payload of each row begins and ends.
        begins, ends = columns.offsets[:-1], columns.offsets[1:]
        # Rows of no layout so far, ascending; the first of them gives the keys that are looked for next.
        left = np.flatnonzero(columns.kind == JSON)
        for _ in range(LAYOUTS_MAX):
            if not len(left):
                break
            keys = keys_of(columns.data[int(begins[left[0]]) : int(ends[left[0]])])
            if keys is None:
                left = left[1:]
                continue
            fitting, fields = parse_rows(self._buffer, begins[left], ends[left], keys)
            if len(fitting):
                self._layouts.append(_Parsed(left[fitting], fields))
            left = np.delete(left, fitting if len(fitting) else 0)

    def encode(self, start: int, end: int) -> bytes | None:
        """Return the payloads of rows `start` to `end` (exclusive), `None` when too few of them fit a layout."""
        count = end - start
        chosen: list[_Parsed] = []
        for layout in self._layouts:
            first, last = np.searchsorted(layout.rows, [start, end]).tolist()
            if last > first:
                own = slice(first, last)
                chosen.append(_Parsed(layout.rows[own] - start, [one.picked(own) for one in layout.fields]))
        if sum(len(one.rows) for one in chosen) < SHARE_MIN * count:
            return None
        writer = SectionWriter()
        # For each row of the block the number of its layout; that after the last stands for other payloads.
        which = np.full(count, len(chosen), dtype=np.int64)
        for number, layout in enumerate(chosen):
            which[layout.rows] = number
        others = np.flatnonzero(which == len(chosen))
        head = [
            count,
            pack_integers(which, writer),
            *self._pack_others(others + start, writer),
            [[_pack_field(self._buffer, one, writer) for one in layout.fields] for layout in chosen],
        ]
        return with_head(head, writer)

    def _pack_others(self, rows: Array, writer: SectionWriter) -> list[Form | None]:
        if not len(rows):
            return [None, None]
        begins, ends = self._columns.offsets[rows], self._columns.offsets[rows + 1]
        data = self._columns.data
        joined = b"".join([data[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)])
        return [pack_integers(ends - begins, writer), pack_bytes(joined, writer)]


def _pack_field(buffer: Buffer, field: Field, writer: SectionWriter) -> Form:
    tags = pack_integers(field.tags.astype(np.int64), writer)
    integers = floats = texts = None
    if field.integers is not None and (chosen := _chosen(field.tags, INTEGER)) is not None:
        integers = pack_integers(field.integers[chosen], writer)
    if field.floats is not None and (chosen := _chosen(field.tags, FLOAT)) is not None:
        floats = pack_floats(field.floats[chosen], writer)
    if field.starts is not None and field.lengths is not None and (chosen := _chosen(field.tags, TEXT)) is not None:
        texts = _pack_texts(buffer, field.starts[chosen], field.lengths[chosen], writer)
    return [field.key, tags, integers, floats, texts]


def _chosen(tags: Array, tag: int) -> Array | slice | None:
    """Return the rows of a tag, `None` when there are none."""
    own = tags == tag
    if own.all():
        return slice(None)
    return own if own.any() else None


def _pack_texts(buffer: Buffer, starts: Array, lengths: Array, writer: SectionWriter) -> Form:
    index_form = None
    found = _find_distinct(buffer, starts, lengths)
    if found is not None:
        first, index = found
        index_form = pack_integers(index.astype(np.int64), writer)
        starts, lengths = starts[first], lengths[first]
    joined = b"".join(_pieces(buffer, starts, lengths))
    return [len(starts), index_form, pack_integers(lengths, writer), pack_bytes(joined, writer)]


def _find_distinct(buffer: Buffer, starts: Array, lengths: Array) -> tuple[Array, Array] | None:
    """Return one row of each distinct text and for each row the position of its text, `None` when most differ."""
    longest = int(lengths.max())
    if longest > WORD_BYTES_MAX:
        return _find_distinct_bytes(buffer, starts, lengths)
    if longest == int(lengths.min()) and all((words == words[0]).all() for words in _words(buffer, starts, lengths)):
        return np.zeros(1, dtype=np.int64), np.zeros(len(starts), dtype=np.int64)
    if longest < 8:
        # Text and length in one number.
        numbers = next(_words(buffer, starts, lengths), 0) | (lengths.astype(np.uint64) << np.uint64(56))
    else:
        numbers = _hashes(buffer, starts, lengths)
    _, first, index = np.unique(numbers, return_index=True, return_inverse=True)
    if len(first) * 2 > len(starts) or (longest >= 8 and not _are_equal(buffer, starts, lengths, first[index])):
        return None
    return first, index


def _find_distinct_bytes(buffer: Buffer, starts: Array, lengths: Array) -> tuple[Array, Array] | None:
    """Do the same with one object for each text: the cost is that of the bytes, not of the longest in every row."""
    numbers: dict[bytes, int] = {}
    index = np.array([numbers.setdefault(piece, len(numbers)) for piece in _pieces(buffer, starts, lengths)])
    if len(numbers) > 1 and len(numbers) * 2 > len(starts):
        return None
    return np.unique(index, return_index=True)[1], index


def _pieces(buffer: Buffer, starts: Array, lengths: Array) -> list[bytes]:
    raw = buffer.raw
    return [raw[start:end] for start, end in zip(starts.tolist(), (starts + lengths).tolist(), strict=True)]


def _words(buffer: Buffer, starts: Array, lengths: Array) -> Iterator[Array]:
    """Yield the texts' bytes, eight at a time, zeros after their end."""
    last = len(buffer.words) - 1
    for at in range(0, int(lengths.max()), 8):
        left = np.clip(lengths - at, 0, 8)
        yield buffer.words[np.minimum(starts + at, last)] & _BYTE_MASKS[left]


def _hashes(buffer: Buffer, starts: Array, lengths: Array) -> Array:
    """Return a number for each text, which equal texts share."""
    hashes = lengths.astype(np.uint64)
    for words in _words(buffer, starts, lengths):
        hashes = (hashes ^ words) * _HASH_FACTOR
        hashes ^= hashes >> np.uint64(32)
    return hashes


def _are_equal(buffer: Buffer, starts: Array, lengths: Array, others: Array) -> bool:
    """Return whether each text equals the one in another row."""
    if not bool((lengths == lengths[others]).all()):
        return False
    pairs = zip(_words(buffer, starts, lengths), _words(buffer, starts[others], lengths[others]), strict=True)
    return all(bool((left == right).all()) for left, right in pairs)

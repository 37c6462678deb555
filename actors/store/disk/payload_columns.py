"""Payloads of a block as columns: an array per field, read without the other fields.

Rows with the same keys form a *layout*; its fields are packed one by one. Rows that fit none (nested values, another
kind of payload, few of a kind) keep their bytes. A value comes back with its exact type and the keys in their order.

The bytes are: length of the head u32 little endian, head (msgpack list: row count, layout of each row, lengths of the
bytes of other rows, their bytes, layouts), section with everything packed. A layout is a list of fields: key, tags,
integers, floats, texts. The layout number after the last one stands for other rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import msgpack
import numpy as np

from actors.store.disk.block_columns import with_head
from actors.store.disk.packing import (
    CONSTANT,
    Form,
    Section,
    SectionWriter,
    pack_bytes,
    pack_floats,
    pack_integers,
    unpack_bytes,
    unpack_floats,
    unpack_integers,
)
from actors.store.events.columns import Array, Columns
from actors.store.events.payload_parsing import (
    FALSE,
    FLOAT,
    INTEGER,
    NULL,
    TEXT,
    TRUE,
    Buffer,
    Field,
    keys_of,
    parse_rows,
)
from actors.store.events.payloads import JSON, encode_json

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
    fields: list[Field]


class PayloadEncoder:
    """Rows parsed once, encoded block by block."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._buffer = Buffer.of(columns.data)
        self._layouts: list[_Parsed] = []
        begins, ends = columns.offsets[:-1], columns.offsets[1:]
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


@dataclass(frozen=True, slots=True, eq=False)
class FieldValues:
    """Values of one field for the rows of one layout; arrays are as long as there are rows with such values."""

    rows: Array | None
    """Their numbers in the block; `None` when they are all rows."""

    tags: Array | int
    """Which kind of value each row has, or all rows have."""

    integers: Array | None
    """Values of rows with integers."""

    floats: Array | None
    """Values of rows with floats."""

    texts: list[str] | None
    """Distinct texts, or the text of each row with text."""

    text_index: Array | None
    """For each row with text its position among the distinct ones; `None` when `texts` has one for each row."""

    def to_list(self, picks: Array) -> list[Any]:
        """Return the values of some of the rows as Python values."""
        if isinstance(self.tags, int):
            return self._values(self.tags, picks)
        values: list[Any] = [None] * len(picks)
        for tag in (FALSE, TRUE, INTEGER, FLOAT, TEXT):
            own = self.tags == tag
            places = np.flatnonzero(own[picks])
            chosen = (np.cumsum(own) - 1)[picks[places]]
            for place, value in zip(places.tolist(), self._values(tag, chosen), strict=True):
                values[place] = value
        return values

    def _values(self, tag: int, picks: Array) -> list[Any]:
        if tag == INTEGER and self.integers is not None:
            return list(self.integers[picks].tolist())
        if tag == FLOAT and self.floats is not None:
            return list(self.floats[picks].tolist())
        if tag == TEXT and self.texts is not None:
            index = picks if self.text_index is None else self.text_index[picks]
            return list(map(self.texts.__getitem__, index.tolist()))
        return [_SINGLE.get(tag)] * len(picks)


class PayloadColumns:
    """The payloads of a block, read field by field."""

    def __init__(self, head: bytes, section: Section) -> None:
        """Take the head and the section."""
        self.row_count, self._which, self._lengths, self._others, self._layouts = msgpack.unpackb(head)
        self._section = section
        self._rows: dict[int, Array] = {}

    @property
    def layout_count(self) -> int:
        """Number of layouts."""
        return len(self._layouts)

    def rows_of(self, layout: int) -> Array | None:
        """Return the rows of a layout (those of none have the number `layout_count`), `None` when they are all rows."""
        if self._which[0] == CONSTANT:
            return None if self._which[1] == layout else np.zeros(0, dtype=np.int64)
        found = self._rows.get(layout)
        if found is None:
            which = unpack_integers(self._which, self.row_count, self._section)
            found = self._rows[layout] = np.flatnonzero(which == layout)
        return found

    def other_rows(self) -> Array:
        """Return the rows that fit no layout."""
        rows = self.rows_of(self.layout_count)
        return np.arange(self.row_count) if rows is None else rows

    def field(self, layout: int, key: bytes) -> FieldValues | None:
        """Return a field by its key as msgpack, `None` when rows of the layout have it not."""
        for form in self._layouts[layout]:
            if form[0] == key:
                rows = self.rows_of(layout)
                return self._unpack(form, rows, self.row_count if rows is None else len(rows))
        return None

    def other_payloads(self) -> list[bytes]:
        """Return the bytes of the payloads that fit no layout."""
        rows = self.other_rows()
        if not len(rows):
            return []
        data = unpack_bytes(self._others, self._section)
        ends = np.cumsum(unpack_integers(self._lengths, len(rows), self._section)).tolist()
        return [data[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def mappings(self, layout: int, picks: Array) -> list[dict[str, Any]]:
        """Return the payloads of some rows of a layout, by their positions in it."""
        rows = self.rows_of(layout)
        count = self.row_count if rows is None else len(rows)
        forms = self._layouts[layout]
        keys = [msgpack.unpackb(form[0], unicode_errors="surrogatepass") for form in forms]
        # Filling copies of one mapping takes a fifth of the time of making each from its pairs.
        mappings: list[dict[str, Any]] = list(map(dict.copy, repeat(dict.fromkeys(keys), len(picks))))
        for key, form in zip(keys, forms, strict=True):
            for mapping, value in zip(mappings, self._unpack(form, rows, count).to_list(picks), strict=True):
                mapping[key] = value
        return mappings

    def to_bytes(self) -> list[bytes]:
        payloads: list[bytes] = [b""] * self.row_count
        for layout in range(self.layout_count):
            rows = self.rows_of(layout)
            places = np.arange(self.row_count) if rows is None else rows
            mappings = self.mappings(layout, np.arange(len(places)))
            for place, mapping in zip(places.tolist(), mappings, strict=True):
                payloads[place] = encode_json(mapping)[1]
        for place, payload in zip(self.other_rows().tolist(), self.other_payloads(), strict=True):
            payloads[place] = payload
        return payloads

    def _unpack(self, form: Form, rows: Array | None, count: int) -> FieldValues:
        _, tag_form, integers, floats, texts = form
        tags: Array | int = tag_form[1]
        counts = {tags: count}
        if tag_form[0]:
            tags = unpack_integers(tag_form, count, self._section)
            counts = dict(enumerate(np.bincount(tags, minlength=TEXT + 1).tolist()))
        distinct, index = (None, None) if texts is None else self._texts(texts, counts[TEXT])
        return FieldValues(
            rows,
            tags,
            None if integers is None else unpack_integers(integers, counts[INTEGER], self._section),
            None if floats is None else unpack_floats(floats, counts[FLOAT], self._section),
            distinct,
            index,
        )

    def _texts(self, form: Form, count: int) -> tuple[list[str], Array | None]:
        distinct_count, index_form, length_form, bytes_form = form
        index = None if index_form is None else unpack_integers(index_form, count, self._section)
        lengths = unpack_integers(length_form, distinct_count, self._section)
        data, ends = unpack_bytes(bytes_form, self._section), np.cumsum(lengths).tolist()
        pieces = zip([0, *ends[:-1]], ends, strict=True)
        return [data[start:end].decode("utf-8", "surrogatepass") for start, end in pieces], index


def find_places(rows: Array | None, wanted: Array) -> tuple[Array, Array]:
    """Return which of the wanted rows are among sorted `rows` (`None` for all), and at which positions."""
    if rows is None:
        return np.arange(len(wanted)), wanted
    if not len(rows):
        return rows, rows
    positions = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    places = np.flatnonzero(rows[positions] == wanted)
    return places, positions[places]


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


_SINGLE: dict[int, Any] = {NULL: None, FALSE: False, TRUE: True}

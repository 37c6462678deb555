"""Payloads of a block as columns: an array per field, read without the other fields.

Rows with the same keys form a *layout*; its fields are packed one by one. Rows that fit none (nested values, another
kind of payload, few of a kind) keep their bytes. A value comes back with its exact type and the keys in their order.

The bytes are: length of the head u32 little endian, head (msgpack list: row count, layout of each row, lengths of the
bytes of other rows, their bytes, layouts), section with everything packed. A layout is a list of fields: key, tags,
integers, floats, texts. The layout number after the last one stands for other rows.
"""

from dataclasses import dataclass
from itertools import repeat
from typing import Any

import msgpack
import numpy as np

from actors.store.disk.packing import CONSTANT, Form, Section, unpack_bytes, unpack_floats, unpack_integers
from actors.store.events.columns import Array
from actors.store.events.payload_parsing import FALSE, FLOAT, INTEGER, NULL, TEXT, TRUE
from actors.store.events.payloads import encode_json


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
            # `integers`, `floats` and `text_index` have an item for each row with such a tag, in the order of rows: the
            # item of a row is the number of rows before it with the same tag.
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
        # For each layout that was asked for its rows, ascending.
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


_SINGLE: dict[int, Any] = {NULL: None, FALSE: False, TRUE: True}

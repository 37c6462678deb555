"""Rows as payloads: a msgpack map of every row, made of whole columns at once.

The bytes are those that msgpack's packer makes of a dictionary of the row. A value is a *code*, then *content* of 0, 1,
2, 4 or 8 bytes, then perhaps text; from the lengths follows where each value of a column is, and all are put there with
a few array operations. Few rows, and rows with long texts, are packed one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgpack
import numpy as np
import polars as pl

from actors.store.events.columns import Array, offsets_of

FEW_ROWS = 100
"""Rows below which an array operation costs more than it saves."""

TEXT_BYTES_MAX = 32
"""Mean length of texts up to which bytes are put in place one by one."""

_NIL, _FALSE, _UNSIGNED, _FLOAT, _SIGNED, _SHORT_TEXT, _TEXT = 0xC0, 0xC2, 0xCC, 0xCB, 0xD0, 0xA0, 0xD9

_SIZES = np.array([0, 1, 2, 4, 8])
"""Bytes of content, by level."""

_POSITIVE = np.array([0x7F, 0xFF, 0xFFFF, 0xFFFFFFFF])
"""The greatest number of each level but the last."""

_NEGATIVE = np.array([0x1F, 0x7F, 0x7FFF, 0x7FFFFFFF])
"""The same for numbers below 0, as the number with all bits turned over."""

_LENGTHS = np.array([0x1F, 0xFF, 0xFFFF])
"""The greatest length of a text of each level but the last."""


@dataclass(frozen=True, slots=True, eq=False)
class _Values:
    """Values of a column."""

    codes: Array
    sizes: Array
    """Bytes of content."""

    content: Array
    """Numbers whose lowest bytes are the content, uint64."""

    text_lengths: Array | None = None
    text: Array | None = None
    """Bytes of all texts."""

    @property
    def lengths(self) -> Array:
        """Bytes of each value."""
        whole: Array = self.sizes + 1
        return whole if self.text_lengths is None else whole + self.text_lengths

    def put(self, data: Array, at: Array) -> None:
        """Put each value where it belongs."""
        data[at] = self.codes
        for size in _SIZES[1:].tolist():
            rows = np.flatnonzero(self.sizes == size)
            if rows.size:
                own = at[rows] + 1
                content = self.content[rows].astype(f">u{size}").view(np.uint8).reshape(-1, size)
                for place in range(size):
                    data[own + place] = content[:, place]
        if self.text is not None and self.text_lengths is not None:
            begins = np.cumsum(self.text_lengths) - self.text_lengths
            target = np.repeat(at + 1 + self.sizes - begins, self.text_lengths)
            target += np.arange(self.text.size)
            data[target] = self.text


def pack_rows(frame: pl.DataFrame, names: Sequence[str]) -> tuple[bytes, Array]:
    """Return the payloads of the rows of a canonical frame, one after the other, and where each begins, and the end."""
    columns = [frame[name] for name in names]
    if frame.height < FEW_ROWS or not names or any(map(_is_long, columns)):
        return _pack_one_by_one(columns, names)
    values = [_values_of(column) for column in columns]
    keys = [bytes(msgpack.packb(name)) for name in names]
    keys[0] = bytes(msgpack.Packer().pack_map_header(len(names))) + keys[0]
    lengths = sum((one.lengths for one in values), np.full(frame.height, sum(map(len, keys))))
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
    data, at = np.empty(int(offsets[-1]), dtype=np.uint8), offsets[:-1].copy()
    for key, one in zip(keys, values, strict=True):
        for byte in key:
            data[at] = byte
            at += 1
        one.put(data, at)
        at += one.lengths
    return data.tobytes(), offsets


def _pack_one_by_one(columns: Sequence[pl.Series], names: Sequence[str]) -> tuple[bytes, Array]:
    # One packer for all: making one takes longer than packing a row.
    pack = msgpack.Packer().pack
    rows = zip(*(column.to_list() for column in columns), strict=True)
    payloads = [pack(dict(zip(names, row, strict=True))) for row in rows]
    return b"".join(payloads), offsets_of(payloads)


def _is_long(column: pl.Series) -> bool:
    return column.dtype == pl.String and int(column.str.len_bytes().sum()) > TEXT_BYTES_MAX * len(column)


def _values_of(column: pl.Series) -> _Values:
    missing = column.is_null().to_numpy()
    if column.dtype == pl.String:
        values = _texts(column, missing)
    elif column.dtype == pl.Boolean:
        codes = _FALSE + column.fill_null(value=False).to_numpy().astype(np.uint8)
        values = _Values(codes, np.zeros(len(column), np.int64), np.zeros(0, np.uint64))
    elif column.dtype == pl.Float64:
        bits = column.fill_null(0.0).to_numpy().view(np.uint64)
        values = _Values(np.full(len(column), _FLOAT, np.uint8), np.full(len(column), 8), bits)
    else:
        values = _whole_numbers(column.fill_null(0).to_numpy())
    if not missing.any():
        return values
    codes, sizes = np.where(missing, np.uint8(_NIL), values.codes), np.where(missing, 0, values.sizes)
    return _Values(codes, sizes, values.content, values.text_lengths, values.text)


def _whole_numbers(numbers: Array) -> _Values:
    is_negative = numbers < 0
    distance = np.where(is_negative, ~numbers, numbers)
    levels = np.searchsorted(_POSITIVE, distance)
    if is_negative.any():
        levels = np.where(is_negative, np.searchsorted(_NEGATIVE, distance), levels)
    wide = np.where(is_negative, _SIGNED - 1, _UNSIGNED - 1) + levels
    codes = np.where(levels == 0, numbers & 0xFF, wide).astype(np.uint8)
    return _Values(codes, _SIZES[levels], numbers.view(np.uint64))


def _texts(column: pl.Series, missing: Array) -> _Values:
    lengths = column.str.len_bytes().fill_null(0).to_numpy().astype(np.int64)
    levels = np.searchsorted(_LENGTHS, lengths)
    codes = np.where(levels == 0, _SHORT_TEXT + lengths, _TEXT - 1 + levels).astype(np.uint8)
    whole = column.filter(~pl.Series(missing)).str.join("")[0] or ""
    return _Values(
        codes, _SIZES[levels], lengths.astype(np.uint64), lengths, np.frombuffer(whole.encode(), dtype=np.uint8)
    )

"""Fields: one top-level field of many JSON payloads as a column.

Payloads of one stream mostly have one layout: the same keys in the same order. Where everything before the wanted
number is laid out as in a sample, the number stands at the same place, and all such numbers are read by a few array
operations. Rows that fit no sample, and values that are no numbers, are decoded one by one.

A layout is compared byte by byte where bytes decide where things stand (keys, and the first bytes of values, which
tell their kind and length), so what is read is always exactly the field.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import polars as pl

from actors.store.disk.blocks import Block
from actors.store.events.columns import Array, Chunk
from actors.store.events.payloads import JSON
from actors.store.query.packed_fields import field_of, read_packed_field, series_of

SAMPLES_MAX = 8
"""Layouts that are tried per chunk."""

_INTEGERS = {0xCC: ">u1", 0xCD: ">u2", 0xCE: ">u4", 0xD0: ">i1", 0xD1: ">i2", 0xD2: ">i4", 0xD3: ">i8"}
_FLOATS = {0xCA: ">f4", 0xCB: ">f8"}
_FIXED_SIZES = {0xC0: 1, 0xC2: 1, 0xC3: 1, 0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}
_FIXED_SIZES |= {0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    places: Array
    expected: Array
    value: int


@dataclass(frozen=True, slots=True, eq=False)
class _Bytes:
    data: Array
    begins: Array
    ends: Array


def read_field(chunk: Chunk, rows: Array, name: str, kind: Any) -> pl.Series:
    """Return a field of the payloads of some rows; null where it is missing or of another type."""
    if isinstance(chunk, Block) and chunk.fields is not None:
        return read_packed_field(chunk.fields, chunk.kind, rows, name, kind)
    if kind in (pl.Float64, pl.Int64):
        return _read_numbers(chunk, rows, name, kind)
    return series_of(name, list(_read_slowly(chunk, rows, name)), kind)


def _read_slowly(chunk: Chunk, rows: Array, name: str) -> Iterator[Any]:
    data, offsets = chunk.data, chunk.offsets
    begins, ends, kinds = offsets[rows].tolist(), offsets[rows + 1].tolist(), chunk.kind[rows].tolist()
    for kind, begin, end in zip(kinds, begins, ends, strict=True):
        yield field_of(kind, data[begin:end], name)


def _read_numbers(chunk: Chunk, rows: Array, name: str, kind: Any) -> pl.Series:
    values = np.zeros(len(rows), dtype=np.float64 if kind == pl.Float64 else np.int64)
    data = np.frombuffer(chunk.data, dtype=np.uint8)
    begins, ends = chunk.offsets[rows], chunk.offsets[rows + 1]
    left = np.flatnonzero(chunk.kind[rows] == JSON)
    unread = np.ones(len(rows), dtype=bool)
    for _ in range(SAMPLES_MAX):
        if not len(left):
            break
        layout = _layout_of(chunk.data[begins[left[0]] : ends[left[0]]], name)
        if layout is None:
            left = left[1:]
            continue
        fits = _fits(layout, _Bytes(data, begins[left], ends[left]))
        found = left[fits]
        read = _read_at(_Bytes(data, begins[found] + layout.value, ends[found]), values, found)
        unread[found[read]] = False
        left = left[~fits]
    return _with_slow_rows(chunk, rows, name, pl.Series(name, values, dtype=kind), np.flatnonzero(unread))


def _with_slow_rows(chunk: Chunk, rows: Array, name: str, column: pl.Series, unread: Array) -> pl.Series:
    if not len(unread):
        return column
    slow = series_of(name, list(_read_slowly(chunk, rows[unread], name)), column.dtype)
    return column.scatter(unread, slow)


def _fits(layout: _Layout, payloads: _Bytes) -> Array:
    """Return which payloads are laid out alike up to the value."""
    long_enough = payloads.ends - payloads.begins > layout.value
    places = np.where(long_enough, payloads.begins, payloads.begins[0])[:, None] + layout.places
    alike: Array = (payloads.data[places] == layout.expected).all(axis=1) & long_enough
    return alike


def _read_at(payloads: _Bytes, values: Array, places: Array) -> Array:
    """Read the numbers that begin at `begins` into `values` and return which were numbers of the wanted kind."""
    read = np.zeros(len(places), dtype=bool)
    codes = payloads.data[payloads.begins]
    whole = values.dtype == np.int64
    small = (codes < 0x80) | (codes >= 0xE0)
    if small.any():
        values[places[small]] = codes[small].view(np.int8)
        read |= small
    for code in np.unique(codes[~small]).tolist():
        form = _INTEGERS.get(code) if whole else _INTEGERS.get(code) or _FLOATS.get(code)
        if form is not None:
            own = codes == code
            spans = payloads.begins[own][:, None] + np.arange(1, _FIXED_SIZES[code])
            values[places[own]] = payloads.data[spans].view(form).ravel()
            read |= own
    return read


def _layout_of(payload: bytes, name: str) -> _Layout | None:
    """Return where a field's value stands in a payload and what must be alike before it, `None` without the field."""
    key = msgpack.packb(name)
    if not payload or payload[0] & 0xF0 != 0x80:
        return None
    places, at = [0], 1
    for _ in range(payload[0] & 0x0F):
        length = _key_size(payload, at)
        if length is None:
            return None
        places += range(at, at + length)
        found, at = payload[at : at + length] == key, at + length
        if found:
            chosen = np.array(places)
            return _Layout(chosen, np.frombuffer(payload, dtype=np.uint8)[chosen], at)
        head, size = _value_size(payload, at)
        if size is None:
            return None
        places += range(at, at + head)
        at += size
    return None


def _key_size(payload: bytes, at: int) -> int | None:
    first = payload[at]
    if first & 0xE0 == 0xA0:
        return 1 + (first & 0x1F)
    return 2 + payload[at + 1] if first == 0xD9 else None


def _value_size(payload: bytes, at: int) -> tuple[int, int | None]:
    """Return how many first bytes of a value decide its size, and the size; `None` for nested values."""
    first = payload[at]
    if first < 0x80 or first >= 0xE0:
        return 1, 1
    if first & 0xE0 == 0xA0:
        return 1, 1 + (first & 0x1F)
    if first == 0xD9:
        return 2, 2 + payload[at + 1]
    return 1, _FIXED_SIZES.get(first)

"""Key numbers: a dense number for every key, in order of first appearance.

The truth is a dictionary from values to numbers. In front of it stands an open-addressing table of 64-bit fingerprints
that finds the numbers of a whole batch without Python per row. The fingerprint of a text is a hash that is good within
this process only; a second, independent hash tells when two texts share the first, and such rows ask the dictionary.
Fingerprints of numbers are the numbers themselves. Fingerprints are never saved.
"""

import sys
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from actors.engine.kept import TEXT_SIZE_BYTES, Kept
from actors.engine.segments import grown
from actors.engine.vectors import Array

SMALL_ROWS = 128
"""Batches up to this size ask the dictionary directly."""

_NUMBER_SIZE_BYTES = 32
"""Bytes of a whole number of Python."""

_ENTRY_SIZE_BYTES = 70 + _NUMBER_SIZE_BYTES + 3 * 12 + 8
"""Bytes of a key in the dictionary, of its number, and in the table that stands in front."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_UNLIKELY = -0x1B873593CC9E2D51
"""Fingerprint of NULL among numbers."""


class FingerprintTable:
    """Open addressing from 64-bit fingerprints to numbers."""

    def __init__(self) -> None:
        self._count = 0
        self._resize(1 << 10)

    def _resize(self, size: int) -> None:
        self._size = size
        self._shift = np.uint64(64 - (size.bit_length() - 1))
        self._fingerprints = np.zeros(size, dtype=np.uint64)
        self._numbers = np.full(size, -1, dtype=np.int32)

    @property
    def size_bytes(self) -> int:
        """Bytes of the table."""
        return self._fingerprints.nbytes + self._numbers.nbytes

    def find(self, fingerprints: Array) -> Array:
        """Return the number of each fingerprint, -1 where there is none."""
        slots = ((fingerprints * _MULTIPLIER) >> self._shift).view(np.int64)
        numbers = self._numbers[slots].astype(np.int64)
        pending = ((self._fingerprints[slots] != fingerprints) & (numbers >= 0)).nonzero()[0]
        while len(pending):
            slots[pending] = (slots[pending] + 1) & (self._size - 1)
            found = self._numbers[slots[pending]]
            numbers[pending] = found
            same = self._fingerprints[slots[pending]] == fingerprints[pending]
            pending = pending[~same & (found >= 0)]
        return numbers

    def insert(self, fingerprints: Array, numbers: Array) -> None:
        """Add fingerprints, none of which is there yet or occurs twice."""
        if 2 * (self._count + len(numbers)) > self._size:
            used = self._numbers >= 0
            old = self._fingerprints[used], self._numbers[used]
            self._resize(1 << (4 * (self._count + len(numbers))).bit_length())
            self._place(*old)
        self._place(fingerprints, numbers)
        self._count += len(numbers)

    def _place(self, fingerprints: Array, numbers: Array) -> None:
        slots = ((fingerprints * _MULTIPLIER) >> self._shift).view(np.int64)
        pending = np.arange(len(numbers))
        while len(pending):
            free = self._numbers[slots[pending]] < 0
            self._numbers[slots[pending[free]]] = numbers[pending[free]]
            placed = self._numbers[slots[pending]] == numbers[pending]
            self._fingerprints[slots[pending[placed]]] = fingerprints[pending[placed]]
            pending = pending[~placed]
            slots[pending] = (slots[pending] + 1) & (self._size - 1)


class ColumnKeys:
    """Numbers of the values of one key column; NULL is a value like any other."""

    def __init__(self, is_text: bool) -> None:
        self._is_text = is_text
        self._numbers: dict[Any, int] = {}
        self._table = FingerprintTable()
        self._second = np.zeros(0, dtype=np.uint64)

    @property
    def count(self) -> int:
        """Keys seen so far."""
        return len(self._numbers)

    def number(self, values: pl.Series) -> Array:
        """Return the number of each value; new values get the next numbers in order of appearance."""
        if len(values) <= SMALL_ROWS:
            return self._from_dictionary(values.to_list())
        first, second = self._fingerprints(values)
        numbers = self._table.find(first)
        unknown = np.flatnonzero(numbers < 0)
        if len(unknown):
            self._learn(values, first, second, unknown)
            numbers[unknown] = self._table.find(first[unknown])
        if second is not None:
            doubtful = np.flatnonzero(self._second[numbers] != second)
            if len(doubtful):
                numbers[doubtful] = self._from_dictionary(values[doubtful].to_list())
        return numbers

    def _from_dictionary(self, values: Sequence[Any]) -> Array:
        known = self._numbers
        return np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int64)

    def _fingerprints(self, values: pl.Series) -> tuple[Array, Array | None]:
        if self._is_text:
            frame = values.to_frame()
            return frame.hash_rows(1).to_numpy(), frame.hash_rows(2).to_numpy()
        if values.null_count():
            # A NULL must differ from every number, which no 64-bit fingerprint can promise: it needs the second one.
            missing = values.is_null().to_numpy()
            return values.fill_null(_UNLIKELY).to_numpy().view(np.uint64), missing.astype(np.uint64)
        return values.to_numpy().view(np.uint64), np.zeros(len(values), dtype=np.uint64)

    def _learn(self, values: pl.Series, first: Array, second: Array | None, unknown: Array) -> None:
        fingerprints, positions = np.unique(first[unknown], return_index=True)
        in_order = np.argsort(positions, kind="stable")
        rows = unknown[positions[in_order]]
        numbers = self._from_dictionary(values[rows].to_list())
        self._table.insert(fingerprints[in_order], numbers)
        self._second = grown(self._second, self.count, 0)
        if second is not None:
            self._second[numbers] = second[rows]

    def kept(self) -> Kept:
        """Return what is kept of each key; the values of a few stand for those of all."""
        few = [sys.getsizeof(value) for value in islice(self._numbers, 100)]
        objects = int((sum(few) / max(len(few), 1) + _NUMBER_SIZE_BYTES) * self.count)
        held = sys.getsizeof(self._numbers) + self._table.size_bytes + self._second.nbytes
        return Kept(
            what="the key itself",
            key_size_bytes=_ENTRY_SIZE_BYTES + (TEXT_SIZE_BYTES if self._is_text else _NUMBER_SIZE_BYTES),
            held_size_bytes=objects + held,
        )

    def values(self) -> list[Any]:
        """Return all values in number order."""
        return list(self._numbers)

    def load(self, values: Sequence[Any]) -> None:
        """Take over values that `values` gave."""
        self._numbers = {value: number for number, value in enumerate(values)}
        self._table = FingerprintTable()
        self._second = np.zeros(0, dtype=np.uint64)


class KeyNumbers:
    """Numbers of keys of any number of columns."""

    def __init__(self, are_text: Sequence[bool]) -> None:
        self._columns = [ColumnKeys(is_text) for is_text in are_text]
        self._pairs = [ColumnKeys(False) for _ in are_text[1:]]

    @property
    def count(self) -> int:
        """Keys seen so far; without key columns there is one key."""
        if not self._columns:
            return 1
        return self._pairs[-1].count if self._pairs else self._columns[0].count

    def number(self, columns: Sequence[pl.Series], row_count: int) -> Array:
        """Return the key number of each row."""
        if not self._columns:
            return np.zeros(row_count, dtype=np.int64)
        numbers = self._columns[0].number(_physical(columns[0]))
        for keys, pairs, column in zip(self._columns[1:], self._pairs, columns[1:], strict=True):
            combined = (numbers << 32) | keys.number(_physical(column))
            numbers = pairs.number(pl.Series(combined))
        return numbers

    def kept(self) -> list[Kept]:
        """Return what each part keeps of each key."""
        return [part.kept() for part in (*self._columns, *self._pairs)]

    def state(self) -> list[list[Any]]:
        """Return the values of every part in number order."""
        return [part.values() for part in (*self._columns, *self._pairs)]

    def load(self, state: Sequence[Sequence[Any]]) -> None:
        """Take over what `state` gave."""
        for part, values in zip((*self._columns, *self._pairs), state, strict=True):
            part.load(values)


def _physical(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Float64:
        return _bits(values)
    return values.cast(pl.Int64) if values.dtype == pl.Boolean else values


def _bits(values: pl.Series) -> pl.Series:
    """Return the bit patterns of real numbers, -0 being 0."""
    array = values.fill_null(0.0).to_numpy() + 0.0
    bits = pl.Series(array.view(np.int64))
    return bits.set(values.is_null(), None) if values.null_count() else bits

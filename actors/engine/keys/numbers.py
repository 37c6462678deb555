"""Key numbers: a dense number for every key, in order of first appearance.

Small batches ask a dictionary. Larger ones ask a table of fingerprints, without Python per row, and compare what they
get with the values that have the numbers; where a value is another one, the dictionary decides. The values are the
truth; table and dictionary are made from them when they are first needed.
"""

import sys
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from actors.engine.keys.kept import Kept
from actors.engine.keys.table import FingerprintTable
from actors.engine.keys.values import KeyValues, TextValues, WholeValues
from actors.engine.vectors.vector import Array

SMALL_ROWS = 128
"""Batches up to this size ask the dictionary directly."""

_NUMBER_SIZE_BYTES = 32
"""Bytes of a whole number of Python."""

_TABLE_SIZE_BYTES = 4 * 8
"""Bytes of a key in the table that finds its number."""

_VALUE_SIZE_BYTES, _TEXT_SIZE_BYTES = 8, 16 + 12
"""Bytes of a key's value: of a number, and of a text of about a dozen letters."""


class ColumnKeys:
    """Numbers of the values of one key column; NULL is a value like any other."""

    def __init__(self, is_text: bool) -> None:
        self._is_text = is_text
        self._values: KeyValues = TextValues() if is_text else WholeValues()
        self._table = FingerprintTable()
        self._tabled = 0
        self._numbers: dict[Any, int] | None = None

    @property
    def count(self) -> int:
        """Keys seen so far."""
        return self._values.count if self._numbers is None else len(self._numbers)

    @property
    def dictionary(self) -> dict[Any, int]:
        """Numbers by value; a new value may be added with the next number."""
        if self._numbers is None:
            self._numbers = {value: number for number, value in enumerate(self._values.series().to_list())}
        return self._numbers

    def number(self, values: pl.Series) -> Array:
        """Return the number of each value; new values get the next numbers in order of appearance."""
        if len(values) <= SMALL_ROWS:
            return self._from_dictionary(values)
        self._catch_up()
        fingerprints = self._values.fingerprints(values)
        # By row: the number of its value as far as the fingerprint says, -1 for values that are not in the table.
        numbers = self._table.find(fingerprints)
        count = self._values.count
        unknown = (numbers < 0).nonzero()[0]
        fresh = self._provisional(values, fingerprints, numbers, unknown) if len(unknown) else None
        if not self._values.are(values, numbers):
            # Different values have the same fingerprint: the dictionary knows better.
            self._values.shorten(count)
            return self._from_dictionary(values)
        if fresh is not None:
            self._learn(fingerprints[fresh], count)
        return numbers

    def _provisional(self, values: pl.Series, fingerprints: Array, numbers: Array, unknown: Array) -> Array:
        """Number the unknown rows, add their values and return the row in which each of them came first."""
        # By distinct fingerprint, ascending: the first of the unknown rows that has it. `rank` brings them into the
        # order of appearance; `value_of_row` says which of them each unknown row has.
        _, firsts, value_of_row = np.unique(fingerprints[unknown], return_index=True, return_inverse=True)
        order = np.argsort(firsts)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        numbers[unknown] = self._values.count + rank[value_of_row]
        rows: Array = unknown[firsts[order]]
        self._values.extend(values[rows].to_list())
        return rows

    def _learn(self, fingerprints: Array, first: int) -> None:
        """Take values added from number `first` on into the table and, if there is one, the dictionary."""
        count = self._values.count
        if self._numbers is not None:
            added = self._values.series(first).to_list()
            self._numbers.update(zip(added, range(first, count), strict=True))
        if self._table.has_room(len(fingerprints)):
            self._table.insert(fingerprints, np.arange(first, count))
            self._tabled = count
        else:
            self._fill_table()

    def _catch_up(self) -> None:
        """Take in what was learned through the dictionary, and make the table after a restart."""
        self._add_learned()
        if self._tabled < self._values.count:
            self._fill_table()

    def _add_learned(self) -> None:
        """Add the values that were learned through the dictionary."""
        missing = self.count - self._values.count
        if missing:
            self._values.extend(list(islice(reversed(self.dictionary), missing))[::-1])

    def _fill_table(self) -> None:
        """Bring the table up to date; entries that do not fit in are placed anew with all others."""
        count, first = self._values.count, self._tabled
        if not self._table.has_room(count - first):
            self._table.clear(count)
            first = 0
        self._table.insert(self._values.fingerprints(self._values.series(first)), np.arange(first, count))
        self._tabled = count

    def _from_dictionary(self, values: pl.Series) -> Array:
        known = self.dictionary
        return np.array([known.setdefault(value, len(known)) for value in values.to_list()], dtype=np.int64)

    def kept(self) -> Kept:
        """Return what is kept of each key; the values of a few stand for those of all."""
        held = self._table.size_bytes + self._values.size_bytes
        if self._numbers is not None:
            few = [sys.getsizeof(value) for value in islice(self._numbers, 100)]
            objects = int((sum(few) / max(len(few), 1) + _NUMBER_SIZE_BYTES) * self.count)
            held += sys.getsizeof(self._numbers) + objects
        return Kept(
            what="the key itself",
            key_size_bytes=_TABLE_SIZE_BYTES + (_TEXT_SIZE_BYTES if self._is_text else _VALUE_SIZE_BYTES),
            held_size_bytes=held,
        )

    def values(self) -> list[Any]:
        """Return all values in number order."""
        return self._values.series().to_list() if self._numbers is None else list(self._numbers)

    def values_at(self, numbers: Array) -> pl.Series:
        """Return the values that have these numbers."""
        return self.state().gather(numbers)

    def state(self) -> pl.Series:
        """Return all values in number order."""
        self._add_learned()
        return self._values.series()

    def validate(self) -> None:
        """Assert what is always true."""
        values = self.state()
        assert len(values) == self.count == values.n_unique()
        assert self._tabled <= self.count
        assert self._numbers is None or list(self._numbers.values()) == list(range(self.count))

    def clear(self) -> None:
        """Forget all values."""
        self.load(self.state()[:0])

    def load(self, state: pl.Series) -> None:
        """Take over what `state` gave."""
        self._values.load(state)
        self._table, self._tabled, self._numbers = FingerprintTable(), 0, None


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
        # By row: the number of its values so far; with each further column, that of the pair of it and the next value.
        numbers = self._columns[0].number(_physical(columns[0]))
        for keys, pairs, column in zip(self._columns[1:], self._pairs, columns[1:], strict=True):
            combined = (numbers << 32) | keys.number(_physical(column))
            numbers = pairs.number(pl.Series(combined))
        return numbers

    def number_of(self, key: Sequence[Any]) -> int:
        """Return the number of one key, given the values of its columns; texts, whole numbers and Booleans alone."""
        number = 0
        for place, value in enumerate(key):
            plain = int(value) if isinstance(value, bool) else value
            known = self._columns[place].dictionary
            of_value = known.setdefault(plain, len(known))
            if not place:
                number = of_value
                continue
            pairs = self._pairs[place - 1].dictionary
            number = pairs.setdefault((number << 32) | of_value, len(pairs))
        return number

    def values(self, numbers: Array) -> list[pl.Series]:
        """Return the values of some keys, column by column: texts, or whole numbers, as which others are kept."""
        found: list[pl.Series] = []
        for keys, pairs in zip(self._columns[:0:-1], self._pairs[::-1], strict=True):
            combined = pairs.values_at(numbers).to_numpy()
            found.append(keys.values_at(combined & 0xFFFFFFFF))
            numbers = combined >> 32
        if self._columns:
            found.append(self._columns[0].values_at(numbers))
        return found[::-1]

    def keep(self, numbers: Array) -> None:
        """Keep some keys, which ascend, and number them from 0 on."""
        values = self.values(numbers)
        for part in (*self._columns, *self._pairs):
            part.clear()
        self.number(values, len(numbers))

    def validate(self) -> None:
        """Assert what is always true: every number of a pair is one of the values that it stands for."""
        for part in (*self._columns, *self._pairs):
            part.validate()
        lefts = (self._columns[:1] + self._pairs)[: len(self._pairs)]
        for left, right, pairs in zip(lefts, self._columns[1:], self._pairs, strict=True):
            combined = pairs.state().to_numpy()
            assert ((combined >> 32) < left.count).all()
            assert ((combined & 0xFFFFFFFF) < right.count).all()

    def kept(self) -> list[Kept]:
        """Return what each part keeps of each key."""
        return [part.kept() for part in (*self._columns, *self._pairs)]

    def state(self) -> list[pl.Series]:
        """Return the values of every part in number order."""
        return [part.state() for part in (*self._columns, *self._pairs)]

    def load(self, state: Sequence[pl.Series]) -> None:
        """Take over what `state` gave."""
        for part, values in zip((*self._columns, *self._pairs), state, strict=True):
            part.load(values)


def logical(values: pl.Series, kind: pl.DataType) -> pl.Series:
    """Return values that keys gave as values of a column."""
    if kind == pl.Float64:
        bits = pl.Series(values.fill_null(0).to_numpy().view(np.float64))
        return bits.set(values.is_null(), None) if values.null_count() else bits
    return values.cast(kind)


def _physical(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Float64:
        return _bits(values)
    return values.cast(pl.Int64) if values.dtype == pl.Boolean else values


def _bits(values: pl.Series) -> pl.Series:
    """Return the bit patterns of real numbers, -0 being 0."""
    array = values.fill_null(0.0).to_numpy() + 0.0
    bits = pl.Series(array.view(np.int64))
    return bits.set(values.is_null(), None) if values.null_count() else bits

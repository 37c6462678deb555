"""The values of one key column in the order of their numbers: texts, or whole numbers, and perhaps NULL.

Here is what a batch is compared with, so that a key number is never taken on the word of a hash alone. Fingerprints are
good within one process only and are never saved.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import polars as pl

from actors.engine.vectors.segments import grown
from actors.engine.vectors.vector import Array

_JOINED_COUNT_MAX = 10_000
"""Texts up to this number are joined at once, whenever some come."""

_RECENT_SHARE = 8
"""So many times as many texts as wait are joined already, at least."""


class KeyValues(Protocol):
    """Values by number, and the operations on a batch of values that need them."""

    @property
    def count(self) -> int:
        """Values there are."""

    @property
    def size_bytes(self) -> int:
        """Bytes they take."""

    def fingerprints(self, values: pl.Series) -> Array:
        """Return 64 bits for each value, equal for equal values and nearly always different for others."""

    def are(self, values: pl.Series, numbers: Array) -> bool:
        """Return whether every value is the one that has the number beside it."""

    def extend(self, values: Sequence[Any]) -> None:
        """Add values."""

    def shorten(self, count: int) -> None:
        """Leave out all values but the first ones."""

    def series(self, first: int = 0) -> pl.Series:
        """Return the values from a number on."""

    def load(self, values: pl.Series) -> None:
        """Take over values that `series` gave."""


class TextValues:
    """Texts in one piece, in which they are found fast, and a few more that have come since."""

    def __init__(self) -> None:
        self._settled = self._recent = pl.Series("key", [], dtype=pl.String)
        self._count = 0

    @property
    def count(self) -> int:
        """Values there are."""
        return self._count

    @property
    def size_bytes(self) -> int:
        """Bytes they take."""
        return int(self._settled.estimated_size() + self._recent.estimated_size())

    def fingerprints(self, values: pl.Series) -> Array:
        """Return a hash of each text."""
        return values.to_frame().hash_rows(1).to_numpy()

    def are(self, values: pl.Series, numbers: Array) -> bool:
        """Return whether every text is the one that has the number beside it."""
        first = len(self._settled)
        if not len(self._recent) or not (is_recent := numbers >= first).any():
            return self._settled[_positions(numbers)].equals(values)
        recent, settled = is_recent.nonzero()[0], (~is_recent).nonzero()[0]
        if not self._recent[_positions(numbers.take(recent) - first)].equals(values[_positions(recent)]):
            return False
        return self._settled[_positions(numbers.take(settled))].equals(values[_positions(settled)])

    def extend(self, values: Sequence[Any]) -> None:
        """Add texts, copied, so that the batch they came in can be forgotten."""
        added = pl.Series("key", values, dtype=pl.String)
        self._count += len(added)
        self._recent = pl.concat([self._recent, added], rechunk=True) if len(self._recent) else added
        if self.count < _JOINED_COUNT_MAX or len(self._recent) > len(self._settled) // _RECENT_SHARE:
            self.series()

    def shorten(self, count: int) -> None:
        """Leave out all texts but the first ones."""
        first = len(self._settled)
        self._settled, self._recent = self._settled[:count], self._recent[: max(count - first, 0)]
        self._count = len(self._settled) + len(self._recent)

    def series(self, first: int = 0) -> pl.Series:
        """Return the texts from a number on."""
        if first and first >= len(self._settled):
            return self._recent[first - len(self._settled) :]
        if len(self._recent):
            self._settled = pl.concat([self._settled, self._recent], rechunk=True)
            self._recent = self._recent[:0]
        return self._settled[first:]

    def load(self, values: pl.Series) -> None:
        """Take over texts."""
        self._settled = values.alias("key").rechunk()
        self._recent = self._settled[:0]
        self._count = len(self._settled)


def _positions(numbers: Array) -> pl.Series:
    return pl.Series(numbers.astype(np.uint32))


class WholeValues:
    """Whole numbers; 0 stands where NULL is."""

    def __init__(self) -> None:
        self._values = np.zeros(0, dtype=np.int64)
        self._count = 0
        self._null_number = -1

    @property
    def count(self) -> int:
        """Values there are."""
        return self._count

    @property
    def size_bytes(self) -> int:
        """Bytes they take."""
        return self._values.nbytes

    def fingerprints(self, values: pl.Series) -> Array:
        """Return each number with its bits mixed."""
        mixed = _filled(values).view(np.uint64)
        for multiplier in _MULTIPLIERS:
            mixed = (mixed ^ (mixed >> _SHIFT)) * multiplier
        result: Array = mixed ^ (mixed >> _SHIFT)
        return result

    def are(self, values: pl.Series, numbers: Array) -> bool:
        """Return whether every number is the one that has the key number beside it."""
        if not (self._values.take(numbers) == _filled(values)).all():
            return False
        if values.null_count():
            return bool(((numbers == self._null_number) == values.is_null().to_numpy()).all())
        return self._null_number < 0 or not (numbers == self._null_number).any()

    def extend(self, values: Sequence[Any]) -> None:
        """Add numbers."""
        stop = self._count + len(values)
        self._values = grown(self._values, stop, 0)
        added = pl.Series(values, dtype=pl.Int64)
        self._values[self._count : stop] = _filled(added)
        if added.null_count():
            self._null_number = self._count + int(added.is_null().arg_max() or 0)
        self._count = stop

    def shorten(self, count: int) -> None:
        """Leave out all numbers but the first ones."""
        self._count = count
        if self._null_number >= count:
            self._null_number = -1

    def series(self, first: int = 0) -> pl.Series:
        """Return the numbers from a key number on."""
        values = pl.Series("key", self._values[first : self._count])
        return values if self._null_number < first else values.scatter(self._null_number - first, None)

    def load(self, values: pl.Series) -> None:
        """Take over numbers."""
        self._values, self._count = _filled(values).copy(), len(values)
        self._null_number = int(values.is_null().arg_max() or 0) if values.null_count() else -1


_SHIFT = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD6E8FEB86659FD93), np.uint64(0xCA5A826395121157))


def _filled(values: pl.Series) -> Array:
    return (values.fill_null(0) if values.null_count() else values).to_numpy()

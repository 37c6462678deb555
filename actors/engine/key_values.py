"""The values of one key column in the order of their numbers: texts, or whole numbers, and perhaps NULL.

Here is what a batch is compared with, so that a key number is never taken on the word of a hash alone. Fingerprints are
good within one process only and are never saved.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import polars as pl

from actors.engine.segments import grown
from actors.engine.vectors import Array

_JOINED_COUNT_MAX = 1 << 18
"""Texts up to this number are joined whenever some come in."""

_CHUNK_COUNT_MAX = 16
"""Pieces of a longer series, each of them the texts that came in together."""


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

    def series(self) -> pl.Series:
        """Return all values."""

    def load(self, values: pl.Series) -> None:
        """Take over values that `series` gave."""


class TextValues:
    """Texts."""

    def __init__(self) -> None:
        self._values = pl.Series("key", [], dtype=pl.String)

    @property
    def count(self) -> int:
        """Values there are."""
        return len(self._values)

    @property
    def size_bytes(self) -> int:
        """Bytes they take."""
        return int(self._values.estimated_size())

    def fingerprints(self, values: pl.Series) -> Array:
        """Return a hash of each text."""
        return values.to_frame().hash_rows(1).to_numpy()

    def are(self, values: pl.Series, numbers: Array) -> bool:
        """Return whether every text is the one that has the number beside it."""
        return self._values[pl.Series(numbers.astype(np.uint32))].equals(values)

    def extend(self, values: Sequence[Any]) -> None:
        """Add texts, copied, so that the batch they came in can be forgotten."""
        self._values.extend(pl.Series("key", values, dtype=pl.String))
        # Texts are found ten times faster in one piece, but joining many takes a while.
        if len(self._values) < _JOINED_COUNT_MAX or self._values.n_chunks() > _CHUNK_COUNT_MAX:
            self._values = self._values.rechunk()

    def shorten(self, count: int) -> None:
        """Leave out all texts but the first ones."""
        self._values = self._values[:count]

    def series(self) -> pl.Series:
        """Return all texts."""
        return self._values

    def load(self, values: pl.Series) -> None:
        """Take over texts."""
        self._values = values.alias("key")


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

    def series(self) -> pl.Series:
        """Return all numbers."""
        values = pl.Series("key", self._values[: self._count])
        return values if self._null_number < 0 else values.scatter(self._null_number, None)

    def load(self, values: pl.Series) -> None:
        """Take over numbers."""
        self._values, self._count = _filled(values).copy(), len(values)
        self._null_number = int(values.is_null().arg_max() or 0) if values.null_count() else -1


_SHIFT = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD6E8FEB86659FD93), np.uint64(0xCA5A826395121157))


def _filled(values: pl.Series) -> Array:
    return (values.fill_null(0) if values.null_count() else values).to_numpy()

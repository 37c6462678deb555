"""From 64-bit fingerprints to key numbers for a whole batch at once: an open-addressing table.

An entry is one word: the key number plus one, and half of the fingerprint as a tag. Fingerprints of different keys may
agree in place and tag, so whoever looks a key up compares it with the one that has the number found.
"""

from typing import Any

import numpy as np

from actors.engine.vectors.vector import Array

_HALF = np.uint64(32)
_TAG = 0 if np.little_endian else 1
"""Which half of a word is the tag."""

_SIZE_MIN = 1 << 10

_FEW = 16
"""So many keys are looked for one by one, which takes less than the vectors of one step."""

_SPARSE_SIZE_MAX = 1 << 16
"""Largest table, in entries, that is kept nearly empty so that most keys are in their first place."""


class FingerprintTable:
    """Numbers of keys by fingerprint; all bits of a fingerprint should depend on all of the key."""

    def __init__(self) -> None:
        self._count = 0
        self._resize(_SIZE_MIN)

    @property
    def size_bytes(self) -> int:
        return self._words.nbytes

    def _resize(self, size: int) -> None:
        # A fingerprint's first place is its highest bits. An entry of 0 is free; the size is a power of two.
        self._shift = np.uint64(64 - (size.bit_length() - 1))
        self._words = np.zeros(size, dtype=np.uint64)

    def find(self, fingerprints: Array) -> Array:
        """Return the number of each fingerprint, -1 where there is none."""
        # By fingerprint: the entry in its first place, 0 if that is free. A number of 0 - 1 is what is given for that.
        words = self._words.take((fingerprints >> self._shift).view(np.int64))
        tags, wanted = _halves(words, _TAG), _halves(fingerprints, _TAG)
        pending = ((tags != wanted) & (words != 0)).nonzero()[0]
        if len(pending):
            words[pending] = self._probe(fingerprints[pending])
        numbers: Array = _halves(words, 1 - _TAG) - np.int64(1)
        return numbers

    def _probe(self, fingerprints: Array) -> Array:
        """Return the entries of fingerprints whose first place has another one."""
        entries = np.zeros(len(fingerprints), dtype=np.uint64)
        places = (fingerprints >> self._shift).view(np.int64)
        wanted, rows = _halves(fingerprints, _TAG), np.arange(len(fingerprints))
        while len(rows) > _FEW:
            places = (places + 1) & (len(self._words) - 1)
            found = self._words.take(places)
            other = (_halves(found, _TAG) != wanted) & (found != 0)
            entries[rows] = found
            left = other.nonzero()[0]
            rows, places, wanted = rows.take(left), places.take(left), wanted.take(left)
        for row, place, tag in zip(rows.tolist(), places.tolist(), wanted.tolist(), strict=True):
            entries[row] = self._next(place, tag)
        return entries

    def _next(self, place: int, tag: int) -> int:
        """Return the first entry after a place that has a tag, or is free."""
        while True:
            place = (place + 1) & (len(self._words) - 1)
            word: int = self._words.item(place)
            if not word or word & 0xFFFFFFFF == tag:
                return word

    def insert(self, fingerprints: Array, numbers: Array) -> None:
        """Add fingerprints; there must be room."""
        words = _words(fingerprints, numbers)
        assert self.has_room(len(words))
        self._place(fingerprints, words)
        self._count += len(words)

    def has_room(self, count: int) -> bool:
        """Return whether so many more fingerprints fit in."""
        return 2 * (self._count + count) <= len(self._words)

    def clear(self, count: int) -> None:
        """Empty the table and make room for twice as many fingerprints as are expected, or more if that is cheap."""
        self._count = 0
        self._resize(max(1 << (4 * count - 1).bit_length(), min(_SPARSE_SIZE_MAX, 1 << (64 * count - 1).bit_length())))

    def _place(self, fingerprints: Array, words: Array) -> None:
        places = (fingerprints >> self._shift).view(np.int64)
        # Positions of the entries that have no place yet. Of several that want one, the last is written; the others,
        # and those whose place was taken before, go on to the next.
        pending: Any = np.arange(len(words))
        while len(pending):
            free = pending[self._words[places[pending]] == 0]
            self._words[places[free]] = words[free]
            pending = pending[self._words[places[pending]] != words[pending]]
            places[pending] = (places[pending] + 1) & (len(self._words) - 1)


def _words(fingerprints: Array, numbers: Array) -> Array:
    words: Array = (numbers.astype(np.uint64) + np.uint64(1)) << _HALF
    words |= fingerprints & np.uint64(0xFFFFFFFF)
    return words


def _halves(words: Array, which: int) -> Array:
    return words.view(np.uint32)[which::2]

"""What is known of each key, key by key in columns, so that rows of many keys are taken at once.

Invariants: column `k` of each array belongs to the group of code `k`; what lies beyond an entry count in a codebook is
infinite, so that it is nearest to nothing. Everything is a double but entry counts and first times; counts of rows stay
exact far beyond what a stream can bring.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from actors.detectors.baseline.tuning import (
    CONTEXT_LENGTHS,
    ENTRY_COUNT,
    LEVEL_LENGTH,
    PATTERNS,
    TAIL_SPREAD_START,
    USUAL_START,
)

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

VERSION: Final = 1
"""Version of what is saved of a group."""

PART_COUNT: Final = 5
"""Parts: the error of the forecast (for the band alone), the level, and one for each codebook."""

CANDIDATE_COUNT: Final = 4
"""Forecasts that compete: last value, fast, slow, profile."""

SLOW_CANDIDATE, PROFILE_CANDIDATE = 2, 3
"""Which of the candidates are the slow forecast and the profile."""

ROWS = 0
LAST, FAST, SLOW = 1, 2, 3
ERROR_FAST, ERROR_SLOW = 4, 5
USUAL, ALARM_ROW, ALARM_SCORE = 6, 7, 8
MEAN_ERROR = 9
CONTEXT = MEAN_ERROR + CANDIDATE_COUNT
RING = CONTEXT + len(CONTEXT_LENGTHS)
QUANTILE = RING + LEVEL_LENGTH
SPREAD = QUANTILE + PART_COUNT
NUMBER_COUNT = SPREAD + PART_COUNT
"""Rows of `State.numbers`: rows seen, forecasts and their errors, what scores are usual, the last alarm, contexts, the
last rows' distances from the level, and the tail of each part."""

_DOUBLE: Final = np.dtype("<f8")
_NEVER: Final = np.iinfo(np.int64).min


class State:
    """All keys of one column."""

    def __init__(self, bin_count: int) -> None:
        self.bin_count = bin_count
        self.numbers = np.zeros((NUMBER_COUNT, 0))
        self.profile = np.zeros((bin_count, 0))
        self.visits = np.zeros((bin_count, 0))
        self.entries: list[Doubles] = [np.zeros((len(pattern), ENTRY_COUNT, 0)) for pattern in PATTERNS]
        self.entry_counts = np.zeros((len(PATTERNS), 0), np.int64)
        self.radii = np.zeros((len(PATTERNS), 0))
        self.first_times = np.zeros(0, np.int64)
        self.is_muted = np.zeros(0, np.bool_)

    def grow(self, size: int) -> None:
        """Make room for groups with codes below `size`."""
        if size <= self.numbers.shape[1]:
            return
        size = max(16, size + size // 4)
        self.numbers = _widened(self.numbers, size)
        fresh = slice(self.first_times.size, None)
        self.numbers[USUAL, fresh] = USUAL_START
        self.numbers[ALARM_ROW, fresh] = -np.inf
        self.numbers[SPREAD : SPREAD + PART_COUNT, fresh] = TAIL_SPREAD_START
        self.profile, self.visits = _widened(self.profile, size), _widened(self.visits, size)
        self.entries = [_widened(entries, size) for entries in self.entries]
        for entries in self.entries:
            entries[:, :, fresh] = np.inf
        self.entry_counts, self.radii = _widened(self.entry_counts, size), _widened(self.radii, size)
        self.is_muted = _widened(self.is_muted, size)
        self.first_times = _widened(self.first_times, size)
        self.first_times[fresh] = _NEVER

    def picked(self, codes: Ints) -> "State":
        """Return a copy that has these groups alone, in their order."""
        part = State(self.bin_count)
        part.numbers = self.numbers[:, codes]
        part.profile, part.visits = self.profile[:, codes], self.visits[:, codes]
        part.entries = [entries[:, :, codes] for entries in self.entries]
        part.entry_counts, part.radii = self.entry_counts[:, codes], self.radii[:, codes]
        return part

    def put_back(self, codes: Ints, part: "State") -> None:
        """Take over what has become of groups that were picked."""
        self.numbers[:, codes] = part.numbers
        self.profile[:, codes], self.visits[:, codes] = part.profile, part.visits
        for entries, others in zip(self.entries, part.entries, strict=True):
            entries[:, :, codes] = others
        self.entry_counts[:, codes], self.radii[:, codes] = part.entry_counts, part.radii

    def codes(self) -> list[int]:
        """Return the groups about which something is known."""
        return [int(code) for code in np.flatnonzero((self.numbers[ROWS] > 0) | self.is_muted)]

    def encode(self, code: int) -> list[Any]:
        """Return what is saved of a group."""
        counts = self.entry_counts[:, code].tolist()
        entries = [_bytes_of(one[:, :count, code]) for one, count in zip(self.entries, counts, strict=True)]
        numbers, profile, visits = (_bytes_of(array[:, code]) for array in (self.numbers, self.profile, self.visits))
        first_time = int(self.first_times[code])
        radii = self.radii[:, code].tolist()
        return [VERSION, bool(self.is_muted[code]), first_time, numbers, profile, visits, radii, entries]

    def decode(self, code: int, saved: Sequence[Any]) -> None:
        """Take over what was saved of a group.

        Raises:
            ValueError: it was saved by another version, or is torn.
        """
        version, is_muted, first_time, numbers, profile, visits, radii, entries = saved
        if version != VERSION:
            raise ValueError(f"a baseline of version {version}; this one reads {VERSION}")
        self.grow(code + 1)
        self.is_muted[code], self.first_times[code] = is_muted, first_time
        self.numbers[:, code] = np.frombuffer(numbers, _DOUBLE)
        self.profile[:, code] = np.frombuffer(profile, _DOUBLE)
        self.visits[:, code] = np.frombuffer(visits, _DOUBLE)
        self.radii[:, code] = radii
        for number, data in enumerate(entries):
            found = np.frombuffer(data, _DOUBLE).reshape(len(PATTERNS[number]), -1)
            self.entry_counts[number, code] = found.shape[1]
            self.entries[number][:, : found.shape[1], code] = found

    def validate(self) -> None:
        """Assert every invariant."""
        numbers = self.numbers
        assert not np.isnan(numbers).any(), "something that is no number"
        assert np.all(numbers[ROWS] >= 0), "fewer than no rows"
        assert np.all(numbers[SPREAD : SPREAD + PART_COUNT] > 0), "a tail without a spread"
        is_used = np.arange(ENTRY_COUNT)[:, None, None] < self.entry_counts.T[None, :, :]
        for number, entries in enumerate(self.entries):
            finite = np.isfinite(entries).all(axis=0)
            assert np.array_equal(finite, is_used[:, :, number]), "entries that do not fit their count"
        assert np.all((numbers[ROWS] > 0) == (self.first_times != _NEVER)), "rows without a first time"


def _widened(array: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """Return the array with `size` columns; the new ones are 0."""
    wide = np.zeros((*array.shape[:-1], size), array.dtype)
    wide[..., : array.shape[-1]] = array
    return wide


def _bytes_of(array: Doubles) -> bytes:
    return np.ascontiguousarray(array, _DOUBLE).tobytes()

"""Sources: where rows come from, and what every source promises.

A source is a stream cut into *splits*; the records of a split have *offsets* counted from 0. A record that cannot
become a row has its offset too and is handed out as a *dead letter*, so nothing goes missing silently: between two
offsets, rows and dead letters are all records there were. Offsets may have gaps (a blank line of a file), never
repetitions.

Every source is deterministic: reading the same split again gives the same rows at the same offsets, however reads are
cut. What rows mean is not known here; which source a job has is decided in `actors.source.open`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import polars as pl

from actors.errors import SourceError
from actors.model import Schema

Offsets = npt.NDArray[np.int64]
"""Offsets of rows, strictly increasing."""

OFFSET_MAX = 2**63 - 1
"""Greatest offset."""

TimeMark = tuple[int, int]
"""Offset of a time mark, which is no record, and the time that it brings, in units of the time column."""

RAW_SIZE_BYTES_MAX = 1024
"""Bytes of a bad record that a dead letter keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitInfo:
    """One split of a source."""

    number: int
    """Number of the split, from 0."""

    name: str
    """What people call it: a file name, a table name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that could not become a row."""

    split: int
    """Number of the split, from 0."""

    offset: int
    """Offset of the record in its split."""

    reason: str
    """What is wrong with it, naming the column and the value where there is one."""

    raw: bytes
    """The record as it came, cut to `RAW_SIZE_BYTES_MAX` bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBatch:
    """What one read gave: rows and dead letters of all records in `[offset, next_offset)`."""

    frame: pl.DataFrame
    """Good rows, a canonical frame in order of their offsets."""

    offsets: Offsets
    """Offset of each row of the frame."""

    next_offset: int
    """Offset to read next; every record below it is in this batch or an earlier one."""

    dead_letters: tuple[DeadLetter, ...] = ()
    """Bad records of the range, in order of their offsets."""

    at_end: bool = False
    """Whether the split ends here for good; a growing source never says so."""

    time_marks: tuple[TimeMark, ...] = ()
    """Time marks of the range, in order of their offsets, which no record has."""

    def below(self, end: int) -> "SourceBatch":
        """Return the part of the batch below an offset."""
        if self.next_offset <= end:
            return self
        count = int(np.searchsorted(self.offsets, end))
        letters = tuple(letter for letter in self.dead_letters if letter.offset < end)
        return SourceBatch(
            frame=self.frame[:count],
            offsets=self.offsets[:count],
            next_offset=end,
            dead_letters=letters,
            time_marks=tuple(mark for mark in self.time_marks if mark[0] < end),
        )

    def validate(self) -> None:
        """Assert the invariants of a batch."""
        assert self.offsets.dtype == np.int64
        assert self.frame.height == self.offsets.size
        assert bool(np.all(np.diff(self.offsets) > 0))
        assert not self.offsets.size or 0 <= self.offsets[0] <= self.offsets[-1] < self.next_offset
        letters = [letter.offset for letter in self.dead_letters]
        assert letters == sorted(set(letters))
        assert not letters or letters[-1] < self.next_offset
        assert not set(letters) & set(self.offsets.tolist())
        marks = [offset for offset, _ in self.time_marks]
        assert marks == sorted(set(marks))
        assert not marks or marks[-1] < self.next_offset
        assert not set(marks) & {*letters, *self.offsets.tolist()}
        assert all(len(letter.raw) <= RAW_SIZE_BYTES_MAX for letter in self.dead_letters)


@runtime_checkable
class Source(Protocol):
    """A stream of rows that can be read again from any offset it still holds."""

    @property
    def schema(self) -> Schema:
        """Columns of the rows."""
        ...

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return the splits there are, in order of their numbers.

        Raises:
            SourceError: the source cannot be reached.
        """
        ...

    def earliest_offset(self, split: int) -> int:
        """Return the first offset that can still be read.

        Raises:
            SourceError: there is no such split.
        """
        ...

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        """Return at most `row_count_max` records from `offset` on; an empty batch when there are none yet.

        Raises:
            SourceError: no such split, an offset that is gone or was never reached, or data that cannot be read at all.
        """
        ...

    def remarks(self) -> tuple[str, ...]:
        """Return what is odd about everything read so far, a sentence each: a column that is NULL in all rows."""
        ...

    def close(self) -> None:
        """Give back files and handles; a second call does nothing."""
        ...


def cut_raw(record: bytes) -> bytes:
    """Return the part of a bad record that a dead letter keeps."""
    return record[:RAW_SIZE_BYTES_MAX]


def check_request(
    splits: Sequence[SplitInfo], split: int, offset: int, row_count_max: int, end: int | None = None
) -> None:
    """Check the arguments of a read; `end` is the offset after the last record, where it is known.

    Raises:
        SourceError: there is no such split, or the offset is negative or beyond the end.
        ValueError: `row_count_max` is below 1.
    """
    if row_count_max < 1:
        raise ValueError(f"row_count_max is {row_count_max}; give at least 1")
    if not 0 <= split < len(splits):
        known = f"the source has splits 0 to {len(splits) - 1}" if splits else "the source has no splits yet"
        raise SourceError(f"there is no split {split}; {known}")
    if offset < 0:
        raise SourceError(f"offset {offset} of split {split} is negative; offsets start at 0")
    if end is not None and offset > end:
        raise beyond_end(splits[split], offset, end)


def beyond_end(split: SplitInfo, offset: int, end: int) -> SourceError:
    """Return the error for an offset that a split has not reached."""
    return SourceError(
        f"offset {offset} of split {split.number} ({split.name}) was never reached: it has {end} records. "
        "Was the input replaced? Start a new job for new input"
    )

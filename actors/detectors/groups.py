"""Groups of rows, and the rows of a batch in the order in which a detector learns from them.

Invariants: a group's code is its position in the order of first appearance here, and means nothing outside; what is
saved names groups by their values. The learning rows of a group come before all that are judged, because the number of
rows and the watermark (the latest time so far) never fall. Only learned rows count, unless all times are asked for:
the last of them need not be the last of a batch, and what is saved must not show where batches were cut. Once a group
has learned enough, its rows change nothing here, but for the watermark where all times are asked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgpack
import numpy as np
import polars as pl
import xxhash

from actors.detectors.learn_phase import LearnPhase

Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
GroupId = tuple[Any, ...]


class Phase(Enum):
    """Whether rows are learned or judged."""

    AUTO = "auto"
    """As the learn phase of the detector says."""

    TRAIN = "train"
    """All rows are learned."""

    DETECT = "detect"
    """All rows are judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedRows:
    """Rows sorted by group, in their own order within each group."""

    frame: pl.DataFrame

    offsets: Ints

    codes: Ints
    """Group of each row."""

    starts: Ints
    """Index of the first row of each group."""

    group_codes: Ints
    """Group of each segment."""

    ranks: Ints
    """Number of rows of the group before each row, counted over all batches while the group learns."""

    now: Ints
    """Watermark of the group at each row, that row included."""

    is_learning: Bools
    """Whether each row is learned instead of judged."""

    @property
    def row_count(self) -> int:
        """Number of rows."""
        return len(self.offsets)

    @property
    def ends(self) -> Ints:
        """Index after the last row of each group."""
        return np.append(self.starts[1:], self.row_count)[: len(self.starts)]


class Groups:
    """All groups a detector has seen, with how much of each has been learned."""

    def __init__(self, columns: Sequence[str], time_column: str, learn: LearnPhase, *, keeps_time: bool) -> None:
        self._columns = list(columns)
        self._time_column = time_column
        self._learn = learn
        self._keeps_time = keeps_time
        self._codes: dict[GroupId, int] = {}
        self.ids: list[GroupId] = []
        self.changed: set[int] = set()
        self._row_count = np.zeros(0, np.int64)
        self._first_time = np.zeros(0, np.int64)
        self._watermark = np.zeros(0, np.int64)
        self._is_done = np.zeros(0, np.bool_)

    def batch(self, frame: pl.DataFrame, offsets: Ints, phase: Phase) -> GroupedRows:
        """Return the rows sorted by group, and take note of them; rows without a time are left out."""
        times = frame[self._time_column]
        if times.null_count():
            keep = times.is_not_null()
            frame, offsets = frame.filter(keep), offsets[keep.to_numpy()]
        order, lengths, group_codes = self._sort(frame)
        starts = np.cumsum(lengths) - lengths
        if order is not None:
            frame, offsets = frame[order], offsets[order]
        now = _running_max(frame[self._time_column].to_numpy().astype(np.int64, copy=True), starts, lengths)
        self._note_new(group_codes, now[starts] if len(starts) else now)
        np.maximum(now, np.repeat(self._watermark[group_codes], lengths), out=now)
        within = np.arange(len(offsets)) - np.repeat(starts, lengths)
        ranks = within + np.repeat(self._row_count[group_codes], lengths)
        is_learning = self._are_learning(ranks, now, np.repeat(group_codes, lengths), phase)
        batch = GroupedRows(
            frame=frame,
            offsets=offsets,
            codes=np.repeat(group_codes, lengths),
            starts=starts,
            group_codes=group_codes,
            ranks=ranks,
            now=now,
            is_learning=is_learning,
        )
        if batch.row_count:
            self._note(batch, lengths, phase)
        return batch

    def code(self, group: GroupId) -> int:
        """Return the code of a group, made if need be."""
        code = self._codes.get(group)
        if code is None:
            code = self._codes[group] = len(self.ids)
            self.ids.append(group)
            if code >= len(self._row_count):
                self._grow(max(1024, 2 * code))
            self._first_time[code] = self._watermark[code] = _NO_TIME
            self._row_count[code] = 0
            self._is_done[code] = False
        return code

    def find(self, group: GroupId) -> int | None:
        """Return the code of a group, or `None` when it has never been seen."""
        return self._codes.get(group)

    def first_time(self, code: int) -> int | None:
        """Return the time of a group's first row, or `None` before there is one."""
        time = int(self._first_time[code])
        return None if time == _NO_TIME else time

    def watermark(self, code: int) -> int | None:
        """Return the latest time of a group that was noted, or `None` before there is one."""
        time = int(self._watermark[code])
        return None if time == _NO_TIME else time

    def is_done(self, code: int) -> bool:
        """Return whether a group has learned what it is to learn."""
        return bool(self._is_done[code])

    def digest(self, code: int) -> bytes:
        """Return 16 bytes that stand for a group in keys of saved entries."""
        return group_digest(self.ids[code])

    def encode(self, code: int) -> list[Any]:
        """Return what is saved of a group."""
        numbers = (self._row_count[code], self._first_time[code], self._watermark[code])
        return [list(self.ids[code]), *map(int, numbers), bool(self._is_done[code])]

    def decode(self, saved: Sequence[Any]) -> None:
        """Take over a group that was saved."""
        group, row_count, first_time, watermark, is_done = saved
        code = self.code(tuple(group))
        self._row_count[code], self._first_time[code] = row_count, first_time
        self._watermark[code], self._is_done[code] = watermark, is_done

    def validate(self) -> None:
        """Assert that codes and groups are one to one, and that times and numbers of rows fit each other."""
        count = len(self.ids)
        assert self._codes == {group: code for code, group in enumerate(self.ids)}, "codes are not the places of ids"
        assert all(len(group) == len(self._columns) for group in self.ids), "a group of other columns"
        assert all(code in range(count) for code in self.changed), "a group has changed that is not there"
        rows, first, latest = (array[:count] for array in (self._row_count, self._first_time, self._watermark))
        assert np.all(rows >= 0), "fewer than no rows"
        assert np.all((first == _NO_TIME) == (latest == _NO_TIME)), "a group with one of two times"
        assert np.all(first <= latest), "a watermark before the first row"
        assert np.all((rows == 0) | (first != _NO_TIME)), "rows without a time"

    def _sort(self, frame: pl.DataFrame) -> tuple[Ints | None, Ints, Ints]:
        """Return the order of rows by group (`None`: as they are), the size of each group and its code."""
        if not len(frame):
            return None, np.zeros(0, np.int64), np.zeros(0, np.int64)
        if not self._columns:
            return None, np.array([len(frame)]), np.array([self.code(())])
        columns = [frame.get_column(name) for name in self._columns]
        if len(frame) <= _FEW_ROWS and not any(column.dtype.is_float() for column in columns):
            return self._sort_few(columns)
        rows = pl.int_range(len(frame), dtype=pl.Int64, eager=True).alias(_ROW)
        grouped = frame.select(self._columns).with_columns(rows).group_by(self._columns, maintain_order=True).agg(_ROW)
        order = grouped[_ROW].explode().to_numpy()
        lengths = grouped[_ROW].list.len().to_numpy().astype(np.int64)
        ids = zip(*(grouped[name].to_list() for name in self._columns), strict=True)
        known = self._codes
        codes = np.array([known[group] if group in known else self.code(group) for group in ids], np.int64)
        return (None if len(codes) == 1 else order), lengths, codes

    def _sort_few(self, columns: Sequence[pl.Series]) -> tuple[Ints | None, Ints, Ints]:
        """Return what `_sort` does for few rows, at a tenth of its time; NaN and zeros with a sign are none of them."""
        places: dict[GroupId, list[int]] = {}
        for place, group in enumerate(zip(*(column.to_list() for column in columns), strict=True)):
            places.setdefault(group, []).append(place)
        lengths = np.array([len(rows) for rows in places.values()], np.int64)
        codes = np.array([self.code(group) for group in places], np.int64)
        order = np.array([place for rows in places.values() for place in rows], np.int64)
        return (None if len(codes) == 1 else order), lengths, codes

    def _grow(self, size: int) -> None:
        for name in ("_row_count", "_first_time", "_watermark", "_is_done"):
            old = getattr(self, name)
            new = np.zeros(size, old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def _note_new(self, group_codes: Ints, first_times: Ints) -> None:
        is_new = self._first_time[group_codes] == _NO_TIME
        codes = group_codes[is_new]
        self._first_time[codes] = self._watermark[codes] = first_times[is_new]
        self.changed.update(codes.tolist())

    def _are_learning(self, ranks: Ints, now: Ints, codes: Ints, phase: Phase) -> Bools:
        if phase is not Phase.AUTO:
            return np.full(len(ranks), phase is Phase.TRAIN)
        learn = self._learn
        is_learning = np.zeros(len(ranks), np.bool_)
        if learn.row_count is not None:
            is_learning |= ranks < learn.row_count
        if learn.duration is not None:
            is_learning |= now < self._first_time[codes] + learn.duration
        if learn.until is not None:
            is_learning |= now < learn.until
        return is_learning & ~self._is_done[codes]

    def _note(self, batch: GroupedRows, lengths: Ints, phase: Phase) -> None:
        codes = batch.group_codes
        is_open = ~self._is_done[codes]
        learned = np.add.reduceat(batch.is_learning, batch.starts, dtype=np.int64)
        noted = lengths if self._keeps_time or phase is Phase.DETECT else learned
        moves = (noted > 0) & (is_open | self._keeps_time)
        self._watermark[codes[moves]] = batch.now[(batch.starts + noted - 1)[moves]]
        self.changed.update(codes[is_open | self._keeps_time].tolist())
        if phase is not Phase.DETECT:
            self._row_count[codes[is_open]] += learned[is_open]
            self._is_done[codes] |= learned < lengths


def group_digest(group: GroupId) -> bytes:
    """Return 16 bytes that stand for a group in keys of saved entries."""
    return xxhash.xxh3_128_digest(msgpack.packb(group))


def segments(batch: GroupedRows) -> Iterable[tuple[int, int, int]]:
    """Return group, first row and end of each group of a batch."""
    return zip(batch.group_codes.tolist(), batch.starts.tolist(), batch.ends.tolist(), strict=True)


_FEW_ROWS = 128
"""Rows up to this number are sorted in Python, which costs less than calls of Polars."""

_ROW = "\0row"
_NO_TIME = np.iinfo(np.int64).min


def _running_max(times: Ints, starts: Ints, lengths: Ints) -> Ints:
    """Return the latest time so far within each segment."""
    falls = np.flatnonzero(times[1:] < times[:-1]) + 1
    late = falls[~np.isin(falls, starts, assume_unique=True)]
    for segment in np.unique(np.searchsorted(starts, late, side="right") - 1):
        part = slice(starts[segment], starts[segment] + lengths[segment])
        times[part] = np.maximum.accumulate(times[part])
    return times

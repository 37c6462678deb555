"""Ticks: where in a split its time, the greatest seen so far, reaches another multiple of the tick.

They follow from the rows, and the time marks, of the split alone. Somebody who begins in the middle does not know the
greatest time before; what he finds are all ticks there are from there on, and perhaps some that are not beyond an
earlier one, which partitions ignore. So a replay has the same ticks, wherever it begins and however rows are cut into
batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from actors.source.protocol import TimeMark

Tick = tuple[int, int]
"""Offset of the row, or time mark, at which time was seen to reach a moment, and the moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenTick:
    """A tick, and what it has shown."""

    offset: int
    time: int

    absent_since: Mapping[tuple[Any, ...], int]
    """The keys of its split that are absent, and since when."""


class TickFinder:
    """Finds the ticks of the splits of a job."""

    def __init__(self, time_column: str, tick_ticks: int | None) -> None:
        self._time_column = time_column
        self._size = tick_ticks
        self._latest: dict[int, int] = {}

    def find(
        self, split: int, frame: pl.DataFrame, offsets: np.ndarray, marks: Sequence[TimeMark] = ()
    ) -> tuple[Tick, ...]:
        """Return the ticks at the next rows and time marks of a split."""
        if self._size is None or not (len(offsets) or marks):
            return ()
        column = frame.get_column(self._time_column)
        there = column.is_not_null().to_numpy()
        places, times = offsets[there], column.drop_nulls().to_numpy()
        if marks:
            marked = np.array(marks, dtype=np.int64)
            at = np.searchsorted(places, marked[:, 0])
            places, times = np.insert(places, at, marked[:, 0]), np.insert(times.astype(np.int64), at, marked[:, 1])
        moments = np.maximum.accumulate(times // self._size)
        if not len(moments):
            return ()
        before = self._latest.get(split)
        is_tick = np.empty(len(moments), dtype=np.bool_)
        is_tick[0] = before is None or int(moments[0]) > before
        np.not_equal(moments[1:], moments[:-1], out=is_tick[1:])
        if before is not None:
            is_tick &= moments > before
        self._latest[split] = int(moments[-1]) if before is None else max(before, int(moments[-1]))
        return tuple(zip(places[is_tick].tolist(), (moments[is_tick] * self._size).tolist(), strict=True))

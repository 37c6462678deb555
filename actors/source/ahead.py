"""Rows whose time is ahead of that of most keys: one wrong clock is no time of a split.

The *claim* of a key is the time of its latest row. Of the keys that spoke last, `VOICE_COUNT_MAX` at most and none
that has not spoken for `look_back` offsets, the lower middle of the claims is the time of the split, the row that is
looked at being among them. A row further ahead of that than it may be becomes a dead letter: it is not tested, and
moves no tick. As soon as most of these keys have moved on, which they have after a gap, so has the time; a key that is
alone is never ahead.

What is said of a row depends on the rows of the last `look_back` offsets alone. Who begins in the middle reads those
again, so that a replay says the same, wherever it begins and however reads are cut.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from actors.model import ColumnType
from actors.source.protocol import DeadLetter, Source, SourceBatch, cut_raw
from actors.source.records import record_text
from actors.source.wrapped import WrappedSource
from actors.time_text import time_text

Array = np.ndarray[Any, Any]
Key = tuple[Any, ...]

VOICE_COUNT_MAX = 16
"""Keys that have a say in what the time of a split is."""

LOOK_BACK = 1 << 16
"""Offsets after which a key that has not spoken has no say, where there is a record at nearly each of them."""

_ROWS_AT_ONCE = 1024
"""Rows that are looked at together, if all of a batch are not alike."""

_WARM_UP_ROW_COUNT_MAX = 16_384

_ROW = " row"
"""Name that no column has."""


class SplitClock:
    """What the keys of one split that spoke last say of the time; `next_offset` is where it has read to."""

    def __init__(self, ahead_max: int, look_back: int) -> None:
        self._ahead_max = ahead_max
        self._look_back = look_back
        # In the order in which they spoke last: time and offset of the latest row.
        self._claims: dict[Key, tuple[int, int]] = {}
        self.next_offset = 0

    def judge(self, keys: pl.DataFrame, times: Array, offsets: Array) -> list[tuple[int, int]]:
        """Take rows with times; return the positions of those that are ahead, each with the time of the split then."""
        if not len(times):
            return []
        if self._are_near(times):
            self._note(keys, times, offsets)
            return []
        found: list[tuple[int, int]] = []
        for start in range(0, len(times), _ROWS_AT_ONCE):
            end = start + _ROWS_AT_ONCE
            part = keys[start:end], times[start:end], offsets[start:end]
            if self._are_near(part[1]):
                self._note(*part)
            else:
                found += [(start + row, time) for row, time in self._judge_each(*part)]
        return found

    def _are_near(self, times: Array) -> bool:
        """Return whether no row can be ahead, because nothing that is looked at is so far apart."""
        lowest = min(int(times.min()), *(time for time, _ in self._claims.values()), int(times.max()))
        return int(times.max()) - lowest <= self._ahead_max

    def _note(self, keys: pl.DataFrame, times: Array, offsets: Array) -> None:
        """Take rows none of which is ahead."""
        oldest = int(np.searchsorted(offsets, int(offsets[-1]) - self._look_back))
        # Mostly a few rows have enough keys.
        for first in (max(oldest, len(times) - _ROWS_AT_ONCE), oldest):
            row = pl.int_range(first, len(times), dtype=pl.Int64, eager=True).alias(_ROW)
            latest = keys[first:].with_columns(row).unique(subset=keys.columns, keep="last")
            if len(latest) >= VOICE_COUNT_MAX or first == oldest:
                break
        for *key, place in latest.sort(_ROW).tail(VOICE_COUNT_MAX).iter_rows():
            self._hear(tuple(key), int(times[place]), int(offsets[place]))

    def _judge_each(self, keys: pl.DataFrame, times: Array, offsets: Array) -> list[tuple[int, int]]:
        found = []
        rows = zip(keys.iter_rows(), times.tolist(), offsets.tolist(), strict=True)
        for row, (key, time, offset) in enumerate(rows):
            self._hear(key, time, offset)
            claims = sorted(claim for claim, _ in self._claims.values())
            middle = claims[(len(claims) - 1) // 2]
            if time - middle > self._ahead_max:
                found.append((row, middle))
        return found

    def _hear(self, key: Key, time: int, offset: int) -> None:
        self._claims.pop(key, None)
        self._claims[key] = time, offset
        while True:
            oldest, (_, spoken_at) = next(iter(self._claims.items()))
            if len(self._claims) <= VOICE_COUNT_MAX and spoken_at >= offset - self._look_back:
                return
            del self._claims[oldest]


class AheadSource(WrappedSource):
    """A source without the rows that are more than `ahead_max` units ahead of most keys; those are dead letters.

    `columns` are the time column and the key columns, of which there is at least one; `limit` is how people are told
    of `ahead_max`.
    """

    def __init__(
        self, source: Source, columns: Sequence[str], ahead_max: int, limit: str, look_back: int = LOOK_BACK
    ) -> None:
        super().__init__(source)
        self._time_column, *self._key_columns = columns
        self._ahead_max = ahead_max
        self._limit = limit
        self._look_back = look_back
        self._clocks: dict[int, SplitClock] = {}
        self._ahead_count = 0

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        """Return at most so many records from an offset on, those with a row that is ahead as dead letters.

        Raises:
            SourceError: as the source does.
        """
        clock = self._clock_at(split, offset)
        batch = self._source.read(split, offset, row_count_max)
        ahead = self._judge(clock, batch)
        return self._without(split, batch, ahead) if ahead else batch

    def remarks(self) -> tuple[str, ...]:
        """Return what the source has to say, and how many rows are ahead."""
        if not self._ahead_count:
            return self._source.remarks()
        said = f"{self._ahead_count} rows are ahead of most keys by more than {self._limit}, and dead letters"
        return (*self._source.remarks(), f"{said}; is a clock wrong?")

    def close(self) -> None:
        """Close the source."""
        self._clocks.clear()
        super().close()

    def _clock_at(self, split: int, offset: int) -> SplitClock:
        clock = self._clocks.get(split)
        if clock is None or clock.next_offset != offset:
            clock = self._clocks[split] = SplitClock(self._ahead_max, self._look_back)
            # Before an offset that was never reached there may be less than that.
            place = max(self._source.earliest_offset(split), offset - self._look_back, 0)
            while place < offset:
                batch = self._source.read(split, place, _WARM_UP_ROW_COUNT_MAX).below(offset)
                if batch.next_offset <= place:
                    break
                self._judge(clock, batch)
                place = batch.next_offset
            clock.next_offset = offset
        return clock

    def _judge(self, clock: SplitClock, batch: SourceBatch) -> list[tuple[int, int]]:
        """Return the positions of the rows that are ahead, each with the time of the split."""
        times = batch.frame.get_column(self._time_column)
        clock.next_offset = batch.next_offset
        keys = batch.frame.select(self._key_columns)
        if not times.null_count():
            return clock.judge(keys, times.to_numpy(), batch.offsets)
        there = times.is_not_null()
        places = there.arg_true().to_list()
        found = clock.judge(keys.filter(there), times.filter(there).to_numpy(), batch.offsets[there.to_numpy()])
        return [(places[row], time) for row, time in found]

    def _without(self, split: int, batch: SourceBatch, ahead: Sequence[tuple[int, int]]) -> SourceBatch:
        self._ahead_count += len(ahead)
        letters = [self._letter(split, batch, row, time) for row, time in ahead]
        is_kept = np.ones(len(batch.offsets), dtype=np.bool_)
        is_kept[[row for row, _ in ahead]] = False
        return replace(
            batch,
            frame=batch.frame.filter(pl.Series(is_kept)),
            offsets=batch.offsets[is_kept],
            dead_letters=tuple(sorted((*batch.dead_letters, *letters), key=lambda one: one.offset)),
        )

    def _letter(self, split: int, batch: SourceBatch, row: int, split_time: int) -> DeadLetter:
        kind: ColumnType = self.schema[self._time_column].type
        record = batch.frame.row(row, named=True)
        time = time_text(kind, record[self._time_column])
        reason = (
            f"ahead: the time, column {self._time_column!r}, is {time}, and that of most keys "
            f"{time_text(kind, split_time)}; put the clock right that it comes from, or change `limits.ahead_max`, "
            f"which is {self._limit}"
        )
        raw = cut_raw(record_text({**record, self._time_column: time}))
        return DeadLetter(split=split, offset=int(batch.offsets[row]), reason=reason, raw=raw)

"""Keyed log: for each key a sequence of entries that grows at the end and is trimmed at the front.

All keys share one pool of columns; the entries of a key are consecutive in it, so a range of a key's history is a range
of positions. A key has an *extent* of positions. When its entries reach the end of it they go back to its beginning,
if what was trimmed there leaves half of it free, or else to a larger extent at the end of the pool; the pool is packed
when most of it is waste. Positions are good until the next `append`. Key numbers are given in ascending order.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from actors.engine.keys.kept import Kept, held_size_bytes, value_size_bytes
from actors.engine.vectors.segments import Layout, expand, grown, starts_of
from actors.engine.vectors.vector import Array

_EXTENT_MIN = 2


class KeyedLog:
    """Histories of all keys, with the same columns for each."""

    def __init__(self, dtypes: Sequence[Any]) -> None:
        # By key number: the entries of a key are at `starts ... starts + lengths - 1` of every column, oldest first,
        # in its extent of positions `begins ... limits - 1`. Extents do not overlap; a key without has 0 four times.
        self.starts = np.zeros(0, dtype=np.int64)
        self.lengths = np.zeros(0, dtype=np.int64)
        self._begins = np.zeros(0, dtype=np.int64)
        self._limits = np.zeros(0, dtype=np.int64)
        # First position of the pool that is in no extent; columns are at least as long.
        self._used = 0
        # Keys asked for; the arrays by key number may be longer.
        self._key_count = 0
        self.columns = [np.zeros(0, dtype=dtype) for dtype in dtypes]

    @property
    def key_count(self) -> int:
        """Keys known: one more than the largest number that has been asked for."""
        return self._key_count

    def append(self, layout: Layout, columns: Sequence[Array]) -> Array:
        """Add the rows of a batch and return the position of each segment's first new entry."""
        self._cover(layout.numbers)
        numbers = layout.numbers
        stops = self.starts.take(numbers) + self.lengths.take(numbers)
        full = stops + layout.lengths > self._limits.take(numbers)
        if full.any():
            full = self._go_back(layout, full)
            if full.any():
                self._move(layout, full)
            stops = self.starts.take(numbers) + self.lengths.take(numbers)
        if layout.row_count == 1:
            for column, values in zip(self.columns, columns, strict=True):
                column[stops[0]] = values[0]
        else:
            positions = expand(stops, layout.lengths)
            for column, values in zip(self.columns, columns, strict=True):
                column[positions] = values
        self.lengths[numbers] += layout.lengths
        return stops

    def add_column(self, column: Array) -> int:
        """Add a column with a value at each position of the pool, and return its number."""
        self.columns.append(column)
        return len(self.columns) - 1

    def starts_for(self, numbers: Array) -> Array:
        """Return the position of the first entry kept for each key."""
        self._cover(numbers)
        return self.starts[numbers]

    def stops_for(self, numbers: Array) -> Array:
        """Return the position after the last entry of each key."""
        self._cover(numbers)
        return self.starts[numbers] + self.lengths[numbers]

    def reset(self, numbers: Array) -> None:
        """Forget the histories of keys, which ascend."""
        self.keep_last(numbers[: numbers.searchsorted(self._key_count)], 0)

    def keep(self, numbers: Array) -> None:
        """Keep the histories of some keys, which ascend, and number them from 0 on."""
        known = numbers[: numbers.searchsorted(self._key_count)]
        lengths = self.lengths[known]
        positions = expand(self.starts[known], lengths)
        columns = {f"column{i}": column[positions] for i, column in enumerate(self.columns)}
        self.load({"lengths": lengths, **columns})

    def last_entries(self, numbers: Array, fill: Any) -> Array:
        """Return what the first column holds in the last entry of each key, `fill` for keys without one."""
        found = np.full(len(numbers), fill, dtype=self.columns[0].dtype)
        known = numbers[: numbers.searchsorted(len(self.lengths))]
        where = self.lengths[known].nonzero()[0]
        with_entries = known[where]
        found[where] = self.columns[0][self.starts[with_entries] + self.lengths[with_entries] - 1]
        return found

    def drop_last(self, numbers: Array) -> None:
        """Forget the latest entry of keys that have one."""
        self.lengths[numbers] -= 1

    def keep_last(self, numbers: Array, counts: Any) -> None:
        """Trim histories to the given numbers of entries, where they are longer."""
        excess = np.maximum(self.lengths[numbers] - counts, 0)
        self.starts[numbers] += excess
        self.lengths[numbers] -= excess

    def kept(
        self,
        what: str,
        of: str = "",
        *,
        entry: str = "row",
        entry_count_max: int | None = None,
        part: Sequence[int] | None = None,
    ) -> Kept:
        """Return what the columns of a part keep of each key; the part with the first one has the key's position."""
        columns = self.columns if part is None else [self.columns[number] for number in part]
        has_position = part is None or 0 in part
        positions = [self.starts, self.lengths, self._begins, self._limits] if has_position else []
        return Kept(
            what=what,
            of=of,
            key_size_bytes=value_size_bytes(array.dtype for array in positions),
            entry_size_bytes=value_size_bytes(column.dtype for column in columns),
            entry=entry,
            entry_count_max=entry_count_max,
            held_size_bytes=held_size_bytes([*positions, *columns], int(self.lengths.sum())),
        )

    def state(self) -> dict[str, Array]:
        """Return all entries, packed in key order and copied."""
        positions = expand(self.starts, self.lengths)
        lengths = self.lengths[: self._key_count].copy()
        packed = {f"column{i}": column.take(positions) for i, column in enumerate(self.columns)}
        return {"lengths": lengths, **packed}

    def load(self, state: dict[str, Array]) -> None:
        """Take over entries that `state` gave."""
        self.lengths = state["lengths"].astype(np.int64)
        self.starts = starts_of(self.lengths)
        self._begins, self._limits = self.starts.copy(), self.starts + self.lengths
        self._used = int(self.lengths.sum())
        self._key_count = len(self.lengths)
        self.columns = [state[f"column{i}"].astype(column.dtype) for i, column in enumerate(self.columns)]

    def validate(self, key_count: int) -> None:
        """Assert what is always true."""
        assert self._key_count <= key_count, (self._key_count, key_count)
        assert self._key_count <= len(self.lengths) == len(self.starts) == len(self._begins) == len(self._limits)
        assert not self.lengths[self._key_count :].any()
        assert (self.lengths >= 0).all()
        assert (self._begins <= self.starts).all()
        assert (self.starts + self.lengths <= self._limits).all()
        order = np.argsort(self._begins, kind="stable")
        order = order[self._begins[order] < self._limits[order]]
        assert (self._limits[order][:-1] <= self._begins[order][1:]).all()
        assert not len(order) or int(self._limits[order[-1]]) <= self._used
        assert all(len(column) >= self._used for column in self.columns)

    def _cover(self, numbers: Array) -> None:
        count = int(numbers[-1]) + 1 if len(numbers) else 0
        self._key_count = max(self._key_count, count)
        if count > len(self.lengths):
            self.starts, self.lengths = grown(self.starts, count, 0), grown(self.lengths, count, 0)
            self._begins, self._limits = grown(self._begins, count, 0), grown(self._limits, count, 0)

    def _go_back(self, layout: Layout, full: Array) -> Array:
        """Let full keys whose extent is half free go back to its beginning; return which keys are still full."""
        numbers = layout.numbers
        wanted = self.lengths.take(numbers) + layout.lengths
        goes = full & (2 * wanted <= self._limits.take(numbers) - self._begins.take(numbers))
        chosen = numbers[goes]
        if len(chosen):
            self._copy(chosen, self._begins[chosen])
            self.starts[chosen] = self._begins[chosen]
        return full & ~goes

    def _copy(self, numbers: Array, starts: Array) -> None:
        """Copy the entries of keys to where they are to start."""
        lengths = self.lengths[numbers]
        origins, targets = expand(self.starts[numbers], lengths), expand(starts, lengths)
        for column in self.columns:
            column[targets] = column.take(origins)

    def _move(self, layout: Layout, full: Array) -> None:
        """Give larger extents at the end of the pool to the keys that are full."""
        needed = 2 * int((self.lengths[layout.numbers] + layout.lengths + _EXTENT_MIN).sum())
        if self._used + needed > (len(self.columns[0]) if self.columns else 0):
            self._make_room(needed)
            stops = self.starts.take(layout.numbers) + self.lengths.take(layout.numbers)
            full = stops + layout.lengths > self._limits.take(layout.numbers)
        numbers = layout.numbers[full]
        sizes = 2 * (self.lengths[numbers] + layout.lengths[full] + _EXTENT_MIN)
        starts = self._used + starts_of(sizes)
        self._copy(numbers, starts)
        self.starts[numbers] = self._begins[numbers] = starts
        self._limits[numbers] = starts + sizes
        self._used += int(sizes.sum())

    def _make_room(self, needed: int) -> None:
        """Pack the pool; keys keep their extents, so that a pool that has grown enough is packed no more."""
        wanted = np.maximum(self.lengths, np.minimum(self._limits - self._begins, 4 * (self.lengths + _EXTENT_MIN)))
        begins = starts_of(wanted)
        self._used = int(wanted.sum())
        origins, targets = expand(self.starts, self.lengths), expand(begins, self.lengths)
        size = max(self._used + max(2 * needed, self._used // 2), 1024)
        for i, column in enumerate(self.columns):
            larger = np.zeros(size, dtype=column.dtype)
            larger[targets] = column.take(origins)
            self.columns[i] = larger
        self.starts, self._begins, self._limits = begins, begins.copy(), begins + wanted

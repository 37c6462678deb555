"""Closed panes: what windows that overlap are joined from."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from actors.engine.functions.partials import Components, reduce_ranges
from actors.engine.functions.sequences import EXPANSION_ROWS_MAX
from actors.engine.keys.log import KeyedLog
from actors.engine.vectors.segments import (
    chunks,
    expand,
    layout_of,
    lower_bound,
    run_lengths,
    run_starts,
    starts_of,
)
from actors.engine.vectors.vector import Array
from actors.engine.windows.grid import Grid
from actors.engine.windows.slots import Slot, lay_out

NO_PANE = np.int64(np.iinfo(np.int64).min)
"""Number of the open pane of a key without rows."""


class Ended(NamedTuple):
    """The panes that a batch closed, ordered by key, then by time."""

    panes: Array
    """Their numbers in the grid of time."""

    components: list[Components]
    """Their components, slot by slot."""

    newest: Array | None = None
    """The newest pane with rows up to each of them; `None` if that is always the pane itself."""


class Slid(NamedTuple):
    """The windows that a batch closed, ordered by key, then by end."""

    components: list[Components]
    """Components of each content, slot by slot."""

    ends: Array
    """Number of the pane after each window."""

    contents: Array
    """Content of each window, ascending."""

    counts: Array
    """Windows that closed with each of the panes that closed."""


class ClosedPanes:
    """Of each key the closed panes with rows that a window may still hold, oldest first."""

    def __init__(self, slots: Sequence[Slot], grid: Grid) -> None:
        self._slots = slots
        self._pane_count, self._stride, self._first_end = grid.pane_count, grid.stride, grid.first_end
        self._finds_empty = grid.computes_empty
        # The first column has the number of the pane, ascending for each key; the second its rows, at least one; then
        # come the components of the other slots, and those that slots get when they widen. Empty panes are not kept,
        # so neighbours may lie far apart.
        self.log = KeyedLog([np.int64, *lay_out(slots)])

    def newest(self, numbers: Array) -> Array:
        """Return the newest closed pane of each key, `NO_PANE` for keys without one."""
        return self.log.last_entries(numbers, NO_PANE)

    def slide(self, numbers: Array, key: Array, ended: Ended, reach: Array) -> Slid:
        """Keep the panes that closed; return the windows that closed with them.

        `key` is the position of each closed pane's key in `numbers`, ascending; `reach` the number of panes whose ends
        were reached with its end, at least one: its own, and those after it before the next row. Windows end at those
        that are multiples of the stride and not before the first end there is, which may be none.
        """
        if not len(key):
            return Slid(ended.components, ended.panes, ended.panes, key)
        first_of_key = run_starts(key)
        chosen, counts = numbers[key[first_of_key]], run_lengths(first_of_key, len(key))
        position = self._keep(chosen, counts, ended)
        key_start = np.repeat(self.log.starts_for(chosen), counts)
        # From here on by window: the last pane it reaches, and the range of kept panes in it. Of the panes before the
        # one that closed it, only those that are not too old.
        earlier, counts = ended.panes // self._stride, reach
        if self._first_end is not None:
            earlier = np.maximum(earlier, self._first_end // self._stride - 1)
        if self._stride > 1 or self._first_end is not None:
            counts = np.maximum((ended.panes + reach) // self._stride - earlier, 0)
        if not counts.any():
            nothing = [tuple(part[:0] for part in parts) for parts in ended.components]
            return Slid(nothing, key[:0], key[:0], counts)
        repeat = np.repeat(np.arange(len(key)), counts)
        ends = expand(earlier + 1, counts) * self._stride
        stops = position[repeat] + 1
        starts = np.maximum(key_start[repeat], stops - self._pane_count)
        # One pane alone is in a window that is not empty.
        several = (stops - starts > (0 if self._finds_empty else 1)).nonzero()[0]
        oldest = ends[several] - self._pane_count
        starts[several] = lower_bound(self.log.columns[0], starts[several], stops[several], oldest)
        first_of_room = run_starts(starts, stops)
        shared = run_lengths(first_of_room, len(starts))
        starts, stops = starts[first_of_room], stops[first_of_room]
        contents = np.repeat(np.arange(len(shared)), shared)
        return Slid(self._join(starts, stops - starts), ends, contents, counts)

    def _keep(self, numbers: Array, counts: Array, ended: Ended) -> Array:
        """Keep the panes of keys that closed; return where each is, or for an empty one where the one before it is."""
        columns = [ended.panes] * len(self.log.columns)
        for slot, parts in zip(self._slots, ended.components, strict=True):
            for number, component in zip(slot.columns, parts, strict=True):
                columns[number] = component
        if ended.newest is None:
            return expand(self.log.append(layout_of(numbers, counts), columns), counts)
        filled = ended.newest == ended.panes
        starts = starts_of(counts)
        kept = np.add.reduceat(filled.astype(np.int64), starts)
        growing = kept > 0
        self.log.append(layout_of(numbers[growing], kept[growing]), [column[filled] for column in columns])
        first = self.log.stops_for(numbers) - kept
        seen = np.cumsum(filled)
        position: Array = np.repeat(first - (seen[starts] - filled[starts]), counts) + seen - 1
        return position

    def _join(self, starts: Array, lengths: Array) -> list[Components]:
        """Return the components of ranges of kept panes, slot by slot; of empty ones what there is before any row."""
        if not self._finds_empty or lengths.all():
            return self._joined(starts, lengths)
        filled = lengths > 0
        some = self._joined(starts[filled], lengths[filled]) if filled.any() else None
        found: list[Components] = []
        for place, slot in enumerate(self._slots):
            parts = []
            for number, name in enumerate(slot.names):
                part = np.full(len(lengths), slot.open.fill(name), dtype=self.log.columns[slot.columns[number]].dtype)
                if some is not None:
                    part[filled] = some[place][number]
                parts.append(part)
            found.append(tuple(parts))
        return found

    def _joined(self, starts: Array, lengths: Array) -> list[Components]:
        parts: list[list[Components]] = []
        for part in chunks(lengths, EXPANSION_ROWS_MAX):
            positions = expand(starts[part], lengths[part])
            joined = []
            for slot in self._slots:
                components = tuple(self.log.columns[number].take(positions) for number in slot.columns)
                joined.append(reduce_ranges(slot.partial, components, lengths[part]))
            parts.append(joined)
        if len(parts) == 1:
            return parts[0]
        return [
            tuple(np.concatenate(pieces) for pieces in zip(*(part[i] for part in parts), strict=True))
            for i in range(len(self._slots))
        ]

    def trim(self, numbers: Array, open_panes: Array) -> None:
        """Forget the panes that no window still to close can hold."""
        starts, stops = self.log.starts_for(numbers), self.log.stops_for(numbers)
        starts = lower_bound(self.log.columns[0], starts, stops, open_panes - self._pane_count + 1)
        self.log.keep_last(numbers, stops - starts)

    def row_counts(self, numbers: Array) -> Array:
        """Return the rows in the kept panes of each key."""
        starts = self.log.starts_for(numbers)
        counts = self.log.stops_for(numbers) - starts
        sizes = self.log.columns[1][expand(starts, counts)]
        sums = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(sizes)))
        first = starts_of(counts)
        rows: Array = sums[first + counts] - sums[first]
        return rows

    def validate(self, open_panes: Array) -> Array:
        """Assert what is always true, given each key's open pane; return the rows in the kept panes, by key."""
        self.log.validate(len(open_panes))
        lengths = self.log.lengths[: self.log.key_count]
        positions = expand(self.log.starts[: self.log.key_count], lengths)
        panes, keys = self.log.columns[0][positions], np.repeat(np.arange(len(lengths)), lengths)
        same = keys[1:] == keys[:-1]
        assert (panes[1:] > panes[:-1])[same].all()
        sizes = self.log.columns[1][positions]
        assert (sizes > 0).all()
        assert (panes < open_panes[keys]).all()
        return np.bincount(keys, sizes, len(open_panes)).astype(np.int64)

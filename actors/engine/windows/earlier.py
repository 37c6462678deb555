"""Earlier windows: what parts of metrics were over windows of a key that ended some steps before.

A window that was not computed, because it held no row, has no value. What a call is about is any expression of
aggregates, so it is computed when its window closes and kept as long as a later window may ask for it.
"""

from collections.abc import Callable, Sequence

import numpy as np

from actors.engine.keys.kept import Holding, Work
from actors.engine.keys.log import KeyedLog
from actors.engine.language.program import Context, Node, no_column
from actors.engine.vectors.segments import layout_of, lower_bound, run_lengths, run_starts
from actors.engine.vectors.vector import DTYPES, Array, Vector, filler, simplified, take, validity


class EarlierWindows:
    """State of all calls of `earlier`."""

    def __init__(self, calls: Sequence[Node], stride: int) -> None:
        self._stride = stride
        # For each call the part, which several may share, and how many windows before.
        self._calls = [(call, call.arguments[0], int(dict(call.term.constants)["n"])) for call in calls]
        self._parts = list({part.index: part for _, part, _ in self._calls}.values())
        self._reach = max((n for _, _, n in self._calls), default=0)
        # Windows of each key, oldest first: the number of the pane that each ends before, then for each part its value,
        # the filler for NULL, and whether it is there.
        dtypes = [dtype for part in self._parts for dtype in (DTYPES[part.term.type], np.bool_)]
        self.log = KeyedLog([np.int64, *dtypes])

    @property
    def is_asked(self) -> bool:
        """Whether there is any call."""
        return bool(self._calls)

    @property
    def nodes(self) -> list[Node]:
        """The calls."""
        return [call for call, _, _ in self._calls]

    def join(
        self,
        numbers: Callable[[], Array],
        ends: Array,
        contents: Array | None,
        row_counts: Array,
        values: dict[int, Vector],
    ) -> tuple[Array | None, Array, dict[int, Vector]]:
        """Return contents, their rows and aggregates, with the values of all calls; `numbers` gives each one's key."""
        if not self._calls:
            return contents, row_counts, values
        # Windows that hold the same rows differ in what was before them.
        if contents is not None:
            values, row_counts = {i: take(value, contents) for i, value in values.items()}, row_counts[contents]
        return None, row_counts, values | self.values(numbers(), ends, values)

    def values(self, numbers: Array, ends: Array, aggregates: dict[int, Vector]) -> dict[int, Vector]:
        """Return the value of each call over windows that close, by node index.

        `ends` are the numbers of the panes that windows end before; windows are ordered by key, which ascend, then by
        end, and `aggregates` has a value for each.
        """
        if not len(ends):
            return {call.index: Vector(np.zeros(0, DTYPES[call.term.type]), None) for call, _, _ in self._calls}
        context = Context(len(ends), no_column, lambda node: aggregates[node.index], None)
        columns: list[Array] = [ends]
        for part in self._parts:
            vector = context.rows(part)
            there = validity(vector)
            columns += [np.where(there, vector.values, filler(part.term.type)).astype(DTYPES[part.term.type]), there]
        starts = run_starts(numbers)
        layout = layout_of(numbers[starts], run_lengths(starts, len(numbers)))
        self.log.append(layout, columns)
        first = np.repeat(self.log.starts_for(layout.numbers), layout.lengths)
        stops = self.log.stops_for(layout.numbers)
        stop = np.repeat(stops, layout.lengths)
        found = {call.index: self._found(part, ends - n * self._stride, first, stop) for call, part, n in self._calls}
        # The next window may end one stride later.
        oldest = ends[layout.lasts] - (self._reach - 1) * self._stride
        keep = lower_bound(self.log.columns[0], self.log.starts_for(layout.numbers), stops, oldest)
        self.log.keep_last(layout.numbers, stops - keep)
        return found

    def _found(self, part: Node, wanted: Array, first: Array, stop: Array) -> Vector:
        """Return a part over the windows that ended before the wanted panes."""
        place = 1 + 2 * next(i for i, one in enumerate(self._parts) if one is part)
        position = lower_bound(self.log.columns[0], first, stop, wanted)
        inside = np.minimum(position, stop - 1)
        there = (position < stop) & (self.log.columns[0][inside] == wanted) & self.log.columns[place + 1][inside]
        fill = filler(part.term.type)
        return simplified(np.where(there, self.log.columns[place][inside], fill).astype(DTYPES[part.term.type]), there)

    def kept(self) -> list[Holding]:
        """Return what is kept of each key."""
        if not self._calls:
            return []
        of = ", ".join(part.term.source for part in self._parts)
        kept = self.log.kept("earlier windows", of, entry="window", entry_count_max=self._reach)
        return [Holding(kept, tuple(call.index for call, _, _ in self._calls))]

    def work(self, index: int) -> list[Work]:
        """Return what a call costs; empty for a node that is none."""
        if all(call.index != index for call, _, _ in self._calls):
            return []
        return [Work(order="O(log windows kept)", per="closing", why="looks for the earlier window", weight=20)]

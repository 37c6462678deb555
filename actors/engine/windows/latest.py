"""The latest computed window of each key: what metrics that look at rows and aggregates compare rows with."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from actors.engine.keys.per_key import PerKey
from actors.engine.language.program import Node, no_aggregate
from actors.engine.vectors.segments import Layout
from actors.engine.vectors.vector import Array, Vector, simplified
from actors.engine.windows.grid import Grid
from actors.engine.windows.panes import Panes


class Held(NamedTuple):
    """What holds at each row of a batch: the latest computed window of its key."""

    values: Callable[[Node], Vector]
    """Aggregates over that window."""

    computed: Array | None
    """At which rows there is such a window; `None` for all of them."""

    window: Callable[[Array], tuple[Array, ...]]
    """From rows to the exclusive ends of their windows and the numbers of rows in them, and the starts if told."""


class Closed(NamedTuple):
    """The windows that a batch closed, ordered by key, then by end, and the panes of the batch that closed them."""

    closing: Array
    """Positions of the panes that closed the pane before them, ascending."""

    other: Array
    """Positions of the panes that closed no window, ascending; where windows end at every pane, the first of a key."""

    final: Array | None
    """Position of the last window that each closing pane closed; `None` if each closed one."""

    ends: Array
    """Exclusive end of each window."""

    contents: Array | None
    """Content of each window, ascending; `None` if each has its own, in the same order."""

    row_counts: Array
    """Rows in each content."""

    starts: Array | None = None
    """Where each window begins; `None` where its end says so."""

    carry: Array | None = None
    """For each pane, the pane whose latest window is that of its key there; `None` for itself always.

    Between panes that closed windows there may be some that closed none, and see what those did.
    """

    def last_contents(self) -> Array | None:
        """Return the content of the last window that each closing pane closed; `None` if it is the pane's position."""
        if self.final is None or self.contents is None:
            return self.final
        return self.contents.take(self.final)


class LatestWindows:
    """State of the latest window of each key, as arrays that the windows own."""

    def __init__(self, keys: PerKey, held: dict[int, PerKey], grid: Grid) -> None:
        self._keys = keys
        self._held = held
        self._bounds = ("window_end", "window_rows", *(["window_start"] if grid.tells_start else []))
        self._no_window = -1 if grid.computes_empty else 0

    def unchanged(self, layout: Layout) -> Held:
        """Return what holds at the rows of a batch that closed no window."""
        numbers, lengths = layout.numbers, layout.lengths
        if not self._held:
            return NOTHING_HELD
        bounds = [self._keys[name].take(numbers) for name in self._bounds]
        row_counts = bounds[1]

        def values(node: Node) -> Vector:
            held = self._held[node.index]
            held.cover(numbers)
            valid = held["valid"].take(numbers)
            value = np.repeat(held["value"].take(numbers), lengths)
            return Vector(value, None) if valid.all() else simplified(value, np.repeat(valid, lengths))

        def window(rows: Array) -> tuple[Array, ...]:
            keys = layout.starts.searchsorted(rows, side="right") - 1
            return tuple(bound[keys] for bound in bounds)

        has_window = row_counts != self._no_window
        everywhere = None if has_window.all() else np.repeat(has_window, lengths)
        return Held(values=values, computed=everywhere, window=window)

    def hold(self, layout: Layout, panes: Panes, closed: Closed, values: dict[int, Vector]) -> Held:
        """Keep the aggregates of each key's last window and return those that hold at each row."""
        if not self._held:
            return NOTHING_HELD
        numbers, contents = layout.numbers, closed.last_contents()
        for held in self._held.values():
            held.cover(numbers)
        before = {i: (held["value"].take(numbers), held["valid"].take(numbers)) for i, held in self._held.items()}
        bounds_before = [self._keys[name].take(numbers) for name in self._bounds]
        rows_before = bounds_before[1]
        other_keys = panes.key.take(closed.other)

        # A closing pane sees the last window that it closed, all others what their key saw before the batch. `chosen`
        # says for each closing pane which entry of `now` that is, `None` that they correspond.
        def at_panes(now: Array, then: Array, chosen: Array | None) -> Array:
            result = np.empty(len(panes.index), dtype=now.dtype)
            result[closed.closing] = now if chosen is None else now.take(chosen)
            result[closed.other] = then.take(other_keys)
            return result if closed.carry is None else result.take(closed.carry)

        def values_at_rows(node: Node) -> Vector:
            (now, now_valid), (then, then_valid) = values[node.index], before[node.index]
            joined = np.repeat(at_panes(now, then, contents), panes.runs.lengths)
            if now_valid is None and then_valid.all():
                return Vector(joined, None)
            now_valid = np.ones(len(now), dtype=np.bool_) if now_valid is None else now_valid
            return simplified(joined, np.repeat(at_panes(now_valid, then_valid, contents), panes.runs.lengths))

        def window(rows: Array) -> tuple[Array, ...]:
            now = [(closed.ends, closed.final), (closed.row_counts, contents), (closed.starts, closed.final)]
            chosen = panes.of_rows(rows)
            return tuple(
                at_panes(values, before, of_closing)[chosen]
                for (values, of_closing), before in zip(now, bounds_before, strict=False)
                if values is not None
            )

        computed = None
        had_window = rows_before != self._no_window
        if not had_window.all():
            has_window = at_panes(np.ones(len(closed.row_counts), dtype=np.bool_), had_window, contents)
            computed = np.repeat(has_window, panes.runs.lengths)
        if len(closed.closing):
            self._keep(layout, panes, closed, values)
        return Held(values=values_at_rows, computed=computed, window=window)

    def _keep(self, layout: Layout, panes: Panes, closed: Closed, values: dict[int, Vector]) -> None:
        """Take the last window of each key into the state."""
        # Of each key's closing panes the last one decides; `final` and `content` are those of its last window.
        key = panes.key.take(closed.closing)
        is_last = np.ones(len(key), dtype=np.bool_)
        np.not_equal(key[1:], key[:-1], out=is_last[:-1])
        chosen = is_last.nonzero()[0]
        numbers = layout.numbers.take(key.take(chosen))
        final = chosen if closed.final is None else closed.final.take(chosen)
        content = final if closed.contents is None else closed.contents.take(final)
        for i, held in self._held.items():
            last, valid = values[i].values.take(content), values[i].valid
            if valid is not None:
                # What stands where there is no value must not depend on other keys: it is part of the snapshot.
                valid = valid.take(content)
                last = np.where(valid, last, held.fill("value"))
            held["value"][numbers] = last
            held["valid"][numbers] = True if valid is None else valid
        self._keys["window_end"][numbers] = closed.ends.take(final)
        self._keys["window_rows"][numbers] = closed.row_counts.take(content)
        if closed.starts is not None:
            self._keys["window_start"][numbers] = closed.starts.take(final)


NOTHING_HELD = Held(values=no_aggregate, computed=None, window=lambda rows: (rows, rows))
"""What holds where no metric looks at rows and aggregates."""

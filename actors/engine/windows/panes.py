"""The panes of one batch, ordered by key, then by time."""

from dataclasses import dataclass

import numpy as np

from actors.engine.functions.partials import Runs
from actors.engine.vectors.segments import Layout, run_lengths
from actors.engine.vectors.vector import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Panes:
    """Where rows were cut; a pane has at least one row of the batch. Arrays are by pane unless they say by key."""

    runs: Runs
    """Where each pane starts in the sorted batch, its rows, and by key the position of its first pane."""

    index: Array
    """Number of each pane in its key's grid of time."""

    lasts: Array
    """By key: position of its last pane."""

    key: Array
    """Position of each pane's key in the layout, ascending."""

    def at_lasts(self, values: Array) -> Array:
        """Return the value of each key's last pane."""
        return values if self.runs.is_one_each else values.take(self.lasts)

    def before(self, values: Array, carried: Array, chosen: Array) -> Array:
        """Return, for chosen panes, the value of the pane before: the carried one for the first pane of a key."""
        if self.runs.is_one_each:
            return carried.take(chosen)
        shifted = np.empty_like(values)
        shifted[1:] = values[:-1]
        shifted[self.runs.firsts] = carried
        return shifted.take(chosen)

    def latest_of(self, chosen: Array) -> Array:
        """Return, for each pane, the latest of some panes that its key has up to it, else the first of its key."""
        places = np.full(len(self.index), -1)
        places[self.runs.firsts], places[chosen] = self.runs.firsts, chosen
        latest: Array = np.maximum.accumulate(places)
        return latest

    def of_rows(self, rows: Array) -> Array:
        found: Array = self.runs.starts.searchsorted(rows, side="right") - 1
        return found


def cut(pane_of_row: Array, layout: Layout) -> Panes:
    """Return the panes of rows, given the number of each row's pane in its key's grid of time."""
    changed = np.empty(len(pane_of_row), dtype=np.bool_)
    np.not_equal(pane_of_row[1:], pane_of_row[:-1], out=changed[1:])
    changed[layout.starts] = True
    starts = changed.nonzero()[0]
    index = pane_of_row.take(starts)
    if len(starts) == len(layout.starts):
        firsts = np.arange(len(starts))
        return Panes(runs=Runs(starts, layout.lengths, firsts), index=index, lasts=firsts, key=firsts)
    is_first = np.zeros(len(pane_of_row), dtype=np.bool_)
    is_first[layout.starts] = True
    firsts = is_first.take(starts).nonzero()[0]
    counts = run_lengths(firsts, len(starts))
    runs = Runs(starts, run_lengths(starts, len(pane_of_row)), firsts)
    return Panes(runs=runs, index=index, lasts=firsts + counts - 1, key=np.repeat(np.arange(len(firsts)), counts))

"""Windows of so many rows of a key, whatever their times.

They are windows over the numbers of rows. The row with which a window is complete closes it, and a batch leaves none
complete and open; metrics of rows compare a row with the window that was complete before it.
"""

from dataclasses import replace

import numpy as np

from actors.engine.language.program import Context
from actors.engine.vectors.segments import Layout
from actors.engine.vectors.vector import Array, Vector, simplified, validity
from actors.engine.windows.windows import Closings, Windows

_NONE = np.zeros(0, dtype=np.int64)


class RowWindows(Windows):
    """State of the windows of rows of all keys."""

    def advance(self, layout: Layout, times: Array, context: Context) -> Closings:
        """Take in a batch whose rows are sorted by key and, within a key, by arrival."""
        numbers = layout.numbers
        self.keys.cover(numbers)
        counts = self.keys["count"].take(numbers)
        places = np.arange(len(times)) + np.repeat(counts - layout.starts, layout.lengths)
        between = super().advance(layout, places, context)
        # They were closed by the next row, as it were.
        between = replace(between, rows=between.rows - 1)
        counts += layout.lengths
        self.keys["count"][numbers] = counts
        reached = self.grid.panes(counts, self.grid.offset)
        is_full = (reached != self.keys["pane"].take(numbers)).nonzero()[0]
        if not len(is_full):
            return between
        # What holds at rows is read when somebody asks, and closing changes it.
        nodes = [*(call.node for call in self.calls), *self.earlier.nodes]
        known = {node.index: between.held.values(node) for node in nodes if node.index in self.held}
        between = replace(between, held=between.held._replace(values=lambda node: known[node.index]))
        _, _, at_ends = self.close(numbers[is_full], reached[is_full])
        return _joined(between, replace(at_ends, rows=layout.lasts[is_full[at_ends.rows]]))

    def due(self, numbers: Array, time: int) -> tuple[Array, Array]:
        """Return that no key has a window due: time does not end them."""
        return _NONE, _NONE


def _joined(between: Closings, at_ends: Closings) -> Closings:
    """Return the windows that closed within a batch and those at the last rows of keys as one, in the order of rows."""
    if not at_ends.count or not between.count:
        return replace(at_ends, held=between.held) if at_ends.count else between
    parts = (between, at_ends)
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")
    first = len(between.row_counts)
    contents = [_contents(between), _contents(at_ends) + first]
    starts = [part.starts for part in parts if part.starts is not None]
    return Closings(
        count=len(rows),
        ends=np.concatenate([part.ends for part in parts])[order],
        rows=rows[order],
        contents=np.concatenate(contents)[order],
        row_counts=np.concatenate([part.row_counts for part in parts]),
        values={index: _both(values, at_ends.values[index]) for index, values in between.values.items()},
        held=between.held,
        starts=np.concatenate(starts)[order],
    )


def _contents(closings: Closings) -> Array:
    return np.arange(closings.count) if closings.contents is None else closings.contents


def _both(left: Vector, right: Vector) -> Vector:
    values = np.concatenate([left.values, right.values])
    if left.valid is None and right.valid is None:
        return Vector(values, None)
    return simplified(values, np.concatenate([validity(left), validity(right)]))

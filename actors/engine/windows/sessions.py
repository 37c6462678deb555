"""Sessions: windows that last until nothing comes for some time.

Each session of a key is a pane, numbered as they come; its first and last time are among what is added up of it. It
ends so long after its last row, and is closed by the first row from then on, or by a tick.
"""

import numpy as np

from actors.engine.vectors.segments import Layout
from actors.engine.vectors.vector import Array
from actors.engine.windows.closed_panes import NO_PANE
from actors.engine.windows.panes import Panes, cut
from actors.engine.windows.windows import Windows


class Sessions(Windows):
    """State of the sessions of all keys."""

    def _cut(self, layout: Layout, times: Array) -> Panes:
        numbers, first = layout.numbers, times[layout.starts]
        last, is_open = self._last_times(numbers)
        begins = np.empty(len(times), dtype=np.bool_)
        np.greater_equal(times[1:] - times[:-1], self._gap, out=begins[1:])
        begins[layout.starts] = is_open & (first - np.where(is_open, last, first) >= self._gap)
        before = np.where(self.keys["pane"].take(numbers) == NO_PANE, 0, self.keys["pane"].take(numbers))
        sessions = np.cumsum(begins)
        before -= sessions[layout.starts] - begins[layout.starts]
        return cut(np.repeat(before, layout.lengths) + sessions, layout)

    @property
    def _gap(self) -> int:
        assert self.grid.gap is not None
        return self.grid.gap

    def _last_times(self, numbers: Array) -> tuple[Array, Array]:
        """Return the last time of each key's session, and whether it has one that is open."""
        assert self._plan.bounds is not None
        size, last = self.slots[0].open, self.slots[self._plan.bounds[1]].open
        size.cover(numbers)
        last.cover(numbers)
        return last["component0"].take(numbers), size["component0"].take(numbers) > 0

    def due(self, numbers: Array, time: int) -> tuple[Array, Array]:
        """Return those of some keys whose session has ended by a time, and the pane after it."""
        self.keys.cover(numbers)
        last, is_open = self._last_times(numbers)
        is_due = is_open & (np.where(is_open, last, time) <= time - self._gap)
        return numbers[is_due], self.keys["pane"].take(numbers[is_due]) + 1

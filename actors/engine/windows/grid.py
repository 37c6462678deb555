"""The grid of windows: how time is cut into panes, and which panes are a window.

A *pane* is the longest stretch of time that windows share. Windows end after every `stride` panes and have `pane_count`
of them. Where the step divides the size a pane is a step. Where it does not, each step has two, the second from where
windows begin in it. Aligned to the calendar, a pane is a day, a week or a month.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.engine.vectors.vector import Array
from actors.engine.windows.calendar import Calendar

EMPTY_MAX = 1000
"""Windows without rows that are computed in one gap of a key, or at one tick; those after them are passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """How time is cut into windows, in units of the time column."""

    window_size: int
    """Length of a window; with a calendar the number of its days, weeks or months."""

    step: int
    """From the end of one window to that of the next, in the same unit."""

    alignment: int = 0
    """The first window of a key ends at its first time, rounded down to a multiple of this, plus `step`."""

    offset: int = 0
    """How far windows begin after a multiple of `alignment`."""

    calendar: Calendar | None = None
    """What windows are aligned to; `None` for lengths of time."""

    counts_rows: bool = False
    """Whether windows are so many rows of a key: then time stands for the number of a row, from 0."""

    gap: int | None = None
    """How long without a row a session ends, the only pane of its window; `None` for other windows."""

    computes_empty: bool = False
    """Whether windows without rows are computed too, once a key is known."""

    closes_at_ticks: bool = False
    """Whether time alone closes windows too, so that the pane that a key has open may be empty."""

    @property
    def tells_start(self) -> bool:
        """Whether a window begins and ends with rows, so that its end does not say where it begins."""
        return self.counts_rows or self.gap is not None

    @property
    def first_end(self) -> int | None:
        """The pane before which the first window of a key may end; `None` for any."""
        return self.window_size // self.step * self.stride if self.counts_rows else None

    @property
    def reach_max(self) -> int:
        """Panes after one with rows at whose ends windows are computed."""
        if self.counts_rows:
            # The next row is in the next pane at the latest.
            return 1
        return self.pane_count + EMPTY_MAX * self.stride if self.computes_empty else self.pane_count

    @property
    def is_even(self) -> bool:
        """Whether each pane is a step."""
        return self.calendar is None and self.window_size % self.step == 0

    @property
    def pane_count(self) -> int:
        """Panes of a window."""
        if self.calendar is not None:
            return self.window_size
        return self.window_size // self.step if self.is_even else 2 * (self.window_size // self.step) + 1

    @property
    def stride(self) -> int:
        """Panes from the end of one window to that of the next."""
        if self.calendar is not None:
            return self.step
        return 1 if self.is_even else 2

    @property
    def one_grid(self) -> bool:
        """Whether all keys have the same panes; otherwise each key has a phase of its own."""
        return self.calendar is not None or self.tells_start or self.alignment % self.step == 0

    def panes(self, times: Array, phases: Any) -> Array:
        """Return the numbers of the panes that times are in, given the phase of each time's key."""
        if self.calendar is not None:
            return self.calendar.numbers(times)
        moved = times - phases if self.offset or not self.one_grid else times
        steps: Array = moved // self.step
        if self.is_even:
            return steps
        panes: Array = 2 * steps + (moved - steps * self.step >= -self.window_size % self.step)
        return panes

    def starts(self, panes: Array, phases: Any) -> Array:
        """Return where panes begin that windows end at, given the phase of each one's key."""
        if self.calendar is not None:
            return self.calendar.starts(panes)
        starts: Array = (panes if self.is_even else panes // 2) * self.step
        return starts + phases if self.offset or not self.one_grid else starts

    def reached(self, time: int, phases: Any) -> Array | int:
        """Return the pane before which the last window ends that ends by a time, given phases of keys."""
        if self.calendar is not None:
            return int(self.calendar.numbers(np.array([time]))[0]) // self.stride * self.stride
        steps: Array | int = (time - phases) // self.step
        return steps if self.is_even else 2 * steps

    def phases(self, first: Array) -> Array:
        """Return the phases of keys, given their first times."""
        moved = first - self.offset
        phases: Array = (moved - moved % self.alignment + self.offset) % self.step
        return phases

    def window_start(self, end: int) -> int:
        """Return where the window begins that has an end."""
        if self.calendar is None:
            return end - self.window_size
        last = self.calendar.numbers(np.array([end]))
        return int(self.calendar.starts(last - self.window_size)[0])

"""The windows of metrics, as a job file says them."""

from typing import NamedTuple

from actors.durations import duration_units
from actors.model import ColumnType
from config.base import DurationTicks, Settings


class WindowSettings(Settings):
    """The window of aggregates: that of the job, or one that a metric has for itself."""

    size: DurationTicks
    """Length, in ticks of the time column or as a duration."""

    step: DurationTicks | None = None
    """Distance between two windows; the size is a multiple of it. `None` means the size."""

    def size_ticks(self, kind: ColumnType) -> int:
        """Return the length in ticks of a time column."""
        return duration_units(self.size, kind)

    def step_ticks(self, kind: ColumnType) -> int:
        """Return the distance of two windows in ticks of a time column."""
        return self.size_ticks(kind) if self.step is None else duration_units(self.step, kind)

    def arguments(self, kind: ColumnType) -> "WindowArguments":
        """Return what an engine is told of the window; equal for equal windows."""
        return WindowArguments(window_size=self.size_ticks(kind), step=self.step_ticks(kind))


class WindowArguments(NamedTuple):
    """A window as the arguments of an engine, in ticks of the time column."""

    window_size: int
    step: int

"""The windows of metrics, as a job file says them."""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from actors.durations import duration_units
from actors.model import ColumnType
from config.base import DurationTicks, Settings, fault
from config.errors import Path

if TYPE_CHECKING:
    from actors.engine.windows.asked import AskedWindow

_LATER = ("offset", "align", "timezone")
"""Settings that windows did not have when the first shards were made."""


class WindowSettings(Settings):
    """The window of aggregates: that of the job, or one that a metric has for itself."""

    size: DurationTicks | None = None
    """Length, in ticks of the time column or as a duration; `None`, with `align`, means one day, week or month."""

    step: DurationTicks | None = None
    """Distance between two windows. `None` means the size."""

    offset: DurationTicks | None = None
    """How far windows begin after the moments at which they would, less than the step."""

    align: Literal["day", "week", "month"] | None = None
    """What of the calendar windows are made of; `None` means lengths of time."""

    timezone: str | None = None
    """Time zone of that calendar; `None` means UTC."""

    @property
    def asked(self) -> "AskedWindow":
        """The window as the engine checks it."""
        from actors.engine.windows.asked import AskedWindow

        return AskedWindow(size=self.size, step=self.step, offset=self.offset, align=self.align, timezone=self.timezone)

    def size_ticks(self, kind: ColumnType) -> int:
        """Return the length in ticks of a time column, or something above where lengths differ."""
        if self.align is None:
            return 0 if self.size is None else duration_units(self.size, kind)
        from actors.engine.windows.asked import longest, made_grid

        return longest(made_grid(self.asked, kind, round_time=True, closes_at_ticks=False), kind)

    def arguments(self, kind: ColumnType) -> "WindowArguments":
        """Return what an engine is told of the window; equal for equal windows."""
        # Months have no length in ticks.
        size, step = (
            given if given is None or self.align == "month" else duration_units(given, kind)
            for given in (self.size, self.step)
        )
        return WindowArguments(
            window_size=size,
            step=size if step is None else step,
            window_offset=0 if self.offset is None else duration_units(self.offset, kind),
            align=self.align,
            timezone=self.timezone,
        )

    def check(self, kind: ColumnType, path: Path) -> None:
        """Check what the settings mean together.

        Raises:
            SettingError: one of them cannot be used.
        """
        from actors.engine.windows.asked import WindowFault, made_grid

        if not self.asked.is_given:
            raise fault(path, "says nothing of a window; give `size: 5m`, or `align: day`")
        try:
            made_grid(self.asked, kind, round_time=True, closes_at_ticks=False)
        except WindowFault as found:
            raise fault((*path, found.field), found.text) from None


class WindowArguments(NamedTuple):
    """A window as the arguments of an engine, in ticks of the time column."""

    window_size: int | str | None
    step: int | str | None
    window_offset: int
    align: str | None
    timezone: str | None


def forget_later_settings(window: dict[str, Any] | None) -> None:
    """Take out of the data of a window what windows did not have when the first shards were made."""
    for name in _LATER if window is not None else ():
        if window is not None and window.get(name, "") is None:
            del window[name]

"""The windows of metrics, as a job file says them."""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from actors.durations import duration_units
from actors.model import ColumnType
from config.base import Count, DurationTicks, Settings, fault
from config.errors import Path

if TYPE_CHECKING:
    from actors.engine.windows.asked import AskedWindow

_LATER = ("offset", "align", "timezone", "rows", "gap", "empty")
"""Settings that windows did not have when the first shards were made."""


class WindowSettings(Settings):
    """The window of aggregates: that of the job, or one that a metric has for itself."""

    size: DurationTicks | None = None
    """Length, in ticks of the time column or as a duration; `None`, with `align`, means one day, week or month."""

    rows: Count | None = None
    """In place of a size: so many rows of a key."""

    gap: DurationTicks | None = None
    """In place of a size: sessions, which end when no row has come for so long."""

    step: DurationTicks | None = None
    """Distance between two windows, of windows of rows in rows. `None` means the size."""

    offset: DurationTicks | None = None
    """How far windows begin after the moments at which they would, less than the step."""

    align: Literal["day", "week", "month"] | None = None
    """What of the calendar windows are made of; `None` means lengths of time."""

    timezone: str | None = None
    """Time zone of that calendar; `None` means UTC."""

    empty: Literal["skip", "zero"] | None = None
    """What becomes of windows of known keys without rows: `zero` computes them, at ticks too. `None` means `skip`."""

    @property
    def has_one_length(self) -> bool:
        """Whether all windows are of one length of time."""
        return self.size is not None and self.align is None

    @property
    def asked(self) -> "AskedWindow":
        """The window as the engine checks it."""
        from actors.engine.windows.asked import AskedWindow

        return AskedWindow(
            size=self.size,
            step=self.step,
            offset=self.offset,
            align=self.align,
            timezone=self.timezone,
            rows=self.rows,
            gap=self.gap,
            empty=self.empty,
        )

    def size_ticks(self, kind: ColumnType) -> int:
        """Return the length in ticks of a time column, or something above where lengths differ; 0 for rows."""
        from actors.engine.windows.asked import longest, made_grid

        return longest(made_grid(self.asked, kind, round_time=True, closes_at_ticks=False), kind)

    def arguments(self, kind: ColumnType) -> "WindowArguments":
        """Return what an engine is told of the window; equal for equal windows."""
        # Months have no length in ticks, and rows are counted.
        is_length = self.align != "month" and self.rows is None
        size, step = (
            duration_units(given, kind) if given is not None and is_length else given
            for given in (self.size, self.step)
        )
        usual = size if self.rows is None else self.rows
        return WindowArguments(
            window_size=size,
            step=usual if step is None else step,
            window_offset=0 if self.offset is None else duration_units(self.offset, kind),
            align=self.align,
            timezone=self.timezone,
            window_rows=self.rows,
            window_gap=None if self.gap is None else duration_units(self.gap, kind),
            empty_windows=self.empty or "skip",
        )

    def check(self, kind: ColumnType, path: Path) -> None:
        """Check what the settings mean together.

        Raises:
            SettingError: one of them cannot be used.
        """
        from actors.engine.windows.asked import WindowFault, made_grid

        if not self.asked.is_given:
            raise fault(path, "says nothing of a window; give `size: 5m`, `rows: 100`, `gap: 5m` or `align: day`")
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
    window_rows: int | None
    window_gap: int | None
    empty_windows: str


def forget_later_settings(window: dict[str, Any] | None) -> None:
    """Take out of the data of a window what windows did not have when the first shards were made."""
    for name in _LATER if window is not None else ():
        if window is not None and window.get(name, "") is None:
            del window[name]

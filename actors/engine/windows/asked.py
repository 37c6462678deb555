"""The window as people ask for it, checked: a grid, or what is wrong with it.

Job files and the engine's arguments say the same by other names, so a fault has the field and a text without its name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from operator import index
from typing import Any

from actors.durations import duration_units, nanoseconds_per_unit
from actors.engine.errors import shown
from actors.engine.functions.zones import check_zone
from actors.engine.windows.alignment import alignment_size
from actors.engine.windows.calendar import DAY_NS, UNITS, Calendar
from actors.engine.windows.grid import Grid
from actors.model import ColumnType

_MONTHS = re.compile(r"(\d{1,6})\s*mo(?:nths?)?", re.ASCII)

ROWS_MAX = 1 << 40
"""Rows of a window, at most."""

_DAYS = {"day": 1, "week": 7}

_LONGEST_DAYS = {"day": 2, "week": 8, "month": 32}
"""Days that each unit has less than, whatever clocks do."""


class WindowFault(Exception):  # noqa: N818, it is no error until somebody says where it stands
    """What is wrong with one field of a window."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(field, text)
        self.field = field
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedWindow:
    """A window as it is asked for; `None` for what is not said. Lengths are durations, or units of the time column."""

    size: Any = None
    step: Any = None
    offset: Any = None
    align: str | None = None
    timezone: str | None = None
    rows: Any = None
    gap: Any = None
    empty: str | None = None

    @property
    def is_given(self) -> bool:
        """Whether it says what a window is."""
        return any(one is not None for one in (self.size, self.align, self.rows, self.gap))


def made_grid(asked: AskedWindow, kind: ColumnType, *, round_time: bool, closes_at_ticks: bool) -> Grid:
    """Return the grid of a window that is given, over a time column.

    Raises:
        WindowFault: something is wrong with it.
    """
    if asked.empty not in (None, "skip", "zero"):
        raise WindowFault("empty", f"{shown(asked.empty)} is none of skip, zero; use one of them")
    if asked.rows is not None:
        return _made_of_rows(asked, closes_at_ticks)
    if asked.gap is not None:
        _refuse(
            asked,
            ("size", "step", "offset", "align", "timezone", "empty"),
            f"a session lasts until nothing comes for {shown(asked.gap)}",
        )
        gap = _units("gap", asked.gap, kind)
        return Grid(window_size=gap, step=gap, gap=gap, closes_at_ticks=closes_at_ticks)
    if asked.align is not None:
        return _made_calendar(asked, kind, closes_at_ticks)
    if asked.timezone is not None:
        text = f"{shown(asked.timezone)} says where days begin, and windows are not aligned to any; add `align: day`"
        raise WindowFault("timezone", f"{text}, or leave it out")
    size = _units("size", asked.size, kind)
    step = size if asked.step is None else _units("step", asked.step, kind)
    offset = 0 if asked.offset is None else _units("offset", asked.offset, kind, least=0)
    if offset >= step:
        text = f"{shown(asked.offset)} is not below the step, {step} units, after which windows begin again; give less"
        raise WindowFault("offset", text)
    return Grid(
        window_size=size,
        step=step,
        alignment=alignment_size(kind, step, round_time),
        offset=offset,
        computes_empty=asked.empty == "zero",
        closes_at_ticks=closes_at_ticks,
    )


def longest(grid: Grid, kind: ColumnType) -> int:
    """Return the length of a window, in units of the time column, or something above where lengths differ."""
    if grid.calendar is None:
        return 0 if grid.counts_rows else grid.window_size
    return grid.window_size * _LONGEST_DAYS[grid.calendar.unit] * DAY_NS // (nanoseconds_per_unit(kind) or 1)


def _refuse(asked: AskedWindow, fields: Sequence[str], why: str) -> None:
    """Refuse what is said of another sort of window."""
    for field in fields:
        if (given := getattr(asked, field)) is not None:
            raise WindowFault(field, f"{shown(given)} says nothing here, as {why}; leave it out")


def _made_of_rows(asked: AskedWindow, closes_at_ticks: bool) -> Grid:
    why = f"the window is {shown(asked.rows)} rows, whatever their times"
    _refuse(asked, ("size", "gap", "offset", "align", "timezone", "empty"), why)
    size = _row_count("rows", asked.rows)
    step = size if asked.step is None else _row_count("step", asked.step)
    return Grid(
        window_size=size,
        step=step,
        alignment=step,
        offset=size % step,
        counts_rows=True,
        closes_at_ticks=closes_at_ticks,
    )


def _row_count(field: str, given: Any) -> int:
    is_whole = hasattr(given, "__index__") and not isinstance(given, bool)
    if not is_whole or not 1 <= index(given) <= ROWS_MAX:
        raise WindowFault(field, f"{shown(given)} is no number of rows; give one from 1 to {ROWS_MAX}")
    return index(given)


def _made_calendar(asked: AskedWindow, kind: ColumnType, closes_at_ticks: bool) -> Grid:
    unit, zone = asked.align, asked.timezone
    if unit not in UNITS:
        raise WindowFault("align", f"{shown(unit)} is none of {', '.join(UNITS)}; use one of them")
    if not kind.has_date or nanoseconds_per_unit(kind) is None:
        text = f"a time column of type {kind} has no days; leave it out, or use a type with date and time"
        raise WindowFault("align", text)
    if zone is not None:
        if kind is ColumnType.DATE:
            text = f"{shown(zone)} has no say in a DATE column, whose days are days already; leave it out"
            raise WindowFault("timezone", text)
        try:
            check_zone(zone)
        except ValueError as error:
            raise WindowFault("timezone", str(error)) from None
    size = 1 if asked.size is None else _count("size", asked.size, unit, kind)
    step = size if asked.step is None else _count("step", asked.step, unit, kind)
    offset = 0 if asked.offset is None else _units("offset", asked.offset, kind, least=0)
    unit_ns = nanoseconds_per_unit(kind) or 1
    if offset * unit_ns >= DAY_NS:
        text = f"{shown(asked.offset)} is a day or more; say how much later in the day each {unit} begins"
        raise WindowFault("offset", text)
    calendar = Calendar(unit, zone, offset * unit_ns // 1000, kind)
    return Grid(
        window_size=size,
        step=step,
        calendar=calendar,
        computes_empty=asked.empty == "zero",
        closes_at_ticks=closes_at_ticks,
    )


def _count(field: str, given: Any, unit: str, kind: ColumnType) -> int:
    """Return a number of days, weeks or months."""
    if unit == "month":
        match = _MONTHS.fullmatch(given.strip()) if isinstance(given, str) else None
        if match is None or not int(match[1]):
            text = f"{shown(given)} is no number of months, to which the window is aligned; write 1mo or 3mo"
            raise WindowFault(field, text)
        return int(match[1])
    whole, rest = divmod(_units(field, given, kind) * (nanoseconds_per_unit(kind) or 1), _DAYS[unit] * DAY_NS)
    if rest or not whole:
        example = "1d or 7d" if unit == "day" else "1w or 4w"
        text = (
            f"{shown(given)} is no number of {unit}s, to which windows are aligned; write {example}, or leave that out"
        )
        raise WindowFault(field, text)
    return whole


def _units(field: str, given: Any, kind: ColumnType, least: int = 1) -> int:
    is_known = isinstance(given, str | timedelta) or hasattr(given, "__index__")
    try:
        units = duration_units(given if isinstance(given, str | timedelta) or not is_known else index(given), kind)
    except ValueError as error:
        raise WindowFault(field, str(error)) from None
    if units < least or units > 1 << 60:
        what = "no time at all; give at least one unit" if units < least else "more than 2**60 units; give less"
        raise WindowFault(field, f"{shown(given)} is {what}")
    return units

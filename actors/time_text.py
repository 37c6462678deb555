"""Times as ISO text with all their digits, one by one: the form of `actors.frames.time_texts`, without Polars."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Final

from actors.model import SECONDS_PER_UNIT, UNITS_PER_SECOND, ColumnType

DAY_S: Final = 86_400
"""Seconds of a day."""

EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
"""Day of 1970 in the count of `datetime.date`."""

FIRST_DAY, LAST_DAY = date.min.toordinal() - EPOCH_DAY, date.max.toordinal() - EPOCH_DAY
"""First and last day that have a date, counted from the epoch."""

_DIGITS: Final = {ColumnType.NANOTIMESTAMP: 9, ColumnType.MICROTIMESTAMP: 6}
"""Digits after the second of points in time; others have three."""


def time_text(kind: ColumnType, ticks: int | None) -> str | None:
    """Return a time in units of a temporal type as ISO text; `None` for one that has no date, or no time, there.

    That is what lies outside the years 1 to 9999, or outside the day for a type without a date, such as the end of a
    window at midnight.
    """
    return None if ticks is None else _TEXTS[kind](kind, ticks)


def _moment(kind: ColumnType, ticks: int) -> str | None:
    units = UNITS_PER_SECOND[kind]
    day, rest = divmod(ticks, units * DAY_S)
    if not FIRST_DAY <= day <= LAST_DAY:
        return None
    seconds, fraction = divmod(rest, units)
    digits = _DIGITS.get(kind, 3)
    return f"{_day(day)}T{_clock(seconds)}.{fraction * 10**digits // units:0{digits}}Z"


def _time_of_day(kind: ColumnType, ticks: int) -> str | None:
    units = UNITS_PER_SECOND.get(kind)
    seconds, fraction = (ticks * SECONDS_PER_UNIT[kind], 0) if units is None else divmod(ticks, units)
    if not 0 <= seconds < DAY_S:
        return None
    nanoseconds = fraction * 1_000_000_000 // (units or 1)
    digits = 3 if nanoseconds % 1_000_000 == 0 else 6 if nanoseconds % 1_000 == 0 else 9
    return _clock(seconds) + (f".{nanoseconds // 10 ** (9 - digits):0{digits}}" if nanoseconds else "")


def _date(_: ColumnType, ticks: int) -> str | None:
    return _day(ticks) if FIRST_DAY <= ticks <= LAST_DAY else None


def _month(_: ColumnType, ticks: int) -> str | None:
    return f"{ticks // 12:04}-{ticks % 12 + 1:02}" if 12 <= ticks < 120_000 else None


def _day(day: int) -> str:
    return date.fromordinal(day + EPOCH_DAY).isoformat()


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


_TEXTS: Final[Mapping[ColumnType, Callable[[ColumnType, int], str | None]]] = {
    ColumnType.NANOTIMESTAMP: _moment,
    ColumnType.MICROTIMESTAMP: _moment,
    ColumnType.TIMESTAMP: _moment,
    ColumnType.DATETIME: _moment,
    ColumnType.DATE: _date,
    ColumnType.MONTH: _month,
    ColumnType.NANOTIME: _time_of_day,
    ColumnType.TIME: _time_of_day,
    ColumnType.SECOND: _time_of_day,
    ColumnType.MINUTE: _time_of_day,
}

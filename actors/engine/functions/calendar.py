"""Functions of times: what clocks and calendars of a zone show at a moment.

A time is a whole number in the unit of its column's type, which the constant `unit` of a call names. A type without a
date or without a time of day has no zone: it is what it is.
"""

from bisect import bisect_right
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from actors.engine.functions.scalars import Evaluate, Usage
from actors.engine.functions.zones import check_zone, zone_of
from actors.engine.vectors.vector import Array, Vector, both_valid
from actors.model import SECONDS_PER_UNIT, TIMES_OF_DAY, UNITS_PER_SECOND, ColumnType

DAY = 86_400
"""Seconds of a day."""

_EPOCH = date(1970, 1, 1).toordinal()
_FIRST_DAY, _LAST_DAY = 1 - _EPOCH, date.max.toordinal() - _EPOCH

KEPT_DAYS_MAX = 4096
"""Texts of days that are kept."""

NO_ZONE = "UTC"
"""The zone of a call that names none, and the only one of types without a date or a time of day."""


class Clock(NamedTuple):
    """How times of a call become days and seconds of the day, of numbers and of arrays alike."""

    per_second: int
    """Units in a second; 1 where a unit is at least a second."""

    seconds: int
    """Seconds of a unit; 1 where a unit is at most a second."""

    zone: str

    def day_and_second(self, time: Any, ahead: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Return the local day since 1970 and the second of it; `ahead` gives the offset at a second of UTC."""
        if self.seconds == DAY:
            return time, time * 0
        moment = time // self.per_second
        # Not the moment itself is moved: it may be the largest there is.
        in_day = DAY // self.seconds
        day, second = moment // in_day, moment % in_day * self.seconds
        if self.zone != NO_ZONE:
            second = second + ahead(moment)
            day, second = day + second // DAY, second % DAY
        return day, second


def _clock_of(usage: Usage, wants: str) -> Clock:
    """Return the clock of a call.

    Raises:
        ValueError: the type has nothing of what is wanted, `date` or `time`, or the zone does not exist.
    """
    kind, zone = usage.constants["unit"], usage.constants["zone"]
    lacks = "time of day" if kind is ColumnType.DATE else "date" if kind in TIMES_OF_DAY else ""
    if kind is ColumnType.MONTH or (lacks and wants == lacks.split()[0]):
        raise ValueError(f"a {kind} has no {lacks or 'days'}")
    if zone != NO_ZONE:
        check_zone(zone)
        if lacks:
            raise ValueError(f"a {kind} has no {lacks}, and so no time zone")
    return Clock(UNITS_PER_SECOND.get(kind, 1), SECONDS_PER_UNIT.get(kind, 1), zone)


def _ahead_of_all(zone: str) -> Callable[[Array], Array]:
    def ahead(moments: Array) -> Array:
        changes, offsets = zone_of(zone)
        return offsets[np.searchsorted(changes, moments, side="right")]

    return ahead


def _ahead_of_one(zone: str) -> Callable[[int], int]:
    found: list[list[int]] = []

    def ahead(moment: int) -> int:
        if not found:
            found.extend(column.tolist() for column in zone_of(zone))
        changes, offsets = found
        return offsets[bisect_right(changes, moment)]

    return ahead


class Part(NamedTuple):
    """A whole number that clocks or calendars show."""

    wants: str
    """What a type must have: `date` or `time`."""

    of: Callable[[Any, Any], Any]
    """From the local day and the second of it to the number."""


HOUR = Part("time", lambda day, second: second // 3600)
MINUTE_OF_DAY = Part("time", lambda day, second: second // 60)
WEEKDAY = Part("date", lambda day, second: (day + 3) % 7 + 1)
_DATE = Part("date", lambda day, second: day)


def by_vectors(part: Part) -> Callable[[Usage], Evaluate]:
    """A part of times."""

    def build(usage: Usage) -> Evaluate:
        clock = _clock_of(usage, part.wants)
        ahead = _ahead_of_all(clock.zone)
        return lambda times: Vector(part.of(*clock.day_and_second(np.asarray(times.values), ahead)), times.valid)

    return build


def by_row(part: Part) -> Callable[[Usage], Callable[[int], int]]:
    """The same of one time."""

    def make(usage: Usage) -> Callable[[int], int]:
        clock = _clock_of(usage, part.wants)
        ahead = _ahead_of_one(clock.zone)
        return lambda time: part.of(*clock.day_and_second(time, ahead))

    return make


@lru_cache(maxsize=KEPT_DAYS_MAX)
def day_text(day: int) -> str | None:
    """Return a day since 1970 as text, `None` outside of the years 1 to 9999."""
    return date.fromordinal(day + _EPOCH).isoformat() if _FIRST_DAY <= day <= _LAST_DAY else None


def dates(usage: Usage) -> Evaluate:
    """The day of times, as text."""
    days_of = by_vectors(_DATE)(usage)

    def evaluate(times: Vector) -> Vector:
        days, valid = days_of(times)
        known, which = np.unique(days, return_inverse=True)
        texts = [day_text(day) for day in known.tolist()]
        shown = np.array([text or "" for text in texts], dtype=object)[which].reshape(np.shape(days))
        if None not in texts:
            return Vector(shown, valid)
        there = np.array([text is not None for text in texts])[which].reshape(np.shape(days))
        return Vector(shown, both_valid(valid, there))

    return evaluate


def date_of(usage: Usage) -> Callable[[int], str | None]:
    """The same of one time."""
    day_of = by_row(_DATE)(usage)
    return lambda time: day_text(day_of(time))

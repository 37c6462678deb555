"""Scalar functions of times: what clocks and calendars show."""

from actors.engine.functions import calendar
from actors.engine.functions.calendar import NO_ZONE, Part
from actors.engine.functions.definition import INT, TEXT, Forms, Function, scalar, value, word
from actors.engine.rows import scalars as form

_moment = (value("T", "moment"), word("zone", NO_ZONE))


def _forms(part: Part) -> Forms:
    return calendar.by_vectors(part), form.by_function(calendar.by_row(part))


TIMES: list[Function] = [
    scalar("hour", _moment, INT, _forms(calendar.HOUR), "hour of the day, 0 to 23"),
    scalar("minute_of_day", _moment, INT, _forms(calendar.MINUTE_OF_DAY), "minutes since midnight, 0 to 1439"),
    scalar("weekday", _moment, INT, _forms(calendar.WEEKDAY), "1 for Monday to 7 for Sunday"),
    scalar(
        "date",
        _moment,
        TEXT,
        (calendar.dates, form.by_function(calendar.date_of)),
        "the day as text: '2026-12-24'",
        "NULL outside of the years 1 to 9999.",
    ),
]

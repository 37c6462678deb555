"""Days, weeks and months of a time zone, one at a time, by the time zones of Python."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_EPOCH = date(1970, 1, 1)


class NaiveCalendar:
    """Numbers days, weeks or months from 1970 on; times are seconds since then."""

    def __init__(self, unit: str, zone: str = "UTC", offset: timedelta = timedelta(0)) -> None:
        self._unit, self._zone, self._offset = unit, ZoneInfo(zone), offset

    def start(self, number: int) -> int:
        """Return when a unit begins."""
        if self._unit == "month":
            day = date(1970 + number // 12, number % 12 + 1, 1)
        else:
            day = _EPOCH + timedelta(days=number if self._unit == "day" else 7 * number - 3)
        return int((datetime.combine(day, time(), self._zone) + self._offset).timestamp())

    def number(self, at: int) -> int:
        """Return the last unit that begins by a time."""
        guess = at // 86_400 // {"day": 1, "week": 7, "month": 28}[self._unit] + 2
        while self.start(guess) > at:
            guess -= 1
        return guess

    def next_end(self, at: int, step: int) -> int:
        """Return the first start of a unit after a time whose number is a multiple of the step."""
        number = self.number(at) + 1
        return self.start(-(-number // step) * step)

    def earlier(self, at: int, count: int) -> int:
        """Return when the unit began so many before the one that begins at a time."""
        return self.start(self.number(at) - count)

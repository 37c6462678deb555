"""The calendar: days, weeks and months of a time zone, as panes with numbers.

Day 0 is 1 January 1970, week 0 the one whose Monday is before it, month 0 that January; numbers do not depend on the
rows. A day begins at midnight (or so long after it) by the clocks of the zone, and where these leave midnight out, when
they are set forward; so it may have 23 or 25 hours. Zones are those that Polars brings along, and so the same on every
machine with the same version.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl

from actors.durations import nanoseconds_per_unit
from actors.engine.vectors.vector import Array
from actors.model import ColumnType

UNITS = ("day", "week", "month")
"""What windows may be aligned to."""

DAY_NS = 86_400 * 10**9

_BLOCK_YEARS = 64
"""Years whose panes are looked up together."""

_MARGIN = 70
"""Days that a block has beyond its years, so that it has the panes at their edges whole."""

_YEARS = (100, 9900)
"""Years with panes; rows outside have a time that cannot be computed with."""

_HOUR_US = 3_600 * 10**6

_MIN_US, _MAX_US = -(1 << 63) // 1000 + 1, (1 << 63) // 1000 - 1
"""What microseconds are still nanoseconds of 64 bits."""


class _Block(NamedTuple):
    """Panes of some years."""

    first: int
    """Number of the first one."""

    starts: Array
    """Where each begins, in units of the time column, ascending; the last one only ends the one before."""


class Calendar:
    """Numbers the days, weeks or months of times; `offset_us` is how long after midnight they begin."""

    def __init__(self, unit: str, zone: str | None, offset_us: int, kind: ColumnType) -> None:
        self.unit = unit
        self.zone, self.offset_us = zone, offset_us
        unit_ns = nanoseconds_per_unit(kind)
        assert unit_ns is not None, "months have no length"
        self._unit_ns = unit_ns
        # Nearly always all times are in one block.
        self._latest = self._block(0)

    @property
    def time_range(self) -> tuple[int, int]:
        """First and last time that have a number."""
        low, high = (np.datetime64(f"{year:04}-01-01", "D").astype(np.int64) for year in _YEARS)
        per_day = DAY_NS // self._unit_ns
        limit = (1 << 63) // per_day - _BLOCK_YEARS * 366
        return max(int(low), -limit) * per_day, min(int(high), limit) * per_day

    def numbers(self, times: Array) -> Array:
        """Return the number of the pane that each time is in."""
        if not len(times):
            return times
        block = self._latest
        if block.starts[0] <= times.min() and times.max() < block.starts[-1]:
            return block.first - 1 + block.starts.searchsorted(times, side="right")
        found = np.empty(len(times), dtype=np.int64)
        places = _block_of_days(times // (DAY_NS // self._unit_ns))
        for place in np.unique(places).tolist():
            block = self._latest = self._block(place)
            where = places == place
            found[where] = block.first - 1 + block.starts.searchsorted(times[where], side="right")
        return found

    def starts(self, numbers: Array) -> Array:
        """Return where panes begin."""
        if not len(numbers):
            return numbers
        block = self._latest
        if block.first <= numbers.min() and numbers.max() < block.first + len(block.starts):
            return block.starts.take(numbers - block.first)
        found = np.empty(len(numbers), dtype=np.int64)
        places = _block_of_days(_days_of(self.unit, numbers))
        for place in np.unique(places).tolist():
            block = self._latest = self._block(place)
            where = places == place
            found[where] = block.starts.take(numbers[where] - block.first)
        return found

    def _block(self, place: int) -> _Block:
        return _made_block(self.unit, self.zone, self.offset_us, self._unit_ns, place)


@lru_cache(maxsize=64)
def _made_block(unit: str, zone: str | None, offset_us: int, unit_ns: int, place: int) -> _Block:
    years = np.array([place, place + 1]) * _BLOCK_YEARS
    low, high = years.astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64).tolist()
    first, last = _numbers_of(unit, np.array([low - _MARGIN, high + _MARGIN])).tolist()
    clock = _days_of(unit, np.arange(first, last + 1)) * (24 * _HOUR_US) + offset_us
    moments = np.clip(_moments(clock, zone), _MIN_US, _MAX_US)
    starts = moments * (1000 // unit_ns) if unit_ns < 1000 else moments // (unit_ns // 1000)
    return _Block(first, np.maximum.accumulate(starts))


def _moments(clock: Array, zone: str | None) -> Array:
    """Return when the clocks of a zone show times, in microseconds since 1970; UTC without a zone."""
    if zone is None:
        return clock
    moments = _shown_at(clock, zone)
    missing = moments.is_null().to_numpy()
    found = moments.fill_null(0).to_numpy().copy()
    if missing.any():
        # Clocks are set forward over it: it is as long after a time that they do show as it says.
        found[missing] = _shown_at(clock[missing] - 3 * _HOUR_US, zone).fill_null(0).to_numpy() + 3 * _HOUR_US
    return found


def _shown_at(clock: Array, zone: str) -> pl.Series:
    local = pl.Series(clock).cast(pl.Datetime("us"))
    return local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").to_physical()


def _numbers_of(unit: str, days: Array) -> Array:
    """Return the numbers of the panes that days since 1970 are in."""
    if unit == "week":
        return (days + 3) // 7
    return days if unit == "day" else days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _days_of(unit: str, numbers: Array) -> Array:
    """Return the days since 1970 with which panes begin."""
    if unit == "week":
        return numbers * 7 - 3
    return numbers if unit == "day" else numbers.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _block_of_days(days: Array) -> Array:
    years = days.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64)
    return years // _BLOCK_YEARS

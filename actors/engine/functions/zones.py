"""Time zones: how far local clocks are from UTC at a moment.

A zone is a table of the moments at which its clocks were, or will be, put forward or back. It is read from the time
zone database that is part of Polars, so that every machine with the same packages has the same one, and read once.
"""

from functools import lru_cache
from typing import NamedTuple
from zoneinfo import available_timezones

import numpy as np
import polars as pl

from actors.engine.vectors.vector import Array
from actors.nearness import nearest

KEPT_ZONES_MAX = 64
"""Zones that are kept; most jobs have one or two."""

_DAY = 86_400
_FIRST, _STOP = -5_364_662_400, 7_258_118_400
"""The years 1800 to 2199, in seconds: before and after them the database knows no change of clocks."""


class Zone(NamedTuple):
    """The changes of a zone's clocks."""

    changes: Array
    """Seconds since the epoch, ascending, at which clocks changed."""

    offsets: Array
    """Seconds by which clocks are ahead of UTC: before the first change, and from each one on."""


def is_zone(name: str) -> bool:
    """Return whether there is a zone of that name."""
    try:
        _ahead(np.zeros(1, dtype=np.int64), name)
    except pl.exceptions.PolarsError:
        return False
    return bool(name)


def check_zone(name: str) -> None:
    """Check the name of a zone.

    Raises:
        ValueError: there is none.
    """
    if not is_zone(name):
        meant = nearest(name, sorted(available_timezones()))
        way_out = "write one such as 'Europe/Berlin'" if meant is None else f"did you mean '{meant}'?"
        raise ValueError(f"there is no time zone '{name}'; {way_out}")


@lru_cache(maxsize=KEPT_ZONES_MAX)
def zone_of(name: str) -> Zone:
    """Return a zone.

    Raises:
        ValueError: there is none of that name.
    """
    check_zone(name)
    # No zone changes its clocks twice within a day. By change: the last moment known to be before it, and the first
    # one known not to be.
    days = np.arange(_FIRST, _STOP, _DAY)
    ahead = _ahead(days, name)
    changed = (ahead[1:] != ahead[:-1]).nonzero()[0]
    low, high, before = days[changed], days[changed + 1], ahead[changed]
    for _ in range(_DAY.bit_length()):
        middle = (low + high) // 2
        is_before = _ahead(middle, name) == before
        low, high = np.where(is_before, middle, low), np.where(is_before, high, middle)
    return Zone(high, np.concatenate([ahead[:1], ahead[changed + 1]]))


def _ahead(seconds: Array, name: str) -> Array:
    """Return the seconds by which clocks are ahead of UTC at some moments."""
    moments = pl.Series(seconds * 1000).cast(pl.Datetime("ms", "UTC"))
    local = moments.dt.convert_time_zone(name).dt.replace_time_zone(None).cast(pl.Int64).to_numpy()
    ahead: Array = local // 1000 - seconds
    return ahead

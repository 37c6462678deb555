"""Seasons: which place in the day or the week a time has."""

from typing import Final

import numpy as np

from actors.detectors.baseline.state import Ints
from actors.durations import NANOSECONDS, nanoseconds_per_unit
from actors.model import ColumnType

SEASONS: Final = ("auto", "none", "day", "week")
"""`auto`: the course of a day competes with the other forecasts from the first row on; `day`, `week`: nothing is found
before a whole one was seen."""

DAY_NS: Final = 86_400 * NANOSECONDS

_BIN_NS: Final = {"auto": 900 * NANOSECONDS, "day": 900 * NANOSECONDS, "week": 3_600 * NANOSECONDS}
_EPOCH_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday; weeks begin on Monday."""


def length_ns(season: str) -> int:
    """Return how long a season lasts in nanoseconds; 0 where there is none."""
    return {"auto": DAY_NS, "day": DAY_NS, "week": 7 * DAY_NS, "none": 0}[season]


def can_have(season: str, kind: ColumnType) -> bool:
    """Return whether times of a type tell the places of a season apart."""
    unit_ns = nanoseconds_per_unit(kind)
    if season == "none":
        return True
    if unit_ns is None or (season == "week" and not kind.has_date):
        return False
    return unit_ns <= (DAY_NS if season == "week" else _BIN_NS[season])


def bin_count(season: str) -> int:
    """Return the places that a season has."""
    return 0 if season == "none" else length_ns(season) // _BIN_NS[season]


def bins(season: str, times: Ints, kind: ColumnType) -> Ints:
    """Return the place of each time, which is in units of its type."""
    unit_ns = nanoseconds_per_unit(kind)
    if season == "none" or unit_ns is None:
        return np.zeros(len(times), np.int64)
    # Counted in units, so that dates far away do not leave 64 bits.
    if season == "week":
        times = times % (7 * DAY_NS // unit_ns) + _EPOCH_WEEKDAY * DAY_NS // unit_ns
    return times % (length_ns(season) // unit_ns) * unit_ns // _BIN_NS[season]

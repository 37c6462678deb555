"""Durations as people write them (`250ms`, `5m`, `1h30m`, a `timedelta`), counted in the units of a column type."""

import re
from datetime import timedelta

from actors.model import SECONDS_PER_UNIT, UNITS_PER_SECOND, ColumnType

NANOSECONDS = 1_000_000_000
"""Nanoseconds in a second."""

Duration = int | str | timedelta
"""A length of time; a whole number counts units of the time column."""

_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": NANOSECONDS,
    "m": 60 * NANOSECONDS,
    "h": 3_600 * NANOSECONDS,
    "d": 86_400 * NANOSECONDS,
    "w": 7 * 86_400 * NANOSECONDS,
}
_PART = re.compile(r"(\d{1,15})\s*(ns|us|ms|s|m|h|d|w)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern}\s*)+", re.ASCII)


def parse_duration(text: str) -> int:
    """Return a duration such as `250ms`, `5m` or `1h30m` in nanoseconds.

    Raises:
        ValueError: the text is no duration.
    """
    if not _WHOLE.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is no duration; write a number and a unit, such as 250ms, 3s, 5m or 1h30m")
    return sum(int(number) * _UNITS_NS[unit] for number, unit in _PART.findall(text))


def show_duration(length_ns: int) -> str:
    """Return a length of time as `parse_duration` reads it, in few units: `1h30m`, `250ms`."""
    parts, rest = [], length_ns
    for unit, unit_ns in sorted(_UNITS_NS.items(), key=lambda unit: -unit[1]):
        count, rest = divmod(rest, unit_ns)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"


def nanoseconds_per_unit(kind: ColumnType) -> int | None:
    """Return the length of one unit of a temporal type, or `None` for a month, whose length differs."""
    if kind in UNITS_PER_SECOND:
        return NANOSECONDS // UNITS_PER_SECOND[kind]
    return SECONDS_PER_UNIT[kind] * NANOSECONDS if kind in SECONDS_PER_UNIT else None


def duration_units(duration: Duration, kind: ColumnType) -> int:
    """Return a duration in units of a temporal type; an integer is in units already.

    Raises:
        ValueError: it is no duration, or no whole number of units.
    """
    if isinstance(duration, int) and not isinstance(duration, bool):
        return duration
    if isinstance(duration, timedelta):
        length_ns = (duration.days * 86_400 + duration.seconds) * NANOSECONDS + duration.microseconds * 1_000
    elif isinstance(duration, str):
        length_ns = parse_duration(duration)
    else:
        raise ValueError(f"{duration!r} is no duration; give a whole number, a text such as 5m, or a timedelta")
    unit_ns = nanoseconds_per_unit(kind)
    shown = duration if isinstance(duration, str) else str(duration)
    if unit_ns is None:
        raise ValueError(f"{shown!r} cannot be counted in months; give a number of months")
    if length_ns % unit_ns:
        unit = show_duration(unit_ns)
        raise ValueError(f"{shown!r} is no whole number of units of a {kind} column, {unit} each; use a longer one")
    return length_ns // unit_ns

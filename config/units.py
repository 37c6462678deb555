"""Durations and sizes as people write them: `250ms`, `5m`, `1h30m`, `64 MiB`.

Durations are kept in nanoseconds and become *ticks*, the unit of a column type, on demand.
"""

import re
from datetime import UTC, datetime

from actors.model import SECONDS_PER_TICK, TICKS_PER_SECOND, ColumnType

NANOSECONDS = 1_000_000_000

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
_SIZES = {"b": 1, "kb": 1_000, "mb": 1_000**2, "gb": 1_000**3, "tb": 1_000**4}
_SIZES |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_PART = re.compile(r"(\d{1,15})\s*(ns|us|ms|s|m|h|d|w)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern}\s*)+", re.ASCII)
_SIZE = re.compile(r"(\d{1,15})\s*([kmgt]?i?b)?", re.ASCII | re.IGNORECASE)


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


def parse_size(text: str) -> int:
    """Return a size such as `64 MiB` or `10MB` in bytes.

    Raises:
        ValueError: the text is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[2] or "").lower() == "ib":
        raise ValueError(f"{text!r} is no size; write a number and a unit, such as 64MiB or 10MB")
    return int(match[1]) * _SIZES[(match[2] or "b").lower()]


def nanoseconds_per_tick(kind: ColumnType) -> int | None:
    """Return the length of a tick of a temporal type, or `None` for a month, which has none."""
    if kind in TICKS_PER_SECOND:
        return NANOSECONDS // TICKS_PER_SECOND[kind]
    return SECONDS_PER_TICK[kind] * NANOSECONDS if kind in SECONDS_PER_TICK else None


def time_ticks(text: str, kind: ColumnType) -> int:
    """Return a moment such as `2026-01-31T12:00:00` in ticks of a temporal type; without an offset it is UTC.

    Raises:
        ValueError: the text is no time, or the type has no dates.
    """
    moment = datetime.fromisoformat(text)
    if not kind.has_date:
        raise ValueError(f"{text!r} cannot be a {kind}, which has no date")
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    tick_ns = nanoseconds_per_tick(kind)
    if tick_ns is None:
        return moment.year * 12 + moment.month - 1
    return ((passed.days * 86_400 + passed.seconds) * NANOSECONDS + passed.microseconds * 1_000) // tick_ns


def duration_ticks(duration: int | str, kind: ColumnType) -> int:
    """Return a duration in ticks of a temporal type; an integer is in ticks already.

    Raises:
        ValueError: the text is no duration, or no whole number of ticks.
    """
    if isinstance(duration, int):
        return duration
    length_ns, tick_ns = parse_duration(duration), nanoseconds_per_tick(kind)
    if tick_ns is None:
        raise ValueError(f"{duration!r} cannot be counted in months; give a number of months")
    if length_ns % tick_ns:
        raise ValueError(f"{duration!r} is no whole number of ticks of a {kind} column; use a longer one")
    return length_ns // tick_ns

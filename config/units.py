"""Sizes and moments as people write them: `64 MiB`, `2026-01-31T12:00:00`; durations: `actors.durations`."""

import re
from datetime import UTC, datetime

from actors.durations import NANOSECONDS, nanoseconds_per_unit
from actors.model import ColumnType

_SIZES = {"b": 1, "kb": 1_000, "mb": 1_000**2, "gb": 1_000**3, "tb": 1_000**4}
_SIZES |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_SIZE = re.compile(r"(\d{1,15})\s*([kmgt]?i?b)?", re.ASCII | re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return a size such as `64 MiB` or `10MB` in bytes.

    Raises:
        ValueError: the text is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[2] or "").lower() == "ib":
        raise ValueError(f"{text!r} is no size; write a number and a unit, such as 64MiB or 10MB")
    return int(match[1]) * _SIZES[(match[2] or "b").lower()]


def time_units(text: str, kind: ColumnType) -> int:
    """Return a moment such as `2026-01-31T12:00:00` in units of a temporal type; without an offset it is UTC.

    Raises:
        ValueError: the text is no time, or the type has no dates.
    """
    moment = datetime.fromisoformat(text)
    if not kind.has_date:
        raise ValueError(f"{text!r} cannot be a {kind}, which has no date")
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    unit_ns = nanoseconds_per_unit(kind)
    if unit_ns is None:
        return moment.year * 12 + moment.month - 1
    return ((passed.days * 86_400 + passed.seconds) * NANOSECONDS + passed.microseconds * 1_000) // unit_ns

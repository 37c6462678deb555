"""Times as people type them: a moment, a whole day, or how long ago.

Text without a zone means UTC. A day (`2026-01-31`, `today`, `yesterday`) is its beginning where a range starts and its
end where a range stops. The time of now is an argument.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cluster.errors import ClusterError

EXAMPLES = (
    "2026-01-31, 2026-01-31T12:00, 2026-01-31T12:00:00.5+01:00, 15m, 2h or 3d (ago), now, today, yesterday, "
    "or since 1970 1767225600s, 1767225600000ms, 1767225600000000us"
)
"""Times that are understood, for messages."""

US_PER_S = 1_000_000
"""Microseconds in one second."""

DAY_US = 86_400 * US_PER_S
"""Microseconds in one day."""

SECONDS_AMBIGUOUS_MAX = 100_000_000
"""Seconds since 1970 below which `90s` is taken for a slip: somebody meant seconds ago."""

_TIME_LIMIT_US = 1 << 62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AGO = re.compile(r"(\d{1,18}(?:\.\d+)?) ?(ms|s|m|h|d|w)(?: ago)?")
_SINCE = re.compile(r"(-?\d{1,18}) ?(s|ms|us)")
_NANOSECONDS = re.compile(r"[.,]\d{6}(\d{1,3})(?!\d)", re.ASCII)
_LENGTHS_US = {"ms": 1000, "s": US_PER_S, "m": 60 * US_PER_S, "h": 3600 * US_PER_S, "d": DAY_US, "w": 7 * DAY_US}
_UNITS_US = {"s": US_PER_S, "ms": 1000, "us": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedTime:
    """What a typed time means, in microseconds since 1970."""

    start_us: int
    """The moment, or the beginning of the day."""

    end_us: int | None = None
    """End of the day, exclusive; `None` for a moment."""

    rest_ns: int = 0
    """Nanoseconds after the microsecond, where somebody gave so many digits."""

    @property
    def last_us(self) -> int:
        """The last microsecond that is meant: where an inclusive range ends."""
        return self.start_us if self.end_us is None else self.end_us - 1


def read_time(text: str, now_us: int) -> TypedTime:
    """Return what a typed time means.

    Raises:
        ClusterError: it cannot be read, or could mean two things.
    """
    plain = text.strip().lower()
    if plain == "now":
        return TypedTime(start_us=now_us)
    if plain in ("today", "yesterday"):
        start = now_us - now_us % DAY_US - (DAY_US if plain == "yesterday" else 0)
        return TypedTime(start_us=start, end_us=start + DAY_US)
    for read in _READERS:
        found = read(plain, now_us)
        if found is not None and not -_TIME_LIMIT_US < found.start_us < _TIME_LIMIT_US:
            raise ClusterError(f"{text!r} is farther away than times of 64 bits reach; give a nearer one")
        if found is not None:
            return found
    if read_whole(plain) is not None:
        raise ClusterError(f"{text!r} is a number without a unit; say which, as {plain}s, {plain}ms or {plain}us")
    raise ClusterError(f"{text!r} is no time; write it like {EXAMPLES}")


def read_whole(text: str) -> int | None:
    """Return the whole number of 64 bits that a text is, `None` if it is anything else."""
    number = int(text) if re.fullmatch(r"-?[0-9]{1,19}", text) else None
    return number if number is not None and -(1 << 63) <= number < 1 << 63 else None


def check_range(first: Any, last: Any, names: str = "--from and --to") -> None:
    """Refuse a range, with both ends inclusive, that nothing can lie in.

    Raises:
        ClusterError: it ends before it begins.
    """
    if first is not None and last is not None and first > last:
        raise ClusterError(f"{names} are the wrong way round: the range ends before it begins; exchange them")


def _read_since(text: str, now_us: int) -> TypedTime | None:
    match = _SINCE.fullmatch(text)
    if match is None:
        return None
    number, unit = int(match[1]), match[2]
    if unit == "s" and abs(number) < SECONDS_AMBIGUOUS_MAX:
        raise ClusterError(
            f"{text!r} could be seconds ago or since 1970; write '{number}s ago', or {number}000ms since 1970"
        )
    return TypedTime(start_us=number * _UNITS_US[unit])


def _read_ago(text: str, now_us: int) -> TypedTime | None:
    match = _AGO.fullmatch(text)
    if match is None:
        return None
    return TypedTime(start_us=now_us - round(float(match[1]) * _LENGTHS_US[match[2]]))


def _read_iso(text: str, now_us: int) -> TypedTime | None:
    if read_whole(text) is not None:
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    start = (moment - _EPOCH) // timedelta(microseconds=1)
    is_day = re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) is not None
    finer = _NANOSECONDS.search(text)
    rest_ns = 0 if finer is None else int(finer[1].ljust(3, "0"))
    return TypedTime(start_us=start, end_us=start + DAY_US if is_day else None, rest_ns=rest_ns)


_READERS: tuple[Callable[[str, int], TypedTime | None], ...] = (_read_since, _read_ago, _read_iso)

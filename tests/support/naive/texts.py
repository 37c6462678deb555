"""Functions of texts and of times, as plainly as can be."""

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.naive.numbers import Fragile, is_rounded

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
BLANKS = " \t\n\r\f\v"


def as_number(text: str) -> Decimal | None:
    return Decimal(text.strip(BLANKS)) if NUMBER.fullmatch(text.strip(BLANKS)) else None


def to_real(value: Any) -> Any:
    if not isinstance(value, str):
        return value if isinstance(value, float) else float(value)
    number = as_number(value)
    return None if number is None or abs(number) >= Decimal(2) ** 1024 else float(value)


def to_whole(value: Any, rounded: Any) -> Any:
    if not isinstance(value, str):
        return rounded(value, 0)
    number = as_number(value)
    if number is None:
        return None
    whole = (
        int(number.to_integral_value(ROUND_HALF_UP)) if number.adjusted() < 30 else 10**30 * (-1 if number < 0 else 1)
    )
    return min(max(whole, -(2**63)), 2**63 - 1)


def to_text(value: Any) -> str:
    if is_rounded(value):
        raise Fragile("the digits of a rounded number")
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(abs(value)) if value == 0 and isinstance(value, float) else str(value)


def substring(text: str, start: int, length: int | None) -> str:
    letters = [letter for i, letter in enumerate(text) if (i if start >= 0 else i - len(text)) >= start]
    return "".join(letters if length is None else letters[:length])


def split_part(text: str, separator: str, index: int) -> str | None:
    return dict(enumerate(text.split(separator)) if index >= 0 else _backwards(text.split(separator))).get(index)


def _backwards(parts: list[str]) -> list[tuple[int, str]]:
    return [(i - len(parts), part) for i, part in enumerate(parts)]


def matches(text: str, pattern: str) -> bool:
    """Return whether a pattern that means the same in all dialects fits somewhere."""
    return re.search(pattern, text) is not None


def clock(time: int, per_second: int, zone: str) -> datetime:
    """Return what clocks of a zone show."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time // per_second)
    return moment.astimezone(ZoneInfo(zone))

"""Numbers of the naive engine: exact where they can be, and marked where they had to be rounded.

A result that no double holds exactly becomes a `Rounded`, and so does everything computed from one. Where the outcome
of a comparison (or of any other jump) rests on the last bits of a `Rounded`, the rules do not say what is right, and
`Fragile` is raised: the caller drops the case.
"""

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

CLOSENESS = 1e-9
"""Relative distance below which a rounded number counts as equal to another."""

INTEGER_MAX = 2**62
"""Integers beyond this are not compared: overflow of 64 bits is left open."""


class Rounded(float):
    """A double that is not exactly the number it stands for."""


class Fragile(Exception):  # noqa: N818 - it is no error, it says that the rules leave the outcome open
    """The outcome depends on the last bits of a rounded number."""


def is_rounded(*values: Any) -> bool:
    return any(isinstance(value, Rounded) for value in values)


def real(exact: Fraction, inputs: Iterable[Any] = ()) -> float | None:
    """Return an exact number as a double; `Rounded` if it does not fit or an input was rounded, NULL if infinite."""
    try:
        nearest = float(exact)
    except OverflowError:
        return None
    if is_rounded(*inputs) or Fraction(nearest) != exact:
        return Rounded(nearest)
    return nearest


def integer(value: int) -> int:
    if abs(value) > INTEGER_MAX:
        raise Fragile("beyond 64 bits")
    return value


def inexact(function: Callable[..., float], *arguments: float) -> float | None:
    """Return the value of a function of reals, always as rounded; NULL where it has no finite value."""
    try:
        result = function(*map(float, arguments))
    except (ValueError, OverflowError, ZeroDivisionError):
        return None
    if isinstance(result, complex) or not math.isfinite(result):
        return None
    return Rounded(result)


def near(left: Any, right: Any) -> bool:
    """Return whether a rounded number lies so close to the other that their order is open."""
    if not is_rounded(left, right):
        return False
    return abs(left - right) <= CLOSENESS * max(1.0, abs(left), abs(right))


def steady(value: Any, *jumps: float) -> Any:
    """Return the value unless it is rounded and close to one of the jumps of what follows."""
    if any(near(value, jump) for jump in jumps):
        raise Fragile(f"{value!r} is close to a jump")
    return value


def order(left: Any, right: Any) -> int:
    """Return -1, 0 or 1: how two values compare, NULL being equal to NULL and smaller than the rest."""
    if left is None or right is None:
        return (left is not None) - (right is not None)
    if isinstance(left, str) != isinstance(right, str):
        raise AssertionError("the check lets no text be compared with a number")
    if not isinstance(left, str) and near(left, right):
        raise Fragile(f"{left!r} against {right!r}")
    return (left > right) - (left < right)


def truth(value: Any) -> bool | None:
    """Return a value as a truth value: numbers are true when not zero."""
    return None if value is None else bool(steady(value, 0.0))


def floor_of(value: Any) -> int:
    return math.floor(steady(value, float(round(value))))


def round_half_away(value: Any, digits: int) -> Fraction:
    """Return a number rounded to so many decimals, halves away from zero."""
    scaled = abs(Fraction(value)) * 10**digits
    below = math.floor(scaled)
    if is_rounded(value) and abs(float(scaled - below) - 0.5) < CLOSENESS * max(1.0, float(scaled)):
        raise Fragile(f"{value!r} is close to a half")
    size = below + (1 if scaled - below >= Fraction(1, 2) else 0)
    return Fraction(size if value >= 0 else -size, 10**digits)

"""Functions of one row: values in, a value out. NULL goes through unless a rule says otherwise."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from tests.support.naive.numbers import (
    Rounded,
    floor_of,
    inexact,
    integer,
    is_rounded,
    order,
    real,
    round_half_away,
    steady,
    truth,
)


def strict(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function give NULL when an argument is NULL."""

    def with_null(*arguments: Any) -> Any:
        return None if any(argument is None for argument in arguments) else function(*arguments)

    return with_null


def exactly(operation: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Make an operation on exact numbers one on values: integers stay integers, doubles are rounded once."""

    def on_values(left: Any, right: Any) -> Any:
        if isinstance(left, float) or isinstance(right, float):
            return real(operation(Fraction(left), Fraction(right)), (left, right))
        return integer(operation(int(left), int(right)))

    return strict(on_values)


@strict
def divide_integers(left: Any, right: Any) -> Any:
    return None if right == 0 else int(left) // int(right)


@strict
def divide_reals(left: Any, right: Any) -> Any:
    return None if steady(right, 0.0) == 0 else real(Fraction(left) / Fraction(right), (left, right))


@strict
def modulo(left: Any, right: Any) -> Any:
    if right == 0:
        return None
    if not isinstance(left, float) and not isinstance(right, float):
        return int(left) % int(right)
    if is_rounded(left, right):
        floor_of(Rounded(Fraction(left) / Fraction(steady(right, 0.0))))
    return real(Fraction(left) % Fraction(right), (left, right))


@strict
def negate(value: Any) -> Any:
    return type(value)(-value) if isinstance(value, float) else -int(value)


def comparison(holds: Callable[[int], bool], *, unknown: bool) -> Callable[..., Any]:
    def compare(left: Any, right: Any) -> Any:
        if unknown and (left is None or right is None):
            return None
        return holds(order(left, right))

    return compare


def between(value: Any, low: Any, high: Any) -> bool:
    return order(low, value) <= 0 and order(value, high) <= 0


def is_in(value: Any, items: tuple[Any, ...]) -> bool:
    return any(order(value, item) == 0 for item in items)


def either(left: Any, right: Any) -> Any:
    given = [value for value in (truth(left), truth(right)) if value is not None]
    return any(given) if given else None


def both_known(left: Any, right: Any) -> Any:
    """Return the "and" of three-valued logic."""
    values = {truth(left), truth(right)}
    return False if False in values else None if None in values else True


def either_known(left: Any, right: Any) -> Any:
    """Return the "or" of three-valued logic."""
    values = {truth(left), truth(right)}
    return True if True in values else None if None in values else False


both = strict(lambda left, right: truth(left) and truth(right))
differ = strict(lambda left, right: truth(left) != truth(right))
negation = strict(lambda value: not truth(value))


def choose(condition: Any, if_true: Any, if_false: Any) -> Any:
    decision = truth(condition)
    return None if decision is None else if_true if decision else if_false


def larger(left: Any, right: Any) -> Any:
    return left if left is not None and (right is None or left >= right) else right


def smaller(left: Any, right: Any) -> Any:
    return None if left is None or right is None else min(left, right)


@strict
def absolute(value: Any) -> Any:
    return type(value)(abs(value)) if isinstance(value, float) else abs(int(value))


@strict
def root(value: Any) -> Any:
    if steady(value, 0.0) < 0:
        return None
    exact = math.isqrt(int(value)) if value == int(value) else 0
    if exact * exact == value and not is_rounded(value):
        return float(exact)
    return inexact(math.sqrt, value)


@strict
def floor(value: Any) -> Any:
    return floor_of(value)


@strict
def ceiling(value: Any) -> Any:
    return -floor_of(negate(value))


def rounding(value: Any, digits: int) -> Any:
    if value is None:
        return None
    exact = round_half_away(value, digits)
    return int(exact) if digits == 0 else real(exact, (value,))


@strict
def sign(value: Any) -> Any:
    steady(value, 0.0)
    return (value > 0) - (value < 0)


def analytic(function: Callable[..., float]) -> Callable[..., Any]:
    return strict(lambda *arguments: inexact(function, *arguments))


def logarithm(function: Callable[[float], float]) -> Callable[..., Any]:
    return strict(lambda value: inexact(function, steady(value, 0.0)))


def like(text: str, pattern: str) -> bool:
    """Return whether a text is the pattern, where `%` stands for any characters."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(like(text[i:], pattern[1:]) for i in range(len(text) + 1))
    return bool(text) and text[0] == pattern[0] and like(text[1:], pattern[1:])

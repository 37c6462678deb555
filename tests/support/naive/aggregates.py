"""Aggregates: one or two lists of values in, a value out. NULLs are left out unless a rule says otherwise."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from tests.support.naive.numbers import Fragile, Rounded, integer, is_rounded, real, truth
from tests.support.naive.scalars import divide_reals

VARIANCE_MIN = Fraction(1, 10**12)
"""A variance below this counts as none, where something is divided by it."""

Values = Sequence[Any]


def given(values: Values) -> list[Any]:
    return [value for value in values if value is not None]


def pairs(x: Values, y: Values) -> list[tuple[Any, Any]]:
    return [(a, b) for a, b in zip(x, y, strict=True) if a is not None and b is not None]


def count(x: Values) -> int:
    return len(given(x))


def exact_sum(numbers: Sequence[Any]) -> Fraction:
    return sum((Fraction(number) for number in numbers), Fraction(0))


def total(x: Values) -> Any:
    numbers = given(x)
    if not numbers:
        return None
    if any(isinstance(number, float) for number in numbers):
        return real(exact_sum(numbers), numbers)
    return integer(sum(map(int, numbers)))


def product(x: Values) -> Any:
    numbers = given(x)
    if not numbers:
        return None
    if any(isinstance(number, float) for number in numbers):
        return real(math.prod(Fraction(number) for number in numbers), numbers)
    return integer(math.prod(map(int, numbers)))


def power_sum(x: Values, power: int) -> Any:
    numbers = given(x)
    return real(exact_sum([Fraction(number) ** power for number in numbers]), numbers) if numbers else None


def mean(x: Values) -> Any:
    numbers = given(x)
    return real(exact_sum(numbers) / len(numbers), numbers) if numbers else None


def smallest(x: Values) -> Any:
    return min(given(x), default=None)


def largest(x: Values) -> Any:
    return max(given(x), default=None)


def moment(numbers: Sequence[Any], power: int) -> Fraction:
    """Return the exact sum of the powers of the distances from the mean."""
    centre = exact_sum(numbers) / len(numbers)
    return sum(((Fraction(number) - centre) ** power for number in numbers), Fraction(0))


def variance(x: Values, missing: int) -> Any:
    """Return the variance with divisor n - missing: exact if it is zero, else its last bits depend on the way there."""
    numbers = given(x)
    if len(numbers) <= missing:
        return None
    value = moment(numbers, 2)
    if value == 0 and len(numbers) > 1 and is_rounded(*numbers):
        raise Fragile("a variance of rounded numbers")
    return Rounded(value / (len(numbers) - missing)) if value else 0.0


def deviation(x: Values, missing: int) -> Any:
    value = variance(x, missing)
    return None if value is None else Rounded(math.sqrt(value)) if value else 0.0


def at_position(x: Values, share: Any, parts: int, how: str) -> Any:
    """Return the value at position (n - 1) * share / parts of the sorted values."""
    numbers = sorted(given(x))
    if not numbers:
        return None
    position = (len(numbers) - 1) * share / parts
    low = math.floor(position)
    fraction = position - low
    below, above = numbers[low], numbers[min(low + 1, len(numbers) - 1)]
    if how == "linear":
        return real(Fraction(below) + Fraction(fraction) * (Fraction(above) - Fraction(below)), (below, above))
    if how == "midpoint":
        picked = [below] if fraction == 0 else [below, above]
        return mean(picked)
    wants_above = {"lower": False, "higher": fraction > 0, "nearest": fraction > 0.5}[how]
    return _as_real(above if wants_above else below)


def _as_real(value: Any) -> float:
    return value if isinstance(value, float) else float(value)


def median(x: Values) -> Any:
    return at_position(x, 50, 100, "linear")


def distinct(x: Values, ignore_null: bool) -> int:
    _refuse_rounded(x)
    return len(set(given(x) if ignore_null else x))


def _refuse_rounded(values: Values) -> None:
    if is_rounded(*values):
        raise Fragile("rounded numbers are told apart")


def first(x: Values) -> Any:
    return x[0] if x else None


def last(x: Values) -> Any:
    return x[-1] if x else None


def first_not(x: Values, unwanted: Any) -> Any:
    _refuse_rounded(x)
    return first([value for value in given(x) if unwanted is None or value != unwanted])


def last_not(x: Values, unwanted: Any) -> Any:
    return first_not(x[::-1], unwanted)


def weighted_sum(x: Values, y: Values) -> Any:
    both = pairs(x, y)
    flat = [number for pair in both for number in pair]
    return real(exact_sum([Fraction(a) * Fraction(b) for a, b in both]), flat) if both else None


def weighted_mean(x: Values, y: Values) -> Any:
    weights = total([b for _, b in pairs(x, y)])
    return divide_reals(weighted_sum(x, y), weights)


def covariance(x: Values, y: Values, missing: int) -> Any:
    both = pairs(x, y)
    if len(both) <= missing:
        return None
    is_level = any(len({pair[side] for pair in both}) == 1 and not is_rounded(both[0][side]) for side in (0, 1))
    return 0.0 if is_level else Rounded(_common(both) / (len(both) - missing))


def _common(both: Sequence[tuple[Any, Any]]) -> Fraction:
    centre_x, centre_y = (exact_sum([pair[side] for pair in both]) / len(both) for side in (0, 1))
    return sum(((Fraction(a) - centre_x) * (Fraction(b) - centre_y) for a, b in both), Fraction(0))


def _is_flat(numbers: Sequence[Any]) -> bool:
    value = moment(numbers, 2) / len(numbers)
    if is_rounded(*numbers) and value < Fraction(1, 10**6):
        raise Fragile("a variance close to none")
    return value < VARIANCE_MIN


def correlation(x: Values, y: Values) -> Any:
    both = pairs(x, y)
    if len(both) < 2 or _is_flat([a for a, _ in both]) or _is_flat([b for _, b in both]):
        return None
    scale = math.sqrt(moment([a for a, _ in both], 2) * moment([b for _, b in both], 2))
    return Rounded(_common(both) / Fraction(scale))


def slope(y: Values, x: Values) -> Any:
    """Return the slope of y over x; the first argument is the dependent one."""
    both = pairs(y, x)
    if len(both) < 2 or _is_flat([b for _, b in both]):
        return None
    return Rounded(_common(both) / moment([b for _, b in both], 2))


def skewness(x: Values, biased: bool) -> Any:
    numbers = given(x)
    n = len(numbers)
    if n == 0 or _is_flat(numbers):
        return None
    raw = float(moment(numbers, 3) / n) / float(moment(numbers, 2) / n) ** 1.5
    if biased:
        return Rounded(raw)
    return Rounded(raw * math.sqrt(n * (n - 1)) / (n - 2)) if n > 2 else None


def kurtosis(x: Values, biased: bool) -> Any:
    numbers = given(x)
    n = len(numbers)
    if n == 0 or _is_flat(numbers):
        return None
    raw = float(moment(numbers, 4) / n) / float(moment(numbers, 2) / n) ** 2
    if biased:
        return Rounded(raw)
    return Rounded((n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (raw - 3) + 6) + 3) if n > 3 else None


def absolute_deviation(x: Values, use_median: bool) -> Any:
    numbers = [Fraction(number) for number in given(x)]
    if not numbers:
        return None
    middle = _exact_median if use_median else _exact_mean
    centre = middle(numbers)
    return real(middle([abs(number - centre) for number in numbers]), given(x))


def _exact_mean(numbers: Sequence[Fraction]) -> Fraction:
    return exact_sum(numbers) / len(numbers)


def _exact_median(numbers: Sequence[Fraction]) -> Fraction:
    ordered = sorted(numbers)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def standard_error(x: Values) -> Any:
    value = deviation(x, 1)
    return None if value is None else Rounded(value / math.sqrt(count(x))) if value else 0.0


def root_mean_square(x: Values) -> Any:
    numbers = given(x)
    if not numbers:
        return None
    value = exact_sum([Fraction(number) ** 2 for number in numbers]) / len(numbers)
    return Rounded(math.sqrt(value)) if value else 0.0


def most_frequent(x: Values) -> Any:
    numbers = given(x)
    _refuse_rounded(numbers)
    return min(numbers, key=lambda value: (-numbers.count(value), value), default=None)


def position_of(x: Values, pick: Callable[..., Any]) -> int:
    numbers = given(x)
    _refuse_rounded(numbers)
    return list(x).index(pick(numbers)) if numbers else -1


def holds_for_any(x: Values) -> Any:
    values = [truth(value) for value in given(x)]
    return any(values) if values else None


def holds_for_all(x: Values) -> Any:
    values = [truth(value) for value in given(x)]
    return all(values) if values else None

"""Scalar functions and operators: one value per row from values of the same row.

Every builder takes the `Usage` of a call and returns a function of vectors. NULL rules: a result needs all operands,
except for comparisons (NULL is the smallest value, unless NULL is `unknown`), `or`, and the functions about NULL.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.engine.vectors.vector import DTYPES, Type, Vector, both_valid, finite, number_values

Evaluate = Callable[..., Vector]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How a function is called: what its implementation is made for."""

    types: tuple[Type, ...]
    """Types of the value arguments."""

    constants: dict[str, Any]
    """Values of the constant arguments, by parameter name; defaults filled in."""

    nulls_smallest: bool
    """Whether NULL is the smallest value in comparisons, else they give NULL."""

    @property
    def is_real(self) -> bool:
        """Whether any argument is real."""
        return Type.REAL in self.types


def _promoted(vector: Vector, kind: Type, others: Sequence[Type]) -> Vector:
    """Give the constant NULL a filler that can be compared with texts."""
    return Vector("", vector.valid) if kind is Type.NULL and Type.TEXT in others else vector


def comparison(sign: str) -> Callable[[Usage], Evaluate]:
    """One of `< <= > >= == !=`."""
    ufunc = {
        "<": np.less,
        "<=": np.less_equal,
        ">": np.greater,
        ">=": np.greater_equal,
        "==": np.equal,
        "!=": np.not_equal,
    }[sign]

    def build(usage: Usage) -> Evaluate:
        def evaluate(left: Vector, right: Vector) -> Vector:
            left, right = _promoted(left, usage.types[0], usage.types), _promoted(right, usage.types[1], usage.types)
            result = ufunc(left.values, right.values)
            if result.dtype != np.bool_:
                result = result.astype(np.bool_)
            if left.valid is None and right.valid is None:
                return Vector(result, None)
            there = both_valid(left.valid, right.valid)
            if not usage.nulls_smallest:
                return Vector(result, there)
            return Vector((result & there) | _null_order(sign, left.valid, right.valid), None)

        return evaluate

    return build


def _null_order(sign: str, left: Any, right: Any) -> Any:
    """Return where a comparison is true because of NULL alone."""
    no_left = np.False_ if left is None else ~np.asarray(left)
    no_right = np.False_ if right is None else ~np.asarray(right)
    return {
        "<": no_left & ~no_right,
        "<=": no_left,
        ">": ~no_left & no_right,
        ">=": no_right,
        "==": no_left & no_right,
        "!=": no_left ^ no_right,
    }[sign]


def _as_truth(vector: Vector) -> Any:
    values = vector.values
    if isinstance(values, np.ndarray):
        return values if values.dtype == np.bool_ else values != 0
    return np.bool_(values != 0)


def conjunction(usage: Usage) -> Evaluate:
    """NULL if either operand is; where NULL is unknown, false if either is."""

    def evaluate(left: Vector, right: Vector) -> Vector:
        a, b = _as_truth(left), _as_truth(right)
        there = both_valid(left.valid, right.valid)
        if usage.nulls_smallest or there is None:
            return Vector(a & b, there)
        a, b = _or_missing(a, left.valid), _or_missing(b, right.valid)
        return Vector(a & b, there | ~a | ~b)

    return evaluate


def _or_missing(values: Any, valid: Any) -> Any:
    """Return where an operand is true or may be."""
    return np.asarray(values if valid is None else values | ~np.asarray(valid))


def disjunction(usage: Usage) -> Evaluate:
    """The other operand if one is NULL; where NULL is unknown, true if either is, else NULL."""

    def evaluate(left: Vector, right: Vector) -> Vector:
        a, b = _as_truth(left), _as_truth(right)
        if left.valid is not None:
            a = a & left.valid
        if right.valid is not None:
            b = b & right.valid
        if not usage.nulls_smallest:
            there = both_valid(left.valid, right.valid)
            return Vector(a | b, None if there is None else there | a | b)
        if left.valid is None or right.valid is None:
            return Vector(a | b, None)
        return Vector(a | b, left.valid | right.valid)

    return evaluate


def exclusive(usage: Usage) -> Evaluate:
    """True if exactly one operand is."""
    return lambda left, right: Vector(_as_truth(left) ^ _as_truth(right), both_valid(left.valid, right.valid))


def negation(usage: Usage) -> Evaluate:
    """NULL stays NULL."""
    return lambda operand: Vector(~np.asarray(_as_truth(operand)), operand.valid)


def arithmetic(ufunc: np.ufunc) -> Callable[[Usage], Evaluate]:
    """Sum, difference or product."""

    def build(usage: Usage) -> Evaluate:
        def evaluate(left: Vector, right: Vector) -> Vector:
            values = ufunc(number_values(left), number_values(right))
            valid = both_valid(left.valid, right.valid)
            return finite(values, valid) if usage.is_real else Vector(values, valid)

        return evaluate

    return build


def _divide(ufunc: np.ufunc, left: Vector, right: Vector, is_real: bool) -> Vector:
    a, b = number_values(left), number_values(right)
    valid = both_valid(left.valid, right.valid)
    nonzero = np.not_equal(b, 0)
    if not np.all(nonzero):
        b = np.where(nonzero, b, 1)
        valid = both_valid(valid, nonzero)
    values = ufunc(a, b)
    return finite(values, valid) if is_real else Vector(values, valid)


def division(usage: Usage) -> Evaluate:
    """Rounds down between integers."""
    if usage.is_real:
        return real_division(usage)
    return lambda left, right: _divide(np.floor_divide, left, right, False)


def real_division(usage: Usage) -> Evaluate:
    """Real for all operands."""
    return lambda left, right: _divide(np.true_divide, left, right, True)


def remainder(usage: Usage) -> Evaluate:
    """Takes the sign of the divisor."""
    return lambda left, right: _divide(np.mod, left, right, usage.is_real)


def minus(usage: Usage) -> Evaluate:
    """The negative."""
    return lambda operand: Vector(-number_values(operand), operand.valid)


def real_function(function: Callable[[Any], Any]) -> Callable[[Usage], Evaluate]:
    """A real function of one number; NULL where it is not defined."""

    def build(usage: Usage) -> Evaluate:
        return lambda operand: finite(function(np.asarray(number_values(operand), dtype=np.float64)), operand.valid)

    return build


def number_function(function: Callable[[Any], Any]) -> Callable[[Usage], Evaluate]:
    """A function that keeps the type of its number."""
    return lambda usage: lambda operand: Vector(function(number_values(operand)), operand.valid)


def to_integer(function: Callable[[Any], Any]) -> Callable[[Usage], Evaluate]:
    """A function of one number with an integer result."""

    def build(usage: Usage) -> Evaluate:
        if not usage.is_real:
            return lambda operand: Vector(np.asarray(number_values(operand)).astype(np.int64), operand.valid)
        return lambda operand: Vector(whole_values(function(operand.values)), operand.valid)

    return build


def whole_values(values: Any) -> Any:
    """Return real numbers without decimals as integers: what is beyond 64 bits becomes the nearest integer."""
    whole = np.maximum(np.minimum(values, _BELOW_LIMIT), -_LIMIT).astype(np.int64)
    return np.where(np.greater_equal(values, _LIMIT), _WHOLE_MAX, whole)


_LIMIT = 2.0**63
_BELOW_LIMIT = math.nextafter(_LIMIT, 0.0)
_WHOLE_MAX = np.iinfo(np.int64).max


def sign_of(usage: Usage) -> Evaluate:
    """-1, 0 or 1."""
    return lambda operand: Vector(np.asarray(np.sign(number_values(operand))).astype(np.int64), operand.valid)


def to_real(usage: Usage) -> Evaluate:
    """The number as a real one."""
    return lambda operand: Vector(np.asarray(number_values(operand), dtype=np.float64), operand.valid)


def half_away(values: Any) -> Any:
    """Round to whole numbers, one half away from zero."""
    whole = np.trunc(values)
    # Exact, as adding one half to the value is not: 0.49999999999999994 + 0.5 is 1.
    return whole + np.copysign(np.abs(values - whole) >= 0.5, values)


def rounded(values: Any, digits: int) -> Any:
    """Round to a number of decimals, one half away from zero."""
    scale = 10.0 ** abs(digits)
    scaled = values * scale if digits > 0 else values / scale
    whole = np.trunc(scaled)
    half = np.abs(scaled - whole)
    # A scaled value that is one half may have been less before it was rounded to a real number itself.
    up = (half > 0.5) | ((half == 0.5) & (_excess(values, scale, scaled, digits) >= 0))
    away = whole + np.copysign(up, values)
    # Where there is no digit to round, the value stays as it is.
    return np.where(np.abs(scaled) < _NO_FRACTION, away / scale if digits > 0 else away * scale, values)


def _excess(values: Any, scale: float, scaled: Any, digits: int) -> Any:
    """Return how far, at least in sign, values scaled exactly lie beyond their scaled values, away from zero."""
    product, factor = (scaled, values) if digits > 0 else (values, scaled)
    # The error of a product of reals, by halves of their digits (Dekker).
    a, b = _halves(factor), _halves(scale)
    error = ((a[0] * b[0] - product) + a[0] * b[1] + a[1] * b[0]) + a[1] * b[1]
    return (error if digits > 0 else -error) * np.copysign(1.0, values)


def _halves(value: Any) -> tuple[Any, Any]:
    moved = value * 134217729.0
    high = moved - (moved - value)
    return high, value - high


_NO_FRACTION = 2.0**52
"""Real numbers from here on are whole."""


def rounding(usage: Usage) -> Evaluate:
    """Round half away from zero to a number of decimals."""
    digits = usage.constants["precision"]
    if digits == 0:
        return to_integer(half_away)(usage)
    return lambda operand: finite(rounded(np.asarray(number_values(operand), dtype=np.float64), digits), operand.valid)


def power(usage: Usage) -> Evaluate:
    """The first argument raised to the second."""
    return lambda base, exponent: finite(
        np.power(np.asarray(number_values(base), dtype=np.float64), number_values(exponent)),
        both_valid(base.valid, exponent.valid),
    )


def square(usage: Usage) -> Evaluate:
    """The number times itself."""

    def evaluate(operand: Vector) -> Vector:
        values = number_values(operand)
        return finite(values * values, operand.valid) if usage.is_real else Vector(values * values, operand.valid)

    return evaluate


def is_null(usage: Usage) -> Evaluate:
    """Whether there is no value."""
    return lambda operand: Vector(
        np.zeros(np.shape(operand.values), np.bool_) if operand.valid is None else ~np.asarray(operand.valid), None
    )


def is_valid(usage: Usage) -> Evaluate:
    """Whether there is a value."""
    return lambda operand: Vector(
        np.ones(np.shape(operand.values), np.bool_) if operand.valid is None else np.asarray(operand.valid), None
    )


def _merged_values(usage: Usage, mask: Any, left: Vector, right: Vector) -> Any:
    a, b = left.values, right.values
    if Type.TEXT in usage.types:
        a, b = (np.asarray("" if kind is Type.NULL else side, dtype=object) for kind, side in _sides(usage, a, b))
    return np.where(mask, a, b)


def _sides(usage: Usage, a: Any, b: Any) -> list[tuple[Type, Any]]:
    return [(usage.types[-2], a), (usage.types[-1], b)]


def _choose(usage: Usage, mask: Any, left: Vector, right: Vector) -> Vector:
    values = _merged_values(usage, mask, left, right)
    if left.valid is None and right.valid is None:
        return Vector(values, None)
    a = np.True_ if left.valid is None else left.valid
    b = np.True_ if right.valid is None else right.valid
    return Vector(values, np.where(mask, a, b))


def conditional(usage: Usage) -> Evaluate:
    """The second argument where the first is true, the third where it is false, NULL where it is NULL."""

    def evaluate(condition: Vector, then: Vector, otherwise: Vector) -> Vector:
        values, valid = _choose(usage, _as_truth(condition), then, otherwise)
        return Vector(values, both_valid(valid, condition.valid))

    return evaluate


def null_fill(usage: Usage) -> Evaluate:
    """The second argument where the first is NULL."""

    def evaluate(operand: Vector, filling: Vector) -> Vector:
        if operand.valid is None:
            return operand if len(set(usage.types)) == 1 else _choose(usage, np.True_, operand, filling)
        return _choose(usage, operand.valid, operand, filling)

    return evaluate


def larger_of(is_largest: bool) -> Callable[[Usage], Evaluate]:
    """The larger or smaller of two values, NULL being the smallest."""

    def build(usage: Usage) -> Evaluate:
        def evaluate(left: Vector, right: Vector) -> Vector:
            a = np.True_ if left.valid is None else np.asarray(left.valid)
            b = np.True_ if right.valid is None else np.asarray(right.valid)
            less = (left.values < right.values) & b
            wants_left = (~less & a) | ~b if is_largest else (less & a) | ~a
            return _choose(usage, wants_left, left, right)

        return evaluate

    return build


def between(usage: Usage) -> Evaluate:
    """Whether a value lies between two bounds, both included."""
    above = comparison(">=")(Usage(types=usage.types[:2], constants={}, nulls_smallest=usage.nulls_smallest))
    below_types = (usage.types[0], usage.types[2])
    below = comparison("<=")(Usage(types=below_types, constants={}, nulls_smallest=usage.nulls_smallest))
    both = conjunction(usage)
    return lambda operand, low, high: both(above(operand, low), below(operand, high))


def membership(usage: Usage) -> Evaluate:
    """Whether a value is in a list of constants."""
    items = usage.constants["items"]
    present = [item for item in items if item is not None]
    holds_null = len(present) < len(items)
    if usage.types[0] is Type.TEXT:
        wanted = frozenset(present)
        find = np.frompyfunc(wanted.__contains__, 1, 1)
    else:
        array = np.array(present if present else [0])

    def evaluate(operand: Vector) -> Vector:
        if not present:
            result = np.zeros(np.shape(operand.values), dtype=np.bool_)
        elif usage.types[0] is Type.TEXT:
            result = np.asarray(find(operand.values)).astype(np.bool_)
        else:
            result = np.isin(number_values(operand), array)
        if not usage.nulls_smallest:
            return Vector(result, both_valid(operand.valid, result) if holds_null else operand.valid)
        if operand.valid is None:
            return Vector(result, None)
        return Vector((result & operand.valid) | (~np.asarray(operand.valid) & holds_null), None)

    return evaluate


def of_texts(function: Callable[..., Any], kind: Type) -> Callable[[Usage], Evaluate]:
    """A function of texts, as Python has it: numpy's own texts lose what they end in if that is NUL."""

    def build(usage: Usage) -> Evaluate:
        apply = np.frompyfunc(function, len(usage.types), 1)

        def evaluate(*operands: Vector) -> Vector:
            valid = None
            for operand in operands:
                valid = both_valid(valid, operand.valid)
            found = apply(*[operand.values for operand in operands])
            return Vector(np.asarray(found, dtype=object).astype(DTYPES[kind]), valid)

        return evaluate

    return build


def like_pattern(usage: Usage) -> re.Pattern[str]:
    """Return the pattern of `like`, in which `%` stands for any characters."""
    first, *between = [re.escape(piece) for piece in str(usage.constants["pattern"]).split("%")]
    if not between:
        return re.compile(first)
    # The first place where a piece fits leaves most room for the next. Trying others too would take, with every piece,
    # another factor of the text's length.
    middle = "".join(f"(?>.*?{piece})" for piece in between[:-1])
    return re.compile(f"{first}{middle}.*{between[-1]}", re.DOTALL)


def text_pattern(usage: Usage) -> Evaluate:
    """Whether a text fits a pattern in which `%` stands for any characters."""
    pattern = like_pattern(usage)
    return of_texts(lambda text: pattern.fullmatch(text) is not None, Type.BOOL)(usage)


def ratio_to(offset: float) -> Callable[[Vector, Vector], Vector]:
    """The quotient of a value and an earlier one, less an offset."""

    def combine(now: Vector, earlier: Vector) -> Vector:
        values, valid = _divide(np.true_divide, now, earlier, True)
        return Vector(values - offset, valid) if offset else Vector(values, valid)

    return combine


def difference_from(is_real: bool) -> Callable[[Vector, Vector], Vector]:
    """A value less an earlier one."""

    def combine(now: Vector, earlier: Vector) -> Vector:
        values = number_values(now) - number_values(earlier)
        valid = both_valid(now.valid, earlier.valid)
        return finite(values, valid) if is_real else Vector(values, valid)

    return combine


def logarithm(base: float) -> Callable[[Any], Any]:
    """A logarithm that is NULL (by way of NaN) for numbers that have none."""
    scale = 1.0 / math.log(base)
    exact: dict[float, np.ufunc] = {2.0: np.log2, 10.0: np.log10}
    function = exact.get(base)

    def apply(values: Any) -> Any:
        positive = np.where(values > 0, values, np.nan)
        return function(positive) if function is not None else np.log(positive) * scale

    return apply

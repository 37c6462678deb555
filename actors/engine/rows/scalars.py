"""Row forms of scalar functions and operators; the functions of vectors are in `actors.engine.functions.scalars`.

The entries of the catalogue name them. A function without one is left to the vectors, with the whole engine that uses
it.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from actors.engine.functions import texts
from actors.engine.functions.scalars import Usage, half_away, like_pattern, rounded
from actors.engine.rows.code import (
    Operand,
    RowCall,
    RowForm,
    checked,
    converted,
    nulls,
    truth,
    unless_met,
    unless_null,
    whole,
    wrapped,
)
from actors.engine.vectors.vector import Type


def _compared(operands: tuple[Operand, ...]) -> tuple[Operand, ...]:
    """Return operands as vectors compare them: integers beside real numbers become real."""
    return tuple(converted(o, Type.REAL) for o in operands) if any(o.type is Type.REAL for o in operands) else operands


def comparison(sign: str) -> RowForm:
    """One of `< <= > >= == !=`."""
    return lambda call: unless_met(
        call, _compare(sign, call.operands), _null_order(sign) if call.usage.nulls_smallest else _unknown
    )


def _compare(sign: str, operands: tuple[Operand, ...]) -> str:
    return f" {sign} ".join(operand.text for operand in _compared(operands))


def _unknown(*operands: Any) -> None:
    """What comparisons with NULL give where NULL is unknown."""


def _null_order(sign: str) -> Callable[[Any, Any], bool]:
    """Return a comparison of operands of which one is NULL, which is the smallest value: 0 there, and others are 1."""
    compare: Callable[[bool, bool], bool] = _OPERATORS[sign]
    return lambda left, right: compare(left is not None, right is not None)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def conjunction(call: RowCall) -> Operand:
    """NULL if either operand is; where NULL is unknown, false if either is."""
    left, right = call.operands
    both = f"{truth(left)} and {truth(right)}"
    if call.usage.nulls_smallest or not nulls(call.operands):
        return unless_null(call, both)
    false = " or ".join(f"{o.text} == 0" for o in call.operands)
    return Operand(
        text=f"(False if {false} else None if {nulls(call.operands)} else True)", type=Type.BOOL, is_nullable=True
    )


def disjunction(call: RowCall) -> Operand:
    """The other operand if one is NULL; where NULL is unknown, true if either is, else NULL."""
    left, right = call.operands
    missing, either = nulls(call.operands), f"bool({left.text} or {right.text})"
    if not missing:
        return Operand(text=f"({truth(left)} or {truth(right)})", type=Type.BOOL, is_nullable=False)
    if not call.usage.nulls_smallest:
        text = f"(True if {left.text} or {right.text} else None if {missing} else False)"
        return Operand(text=text, type=Type.BOOL, is_nullable=True)
    if left.is_nullable and right.is_nullable:
        both = f"{left.text} is None and {right.text} is None"
        return Operand(text=f"(None if {both} else {either})", type=Type.BOOL, is_nullable=True)
    return Operand(text=f"({either})", type=Type.BOOL, is_nullable=False)


def exclusive(call: RowCall) -> Operand:
    """True if exactly one operand is."""
    left, right = call.operands
    return unless_null(call, f"{truth(left)} is not {truth(right)}")


def negation(call: RowCall) -> Operand:
    """NULL stays NULL."""
    return unless_null(call, f"not {call.operands[0].text}")


def arithmetic(sign: str) -> RowForm:
    """Sum, difference or product."""

    def form(call: RowCall) -> Operand:
        left, right = (operand.text for operand in call.operands)
        return _number(call, f"{left} {sign} {right}")

    return form


def _number(call: RowCall, text: str) -> Operand:
    if call.type is Type.REAL:
        return unless_null(call, checked(text), may_fail=True)
    return unless_null(call, wrapped(text))


def _divided(call: RowCall, text: str, is_real: bool) -> Operand:
    zero = f"{call.operands[1].text} == 0"
    missing = nulls(call.operands)
    condition = f"{missing} or {zero}" if missing else zero
    value = checked(text) if is_real else wrapped(text)
    return Operand(text=f"(None if {condition} else {value})", type=call.type, is_nullable=True)


def division(call: RowCall) -> Operand:
    """Rounds down between integers."""
    if call.usage.is_real:
        return real_division(call)
    left, right = call.operands
    return _divided(call, f"{left.text} // {right.text}", is_real=False)


def real_division(call: RowCall) -> Operand:
    """Real for all operands."""
    left, right = (converted(operand, Type.REAL).text for operand in call.operands)
    return _divided(call, f"{left} / {right}", is_real=True)


def remainder(call: RowCall) -> Operand:
    """Takes the sign of the divisor."""
    left, right = call.operands
    return _divided(call, f"{left.text} % {right.text}", is_real=call.usage.is_real)


def minus(call: RowCall) -> Operand:
    """The negative."""
    text = f"-{call.operands[0].text}"
    return unless_null(call, text if call.type is Type.REAL else wrapped(text))


def absolute(call: RowCall) -> Operand:
    """The number without its sign."""
    text = f"abs({call.operands[0].text})"
    return unless_null(call, text if call.type is Type.REAL else wrapped(text))


def square_root(call: RowCall) -> Operand:
    """NULL below 0."""
    text = call.operands[0].text
    return unless_null(call, f"(None if {text} < 0 else {call.bind(math.sqrt)}({text}))", may_fail=True)


def to_integer(function: Callable[[float], Any]) -> RowForm:
    """A function of one number with an integer result."""

    def form(call: RowCall) -> Operand:
        text = call.operands[0].text
        if not call.usage.is_real:
            return unless_null(call, f"int({text})")
        return unless_null(call, call.bind(lambda number: whole(function(number))) + f"({text})")

    return form


def _numpy(function: Callable[..., Any]) -> Callable[..., float | None]:
    """Return a function of numpy for one number; NaN and infinity are NULL."""

    def apply(*numbers: float) -> float | None:
        with np.errstate(all="ignore"):
            result = float(function(*(np.float64(number) for number in numbers)))
        return result if result - result == 0.0 else None

    return apply


def by_numpy(function: Callable[..., Any]) -> RowForm:
    """A real function of numbers, as numpy computes it; NULL where it is not defined."""

    def form(call: RowCall) -> Operand:
        texts = ", ".join(operand.text for operand in call.operands)
        return unless_null(call, f"{call.bind(_numpy(function))}({texts})", may_fail=True)

    return form


def nearest(number: float) -> float:
    """Round to a whole number, one half away from zero."""
    return float(half_away(number))


def rounding(call: RowCall) -> Operand | None:
    """Round half away from zero to a number of decimals."""
    digits = call.usage.constants["precision"]
    if digits == 0:
        return to_integer(nearest)(call)
    return by_numpy(lambda number: rounded(number, digits))(call)


def sign_of(call: RowCall) -> Operand:
    """-1, 0 or 1."""
    text = call.operands[0].text
    return unless_null(call, f"({text} > 0) - ({text} < 0)")


def by_function(make: Callable[[Usage], Callable[..., Any]]) -> RowForm:
    """A function of Python, `None` being NULL."""

    def form(call: RowCall) -> Operand:
        operands = ", ".join(operand.text for operand in call.operands)
        return unless_null(call, f"{call.bind(make(call.usage))}({operands})", may_fail=True)

    return form


def to_whole(call: RowCall) -> Operand | None:
    """The number rounded, or the text read."""
    if call.operands[0].type is Type.TEXT:
        return by_function(texts.always(texts.to_whole))(call)
    return to_integer(nearest)(call)


def to_real(call: RowCall) -> Operand | None:
    """The number, or the text read, as a real one."""
    if call.operands[0].type is Type.TEXT:
        return by_function(texts.always(texts.to_real))(call)
    return unless_null(call, converted(call.operands[0], Type.REAL).text)


def square(call: RowCall) -> Operand:
    """The number times itself."""
    text = call.operands[0].text
    return _number(call, f"{text} * {text}")


def is_null(call: RowCall) -> Operand:
    """Whether there is no value."""
    operand = call.operands[0]
    text = f"({operand.text} is None)" if operand.is_nullable else "False"
    return Operand(text=text, type=Type.BOOL, is_nullable=False)


def is_valid(call: RowCall) -> Operand:
    """Whether there is a value."""
    operand = call.operands[0]
    text = f"({operand.text} is not None)" if operand.is_nullable else "True"
    return Operand(text=text, type=Type.BOOL, is_nullable=False)


def _branch(operand: Operand, kind: Type) -> str:
    wider = converted(operand, kind)
    if operand.is_nullable and wider.text != operand.text:
        return f"(None if {operand.text} is None else {wider.text})"
    return wider.text


def conditional(call: RowCall) -> Operand:
    """The second argument where the first is true, the third where it is false, NULL where it is NULL."""
    condition, then, otherwise = call.operands
    text = f"{_branch(then, call.type)} if {truth(condition)} else {_branch(otherwise, call.type)}"
    if condition.is_nullable:
        text = f"None if {condition.text} is None else {text}"
    is_nullable = any(operand.is_nullable for operand in call.operands)
    return Operand(text=f"({text})", type=call.type, is_nullable=is_nullable)


def null_fill(call: RowCall) -> Operand:
    """The second argument where the first is NULL."""
    operand, filling = call.operands
    text = converted(operand, call.type).text
    if operand.is_nullable:
        text = f"{_branch(filling, call.type)} if {operand.text} is None else {text}"
    return Operand(text=f"({text})", type=call.type, is_nullable=operand.is_nullable and filling.is_nullable)


def larger_of(is_largest: bool) -> RowForm:
    """The larger or smaller of two values, NULL being the smallest."""

    def form(call: RowCall) -> Operand:
        left, right = call.operands
        a, b = _branch(left, call.type), _branch(right, call.type)
        less = " < ".join(operand.text for operand in _compared(call.operands))
        left_null, right_null = (f"{o.text} is None" if o.is_nullable else "False" for o in call.operands)
        if is_largest:
            text = f"{a} if {right_null} else {b} if {left_null} or {less} else {a}"
            return Operand(text=f"({text})", type=call.type, is_nullable=left.is_nullable and right.is_nullable)
        text = f"None if {left_null} or {right_null} else {a} if {less} else {b}"
        return Operand(text=f"({text})", type=call.type, is_nullable=left.is_nullable or right.is_nullable)

    return form


def between(call: RowCall) -> Operand:
    """Whether a value lies between two bounds, both included."""
    operand, low, high = call.operands
    text = f"{_compare('>=', (operand, low))} and {_compare('<=', (operand, high))}"
    return unless_met(call, text, _null_between if call.usage.nulls_smallest else _unknown_between)


def _null_between(value: Any, low: Any, high: Any) -> bool:
    """Whether a value lies between two bounds, one of the three being NULL, the smallest value."""
    if value is None:
        return low is None
    return high is not None and not _is_less(high, value)


def _unknown_between(value: Any, low: Any, high: Any) -> bool | None:
    """The same where NULL is unknown."""
    if value is None:
        return None
    is_outside = (low is not None and _is_less(value, low)) or (high is not None and _is_less(high, value))
    return False if is_outside else None


def _is_less(left: Any, right: Any) -> bool:
    """Compare as vectors do: an integer beside a real number becomes real."""
    if isinstance(left, float) or isinstance(right, float):
        return float(left) < float(right)
    return bool(left < right)


def membership(call: RowCall) -> Operand:
    """Whether a value is in a list of constants."""
    items = call.usage.constants["items"]
    operand = call.operands[0]
    wanted = [item for item in items if item is not None]
    holds_null = len(wanted) < len(items)
    if operand.type is Type.REAL or any(isinstance(item, float) for item in wanted):
        operand = converted(operand, Type.REAL)
        wanted = [float(item) for item in wanted]
    text = f"{operand.text} in {call.bind(frozenset(wanted))}"
    if call.usage.nulls_smallest:
        return unless_met(call, text, lambda value: holds_null)
    made = unless_met(call, f"({text} or None)" if holds_null else text, _unknown)
    return replace(made, is_nullable=made.is_nullable or holds_null)


def method(name: str) -> RowForm:
    """A method of texts, with further texts as its arguments."""

    def form(call: RowCall) -> Operand:
        text, *others = (operand.text for operand in call.operands)
        return unless_null(call, f"{text}.{name}({', '.join(others)})")

    return form


def text_length(call: RowCall) -> Operand:
    """Number of characters."""
    return unless_null(call, f"len({call.operands[0].text})")


def text_pattern(call: RowCall) -> Operand:
    """Whether a text fits a pattern in which `%` stands for any characters."""
    pattern = like_pattern(call.usage)
    return unless_null(call, f"{call.bind(pattern.fullmatch)}({call.operands[0].text}) is not None")

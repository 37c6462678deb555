"""Row forms of mergeable aggregates: how a value is finished from components; see `actors.engine.functions.aggregates`.

The entries of the catalogue name them. An aggregate without one, or one that needs all rows of its window, is left to
the vectors, with the whole engine that uses it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.engine.functions.aggregates import TINY_VARIANCE
from actors.engine.rows.code import Operand, checked, wrapped
from actors.engine.vectors.vector import Type


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishCall:
    """One aggregate, for which a form makes source text."""

    partials: tuple[Any, ...]
    parts: tuple[Sequence[str], ...]
    """Names of the places of each partial aggregate."""

    type: Type
    """Type of the result."""

    bind: Callable[[object], str]
    """Makes an object known to the generated function and returns its name there."""

    def total(self, part: int) -> str:
        """Return a total, of 64 bits if it is a whole number."""
        name = self.parts[part][0]
        return name if self._is_real(part) else wrapped(name)

    def real(self, part: int) -> str:
        """Return a total as a real number."""
        name = self.parts[part][-1]
        return f"float({name})" if self.partials[part].places[0].high is not None else name

    def _is_real(self, part: int) -> bool:
        return isinstance(self.partials[part].neutral[0], np.floating)


FinishForm = Callable[[FinishCall], Operand]


def _value(call: FinishCall, text: str, is_nullable: bool = True) -> Operand:
    return Operand(text=text, type=call.type, is_nullable=is_nullable)


def total(call: FinishCall) -> Operand:
    """NULL without values."""
    value, count = call.total(0), call.parts[1][0]
    return _value(call, f"({checked(value) if call.type is Type.REAL else value} if {count} else None)")


def average(call: FinishCall) -> Operand:
    """Total by number of values."""
    count = call.parts[1][0]
    return _value(call, f"({checked(f'{call.real(0)} / {count}')} if {count} else None)")


def count(call: FinishCall) -> Operand:
    """Number of rows or values."""
    return _value(call, call.parts[0][0], is_nullable=False)


def extreme(call: FinishCall) -> Operand:
    """NULL without values."""
    value = f"bool({call.parts[0][0]})" if call.type is Type.BOOL else call.parts[0][0]
    return _value(call, f"({value} if {call.parts[1][0]} else None)")


def edge(call: FinishCall) -> Operand:
    """The value itself, NULL if none was found."""
    return _value(call, call.parts[0][0])


def truth_test(wants_all: bool) -> FinishForm:
    """Whether any, or all, of the values are true."""

    def form(call: FinishCall) -> Operand:
        true, present = call.parts[0][0], call.parts[1][0]
        test = f"{true} == {present}" if wants_all else f"{true} > 0"
        return _value(call, f"({test} if {present} else None)")

    return form


def spread(is_sample: bool, is_root: bool, per_root_count: bool = False) -> FinishForm:
    """Variance, standard deviation or standard error of the mean."""

    def finish(present: int, first: float, second: float) -> float | None:
        if present <= is_sample:
            return None
        squares = second - first * first / present
        result = (0.0 if squares < 0.0 else squares) / (present - is_sample)
        if is_root:
            result = math.sqrt(result)
        if per_root_count:
            result /= math.sqrt(present)
        return result if result - result == 0.0 else None

    def form(call: FinishCall) -> Operand:
        present, _, first, second = call.parts[0]
        return _value(call, f"{call.bind(finish)}({present}, {first}, {second})")

    return form


def weighted(call: FinishCall) -> Operand:
    """Mean of the first argument weighted by the second."""
    weight, present = call.parts[1][0], call.parts[2][0]
    quotient = checked(f"{call.real(0)} / {call.real(1)}")
    return _value(call, f"({quotient} if {present} and {weight} != 0 else None)")


def root_mean_square(call: FinishCall) -> Operand:
    """Square root of the mean of squares."""
    squares, present = call.parts[0][0], call.parts[1][0]
    root = checked(f"{call.bind(math.sqrt)}({squares} / {present})")
    return _value(call, f"({root} if {present} else None)")


def pair_statistic(name: str) -> FinishForm:
    """Covariance, correlation or slope."""

    def finish(present: int, a: float, b: float, aa: float, bb: float, ab: float) -> float | None:
        if present < (1 if name == "covarp" else 2):
            return None
        left, right, both = aa - a * a / present, bb - b * b / present, ab - a * b / present
        is_right_varied = right / present >= TINY_VARIANCE
        if name == "covar":
            result = both / (present - 1)
        elif name == "covarp":
            result = both / present
        elif not is_right_varied or (name == "corr" and not left / present >= TINY_VARIANCE):
            return None
        else:
            result = both / math.sqrt(left * right) if name == "corr" else both / right
        return result if result - result == 0.0 else None

    def form(call: FinishCall) -> Operand:
        present, _, _, *sums = call.parts[0]
        return _value(call, f"{call.bind(finish)}({present}, {', '.join(sums)})")

    return form

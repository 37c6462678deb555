"""Source text for one row: operands and the few phrases that all functions share.

A *row form* says how a function is carried out for one row with plain Python values, as source text. The engine joins
the forms of all its metrics into one Python function (`actors.engine.rows.program`). `None` is NULL, an integer is
within 64 bits, a real number is a float that is neither NaN nor infinite. A row form gives the bits that the function
of vectors gives; a test compares them for every function.

Forms are made of checked terms only: what a user wrote as a text or a number stands in a form as a literal of Python or
as a bound object, never as code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from actors.engine.functions.scalars import Usage
from actors.engine.vectors.vector import Type

LOW, HIGH = -(1 << 63), (1 << 63) - 1
"""Limits of an integer."""


class NoRowForm(Exception):  # noqa: N818 -- not an error: the vectors do it then
    """Something has no row form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """A value in the generated function: a name, a literal, or the text of a result that is given a name next."""

    text: str
    type: Type
    is_nullable: bool
    """Whether it may be `None`."""

    is_constant: bool = False
    constant: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCall:
    """One call of a scalar function, for which a form makes source text."""

    usage: Usage
    operands: tuple[Operand, ...]
    type: Type
    """Type of the result."""

    bind: Callable[[object], str]
    """Makes an object known to the generated function and returns its name there."""

    counted: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda otherwise: otherwise
    """Makes a function for operands of which one is NULL count its calls, in a comparison."""


RowForm = Callable[[RowCall], Operand | None]
"""From a call to its result; `None` if there is no form for these arguments."""


def literal(value: Any, kind: Type) -> Operand:
    """Return a constant as an operand."""
    text = f"({value!r})" if isinstance(value, int | float) and not isinstance(value, bool) else repr(value)
    return Operand(text=text, type=kind, is_nullable=value is None, is_constant=True, constant=value)


def nulls(operands: Sequence[Operand]) -> str:
    """Return the condition that any operand is NULL; empty if none can be."""
    names = dict.fromkeys(operand.text for operand in operands if operand.is_nullable)
    return " or ".join(f"{name} is None" for name in names)


def present(operands: Sequence[Operand]) -> str:
    """Return the condition that no operand is NULL; empty if none can be."""
    names = dict.fromkeys(operand.text for operand in operands if operand.is_nullable)
    return " and ".join(f"{name} is not None" for name in names)


def unless_null(call: RowCall, text: str, may_fail: bool = False) -> Operand:
    """Return a result that needs all operands and, with `may_fail`, may itself be NULL."""
    missing = nulls(call.operands)
    whole = f"(None if {missing} else {text})" if missing else f"({text})"
    return Operand(text=whole, type=call.type, is_nullable=bool(missing) or may_fail)


def unless_met(call: RowCall, text: str, otherwise: Callable[..., bool | None]) -> Operand:
    """Return a comparison, and what a function of its operands gives where one of them is NULL."""
    there = present(call.operands)
    if not there:
        return Operand(text=f"({text})", type=Type.BOOL, is_nullable=False)
    operands = ", ".join(operand.text for operand in call.operands)
    return Operand(
        text=f"({text} if {there} else {call.bind(call.counted(otherwise))}({operands}))",
        type=Type.BOOL,
        is_nullable=not call.usage.nulls_smallest,
    )


def wrapped(text: str) -> str:
    """Return integer arithmetic with the overflow of 64 bits."""
    return f"(t if {LOW} <= (t := {text}) <= {HIGH} else wrap(t))"


def checked(text: str) -> str:
    """Return real arithmetic whose NaN and infinity are NULL."""
    return f"(t if (t := {text}) - t == 0.0 else None)"


def converted(operand: Operand, kind: Type) -> Operand:
    """Return an operand as the wider type `kind`; a NULL must not get here."""
    if operand.type is kind or operand.type is Type.NULL or kind not in (Type.INT, Type.REAL):
        return operand
    to = float if kind is Type.REAL else int
    if operand.is_constant:
        return literal(to(operand.constant), kind)
    return replace(operand, text=f"{to.__name__}({operand.text})", type=kind)


def truth(operand: Operand) -> str:
    """Return the condition that an operand, not NULL, is true."""
    return operand.text if operand.type is Type.BOOL else f"({operand.text} != 0)"


def wrap(number: int) -> int:
    """Return what 64 bits keep of an integer."""
    return ((number + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def whole(number: float) -> int:
    """Return a real number without decimals as an integer; what is beyond 64 bits becomes the nearest integer."""
    return min(max(int(number), LOW), HIGH)

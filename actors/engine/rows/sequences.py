"""Row forms of order-sensitive functions; the functions of vectors are in `actors.engine.functions.sequences`.

A form says what is kept of each key, as fields over the arrays of the function's state, and gives the lines that make
the row's value and take the row into the fields. The entries of the catalogue name the forms.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from actors.engine.functions.partials import Place
from actors.engine.functions.scalars import Usage
from actors.engine.functions.sequences import (
    ComparedState,
    CumulativeState,
    EarlierState,
    FilledState,
    PreviousState,
)
from actors.engine.functions.smoothing import rate_of
from actors.engine.keys.per_key import PerKey
from actors.engine.rows.aggregates import FinishCall, FinishForm
from actors.engine.rows.code import Operand, checked, converted, nulls, wrapped
from actors.engine.rows.state import Entry, Field, LogField, NullableField, PlainField, WideField
from actors.engine.vectors.vector import Type, filler

DISTANCE_MAX = 64
"""Rows that a function may look back in the short path; entries are copied for every row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceCall:
    """One call, for which a form makes source text."""

    state: Any
    """The call's state, whose arrays the fields stand for."""

    usage: Usage
    operands: tuple[Operand, ...]
    type: Type
    """Type of the result."""

    prefix: str
    """What the names of the call's own variables begin with."""

    bind: Callable[[object], str]
    """Makes an object known to the generated function and returns its name there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceCode:
    """What a form gives."""

    fields: tuple[Field, ...]
    lines: tuple[str, ...]
    value: Operand


SequenceForm = Callable[[SequenceCall], SequenceCode | None]
"""From a call to its code; `None` if there is no form for these arguments."""


def earlier(call: SequenceCall) -> SequenceCode | None:
    """The value a number of rows earlier."""
    return _earlier(call, call.state)


def _earlier(call: SequenceCall, state: Any) -> SequenceCode | None:
    value, history, (operand, *_) = f"{call.prefix}v", f"{call.prefix}h", call.operands
    result = Operand(text=value, type=call.usage.types[0], is_nullable=True)
    if isinstance(state, PreviousState):
        field: Field = NullableField(history, state.last, "value", "valid")
        return SequenceCode(
            fields=(field,), lines=(f"{value} = {history}", f"{history} = {operand.text}"), value=result
        )
    if not isinstance(state, EarlierState) or state.distance > DISTANCE_MAX:
        return None
    if not state.distance:
        return SequenceCode(fields=(), lines=(f"{value} = {operand.text}",), value=result)
    lines = (
        f"if {history} is None:",
        f"    {history} = ()",
        f"if len({history}) < {state.distance}:",
        f"    {value} = None",
        f"    {history} += (({operand.text},),)",
        "else:",
        f"    {value} = {history}[0][0]",
        f"    {history} = {history}[1:] + (({operand.text},),)",
    )
    field = LogField(history, state.log, [Entry(Place(component=0, validity=1), [0, 1], filler(call.usage.types[0]))])
    return SequenceCode(fields=(field,), lines=lines, value=result)


def compared(combine: Callable[[SequenceCall, Operand], str]) -> SequenceForm:
    """A value beside an earlier one."""

    def form(call: SequenceCall) -> SequenceCode | None:
        assert isinstance(call.state, ComparedState)
        inner = _earlier(call, call.state.earlier)
        if inner is None:
            return None
        result = Operand(text=combine(call, inner.value), type=call.type, is_nullable=True)
        return SequenceCode(fields=inner.fields, lines=inner.lines, value=result)

    return form


def difference(call: SequenceCall, then: Operand) -> str:
    """A value less an earlier one."""
    now = call.operands[0]
    text = f"{now.text} - {then.text}"
    return f"(None if {nulls((now, then))} else {checked(text) if call.usage.is_real else wrapped(text)})"


def ratio(offset: float) -> Callable[[SequenceCall, Operand], str]:
    """The quotient of a value and an earlier one, less an offset."""

    def combine(call: SequenceCall, then: Operand) -> str:
        now = call.operands[0]
        a, b = converted(now, Type.REAL).text, converted(then, Type.REAL).text
        quotient = f"{a} / {b}"
        text = f"(t - {offset} if (t := {quotient}) - t == 0.0 else None)" if offset else checked(quotient)
        return f"(None if {nulls((now, then))} or {then.text} == 0 else {text})"

    return combine


def filled(call: SequenceCall) -> SequenceCode:
    """The last value that is there."""
    assert isinstance(call.state, FilledState)
    value, last, age = f"{call.prefix}v", f"{call.prefix}h", f"{call.prefix}a"
    operand, limit = call.operands[0], call.state.limit
    fields = (PlainField(last, call.state.last, "value"), PlainField(age, call.state.last, "age"))
    is_young = f"0 <= {age}" if limit is None else f"0 <= {age} <= {limit}"
    lines = [
        f"if {operand.text} is not None:",
        f"    {value} = {last} = {operand.text}",
        f"    {age} = 0",
        "else:",
        f"    if {age} >= 0:",
        f"        {age} += 1",
        f"    {value} = {last} if {is_young} else None",
    ]
    if not operand.is_nullable:
        lines = [f"{value} = {last} = {operand.text}", f"{age} = 0"]
    result = Operand(text=value, type=call.type, is_nullable=operand.is_nullable)
    return SequenceCode(fields=fields, lines=tuple(lines), value=result)


def place_field(name: str, place: Place, arrays: PerKey, widen: Callable[[], None] = lambda: None) -> Field:
    """Return the field of a place of a partial aggregate that is kept for each key.

    `widen` makes the array of what is above 64 bits, if that is missing.
    """
    value = f"component{place.component}"
    if place.high is not None:
        return WideField(name, arrays, value, f"component{place.high}", widen)
    if place.validity is not None:
        return NullableField(name, arrays, value, f"component{place.validity}")
    return PlainField(name, arrays, value)


def running(finish: FinishForm) -> SequenceForm:
    """An aggregate over all rows of the key so far."""

    def form(call: SequenceCall) -> SequenceCode | None:
        assert isinstance(call.state, CumulativeState)
        fields: list[Field] = []
        lines: list[str] = []
        parts: list[Sequence[str]] = []
        for number, (partial, arrays) in enumerate(zip(call.state.aggregate.partials, call.state.carried, strict=True)):
            if partial.places is None:
                return None
            names = [f"{call.prefix}{number}_{place.component}" for place in partial.places]
            fields += [place_field(name, place, arrays) for name, place in zip(names, partial.places, strict=True)]
            lines += partial.fold_row(names, call.operands)
            parts.append(names)
        finishing = FinishCall(
            partials=call.state.aggregate.partials, parts=tuple(parts), type=call.type, bind=call.bind
        )
        return SequenceCode(fields=tuple(fields), lines=tuple(lines), value=finish(finishing))

    return form


def _recurrent(call: SequenceCall, names: Sequence[str]) -> tuple[dict[str, str], tuple[Field, ...]]:
    variables = {name: f"{call.prefix}{name}" for name in names}
    return variables, tuple(PlainField(variables[name], call.state.carried, name) for name in names)


def exponential_average(call: SequenceCall) -> SequenceCode:
    """`ema`."""
    window, warms_up = call.usage.constants["window"], call.usage.constants["warmup"]
    names, fields = _recurrent(call, ("count", "sum", "value"))
    count, total, value, result = names["count"], names["sum"], names["value"], f"{call.prefix}v"
    x, rate = call.operands[0].text, 2.0 / (window + 1)
    lines = [f"{result} = None", f"if {x} is not None:", f"    {count} += 1.0"]
    if warms_up:
        lines += [
            f"    if {count} <= 1:",
            f"        {value} = float({x})",
            "    else:",
            f"        {value} += max({rate!r}, 2.0 / {count}) * ({x} - {value})",
            f"    {result} = {value}",
        ]
    else:
        lines += [
            f"    if {count} <= {window}:",
            f"        {total} += {x}",
            f"        {value} = {total} / {window}",
            "    else:",
            f"        {value} += {rate!r} * ({x} - {value})",
            f"    if {count} >= {window}:",
            f"        {result} = {value}",
        ]
    return SequenceCode(fields=fields, lines=tuple(lines), value=_finite(result))


def weighted_average(call: SequenceCall) -> SequenceCode:
    """`ewmMean`."""
    names, fields = _recurrent(call, ("sum", "weight", "value", "count"))
    total, weight, value, count, result = (*names.values(), f"{call.prefix}v")
    x, kept = call.operands[0], 1 - rate_of(call.usage.constants)
    fresh = [
        f"{total} = {total} * {kept!r} + {x.text}",
        f"{weight} = {weight} * {kept!r} + 1",
        f"{value} = {total} / {weight}",
        f"{count} += 1.0",
    ]
    aged = [f"{total} = {total} * {kept!r} + 0.0", f"{weight} = {weight} * {kept!r} + 0"]
    missing = nulls([x])
    lines = [*([f"if {missing}:", *(f"    {line}" for line in aged), "else:"] if missing else ["if True:"])]
    lines += [*(f"    {line}" for line in fresh), f"{result} = {value} if {count} > 0 else None"]
    return SequenceCode(fields=fields, lines=tuple(lines), value=_finite(result))


def weighted_deviation(call: SequenceCall) -> SequenceCode:
    """`ewmStd`."""
    names, fields = _recurrent(call, ("weight", "pairs", "spread", "mean", "value", "known"))
    weight, pairs, spread, mean, value, known = names.values()
    result, aged, away = (f"{call.prefix}{letter}" for letter in "vga")
    x, kept = call.operands[0], 1 - rate_of(call.usage.constants)
    fresh = [
        f"{weight} = {aged} + 1",
        f"{away} = float({x.text}) - {mean}",
        f"{pairs} = {pairs} * {kept!r} * {kept!r} + {aged}",
        f"{spread} = {spread} * {kept!r} + {aged} / {weight} * {away} * {away}",
        f"{mean} = {mean} + {away} / {weight}",
        f"{value} = {call.bind(_root)}({spread} * {weight} / (2 * {pairs} if {pairs} > 0 else 1.0))",
        f"{known} = 1.0 if {pairs} > 0 and {value} - {value} == 0.0 else 0.0",
        f"{value} = {value} if {known} else 0.0",
    ]
    older = [
        f"{weight} = {aged} + 0",
        f"{pairs} = {pairs} * {kept!r} * {kept!r} + 0.0",
        f"{spread} = {spread} * {kept!r} + 0.0",
    ]
    missing = nulls([x])
    lines = [f"{aged} = {weight} * {kept!r}"]
    lines += [f"if {missing}:", *(f"    {line}" for line in older), "else:"] if missing else ["if True:"]
    lines += [*(f"    {line}" for line in fresh), f"{result} = {value} if {known} > 0 else None"]
    return SequenceCode(fields=fields, lines=tuple(lines), value=_finite(result))


def _root(number: float) -> float:
    return math.sqrt(number) if number >= 0 else math.nan


def _finite(text: str) -> Operand:
    """Return a real result that is NULL where it is NaN or infinite."""
    return Operand(
        text=f"({text} if {text} is not None and {text} - {text} == 0.0 else None)", type=Type.REAL, is_nullable=True
    )

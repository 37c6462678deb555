"""Row forms of partial aggregates: how one row is added to the components of an open pane, and how panes are joined.

The operations and their order are those of `actors.engine.functions.partials`, so that the bits are the same.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from actors.engine.functions.partials import Count, Edge, Extreme, Moments, PairMoments, Partial, Size, Total
from actors.engine.rows.code import HIGH, LOW, Operand, join_reals, present, wrap
from actors.engine.vectors.vector import Type


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A value that the generated function keeps of a partial aggregate."""

    component: int
    """Number of the component that holds it."""

    validity: int | None = None
    """Number of the component that says whether it is NULL; `None` if it cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialForm:
    """A partial aggregate as source text; places stand for local variables of the generated function."""

    places: tuple[Place, ...]
    fold: Callable[[Sequence[str], Sequence[Operand]], list[str]]
    """From the names of places and the operands of a row to lines that add the row."""

    join: Callable[..., Any]
    """From a sequence of values of panes for each place to the joined places: a tuple if they are several."""


def partial_form(partial: Partial) -> PartialForm | None:
    """Return the form of a partial aggregate, if it has one."""
    if isinstance(partial, Size):
        return _single(lambda places, operands: [f"{places[0]} += 1"], sum)
    if isinstance(partial, Count):
        return _single(lambda places, operands: _where(present(operands), [f"{places[0]} += 1"]), sum)
    if isinstance(partial, Total):
        return _total(partial)
    if isinstance(partial, Extreme):
        sign, join = (">", max) if partial.is_largest else ("<", min)
        return _single(lambda places, operands: _extreme(sign, places[0], operands[0]), join)
    if isinstance(partial, Edge):
        return None if partial.skipped is not None else _edge(partial)
    if isinstance(partial, Moments):
        return PartialForm(places=_places(4), fold=_fold_moments, join=join_moments)
    if isinstance(partial, PairMoments):
        return PartialForm(places=_places(8), fold=_fold_pairs, join=join_pairs)
    return None


def _places(count: int) -> tuple[Place, ...]:
    return tuple(Place(component=number) for number in range(count))


def _single(fold: Callable[[Sequence[str], Sequence[Operand]], list[str]], join: Callable[..., Any]) -> PartialForm:
    return PartialForm(places=_places(1), fold=fold, join=join)


def _where(condition: str, lines: Sequence[str]) -> list[str]:
    return [f"if {condition}:", *(f"    {line}" for line in lines)] if condition else list(lines)


_TERMS: dict[str, Callable[..., str]] = {
    "plain": lambda x: x,
    "truth": lambda x: f"({x} != 0)",
    "product": lambda x, y: f"{x} * {y}",
    "weight": lambda x, y: y,
    "square": lambda x: f"{x} * {x}",
    "cube": lambda x: f"{x} * {x} * {x}",
    "fourth": lambda x: f"{x} * {x} * {x} * {x}",
}


def _total(partial: Total) -> PartialForm:
    sign = "*" if partial.multiplies else "+"

    def fold(places: Sequence[str], operands: Sequence[Operand]) -> list[str]:
        texts = [operand.text for operand in operands]
        is_power = partial.term in ("square", "cube", "fourth")
        needs_real = is_power and operands[0].type is not Type.REAL
        term = _TERMS[partial.term](*([f"float({texts[0]})"] if needs_real else texts))
        if partial.is_real or not partial.multiplies:
            # A sum may leave 64 bits: what they keep of it is the same if it is cut down when it is used.
            return _where(present(operands), [f"{places[0]} {sign}= {term}"])
        lines = [
            f"{places[0]} {sign}= {term}",
            f"if not {LOW} <= {places[0]} <= {HIGH}:",
            f"    {places[0]} = wrap({places[0]})",
        ]
        return _where(present(operands), lines)

    if partial.is_real:
        return _single(fold, math.prod if partial.multiplies else join_reals)
    join = math.prod if partial.multiplies else sum
    return _single(fold, lambda values: wrap(join(values)))


def _extreme(sign: str, place: str, operand: Operand) -> list[str]:
    given = present([operand])
    condition = f"{operand.text} {sign} {place}"
    return [f"if {given} and {condition}:" if given else f"if {condition}:", f"    {place} = {operand.text}"]


def _edge(partial: Edge) -> PartialForm:
    def fold(places: Sequence[str], operands: Sequence[Operand]) -> list[str]:
        value, found = places
        conditions = [] if partial.is_last else [f"not {found}"]
        if partial.skips_null and operands[0].is_nullable:
            conditions.append(present(operands))
        return _where(" and ".join(conditions), [f"{value} = {operands[0].text}", f"{found} = True"])

    places = (Place(component=0, validity=1), Place(component=2))
    return PartialForm(places=places, fold=fold, join=_join_last if partial.is_last else _join_first)


def _join_first(values: Sequence[Any], found: Sequence[bool]) -> tuple[Any, bool]:
    for value, is_found in zip(values, found, strict=True):
        if is_found:
            return value, True
    return None, False


def _join_last(values: Sequence[Any], found: Sequence[bool]) -> tuple[Any, bool]:
    return _join_first(values[::-1], found[::-1])


def _fold_moments(places: Sequence[str], operands: Sequence[Operand]) -> list[str]:
    count, centre, first, second = places
    x = operands[0].text
    lines = [
        f"if {count} == 0:",
        f"    {centre} = {x if operands[0].type is Type.REAL else f'float({x})'}",
        f"{count} += 1",
        f"t = {x} - {centre}",
        f"{first} += t",
        f"{second} += t * t",
    ]
    return _where(present(operands[:1]), lines)


def _fold_pairs(places: Sequence[str], operands: Sequence[Operand]) -> list[str]:
    count, left, right, a, b, aa, bb, ab = places
    x, y = (operand.text for operand in operands)
    lines = [
        f"if {count} == 0:",
        f"    {left} = float({x})",
        f"    {right} = float({y})",
        f"{count} += 1",
        f"t = {x} - {left}",
        f"u = {y} - {right}",
        f"{a} += t",
        f"{b} += u",
        f"{aa} += t * t",
        f"{bb} += u * u",
        f"{ab} += t * u",
    ]
    return _where(present(operands), lines)


def _shifts(counts: Sequence[int], centres: Sequence[float]) -> tuple[float, list[float]]:
    """Return the centre of joined panes and how far that of each pane lies from it."""
    centre = next((old for count, old in zip(counts, centres, strict=True) if count), 0.0)
    return centre, [old - centre if count else 0.0 for count, old in zip(counts, centres, strict=True)]


def join_moments(
    counts: Sequence[int], centres: Sequence[float], first: Sequence[float], second: Sequence[float]
) -> tuple[int, float, float, float]:
    """Return the moments of all panes together."""
    if len(counts) == 1:
        return counts[0], centres[0], first[0], second[0]
    centre, shifts = _shifts(counts, centres)
    rows = list(zip(counts, shifts, first, second, strict=True))
    moved = [a + n * shift for n, shift, a, _ in rows]
    squares = [aa + 2 * shift * a + n * shift * shift for n, shift, a, aa in rows]
    return sum(counts), centre, join_reals(moved), join_reals(squares)


def join_pairs(
    counts: Sequence[int], left: Sequence[float], right: Sequence[float], *sums: Sequence[float]
) -> tuple[float, ...]:
    """Return the moments of two arguments of all panes together."""
    if len(counts) == 1:
        return counts[0], left[0], right[0], *(values[0] for values in sums)
    (x, ps), (y, qs) = _shifts(counts, left), _shifts(counts, right)
    moved = [
        (
            a + n * p,
            b + n * q,
            aa + 2 * p * a + n * p * p,
            bb + 2 * q * b + n * q * q,
            ab + p * b + q * a + n * p * q,
        )
        for n, p, q, a, b, aa, bb, ab in zip(counts, ps, qs, *sums, strict=True)
    ]
    return sum(counts), x, y, *(join_reals(column) for column in zip(*moved, strict=True))

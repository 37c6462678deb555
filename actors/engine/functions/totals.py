"""Partial aggregates that add or multiply one *term* of each row; rows with a NULL argument are left out.

Whole numbers stay whole where the result does: `sum`, `prod` and `wsum` keep 64 bits of it, whatever happens above.
Where the result is real, as that of `avg`, nothing may be lost on the way, so `WideTotal` keeps 128 bits, and
`ProductTotal` beside the whole sum a real one.
"""

# The operations are described once, in `actors.engine.functions.partials.Partial`.

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.engine.functions.partials import (
    Components,
    OneNumber,
    Partial,
    Place,
    Runs,
    added,
    lines_where,
    single_places,
    where_all,
)
from actors.engine.rows.code import HIGH, LOW, Operand, converted, present, wrap
from actors.engine.rows.summing import join_reals
from actors.engine.vectors import wide
from actors.engine.vectors.segments import Layout, accumulate
from actors.engine.vectors.vector import Array, Type, Vector, number_values


@dataclass(frozen=True, slots=True, kw_only=True)
class _Term:
    """What is made of a row: with vectors, and as source text; and what its sum is for people."""

    of_vectors: Callable[[Sequence[Any]], Any]
    of_row: Callable[[Sequence[str]], str]
    what: str
    is_power: bool = False
    """Whether arguments become real first."""


def _power(exponent: int, what: str) -> _Term:
    def of_vectors(values: Sequence[Any]) -> Any:
        result = values[0]
        for _ in range(exponent - 1):
            result = result * values[0]
        return result

    return _Term(of_vectors=of_vectors, of_row=lambda x: " * ".join([x[0]] * exponent), what=what, is_power=True)


_TERMS = {
    "plain": _Term(of_vectors=lambda x: x[0], of_row=lambda x: x[0], what="sum"),
    "truth": _Term(
        of_vectors=lambda x: (x[0] != 0).astype(np.int64),
        of_row=lambda x: f"({x[0]} != 0)",
        what="number of true values",
    ),
    "product": _Term(of_vectors=lambda x: x[0] * x[1], of_row=lambda x: f"{x[0]} * {x[1]}", what="sum of products"),
    "weight": _Term(of_vectors=lambda x: x[1], of_row=lambda x: x[1], what="sum of weights"),
    "square": _power(2, "sum of squares"),
    "cube": _power(3, "sum of cubes"),
    "fourth": _power(4, "sum of 4th powers"),
}


def total_of(term: str, types: Sequence[Type], multiplies: bool = False) -> Partial:
    """Return the partial aggregate that adds up (or multiplies) a term of arguments of these types."""
    kinds = {"plain": types[:1], "weight": types[1:], "truth": ()}.get(term, types)
    is_real = _TERMS[term].is_power or Type.REAL in kinds
    if not is_real and not multiplies and term in ("plain", "weight"):
        return WideTotal(term)
    if not is_real and term == "product":
        return ProductTotal()
    return Total(term, is_real, multiplies)


def _values(term: str, vectors: Sequence[Vector], as_real: bool, left_out: Any) -> Array:
    """Return the term of each row, and `left_out` for rows with a NULL argument."""
    made = _TERMS[term]
    arguments = [number_values(vector) for vector in vectors]
    if as_real and (made.is_power or term == "product"):
        arguments = [argument.astype(np.float64, copy=False) for argument in arguments]
    valid, values = where_all(vectors), made.of_vectors(arguments)
    values = values if valid is None else np.where(valid, values, left_out)
    result: Array = values.astype(np.float64 if as_real else np.int64, copy=False)
    return result


def _text(term: str, operands: Sequence[Operand], as_real: bool) -> str:
    if as_real and (_TERMS[term].is_power or term == "product"):
        operands = [converted(operand, Type.REAL) for operand in operands]
    return _TERMS[term].of_row([operand.text for operand in operands])


@dataclass(frozen=True, slots=True)
class Total(OneNumber):
    """Sum or product; the component is that number, of 64 bits if it is whole."""

    term: str
    is_real: bool
    multiplies: bool = False
    """Multiply instead of add."""

    @property
    def ufunc(self) -> np.ufunc:
        return np.multiply if self.multiplies else np.add

    @property
    def what(self) -> str:
        return "product" if self.multiplies else _TERMS[self.term].what

    @property
    def neutral(self) -> tuple[Any, ...]:
        return (np.float64(self.multiplies) if self.is_real else np.int64(self.multiplies),)

    def rows(self, vectors: Sequence[Vector]) -> Array:
        return _values(self.term, vectors, self.is_real, self.neutral[0])

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        if not self.is_real and not self.multiplies:
            return (added(runs.sums(self.rows(vectors)), runs, carry[0]),)
        return OneNumber.fold(self, vectors, runs, carry)

    def fold_row(self, places: Sequence[str], operands: Sequence[Operand]) -> list[str]:
        place, sign = places[0], "*" if self.multiplies else "+"
        lines = [f"{place} {sign}= {_text(self.term, operands, self.is_real)}"]
        if self.multiplies and not self.is_real:
            # A product is cut down at once, or it would grow without end; a sum is when it is used.
            lines += [f"if not {LOW} <= {place} <= {HIGH}:", f"    {place} = wrap({place})"]
        return lines_where(present(operands), lines)

    @property
    def join_row(self) -> Callable[..., Any]:
        if self.is_real:
            return math.prod if self.multiplies else join_reals
        join = math.prod if self.multiplies else sum
        return lambda values: wrap(join(values))


@dataclass(frozen=True, slots=True)
class WideTotal:
    """Sum of whole numbers that loses nothing; components are its lowest 64 bits and what is above them.

    `sum` needs the first alone and `avg` both; one partial aggregate serves them. Where the second is left out, the
    first is the sum itself.
    """

    term: str

    @property
    def what(self) -> str:
        return _TERMS[self.term].what

    @property
    def neutral(self) -> tuple[Any, ...]:
        return (np.int64(0), np.int64(0))

    @property
    def derived(self) -> Callable[[Array], Array]:
        return wide.sign_of

    def outgrows(self, vectors: Sequence[Vector] | None) -> bool:
        if vectors is None or not len(vectors[0].values):
            return False
        values: Array = vectors[1 if self.term == "weight" else 0].values
        if values.dtype.kind == "b":
            return False
        # The places of the extremes are found in a third of the time that the extremes are.
        highest: int = values.item(values.argmax())
        return highest >= wide.TERM_MAX or values.item(values.argmin()) <= -wide.TERM_MAX

    def _rows(self, vectors: Sequence[Vector]) -> Array:
        return _values(self.term, vectors, False, 0)

    def gather(self, vectors: Sequence[Vector], starts: Array) -> Components:
        return wide.sums(lambda values: np.add.reduceat(values, starts), self._rows(vectors))

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        values = self._rows(vectors)
        if len(carry) == 1:
            return (added(runs.sums(values), runs, carry[0]),)
        low, high = wide.sums(runs.sums, values)
        if runs.is_one_each:
            return wide.added((low, high), (carry[0], carry[1]))
        firsts = runs.firsts
        low[firsts], high[firsts] = wide.added((low[firsts], high[firsts]), (carry[0], carry[1]))
        return (low, high)

    def reduce(self, components: Components, starts: Array) -> Components:
        if len(components) == 1:
            return (np.add.reduceat(components[0], starts),)
        return wide.sums(lambda values: np.add.reduceat(values, starts), *components)

    def scan(self, vectors: Sequence[Vector], layout: Layout, carry: Components) -> Components:
        values, carried = self._rows(vectors), (carry[0], carry[1])
        if wide.fits(np.concatenate((values, carry[0]))) and (carry[1] == wide.sign_of(carry[0])).all():
            low = accumulate(np.add, values, layout, carry[0])
            return (low, wide.sign_of(low))
        parts = zip(wide.parts_of((values, wide.sign_of(values))), wide.parts_of(carried), strict=True)
        return wide.joined(*(accumulate(np.add, part, layout, before) for part, before in parts))

    @property
    def places(self) -> tuple[Place, ...]:
        return (Place(component=0, high=1),)

    def fold_row(self, places: Sequence[str], operands: Sequence[Operand]) -> list[str]:
        return lines_where(present(operands), [f"{places[0]} += {_text(self.term, operands, False)}"])

    @property
    def join_row(self) -> Callable[..., Any]:
        return sum


@dataclass(frozen=True, slots=True)
class ProductTotal:
    """Sum of products of whole numbers; components are the lowest 64 bits of it, and the same made of reals.

    `wsum` is whole and takes the first; `wavg` is real and takes the second, which no product can overflow.
    """

    @property
    def what(self) -> str:
        return _TERMS["product"].what

    @property
    def neutral(self) -> tuple[Any, ...]:
        return (np.int64(0), np.float64(0))

    @property
    def derived(self) -> Callable[[Array], Array]:
        return lambda whole: whole.astype(np.float64)

    def outgrows(self, vectors: Sequence[Vector] | None) -> bool:
        return True  # a sum of products is rounded in another way than products are

    @property
    def _parts(self) -> tuple[Total, Total]:
        return Total("product", False), Total("product", True)

    def gather(self, vectors: Sequence[Vector], starts: Array) -> Components:
        return tuple(part.gather(vectors, starts)[0] for part in self._parts)

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        return tuple(p.fold(vectors, runs, (c,))[0] for p, c in zip(self._parts, carry, strict=True))

    def reduce(self, components: Components, starts: Array) -> Components:
        return tuple(p.reduce((c,), starts)[0] for p, c in zip(self._parts, components, strict=True))

    def scan(self, vectors: Sequence[Vector], layout: Layout, carry: Components) -> Components:
        return tuple(p.scan(vectors, layout, (c,))[0] for p, c in zip(self._parts, carry, strict=True))

    @property
    def places(self) -> tuple[Place, ...]:
        return single_places(2)

    def fold_row(self, places: Sequence[str], operands: Sequence[Operand]) -> list[str]:
        lines = [f"{place} += {_text('product', operands, bool(number))}" for number, place in enumerate(places)]
        return lines_where(present(operands), lines)

    @property
    def join_row(self) -> Callable[..., Any]:
        return lambda whole, real: (wrap(sum(whole)), join_reals(real))

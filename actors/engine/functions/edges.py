"""Partial aggregates of values that rows have: the smallest, largest, first and last one."""

# The operations are described once, in `actors.engine.functions.partials.Partial`.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.engine.functions.partials import Components, KeptWhole, OneNumber, Place, Runs, lines_where
from actors.engine.rows.code import Operand, present
from actors.engine.vectors.segments import Layout
from actors.engine.vectors.vector import Array, Vector, number_values, validity

_FAR = np.iinfo(np.int64).max


def first_where(found: Array, starts: Array) -> Array:
    """Return the position of the first true entry of each segment, or a position far away."""
    return np.minimum.reduceat(np.where(found, np.arange(len(found)), _FAR), starts)


def last_where(found: Array, starts: Array) -> Array:
    """Return the position of the last true entry of each segment, or -1."""
    return np.maximum.reduceat(np.where(found, np.arange(len(found)), -1), starts)


@dataclass(frozen=True, slots=True)
class Extreme(OneNumber):
    """Smallest or largest value; the component is that value, or the limit of its type without values."""

    is_largest: bool
    is_real: bool

    @property
    def ufunc(self) -> np.ufunc:
        return np.maximum if self.is_largest else np.minimum

    @property
    def what(self) -> str:
        return "largest value" if self.is_largest else "smallest value"

    @property
    def neutral(self) -> tuple[Any, ...]:
        if self.is_real:
            return (np.float64(-np.inf if self.is_largest else np.inf),)
        limits = np.iinfo(np.int64)
        return (np.int64(limits.min if self.is_largest else limits.max),)

    def rows(self, vectors: Sequence[Vector]) -> Any:
        values = number_values(vectors[0])
        if self.is_real:
            # Which of two zeros is the smaller is for numpy to say, in one way here and in another there.
            values = values + 0.0
        return values if vectors[0].valid is None else np.where(vectors[0].valid, values, self.neutral[0])

    def fold_row(self, places: Sequence[str], operands: Sequence[Operand]) -> list[str]:
        place, operand = places[0], operands[0]
        given, sign = present([operand]), ">" if self.is_largest else "<"
        condition = f"{operand.text} {sign} {place}"
        value = f"{operand.text} + 0.0" if self.is_real else operand.text
        return lines_where(f"{given} and {condition}" if given else condition, [f"{place} = {value}"])

    @property
    def join_row(self) -> Callable[..., Any]:
        return max if self.is_largest else min


@dataclass(frozen=True, slots=True)
class Edge(KeptWhole):
    """First or last value; components are the value, whether it is there, and whether a row was found at all."""

    is_last: bool
    dtype: Any
    skips_null: bool = False
    """Look for a value that is not NULL."""

    skipped: bool | int | float | str | None = None
    """A further value to skip; `None` for no other."""

    @property
    def what(self) -> str:
        return "last value" if self.is_last else "first value"

    @property
    def neutral(self) -> tuple[Any, ...]:
        empty = "" if self.dtype == np.object_ else self.dtype(0)
        return (empty, np.False_, np.False_)

    def gather(self, vectors: Sequence[Vector], starts: Array) -> Components:
        valid = validity(vectors[0])
        found = valid if self.skips_null else np.ones(len(valid), dtype=np.bool_)
        if self.skipped is not None:
            # As an object: numpy's own texts lose what they end in if that is NUL.
            found = found & np.not_equal(vectors[0].values, np.asarray(self.skipped, dtype=object)).astype(np.bool_)
        # What stands where there is no value is kept with it, so it must not depend on how it was computed.
        values = vectors[0].values if vectors[0].valid is None else np.where(valid, vectors[0].values, self.neutral[0])
        return self.reduce((values, valid, found), starts)

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        carry = runs.spread(self.neutral, carry)
        fresh = self.gather(vectors, runs.starts)
        keeps_fresh = fresh[2] if self.is_last else ~carry[2]
        return tuple(np.where(keeps_fresh, new, old) for new, old in zip(fresh, carry, strict=True))

    def reduce(self, components: Components, starts: Array) -> Components:
        value, valid, found = components
        where = last_where(found, starts) if self.is_last else first_where(found, starts)
        there = (where >= 0) & (where < len(found))
        position = np.where(there, where, starts)
        return (value[position], valid[position] & there, there)

    def scan(self, vectors: Sequence[Vector], layout: Layout, carry: Components) -> Components:
        raise NotImplementedError("no running first or last value")

    @property
    def places(self) -> tuple[Place, ...] | None:
        # Comparing a value with the skipped one row by row would need its type.
        return None if self.skipped is not None else (Place(component=0, validity=1), Place(component=2))

    def fold_row(self, places: Sequence[str], operands: Sequence[Operand]) -> list[str]:
        value, found = places
        conditions = [] if self.is_last else [f"not {found}"]
        if self.skips_null and operands[0].is_nullable:
            conditions.append(present(operands))
        return lines_where(" and ".join(conditions), [f"{value} = {operands[0].text}", f"{found} = True"])

    @property
    def join_row(self) -> Callable[..., Any]:
        return _join_last if self.is_last else _join_first


def _join_first(values: Sequence[Any], found: Sequence[bool]) -> tuple[Any, bool]:
    for value, is_found in zip(values, found, strict=True):
        if is_found:
            return value, True
    return None, False


def _join_last(values: Sequence[Any], found: Sequence[bool]) -> tuple[Any, bool]:
    return _join_first(values[::-1], found[::-1])

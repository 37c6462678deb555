"""Partial aggregates: what is kept of some rows so that aggregates over them, and over more rows, can be finished.

A partial aggregate is a tuple of components, each an array with one entry per segment (a row, a pane or a window). Its
operations:

- `lift` makes components of single rows;
- `fold` adds the rows of panes to carried components, in arrival order, with the operations of a plain loop, so that
  the bits of the result do not depend on where the rows were cut into batches;
- `reduce` joins components that stand next to one another;
- `scan` gives the running components of each key after every row.

Aggregates that share an argument share its partial aggregates; `actors.engine.functions.aggregates` finishes results.
"""

# ruff: noqa: D102 -- the operations are described once, in the protocol

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from actors.engine.vectors.segments import Layout, accumulate, starts_of
from actors.engine.vectors.vector import Array, Vector, both_valid, number_values, validity

Components = tuple[Array, ...]

_FAR = np.iinfo(np.int64).max


class Runs:
    """Consecutive runs of rows, the panes of a batch; carried components belong to the first run of each key."""

    def __init__(self, starts: Array, lengths: Array, firsts: Array) -> None:
        self.starts = starts
        self.lengths = lengths
        self.firsts = firsts
        """Number of the first run of each key."""

        self.is_one_each = len(firsts) == len(starts)
        """Whether every key has one run."""

    def at_firsts(self, values: Array) -> Array:
        """Return the value of each key's first run."""
        return values if self.is_one_each else values.take(self.firsts)

    @cached_property
    def run_of_row(self) -> Array:
        """Number of the run that each row belongs to."""
        return np.repeat(np.arange(len(self.starts)), self.lengths)

    def sums(self, values: Array) -> Array:
        """Return the sums of whole numbers over each run."""
        running = np.cumsum(values)
        totals: Array = running.take(self.starts + (self.lengths - 1))
        totals[1:] -= totals[:-1].copy()
        return totals

    def spread(self, neutral: tuple[Any, ...], carry: Components) -> Components:
        """Return components for every run: the carried ones for the first of each key, neutral ones for others."""
        if self.is_one_each:
            return tuple(carried.copy() for carried in carry)
        spread = []
        for fill, carried in zip(neutral, carry, strict=True):
            component = np.full(len(self.starts), fill, dtype=carried.dtype)
            component[self.firsts] = carried
            spread.append(component)
        return tuple(spread)


class Partial(Protocol):
    """The operations of a partial aggregate; instances are values, equal if they compute the same."""

    @property
    def what(self) -> str:
        """Its name for people."""

    @property
    def neutral(self) -> tuple[Any, ...]:
        """Components of no rows; the numpy type of each says the type of the component."""

    def lift(self, vectors: Sequence[Vector]) -> Components:
        """Return the components of every row by itself."""

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        """Return the components of each run of rows; the first run of each key continues from carried ones."""

    def reduce(self, components: Components, starts: Array) -> Components:
        """Return the joined components of each segment; segments are not empty and follow one another."""

    def scan(self, components: Components, layout: Layout, carry: Components) -> Components:
        """Return the components of all rows of a key up to each row, continuing from carried ones."""


def _added(totals: Array, runs: Runs, carried: Array) -> Array:
    if runs.is_one_each:
        summed: Array = totals + carried
        return summed
    result = totals.copy()
    result[runs.firsts] += carried
    return result


def _first_where(found: Array, starts: Array) -> Array:
    """Return the position of the first true entry of each segment, or a position far away."""
    return np.minimum.reduceat(np.where(found, np.arange(len(found)), _FAR), starts)


def _last_where(found: Array, starts: Array) -> Array:
    """Return the position of the last true entry of each segment, or -1."""
    return np.maximum.reduceat(np.where(found, np.arange(len(found)), -1), starts)


@dataclass(frozen=True, slots=True)
class Size:
    """Number of rows, NULL or not."""

    @property
    def what(self) -> str:
        return "number of rows"

    @property
    def neutral(self) -> tuple[Any, ...]:
        return (np.int64(0),)

    def lift(self, vectors: Sequence[Vector]) -> Components:
        return (np.ones(len(vectors[0].values), dtype=np.int64),)

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        return (_added(runs.lengths, runs, carry[0]),)

    def reduce(self, components: Components, starts: Array) -> Components:
        return (np.add.reduceat(components[0], starts),)

    def scan(self, components: Components, layout: Layout, carry: Components) -> Components:
        return (accumulate(np.add, components[0], layout, carry[0]),)


@dataclass(frozen=True, slots=True)
class Count:
    """Number of rows in which no argument is NULL."""

    @property
    def what(self) -> str:
        return "number of values"

    @property
    def neutral(self) -> tuple[Any, ...]:
        return (np.int64(0),)

    def lift(self, vectors: Sequence[Vector]) -> Components:
        valid = None
        for vector in vectors:
            valid = both_valid(valid, vector.valid)
        count = len(vectors[0].values)
        return (np.ones(count, dtype=np.int64) if valid is None else valid.astype(np.int64),)

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        if all(vector.valid is None for vector in vectors):
            return (_added(runs.lengths, runs, carry[0]),)
        return (_added(runs.sums(self.lift(vectors)[0]), runs, carry[0]),)

    def reduce(self, components: Components, starts: Array) -> Components:
        return (np.add.reduceat(components[0], starts),)

    def scan(self, components: Components, layout: Layout, carry: Components) -> Components:
        return (accumulate(np.add, components[0], layout, carry[0]),)


def _plain(vectors: Sequence[Vector]) -> Any:
    return number_values(vectors[0])


def _truth(vectors: Sequence[Vector]) -> Any:
    return (vectors[0].values != 0).astype(np.int64)


def _product(vectors: Sequence[Vector]) -> Any:
    return number_values(vectors[0]) * number_values(vectors[1])


def _weight(vectors: Sequence[Vector]) -> Any:
    return number_values(vectors[1])


def _power(vectors: Sequence[Vector], exponent: int) -> Array:
    values: Array = number_values(vectors[0]).astype(np.float64)
    result = values
    for _ in range(exponent - 1):
        result = result * values
    return result


_TERMS: dict[str, Callable[[Sequence[Vector]], Any]] = {
    "plain": _plain,
    "truth": _truth,
    "product": _product,
    "weight": _weight,
    "square": lambda vectors: _power(vectors, 2),
    "cube": lambda vectors: _power(vectors, 3),
    "fourth": lambda vectors: _power(vectors, 4),
}


_TOTALS = {
    "plain": "sum",
    "truth": "number of true values",
    "product": "sum of products",
    "fourth": "sum of 4th powers",
}
"""Names of totals for people."""


@dataclass(frozen=True, slots=True)
class Total:
    """Sum or product of one term per row; rows with a NULL argument are left out."""

    term: str
    """What is added up: `plain`, `truth`, `product`, `weight`, `square`, `cube` or `fourth`."""

    is_real: bool
    """Whether components are real numbers, else integers."""

    multiplies: bool = False
    """Multiply instead of add."""

    @property
    def _ufunc(self) -> np.ufunc:
        return np.multiply if self.multiplies else np.add

    @property
    def what(self) -> str:
        return "product" if self.multiplies else _TOTALS.get(self.term, f"sum of {self.term}s")

    @property
    def neutral(self) -> tuple[Any, ...]:
        return (np.float64(self.multiplies) if self.is_real else np.int64(self.multiplies),)

    def lift(self, vectors: Sequence[Vector]) -> Components:
        valid = None
        for vector in vectors:
            valid = both_valid(valid, vector.valid)
        values = _TERMS[self.term](vectors)
        if valid is not None:
            values = np.where(valid, values, self.neutral[0])
        return (values.astype(np.float64 if self.is_real else np.int64, copy=False),)

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        (values,) = self.lift(vectors)
        if not self.is_real and not self.multiplies:
            return (_added(runs.sums(values), runs, carry[0]),)
        (result,) = runs.spread(self.neutral, carry)
        self._ufunc.at(result, runs.run_of_row, values)
        return (result,)

    def reduce(self, components: Components, starts: Array) -> Components:
        return (self._ufunc.reduceat(components[0], starts),)

    def scan(self, components: Components, layout: Layout, carry: Components) -> Components:
        return (accumulate(self._ufunc, components[0], layout, carry[0]),)


@dataclass(frozen=True, slots=True)
class Extreme:
    """Smallest or largest value."""

    is_largest: bool
    is_real: bool

    @property
    def _ufunc(self) -> np.ufunc:
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

    def lift(self, vectors: Sequence[Vector]) -> Components:
        values = number_values(vectors[0])
        return (values if vectors[0].valid is None else np.where(vectors[0].valid, values, self.neutral[0]),)

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        (result,) = runs.spread(self.neutral, carry)
        self._ufunc.at(result, runs.run_of_row, self.lift(vectors)[0])
        return (result,)

    def reduce(self, components: Components, starts: Array) -> Components:
        return (self._ufunc.reduceat(components[0], starts),)

    def scan(self, components: Components, layout: Layout, carry: Components) -> Components:
        return (accumulate(self._ufunc, components[0], layout, carry[0]),)


@dataclass(frozen=True, slots=True)
class Edge:
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

    def lift(self, vectors: Sequence[Vector]) -> Components:
        valid = validity(vectors[0])
        found = valid if self.skips_null else np.ones(len(valid), dtype=np.bool_)
        if self.skipped is not None:
            found = found & (vectors[0].values != self.skipped)
        # What stands where there is no value is kept with it, so it must not depend on how it was computed.
        values = vectors[0].values if vectors[0].valid is None else np.where(valid, vectors[0].values, self.neutral[0])
        return (values, valid, found)

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        carry = runs.spread(self.neutral, carry)
        fresh = self.reduce(self.lift(vectors), runs.starts)
        keeps_fresh = fresh[2] if self.is_last else ~carry[2]
        return tuple(np.where(keeps_fresh, new, old) for new, old in zip(fresh, carry, strict=True))

    def reduce(self, components: Components, starts: Array) -> Components:
        value, valid, found = components
        where = _last_where(found, starts) if self.is_last else _first_where(found, starts)
        there = (where >= 0) & (where < len(found))
        position = np.where(there, where, starts)
        return (value[position], valid[position] & there, there)

    def scan(self, components: Components, layout: Layout, carry: Components) -> Components:
        raise NotImplementedError("no running first or last value")


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, and sums of the differences from a centre and of their squares; the centre is a value of the rows.

    Keeping differences instead of values makes the variance of equal values exactly 0 and avoids cancellation.
    """

    @property
    def what(self) -> str:
        return "count, centre and moments"

    @property
    def neutral(self) -> tuple[Any, ...]:
        return (np.int64(0), np.float64(0), np.float64(0), np.float64(0))

    def lift(self, vectors: Sequence[Vector]) -> Components:
        values = number_values(vectors[0]).astype(np.float64)
        count = Count().lift(vectors)[0]
        zero = np.zeros(len(values))
        return (count, np.where(count > 0, values, 0.0), zero, zero)

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        carry = runs.spread(self.neutral, carry)
        if vectors[0].valid is None:
            value = number_values(vectors[0]).astype(np.float64, copy=False)
            centre = np.where(carry[0] > 0, carry[1], value.take(runs.starts))
            difference, added = value - np.repeat(centre, runs.lengths), runs.lengths
        else:
            count, value = self.lift(vectors)[:2]
            centre = _centre(count, value, runs.starts, carry[0], carry[1])
            difference, added = np.where(count > 0, value - np.repeat(centre, runs.lengths), 0.0), runs.sums(count)
        first, second = carry[2], carry[3]
        np.add.at(first, runs.run_of_row, difference)
        np.add.at(second, runs.run_of_row, difference * difference)
        return (carry[0] + added, centre, first, second)

    def reduce(self, components: Components, starts: Array) -> Components:
        count, old, first, second = components
        if count.all():
            centre = old.take(starts)
            shift = old - _spread(centre, starts, len(count))
        else:
            centre = _centre(count, old, starts, np.zeros(len(starts), np.int64), np.zeros(len(starts)))
            shift = np.where(count > 0, old - _spread(centre, starts, len(count)), 0.0)
        weighted = count * shift
        squares = 2 * shift
        squares *= first
        squares += second
        squares += weighted * shift
        weighted += first
        return (
            np.add.reduceat(count, starts),
            centre,
            np.add.reduceat(weighted, starts),
            np.add.reduceat(squares, starts),
        )

    def scan(self, components: Components, layout: Layout, carry: Components) -> Components:
        count, value = components[:2]
        centre = np.repeat(_centre(count, value, layout.starts, carry[0], carry[1]), layout.lengths)
        difference = np.where(count > 0, value - centre, 0.0)
        return (
            accumulate(np.add, count, layout, carry[0]),
            centre,
            accumulate(np.add, difference, layout, carry[2]),
            accumulate(np.add, difference * difference, layout, carry[3]),
        )


def _centre(count: Array, value: Array, starts: Array, carried_count: Array, carried: Array) -> Array:
    """Return the centre of each segment: the carried one, else the first value that is there, else 0."""
    where = _first_where(count > 0, starts)
    there = where < len(count)
    fresh = np.where(there, value[np.where(there, where, 0)], 0.0)
    return np.where(carried_count > 0, carried, fresh)


def _spread(values: Array, starts: Array, count: int) -> Array:
    lengths = np.diff(starts, append=count)
    return np.repeat(values, lengths)


@dataclass(frozen=True, slots=True)
class PairMoments:
    """Count, centres, and sums of differences, their squares and products, of two arguments where both are there."""

    @property
    def what(self) -> str:
        return "count, centres and joint moments"

    @property
    def neutral(self) -> tuple[Any, ...]:
        return (np.int64(0), *(np.float64(0) for _ in range(7)))

    def lift(self, vectors: Sequence[Vector]) -> Components:
        count = Count().lift(vectors)[0]
        left, right = (np.where(count > 0, number_values(vector).astype(np.float64), 0.0) for vector in vectors[:2])
        zero = np.zeros(len(count))
        return (count, left, right, zero, zero, zero, zero, zero)

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        carry = runs.spread(self.neutral, carry)
        count, left, right = self.lift(vectors)[:3]
        centres = [_centre(count, side, runs.starts, carry[0], carry[1 + i]) for i, side in enumerate((left, right))]
        there = count > 0
        a = np.where(there, left - centres[0][runs.run_of_row], 0.0)
        b = np.where(there, right - centres[1][runs.run_of_row], 0.0)
        sums = carry[3:]
        for total, term in zip(sums, (a, b, a * a, b * b, a * b), strict=True):
            np.add.at(total, runs.run_of_row, term)
        return (carry[0] + runs.sums(count), *centres, *sums)

    def reduce(self, components: Components, starts: Array) -> Components:
        count, left, right, a, b, aa, bb, ab = components
        none, zero = np.zeros(len(starts), np.int64), np.zeros(len(starts))
        centres = [_centre(count, side, starts, none, zero) for side in (left, right)]
        there = count > 0
        p = np.where(there, left - _spread(centres[0], starts, len(count)), 0.0)
        q = np.where(there, right - _spread(centres[1], starts, len(count)), 0.0)
        terms = (
            a + count * p,
            b + count * q,
            aa + 2 * p * a + count * p * p,
            bb + 2 * q * b + count * q * q,
            ab + p * b + q * a + count * p * q,
        )
        return (np.add.reduceat(count, starts), *centres, *(np.add.reduceat(term, starts) for term in terms))

    def scan(self, components: Components, layout: Layout, carry: Components) -> Components:
        count, left, right = components[:3]
        centres = [
            np.repeat(_centre(count, side, layout.starts, carry[0], carry[1 + i]), layout.lengths)
            for i, side in enumerate((left, right))
        ]
        there = count > 0
        a, b = np.where(there, left - centres[0], 0.0), np.where(there, right - centres[1], 0.0)
        terms = (a, b, a * a, b * b, a * b)
        sums = (accumulate(np.add, term, layout, carry[3 + i]) for i, term in enumerate(terms))
        return (accumulate(np.add, count, layout, carry[0]), *centres, *sums)


def reduce_ranges(partial: Partial, components: Components, lengths: Array) -> Components:
    """Return the joined components of segments that follow one another, without work where all have length 1."""
    if len(lengths) == len(components[0]):
        return components
    return partial.reduce(components, starts_of(lengths))

"""Partial aggregates for variances and what follows from them: moments about a *centre*, which is a value of the rows.

Keeping sums of differences from the centre instead of sums of values makes the variance of equal values exactly 0, and
keeps the digits of values that lie far from zero. Moments about one centre are moved to another when panes are joined.
"""

# The operations are described once, in `actors.engine.functions.partials.Partial`.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.engine.functions.edges import first_where
from actors.engine.functions.partials import Components, Count, KeptWhole, Place, Runs, lines_where, single_places
from actors.engine.rows.code import Operand, present
from actors.engine.rows.summing import join_reals
from actors.engine.vectors.segments import Layout, accumulate
from actors.engine.vectors.vector import Array, Type, Vector, number_values
from actors.engine.vectors.wide import differences

EXACT_MAX = 1 << 53
"""Whole numbers up to which each is a real number."""


def centres_of(count: Array, value: Array, starts: Array, carried_count: Array, carried: Array) -> Array:
    """Return the centre of each segment: the carried one, else the first value that is there, else 0."""
    where = first_where(count > 0, starts)
    there = where < len(count)
    fresh = np.where(there, value[np.where(there, where, 0)], 0.0)
    return np.where(carried_count > 0, carried, fresh)


def repeated(values: Array, starts: Array, count: int) -> Array:
    """Return the value of each segment for all its entries."""
    return np.repeat(values, np.diff(starts, append=count))


def _away(count: Array, values: Array, centres: Array) -> Array:
    """Return how far each value lies from its centre, 0 where there is none."""
    return np.where(count > 0, differences(values, centres), 0.0)


def _none(starts: Array) -> tuple[Array, Array]:
    """Return the count and the centre of segments that nothing is carried for."""
    return np.zeros(len(starts), np.int64), np.zeros(len(starts))


def _minus(operand: Operand, centre: str) -> str:
    """Return the text of `differences` for one row."""
    x = operand.text
    if operand.type is Type.REAL:
        return f"{x} - {centre}"
    return f"({x} - {centre} if {-EXACT_MAX} <= {x} <= {EXACT_MAX} else float({x} - int({centre})))"


@dataclass(frozen=True, slots=True)
class Moments(KeptWhole):
    """Components: count, centre, and sums of the differences from the centre and of their squares."""

    @property
    def what(self) -> str:
        return "count, centre and moments"

    @property
    def neutral(self) -> tuple[Any, ...]:
        return (np.int64(0), np.float64(0), np.float64(0), np.float64(0))

    def gather(self, vectors: Sequence[Vector], starts: Array) -> Components:
        count, values = Count().rows(vectors[:1]), number_values(vectors[0])
        centre = centres_of(count, values.astype(np.float64), starts, *_none(starts))
        difference = _away(count, values, repeated(centre, starts, len(count)))
        first, second = np.add.reduceat(difference, starts), np.add.reduceat(difference * difference, starts)
        return (np.add.reduceat(count, starts), centre, first, second)

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        carry = runs.spread(self.neutral, carry)
        values = number_values(vectors[0])
        real = values.astype(np.float64, copy=False)
        if vectors[0].valid is None:
            centre = np.where(carry[0] > 0, carry[1], real.take(runs.starts))
            difference, rows = differences(values, np.repeat(centre, runs.lengths)), runs.lengths
        else:
            count = Count().rows(vectors[:1])
            centre = centres_of(count, real, runs.starts, carry[0], carry[1])
            difference, rows = _away(count, values, np.repeat(centre, runs.lengths)), runs.sums(count)
        first, second = carry[2], carry[3]
        np.add.at(first, runs.run_of_row, difference)
        np.add.at(second, runs.run_of_row, difference * difference)
        return (carry[0] + rows, centre, first, second)

    def reduce(self, components: Components, starts: Array) -> Components:
        count, old, first, second = components
        # The centre of a segment is that of its first entry with values; `shift` is how far each entry's lies from it.
        if count.all():
            centre = old.take(starts)
            shift = old - repeated(centre, starts, len(count))
        else:
            centre = centres_of(count, old, starts, *_none(starts))
            shift = np.where(count > 0, old - repeated(centre, starts, len(count)), 0.0)
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

    def scan(self, vectors: Sequence[Vector], layout: Layout, carry: Components) -> Components:
        count, values = Count().rows(vectors[:1]), number_values(vectors[0])
        centres = centres_of(count, values.astype(np.float64), layout.starts, carry[0], carry[1])
        centre = np.repeat(centres, layout.lengths)
        difference = _away(count, values, centre)
        return (
            accumulate(np.add, count, layout, carry[0]),
            centre,
            accumulate(np.add, difference, layout, carry[2]),
            accumulate(np.add, difference * difference, layout, carry[3]),
        )

    @property
    def places(self) -> tuple[Place, ...]:
        return single_places(4)

    def fold_row(self, places: Sequence[str], operands: Sequence[Operand]) -> list[str]:
        count, centre, first, second = places
        operand = operands[0]
        lines = [
            f"if {count} == 0:",
            f"    {centre} = {operand.text if operand.type is Type.REAL else f'float({operand.text})'}",
            f"{count} += 1",
            f"t = {_minus(operand, centre)}",
            f"{first} += t",
            f"{second} += t * t",
        ]
        return lines_where(present(operands[:1]), lines)

    @property
    def join_row(self) -> Callable[..., Any]:
        return _join_moments


@dataclass(frozen=True, slots=True)
class PairMoments(KeptWhole):
    """Moments of two arguments where both are there.

    Components: count, the two centres, the sums of the differences from them, of their squares, and of their products.
    """

    @property
    def what(self) -> str:
        return "count, centres and joint moments"

    @property
    def neutral(self) -> tuple[Any, ...]:
        return (np.int64(0), *(np.float64(0) for _ in range(7)))

    def _terms(
        self, vectors: Sequence[Vector], starts: Array, lengths: Array, carry: Sequence[Array]
    ) -> tuple[Array, list[Array], tuple[Array, ...]]:
        """Return the count of each row, the centres of each segment, and the terms of each row that are added up."""
        count = Count().rows(vectors)
        sides = [number_values(vector) for vector in vectors[:2]]
        centres = [
            centres_of(count, side.astype(np.float64), starts, carry[0], carry[1 + i]) for i, side in enumerate(sides)
        ]
        a, b = (_away(count, side, np.repeat(centre, lengths)) for side, centre in zip(sides, centres, strict=True))
        return count, centres, (a, b, a * a, b * b, a * b)

    def gather(self, vectors: Sequence[Vector], starts: Array) -> Components:
        lengths = np.diff(starts, append=len(vectors[0].values))
        none, zero = _none(starts)
        count, centres, terms = self._terms(vectors, starts, lengths, (none, zero, zero))
        return (np.add.reduceat(count, starts), *centres, *(np.add.reduceat(term, starts) for term in terms))

    def fold(self, vectors: Sequence[Vector], runs: Runs, carry: Components) -> Components:
        carry = runs.spread(self.neutral, carry)
        count, centres, terms = self._terms(vectors, runs.starts, runs.lengths, carry)
        sums = carry[3:]
        for total, term in zip(sums, terms, strict=True):
            np.add.at(total, runs.run_of_row, term)
        return (carry[0] + runs.sums(count), *centres, *sums)

    def reduce(self, components: Components, starts: Array) -> Components:
        count, left, right, a, b, aa, bb, ab = components
        none, zero = _none(starts)
        centres = [centres_of(count, side, starts, none, zero) for side in (left, right)]
        there = count > 0
        # How far the centres of each entry lie from those of its segment.
        p = np.where(there, left - repeated(centres[0], starts, len(count)), 0.0)
        q = np.where(there, right - repeated(centres[1], starts, len(count)), 0.0)
        terms = (
            a + count * p,
            b + count * q,
            aa + 2 * p * a + count * p * p,
            bb + 2 * q * b + count * q * q,
            ab + p * b + q * a + count * p * q,
        )
        return (np.add.reduceat(count, starts), *centres, *(np.add.reduceat(term, starts) for term in terms))

    def scan(self, vectors: Sequence[Vector], layout: Layout, carry: Components) -> Components:
        count, centres, terms = self._terms(vectors, layout.starts, layout.lengths, carry)
        sums = (accumulate(np.add, term, layout, carry[3 + i]) for i, term in enumerate(terms))
        repeats = (np.repeat(centre, layout.lengths) for centre in centres)
        return (accumulate(np.add, count, layout, carry[0]), *repeats, *sums)

    @property
    def places(self) -> tuple[Place, ...]:
        return single_places(8)

    def fold_row(self, places: Sequence[str], operands: Sequence[Operand]) -> list[str]:
        count, left, right, a, b, aa, bb, ab = places
        x, y = operands
        lines = [
            f"if {count} == 0:",
            f"    {left} = float({x.text})",
            f"    {right} = float({y.text})",
            f"{count} += 1",
            f"t = {_minus(x, left)}",
            f"u = {_minus(y, right)}",
            f"{a} += t",
            f"{b} += u",
            f"{aa} += t * t",
            f"{bb} += u * u",
            f"{ab} += t * u",
        ]
        return lines_where(present(operands), lines)

    @property
    def join_row(self) -> Callable[..., Any]:
        return _join_pairs


def _shifts(counts: Sequence[int], centres: Sequence[float]) -> tuple[float, list[float]]:
    """Return the centre of joined panes and how far that of each pane lies from it."""
    centre = next((old for count, old in zip(counts, centres, strict=True) if count), 0.0)
    return centre, [old - centre if count else 0.0 for count, old in zip(counts, centres, strict=True)]


def _join_moments(
    counts: Sequence[int], centres: Sequence[float], first: Sequence[float], second: Sequence[float]
) -> tuple[int, float, float, float]:
    """Return the moments of all panes together, as `Moments.reduce` does."""
    if len(counts) == 1:
        return counts[0], centres[0], first[0], second[0]
    centre, shifts = _shifts(counts, centres)
    rows = list(zip(counts, shifts, first, second, strict=True))
    moved = [a + n * shift for n, shift, a, _ in rows]
    squares = [aa + 2 * shift * a + n * shift * shift for n, shift, a, aa in rows]
    return sum(counts), centre, join_reals(moved), join_reals(squares)


def _join_pairs(
    counts: Sequence[int], left: Sequence[float], right: Sequence[float], *sums: Sequence[float]
) -> tuple[float, ...]:
    """Return the moments of two arguments of all panes together, as `PairMoments.reduce` does."""
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

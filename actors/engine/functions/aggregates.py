"""Aggregates: from the rows of a window (or of a moving range) to one value.

A *mergeable* aggregate is finished from partial aggregates, which panes keep; a *whole* aggregate needs all rows of its
window. Both can `reduce` rows directly, which the moving functions and arguments with order-sensitive functions use.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.engine.functions.edges import Edge, Extreme
from actors.engine.functions.moments import Moments, PairMoments
from actors.engine.functions.partials import Components, Count, Partial, Size
from actors.engine.functions.totals import total_of
from actors.engine.vectors.segments import starts_of
from actors.engine.vectors.vector import DTYPES, Array, Type, Vector, finite
from actors.engine.vectors.wide import to_real

TINY_VARIANCE = 1e-12
"""Population variance below which correlations and shapes are NULL."""


@dataclass(frozen=True, slots=True)
class Mergeable:
    """An aggregate that is finished from partial aggregates of all its arguments."""

    partials: tuple[Partial, ...]
    finish: Callable[[Sequence[Components]], Vector]

    def reduce(self, vectors: Sequence[Vector], lengths: Array) -> Vector:
        """Return the aggregate of each of several runs of rows that follow one another, none of them empty."""
        starts = starts_of(lengths)
        return self.finish([partial.gather(vectors, starts) for partial in self.partials])


@dataclass(frozen=True, slots=True)
class Whole:
    """An aggregate that needs all rows of its window at once."""

    reduce: Callable[[Sequence[Vector], Array], Vector]
    """From argument vectors and the lengths of runs of rows to one value per run."""


Aggregate = Mergeable | Whole


def _where_any(values: Any, count: Array) -> Vector:
    if count.all():
        return Vector(values, None)
    there = count > 0
    return Vector(np.where(there, values, 0), there)


def checked(values: Any, there: Array) -> Vector:
    """Return real values as a vector; NULL where they are not there, NaN or infinite."""
    good = np.isfinite(values)
    good &= there
    return Vector(values, None) if good.all() else Vector(np.where(good, values, 0.0), good)


def total(types: Sequence[Type], term: str = "plain", multiplies: bool = False) -> Mergeable:
    """Sum or product, NULL without values."""

    def finish(parts: Sequence[Components]) -> Vector:
        values, there = _where_any(parts[0][0], parts[1][0])
        return finite(values, there) if values.dtype == np.float64 else Vector(values, there)

    return Mergeable((total_of(term, types, multiplies), Count()), finish)


def _real(components: Components) -> Any:
    """Return a total as a real number: it is one, or a whole one of 64 bits and what is above them."""
    return components[0] if len(components) == 1 else to_real((components[0], components[1]))


def average(types: Sequence[Type]) -> Mergeable:
    """Arithmetic mean."""

    def finish(parts: Sequence[Components]) -> Vector:
        summed, count = _real(parts[0]), parts[1][0]
        if count.all():
            return finite(summed / count, None)
        return checked(summed / np.maximum(count, 1), count > 0)

    return Mergeable((total_of("plain", types), Count()), finish)


def row_count() -> Mergeable:
    """Number of rows."""
    return Mergeable((Size(),), lambda parts: Vector(parts[0][0], None))


def value_count() -> Mergeable:
    """Number of values."""
    return Mergeable((Count(),), lambda parts: Vector(parts[0][0], None))


def extreme(types: Sequence[Type], is_largest: bool) -> Mergeable:
    """Smallest or largest value, of the argument's type."""
    is_bool = types[0] is Type.BOOL

    def finish(parts: Sequence[Components]) -> Vector:
        values, valid = _where_any(parts[0][0], parts[1][0])
        return Vector(values.astype(np.bool_) if is_bool else values, valid)

    return Mergeable((Extreme(is_largest, types[0] is Type.REAL), Count()), finish)


def edge(types: Sequence[Type], is_last: bool, skips_null: bool = False, skipped: Any = None) -> Mergeable:
    """First or last value."""

    def finish(parts: Sequence[Components]) -> Vector:
        value, valid, found = parts[0]
        there = valid & found
        return Vector(value, None if there.all() else there)

    return Mergeable((Edge(is_last, DTYPES[types[0]], skips_null, skipped),), finish)


def truth_test(wants_all: bool) -> Mergeable:
    """Whether any, or all, of the values are true."""

    def finish(parts: Sequence[Components]) -> Vector:
        true_count, count = parts[0][0], parts[1][0]
        return Vector(true_count == count if wants_all else true_count > 0, None if (count > 0).all() else count > 0)

    return Mergeable((total_of("truth", (Type.BOOL,)), Count()), finish)


def spread(is_sample: bool, is_root: bool, per_root_count: bool = False) -> Mergeable:
    """Variance, standard deviation or standard error of the mean."""

    def finish(parts: Sequence[Components]) -> Vector:
        count, _, first, second = parts[0]
        there = count > (1 if is_sample else 0)
        many = np.maximum(count, 1)
        squares = np.maximum(second - first * first / many, 0.0)
        result = squares / np.maximum(many - is_sample, 1)
        if is_root:
            result = np.sqrt(result)
        return checked(result / np.sqrt(many) if per_root_count else result, there)

    return Mergeable((Moments(),), finish)


def weighted(types: Sequence[Type]) -> Mergeable:
    """Mean of the first argument weighted by the second."""

    def finish(parts: Sequence[Components]) -> Vector:
        weights = _real(parts[1])
        there = (parts[2][0] > 0) & (weights != 0)
        return checked(parts[0][-1] / np.where(there, weights, 1), there)

    return Mergeable((total_of("product", types), total_of("weight", types), Count()), finish)


def root_mean_square() -> Mergeable:
    """Square root of the mean of squares."""

    def finish(parts: Sequence[Components]) -> Vector:
        count = parts[1][0]
        return checked(np.sqrt(parts[0][0] / np.maximum(count, 1)), count > 0)

    return Mergeable((total_of("square", (Type.REAL,)), Count()), finish)


def pair_statistic(name: str) -> Mergeable:
    """Covariance (`covar`, `covarp`), correlation (`corr`) or slope of the first argument over the second (`beta`)."""

    def finish(parts: Sequence[Components]) -> Vector:
        count, _, _, a, b, aa, bb, ab = parts[0]
        many = np.maximum(count, 1)
        left, right = aa - a * a / many, bb - b * b / many
        both = ab - a * b / many
        varied = (left / many >= TINY_VARIANCE) & (right / many >= TINY_VARIANCE)
        if name == "covar":
            return checked(both / np.maximum(many - 1, 1), count > 1)
        if name == "covarp":
            return checked(both / many, count > 0)
        if name == "corr":
            return checked(both / np.sqrt(np.where(varied, left * right, 1.0)), varied & (count > 1))
        sloped = (right / many >= TINY_VARIANCE) & (count > 1)
        return checked(both / np.where(sloped, right, 1.0), sloped)

    return Mergeable((PairMoments(),), finish)

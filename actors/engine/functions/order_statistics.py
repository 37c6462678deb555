"""Aggregates that need all values of a window: percentiles, distinct values, ranks, positions and shapes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from actors.engine.functions.aggregates import TINY_VARIANCE, Whole, checked
from actors.engine.functions.moments import centres_of
from actors.engine.vectors.segments import length_classes, starts_of
from actors.engine.vectors.vector import Array, Type, Vector, finite, number_values, validity
from actors.engine.vectors.wide import differences

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")
"""How a percentile between two values is found."""


def _sorted_blocks(values: Array, lengths: Array, apply: Callable[[Array, Array], None]) -> None:
    """Give `apply` blocks of sorted values (one run per line, padded with infinity) with the runs' positions."""
    starts = starts_of(lengths)
    for chosen, width in length_classes(lengths):
        # One line for each chosen run; positions beyond its length point at row 0, and infinity covers what is there.
        steps = np.arange(width)
        inside = steps < lengths[chosen][:, None]
        positions = np.where(inside, starts[chosen][:, None] + steps, 0)
        block = np.where(inside, values[positions], np.inf)
        block.sort(axis=1)
        apply(block, chosen)


def _pick(block: Array, position: Array, how: str) -> Any:
    """Return, for each line of sorted values, the value at a position that may lie between two of them."""
    lines = np.arange(len(block))
    low = np.floor(position).astype(np.int64)
    part = position - low
    lower, higher = block[lines, low], block[lines, np.minimum(low + (part > 0), block.shape[1] - 1)]
    if how == "lower":
        return lower
    if how == "higher":
        return higher
    if how == "nearest":
        return np.where(part > 0.5 + 1e-9, higher, lower)
    # The distance of two real numbers may be none, though what lies between them is.
    span = higher - lower
    if how == "midpoint":
        between = np.where(np.isfinite(lower + higher), (lower + higher) / 2, lower / 2 + higher / 2)
    else:
        between = np.where(np.isfinite(span), lower + part * span, lower * (1 - part) + higher * part)
    return np.where(part > 0, between, lower)


def _quantile(vector: Vector, lengths: Array, fraction: float, how: str) -> Vector:
    valid = validity(vector)
    # Without the sign of zeros, whose order sorting leaves open.
    values = np.where(valid, number_values(vector).astype(np.float64) + 0.0, np.inf)
    count = np.add.reduceat(valid.astype(np.int64), starts_of(lengths))
    result = np.zeros(len(lengths))

    def apply(block: Array, chosen: Array) -> None:
        position = np.maximum(count[chosen] - 1, 0) * fraction
        nearest = np.rint(position)
        exact = np.abs(position - nearest) < 1e-9
        result[chosen] = _pick(block, np.where(exact, nearest, position), how)

    _sorted_blocks(values, lengths, apply)
    there = count > 0
    return Vector(np.where(there, result, 0.0), None if there.all() else there)


def quantile(fraction: float, how: str) -> Whole:
    """The value below which a fraction of the values lies."""
    return Whole(lambda vectors, lengths: _quantile(vectors[0], lengths, fraction, how))


def _about_first(vector: Vector, lengths: Array) -> Vector:
    """Return how far each value lies from the first one of its run, so that values far from zero keep their digits."""
    starts, count = starts_of(lengths), validity(vector).astype(np.int64)
    values = number_values(vector)
    none, zero = np.zeros(len(starts), dtype=np.int64), np.zeros(len(starts))
    centre = centres_of(count, values.astype(np.float64), starts, none, zero)
    return Vector(np.where(count > 0, differences(values, np.repeat(centre, lengths)), 0.0), vector.valid)


def _about_mean(vector: Vector, lengths: Array) -> tuple[Array, Array]:
    """Return the number of values of each run, and how far each value lies from the mean of its run (0 for NULL)."""
    starts, distance = starts_of(lengths), _about_first(vector, lengths).values
    there = validity(vector)
    n = np.add.reduceat(there.astype(np.int64), starts)
    mean = np.add.reduceat(distance, starts) / np.maximum(n, 1)
    return n, np.where(there, distance - np.repeat(mean, lengths), 0.0)


def absolute_deviation(uses_median: bool) -> Whole:
    """Mean absolute deviation from the mean, or median absolute deviation from the median."""

    def from_mean(vectors: Sequence[Vector], lengths: Array) -> Vector:
        n, away = _about_mean(vectors[0], lengths)
        return checked(np.add.reduceat(np.abs(away), starts_of(lengths)) / np.maximum(n, 1), n > 0)

    def from_median(vectors: Sequence[Vector], lengths: Array) -> Vector:
        distance = finite(*_about_first(vectors[0], lengths))
        middle = _quantile(distance, lengths, 0.5, "linear").values
        away = np.abs(distance.values - np.repeat(middle, lengths))
        return _quantile(Vector(away, distance.valid), lengths, 0.5, "linear")

    return Whole(from_median if uses_median else from_mean)


def shape(exponent: int, is_biased: bool) -> Whole:
    """Skewness (exponent 3) or kurtosis (exponent 4, 3 for the normal distribution)."""

    def reduce(vectors: Sequence[Vector], lengths: Array) -> Vector:
        starts = starts_of(lengths)
        count, away = _about_mean(vectors[0], lengths)
        n = count.astype(np.float64)
        many = np.maximum(n, 1.0)
        # A shape has no scale, and powers of distances that are 1 at most cannot overflow.
        scale = np.maximum.reduceat(np.abs(away), starts)
        away /= np.repeat(np.where(scale > 0, scale, 1.0), lengths)
        second = np.add.reduceat(away * away, starts) / many
        there = (second * scale * scale >= TINY_VARIANCE) & (n > (0 if is_biased else exponent - 1))
        safe = np.where(there, second, 1.0)
        result = np.add.reduceat(away**exponent, starts) / many / safe ** (exponent / 2)
        if not is_biased:
            result = _unbiased(result, np.where(there, n, 5.0), exponent)
        return checked(result, there)

    return Whole(reduce)


def _unbiased(result: Array, n: Array, exponent: int) -> Any:
    if exponent == 3:
        return result * np.sqrt(n * (n - 1)) / (n - 2)
    return ((n * n - 1) * (result - 3) + 6 * (n - 1)) / ((n - 2) * (n - 3)) + 3


def _codes(vector: Vector) -> Any:
    """Return numbers that are ordered like the values, so that any type can be sorted fast."""
    if vector.values.dtype != np.object_:
        return vector.values
    texts = vector.values.tolist()
    codes = {text: code for code, text in enumerate(sorted(set(texts)))}
    return np.array([codes[text] for text in texts], dtype=np.int64)


def _distinct(vector: Vector, lengths: Array) -> tuple[Array, Array, Array]:
    """Return runs, first positions and numbers of equal values, sorted by run and value; NULL is left out."""
    # Positions of values, the run of each, and the codes they are sorted by; then where each distinct one begins.
    there = np.flatnonzero(validity(vector))
    run = np.repeat(np.arange(len(lengths)), lengths)[there]
    codes = _codes(Vector(vector.values[there], None))
    order = np.lexsort((codes, run))
    run, codes, there = run[order], codes[order], there[order]
    changed = np.ones(len(run), dtype=np.bool_)
    changed[1:] = (run[1:] != run[:-1]) | (codes[1:] != codes[:-1])
    starts = np.flatnonzero(changed)
    return run[starts], there[starts], np.diff(starts, append=len(run))


def distinct_count(ignores_null: bool) -> Whole:
    """Number of distinct values; NULL counts as one unless it is ignored."""

    def reduce(vectors: Sequence[Vector], lengths: Array) -> Vector:
        run, _, _ = _distinct(vectors[0], lengths)
        count = np.bincount(run, minlength=len(lengths)).astype(np.int64)
        if not ignores_null and vectors[0].valid is not None:
            count += ~np.logical_and.reduceat(vectors[0].valid, starts_of(lengths))
        return Vector(count, None)

    return Whole(reduce)


def most_frequent() -> Whole:
    """The most frequent value, of several the smallest."""

    def reduce(vectors: Sequence[Vector], lengths: Array) -> Vector:
        run, position, count = _distinct(vectors[0], lengths)
        best = np.zeros(len(lengths), dtype=np.int64)
        there = np.zeros(len(lengths), dtype=np.bool_)
        order = np.lexsort((-np.arange(len(run)), count, run))
        best[run[order]] = position[order]
        there[run] = True
        return Vector(vectors[0].values[best], None if there.all() else there)

    return Whole(reduce)


def extreme_position(is_largest: bool) -> Whole:
    """Position in the window, from 0, of the first largest or smallest value; -1 if all are NULL."""

    def reduce(vectors: Sequence[Vector], lengths: Array) -> Vector:
        starts, valid = starts_of(lengths), validity(vectors[0])
        values = number_values(vectors[0])
        limits = np.iinfo(np.int64) if values.dtype == np.int64 else np.finfo(np.float64)
        values = np.where(valid, values, limits.min if is_largest else limits.max)
        best = (np.maximum if is_largest else np.minimum).reduceat(values, starts)
        hit = valid & (values == np.repeat(best, lengths))
        where = np.minimum.reduceat(np.where(hit, np.arange(len(hit)), len(hit)), starts)
        return Vector(np.where(where < len(hit), where - starts, -1), None)

    return Whole(reduce)


def last_rank(is_ascending: bool, ignores_null: bool, ties: str, is_fraction: bool) -> Whole:
    """Rank, from 0, of the last value among all of them."""

    def reduce(vectors: Sequence[Vector], lengths: Array) -> Vector:
        starts, valid = starts_of(lengths), validity(vectors[0])
        values, last = number_values(vectors[0]), starts + lengths - 1
        mine, is_mine = np.repeat(values[last], lengths), np.repeat(valid[last], lengths)
        # NULL, where it counts, is the smallest value.
        both = valid & is_mine
        less, more = (both & (values < mine)) | (~valid & is_mine), (both & (values > mine)) | (valid & ~is_mine)
        counted = valid if ignores_null else np.ones(len(valid), dtype=np.bool_)
        before = counted & (less if is_ascending else more)
        equal = counted & ~less & ~more
        below = np.add.reduceat(before.astype(np.int64), starts)
        same = np.maximum(np.add.reduceat(equal.astype(np.int64), starts), 1)
        rank = below + {"min": 0 * same, "max": same - 1}.get(ties, (same - 1) / 2)
        if is_fraction:
            rank = (rank + 1) / np.maximum(np.add.reduceat(counted.astype(np.int64), starts), 1)
        there = valid[last] if ignores_null else np.ones(len(starts), dtype=np.bool_)
        return Vector(rank, None if there.all() else there)

    return Whole(reduce)


def rank_type(ties: str, is_fraction: bool) -> Type:
    """Return the type of a rank: whole unless ties are averaged or a fraction is wanted."""
    return Type.REAL if ties == "average" or is_fraction else Type.INT

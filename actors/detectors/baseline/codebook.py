"""Codebooks: few patterns that stand for all that a key has shown, at least a radius apart.

An entry never moves, so the distances of many patterns may be taken at once, and entries that are learned on the way
only bring the patterns after them nearer. The radius grows when a codebook is full: what was learned in order is
kept in that order, as far as it lies apart.
"""

import math

import numpy as np

from actors.detectors.baseline.state import Bools, Doubles, Ints
from actors.detectors.baseline.tuning import ENTRY_COUNT, KEPT_ENTRY_COUNT, RADIUS_GROWTH

_FIRSTS, _SECONDS = np.triu_indices(ENTRY_COUNT, 1)
"""Both entries of each pair, one in front of the other, ordered by the first ones and then by the second ones."""


def squared_distance(entries: Doubles, patterns: Doubles) -> Doubles:
    """Return the squares of the distances; along the first axis are the values of a pattern, added in this order."""
    total: Doubles = entries[0] - patterns[0]
    total *= total
    for entry, pattern in zip(entries[1:], patterns[1:], strict=True):
        difference = entry - pattern
        difference *= difference
        total += difference
    return total


def nearest(entries: Doubles, patterns: Doubles) -> Doubles:
    """Return how far the pattern of each key is from its nearest entry; infinite where there is none.

    `entries` has the shape (values of a pattern, `ENTRY_COUNT`, keys), `patterns` (values of a pattern, keys).
    """
    # Of all entries and keys: sums of squares, and what is added to them; as `squared_distance` does it, without memory
    # of its own for each step.
    total, part = np.empty((2, ENTRY_COUNT, patterns.shape[1]))
    np.subtract(entries[0], patterns[0], out=total)
    np.multiply(total, total, out=total)
    for entry, pattern in zip(entries[1:], patterns[1:], strict=True):
        np.subtract(entry, pattern, out=part)
        np.multiply(part, part, out=part)
        np.add(total, part, out=total)
    nearest_squares: Doubles = np.minimum.reduce(total, axis=0)
    return np.sqrt(nearest_squares)


def learn_many(entries: Doubles, counts: Ints, radii: Doubles, patterns: Doubles, keys: Ints) -> None:
    """Take the patterns of some keys into the codebooks of all, which are changed in place with counts and radii."""
    own_counts = counts[keys]
    is_full = own_counts == ENTRY_COUNT
    free, places = keys[~is_full], own_counts[~is_full]
    entries[:, places, free] = patterns[:, free]
    counts[free] += 1
    for key in keys[is_full].tolist():
        counts[key], radii[key] = learn(entries[:, :, key], ENTRY_COUNT, float(radii[key]), patterns[:, key])


def learn(entries: Doubles, count: int, radius: float, pattern: Doubles) -> tuple[int, float]:
    """Take a pattern into the codebook of one key, and return its count of entries and radius afterwards.

    `entries` has the shape (values of a pattern, `ENTRY_COUNT`) and is changed in place.
    """
    if count == ENTRY_COUNT:
        count, radius = _thin_out(entries, radius)
    entries[:, count] = pattern
    return count + 1, radius


def _thin_out(entries: Doubles, radius: float) -> tuple[int, float]:
    """Make room in a full codebook."""
    known = entries.copy()
    firsts, seconds = _FIRSTS, _SECONDS
    distances = np.sqrt(squared_distance(known[:, firsts], known[:, seconds]))
    is_kept = [True] * ENTRY_COUNT
    if radius == 0.0:
        radius = math.sqrt(squared_distance(known[:, 1:], known[:, :-1]).min())
        _keep_apart(is_kept, firsts, seconds, distances <= radius)
    while (kept_count := sum(is_kept)) > KEPT_ENTRY_COUNT:
        if kept_count < ENTRY_COUNT:
            are_kept = np.array(is_kept)
            is_left = are_kept[firsts] & are_kept[seconds]
            firsts, seconds, distances = firsts[is_left], seconds[is_left], distances[is_left]
        radius *= RADIUS_GROWTH
        # No entry goes before the radius has reached the two that are nearest to each other.
        nearest_two = distances.min()
        while radius < nearest_two:
            radius *= RADIUS_GROWTH
        _keep_apart(is_kept, firsts, seconds, distances <= radius)
    places = np.flatnonzero(is_kept)
    entries[:, : len(places)] = known[:, places]
    entries[:, len(places) :] = np.inf
    return len(places), radius


def _keep_apart(is_kept: list[bool], firsts: Ints, seconds: Ints, is_near: Bools) -> None:
    """Keep no entry that is near to one before it which is kept."""
    # Pairs come in the order of their first entries, so that it is known by then whether these are kept.
    for first, second in zip(firsts[is_near].tolist(), seconds[is_near].tolist(), strict=True):
        if is_kept[first]:
            is_kept[second] = False

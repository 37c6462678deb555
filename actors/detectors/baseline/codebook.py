"""Codebooks: few patterns that stand for all that a key has shown, at least a radius apart.

An entry never moves, so the distances of many patterns may be taken at once, and entries that are learned on the way
only bring the patterns after them nearer. The radius grows when a codebook is full: what was learned in order is
kept in that order, as far as it lies apart.
"""

import math
from typing import Final

import numpy as np

from actors.detectors.baseline.state import Doubles
from actors.detectors.baseline.tuning import ENTRY_COUNT, KEPT_ENTRY_COUNT, RADIUS_GROWTH

_CHUNK_KEY_COUNT: Final = 128
"""Keys whose distances are taken at once, so that what comes in between stays in the caches of a core."""


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
    squares = np.empty(patterns.shape[1])
    for first in range(0, len(squares), _CHUNK_KEY_COUNT):
        keys = slice(first, first + _CHUNK_KEY_COUNT)
        squares[keys] = squared_distance(entries[:, :, keys], patterns[:, keys]).min(axis=0)
    return np.sqrt(squares)


def learn(entries: Doubles, count: int, radius: float, pattern: Doubles) -> tuple[int, float]:
    """Take a pattern into the codebook of one key, and return its count of entries and radius afterwards.

    `entries` has the shape (values of a pattern, `ENTRY_COUNT`) and is changed in place.
    """
    if count == ENTRY_COUNT:
        count, radius = _thin_out(entries, count, radius)
    entries[:, count] = pattern
    return count + 1, radius


def _thin_out(entries: Doubles, count: int, radius: float) -> tuple[int, float]:
    kept = entries[:, :count].copy()
    if radius == 0.0:
        radius = math.sqrt(squared_distance(kept[:, 1:], kept[:, :-1]).min())
        kept = _apart(kept, radius)
    while kept.shape[1] > KEPT_ENTRY_COUNT:
        radius *= RADIUS_GROWTH
        # No entry goes before the radius has reached the two that are nearest to each other.
        nearest_two = _distances(kept)[np.triu_indices(kept.shape[1], 1)].min()
        while radius < nearest_two:
            radius *= RADIUS_GROWTH
        kept = _apart(kept, radius)
    entries[:] = np.inf
    entries[:, : kept.shape[1]] = kept
    return kept.shape[1], radius


def _distances(entries: Doubles) -> Doubles:
    """Return how far each entry is from each."""
    return np.sqrt(squared_distance(entries[:, :, None], entries[:, None, :]))


def _apart(entries: Doubles, radius: float) -> Doubles:
    """Return, in order, the entries farther than the radius from all that are returned before them."""
    is_near = _distances(entries) <= radius
    is_out = np.zeros(entries.shape[1], np.bool_)
    for place in range(entries.shape[1]):
        if not is_out[place]:
            is_out[place + 1 :] |= is_near[place, place + 1 :]
    return entries[:, ~is_out]

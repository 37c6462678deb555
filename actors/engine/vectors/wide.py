"""Whole numbers of 128 bits, as two arrays of 64.

`low` holds the lowest 64 bits, as 64-bit arithmetic keeps them of an overflow, and `high` the rest: the number is
`high * 2**64 + low`, `low` being read without a sign. As long as a number fits into 64 bits, `high` is its sign alone,
0 or -1, and nothing but `low` has to be computed, which is why every operation first looks whether it may do that.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from actors.engine.vectors.vector import Array

Wide = tuple[Array, Array]
"""`low` and `high`."""

_MASK = np.int64(0xFFFFFFFF)
_ROOM = 1 << 62

NARROW_MAX = 1 << 54
"""Sums that need no high part as long as what is added to them is less than `TERM_MAX`."""

TERM_MAX = 1 << 31
"""Numbers of which as many as a key can have rows make no sum beyond 64 bits."""


def sign_of(low: Array) -> Array:
    """Return the high parts of numbers that fit into 64 bits."""
    high: Array = low >> 63
    return high


def fits(low: Array) -> bool:
    """Return whether all sums of some of these 64-bit numbers are within 63 bits."""
    if not len(low):
        return True
    limit = _ROOM // len(low)
    return bool(low.max() <= limit and low.min() >= -limit)


def is_small(low: Array, high: Array | None = None) -> bool:
    """Return whether sums of more of these numbers than a window has panes stay within 64 bits."""
    is_narrow = high is None or bool((high == sign_of(low)).all())
    return is_narrow and (not len(low) or bool(low.max() <= NARROW_MAX and low.min() >= -NARROW_MAX))


def sums(add_up: Callable[[Array], Array], low: Array, high: Array | None = None) -> Wide:
    """Return sums of numbers (of 64 bits without `high`); `add_up` sums 64-bit numbers, in segments or running."""
    is_narrow = high is None or bool((high == sign_of(low)).all())
    if is_narrow and fits(low):
        total = add_up(low)
        return total, sign_of(total)
    parts = (low & _MASK, (low >> 32) & _MASK, sign_of(low) if high is None else high)
    return joined(*(add_up(part) for part in parts))


def parts_of(number: Wide) -> tuple[Array, Array, Array]:
    """Return the lowest 32 bits, the 32 bits above them, and the high part."""
    return number[0] & _MASK, (number[0] >> 32) & _MASK, number[1]


def joined(first: Array, second: Array, high: Array) -> Wide:
    """Return numbers of sums of their parts; a sum of fewer than 2**31 parts of 32 bits fits into 64."""
    second = second + (first >> 32)
    low = (first & _MASK) | (second << 32)
    return low, high + (second >> 32)


def added(left: Wide, right: Wide) -> Wide:
    """Return sums of two numbers each."""
    low = left[0] + right[0]
    carry = low.view(np.uint64) < left[0].view(np.uint64)
    return low, left[1] + right[1] + carry


def to_real(number: Wide) -> Array:
    """Return numbers as the nearest real ones."""
    low, high = number
    real: Array = low.astype(np.float64)
    for place in (high != sign_of(low)).nonzero()[0].tolist():
        real[place] = float(to_int(low[place], high[place]))
    return real


def to_int(low: Any, high: Any) -> int:
    """Return one number."""
    return (int(high) << 64) + (int(low) & 0xFFFFFFFFFFFFFFFF)


def differences(values: Array, centre: Array) -> Array:
    """Return values less a centre each, as real numbers that are rounded once, also far beyond 53 bits."""
    if values.dtype == np.float64:
        return values - centre
    if not len(values) or (values.max() <= 1 << 53 and values.min() >= -(1 << 53)):
        return values.astype(np.float64) - centre
    # Both differences are of at most 33 bits, so they are exact.
    above = np.floor(centre / 2.0**32)
    low: Array = (values >> 32) - above
    low *= 2.0**32
    low += (values & _MASK) - (centre - above * 2.0**32)
    return low

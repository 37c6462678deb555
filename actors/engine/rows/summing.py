"""Sums in numpy's order, written out for plain Python.

Adding reals in another order gives other last bits. `numpy.add.reduceat`, with which panes are joined, takes the first
value of a segment and adds to it the sum of the others, which numpy makes *pairwise*: up to 128 values in eight lanes,
more of them by halves. The executor for few rows joins the same panes without numpy, and has to find the same bits.
This is the only place that knows the order; a test compares it with the numpy that is installed.
"""

from collections.abc import Sequence

_LANES = 8
_LANES_AT_ONCE_MAX = 128


def join_reals(values: Sequence[float]) -> float:
    """Return the sum of real numbers, added in the order of `numpy.add.reduceat`."""
    return values[0] + _pairwise(values[1:]) if len(values) > 1 else values[0]


def _pairwise(values: Sequence[float]) -> float:
    count = len(values)
    if count < _LANES:
        # As numpy does: it keeps the sign of a zero.
        total = -0.0
        for value in values:
            total += value
        return total
    if count > _LANES_AT_ONCE_MAX:
        half = count // 2 // _LANES * _LANES
        return _pairwise(values[:half]) + _pairwise(values[half:])
    lanes = list(values[:_LANES])
    full = count - count % _LANES
    for start in range(_LANES, full, _LANES):
        for lane in range(_LANES):
            lanes[lane] += values[start + lane]
    a, b, c, d, e, f, g, h = lanes
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for value in values[full:]:
        total += value
    return total

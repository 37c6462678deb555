"""Segments: runs of consecutive positions that belong together, such as the rows of one key in a sorted batch.

Everything here is vectorised over segments. Results depend on the content of each segment alone, never on what lies
beside it, which is what makes the engine's output independent of how its input is cut.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from actors.engine.vectors.vector import Array


class Layout(NamedTuple):
    """Which rows belong to which key: rows are sorted by key and, within a key, by arrival."""

    numbers: Array
    """Key number of each segment; no number occurs twice."""

    starts: Array
    """Position of the first row of each segment."""

    lengths: Array
    """Rows of each segment, at least 1."""

    lasts: Array
    """Position of the last row of each segment."""

    row_count: int
    """Rows of all segments together."""


def layout_of(numbers: Array, lengths: Array) -> Layout:
    """Return the layout of segments that follow one another."""
    starts = starts_of(lengths)
    return Layout(numbers, starts, lengths, starts + lengths - 1, int(lengths.sum()))


def run_starts(*columns: Array) -> Array:
    """Return where runs of equal entries start, an entry being one value of every column."""
    changed = np.empty(len(columns[0]), dtype=np.bool_)
    changed[:1] = True
    np.not_equal(columns[0][1:], columns[0][:-1], out=changed[1:])
    for column in columns[1:]:
        changed[1:] |= column[1:] != column[:-1]
    starts: Array = changed.nonzero()[0]
    return starts


def run_lengths(starts: Array, count: int) -> Array:
    """Return the lengths of runs that cover `count` entries, given where they start."""
    lengths = np.empty(len(starts), dtype=np.int64)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    if len(starts):
        lengths[-1] = count - starts[-1]
    return lengths


def starts_of(lengths: Array) -> Array:
    """Return where each of several runs of the given lengths starts, when they follow one another."""
    starts = np.zeros(len(lengths), dtype=np.int64)
    np.cumsum(lengths[:-1], out=starts[1:])
    return starts


def stable_order(numbers: Array, bound: int) -> Array:
    """Return the positions that sort numbers from 0 up to `bound`, equal ones as they came.

    Numbers of 16 bits are sorted by counting, in a fifth of the time that comparing takes; wider ones are sorted by
    their lowest 16 bits first, then by those above.
    """
    order: Array = numbers.astype(np.uint16).argsort(kind="stable")
    for shift in range(16, (bound - 1).bit_length(), 16):
        above = (numbers >> shift).astype(np.uint16)
        order = order.take(above.take(order).argsort(kind="stable"))
    return order


def expand(starts: Array, lengths: Array) -> Array:
    """Return the positions of all ranges `start ... start + length - 1`, one range after the other."""
    total = int(lengths.sum())
    if total == len(lengths) and (lengths == 1).all():
        return starts.copy()
    # By position of the result: how far the range lies from where it is laid out, plus that place.
    positions: Array = np.repeat(starts - starts_of(lengths), lengths)
    positions += np.arange(total)
    return positions


def chunks(lengths: Array, total_max: int) -> Iterator[slice]:
    """Cut a list of ranges into slices whose lengths sum up to about `total_max` at most (one range may exceed it)."""
    if not len(lengths):
        return
    # Sum of the lengths up to and with each range.
    ends = np.cumsum(lengths)
    first = 0
    while first < len(lengths):
        before = int(ends[first - 1]) if first else 0
        stop = max(first + 1, int(np.searchsorted(ends, before + total_max, side="right")))
        yield slice(first, stop)
        first = stop


def length_classes(lengths: Array) -> Iterator[tuple[Array, int]]:
    """Group segments whose lengths differ by a factor of two at most; yield their positions and the longest length."""
    # By segment: the power of two above its length.
    classes = np.frexp(lengths.astype(np.float64))[1]
    first = classes[0] if len(classes) else 0
    if (classes == first).all():
        yield np.arange(len(lengths)), int(lengths.max())
        return
    for number in np.unique(classes):
        chosen = np.flatnonzero(classes == number)
        yield chosen, int(lengths[chosen].max())


def accumulate(ufunc: np.ufunc, values: Array, layout: Layout, carry: Array) -> Array:
    """Return the running result of a ufunc within each segment, in order, beginning from a carried value.

    The order of operations is that of a plain loop, so floating point results have the same bits for every cut.
    """
    result = np.empty_like(values)
    for chosen, width in length_classes(layout.lengths):
        # One line for each segment, as wide as the longest: `inside` says which places are rows of the segment; those
        # after its end repeat its last row, and what is computed there is not looked at.
        lengths = layout.lengths[chosen]
        inside = np.arange(width) < lengths[:, None]
        positions = layout.starts[chosen][:, None] + np.minimum(np.arange(width), lengths[:, None] - 1)
        block = values[positions]
        block[:, 0] = ufunc(carry[chosen], block[:, 0])
        ufunc.accumulate(block, axis=1, out=block)
        result[positions[inside]] = block[inside]
    return result


def lower_bound(values: Array, starts: Array, stops: Array, wanted: Array) -> Array:
    """Return, for each ascending range of `values`, the first position whose value is at least `wanted`."""
    found = starts.copy()
    left = (starts < stops).nonzero()[0]
    # The first value is often the one wanted, such as where a key had rows in every pane.
    left = left.take((values.take(starts.take(left)) < wanted.take(left)).nonzero()[0])
    # By range that is still looked through: the position wanted is from `low` to `high`, both included.
    low, high, goal = starts.take(left) + 1, stops.take(left), wanted.take(left)
    widest = int((high - low).max()) if len(left) else 0
    for _ in range(widest.bit_length()):
        middle = (low + high) >> 1
        is_open = low < high
        smaller = values.take(middle, mode="clip") < goal
        smaller &= is_open
        low = np.where(smaller, middle + 1, low)
        high = np.where(smaller | ~is_open, high, middle)
    found[left] = low
    return found


def running_maximum(values: Array, layout: Layout) -> Array:
    """Return the running maximum within each segment."""
    return accumulate(np.maximum, values, layout, values[layout.starts])


def grown(array: Array, count: int, fill: Any) -> Array:
    """Return an array with room for at least `count` entries, new ones filled."""
    if len(array) >= count:
        return array
    larger = np.full(max(count, 2 * len(array), 64), fill, dtype=array.dtype)
    larger[: len(array)] = array
    return larger

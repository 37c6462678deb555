"""What calls of an engine must keep to: one thread at a time, offsets, moments and splits that can be used."""

from collections.abc import Sequence
from operator import index
from threading import Lock
from typing import Any

import numpy as np

from actors.engine.arguments import CheckedSettings
from actors.engine.errors import ConcurrencyError, bad_argument, shown
from actors.engine.vectors.vector import Array

OFFSET_MAX = (1 << 63) - 2
"""Largest offset of a row, so that the next one is still a whole number of 64 bits."""


class OneThread:
    """A context that one thread at a time may be in; it never waits."""

    __slots__ = ("acquire", "release")

    def __init__(self) -> None:
        lock = Lock()
        # For those to whom a `with`, which takes three times as long, is too slow.
        self.acquire, self.release = lock.acquire, lock.release

    def __enter__(self) -> None:
        if not self.acquire(False):
            raise refused_thread()

    def __exit__(self, *_: object) -> None:
        self.release()


def refused_thread() -> ConcurrencyError:
    """Return the error of a call that comes while another one has not returned."""
    return ConcurrencyError(
        "another call of this engine has not returned; give each thread an engine, or lock around this one"
    )


def checked_offsets(first: int, given: Array | Sequence[int] | None, count: int) -> Array:
    """Return the offsets of rows: the given ones, which ascend, or those that follow on.

    Raises:
        ArgumentError: they are no offsets of so many rows.
    """
    if given is None:
        if first + count - 1 > OFFSET_MAX:
            raise bad_argument(f"offset {first} is followed by no {count} others below 2**63; begin at a smaller one")
        return np.arange(first, first + count)
    try:
        offsets = np.asarray(given)
    except Exception as error:
        raise bad_argument(f"the offsets are {shown(given)}; give whole numbers") from error
    if offsets.ndim != 1 or (offsets.dtype.kind not in "iu" and len(offsets)):
        raise bad_argument(f"the offsets are {shown(given)}; give whole numbers, below 2**63")
    if len(offsets) != count:
        raise bad_argument(f"there are {len(offsets)} offsets for {count} rows; give one for each")
    if count and not (int(offsets[0]) >= 0 and int(offsets[-1]) <= OFFSET_MAX):
        raise bad_argument(f"the offsets are from {offsets[0]} to {offsets[-1]}; give them from 0 on, below 2**63 - 1")
    found = offsets.astype(np.int64, copy=False)
    if count > 1 and not (found[1:] > found[:-1]).all():
        place = int((found[1:] <= found[:-1]).argmax())
        raise bad_argument(f"offset {found[place + 1]} comes after {found[place]}; give offsets that ascend")
    return found


def checked_offset(given: Any) -> int:
    """Return the offset of the row at which a tick is seen; -1 is before the first one.

    Raises:
        ArgumentError: it is none.
    """
    return _whole("offset", given, -1, OFFSET_MAX)


def checked_split(given: Any) -> int:
    """Return the number of a split.

    Raises:
        ArgumentError: it is none.
    """
    return _whole("split", given, 0, OFFSET_MAX)


def checked_moment(given: Any, settings: CheckedSettings) -> int:
    """Return a moment that time may reach.

    Raises:
        ArgumentError: it is no time, or one that cannot be computed with.
    """
    return _whole("time", given, *settings.time_range)


def _whole(name: str, given: Any, low: int, high: int) -> int:
    try:
        value = index(given)
    except TypeError:
        raise bad_argument(f"the {name} is {shown(given)}; give a whole number") from None
    if isinstance(given, bool) or not low <= value <= high:
        raise bad_argument(f"the {name} is {shown(given)}; give a whole number from {low} to {high}")
    return value

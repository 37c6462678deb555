"""Speed: how many times longer everything takes here and now than on the machine that deadlines were set on.

Measured by work of a known length, which takes longer on a slow processor, under a quota, and beside other programs:
once in a process (`slowness`), or at a moment of a long life (`slowness_now`). What waits for processes multiplies its
deadline by `slowness()`, or asks whether it `has_passed`.
"""

import functools
import os
import time
from typing import Final

WORK_COUNT: Final = 2_000_000
"""Rounds of the work: long enough to notice a quota, which is given for tenths of seconds."""

REFERENCE_S: Final = 0.12
"""Seconds that the work takes on an idle core of the machine that deadlines were set on."""

SLOWNESS_MAX: Final = 20.0
"""A deadline stays one, however busy the machine is."""


def slowness_now() -> float:
    """Return the factor for deadlines, at least 1, measured anew."""
    started_s = time.perf_counter()
    total = 0
    for number in range(WORK_COUNT):
        total += number * number % 7
    measured = (time.perf_counter() - started_s) / REFERENCE_S
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    return min(max(1.0, measured, waiting), SLOWNESS_MAX)


@functools.cache
def slowness() -> float:
    """Return the factor for deadlines, at least 1; the same in all of this process's life."""
    return slowness_now()


def has_passed(started_s: float, timeout_s: float) -> bool:
    """Return whether a time has passed since a moment of `time.monotonic()`, which is longer on a slow machine.

    The speed is measured when it matters: not before the time has passed for a machine of usual speed.
    """
    waited_s = time.monotonic() - started_s
    return waited_s >= timeout_s and waited_s >= timeout_s * slowness()

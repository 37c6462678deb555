"""Keys without rows for long: what state must offer so that they can be forgotten, and which of them are.

A key that is forgotten keeps its number, with the state of a key that has never been there, until half of all numbers
are of such keys; then the others move together. Both happen at ticks alone, so that equal rows and ticks leave equal
state, and neither can be seen from outside.
"""

from typing import Protocol

import numpy as np

from actors.engine.vectors.vector import Array


class KeyState(Protocol):
    """State of keys by their numbers."""

    def reset(self, numbers: Array) -> None:
        """Give keys, which ascend, the state of keys that have never been there."""

    def keep(self, numbers: Array) -> None:
        """Keep the state of some keys, which ascend, and number them from 0 on."""

    def validate(self, key_count: int) -> None:
        """Assert what is always true, given how many keys have numbers."""


def kept_numbers(gone: Array) -> Array | None:
    """Return the numbers of the keys that are still there, given which are gone; `None` while those are too few."""
    return None if 2 * int(gone.sum()) < len(gone) else np.flatnonzero(~gone)

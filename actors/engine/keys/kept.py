"""What state keeps of each key, told by those who keep it.

The bytes of a key are known from types alone, before any row has come; the bytes held are those of the arrays as they
are. Arrays grow by doubling, so that what is held may be a few times what is kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from actors.engine.vectors.vector import Array

TEXT_SIZE_BYTES = 60
"""Bytes taken by a text of about a dozen letters, beside the reference to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What one part of the state keeps of each key."""

    what: str
    """What it is, in words."""

    of: str = ""
    """What part of the metrics it is of; empty if it is of all."""

    key_size_bytes: int

    entry_size_bytes: int = 0
    """Bytes of every entry in the key's history; 0 without one."""

    entry: str = ""
    """What an entry stands for, `row` or `pane`; empty without a history."""

    entry_count_max: int | None = None
    """Most entries that a key has once a batch is done; `None` when its rows decide, as those of a window do."""

    held_size_bytes: int = 0
    """Bytes that it takes now, for all keys, with the room for more."""

    def __str__(self) -> str:
        return f"{self.what}: {self.of}" if self.of else self.what

    @property
    def bounded_size_bytes(self) -> int:
        """Bytes of each key, entries included where their number is known."""
        return self.key_size_bytes + self.entry_size_bytes * (self.entry_count_max or 0)


class Holding(NamedTuple):
    """A part of the state of windows and who needs it."""

    kept: Kept
    calls: tuple[int, ...]
    """Indexes of the aggregate calls that need it; empty if all do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What something costs while rows come."""

    order: str
    """How much work: `O(1)`, `O(panes)`, `O(rows of the window)` or the like."""

    per: str
    """How often: `row` or `closing`."""

    why: str
    """What is done."""

    weight: float
    """Values looked at each time, about; rows of a window of unknown length count as 1000."""

    def __str__(self) -> str:
        return f"{self.order} per {self.per}: {self.why}"


WINDOW_ROWS_GUESS = 1000
"""Rows of a window in the weight of work when nobody knows them."""


def value_size_bytes(dtypes: Iterable[Any]) -> int:
    """Return the bytes of one value of each numpy type, with a text where the type is that of objects."""
    return sum(np.dtype(d).itemsize + (TEXT_SIZE_BYTES if np.dtype(d) == np.object_ else 0) for d in dtypes)


def held_size_bytes(arrays: Iterable[Array], live_count: int) -> int:
    """Return the bytes of arrays, of whose entries so many are in use."""
    return sum(a.nbytes + (TEXT_SIZE_BYTES * live_count if a.dtype == np.object_ else 0) for a in arrays)

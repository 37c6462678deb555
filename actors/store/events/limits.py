"""Limits: how many of its oldest entries a series must give up.

The decision is pure. The caller measures the series, passes over its entries from the oldest and deletes, all inside
the write transaction of the flush.
"""

import math
from dataclasses import dataclass

from actors.store.errors import StoreConfigError
from actors.store.events.event import UINT64_MAX, US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Limits of one series; `None` means unlimited.

    Raises:
        StoreConfigError: a limit below zero or no number.
    """

    min_entries: float | None = None
    """Entries kept whatever the other limits say (low-water mark)."""

    max_entries: float | None = None
    """Most entries after a flush (high-water mark)."""

    duration: float | None = None
    """Greatest age in seconds, by the series' own key; an entry of exactly that age stays."""

    size: float | None = None
    """Bytes that the entries may take, divided by their average size to give a number of entries."""

    def __post_init__(self) -> None:
        for name in ("min_entries", "max_entries", "duration", "size"):
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= UINT64_MAX:
                raise StoreConfigError(f"limit {name} is {value!r}; give a number from 0 to 2^64-1, or leave it out")

    @property
    def is_unlimited(self) -> bool:
        """Whether nothing is ever given up."""
        return self.max_entries is None and self.duration is None and self.size is None


def entry_cap(limit: Limit, entry_size_bytes: float) -> float:
    """Return the most entries that `max_entries` and `size` allow, given the average size of an entry."""
    by_count = math.inf if limit.max_entries is None else limit.max_entries
    if limit.size is None or entry_size_bytes <= 0:
        return by_count
    return min(by_count, int(limit.size / entry_size_bytes))


def oldest_allowed_ticks(limit: Limit, now_us: int) -> int | None:
    """Return the smallest key that `duration` allows, or `None` when it allows all."""
    return None if limit.duration is None else now_us - round(limit.duration * US_PER_S)


def excess_entries(count: int, cap: float, expired_count: int, min_entries: float) -> int:
    """Return how many of the oldest of `count` entries must go.

    Entries go while more than `min_entries` are left and there are more than `cap` or the oldest has expired.
    """
    wanted = max(math.ceil(count - cap) if cap < count else 0, expired_count)
    return max(0, min(wanted, math.ceil(count - min_entries)))

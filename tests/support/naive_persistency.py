"""Event persistency and detectors written straight from their definitions, value by value, to compare with."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite
from typing import Any

Anomaly = tuple[int, int, Any]
"""Offset, type, value."""


def naive_changes(values: Sequence[Any]) -> list[bool]:
    """Return whether each value occurs for the first time."""
    seen: set[Any] = set()
    changes = []
    for value in values:
        changes.append(value not in seen)
        seen.add(value)
    return changes


def naive_bounds(count: int, stamps: Sequence[float | None] | None, segment_count: int) -> list[int]:
    by_count = [int(k * count / segment_count) for k in range(segment_count)] + [count]
    if stamps is None or len(stamps) != count or any(s is None or not isfinite(s) for s in stamps):
        return by_count
    if any(b < a for a, b in pairwise(stamps)) or stamps[0] == stamps[-1]:
        return by_count
    cuts = [stamps[0] + k * (stamps[-1] - stamps[0]) / segment_count for k in range(1, segment_count)]
    return [0, *(bisect_left(stamps, cut) for cut in cuts), count]


def naive_means(changes: Sequence[bool], bounds: Sequence[int]) -> list[float]:
    return [sum(changes[a:b]) / (b - a) if b > a else 0.0 for a, b in pairwise(bounds)]


def naive_verdict(
    values: Sequence[Any],
    stamps: Sequence[float | None] | None = None,
    segmentation: str = "count",
    min_samples: int = 3,
    thresholds: Sequence[float] = (1.1, 0.3, 0.1, 0.01),
) -> str:
    """Return the verdict on a variable whose observations are these values."""
    count, distinct_count = len(values), len(set(values))
    if count < min_samples:
        return "INSUFFICIENT_DATA"
    if distinct_count == 1:
        return "STATIC"
    if distinct_count == count:
        return "RANDOM"
    changes = naive_changes(values)
    by_count = naive_bounds(count, None, len(thresholds))
    by_time = naive_bounds(count, stamps, len(thresholds))
    chosen = {"count": [by_count], "time": [by_time], "both": [by_count, by_time]}[segmentation]
    passes = all(
        mean < limit for bounds in chosen for mean, limit in zip(naive_means(changes, bounds), thresholds, strict=True)
    )
    if passes and by_count in chosen and count < len(thresholds):
        return "INSUFFICIENT_DATA"
    return "STABLE" if passes else "UNSTABLE"


class NaiveKnownValues:
    """The new value detector, one row at a time. A row is `(time, group, value per variable)`."""

    def __init__(self, learn_row_count: int | None, expire_after: int | None, cap: int, once: bool) -> None:
        self.learn_row_count = learn_row_count
        self.expire_after = expire_after
        self.cap = cap
        self.once = once
        self.row_counts: dict[Any, int] = {}
        self.now: dict[Any, int] = {}
        self.known: dict[tuple[Any, int], dict[Any, int]] = {}
        self.muted: set[tuple[Any, int]] = set()

    def row(self, offset: int, time: int, group: Any, values: Sequence[Any]) -> list[Anomaly]:
        learns = self.learn_row_count is not None and self.row_counts.get(group, 0) < self.learn_row_count
        self.row_counts[group] = self.row_counts.get(group, 0) + 1
        now = self.now[group] = max(time, self.now.get(group, time))
        found = []
        for index, value in enumerate(values):
            if value is not None and not self._fits((group, index), value, now, learns):
                found.append((offset, index, value))
        return found

    def _fits(self, place: tuple[Any, int], value: Any, now: int, learns: bool) -> bool:
        known = self.known.setdefault(place, {})
        if place in self.muted:
            return True
        is_known = value in known and (self.expire_after is None or now - known[value] <= self.expire_after)
        if is_known:
            known[value] = now
            return True
        if learns:
            if value not in known and len(known) >= self.cap:
                self.muted.add(place)
            else:
                known[value] = now
            return True
        if self.once and (value in known or len(known) < self.cap):
            known[value] = now
        return False


def naive_value_ranges(rows: Sequence[tuple[Any, float]], learn_row_count: int) -> list[int]:
    """Return the indexes of rows `(group, value)` outside the range that their group learned first."""
    ranges: dict[Any, tuple[float, float]] = {}
    counts: Mapping[Any, int] = {}
    counts = dict(counts)
    found = []
    for index, (group, value) in enumerate(rows):
        learns = counts.get(group, 0) < learn_row_count
        counts[group] = counts.get(group, 0) + 1
        low, high = ranges.get(group, (value, value))
        if learns:
            ranges[group] = (min(low, value), max(high, value))
        elif group in ranges and not low <= value <= high:
            found.append(index)
    return found

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


class NaiveJudge:
    """Walks rows `(time, group, ...)` and says for each one which group it is of and whether that group learns."""

    def __init__(self, learn_row_count: int) -> None:
        self.learn_row_count = learn_row_count
        self.counts: dict[Any, int] = {}
        self.now: dict[Any, int] = {}

    def step(self, group: Any, time: int) -> tuple[bool, int]:
        """Return whether the row is learned, and the watermark."""
        learns = self.counts.get(group, 0) < self.learn_row_count
        self.counts[group] = self.counts.get(group, 0) + 1
        self.now[group] = max(time, self.now.get(group, time))
        return learns, self.now[group]


def naive_ranges(rows: Sequence[tuple[int, Any, Any]], learn_row_count: int) -> list[int]:
    """Return the indexes of rows `(time, group, number)` outside the range that their group learned."""
    judge, ranges, found = NaiveJudge(learn_row_count), dict[Any, tuple[Any, Any]](), []
    for index, (time, group, value) in enumerate(rows):
        learns, _ = judge.step(group, time)
        if value is None:
            continue
        if learns:
            low, high = ranges.get(group, (value, value))
            ranges[group] = (min(low, value), max(high, value))
        elif group in ranges and not ranges[group][0] <= value <= ranges[group][1]:
            found.append(index)
    return found


def naive_charsets(rows: Sequence[tuple[int, Any, Any]], learn_row_count: int) -> list[int]:
    """Return the indexes of rows `(time, group, text)` with a character that their group has not learned."""
    judge, known, found = NaiveJudge(learn_row_count), dict[Any, set[str]](), []
    for index, (time, group, text) in enumerate(rows):
        learns, _ = judge.step(group, time)
        if text is None:
            continue
        characters = known.setdefault(group, set())
        if learns:
            characters |= set(text)
        elif not set(text) <= characters:
            found.append(index)
    return found


def naive_sequences(rows: Sequence[tuple[int, Any, Any]], learn_row_count: int, length: int, once: bool) -> list[int]:
    """Return the indexes of rows `(time, group, event id)` that complete a sequence their group does not know."""
    judge, found = NaiveJudge(learn_row_count), []
    known: dict[Any, set[tuple[Any, ...]]] = {}
    latest: dict[Any, list[Any]] = {}
    for index, (time, group, event_id) in enumerate(rows):
        learns, _ = judge.step(group, time)
        if event_id is None:
            continue
        ids = latest.setdefault(group, [])
        ids.append(event_id)
        sequence = tuple(ids[-length:])
        if len(ids) < length or sequence in known.setdefault(group, set()):
            continue
        if not learns:
            found.append(index)
        if learns or once:
            known[group].add(sequence)
    return found


def naive_counts(
    rows: Sequence[tuple[int, Any, Any]], learn_row_count: int, window: int, by_time: bool, distance_max: float
) -> list[int]:
    """Return the indexes of rows `(time, group, event id)` that end a window counted unlike those learned."""
    judge, found = NaiveJudge(learn_row_count), []
    known: dict[Any, list[dict[Any, int]]] = {}
    opened: dict[Any, tuple[int, list[tuple[Any, bool]]]] = {}

    def end(group: Any, index: int) -> None:
        _, held = opened.pop(group, (0, []))
        if not held:
            return
        vector = {event_id: sum(other == event_id for other, _ in held) for event_id, _ in held}
        if held[-1][1]:
            known.setdefault(group, []).append(vector)
        elif all(_distance(vector, other) > distance_max for other in known.get(group, [])):
            found.append(index)

    for index, (time, group, event_id) in enumerate(rows):
        learns, now = judge.step(group, time)
        number = now // window if by_time else 0
        if group in opened and opened[group][0] != number:
            end(group, index)
        if event_id is None:
            continue
        opened.setdefault(group, (number, []))[1].append((event_id, learns))
        if not by_time and len(opened[group][1]) == window:
            end(group, index)
    return found


def _distance(one: Mapping[Any, int], other: Mapping[Any, int]) -> float:
    total = max(sum(one.values()), sum(other.values()))
    return sum(abs(one.get(name, 0) - other.get(name, 0)) for name in {*one, *other}) / total

"""The detector `baseline` written plainly from its definition, one key, row by row, to compare with."""

import math
from collections.abc import Sequence

LENGTHS = (4, 8, 16, 36, 48, 64)
PATTERNS = ((None, 1, 3), (None, 0, 2, 5), (None, 4))


class NaiveCodebook:
    """At most 64 patterns, a radius apart."""

    def __init__(self) -> None:
        self.entries: list[tuple[float, ...]] = []
        self.radius = 0.0

    def take(self, pattern: tuple[float, ...]) -> float:
        distance = min((math.dist(pattern, entry) for entry in self.entries), default=0.0)
        if self.entries and distance <= self.radius:
            return distance
        if len(self.entries) == 64:
            while len(self.entries) > 56:
                neighbours = zip(self.entries, self.entries[1:], strict=False)
                nearest = min(math.dist(a, b) for a, b in neighbours) if len(self.entries) > 1 else 0.0
                self.radius = self.radius * 1.3 if self.radius else nearest
                kept: list[tuple[float, ...]] = []
                for entry in self.entries:
                    if all(math.dist(entry, other) > self.radius for other in kept):
                        kept.append(entry)
                self.entries = kept
        self.entries.append(pattern)
        return distance


class NaiveTail:
    """The 98 % quantile of something, and how far beyond it lies what does."""

    def __init__(self) -> None:
        self.quantile: float | None = None
        self.spread = 0.35

    def take(self, logarithm: float, row: int) -> float:
        if self.quantile is None:
            self.quantile = logarithm
        gain, excess = max(0.0015, 2 / row), logarithm - self.quantile
        if excess <= 0:
            self.quantile -= 0.05 * gain
            return 0.0
        score = 1.699 + excess / (math.log(10) * self.spread)
        self.spread += min(gain / 0.04, 0.3) * (min(excess, 8 * self.spread) - self.spread)
        self.spread = max(self.spread, 0.1)
        self.quantile += 2.45 * gain
        return score


def naive_scores(values: Sequence[float], bins: Sequence[int] | None) -> list[float]:
    """Return the score of each value, before the sensitivity; `bins` are the places in the season, if there is one."""
    contexts = [0.0] * len(LENGTHS)
    codebooks = [NaiveCodebook() for _ in PATTERNS]
    tails = [NaiveTail() for _ in range(4)]
    mean_errors = {"last": 0.0, "fast": 0.0, "slow": 0.0, "profile": 0.0}
    last = fast = slow = values[0] if values else 0.0
    profile: dict[int, tuple[float, int]] = {}
    error_fast = error_slow = 0.0
    usual, levels, scores = 1.6, [], []
    for row, value in enumerate(values, 1):
        contexts = [c + max(1 / length, 1 / row) * (value - c) for c, length in zip(contexts, LENGTHS, strict=True)]
        distances = [
            book.take(tuple(value if place is None else contexts[place] for place in places))
            for book, places in zip(codebooks, PATTERNS, strict=True)
        ]
        gain, scale = max(0.005, 1 / row), mean_errors["slow"]
        errors = {"last": value - last, "fast": value - fast, "slow": value - slow}
        from_slow = value - slow
        if bins is not None:
            at_place, visits = profile.get(bins[row - 1], (slow, 0))
            errors["profile"] = value - at_place - error_fast
            if mean_errors["profile"] < scale:
                from_slow = value - at_place - error_slow
            error = value - at_place
            error_fast += 0.5 * (error - error_fast)
            error_slow += gain * (error - error_slow)
            profile[bins[row - 1]] = (at_place + max(0.3, 1 / (visits + 1)) * error, visits + 1)
        for name, error in errors.items():
            counted = min(abs(error), 8 * scale) if row > 20 else abs(error)
            mean_errors[name] += gain * (counted - mean_errors[name])
        last, fast, slow = value, fast + max(0.3, 1 / row) * (value - fast), slow + gain * (value - slow)
        levels = [*levels, from_slow][-8:]
        parts = [abs(math.fsum(levels) / len(levels)), *distances]
        floor = 0.05 * mean_errors["slow"] + 1e-9 * abs(value) + 1e-12
        found = [tail.take(math.log(part + floor), row) for tail, part in zip(tails, parts, strict=True)]
        score = (sum(math.sqrt(one) for one in found) / len(found)) ** 2
        scores.append(score / (0.8 * usual + 0.2 * 1.6))
        usual += 0.0998 if score > usual else -0.0002
    return scores

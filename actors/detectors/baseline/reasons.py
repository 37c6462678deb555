"""What makes an unusual row an alarm, and how it is put into words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from actors.detectors.baseline.judged import Judged
from actors.detectors.baseline.tuning import CONTEXT_LENGTHS, LEVEL_LENGTH, PATTERNS

DIRECTIONS: Final = ("both", "up", "down")

_REACH_MAX: Final = 700.0
"""Natural logarithm of the farthest a band reaches; beyond it there are no doubles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is an alarm, beside a high score."""

    sensitivity: float
    """Score, as it is computed, that is 1 as it is shown."""

    season: str

    warm_up: int
    """Units of the time column between the first row of a group and its first alarm."""

    direction: str

    change_min: float
    """Least change that is an alarm: an amount, or a share of what was expected."""

    is_change_relative: bool


def reason(rule: Rule, judged: Judged, row: int, value: float, score: float) -> Mapping[str, Any] | None:
    """Return what is shown of an unusual row; `None` where the rule does not ask for it."""
    expected, level = float(judged.expected[row]), float(judged.level[row])
    part = int(judged.parts[1:, row].argmax())
    change = level if part == 0 else value - expected
    if (change < 0 and rule.direction == "up") or (change > 0 and rule.direction == "down"):
        return None
    if abs(change) < rule.change_min * (abs(expected) if rule.is_change_relative else 1.0):
        return None
    reach = math.exp(min(float(judged.reach[row]), _REACH_MAX))
    low, high = expected - reach, expected + reach
    shown = {"value": value, "score": score, "expected": expected, "low": low, "high": high}
    if not low <= value <= high:
        return shown | {"why": "value", "text": f"expected {low:.6g}..{high:.6g}, got {value:.6g}"}
    if part == 0:
        side = "above" if level > 0 else "below"
        text = f"the mean of the last {LEVEL_LENGTH} rows is {abs(level):.6g} {side} what is usual"
        return shown | {"why": "level", "text": text}
    length = round(max(CONTEXT_LENGTHS[place] for place in PATTERNS[part - 1] if place >= 0))
    return shown | {"why": "course", "text": f"no such course of the last {length} rows was seen before"}

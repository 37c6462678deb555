"""Exponential smoothing: recurrences that must go row by row, carried out for all keys side by side."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from actors.engine.keys.idle import KeyState
from actors.engine.keys.kept import Kept, Work
from actors.engine.keys.per_key import PerKey
from actors.engine.vectors.segments import Layout, length_classes
from actors.engine.vectors.vector import Array, Vector, number_values, simplified, validity

Step = Callable[[dict[str, Array], Array, Array], tuple[Array, Array]]
"""From the state of some keys, their next values and which of those are there to results; changes the state."""


class RecurrentState:
    """A recurrence over the rows of each key."""

    def __init__(self, names: Sequence[str], step: Step) -> None:
        self._names = tuple(names)
        self.carried = PerKey(**{name: np.float64(0) for name in names})
        self._step = step

    def evaluate(self, vectors: Sequence[Vector], layout: Layout) -> Vector:
        """Return the smoothed value for every row."""
        self.carried.cover(layout.numbers)
        values, valid = number_values(vectors[0]).astype(np.float64), validity(vectors[0])
        result, there = np.zeros(layout.row_count), np.zeros(layout.row_count, dtype=np.bool_)
        for chosen, width in length_classes(layout.lengths):
            chosen = chosen[np.argsort(-layout.lengths[chosen], kind="stable")]
            numbers, starts, lengths = layout.numbers[chosen], layout.starts[chosen], layout.lengths[chosen]
            state = {name: self.carried[name][numbers] for name in self._names}
            for row in range(width):
                count = int(np.searchsorted(-lengths, -row, side="left"))
                rows = starts[:count] + row
                part = {name: state[name][:count] for name in self._names}
                result[rows], there[rows] = self._step(part, values[rows], valid[rows])
                for name in self._names:
                    state[name][:count] = part[name]
            for name in self._names:
                self.carried[name][numbers] = state[name]
        there &= np.isfinite(result)
        return simplified(np.where(there, result, 0.0), there)

    def keyed(self) -> Sequence[KeyState]:
        """Return the parts of the state, each by key."""
        return [self.carried]

    def kept(self) -> Kept:
        """Return what is kept of each key."""
        return self.carried.kept("the running average")

    def work(self) -> Work:
        """Return what a row costs."""
        why = "goes row by row, all keys of a batch side by side"
        return Work(order="O(1)", per="row", why=why, weight=20)

    def state(self) -> dict[str, Array]:
        """Return the state as arrays."""
        return self.carried.state()

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""
        self.carried.load(state)


def exponential_average(window: int, warms_up: bool) -> RecurrentState:
    """`ema`: the mean of the first `window` values, then smoothing by 2 / (window + 1)."""

    def step(state: dict[str, Array], values: Array, valid: Array) -> tuple[Array, Array]:
        count = state["count"] + valid
        state["count"] = count
        rate = np.full(len(values), 2.0 / (window + 1))
        if warms_up:
            rate = np.maximum(rate, 2.0 / np.maximum(count, 1.0))
            smoothed = np.where(count <= 1, values, state["value"] + rate * (values - state["value"]))
            state["value"] = np.where(valid, smoothed, state["value"])
            return state["value"], valid
        state["sum"] = np.where(valid & (count <= window), state["sum"] + values, state["sum"])
        mean = state["sum"] / window
        smoothed = np.where(count <= window, mean, state["value"] + rate * (values - state["value"]))
        state["value"] = np.where(valid, smoothed, state["value"])
        return state["value"], valid & (count >= window)

    return RecurrentState(("count", "sum", "value"), step)


def weighted_average(rate: float) -> RecurrentState:
    """`ewmMean`: all values so far, weighted by powers of 1 - rate; a NULL ages the weights."""

    def step(state: dict[str, Array], values: Array, valid: Array) -> tuple[Array, Array]:
        state["sum"] = state["sum"] * (1 - rate) + np.where(valid, values, 0.0)
        state["weight"] = state["weight"] * (1 - rate) + valid
        there = state["weight"] > 0
        fresh = state["sum"] / np.where(there, state["weight"], 1.0)
        state["value"] = np.where(valid, fresh, state["value"])
        state["count"] = state["count"] + valid
        return state["value"], state["count"] > 0

    return RecurrentState(("sum", "weight", "value", "count"), step)


def weighted_deviation(rate: float) -> RecurrentState:
    """`ewmStd`: the standard deviation of all values so far, weighted by powers of 1 - rate; a NULL ages the weights.

    With `pairs`, the sum of the products of all two weights, the divisor is that of a sample: nothing cancels out.
    """

    def step(state: dict[str, Array], values: Array, valid: Array) -> tuple[Array, Array]:
        aged = state["weight"] * (1 - rate)
        weight = aged + valid
        there = weight > 0
        share = np.where(there, weight, 1.0)
        away = values - state["mean"]
        pairs = state["pairs"] * (1 - rate) * (1 - rate) + np.where(valid, aged, 0.0)
        spread = state["spread"] * (1 - rate) + np.where(valid, aged / share * away * away, 0.0)
        state["mean"] = np.where(valid, state["mean"] + away / share, state["mean"])
        state["weight"], state["pairs"], state["spread"] = weight, pairs, spread
        known = pairs > 0
        fresh = np.sqrt(spread * weight / np.where(known, 2 * pairs, 1.0))
        known &= np.isfinite(fresh)
        fresh = np.where(known, fresh, 0.0)
        state["value"] = np.where(valid, fresh, state["value"])
        state["known"] = np.where(valid, known.astype(np.float64), state["known"])
        return state["value"], state["known"] > 0

    return RecurrentState(("weight", "pairs", "spread", "mean", "value", "known"), step)


def rate_of(constants: Mapping[str, Any]) -> float:
    """Return the rate of `ewmMean`, of which one of four constants says it.

    Raises:
        ValueError: none or several of them are given, or the rate is out of range.
    """
    rates: dict[str, Callable[[float], float]] = {
        "com": lambda com: 1 / (1 + com),
        "span": lambda span: 2 / (span + 1),
        "halfLife": lambda half: 1 - math.exp(-math.log(2) / half),
        "alpha": lambda alpha: alpha,
    }
    given = [(name, constants[name]) for name in rates if constants[name] is not None]
    if len(given) == 1 and given[0][1] + (given[0][0] == "com") > 0:
        rate = rates[given[0][0]](given[0][1])
        if 0 < rate <= 1:
            return rate
    raise ValueError("give exactly one of com, span, halfLife and alpha, with 0 < alpha <= 1")

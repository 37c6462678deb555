"""Where generated cases take their choices from: Hypothesis, which shrinks failing cases, or a seed, which is fast."""

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Choices(Protocol):
    """Chooses; the simplest choice is the smallest integer, so put the simplest of several first."""

    def integer(self, low: int, high: int) -> int:
        """Return an integer of that range, both ends included."""
        ...


class DrawnChoices:
    """Choices that Hypothesis draws."""

    def __init__(self, draw: Callable[..., Any]) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return int(self._draw(_integers(low, high)))


class SeededChoices:
    """Choices that follow from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)


@cache
def _integers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


def pick(choices: Choices, values: Sequence[T]) -> T:
    """Return one of several values."""
    return values[choices.integer(0, len(values) - 1)]


def happens(choices: Choices, percent: int) -> bool:
    """Return true in so many of a hundred cases; false is the simpler outcome."""
    return choices.integer(0, 99) >= 100 - percent


def shuffled(choices: Choices, values: Sequence[T]) -> list[T]:
    """Return the values in any order."""
    left, order = list(values), []
    while left:
        order.append(left.pop(choices.integer(0, len(left) - 1)))
    return order

"""Segments: the order that sorts numbers of any width, equal ones as they came."""

import numpy as np
import pytest

from actors.engine.vectors.segments import stable_order


@pytest.mark.parametrize("bound", [1, 5, 1 << 16, (1 << 16) + 1, 1 << 20, 1 << 40])
def test_numbers_of_any_width_are_sorted_and_equal_ones_stay_as_they_came(bound: int) -> None:
    numbers = np.random.default_rng(bound).integers(0, bound, 3_000)
    numbers[:2] = bound - 1, 0

    order = stable_order(numbers, bound)

    assert order.tolist() == sorted(range(3_000), key=numbers.tolist().__getitem__)

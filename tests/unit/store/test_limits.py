"""The decision how many entries must go."""

import math

import pytest

from actors.store.errors import StoreConfigError
from actors.store.events.limits import Limit, entry_cap, excess_entries, oldest_allowed_ticks


@pytest.mark.parametrize(
    ("count", "cap", "expired", "minimum", "expected"),
    [
        (10, math.inf, 0, 0, 0),
        (10, 4, 0, 0, 6),
        (10, 10, 0, 0, 0),
        (10, 4, 8, 0, 8),
        (10, math.inf, 10, 3, 7),
        (10, 4, 0, 6, 4),
        (10, 4, 0, 20, 0),
        (10, 3.5, 0, 0, 7),
        (10, 0, 0, 2.5, 8),
        (0, 0, 0, 0, 0),
    ],
)
def test_the_oldest_go_down_to_the_minimum(count: int, cap: float, expired: int, minimum: float, expected: int) -> None:
    assert excess_entries(count, cap, expired, minimum) == expected


def test_the_size_is_divided_by_the_average_entry() -> None:
    assert entry_cap(Limit(size=1000), 30.0) == 33
    assert entry_cap(Limit(size=1000, max_entries=5), 30.0) == 5
    assert entry_cap(Limit(size=1000), 0.0) == math.inf
    assert entry_cap(Limit(), 30.0) == math.inf


def test_the_duration_counts_back_from_now() -> None:
    assert oldest_allowed_ticks(Limit(duration=1.5), 10_000_000) == 8_500_000
    assert oldest_allowed_ticks(Limit(max_entries=1), 0) is None


@pytest.mark.parametrize("value", [-1, float("nan"), True, "5"])
def test_a_limit_is_a_number_from_zero(value: object) -> None:
    with pytest.raises(StoreConfigError, match="max_entries is"):
        Limit(max_entries=value)  # type: ignore[arg-type]

"""Order-sensitive functions: lists with a value per row in, such a list out. Row i depends on rows up to i."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from tests.support.naive.aggregates import count, given, mean, pairs
from tests.support.naive.numbers import Fragile, Rounded, is_rounded
from tests.support.naive.scalars import divide_reals, exactly

Values = Sequence[Any]
Aggregate = Callable[..., Any]

_subtract = exactly(lambda left, right: left - right)


def move(x: Values, steps: int) -> list[Any]:
    return [x[i - steps] if i >= steps else None for i in range(len(x))]


def deltas(x: Values, steps: int) -> list[Any]:
    return [_subtract(value, before) for value, before in zip(x, move(x, steps), strict=True)]


def ratios(x: Values) -> list[Any]:
    return [divide_reals(value, before) for value, before in zip(x, move(x, 1), strict=True)]


def percent_change(x: Values, steps: int) -> list[Any]:
    quotients = [divide_reals(value, before) for value, before in zip(x, move(x, steps), strict=True)]
    return [_subtract(quotient, 1.0) for quotient in quotients]


def forward_fill(x: Values, limit: int | None) -> list[Any]:
    filled: list[Any] = []
    for i, value in enumerate(x):
        found = next((j for j in range(i, -1, -1) if x[j] is not None), None)
        too_far = found is None or (limit is not None and i - found > limit)
        filled.append(value if too_far else x[found or 0])
    return filled


def moving(aggregate: Aggregate, series: Sequence[Values], window: int, minimum: int | None) -> list[Any]:
    """Return the aggregate over the last `window` rows of each row.

    Without `minimum`: NULL for the first window - 1 rows. With it: NULL while the window holds fewer values than that
    (for two series: fewer rows in which both have one).
    """
    results: list[Any] = []
    for i in range(len(series[0])):
        parts = [values[max(0, i - window + 1) : i + 1] for values in series]
        present = count(parts[0]) if len(parts) == 1 else len(pairs(*parts))
        enough = i + 1 >= window if minimum is None else present >= minimum
        results.append(aggregate(*parts) if enough else None)
    return results


def time_moving(aggregate: Aggregate, times: Values, series: Sequence[Values], window: int) -> list[Any]:
    """Return the aggregate over the rows so far that are less than `window` older than the row."""
    results: list[Any] = []
    for i, now in enumerate(times):
        inside = [j for j in range(i + 1) if None not in (now, times[j]) and now - window < times[j] <= now]
        results.append(aggregate(*([values[j] for j in inside] for values in series)))
    return results


def cumulative(aggregate: Aggregate, series: Sequence[Values]) -> list[Any]:
    return [aggregate(*(values[: i + 1] for values in series)) for i in range(len(series[0]))]


def rank_of_last(part: Values, ascending: bool, ignore_null: bool, ties: str) -> Any:
    """Return how many of the others come before the last value, from 0."""
    mine = part[-1]
    if ignore_null and mine is None:
        return None
    others = list(part[:-1])
    others = given(others) if ignore_null else others
    if is_rounded(*part):
        raise Fragile("ranks of rounded numbers")
    before = sum(1 for other in others if _comes_before(other, mine) == ascending and other != mine)
    equal = sum(1 for other in others if other == mine)
    return {"min": before, "max": before + equal, "average": float(before + Fraction(equal, 2))}[ties]


def _comes_before(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is None and right is not None
    return bool(left < right)


def moving_rank(
    x: Values, ascending: bool, window: int, ignore_null: bool, ties: str, minimum: int | None
) -> list[Any]:
    def rank(part: Values) -> Any:
        return rank_of_last(part, ascending, ignore_null, ties)

    return moving(rank, [x], window, minimum)


def exponential(x: Values, window: int, warm_up: bool) -> list[Any]:
    """Return the exponential moving average: NULL for the first window - 1 values, then their mean, then smoothing.

    With warm-up the first value starts it, and the weight shrinks from 2 / 2 to 2 / (window + 1).
    """
    results: list[Any] = []
    seen: list[Any] = []
    state: Any = None
    for value in x:
        if value is None:
            results.append(None)
            continue
        seen.append(value)
        if warm_up:
            state = float(value) if state is None else _smooth(state, value, min(len(seen) - 1, window))
        elif len(seen) == window:
            state = mean(seen)
        elif len(seen) > window:
            state = _smooth(state, value, window)
        results.append(state)
    return results


def _smooth(state: Any, value: Any, window: int) -> Any:
    weight = Fraction(2, window + 1)
    return Rounded(weight * Fraction(value) + (1 - weight) * Fraction(state))


def exponentially_weighted_mean(x: Values, alpha: Fraction) -> list[Any]:
    """Return the mean in which a value's weight shrinks by 1 - alpha with every later row, NULL rows included."""
    results: list[Any] = []
    for i in range(len(x)):
        present = [j for j in range(i + 1) if x[j] is not None]
        weights = [(1 - alpha) ** (i - j) for j in present]
        total = sum((weight * Fraction(x[j]) for weight, j in zip(weights, present, strict=True)), Fraction(0))
        results.append(Rounded(total / sum(weights)) if present else None)
    return results

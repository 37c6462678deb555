"""Order-sensitive functions: the values of all rows so far in, the value at the last of them out."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from tests.support.naive.aggregates import count, given, mean, pairs
from tests.support.naive.numbers import Fragile, Rounded, is_rounded
from tests.support.naive.scalars import divide_reals, exactly

Values = Sequence[Any]
Aggregate = Callable[..., Any]

subtract = exactly(lambda left, right: left - right)


def move(x: Values, steps: int) -> Any:
    return x[-1 - steps] if len(x) > steps else None


def deltas(x: Values, steps: int) -> Any:
    return subtract(x[-1], move(x, steps))


def ratios(x: Values) -> Any:
    return divide_reals(x[-1], move(x, 1))


def percent_change(x: Values, steps: int) -> Any:
    return subtract(divide_reals(x[-1], move(x, steps)), 1.0)


def forward_fill(x: Values, limit: int | None) -> Any:
    """Return the last value that is given, unless it is more than `limit` rows back."""
    back = next((back for back in range(len(x)) if x[-1 - back] is not None), None)
    return None if back is None or (limit is not None and back > limit) else x[-1 - back]


def moving(aggregate: Aggregate, series: Sequence[Values], window: int, minimum: int | None) -> Any:
    """Return the aggregate over the last `window` rows.

    Without `minimum`: NULL for the first window - 1 rows. With it: NULL while the window holds fewer values than that
    (for two series: fewer rows in which both have one).
    """
    parts = [values[-window:] for values in series]
    present = count(parts[0]) if len(parts) == 1 else len(pairs(*parts))
    enough = len(series[0]) >= window if minimum is None else present >= minimum
    return aggregate(*parts) if enough else None


def time_moving(aggregate: Aggregate, times: Values, series: Sequence[Values], window: int) -> Any:
    """Return the aggregate over the rows so far that are less than `window` older than the last.

    The start of the window never moves back: where times fall back, rows that were left behind stay behind.
    """
    start = 0
    for i, now in enumerate(times):
        while start < i and times[start] <= now - window:
            start += 1
    inside = [j for j in range(start, len(times)) if times[-1] - window < times[j] <= times[-1]]
    return aggregate(*([values[j] for j in inside] for values in series))


def cumulative(aggregate: Aggregate, series: Sequence[Values]) -> Any:
    return aggregate(*series)


def rank_of_last(part: Values, ascending: bool, ignore_null: bool, ties: str, percent: bool) -> Any:
    """Return how many of the others come before the last value, from 0, or which share comes no later."""
    mine = part[-1]
    if ignore_null and mine is None:
        return None
    others = list(part[:-1])
    others = given(others) if ignore_null else others
    if is_rounded(*part):
        raise Fragile("ranks of rounded numbers")
    before = sum(1 for other in others if _comes_before(other, mine) == ascending and other != mine)
    equal = sum(1 for other in others if other == mine)
    rank = {"min": before, "max": before + equal, "average": float(before + Fraction(equal, 2))}[ties]
    return Rounded((rank + 1) / (len(others) + 1)) if percent else rank


def _comes_before(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is None and right is not None
    return bool(left < right)


def moving_rank(
    x: Values, ascending: bool, window: int, ignore_null: bool, ties: str, percent: bool, minimum: int | None
) -> Any:
    def rank(part: Values) -> Any:
        return rank_of_last(part, ascending, ignore_null, ties, percent)

    return moving(rank, [x], window, minimum)


def exponential(x: Values, window: int, warm_up: bool) -> Any:
    """Return the exponential moving average: NULL for the first window - 1 values, then their mean, then smoothing.

    With warm-up the first value starts it, and the weight shrinks from 2 / 2 to 2 / (window + 1).
    """
    if x[-1] is None:
        return None
    numbers = given(x)
    if warm_up:
        state: Any = float(numbers[0])
        for i, value in enumerate(numbers[1:], 1):
            state = _smooth(state, value, min(i, window))
        return state
    if len(numbers) < window:
        return None
    state = mean(numbers[:window])
    for value in numbers[window:]:
        state = _smooth(state, value, window)
    return state


def _smooth(state: Any, value: Any, window: int) -> Any:
    weight = Fraction(2, window + 1)
    return Rounded(weight * Fraction(value) + (1 - weight) * Fraction(state))


def exponentially_weighted_mean(x: Values, alpha: Fraction) -> Any:
    """Return the mean in which a value's weight shrinks by 1 - alpha with every later row, NULL rows included."""
    weighted = [((1 - alpha) ** back, Fraction(value)) for back, value in enumerate(reversed(x)) if value is not None]
    if not weighted:
        return None
    total = sum((weight * value for weight, value in weighted), Fraction(0))
    return Rounded(total / sum(weight for weight, _ in weighted))


def exponentially_weighted_deviation(x: Values, alpha: Fraction) -> Any:
    """Return the deviation of a sample whose weights shrink as those of the mean do."""
    last = next((i for i in range(len(x) - 1, -1, -1) if x[i] is not None), -1)
    weighted = [((1 - alpha) ** (last - i), Fraction(x[i])) for i in range(last + 1) if x[i] is not None]
    total = sum((weight for weight, _ in weighted), Fraction(0))
    rest = total * total - sum((weight * weight for weight, _ in weighted), Fraction(0))
    if len(weighted) < 2 or rest == 0:
        return None
    middle = sum((weight * value for weight, value in weighted), Fraction(0)) / total
    spread = sum((weight * (value - middle) ** 2 for weight, value in weighted), Fraction(0))
    return Rounded(math.sqrt(spread * total / rest)) if spread else 0.0


def _last_given(x: Values) -> int | None:
    """Return which row before the last has a value."""
    return next((i for i in range(len(x) - 2, -1, -1) if x[i] is not None), None)


def increase(x: Values) -> Any:
    last = _last_given(x)
    if x[-1] is None or last is None:
        return None
    return x[-1] if x[-1] < x[last] else subtract(x[-1], x[last])


def rate(x: Values, times: Values, per_second: int) -> Any:
    grown, last = increase(x), _last_given(x)
    if grown is None or last is None or times[-1] is None:
        return None
    # The time of the latest value whose row had a time.
    known = next((times[i] for i in range(last, -1, -1) if x[i] is not None and times[i] is not None), None)
    if known is None or times[-1] <= known:
        return None
    return Rounded(Fraction(grown) * per_second / (times[-1] - known)) if grown else 0.0


def time_previous(times: Values, x: Values, window: int) -> Any:
    if len(x) < 2 or times[-1] is None or times[-2] is None or times[-1] - times[-2] > window:
        return None
    return x[-2]


def time_move(times: Values, x: Values, window: int, tolerance: int | None, every: int | None) -> Any:
    """Return the value of the latest row until `window` ago; a row counts at the latest time before it."""
    if times[-1] is None:
        return None
    rows: list[tuple[int, Any]] = []
    for time, value in zip(times, x, strict=True):
        if time is not None:
            rows.append((max(time, rows[-1][0]) if rows else time, value))
    wanted = rows[-1][0] - window
    if every is not None:
        rows = [row for i, row in enumerate(rows) if i + 1 == len(rows) or rows[i + 1][0] // every != row[0] // every]
    found = next(((time, value) for time, value in reversed(rows) if time <= wanted), None)
    return None if found is None or (tolerance is not None and wanted - found[0] > tolerance) else found[1]

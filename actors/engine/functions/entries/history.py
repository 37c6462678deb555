"""Order-sensitive functions that look at earlier rows one by one."""

from collections.abc import Callable
from typing import Any

from actors.engine.functions import scalars, sequences, smoothing
from actors.engine.functions.definition import (
    REAL,
    Function,
    Parameter,
    VectorsOnly,
    keeping_units,
    numeric,
    real,
    same,
    sequence,
    shorthand,
    switch,
    value,
    whole,
)
from actors.engine.functions.entries.ranges import WINDOW_ROWS_MAX
from actors.engine.functions.look_back import TimedMoveState
from actors.engine.functions.scalars import Usage
from actors.engine.rows import sequences as form


def _earlier(usage: Usage, distance: int) -> Any:
    if distance == 1:
        return sequences.PreviousState(usage.types[0])
    return sequences.EarlierState(usage.types[0], distance)


def _compared(combine: Callable[[Usage], Any]) -> Callable[[Usage], Any]:
    return lambda u: sequences.ComparedState(_earlier(u, u.constants.get("n", 1)), combine(u))


def _weighted_average(usage: Usage) -> Any:
    return smoothing.weighted_average(smoothing.rate_of(usage.constants))


def _weighted_deviation(usage: Usage) -> Any:
    return smoothing.weighted_deviation(smoothing.rate_of(usage.constants))


def _tmove(usage: Usage) -> Any:
    given = usage.constants
    return TimedMoveState(usage.types[1], given["window"], given["tolerance"], given["every"])


_rates = (
    real("com", None, 0),
    real("span", None, 1),
    real("halfLife", None, 0),
    real("alpha", None, 0, 1),
)
_by_rate = ", ".join(f"{parameter.name}={parameter.name}" for parameter in _rates)
_periods = (whole("window", low=2, high=WINDOW_ROWS_MAX), whole("minPeriods", None, 1))
_by_period = "window, minPeriods=minPeriods"
_LENGTH_MAX = 1 << 61
_spread = "NULL where the deviation is 0 or NULL."
_x, _anything, _n = (value(),), (value("x", "any"),), whole("n", 1, 0)
_started = "NULL before there is such a row."
HISTORY: list[Function] = keeping_units(
    [
        sequence(
            "prev", _anything, same, (lambda u: _earlier(u, 1), form.earlier), "value of the row before", _started
        ),
        sequence(
            "move",
            (value("x", "any"), whole("steps", low=0)),
            same,
            (lambda u: _earlier(u, u.constants["steps"]), form.earlier),
            "value `steps` rows earlier",
            _started,
        ),
        sequence(
            "deltas",
            (value(), _n),
            numeric,
            (_compared(lambda u: scalars.difference_from(u.is_real)), form.compared(form.difference)),
            "x - move(x, n)",
        ),
        sequence(
            "ratios",
            _x,
            REAL,
            (_compared(lambda u: scalars.ratio_to(0.0)), form.compared(form.ratio(0.0))),
            "x \\ prev(x)",
        ),
        sequence(
            "percentChange",
            (value(), _n),
            REAL,
            (_compared(lambda u: scalars.ratio_to(1.0)), form.compared(form.ratio(1.0))),
            "x \\ move(x, n) - 1",
        ),
        sequence(
            "ffill",
            (value("x", "any"), whole("limit", None, 1)),
            same,
            (lambda u: sequences.FilledState(u.types[0], u.constants["limit"]), form.filled),
            "last value that is not NULL, at most `limit` rows old",
            "NULL before the first value.",
        ),
        sequence(
            "ema",
            (value(), whole("window", low=1), switch("warmup", False)),
            REAL,
            (
                lambda u: smoothing.exponential_average(u.constants["window"], u.constants["warmup"]),
                form.exponential_average,
            ),
            "mean of the first `window` values, then smoothing by 2 / (window + 1)",
            "NULL at a NULL, which changes nothing.",
        ),
        sequence(
            "ewmMean",
            (value(), *_rates),
            REAL,
            (_weighted_average, form.weighted_average),
            "mean of all values so far weighted by powers of 1 - alpha; give one of com, span, halfLife, alpha",
            "A NULL ages the weights and repeats the last result.",
        ),
        sequence(
            "ewmStd",
            (value(), *_rates),
            REAL,
            (_weighted_deviation, form.weighted_deviation),
            "standard deviation of all values so far weighted like those of `ewmMean`, as of a sample",
            "A NULL ages the weights and repeats the last result; NULL before the second value.",
        ),
        sequence(
            "tmove",
            (
                value("T", "time"),
                value("x", "any"),
                whole("window", low=1, high=_LENGTH_MAX),
                whole("tolerance", None, 0, _LENGTH_MAX),
                whole("every", None, 1, _LENGTH_MAX),
            ),
            lambda types, constants: same(types[1:], constants),
            (_tmove, VectorsOnly("keeps the rows of a length of time, which pays with vectors alone")),
            "value at the time T - window: that of the latest row until then, which may be `tolerance` older; "
            "with `every` only the last row of each such stretch of time is kept",
            "NULL without such a row, and without T.",
        ),
        shorthand(
            "tmprev",
            (value("T", "time"), value("x", "any"), whole("window", low=1, high=_LENGTH_MAX)),
            "iif(nullFill(T - prev(T), window + 1) <= window, prev(x), NULL)",
            "value of the row before, if that is at most `window` older",
            "NULL without such a row.",
        ),
        shorthand(
            "increase",
            _x,
            "x - prev(ffill(x)) * (1 + min(signum(x - prev(ffill(x))), 0))",
            "by how much a counter has grown since its value before; one that is smaller has begun again from 0",
            "NULL for NULL and before the second value; a NULL between is left out.",
        ),
        shorthand(
            "rate",
            (value(), Parameter(name="T", accepts="moment", default=None)),
            "double(increase(x)) \\ (max(T - prev(ffill(iif(isValid(x), T, NULL))), 0) \\ per_second)",
            "increase of a counter in a second; T is the time column unless another one is given",
            "As `increase`, and NULL where no time has passed.",
        ),
        shorthand(
            "zscore",
            (value(), *_periods),
            f"(x - mavg(prev(x), {_by_period})) \\ mstd(prev(x), {_by_period})",
            "how many standard deviations x is from the mean of the `window` rows before",
            _spread,
        ),
        shorthand(
            "madScore",
            (value(), *_periods),
            f"(x - mmed(prev(x), {_by_period})) \\ "
            f"(1.482602218505602 * mmad(prev(x), useMedian=true, window=window, minPeriods=minPeriods))",
            "the same by medians: distance from that of the `window` rows before, in 1.4826 of their median distances",
            _spread,
        ),
        shorthand(
            "ewmScore",
            (value(), *_rates),
            f"(x - ewmMean(prev(x), {_by_rate})) \\ ewmStd(prev(x), {_by_rate})",
            "the same by weights: distance from `ewmMean` of the rows before, in their `ewmStd`",
            _spread,
        ),
    ],
    "prev",
    "move",
    "deltas",
    "ffill",
    "ema",
    "ewmMean",
)

"""Order-sensitive functions that look at earlier rows one by one."""

from collections.abc import Callable
from typing import Any

from actors.engine.functions import scalars, sequences, smoothing
from actors.engine.functions.definition import (
    REAL,
    Function,
    keeping_units,
    numeric,
    real,
    same,
    sequence,
    switch,
    value,
    whole,
)
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
            (
                value(),
                real("com", None, 0),
                real("span", None, 1),
                real("halfLife", None, 0),
                real("alpha", None, 0, 1),
            ),
            REAL,
            (_weighted_average, form.weighted_average),
            "mean of all values so far weighted by powers of 1 - alpha; give one of com, span, halfLife, alpha",
            "A NULL ages the weights and repeats the last result.",
        ),
    ],
    "prev",
    "move",
    "deltas",
    "ffill",
    "ema",
    "ewmMean",
)

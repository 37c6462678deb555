"""Aggregates: of all rows of a window."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from actors.engine.functions import aggregates, order_statistics
from actors.engine.functions.definition import (
    BOOL,
    INT,
    REAL,
    XY,
    Function,
    Parameter,
    VectorsOnly,
    aggregate,
    keeping_units,
    no_build,
    numeric,
    real,
    same,
    switch,
    value,
    whole,
    word,
)
from actors.engine.functions.scalars import Usage
from actors.engine.rows import aggregates as form

EARLIER_MAX = 10_000
"""Windows that `earlier` may look back."""

PAIRS = "Rows with a NULL in either argument are left out."
HOW = word("interpolation", "linear", order_statistics.INTERPOLATIONS)
_ALL_ROWS = VectorsOnly("needs all rows of the window at once, which only vectors keep")


def _pair_statistic(name: str, text: str) -> Function:
    tiny = "" if name.startswith("cov") else " NULL if a variance is below 1e-12."
    return aggregate(
        name,
        _pair_parameters(name),
        REAL,
        (lambda u: aggregates.pair_statistic(name), form.pair_statistic(name)),
        text,
        PAIRS + tiny,
    )


def _pair_parameters(name: str) -> tuple[Parameter, ...]:
    return (value("y"), value("x")) if name == "beta" else XY


def _spread(sample: bool, root: bool) -> Callable[[Usage], Any]:
    return lambda usage: aggregates.spread(sample, root)


def _percent(usage: Usage) -> Any:
    return order_statistics.quantile(usage.constants["percent"] / 100, usage.constants["interpolation"])


def _skip(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    return (parameters[0], Parameter(name="k", accepts="constant", is_constant=True, default=None))


def _edge_not(is_last: bool) -> Callable[[Usage], Any]:
    return lambda u: aggregates.edge(u.types, is_last, True, u.constants["k"])


def _shape(exponent: int) -> Callable[[Usage], Any]:
    return lambda u: order_statistics.shape(exponent, u.constants["biased"])


_x, _anything = (value(),), (value("x", "any"),)
_other, _stats = (value("x", "any"), word("skipped", None)), order_statistics
_skipping = "NULL is skipped."
_ONLY_NULL = "NULL is left out; NULL if there is nothing else."
_SHAPE_NULLS = "NULL is left out; NULL where var is below 1e-12, as it divides by it."
_WHOLE: list[Function] = [
    aggregate(
        "percentile",
        (value(), real("percent", low=0, high=100), HOW),
        REAL,
        (_percent, _ALL_ROWS),
        "value at position (n - 1) * percent / 100 of the sorted values",
    ),
    aggregate(
        "quantile",
        (value(), real("q", low=0, high=1), HOW),
        REAL,
        (lambda u: _stats.quantile(u.constants["q"], u.constants["interpolation"]), _ALL_ROWS),
        "value at position (n - 1) * q of the sorted values",
    ),
    aggregate(
        "nunique",
        (value("x", "any"), switch("ignoreNull", False)),
        INT,
        (lambda u: _stats.distinct_count(u.constants["ignoreNull"]), _ALL_ROWS),
        "number of distinct values",
        "NULL counts as one value unless it is ignored.",
    ),
    aggregate(
        "mode",
        _anything,
        same,
        (lambda u: _stats.most_frequent(), _ALL_ROWS),
        "most frequent value, of several smallest",
    ),
    aggregate("firstNot", _skip(_other), same, (_edge_not(False), form.edge), "first value that is not k", _skipping),
    aggregate("lastNot", _skip(_other), same, (_edge_not(True), form.edge), "last value that is not k", _skipping),
    aggregate(
        "any",
        _x,
        BOOL,
        (lambda u: aggregates.truth_test(False), form.truth_test(False)),
        "whether any value is true",
        _ONLY_NULL,
    ),
    aggregate(
        "all",
        _x,
        BOOL,
        (lambda u: aggregates.truth_test(True), form.truth_test(True)),
        "whether all values are true",
        _ONLY_NULL,
    ),
    aggregate(
        "imax", _x, INT, (lambda u: _stats.extreme_position(True), _ALL_ROWS), "position of the first largest, from 0"
    ),
    aggregate(
        "imin",
        _x,
        INT,
        (lambda u: _stats.extreme_position(False), _ALL_ROWS),
        "position of the first smallest, from 0",
    ),
    aggregate(
        "sem",
        _x,
        REAL,
        (lambda u: aggregates.spread(True, True, True), form.spread(True, True, True)),
        "std / sqrt(n)",
    ),
    aggregate(
        "skew",
        (value(), switch("biased", True)),
        REAL,
        (_shape(3), _ALL_ROWS),
        "skewness, by the biased formula for any number of values",
        _SHAPE_NULLS,
    ),
    aggregate(
        "kurtosis",
        (value(), switch("biased", True)),
        REAL,
        (_shape(4), _ALL_ROWS),
        "kurtosis (3 for the normal distribution), by the biased formula for any number of values",
        _SHAPE_NULLS,
    ),
    aggregate(
        "mad",
        (value(), switch("useMedian", False)),
        REAL,
        (lambda u: _stats.absolute_deviation(u.constants["useMedian"]), _ALL_ROWS),
        "mean absolute deviation from the mean, or median from the median",
    ),
]


_build = aggregates
_total = aggregates.total
_edge_nulls = "The row's value, NULL or not."
_MERGEABLE = [
    aggregate("sum", _x, numeric, (lambda u: _total(u.types), form.total), "sum; an integer for integers"),
    aggregate(
        "avg",
        _x,
        REAL,
        (lambda u: _build.average(u.types), form.average),
        "sum divided by the number of values; no sum of whole numbers is too large",
    ),
    aggregate("mean", _x, REAL, (lambda u: _build.average(u.types), form.average), "the same as avg"),
    aggregate(
        "count", _anything, INT, (lambda u: _build.value_count(), form.count), "number of values", "0 without values."
    ),
    aggregate("size", _anything, INT, (lambda u: _build.row_count(), form.count), "number of rows", "NULL counts."),
    aggregate("min", _x, same, (lambda u: _build.extreme(u.types, False), form.extreme), "smallest value"),
    aggregate("max", _x, same, (lambda u: _build.extreme(u.types, True), form.extreme), "largest value"),
    aggregate(
        "first",
        _anything,
        same,
        (lambda u: _build.edge(u.types, False), form.edge),
        "the first row's value",
        _edge_nulls,
    ),
    aggregate(
        "last", _anything, same, (lambda u: _build.edge(u.types, True), form.edge), "the last row's value", _edge_nulls
    ),
    aggregate(
        "std",
        _x,
        REAL,
        (_spread(True, True), form.spread(True, True)),
        "standard deviation, divisor n - 1; NULL below 2 values",
    ),
    aggregate("stdp", _x, REAL, (_spread(False, True), form.spread(False, True)), "standard deviation, divisor n"),
    aggregate(
        "var",
        _x,
        REAL,
        (_spread(True, False), form.spread(True, False)),
        "variance, divisor n - 1; NULL below 2 values",
    ),
    aggregate("varp", _x, REAL, (_spread(False, False), form.spread(False, False)), "variance, divisor n"),
    aggregate("prod", _x, numeric, (lambda u: _total(u.types, multiplies=True), form.total), "product"),
    aggregate("sum2", _x, REAL, (lambda u: _total(u.types, "square"), form.total), "sum of squares"),
    aggregate("sum3", _x, REAL, (lambda u: _total(u.types, "cube"), form.total), "sum of third powers"),
    aggregate("sum4", _x, REAL, (lambda u: _total(u.types, "fourth"), form.total), "sum of fourth powers"),
    aggregate(
        "wsum",
        XY,
        numeric,
        (lambda u: _total(u.types, "product"), form.total),
        "sum of x * y; an integer for integers",
        PAIRS,
    ),
    aggregate("wavg", XY, REAL, (lambda u: _build.weighted(u.types), form.weighted), "mean of x weighted by y", PAIRS),
    aggregate(
        "med", _x, REAL, (lambda u: order_statistics.quantile(0.5, "linear"), _ALL_ROWS), "median: percentile 50"
    ),
    aggregate(
        "rms",
        _x,
        REAL,
        (lambda u: _build.root_mean_square(), form.root_mean_square),
        "square root of the mean of squares",
    ),
]
_PAIRED = [
    _pair_statistic("covar", "covariance, divisor n - 1"),
    _pair_statistic("covarp", "covariance, divisor n"),
    _pair_statistic("corr", "correlation"),
    _pair_statistic("beta", "slope of y over x: covar / var(x)"),
]
_EARLIER = replace(
    aggregate(
        "earlier",
        (value("part", "any"), whole("n", 1, 1, EARLIER_MAX)),
        same,
        (no_build, VectorsOnly("looks at windows that have closed, which only vectors keep")),
        "value of an expression of aggregates, or of a named part, over the window that ended n steps before",
        "NULL where that window held no row.",
    ),
    looks_at_windows=True,
)
_IN_UNITS = (
    "earlier",
    "sum",
    "avg",
    "mean",
    "min",
    "max",
    "first",
    "last",
    "firstNot",
    "lastNot",
    "med",
    "percentile",
    "quantile",
    "mode",
    "std",
    "stdp",
    "mad",
    "sem",
    "rms",
)
AGGREGATES: list[Function] = keeping_units([*_MERGEABLE, *_PAIRED, *_WHOLE, _EARLIER], *_IN_UNITS)

"""The table of all functions: one entry for each name and arity. `docs/metrics.md` is written from it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from actors.engine.functions import aggregates, order_statistics, scalars, sequences, smoothing
from actors.engine.functions.definition import (
    Function,
    Kind,
    Parameter,
    TypeRule,
    always,
    branches,
    numeric,
    real,
    same,
    switch,
    value,
    whole,
    word,
)
from actors.engine.functions.scalars import Usage
from actors.engine.rows.aggregates import FINISH_FORMS
from actors.engine.rows.scalars import SCALAR_FORMS
from actors.engine.rows.sequences import SEQUENCE_FORMS
from actors.engine.vectors.vector import Type

WINDOW_ROWS_MAX = 102_400
"""Longest window of a moving function, in rows."""

FORBIDDEN = {
    "next": "Use `prev`, which looks at the row before.",
    "talibNull": "Use `nullFill` or `ffill`.",
    "linearTimeTrend": "Use `mbeta` over a time column.",
    "iterate": "Use `ema` or `ewmMean`.",
}
"""Functions that are refused, and what to use instead."""

_SIGNS = {
    "or": "or",
    "and": "and",
    "not": "not",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "eq": "==",
    "ne": "!=",
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "ratio": "\\",
    "mod": "%",
    "neg": "neg",
    "in": "in",
}
"""Functions that are operators, and their signs."""

_COMPARISONS = {"lt", "le", "gt", "ge", "eq", "ne", "between", "in"}

_BOOL, _INT, _REAL, _TEXT = always(Type.BOOL), always(Type.INT), always(Type.REAL), always(Type.TEXT)
_ANY_NULL = "NULL if any operand is."
_IGNORED = "NULL is left out; NULL without values."
_PAIRS = "Rows with a NULL in either argument are left out."
_HOW = word("interpolation", "linear", order_statistics.INTERPOLATIONS)
_XY = (value("x"), value("y"))


def _scalar(
    name: str,
    parameters: tuple[Parameter, ...],
    result: TypeRule,
    build: Callable[[Usage], Any],
    definition: str,
    nulls: str = _ANY_NULL,
) -> Function:
    return Function(
        name=name,
        kind=Kind.SCALAR,
        parameters=parameters,
        result=result,
        build=build,
        definition=definition,
        nulls=nulls,
    )


def _aggregate(
    name: str,
    parameters: tuple[Parameter, ...],
    result: TypeRule,
    build: Callable[[Usage], Any],
    definition: str,
    nulls: str = _IGNORED,
) -> Function:
    return Function(
        name=name,
        kind=Kind.AGGREGATE,
        parameters=parameters,
        result=result,
        build=build,
        definition=definition,
        nulls=nulls,
    )


def _sequence(
    name: str,
    parameters: tuple[Parameter, ...],
    result: TypeRule,
    build: Callable[[Usage], Any],
    definition: str,
    nulls: str = _ANY_NULL,
) -> Function:
    return Function(
        name=name,
        kind=Kind.SEQUENCE,
        parameters=parameters,
        result=result,
        build=build,
        definition=definition,
        nulls=nulls,
    )


def _operators() -> list[Function]:
    order = "NULL is smaller than every value; with `unknown` NULL if any operand is."
    equal = "NULL equals NULL alone; with `unknown` NULL if any operand is."
    anything = (value("x", "any"), value("y", "any"))
    compare = scalars.comparison
    operators = [
        _scalar("or", _XY, _BOOL, scalars.disjunction, "x or y", "The other operand; with `unknown` see above."),
        _scalar("and", _XY, _BOOL, scalars.conjunction, "x and y", f"{_ANY_NULL[:-1]}; with `unknown` see above."),
        _scalar("xor", _XY, _BOOL, scalars.exclusive, "exactly one of x and y"),
        _scalar("not", (value(),), _BOOL, scalars.negation, "the opposite of x"),
        _scalar("lt", anything, _BOOL, compare("<"), "x < y", order),
        _scalar("le", anything, _BOOL, compare("<="), "x <= y", order),
        _scalar("gt", anything, _BOOL, compare(">"), "x > y", order),
        _scalar("ge", anything, _BOOL, compare(">="), "x >= y", order),
        _scalar("eq", anything, _BOOL, compare("=="), "x == y", equal),
        _scalar("ne", anything, _BOOL, compare("!="), "x != y", equal),
        _scalar("add", _XY, numeric, scalars.arithmetic(np.add), "x + y"),
        _scalar("sub", _XY, numeric, scalars.arithmetic(np.subtract), "x - y"),
        _scalar("mul", _XY, numeric, scalars.arithmetic(np.multiply), "x * y"),
        _scalar("div", _XY, numeric, scalars.division, "x / y, rounded down between integers", "NULL by zero."),
        _scalar("ratio", _XY, _REAL, scalars.real_division, "x \\ y, always real", "NULL by zero."),
        _scalar("mod", _XY, numeric, scalars.remainder, "x % y, with the sign of y", "NULL by zero."),
        _scalar("neg", (value(),), numeric, scalars.minus, "-x"),
        _scalar(
            "between",
            (value("x", "any"), value("low", "any"), value("high", "any")),
            _BOOL,
            scalars.between,
            "`between(x, low:high)`, both ends included",
            order,
        ),
        _scalar(
            "in",
            (value("x", "any"), Parameter(name="items", accepts="list", is_constant=True)),
            _BOOL,
            scalars.membership,
            "whether x is one of a list of constants: `x in [1, 2]`",
            "NULL is in the list only if the list has it; with `unknown` see above.",
        ),
    ]
    return [replace(o, sign=_SIGNS.get(o.name, ""), compares=o.name in _COMPARISONS) for o in operators]


def _numbers() -> list[Function]:
    x = (value(),)
    undefined = "NULL where it is not defined."
    keep, whole_of, of_real = scalars.number_function, scalars.to_integer, scalars.real_function
    return [
        _scalar("abs", x, numeric, keep(np.abs), "absolute value"),
        _scalar("sqrt", x, _REAL, of_real(np.sqrt), "square root", undefined),
        _scalar("floor", x, _INT, whole_of(np.floor), "largest whole number that is not larger"),
        _scalar("ceil", x, _INT, whole_of(np.ceil), "smallest whole number that is not smaller"),
        _scalar(
            "round",
            (value(), whole("precision", 0, -300, 300)),
            lambda types, constants: Type.REAL if constants["precision"] else Type.INT,
            scalars.rounding,
            "rounded half away from zero; an integer without decimals",
        ),
        _scalar("signum", x, _INT, scalars.sign_of, "-1, 0 or 1"),
        _scalar("exp", x, _REAL, of_real(np.exp), "e to the power of x", undefined),
        _scalar("log", x, _REAL, of_real(scalars.logarithm(math.e)), "natural logarithm", undefined),
        _scalar("log2", x, _REAL, of_real(scalars.logarithm(2.0)), "logarithm to base 2", undefined),
        _scalar("log10", x, _REAL, of_real(scalars.logarithm(10.0)), "logarithm to base 10", undefined),
        _scalar("pow", _XY, _REAL, scalars.power, "x to the power of y", undefined),
        _scalar("square", x, numeric, scalars.square, "x * x"),
        _scalar("int", x, _INT, whole_of(scalars.half_away), "rounded to a whole number, half away from zero"),
        _scalar("long", x, _INT, whole_of(scalars.half_away), "rounded to a whole number, half away from zero"),
        _scalar("double", x, _REAL, scalars.to_real, "as a real number"),
    ]


def _conditions() -> list[Function]:
    never = "Never NULL."
    two = (value("x"), value("y"))
    smallest = "NULL is the smallest value."
    return [
        _scalar(
            "iif",
            (value("condition"), value("x", "any"), value("y", "any")),
            branches,
            scalars.conditional,
            "x where the condition is true, y where it is false",
            "NULL where the condition is.",
        ),
        _scalar("isNull", (value("x", "any"),), _BOOL, scalars.is_null, "whether x is NULL", never),
        _scalar("isValid", (value("x", "any"),), _BOOL, scalars.is_valid, "whether x is not NULL", never),
        _scalar(
            "nullFill",
            (value("x", "any"), value("filling", "any")),
            branches,
            scalars.null_fill,
            "the filling where x is NULL",
            "NULL if both are.",
        ),
        _scalar("max", two, branches, scalars.larger_of(True), "the larger of two values of a row", smallest),
        _scalar("min", two, branches, scalars.larger_of(False), "the smaller of two values of a row", smallest),
    ]


def _texts() -> list[Function]:
    text = (value("text", "text"),)
    part = (value("text", "text"), value("part", "text"))
    return [
        _scalar("strlen", text, _INT, scalars.of_texts(len, Type.INT), "number of characters"),
        _scalar("lower", text, _TEXT, scalars.of_texts(str.lower, Type.TEXT), "in small letters"),
        _scalar("upper", text, _TEXT, scalars.of_texts(str.upper, Type.TEXT), "in capital letters"),
        _scalar(
            "startsWith",
            part,
            _BOOL,
            scalars.of_texts(str.startswith, Type.BOOL),
            "whether the text starts with the part",
        ),
        _scalar(
            "endsWith", part, _BOOL, scalars.of_texts(str.endswith, Type.BOOL), "whether the text ends with the part"
        ),
        _scalar(
            "like", (*text, word("pattern")), _BOOL, scalars.text_pattern, "whether the text fits; % is any characters"
        ),
    ]


def _pair_parameters(name: str) -> tuple[Parameter, ...]:
    return (value("y"), value("x")) if name == "beta" else _XY


def _spread(sample: bool, root: bool) -> Callable[[Usage], Any]:
    return lambda usage: aggregates.spread(sample, root)


def _percent(usage: Usage) -> Any:
    return order_statistics.quantile(usage.constants["percent"] / 100, usage.constants["interpolation"])


def _aggregates() -> list[Function]:
    x, anything = (value(),), (value("x", "any"),)
    build = aggregates
    total = aggregates.total
    edge_nulls = "The row's value, NULL or not."
    shared = [
        _aggregate("sum", x, numeric, lambda u: total(u.types), "sum; an integer for integers"),
        _aggregate("avg", x, _REAL, lambda u: build.average(u.types), "sum divided by the number of values"),
        _aggregate("mean", x, _REAL, lambda u: build.average(u.types), "the same as avg"),
        _aggregate("count", anything, _INT, lambda u: build.value_count(), "number of values", "0 without values."),
        _aggregate("size", anything, _INT, lambda u: build.row_count(), "number of rows", "NULL counts."),
        _aggregate("min", x, same, lambda u: build.extreme(u.types, False), "smallest value"),
        _aggregate("max", x, same, lambda u: build.extreme(u.types, True), "largest value"),
        _aggregate("first", anything, same, lambda u: build.edge(u.types, False), "the first row's value", edge_nulls),
        _aggregate("last", anything, same, lambda u: build.edge(u.types, True), "the last row's value", edge_nulls),
        _aggregate("std", x, _REAL, _spread(True, True), "standard deviation, divisor n - 1; NULL below 2 values"),
        _aggregate("stdp", x, _REAL, _spread(False, True), "standard deviation, divisor n"),
        _aggregate("var", x, _REAL, _spread(True, False), "variance, divisor n - 1; NULL below 2 values"),
        _aggregate("varp", x, _REAL, _spread(False, False), "variance, divisor n"),
        _aggregate("prod", x, numeric, lambda u: total(u.types, multiplies=True), "product"),
        _aggregate("sum2", x, _REAL, lambda u: total(u.types, "square"), "sum of squares"),
        _aggregate("sum3", x, _REAL, lambda u: total(u.types, "cube"), "sum of third powers"),
        _aggregate("sum4", x, _REAL, lambda u: total(u.types, "fourth"), "sum of fourth powers"),
        _aggregate("wsum", _XY, numeric, lambda u: total(u.types, "product"), "sum of x * y", _PAIRS),
        _aggregate("wavg", _XY, _REAL, lambda u: build.weighted(u.types), "mean of x weighted by y", _PAIRS),
        _aggregate("med", x, _REAL, lambda u: order_statistics.quantile(0.5, "linear"), "median: percentile 50"),
        _aggregate("rms", x, _REAL, lambda u: build.root_mean_square(), "square root of the mean of squares"),
    ]
    pairs = [("covar", "covariance, divisor n - 1"), ("covarp", "covariance, divisor n"), ("corr", "correlation")]
    pairs.append(("beta", "slope of y over x: covar / var(x)"))
    shared += [_pair_statistic(name, text) for name, text in pairs]
    return shared + _window_aggregates()


def _pair_statistic(name: str, text: str) -> Function:
    tiny = "" if name.startswith("cov") else " NULL if a variance is below 1e-12."
    return _aggregate(
        name, _pair_parameters(name), _REAL, lambda u: aggregates.pair_statistic(name), text, _PAIRS + tiny
    )


def _window_aggregates() -> list[Function]:
    x, anything = (value(),), (value("x", "any"),)
    other, stats = (value("x", "any"), word("skipped", None)), order_statistics
    skipping = "NULL is skipped."
    return [
        _aggregate(
            "percentile",
            (value(), real("percent", low=0, high=100), _HOW),
            _REAL,
            _percent,
            "value at position (n - 1) * percent / 100 of the sorted values",
        ),
        _aggregate(
            "quantile",
            (value(), real("q", low=0, high=1), _HOW),
            _REAL,
            lambda u: stats.quantile(u.constants["q"], u.constants["interpolation"]),
            "value at position (n - 1) * q of the sorted values",
        ),
        _aggregate(
            "nunique",
            (value("x", "any"), switch("ignoreNull", False)),
            _INT,
            lambda u: stats.distinct_count(u.constants["ignoreNull"]),
            "number of distinct values",
            "NULL counts as one value unless it is ignored.",
        ),
        _aggregate("mode", anything, same, lambda u: stats.most_frequent(), "most frequent value, of several smallest"),
        _aggregate("firstNot", _skip(other), same, _edge_not(False), "first value that is not k", skipping),
        _aggregate("lastNot", _skip(other), same, _edge_not(True), "last value that is not k", skipping),
        _aggregate("any", x, _BOOL, lambda u: aggregates.truth_test(False), "whether any value is true"),
        _aggregate("all", x, _BOOL, lambda u: aggregates.truth_test(True), "whether all values are true"),
        _aggregate("imax", x, _INT, lambda u: stats.extreme_position(True), "position of the first largest, from 0"),
        _aggregate("imin", x, _INT, lambda u: stats.extreme_position(False), "position of the first smallest, from 0"),
        _aggregate("sem", x, _REAL, lambda u: aggregates.spread(True, True, True), "std / sqrt(n)"),
        _aggregate("skew", (value(), switch("biased", True)), _REAL, _shape(3), "skewness; NULL if var is below 1e-12"),
        _aggregate(
            "kurtosis", (value(), switch("biased", True)), _REAL, _shape(4), "kurtosis, 3 for the normal distribution"
        ),
        _aggregate(
            "mad",
            (value(), switch("useMedian", False)),
            _REAL,
            lambda u: stats.absolute_deviation(u.constants["useMedian"]),
            "mean absolute deviation from the mean, or median from the median",
        ),
    ]


def _skip(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    return (parameters[0], Parameter(name="k", accepts="constant", is_constant=True, default=None))


def _edge_not(is_last: bool) -> Callable[[Usage], Any]:
    return lambda u: aggregates.edge(u.types, is_last, True, u.constants["k"])


def _shape(exponent: int) -> Callable[[Usage], Any]:
    return lambda u: order_statistics.shape(exponent, u.constants["biased"])


def _earlier(usage: Usage, distance: int) -> Any:
    if distance == 1:
        return sequences.PreviousState(usage.types[0])
    return sequences.EarlierState(usage.types[0], distance)


def _compared(combine: Callable[[Usage], Any]) -> Callable[[Usage], Any]:
    return lambda u: sequences.ComparedState(_earlier(u, u.constants.get("n", 1)), combine(u))


def _lookbacks() -> list[Function]:
    x, anything, n = (value(),), (value("x", "any"),), whole("n", 1, 0)
    started = "NULL before there is such a row."
    return [
        _sequence("prev", anything, same, lambda u: _earlier(u, 1), "value of the row before", started),
        _sequence(
            "move",
            (value("x", "any"), whole("steps", low=0)),
            same,
            lambda u: _earlier(u, u.constants["steps"]),
            "value `steps` rows earlier",
            started,
        ),
        _sequence(
            "deltas", (value(), n), numeric, _compared(lambda u: scalars.difference_from(u.is_real)), "x - move(x, n)"
        ),
        _sequence("ratios", x, _REAL, _compared(lambda u: scalars.ratio_to(0.0)), "x \\ prev(x)"),
        _sequence(
            "percentChange", (value(), n), _REAL, _compared(lambda u: scalars.ratio_to(1.0)), "x \\ move(x, n) - 1"
        ),
        _sequence(
            "ffill",
            (value("x", "any"), whole("limit", None, 1)),
            same,
            lambda u: sequences.FilledState(u.types[0], u.constants["limit"]),
            "last value that is not NULL, at most `limit` rows old",
            "NULL before the first value.",
        ),
        _sequence(
            "ema",
            (value(), whole("window", low=1), switch("warmup", False)),
            _REAL,
            lambda u: smoothing.exponential_average(u.constants["window"], u.constants["warmup"]),
            "mean of the first `window` values, then smoothing by 2 / (window + 1)",
            "NULL at a NULL, which changes nothing.",
        ),
        _sequence(
            "ewmMean",
            (
                value(),
                real("com", None, 0),
                real("span", None, 1),
                real("halfLife", None, 0),
                real("alpha", None, 0, 1),
            ),
            _REAL,
            _weighted_average,
            "mean of all values so far weighted by powers of 1 - alpha; give one of com, span, halfLife, alpha",
            "A NULL ages the weights and repeats the last result.",
        ),
    ]


def _weighted_average(usage: Usage) -> Any:
    rates: dict[str, Callable[[float], float]] = {
        "com": lambda com: 1 / (1 + com),
        "span": lambda span: 2 / (span + 1),
        "halfLife": lambda half: 1 - math.exp(-math.log(2) / half),
        "alpha": lambda alpha: alpha,
    }
    given = [(name, usage.constants[name]) for name in rates if usage.constants[name] is not None]
    if len(given) != 1 or not 0 < rates[given[0][0]](given[0][1]) <= 1:
        raise ValueError("give exactly one of com, span, halfLife and alpha, with 0 < alpha <= 1")
    return smoothing.weighted_average(rates[given[0][0]](given[0][1]))


_MERGEABLE = [
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "std",
    "stdp",
    "var",
    "varp",
    "prod",
    "wsum",
    "wavg",
    "corr",
    "covar",
    "beta",
]
_RANGED = [*_MERGEABLE, "first", "last", "med", "percentile"]
"""Aggregates over ranges of rows of a key: the last ones (`m...`), or those of some time (`tm...`)."""


def _constants(base: Function) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
    """Return the constants of an aggregate that stand before and after the window of its moving form."""
    own = [parameter for parameter in base.parameters if parameter.is_constant]
    return tuple(p for p in own if p.name != "interpolation"), tuple(p for p in own if p.name == "interpolation")


def _moving(base: Function) -> Function:
    before, after = _constants(base)
    window = whole("window", low=2, high=WINDOW_ROWS_MAX)
    period = whole("minPeriods", 1 if base.name == "count" else None, 1)
    return _sequence(
        f"m{base.name}",
        (*base.values, *before, window, *after, period),
        base.result,
        lambda u: sequences.MovingState(base.build(u), u.types, u.constants["window"], u.constants["minPeriods"]),
        f"{base.name} over the last `window` rows of the key",
        "NULL before `window` rows; with minPeriods NULL below that many values. " + base.nulls,
    )


def _timed(base: Function) -> Function:
    before, after = _constants(base)

    def build(usage: Usage) -> Any:
        inner = Usage(types=usage.types[1:], constants=usage.constants, nulls_smallest=usage.nulls_smallest)
        is_count = base.name == "count"
        return sequences.TimedState(base.build(inner), usage.types, usage.constants["window"], is_count)

    return _sequence(
        f"tm{base.name}",
        (value("T", "time"), *base.values, *before, whole("window", low=1), *after),
        lambda types, constants: base.result(types[1:], constants),
        build,
        f"{base.name} over the key's rows so far whose T is in (T - window, T]",
        base.nulls,
    )


def _running(base: Function) -> Function:
    return _sequence(
        f"cum{base.name}",
        base.parameters,
        base.result,
        lambda u: sequences.CumulativeState(base.build(u)),
        f"{base.name} over all rows of the key so far",
        base.nulls,
    )


def _rank() -> Function:
    return _sequence(
        "mrank",
        (
            value(),
            switch("ascending", True),
            whole("window", low=2, high=WINDOW_ROWS_MAX),
            switch("ignoreNA", True),
            word("tiesMethod", "min", ("min", "max", "average")),
            switch("percent", False),
            whole("minPeriods", None, 1),
        ),
        lambda types, constants: order_statistics.rank_type(constants["tiesMethod"], constants["percent"]),
        _build_rank,
        "rank, from 0, of the row's value among the last `window` rows",
        "NULL for NULL, unless ignoreNA is false: then NULL is the smallest value.",
    )


def _build_rank(usage: Usage) -> Any:
    given = usage.constants
    rank = order_statistics.last_rank(given["ascending"], given["ignoreNA"], given["tiesMethod"], given["percent"])
    return sequences.MovingState(rank, usage.types, given["window"], given["minPeriods"])


def _all_functions() -> list[Function]:
    base = _aggregates()
    by_name = {function.name: function for function in base}
    derived = [made(by_name[name]) for made in (_moving, _timed) for name in _RANGED]
    derived += [_running(by_name[name]) for name in _MERGEABLE]
    return [*_operators(), *_numbers(), *_conditions(), *_texts(), *base, *_lookbacks(), *derived, _rank()]


_ROW_FORMS: dict[Kind, Mapping[str, Any]] = {
    Kind.SCALAR: SCALAR_FORMS,
    Kind.AGGREGATE: FINISH_FORMS,
    Kind.SEQUENCE: SEQUENCE_FORMS,
}

FUNCTIONS: tuple[Function, ...] = tuple(replace(f, row_form=_ROW_FORMS[f.kind].get(f.name)) for f in _all_functions())
"""Every function and operator of the expression language."""


def _index() -> dict[str, list[Function]]:
    index: dict[str, list[Function]] = {}
    for function in FUNCTIONS:
        index.setdefault(function.name.lower(), []).append(function)
        if function.sign and function.sign != function.name:
            index.setdefault(function.sign, []).append(function)
    return index


BY_NAME: dict[str, list[Function]] = _index()
"""Functions by name in small letters, and by operator sign; several when arities differ in meaning."""

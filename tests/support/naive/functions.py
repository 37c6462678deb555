"""The table of all functions: what they take, what type they give, and the code that computes them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

from tests.support.naive import aggregates, ordered, scalars, texts
from tests.support.naive.numbers import Rounded
from tests.support.naive.refusal import Refused

NUMBERS = frozenset({"bool", "int", "double", "null"})
TEXTS = frozenset({"string", "null"})
ANYTHING = NUMBERS | {"string"}
FORBIDDEN = frozenset({"next", "talibnull", "lineartimetrend", "iterate"})

Types = Sequence[str]
Rule = Callable[[Types], str]


@dataclass(frozen=True, slots=True)
class Option:
    """A constant argument; without a default it must be given."""

    name: str
    accepts: Callable[[Any], bool]
    default: Any = ...


@dataclass(frozen=True, slots=True)
class Function:
    """One function; `kind` is scalar, aggregate or ordered, `series` the accepted types of its arguments per row."""

    kind: str
    series: tuple[frozenset[str], ...]
    result: Rule
    apply: Callable[..., Any]
    options: tuple[Option, ...] = ()


def unify(types: Types) -> str:
    """Return the type that holds values of all these types."""
    rest = {kind for kind in types if kind != "null"}
    if not rest:
        return "null"
    if rest <= {"bool", "int", "double"}:
        return max(rest, key=("bool", "int", "double").index)
    if len(rest) == 1:
        return rest.pop()
    raise Refused("bad_type", f"{sorted(rest)} do not go together")


def same(types: Types) -> str:
    return types[0]


def real(_: Types) -> str:
    return "double"


def whole(_: Types) -> str:
    return "int"


def flag(_: Types) -> str:
    return "bool"


def number(types: Types) -> str:
    return "double" if "double" in types else "int"


def comparable(types: Types) -> str:
    unify(types)
    return "bool"


def switch(value: Any) -> bool:
    return isinstance(value, bool) or value in (0, 1)


def natural(low: int, high: float = math.inf) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def share(high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= high


def word(*words: str) -> Callable[[Any], bool]:
    return lambda value: value in words


INTERPOLATION = Option("interpolation", word("linear", "lower", "higher", "midpoint", "nearest"), "linear")
WINDOW = Option("window", natural(2, 102_400))
USES_MEDIAN = Option("useMedian", switch, False)
TIME_WINDOW = Option("window", natural(1))
MINIMUM = Option("minPeriods", natural(1), None)
PERCENT = Option("percent", share(100))
STEPS = Option("steps", natural(0))
N = Option("n", natural(0), 1)


def _percentile(x: Any, percent: Any, interpolation: str = "linear") -> Any:
    return aggregates.at_position(x, percent, 100, interpolation)


def _quantile(x: Any, q: Any, interpolation: str) -> Any:
    return aggregates.at_position(x, q, 1, interpolation)


def _aggregates() -> dict[str, Function]:
    def on_numbers(result: Rule, apply: Callable[..., Any], *options: Option) -> Function:
        return Function("aggregate", (NUMBERS,), result, apply, options)

    def on_anything(result: Rule, apply: Callable[..., Any], *options: Option) -> Function:
        return Function("aggregate", (ANYTHING,), result, apply, options)

    def on_two(apply: Callable[..., Any]) -> Function:
        return Function("aggregate", (NUMBERS, NUMBERS), real, apply)

    ignore = Option("ignoreNull", switch, False)
    unwanted = Option("k", lambda value: value is not None, None)
    table = {
        "sum": on_numbers(number, aggregates.total),
        "prod": on_numbers(number, aggregates.product),
        "avg": on_numbers(real, aggregates.mean),
        "count": on_anything(whole, aggregates.count),
        "size": on_anything(whole, len),
        "min": on_numbers(same, aggregates.smallest),
        "max": on_numbers(same, aggregates.largest),
        "first": on_anything(same, aggregates.first),
        "last": on_anything(same, aggregates.last),
        "firstnot": on_anything(same, aggregates.first_not, unwanted),
        "lastnot": on_anything(same, aggregates.last_not, unwanted),
        "mode": on_anything(same, aggregates.most_frequent),
        "nunique": on_anything(whole, aggregates.distinct, ignore),
        "imax": on_numbers(whole, partial(aggregates.position_of, pick=max)),
        "imin": on_numbers(whole, partial(aggregates.position_of, pick=min)),
        "any": on_numbers(flag, aggregates.holds_for_any),
        "all": on_numbers(flag, aggregates.holds_for_all),
        "med": on_numbers(real, aggregates.median),
        "percentile": on_numbers(real, _percentile, PERCENT, INTERPOLATION),
        "quantile": on_numbers(real, _quantile, Option("q", share(1)), INTERPOLATION),
        "sem": on_numbers(real, aggregates.standard_error),
        "rms": on_numbers(real, aggregates.root_mean_square),
        "mad": on_numbers(real, aggregates.absolute_deviation, Option("useMedian", switch, False)),
        "skew": on_numbers(real, aggregates.skewness, Option("biased", switch, True)),
        "kurtosis": on_numbers(real, aggregates.kurtosis, Option("biased", switch, True)),
        "wsum": on_two(aggregates.weighted_sum),
        "wavg": on_two(aggregates.weighted_mean),
        "corr": on_two(aggregates.correlation),
        "beta": on_two(aggregates.slope),
        "covar": on_two(partial(aggregates.covariance, missing=1)),
        "covarp": on_two(partial(aggregates.covariance, missing=0)),
    }
    for name, missing in (("", 1), ("p", 0)):
        table[f"std{name}"] = on_numbers(real, partial(aggregates.deviation, missing=missing))
        table[f"var{name}"] = on_numbers(real, partial(aggregates.variance, missing=missing))
    for power in (2, 3, 4):
        table[f"sum{power}"] = on_numbers(real, partial(aggregates.power_sum, power=power))
    table["mean"] = table["avg"]
    # The engine looks it up among the windows that it has computed.
    table["earlier"] = on_anything(same, lambda *_: None, Option("n", natural(1, 10_000), 1))
    return table


AGGREGATES = _aggregates()


def _moving(name: str) -> Function:
    base = AGGREGATES[name]

    def apply(*arguments: Any) -> Any:
        *series, window, minimum = arguments
        return ordered.moving(base.apply, series, window, minimum)

    minimum = Option("minPeriods", natural(1), 1 if name == "count" else None)
    return Function("ordered", base.series, base.result, apply, (WINDOW, minimum))


def _time_moving(name: str) -> Function:
    base = AGGREGATES[name]

    def apply(times: Any, *arguments: Any) -> Any:
        *series, window = arguments
        return ordered.time_moving(base.apply, times, series, window)

    return Function("ordered", (frozenset({"int"}), *base.series), base.result, apply, (TIME_WINDOW,))


def _cumulative(name: str) -> Function:
    base = AGGREGATES[name]
    return Function("ordered", base.series, base.result, lambda *series: ordered.cumulative(base.apply, series))


def _moving_percentile(x: Any, percent: Any, window: int, interpolation: str, minimum: int | None) -> Any:
    return ordered.moving(partial(_percentile, percent=percent, interpolation=interpolation), [x], window, minimum)


def _time_moving_percentile(times: Any, x: Any, percent: Any, window: int, interpolation: str) -> Any:
    aggregate = partial(_percentile, percent=percent, interpolation=interpolation)
    return ordered.time_moving(aggregate, times, [x], window)


def _moving_deviation(x: Any, window: int, uses_median: Any, minimum: int | None) -> Any:
    return ordered.moving(partial(aggregates.absolute_deviation, use_median=uses_median), [x], window, minimum)


def _time_moving_deviation(times: Any, x: Any, window: int, uses_median: Any) -> Any:
    return ordered.time_moving(partial(aggregates.absolute_deviation, use_median=uses_median), times, [x], window)


def _earlier(x: Any) -> Any:
    """Return all rows but the last."""
    return [None, *x[:-1]]


def _score(x: Any, middle: Any, deviation: Any) -> Any:
    return scalars.divide_reals(ordered.subtract(x[-1], middle), deviation)


def _zscore(x: Any, window: int, minimum: int | None) -> Any:
    before = [_earlier(x)]
    middle = ordered.moving(aggregates.mean, before, window, minimum)
    return _score(x, middle, ordered.moving(partial(aggregates.deviation, missing=1), before, window, minimum))


def _median_score(x: Any, window: int, minimum: int | None) -> Any:
    before = _earlier(x)
    deviation = _moving_deviation(before, window, True, minimum)
    middle = ordered.moving(aggregates.median, [before], window, minimum)
    return _score(x, middle, None if deviation is None else real_of(Fraction(1.482602218505602) * Fraction(deviation)))


def real_of(exact: Fraction) -> Any:
    return Rounded(float(exact)) if exact else 0.0


def _weighted_score(x: Any, com: Any, span: Any, half_life: Any, alpha: Any) -> Any:
    before = _earlier(x)
    rates = (com, span, half_life, alpha)
    return _score(x, _weighted(before, *rates), ordered.exponentially_weighted_deviation(before, _share(*rates)))


def _share(com: Any, span: Any, half_life: Any, alpha: Any) -> Fraction:
    if alpha is not None:
        return Fraction(alpha)
    if com is not None:
        return 1 / (1 + Fraction(com))
    return 2 / (Fraction(span) + 1) if span is not None else Fraction(1 - math.exp(-math.log(2) / half_life))


def _weighted(x: Any, com: Any, span: Any, half_life: Any, alpha: Any) -> Any:
    return ordered.exponentially_weighted_mean(x, _share(com, span, half_life, alpha))


def _positive(value: Any) -> bool:
    return share(10**9)(value) and value > 0


RATES = (
    Option("com", share(10**9), None),
    Option("span", lambda value: _positive(value) and value >= 1, None),
    Option("halfLife", _positive, None),
    Option("alpha", lambda value: _positive(value) and value <= 1, None),
)


def _on(accepted: frozenset[str], result: Rule, apply: Callable[..., Any], *options: Option) -> Function:
    return Function("ordered", (accepted,), result, apply, options)


def _looking_back() -> dict[str, Function]:
    timed = (frozenset({"int"}), ANYTHING)
    limits = (Option("tolerance", natural(0), None), Option("every", natural(1), None))
    return {
        "mmad": _on(NUMBERS, real, _moving_deviation, WINDOW, USES_MEDIAN, MINIMUM),
        "zscore": _on(NUMBERS, real, _zscore, WINDOW, MINIMUM),
        "madscore": _on(NUMBERS, real, _median_score, WINDOW, MINIMUM),
        "ewmscore": _on(NUMBERS, real, _weighted_score, *RATES),
        "ewmstd": _on(
            NUMBERS, real, lambda x, *given: ordered.exponentially_weighted_deviation(x, _share(*given)), *RATES
        ),
        "increase": _on(NUMBERS, number, ordered.increase),
        "rate": Function("ordered", (NUMBERS, frozenset({"int"})), real, ordered.rate),
        "tmove": Function("ordered", timed, lambda types: types[-1], ordered.time_move, (TIME_WINDOW, *limits)),
        "tmprev": Function("ordered", timed, lambda types: types[-1], ordered.time_previous, (TIME_WINDOW,)),
    }


def _ordered() -> dict[str, Function]:
    on = _on
    rank_options = (
        Option("ascending", switch, True),
        WINDOW,
        Option("ignoreNA", switch, True),
        Option("tiesMethod", word("min", "max", "average"), "min"),
        Option("percent", switch, False),
        MINIMUM,
    )
    table = {
        "prev": on(ANYTHING, same, partial(ordered.move, steps=1)),
        "move": on(ANYTHING, same, ordered.move, STEPS),
        "deltas": on(NUMBERS, number, ordered.deltas, N),
        "ratios": on(NUMBERS, real, ordered.ratios),
        "percentchange": on(NUMBERS, real, ordered.percent_change, N),
        "ffill": on(ANYTHING, same, ordered.forward_fill, Option("limit", natural(1), None)),
        "mrank": on(NUMBERS, real, ordered.moving_rank, *rank_options),
        "ema": on(NUMBERS, real, ordered.exponential, Option("window", natural(1)), Option("warmup", switch, False)),
        "ewmmean": on(
            NUMBERS,
            real,
            _weighted,
            *RATES,
        ),
        "mpercentile": on(NUMBERS, real, _moving_percentile, PERCENT, WINDOW, INTERPOLATION, MINIMUM),
    }
    ranged = ("sum", "avg", "min", "max", "std", "stdp", "var", "varp", "count", "prod")
    for name in (*ranged, "med", "first", "last", "corr", "covar", "wavg", "wsum", "beta"):
        table[f"m{name}"] = _moving(name)
        table[f"tm{name}"] = _time_moving(name)
    for name in (*ranged, "corr", "covar", "wavg", "wsum", "beta"):
        table[f"cum{name}"] = _cumulative(name)
    series = (frozenset({"int"}), NUMBERS)
    table["tmmad"] = Function("ordered", series, real, _time_moving_deviation, (TIME_WINDOW, USES_MEDIAN))
    table |= _looking_back()
    table["tmpercentile"] = Function(
        "ordered", series, real, _time_moving_percentile, (PERCENT, TIME_WINDOW, INTERPOLATION)
    )
    return table


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _text(_: Types) -> str:
    return "string"


def _of_texts_and_times() -> dict[str, Function]:
    def on(accepted: Sequence[frozenset[str]], result: Rule, apply: Callable[..., Any], *options: Option) -> Function:
        return Function("scalar", tuple(accepted), result, apply, options)

    moment, zone = (frozenset({"int"}),), Option("zone", _is_text, "UTC")
    return {
        "contains": on((TEXTS, TEXTS), flag, scalars.strict(lambda value, part: part in value)),
        "matches": on((TEXTS,), flag, scalars.strict(texts.matches), Option("pattern", _is_text)),
        "substr": on(
            (TEXTS,),
            _text,
            _optional(texts.substring),
            Option("start", natural(-999)),
            Option("length", natural(0), None),
        ),
        "split": on(
            (TEXTS,), _text, scalars.strict(texts.split_part), Option("separator", bool), Option("index", natural(-999))
        ),
        "hour": on(moment, whole, scalars.strict(lambda *time: texts.clock(*time).hour), zone),
        "minute_of_day": on(
            moment, whole, scalars.strict(lambda *time: texts.clock(*time).hour * 60 + texts.clock(*time).minute), zone
        ),
        "weekday": on(moment, whole, scalars.strict(lambda *time: texts.clock(*time).isoweekday()), zone),
        "date": on(moment, _text, scalars.strict(lambda *time: texts.clock(*time).date().isoformat()), zone),
        "strlen": on((TEXTS,), whole, scalars.strict(len)),
        "lower": on((TEXTS,), same, scalars.strict(str.lower)),
        "upper": on((TEXTS,), same, scalars.strict(str.upper)),
        "startswith": on((TEXTS, TEXTS), flag, scalars.strict(str.startswith)),
        "endswith": on((TEXTS, TEXTS), flag, scalars.strict(str.endswith)),
        "like": on((TEXTS,), flag, scalars.strict(scalars.like), Option("pattern", _is_text)),
    }


def _scalars() -> dict[str, Function]:
    def on(accepted: Sequence[frozenset[str]], result: Rule, apply: Callable[..., Any], *options: Option) -> Function:
        return Function("scalar", tuple(accepted), result, apply, options)

    to_whole = scalars.strict(lambda value: texts.to_whole(value, scalars.rounding))
    anything = (ANYTHING,)
    one_number, two_numbers = (NUMBERS,), (NUMBERS, NUMBERS)
    two = (ANYTHING, ANYTHING)
    arithmetic = {"add": lambda a, b: a + b, "mul": lambda a, b: a * b, "sub": lambda a, b: a - b}
    table = {name: on(two_numbers, number, scalars.exactly(apply)) for name, apply in arithmetic.items()}
    table |= {
        "div": on(two_numbers, number, _divide),
        "ratio": on(two_numbers, real, scalars.divide_reals),
        "mod": on(two_numbers, number, scalars.modulo),
        "neg": on(one_number, number, scalars.negate),
        "and": on(two_numbers, flag, scalars.both),
        "or": on(two_numbers, flag, scalars.either),
        "xor": on(two_numbers, flag, scalars.differ),
        "not": on(one_number, flag, scalars.negation),
        "abs": on(one_number, number, scalars.absolute),
        "sqrt": on(one_number, real, scalars.root),
        "floor": on(one_number, whole, scalars.floor),
        "ceil": on(one_number, whole, scalars.ceiling),
        "signum": on(one_number, whole, scalars.sign),
        "iif": on((NUMBERS, ANYTHING, ANYTHING), lambda types: unify(types[1:]), scalars.choose),
        "isnull": on((ANYTHING,), flag, lambda value: value is None),
        "isvalid": on((ANYTHING,), flag, lambda value: value is not None),
        "nullfill": on(two, unify, lambda value, filler: filler if value is None else value),
        "exp": on(one_number, real, scalars.analytic(math.exp)),
        "log": on(one_number, real, scalars.logarithm(math.log)),
        "log2": on(one_number, real, scalars.logarithm(math.log2)),
        "log10": on(one_number, real, scalars.logarithm(math.log10)),
        "pow": on(two_numbers, real, scalars.analytic(math.pow)),
        "square": on(one_number, number, lambda value: table["mul"].apply(value, value)),
        "int": on(anything, whole, to_whole),
        "long": on(anything, whole, to_whole),
        "double": on(anything, real, scalars.strict(texts.to_real)),
        "text": on(anything, _text, scalars.strict(texts.to_text)),
    }
    comparisons = {"lt": (-1,), "le": (-1, 0), "gt": (1,), "ge": (0, 1), "eq": (0,), "ne": (-1, 1)}
    for name, outcomes in comparisons.items():
        table[name] = on(two, comparable, scalars.comparison(outcomes.__contains__, unknown=False))
    return table | _of_texts_and_times()


def _optional(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function give NULL for a first argument that is NULL; constants may be missing."""
    return lambda value, *constants: None if value is None else function(value, *constants)


MOMENTS = frozenset({"hour", "minute_of_day", "weekday", "date", "rate"})
"""Functions of times, which get the ticks of a second before the zone."""


@scalars.strict
def _divide(left: Any, right: Any) -> Any:
    is_real = isinstance(left, float) or isinstance(right, float)
    return scalars.divide_reals(left, right) if is_real else scalars.divide_integers(left, right)


SCALARS = _scalars()
ORDERED = _ordered()
ROUND_WHOLE = Function("scalar", (NUMBERS,), whole, scalars.rounding, (Option("precision", natural(-10, 10), 0),))
ROUND_REAL = Function("scalar", (NUMBERS,), real, scalars.rounding, ROUND_WHOLE.options)
LARGER = Function("scalar", (NUMBERS, NUMBERS), unify, scalars.larger)
SMALLER = Function("scalar", (NUMBERS, NUMBERS), unify, scalars.smaller)


def find_function(name: str, argument_count: int) -> Function:
    """Return the function of a name (in lower case) and number of arguments.

    Raises:
        Refused: with code `forbidden_function` or `unknown_function`.
    """
    if name in FORBIDDEN:
        raise Refused("forbidden_function", name)
    if name == "round":
        return ROUND_WHOLE if argument_count < 2 else ROUND_REAL
    if name in ("max", "min") and argument_count == 2:
        return LARGER if name == "max" else SMALLER
    for table in (AGGREGATES, ORDERED, SCALARS):
        if name in table:
            return table[name]
    raise Refused("unknown_function", name)

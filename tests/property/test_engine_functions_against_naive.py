"""Every function on its own: a ladder of thresholds, the NULL test and equality pin its values down, row by row.

The generated cases of `test_engine_against_naive` join functions freely but meet each of them seldom.
"""

from dataclasses import replace

import pytest

from tests.support.choices import Choices, SeededChoices, happens, pick
from tests.support.engine_case import EngineCase, naive_output, through_snapshots
from tests.support.naive_engine import Fragile

SCHEMA = {
    "t": "TIMESTAMP",
    "k": "SYMBOL",
    "x": "INT",
    "y": "INT",
    "r": "DOUBLE",
    "b": "BOOL",
    "c": "BOOL",
    "s": "STRING",
}
ROW_COUNT = 36
LADDER = (-7.37, -1.13, -0.37, 0.13, 0.63, 1.13, 1.63, 2.63, 4.37, 9.37)
HOWS = ("linear", "lower", "higher", "midpoint", "nearest")

AGGREGATES = (
    *("sum({})", "avg({})", "mean({})", "count({})", "size({})", "min({})", "max({})", "first({})", "last({})"),
    *("std({})", "stdp({})", "var({})", "varp({})", "med({})", "nunique({})", "nunique({}, true)", "firstNot({})"),
    *(
        "lastNot({})",
        "firstNot({}, 0)",
        "lastNot({}, 2)",
        "sum2({})",
        "sum3({})",
        "sum4({})",
        "skew({})",
        "kurtosis({})",
    ),
    *(
        "skew({}, false)",
        "kurtosis({}, false)",
        "mad({})",
        "mad({}, true)",
        "sem({})",
        "rms({})",
        "mode({})",
        "prod({})",
    ),
    *("imax({})", "imin({})", "percentile({}, 90)", "percentile({}, 0)", "percentile({}, 100)", "percentile({}, 12.5)"),
    *("quantile({}, 0.25)", "quantile({}, 0.95)", "sum(deltas({}))", "avg(prev({}))", "max(cumsum({}))", "sum({} > 2)"),
    *(f'percentile({{}}, {percent}, "{how}")' for how in HOWS for percent in (25, 50, 60)),
    *(f"{name}({{}}, {{other}})" for name in ("wsum", "wavg", "covar", "covarp", "corr", "beta")),
)
MOVING = ("msum", "mavg", "mmin", "mmax", "mstd", "mstdp", "mvar", "mcount", "mmed")
ORDERED = (
    *("prev({})", "move({}, 3)", "move({}, 1)", "deltas({})", "deltas({}, 2)", "ratios({})", "percentChange({})"),
    *("percentChange({}, 2)", "ffill({})", "ffill({}, 1)", "ffill({}, 2)"),
    *(f"{name}({{}}, {window})" for name in (*MOVING, "mfirst", "mlast") for window in (2, 4)),
    *(f"{name}({{}}, 4, {minimum})" for name in MOVING for minimum in (1, 3)),
    *(f"{name}({{}}, {{other}}, 4)" for name in ("mcorr", "mwavg", "mwsum", "mbeta")),
    *(f"{name}({{}}, {{other}}, 4, minPeriods=2)" for name in ("mcorr", "mwavg", "mwsum", "mbeta")),
    *(f"{name}({{}})" for name in ("cumsum", "cumavg", "cummax", "cummin", "cumcount", "cumstd")),
    *(
        f"tm{name}(t, {{}}, {w})"
        for name in ("sum", "avg", "count", "min", "max", "std", "first", "last")
        for w in (1, 4)
    ),
    *("tmsum(t, {}, 2s)", "tmsum(t, {}, 3ms)", "tmpercentile(t, {}, 50, 4)", 'tmpercentile(t, {}, 25, 4, "higher")'),
    *(f"mpercentile({{}}, 30, 4, '{how}')" for how in HOWS),
    *("mpercentile({}, percent=30, window=4, minPeriods=1)", "cumwsum({}, {other})"),
    *(
        "mrank({}, true, 4)",
        "mrank({}, false, 4)",
        "mrank({}, true, 4, ignoreNA=false)",
        "mrank({}, true, 4, minPeriods=1)",
    ),
    *(f"mrank({{}}, true, 4, tiesMethod='{ties}')" for ties in ("min", "max", "average")),
    *("ema(nullFill({}, 1), 3)", "ema(nullFill({}, 1), 3, warmup=true)", "ewmMean({}, com=1)", "ewmMean({}, span=3)"),
    *("ewmMean({}, halfLife=2)", "ewmMean({}, alpha=0.3)", "prev(mavg({}, 3))", "msum(deltas({}), 3)"),
    *("increase({})", "rate({}, t)", "zscore({}, 3)", "zscore({}, 4, minPeriods=2)", "madScore({}, 3)"),
    *("madScore({}, 5, 2)", "ewmScore({}, span=3)", "ewmStd({}, alpha=0.4)", "ewmStd({}, halfLife=2)", "mmad({}, 4)"),
    *("mmad({}, 4, true, 2)", "tmmad(t, {}, 4ms)", "tmmad(t, {}, 4, true)", "tmprev(t, {}, 1)", "tmprev(t, {}, 2ms)"),
    *(f"tmove(t, {{}}, {given})" for given in ("1", "3", "3ms, tolerance=1ms", "5, 0", "4, every=3", "7, 2, 2")),
    *("deltas(t)", "(t - prev(t))", "cumsum({} > 2)", "msum({} > prev({}), 3)"),
)
SCALARS = (
    *("({} + {other})", "({} - {other})", "({} * {other})", "({} / {other})", "({} \\ {other})", "({} % {other})"),
    *("-{}", "abs({})", "sqrt({})", "floor({})", "ceil({})", "round({})", "round({}, 1)", "round({}, 0)", "signum({})"),
    *("(round({}) / 2)", "(abs({}) / 2)", "(-{} / 2)", "({} % 3)", "({} % -3)", "({} / -3)", "(nullFill({}, 7) / 2)"),
    *(
        "iif({} > 2, {other}, 1)",
        "(iif({} > 2, x, r) / 2)",
        "(iif({} > 2, x, y) / 2)",
        "iif(b, {}, {other})",
        "iif({}, 1, 2)",
    ),
    *("nullFill({}, 7)", "nullFill({}, {other})", "max({}, {other})", "min({}, {other})", "(max({}, 0) / 2)"),
    *("exp({} / 4)", "log({})", "log2({})", "log10({})", "pow({}, 2)", "pow({}, 0.5)", "square({})", "double({})"),
    *("hour(t)", "minute_of_day(t, 'Asia/Kathmandu')", "weekday(t)", "(hour(t, 'America/St_Johns') + {})"),
    *("long({})", "double(text({}))", "long(text({}))", "strlen(text({}))", "long(s)", "int(double(substr(s, 0)))"),
    *("strlen(s)", "({} + b)", "(b + c)", "(b * {})", "((x > y) + 1)", "between({}, 1:3)", "({} in [1, 2.5, NULL])"),
)
BOOLEANS = (
    *(
        "b and c",
        "b or c",
        "b && c",
        "b || c",
        "xor(b, c)",
        "not b",
        "!b",
        "not b and c",
        "!b and c",
        "and(b, c)",
        "or(b, c)",
    ),
    *("x not in [1, 3]", "s not in ['A', NULL]", "r not in [NULL]", "not x not in [1]", "x > 0 and s not in ['A']"),
    *("contains(s, 'x')", "contains(s, s)", "matches(s, '^[A-U]')", "matches(s, 'x$|b')", "matches(s, '')"),
    *("substr(s, 1) == ''", "substr(s, -1) == 'x'", "substr(s, 0, 2) == 'US'", "split(s, ' ', 1) == 'x'"),
    *("isNull(split(s, ' ', -2))", "date(t) == '1970-01-01'", "date(t, 'Pacific/Honolulu') < date(t)"),
    *("text(b) == 'true'", "text(x) > '1'", "col('x') > 1", "col('S') == 'A'", "count(*) > 3", "sum(x) > count(*)"),
    *("b == c", "b != c", "b < c", "b <= c", "b", "prev(b)", "ffill(b)", "nullFill(b, true)", "iif(b, c, true)"),
    *("x and y", "x or r", "not x", "!r", "x < y", "x <= y", "x > y", "x >= y", "x == y", "x != y", "x <> r", "x == r"),
    *("between(x, y:3)", "between(x, NULL:3)", "between(r, -1:y)", "in(x, [1, 3])", "x in [NULL, 2]", "r in [1, 2]"),
    *("x in [1.0, 2.5]", "s in ['A', `b]", "s in ['A', NULL]", "s == 'A'", "s != `b", "s < 'b'", "s >= ''", "s == ''"),
    *('startsWith(s, "U")', 'endsWith(s, "x")', 'like(s, "%S%")', 'like(s, "A")', 'lower(s) == "a"', "upper(s) == `B"),
    *("isNull(s)", "isValid(s)", "s == prev(s)", "prev(s) == 'A'", "ffill(s) == 'A'", "nullFill(s, 'A') == 'A'"),
    *(
        "1 < x < 4",
        "1 <= x <= y != 3",
        "x < y == b",
        "lt(x, y)",
        "le(x, y)",
        "gt(x, r)",
        "ge(x, r)",
        "eq(x, y)",
        "ne(x, y)",
    ),
    *("true", "1 > 2", "NULL < 1", "x > NULL", "x == NULL", "x < 2 or y < 2 and r < 2", "(x < 2 or y < 2) and r < 2"),
    *("-x < 2 - -1", "x - 1 - 1 < y / 2 / 2", "x * 2 % 3 == 1", "2 + x * 3 > y", "b or not c or b", "b and not c or b"),
)
WINDOW_BOOLEANS = (
    *(
        "any(b)",
        "all(b)",
        "any(x > 2)",
        "all(x > 2)",
        "any(x)",
        "first(b)",
        "last(b)",
        "max(b)",
        "min(b)",
        "sum(b) > 2",
    ),
    *(
        "avg(b) > 0.4371",
        "nunique(s) == 2",
        "nunique(s, true) == 1",
        "count(s) > 2",
        "first(s) == 'A'",
        "last(s) == 'b'",
    ),
    *("first(s) == ''", "mode(x) == 1", "count(b) < size(b)", "firstNot(s) == 'A'", "lastNot(s) == `b"),
    *("sum(x) > earlier(sum(x), 1)", "earlier(count(*)) < count(*)", "isNull(earlier(avg(x) - max(r), 2))"),
    *("x > earlier(max(x), 1)", "first(s) != earlier(first(s), 1)", "earlier(sum(x) \\ count(*), 3) > 0.1371"),
    *("x > avg(x)", "b and max(x) > 2", "first(x) == x", "prev(x) > avg(x)", "x > 2 or max(x) > 3", "sum(x) in [3, 4]"),
)


def rows_of(choices: Choices, count: int) -> list[list[object]]:
    """Choose rows whose values repeat, are NULL now and then, and come in runs."""
    rows: list[list[object]] = []
    time = 1000
    for _ in range(count):
        time += pick(choices, (0, 1, 1, 2, 7))
        numbers = [None if happens(choices, 15) else choices.integer(-3, 5) for _ in range(2)]
        real = None if happens(choices, 15) else choices.integer(-12, 20) / 4
        flags = [pick(choices, (True, False, None)) for _ in range(2)]
        rows.append([time, pick(choices, "AAB"), *numbers, real, *flags, pick(choices, ("A", "b", "", "US x", None))])
    return rows


def agree(metrics: list[str], seed: int) -> None:
    """Fail unless the engine finds for each metric what the naive one does, or that is open."""
    rows = rows_of(SeededChoices(seed), ROW_COUNT)
    case = EngineCase(
        schema=SCHEMA,
        metrics=metrics,
        time_column="t",
        key_columns=("k",),
        window_size=20,
        step=10,
        batches=[rows[:17], rows[17:]],
    )
    wanted = {metric: hits_of_one(replace(case, metrics=[metric])) for metric in metrics}
    found = through_snapshots(case)
    for index, metric in enumerate(metrics):
        hits = [(hit.offset, hit.time, hit.key) for hit in found if hit.metric_index == index]
        assert wanted[metric] is None or hits == wanted[metric], metric


def hits_of_one(case: EngineCase) -> list[tuple[int, int, tuple[object, ...]]] | None:
    """Return the rows and times of the anomalies of one metric, or `None` where the rules leave them open."""
    try:
        return [(hit.offset, hit.time, hit.key) for hit in naive_output(case)]
    except Fragile:
        return None


def ladder(shape: str, column: str, other: str) -> list[str]:
    call = shape.format(column, column, other=other)
    return [*(f"{call} > {step}" for step in LADDER), f"isNull({call})", f"{call} == 0"]


SHAPES = (*AGGREGATES, *ORDERED, *SCALARS)
HALF = [(shape, "xr"[i % 2]) for i, shape in enumerate(SHAPES)]
OTHER_HALF = [pytest.param(shape, "rx"[i % 2], marks=pytest.mark.slow) for i, shape in enumerate(SHAPES)]


@pytest.mark.parametrize(("shape", "column"), [*HALF, *OTHER_HALF])
def test_a_function_has_the_naive_values(shape: str, column: str) -> None:
    agree(ladder(shape, column, "r" if column == "x" else "x"), seed=1)


@pytest.mark.parametrize("metric", [*BOOLEANS, *WINDOW_BOOLEANS])
def test_a_condition_has_the_naive_value(metric: str) -> None:
    agree([metric, f"not({metric})", f"isNull({metric})"], seed=2)

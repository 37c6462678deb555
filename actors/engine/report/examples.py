"""One example of each function, for the reference and for the test that they are true.

The value is that at the last of some rows, or over all of them for an aggregate. The rows have the column `x` alone,
and their times `t`, 0, 1, 2 and so on in milliseconds.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple


class Example(NamedTuple):
    """A function, and what it gives for some values."""

    function: str
    expression: str
    kind: str
    """Type of the column `x`."""

    values: tuple[Any, ...]
    """Its values, `None` for NULL."""

    value: Any
    """What the expression gives; real numbers have seven digits."""

    def __str__(self) -> str:
        shown = ", ".join(_shown(value, self.kind) for value in self.values)
        return f"`{self.expression}` of {shown} is {_shown(self.value)}"


def _shown(value: Any, kind: str = "") -> str:
    if value is None:
        return "NULL"
    if kind == "TIMESTAMP":
        return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%dT%H:%MZ}"
    return f"'{value}'" if isinstance(value, str) else str(value).lower()


_X = (2, None, 4, 4, 9)
_Y = (1, 5, None, 3, 7)
EXAMPLES: tuple[Example, ...] = (
    Example("or", "x > 5 or isNull(x)", "INT", (None,), True),
    Example("and", "x > 5 and x < 9", "INT", (7,), True),
    Example("xor", "xor(x > 5, x > 8)", "INT", (7,), True),
    Example("not", "not(x > 5)", "INT", (7,), False),
    Example("lt", "x < 5", "INT", (4,), True),
    Example("le", "x <= 5", "INT", (5,), True),
    Example("gt", "x > 5", "INT", (5,), False),
    Example("ge", "x >= 5", "INT", (5,), True),
    Example("eq", "x == 'A'", "STRING", ("A",), True),
    Example("ne", "x != 'A'", "STRING", ("A",), False),
    Example("add", "x + 1", "INT", (4,), 5),
    Example("sub", "x - 1", "INT", (4,), 3),
    Example("mul", "x * 2", "INT", (4,), 8),
    Example("div", "x / 5", "INT", (-7,), -2),
    Example("ratio", "x \\ 5", "INT", (-7,), -1.4),
    Example("mod", "x % 3", "INT", (-10,), 2),
    Example("neg", "-x", "INT", (4,), -4),
    Example("between", "between(x, 1:6)", "INT", (6,), True),
    Example("in", "x not in [1, 2]", "INT", (3,), True),
    Example("abs", "abs(x)", "INT", (-3,), 3),
    Example("sqrt", "sqrt(x)", "DOUBLE", (2.25,), 1.5),
    Example("floor", "floor(x)", "DOUBLE", (-2.5,), -3),
    Example("ceil", "ceil(x)", "DOUBLE", (-2.5,), -2),
    Example("round", "round(x, 1)", "DOUBLE", (2.25,), 2.3),
    Example("signum", "signum(x)", "DOUBLE", (-0.5,), -1),
    Example("exp", "exp(x)", "INT", (0,), 1.0),
    Example("log", "log(x)", "INT", (1,), 0.0),
    Example("log2", "log2(x)", "INT", (8,), 3.0),
    Example("log10", "log10(x)", "INT", (100,), 2.0),
    Example("pow", "pow(x, 3)", "INT", (2,), 8.0),
    Example("square", "square(x)", "INT", (3,), 9),
    Example("int", "int(x)", "DOUBLE", (2.5,), 3),
    Example("long", "long(x)", "STRING", ("17",), 17),
    Example("double", "double(x)", "STRING", ("2.5e3",), 2500.0),
    Example("text", "text(x)", "DOUBLE", (2.5,), "2.5"),
    Example("iif", "iif(x > 4, 'high', 'low')", "INT", (7,), "high"),
    Example("isNull", "isNull(x)", "INT", (None,), True),
    Example("isValid", "isValid(x)", "INT", (None,), False),
    Example("nullFill", "nullFill(x, 7)", "INT", (None,), 7),
    Example("max", "max(x, 3)", "INT", (1,), 3),
    Example("min", "min(x, 3)", "INT", (1,), 1),
    Example("strlen", "strlen(x)", "STRING", ("abc",), 3),
    Example("lower", "lower(x)", "STRING", ("aB",), "ab"),
    Example("upper", "upper(x)", "STRING", ("aB",), "AB"),
    Example("startsWith", "startsWith(x, 'ab')", "STRING", ("abc",), True),
    Example("endsWith", "endsWith(x, 'ab')", "STRING", ("abc",), False),
    Example("like", "like(x, 'a%c')", "STRING", ("abbc",), True),
    Example("contains", "contains(x, 'bb')", "STRING", ("abbc",), True),
    Example("matches", "matches(x, 'disk [0-9]+')", "STRING", ("bad disk 17",), True),
    Example("substr", "substr(x, 1, 2)", "STRING", ("abcd",), "bc"),
    Example("split", "split(x, '/', -1)", "STRING", ("/var/log/app",), "app"),
    Example("hour", "hour(x, 'Europe/Berlin')", "TIMESTAMP", (1_780_272_000_000,), 2),
    Example("minute_of_day", "minute_of_day(x)", "TIMESTAMP", (1_780_277_400_000,), 90),
    Example("weekday", "weekday(x)", "TIMESTAMP", (1_780_272_000_000,), 1),
    Example("date", "date(x, 'America/New_York')", "TIMESTAMP", (1_780_272_000_000,), "2026-05-31"),
    Example("sum", "sum(x)", "INT", _X, 19),
    Example("avg", "avg(x)", "INT", _X, 4.75),
    Example("mean", "mean(x)", "INT", _X, 4.75),
    Example("count", "count(x)", "INT", _X, 4),
    Example("size", "size(x)", "INT", _X, 5),
    Example("min", "min(x)", "INT", _X, 2),
    Example("max", "max(x)", "INT", _X, 9),
    Example("first", "first(x)", "INT", _X, 2),
    Example("last", "last(x)", "INT", _X, 9),
    Example("std", "std(x)", "INT", _X, 2.986079),
    Example("stdp", "stdp(x)", "INT", _X, 2.58602),
    Example("var", "var(x)", "INT", _X, 8.916667),
    Example("varp", "varp(x)", "INT", _X, 6.6875),
    Example("prod", "prod(x)", "INT", _X, 288),
    Example("sum2", "sum2(x)", "INT", _X, 117.0),
    Example("sum3", "sum3(x)", "INT", _X, 865.0),
    Example("sum4", "sum4(x)", "INT", _X, 7089.0),
    Example("wsum", "wsum(x, 2 * x)", "INT", _X, 234),
    Example("wavg", "wavg(x, 2 * x)", "INT", _X, 6.157895),
    Example("med", "med(x)", "INT", _X, 4.0),
    Example("rms", "rms(x)", "INT", _X, 5.408327),
    Example("covar", "covar(x, 2 * x)", "INT", _X, 17.83333),
    Example("covarp", "covarp(x, 2 * x)", "INT", _X, 13.375),
    Example("corr", "corr(x, 2 * x)", "INT", _X, 1.0),
    Example("beta", "beta(2 * x, x)", "INT", _X, 2.0),
    Example("percentile", "percentile(x, 25)", "INT", _X, 3.5),
    Example("quantile", "quantile(x, 0.9)", "INT", _X, 7.5),
    Example("nunique", "nunique(x)", "INT", _X, 4),
    Example("mode", "mode(x)", "INT", _X, 4),
    Example("firstNot", "firstNot(x)", "INT", _X, 2),
    Example("lastNot", "lastNot(x)", "INT", _X, 9),
    Example("any", "any(x > 8)", "INT", _X, True),
    Example("all", "all(x > 1)", "INT", _X, False),
    Example("imax", "imax(x)", "INT", _X, 4),
    Example("imin", "imin(x)", "INT", _X, 0),
    Example("sem", "sem(x)", "INT", _X, 1.493039),
    Example("skew", "skew(x)", "INT", _X, 0.79688),
    Example("kurtosis", "kurtosis(x)", "INT", _X, 2.147),
    Example("mad", "mad(x)", "INT", _X, 2.125),
    Example("prev", "prev(x)", "INT", _Y, 3),
    Example("move", "move(x, 3)", "INT", _Y, 5),
    Example("deltas", "deltas(x)", "INT", _Y, 4),
    Example("ratios", "ratios(x)", "INT", _Y, 2.333333),
    Example("percentChange", "percentChange(x)", "INT", _Y, 1.333333),
    Example("ffill", "ffill(x)", "INT", (4, None, None), 4),
    Example("ema", "ema(x, 2)", "INT", _Y, 5.666667),
    Example("ewmMean", "ewmMean(x, alpha=0.5)", "INT", _Y, 5.444444),
    Example("msum", "msum(x, 3)", "INT", _Y, 10),
    Example("mavg", "mavg(x, 3)", "INT", _Y, 5.0),
    Example("mcount", "mcount(x, 3)", "INT", _Y, 2),
    Example("mmin", "mmin(x, 3)", "INT", _Y, 3),
    Example("mmax", "mmax(x, 3)", "INT", _Y, 7),
    Example("mstd", "mstd(x, 3)", "INT", _Y, 2.828427),
    Example("mstdp", "mstdp(x, 3)", "INT", _Y, 2.0),
    Example("mvar", "mvar(x, 3)", "INT", _Y, 8.0),
    Example("mvarp", "mvarp(x, 3)", "INT", _Y, 4.0),
    Example("mprod", "mprod(x, 3)", "INT", _Y, 21),
    Example("mwsum", "mwsum(x, 2 * x, 3)", "INT", _Y, 116),
    Example("mwavg", "mwavg(x, 2 * x, 3)", "INT", _Y, 5.8),
    Example("mcorr", "mcorr(x, 2 * x, 3)", "INT", _Y, 1.0),
    Example("mcovar", "mcovar(x, 2 * x, 3)", "INT", _Y, 16.0),
    Example("mbeta", "mbeta(2 * x, x, 3)", "INT", _Y, 2.0),
    Example("mfirst", "mfirst(x, 3)", "INT", _Y, None),
    Example("mlast", "mlast(x, 3)", "INT", _Y, 7),
    Example("mmed", "mmed(x, 3)", "INT", _Y, 5.0),
    Example("mpercentile", "mpercentile(x, 25, 3)", "INT", _Y, 4.0),
    Example("tmsum", "tmsum(t, x, 3)", "INT", _Y, 10),
    Example("tmavg", "tmavg(t, x, 3)", "INT", _Y, 5.0),
    Example("tmcount", "tmcount(t, x, 3)", "INT", _Y, 2),
    Example("tmmin", "tmmin(t, x, 3)", "INT", _Y, 3),
    Example("tmmax", "tmmax(t, x, 3)", "INT", _Y, 7),
    Example("tmstd", "tmstd(t, x, 3)", "INT", _Y, 2.828427),
    Example("tmstdp", "tmstdp(t, x, 3)", "INT", _Y, 2.0),
    Example("tmvar", "tmvar(t, x, 3)", "INT", _Y, 8.0),
    Example("tmvarp", "tmvarp(t, x, 3)", "INT", _Y, 4.0),
    Example("tmprod", "tmprod(t, x, 3)", "INT", _Y, 21),
    Example("tmwsum", "tmwsum(t, x, 2 * x, 3)", "INT", _Y, 116),
    Example("tmwavg", "tmwavg(t, x, 2 * x, 3)", "INT", _Y, 5.8),
    Example("tmcorr", "tmcorr(t, x, 2 * x, 3)", "INT", _Y, 1.0),
    Example("tmcovar", "tmcovar(t, x, 2 * x, 3)", "INT", _Y, 16.0),
    Example("tmbeta", "tmbeta(t, 2 * x, x, 3)", "INT", _Y, 2.0),
    Example("tmfirst", "tmfirst(t, x, 3)", "INT", _Y, None),
    Example("tmlast", "tmlast(t, x, 3)", "INT", _Y, 7),
    Example("tmmed", "tmmed(t, x, 3)", "INT", _Y, 5.0),
    Example("tmpercentile", "tmpercentile(t, x, 25, 3)", "INT", _Y, 4.0),
    Example("cumsum", "cumsum(x)", "INT", _Y, 16),
    Example("cumavg", "cumavg(x)", "INT", _Y, 4.0),
    Example("cumcount", "cumcount(x)", "INT", _Y, 4),
    Example("cummin", "cummin(x)", "INT", _Y, 1),
    Example("cummax", "cummax(x)", "INT", _Y, 7),
    Example("cumstd", "cumstd(x)", "INT", _Y, 2.581989),
    Example("cumstdp", "cumstdp(x)", "INT", _Y, 2.236068),
    Example("cumvar", "cumvar(x)", "INT", _Y, 6.666667),
    Example("cumvarp", "cumvarp(x)", "INT", _Y, 5.0),
    Example("cumprod", "cumprod(x)", "INT", _Y, 105),
    Example("cumwsum", "cumwsum(x, 2 * x)", "INT", _Y, 168),
    Example("cumwavg", "cumwavg(x, 2 * x)", "INT", _Y, 5.25),
    Example("cumcorr", "cumcorr(x, 2 * x)", "INT", _Y, 1.0),
    Example("cumcovar", "cumcovar(x, 2 * x)", "INT", _Y, 13.33333),
    Example("cumbeta", "cumbeta(2 * x, x)", "INT", _Y, 2.0),
    Example("mrank", "mrank(x, true, 3)", "INT", _Y, 1),
)

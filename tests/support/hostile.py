"""Input of people who want to break the engine: mutated metrics, and rows of anything."""

from typing import Any

from hypothesis import strategies as st

from actors.engine.functions.catalogue import FUNCTIONS
from actors.engine.functions.definition import REQUIRED, Function

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "price": "DOUBLE", "qty": "INT", "ok": "BOOL"}

_VALUES = {"number": "price", "any": "qty", "text": "sym", "time": "time", "moment": "time"}
_CONSTANTS = {"integer": "5", "constant": "1", "real": "1", "truth": "true", "word": "'a%'", "list": "[1, 2]"}


def _call_of(function: Function) -> str:
    needed = [parameter for parameter in function.parameters if parameter.default is REQUIRED]
    if function.name == "earlier":
        return "earlier(sum(qty), 1)"
    given = [(_CONSTANTS if p.is_constant else _VALUES)[p.accepts] for p in needed]
    if any(p.is_constant for p in function.parameters[: len(given)]):
        given = [f"{p.name}={text}" if p.is_constant else text for p, text in zip(needed, given, strict=True)]
        given.sort(key=lambda text: "=" in text)
    given += ["alpha=0.5"] if function.name.startswith("ewm") else []
    return f"{function.name}({', '.join(given)})"


METRIC_SEEDS = (
    *(f"isNull({_call_of(f)})" for f in FUNCTIONS if not f.sign and f.name not in ("in", "between")),
    "qty > 3 and price < 5 or not ok",
    "1 < qty < 5 && !(ok) || price != 2.5",
    "qty in [1, 2, 3] or sym == `a",
    "sym not in ['a', NULL] and count(*) > 1 or -1m < time - prev(time) < 5s",
    "hour(time, 'Europe/Berlin') > 1 and matches(sym, '^[a-z]+$') and col('price') > double(text(qty))",
    "between(qty, 1:6) and -price * 2 / 3 \\ 4 % 5 - +1 > 0",
    'tmsum(time, qty, 5s) > 3 or like(sym, "%a_") or sym != "\\"x"',
    "percentile(price, 75, interpolation='lower') > avg(price) + 2 * std(price)",
    "sum(deltas(qty)) > 1 or prev(mavg(price, 5)) > 1",
    "iif(ok, qty, 1.5) > nullFill(price, 0) and max(qty, 3) > min(price, 2)",
)
"""Metrics that run, with every function among them."""

_SCRAPS = (
    *(
        "(",
        ")",
        "[",
        "]",
        ",",
        ":",
        "=",
        "==",
        "<",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "\\",
        "%",
        "!",
        "&&",
        "||",
        "'",
        '"',
        "`",
    ),
    *(" ", "\n", "\t", "\x00", "\ufeff", "\u202e", "é", "\uff51", "\u0663", "😀", "\ud800", "#", ";", "$", "?", "."),
    *("qty", "sym", "time", "ok", "NULL", "true", " and ", " or ", " in ", "not ", "next(", "prev(", "sum(", "mavg("),
    *("0", "-1", "1e308", "1e-320", "9223372036854775807", "-9223372036854775808", "99999999999999999999", "5s", "0d"),
    *("999999999999999d", "102400", "0.1", "1.", ".5", "1e", "percent=", "interpolation='linear'"),
)


@st.composite
def hostile_metrics(draw: st.DrawFn) -> str:
    """Return a metric, or two, with some damage."""
    text = draw(st.sampled_from(METRIC_SEEDS))
    for _ in range(draw(st.integers(1, 6))):
        text = _damaged(draw, text)[:2000]
    return text


def _damaged(draw: st.DrawFn, text: str) -> str:
    start = draw(st.integers(0, len(text)))
    stop = min(len(text), start + draw(st.integers(0, 12)))
    piece = text[start:stop]
    kind = draw(st.integers(0, 7))
    if kind == 0:
        return text[:start] + text[stop:]
    if kind == 1:
        return text[:stop] + piece * draw(st.sampled_from([1, 2, 30])) + text[stop:]
    if kind == 2:
        return text[:start] + draw(st.text(max_size=4)) + text[stop:]
    if kind == 3:
        return text[:start] + draw(st.sampled_from(METRIC_SEEDS)) + text[stop:]
    if kind == 4:
        depth = draw(st.sampled_from([1, 3, 40, 120]))
        return "(" * depth + text + ")" * depth
    if kind == 5:
        return draw(st.sampled_from(["abs(", "prev(", "sum(", "isNull(", "mavg(", "not ", "-"])) + text
    return text[:start] + draw(st.sampled_from(_SCRAPS)) + (text[stop:] if kind == 6 else text[start:])


def anything() -> st.SearchStrategy[Any]:
    """Return values of any kind that might stand in a row."""
    plain = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.integers(-10, 10_000),
        st.floats(),
        st.decimals(allow_nan=True),
        st.fractions(),
        st.complex_numbers(max_magnitude=10),
        st.text(max_size=5),
        st.binary(max_size=4),
        st.dates(),
        st.datetimes(),
        st.times(),
        st.timedeltas(),
        st.uuids(),
        st.sampled_from(["2018-10-08T01:01:01", "1e5", "\ud800", "nan", object, Ellipsis]),
    )
    return plain | st.lists(plain, max_size=2) | st.dictionaries(st.text(max_size=2), plain, max_size=2)

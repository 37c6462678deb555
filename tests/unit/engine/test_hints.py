"""What people write who know another language: the message says what to write here, and that can be written."""

import re

import pytest

from actors.engine import MetricError
from actors.engine.functions.catalogue import BY_NAME
from actors.engine.language.advice import warnings_of
from actors.engine.language.analysis import analyse_metric
from actors.engine.language.hints import _SIGNS, _WAYS
from actors.model import Schema

SCHEMA = Schema.from_mapping(
    {"time": "TIMESTAMP", "host": "SYMBOL", "a": "INT", "b": "INT", "x": "DOUBLE", "ok": "BOOL", "text": "STRING"}
)


@pytest.mark.parametrize(
    ("metric", "way_out"),
    [
        ("a = 5", "Use `==`"),
        ("a => 5", "Use `>=`"),
        ("a =< 5", "Use `<=`"),
        ("a > 5 & b > 3", "Use `and`"),
        ("a > 5 | b > 3", "Use `or`"),
        ("a ** 2 > 4", "`square(x)`"),
        ("a ^ 2 > 4", "`pow(x, y)`"),
        ("a // 2 > 1", "rounds down"),
        ("x IS NULL", "`isNull(x)`"),
        ("x is not null", "`isValid(x)`"),
        ("a between 1 and 5", "`between(x, 1, 5)`"),
        ("a in (1, 2)", "`x in [1, 2]`"),
        ("a not in (1, 2)", "`x in [1, 2]`"),
        ("host like 'a%'", "`like(x, 'a%')`"),
        ("x > 1,5", "with a point"),
        ("x > 1_000", "the digits"),
        ("sum(*) > 5", "`count(*)` counts the rows"),
        ("count(*, x) > 5", "docs/metrics.md"),
        ("max(x, *) > 5", "docs/metrics.md"),
        ("host.startswith('a')", "`startsWith(x, 'a')`"),
        ("x.y > 1", "by `columns`"),
        ("host == 'it''s'", "a quote inside"),
        ("time > 2026.01.01", "in the unit of its column"),
        ("len(host) > 3", "`strlen`"),
        ("x > median(x)", "`med`"),
        ("x > p95(x)", "`percentile(x, 95)`"),
        ("COALESCE(x, 0) > 1", "`nullFill(x, filling)`"),
        ("hour(a) > 5", "a type of times in the schema"),
        ("dow(time) > 5", "`weekday`"),
        ("now() > 5", "no clock"),
        ("hour(time, 'Europe/Berln') > 5", "did you mean 'Europe/Berlin'?"),
        ("hour(time, 'Mars') > 5", "write one such as 'Europe/Berlin'"),
        ("regexp(host, 'a') > 5", "`matches(text, 'a+')`"),
        ("matches(host, '(') ", "unclosed group"),
        ("matches(host, 'a{1000}{1000}')", "size limit"),
        ("matches(host, '(a)\\\\1')", "backreferences are not supported"),
        ("mavg(x, 5m) > 5", "Use `tmavg` over a time column"),
        ("x > 5s", "Lengths of time stand beside times"),
        ("2 * (time - prev(time)) > 5s", "Lengths of time stand beside times"),
        ("time - prev(time) > 1us", "Give a multiple of 1ms"),
        ("time - prev(time) > 9999999999w", "Choose a shorter one"),
        ("host + 1 > 2", "`double(host)`"),
        ("col(x) > 5", "col('cpu-load')"),
        ("col('hots') == 'A'", "Did you mean `host`?"),
        ("zzz(x) > 1", "lists them all"),
        ("max(a, b, x) > 1", "max(x, y)"),
        ("time > '2026-01-01'", "`time` is TIMESTAMP"),
        ("ok == 'true'", "`true` or `false` without quotes"),
        ("host == a", "in quotes: 'A'"),
        ("5s > x", "5s of `time`, a TIMESTAMP, is 5000"),
        ("x > \u0663", "docs/metrics.md"),
    ],
)
def test_the_way_out_is_that_of_what_was_meant(metric: str, way_out: str) -> None:
    with pytest.raises(MetricError) as caught:
        analyse_metric(metric, SCHEMA)
    assert way_out in str(caught.value)


PLACEHOLDERS = {"y": "a", "steps": "2", "window": "5", "filling": "0", "condition": "ok", "part": "host"}
WAYS = " ".join([*_WAYS.values(), *(way_out for _, _, way_out in _SIGNS)])


@pytest.mark.parametrize("quoted", sorted(set(re.findall("`([^`]+)`", WAYS))))
def test_whatever_a_way_out_names_can_be_written(quoted: str) -> None:
    if quoted.isidentifier():
        assert quoted.lower() in {*BY_NAME, "and", "or", "columns"}
    elif "(" in quoted or " " in quoted:
        words = PLACEHOLDERS | ({"x": "text"} if "'" in quoted else {})
        text = re.sub(r"\b\w+\b", lambda word: words.get(word[0], word[0]), quoted)
        analyse_metric(f"isNull({text})", SCHEMA)


@pytest.mark.parametrize(
    ("metric", "warning"),
    [
        ("x > percentile(x, 0.99)", "write 99"),
        ("x > tmpercentile(time, x, 0.5, 5m)", "write 50"),
        ("1 / 2 * x > 1", "`1 / 2` is 0"),
    ],
)
def test_what_can_hardly_be_meant_is_said(metric: str, warning: str) -> None:
    assert any(warning in one for one in warnings_of(analyse_metric(metric, SCHEMA)))


@pytest.mark.parametrize("metric", ["x > percentile(x, 99)", "x > percentile(x, 1)", "4 / 2 * x > 1", "1 \\ 2 * x > 1"])
def test_what_is_meant_is_not_warned_of(metric: str) -> None:
    assert not warnings_of(analyse_metric(metric, SCHEMA))


@pytest.mark.parametrize(
    ("column", "metric"), [("my col", "my col > 5"), ("my-col", "my-col > 5"), ("größe", "größe > 5"), ("1a", "1a > 5")]
)
def test_a_column_with_an_odd_name_is_written_by_col(column: str, metric: str) -> None:
    schema = Schema.from_mapping({"time": "TIMESTAMP", column: "INT"})
    with pytest.raises(MetricError, match=re.escape(f"is written as `col('{column}')`")):
        analyse_metric(metric, schema)
    assert analyse_metric(f"col('{column.title()}') > 5", schema).term.arguments[0].column == column
    analyse_metric("time > 5", schema)


@pytest.mark.parametrize(
    ("metric", "suggestion"),
    [
        ("hots == 'A'", "Did you mean `host`?"),
        ("strlenn(host) > 1", "Did you mean `strlen`?"),
        ("PERSENTILE(x, 5) > 1", "Did you mean `percentile`?"),
        ("zz > 1", "Columns are time, host"),
        ("y > 1", "Columns are time, host"),
        ("lenn(host) > 1", "Use `strlen`"),
        ("abc(x) > 1", "Did you mean `abs`?"),
        ("sort(x) > 1", "Did you mean `sqrt`?"),
        ("summary(x) > 1", "docs/metrics.md lists them all"),
    ],
)
def test_what_exists_is_suggested_only_if_it_is_near(metric: str, suggestion: str) -> None:
    with pytest.raises(MetricError, match=re.escape(suggestion)):
        analyse_metric(metric, SCHEMA)

"""The expression language: grammar, canonical text, errors."""

import pytest

from actors.engine import MetricError
from actors.engine.language.analysis import analyse_metric
from actors.engine.language.text import canonical_text, split_list
from actors.model import Schema
from tests.unit.engine.support import engine, fire, quantities, times_fired, value_of


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("max(data)>= 300 ", "max(data) >= 300"),
        ("min(data)<=-2500", "min(data) <= -2500"),
        ("a&&b||! c", "a && b || !c"),
        ("not(a)and b", "not (a) and b"),
        ("!not x or(-not (y))", "!not x or (-not (y))"),
        ("a and or(b,not(c))", "a and or(b, not (c))"),
        ("not x   and y", "not x and y"),
        ("( not x ) and y", "(not x) and y"),
        ("in(x,[2,3])", "in(x, [2, 3])"),
        ("x  in [ 1,2 ]", "x in [1, 2]"),
        ("between( x,1 : 6 )", "between(x, 1:6)"),
        ("percentile(x,75,interpolation = 'lower')>-(1)", "percentile(x, 75, interpolation='lower') > -(1)"),
        ("Sum(Qty)*2 %3==`A", "Sum(Qty) * 2 % 3 == `A"),
        ("a- -b", "a - -b"),
        ("x == 'a  b'", "x == 'a  b'"),
        ("tmsum(time,x,5s)>1", "tmsum(time, x, 5s) > 1"),
    ],
)
def test_the_canonical_text_changes_spacing_only(source: str, text: str) -> None:
    assert canonical_text(source) == text
    assert canonical_text(text) == text


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3 + 0 * x", 7),
        ("(1 + 2) * 3 + 0 * x", 9),
        ("-2 + x * 0 - -3", 1),
        ("7 - 2 - 1 + x * 0", 4),
    ],
)
def test_operators_bind_as_documented(expression: str, value: object) -> None:
    assert value_of(expression, [1], "INT") == value


def test_comparisons_chain() -> None:
    assert times_fired("1 < qty < 5", [0, 1, 2, 4, 5]) == [2, 3]


def test_not_without_brackets_takes_everything_to_its_right() -> None:
    rows = [{"time": 0, "sym": "A", "flag": False, "qty": 1, "price": 1.0}]
    assert fire(engine("not flag and flag", "not (flag) and flag"), rows) == [(0, 0)]


def test_or_binds_weaker_than_and() -> None:
    assert times_fired("qty == 1 or qty == 2 and qty == 3", [1, 2, 3]) == [0]


def test_names_ignore_case() -> None:
    assert times_fired("ABS(Qty) == 2 AND QTY < 0", [-2, 2]) == [0]


@pytest.mark.parametrize("text", ["'A'", '"A"', "`A"])
def test_strings_are_written_in_three_ways(text: str) -> None:
    assert fire(engine(f"sym == {text}"), quantities(1)) == [(0, 0)]


def test_durations_are_windows_over_a_time_column() -> None:
    schema = {"time": "DATETIME", "qty": "INT"}
    subject = engine("tmcount(time, qty, 1m) == 2", schema=schema)
    assert fire(subject, [(0, 1), (59, 1), (60, 1), (119, 1), (300, 1)]) == [(59, 0), (60, 0), (119, 0)]


@pytest.mark.parametrize(
    ("metric", "code", "position"),
    [
        ("qty = 3", "parse", 4),
        ("(qty > 3", "parse", 8),
        ("qty > 3 4", "parse", 8),
        ("", "parse", 0),
        ("frob(qty) > 1", "unknown_function", 0),
        ("1 < qtz", "unknown_column", 4),
        ("sum(qty) > 5 and next(qty) < 4", "forbidden_function", 17),
        ("TALIBNULL(qty) > 4", "forbidden_function", 0),
        ("linearTimeTrend(qty, 3) > 4", "forbidden_function", 0),
        ("iterate(1, 2, qty) > 4", "forbidden_function", 0),
        ("1 < prev(sum(qty))", "aggregate_in_order_sensitive", 9),
        ("sum(1 + max(qty)) > 1", "nested_aggregate", 6),
        ("qty", "not_boolean", 0),
        ("qty + price", "not_boolean", 4),
        ("sym > 1", "bad_type", 4),
        ("sum(sym) > 1", "bad_type", 4),
        ("startsWith(qty, 'a')", "bad_type", 11),
        ("msum(qty, 1) > 3", "bad_argument", 10),
        ("msum(qty, qty) > 3", "bad_argument", 10),
        ("msum(qty) > 3", "bad_argument", 0),
        ("abs(qty, qty) > 3", "bad_argument", 9),
        ("move(qty, -1) > 3", "bad_argument", 10),
        ("deltas(qty, -1) > 3", "bad_argument", 12),
        ("percentChange(qty, -1) > 3", "bad_argument", 19),
        ("prev(3) > 3", "bad_argument", 0),
        ("percentile(qty, 101) > 3", "bad_argument", 16),
        ("percentile(qty, 50, how='low') > 3", "bad_argument", 24),
        ("percentile(qty, 50, 'low') > 3", "bad_argument", 20),
        ("tmsum(time, qty, 1us) > 3", "bad_argument", 17),
        ("tmsum(qty, qty, 1s) > 3", "bad_argument", 16),
        ("ewmMean(qty) > 3", "bad_argument", 0),
        ("[1, 2] > 3", "bad_argument", 0),
        ("max(qty:3) > 1", "bad_argument", 4),
        ("qty in [1, `A]", "bad_type", 11),
        ("firstNot(qty, 'a') > 1", "bad_type", 14),
        ("lastNot(sym, k=5) == 'a'", "bad_type", 15),
        ("percentile(interpolation='lower', qty) > 3", "parse", 34),
    ],
)
def test_a_metric_that_cannot_be_used_is_refused_at_the_fault(metric: str, code: str, position: int) -> None:
    with pytest.raises(MetricError) as caught:
        engine(metric, window_size=3, step=3)
    assert (caught.value.code, caught.value.position) == (code, position)


def test_an_error_shows_the_expression_and_the_way_out() -> None:
    with pytest.raises(MetricError) as caught:
        engine("sum(qty) > 5 and next(qty) < 4")
    assert str(caught.value).splitlines() == [
        "`next` cannot be used",
        "  sum(qty) > 5 and next(qty) < 4",
        "                   ^",
        "Use `prev`, which looks at the row before.",
    ]


def test_a_metric_of_constants_is_one_of_rows() -> None:
    assert times_fired("1 > 0", [5, 6]) == [0, 1]


def test_a_list_of_metrics_may_be_one_text() -> None:
    assert split_list("<[sum(qty) > 5, in(qty, [1, 2]), qty < 4]>") == ["sum(qty) > 5", "in(qty, [1, 2])", "qty < 4"]
    assert split_list("qty < 4") == ["qty < 4"]


@pytest.mark.parametrize(
    "metric", ["-" * 3000 + "1 > 0", "qty + " * 3000 + "1 > 0", "abs(" * 500 + "qty" + ")" * 500 + "> 1"]
)
def test_a_metric_nested_too_deeply_is_refused(metric: str) -> None:
    with pytest.raises(MetricError, match="nested too deeply"):
        engine(metric)


def test_a_long_chain_of_conditions_is_taken() -> None:
    assert times_fired(" and ".join(["qty > 1"] * 60), [1, 2]) == [1]


def test_the_same_metric_is_analysed_once() -> None:
    schema = Schema.from_mapping({"time": "TIMESTAMP", "qty": "INT"})
    real = Schema.from_mapping({"time": "TIMESTAMP", "qty": "DOUBLE"})
    metric = analyse_metric("qty < 4", schema)
    assert analyse_metric("qty < 4", Schema(schema.columns)) is metric
    assert analyse_metric("qty < 4", real) != metric

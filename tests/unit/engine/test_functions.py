"""Functions and NULL rules, by example."""

from typing import Any

import pytest

from tests.unit.engine.support import engine, fire, times_fired, value_of, window_value


@pytest.mark.parametrize(
    ("metric", "fires"),
    [
        ("qty < 4", [0, 1]),
        ("qty <= NULL", [1]),
        ("qty > NULL", [0, 2]),
        ("qty >= NULL", [0, 1, 2]),
        ("qty == NULL", [1]),
        ("qty != NULL", [0, 2]),
        ("qty + 1 > 0", [0, 2]),
        ("not (qty > 0)", [1]),
        ("qty > 0 and qty < 4", [0]),
        ("isNull(qty)", [1]),
        ("isValid(qty)", [0, 2]),
        ("nullFill(qty, 7) == 7", [1, 2]),
        ("iif(qty > 4, true, NULL)", [2]),
        ("max(qty, 3) == 3", [0, 1]),
        ("isNull(min(qty, 3))", [1]),
        ("between(qty, 1:6)", [0]),
        ("qty in [1, NULL]", [0, 1]),
        ("qty in NULL", []),
        ("qty \\ 0 > 0 or isNull(qty / 0)", [0, 1, 2]),
        ("NULL or qty == 7", [2]),
        ("isNull(NULL and qty == 7)", [0, 1, 2]),
        ("1 == 2 or NULL", []),
        ("xor(qty == 1, qty == 7)", [0, 2]),
    ],
)
def test_null_rules(metric: str, fires: list[int]) -> None:
    assert times_fired(metric, [1, None, 7]) == fires


@pytest.mark.parametrize("metric", ["qty < 4", "qty <= NULL", "qty == NULL", "qty != 7", "not (qty > 4)"])
def test_with_unknown_nulls_a_comparison_with_null_never_fires(metric: str) -> None:
    assert 1 not in times_fired(metric, [1, None, 7], nulls="unknown")


def test_an_aggregate_of_nulls_is_the_smallest_value() -> None:
    assert times_fired("sum(qty) < 0", [None, None, 1], window_size=2, step=2) == [2]


@pytest.mark.parametrize(
    ("expression", "kind", "values", "value"),
    [
        ("x / 5", "INT", [-7], -2),
        ("x \\ 5", "INT", [-7], -1.4),
        ("x % 3", "INT", [-10], 2),
        ("x % -3", "INT", [-10], -1),
        ("x / 0", "INT", [1], None),
        ("x / 0", "DOUBLE", [1.0], None),
        ("iif(x > 0, x, 0.5) / 2", "INT", [5], 2.5),
        ("x + 1", "DOUBLE", [float("nan")], None),
        ("x * x", "DOUBLE", [1e300], None),
        ("x + true", "INT", [1], 2),
        ("abs(x)", "INT", [-3], 3),
        ("sqrt(x)", "DOUBLE", [-1.0], None),
        ("floor(x)", "DOUBLE", [-2.5], -3),
        ("ceil(x)", "DOUBLE", [-2.5], -2),
        ("round(x)", "DOUBLE", [-2.5], -3),
        ("round(x, 2)", "DOUBLE", [2.156], 2.16),
        ("signum(x)", "DOUBLE", [-0.5], -1),
        ("pow(x, 3)", "INT", [2], 8.0),
        ("square(x)", "INT", [3], 9),
        ("exp(x)", "INT", [0], 1.0),
        ("log(x)", "INT", [0], None),
        ("log2(x)", "INT", [8], 3.0),
        ("log10(x)", "INT", [100], 2.0),
        ("int(x)", "DOUBLE", [2.5], 3),
        ("double(x)", "INT", [2], 2.0),
        ("strlen(x)", "STRING", ["abc"], 3),
        ("upper(x)", "STRING", ["aB"], "AB"),
        ("lower(x)", "STRING", ["aB"], "ab"),
        ("startsWith(x, 'a')", "STRING", ["abc"], True),
        ("endsWith(x, 'a')", "STRING", ["abc"], False),
        ("like(x, '%b%')", "STRING", ["abc"], True),
        ("like(x, 'b%')", "STRING", ["abc"], False),
        ("like(x, 'a%b%b')", "STRING", ["a\nbxb"], True),
        ("like(x, 'ab%b')", "STRING", ["ab"], False),
        ("like(x, '%a%a%a%a%a%a%a%a%b')", "STRING", ["a" * 1000], False),
        ("strlen(x)", "STRING", [None], None),
        ("x in ['a', 'b']", "STRING", ["b"], True),
        ("nullFill(x, 'z')", "STRING", [None], "z"),
        ("x < NULL", "STRING", ["a"], False),
    ],
)
def test_scalar_functions(expression: str, kind: str, values: list[Any], value: Any) -> None:
    assert value_of(expression, values, kind) == (value if value is None else pytest.approx(value))


X = [2, None, 4, 4, 9]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("sum(x)", 19),
        ("avg(x)", 4.75),
        ("mean(x)", 4.75),
        ("count(x)", 4),
        ("size(x)", 5),
        ("min(x)", 2),
        ("max(x)", 9),
        ("first(x)", 2),
        ("last(x)", 9),
        ("firstNot(x, 2)", 4),
        ("lastNot(x, 9)", 4),
        ("std(x)", 2.9860788),
        ("stdp(x)", 2.5860201),
        ("var(x)", 8.9166667),
        ("varp(x)", 6.6875),
        ("prod(x)", 288),
        ("sum2(x)", 117.0),
        ("sum3(x)", 865.0),
        ("sum4(x)", 7089.0),
        ("wsum(x, x)", 117),
        ("wavg(x, x)", 6.1578947),
        ("rms(x)", 5.4083269),
        ("sem(x)", 1.4930394),
        ("med(x)", 4.0),
        ("percentile(x, 25)", 3.5),
        ("percentile(x, 25, 'lower')", 2.0),
        ("percentile(x, 25, 'higher')", 4.0),
        ("percentile(x, 25, 'midpoint')", 3.0),
        ("percentile(x, 50, 'nearest')", 4.0),
        ("quantile(x, 0.9)", 7.5),
        ("nunique(x)", 4),
        ("nunique(x, true)", 3),
        ("mode(x)", 4),
        ("imax(x)", 4),
        ("imin(x)", 0),
        ("any(x > 8)", True),
        ("all(x > 1)", False),
        ("all(x)", True),
        ("mad(x)", 2.125),
        ("mad(x, true)", 1.0),
        ("covar(x, -x)", -8.9166667),
        ("covarp(x, x)", 6.6875),
        ("corr(x, -x)", -1.0),
        ("beta(2 * x, x)", 2.0),
        ("skew(x)", 0.7968800),
        ("kurtosis(x)", 2.1469997),
        ("sum(x > 3)", 3),
    ],
)
def test_aggregates(expression: str, value: Any) -> None:
    assert window_value(expression, X, "INT") == pytest.approx(value)


@pytest.mark.parametrize(
    ("expression", "value"),
    [("sum(x)", None), ("count(x)", 0), ("std(x)", None), ("med(x)", None), ("imax(x)", -1), ("any(x)", None)],
)
def test_aggregates_without_values(expression: str, value: Any) -> None:
    assert window_value(expression, [None, None], "INT") == value


def test_the_variance_of_equal_values_is_exactly_zero() -> None:
    assert window_value("var(x)", [0.1] * 50) == 0.0


@pytest.mark.parametrize(
    ("expression", "values", "value"),
    [
        ("prev(x)", [1, 2], 1),
        ("move(x, 2)", [1, 2, 3], 1),
        ("move(x, 0)", [1, 2], 2),
        ("deltas(x)", [1, 4], 3),
        ("deltas(x, 2)", [1, 9, 4], 3),
        ("ratios(x)", [4, 2], 0.5),
        ("percentChange(x)", [4, 2], -0.5),
        ("ffill(x)", [4, None, None], 4),
        ("ffill(x, 1)", [4, None, None], None),
        ("msum(x, 3)", [1, 2, None, 4], 6),
        ("msum(x, 3)", [1, 2], None),
        ("mavg(x, 3, 1)", [1, 2], 1.5),
        ("mmin(x, 2)", [1, 5, 3], 3),
        ("mmax(x, 2)", [9, 5, 3], 5),
        ("mstd(x, 2)", [9, 5, 3], 1.4142136),
        ("mcount(x, 3)", [1, None], 1),
        ("mcount(x, 3)", [None], None),
        ("mmed(x, 3)", [1, 7, 3], 3.0),
        ("mpercentile(x, 50, 2)", [1, 7, 3], 5.0),
        ("mfirst(x, 2)", [1, 7, 3], 7),
        ("mlast(x, 2)", [1, 7, 3], 3),
        ("mcorr(x, x, 3)", [1, 7, 3], 1.0),
        ("mbeta(x, x, 3)", [1, 7, 3], 1.0),
        ("mwavg(x, x, 2)", [1, 7, 3], 5.8),
        ("mrank(x, true, 3)", [1, 7, 3], 1),
        ("cumsum(x)", [1, None, 3], 4),
        ("cumavg(x)", [1, None, 3], 2.0),
        ("cummax(x)", [5, None, 3], 5),
        ("cummin(x)", [5, None, 3], 3),
        ("cumcount(x)", [5, None, 3], 2),
        ("cumstd(x)", [1, 3], 1.4142136),
        ("tmsum(t, x, 2)", [1, 2, 4], 6),
        ("tmavg(t, x, 2)", [1, 2, 4], 3.0),
        ("tmmin(t, x, 2)", [1, 2, 4], 2),
        ("tmmax(t, x, 2)", [9, 2, 4], 4),
        ("tmfirst(t, x, 2)", [9, 2, 4], 2),
        ("tmlast(t, x, 2)", [9, 2, 4], 4),
        ("tmstd(t, x, 2)", [9, 2, 4], 1.4142136),
        ("tmcount(t, x, 2)", [1, None], 1),
        ("ema(x, 2)", [1, 3, 6], 4.6666667),
        ("ema(x, 2)", [1], None),
        ("ewmMean(x, alpha=0.5)", [1, 3], 2.3333333),
        ("ewmMean(x, com=1)", [1, 3], 2.3333333),
        ("ewmMean(x, span=3)", [1, 3], 2.3333333),
        ("ewmMean(x, halfLife=1)", [1, 3], 2.3333333),
        ("prev(mavg(x, 2))", [1, 3, 9], 2.0),
        ("cumsum(deltas(x))", [1, 3, 9], 8),
    ],
)
def test_order_sensitive_functions(expression: str, values: list[Any], value: Any) -> None:
    assert value_of(expression, values, "INT") == (value if value is None else pytest.approx(value))


def test_order_sensitive_state_is_per_key() -> None:
    schema = {"t": "TIMESTAMP", "k": "SYMBOL", "x": "INT"}
    subject = engine("msum(x, 2) == 3", schema=schema, time_column="t", key_columns=["k"])
    rows = [(0, "A", 1), (1, "B", 2), (2, "B", 1), (3, "A", 2)]
    assert fire(subject, rows) == [(2, "B", 0), (3, "A", 0)]


def test_texts_are_kept_in_state_and_compared() -> None:
    schema = {"t": "TIMESTAMP", "x": "STRING"}
    subject = engine("prev(x) == 'a'", "last(x) < 'b'", schema=schema, time_column="t", window_size=2, step=2)
    assert fire(subject, [(0, "b"), (1, "a"), (2, None), (4, "c")]) == [(2, 1), (2, 0), (4, 1)]

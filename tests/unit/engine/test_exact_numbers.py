"""Numbers at the edges: nothing overflows on the way to a real result, far from zero digits stay, rounding is exact."""

from typing import Any

import polars as pl
import pytest

from actors.engine import AnomalyDetectionEngine
from tests.unit.engine.support import value_of, window_value

BIG = (1 << 63) - 1
NOW_NS = 1_764_520_000_000_000_000


@pytest.mark.parametrize(
    ("expression", "values", "value"),
    [
        ("avg(x)", [BIG] * 6, float(BIG)),
        ("mean(x)", [NOW_NS + i for i in range(6)], float(NOW_NS)),
        ("avg(x)", [-BIG - 1] * 3, -(2.0**63)),
        ("wavg(x, x)", [BIG] * 3, float(BIG)),
        ("wavg(x, x)", [-BIG - 1] * 2, -(2.0**63)),
        ("var(x)", [NOW_NS + i for i in range(10)], 55 / 6),
        ("std(x)", [BIG - 2, BIG - 1, BIG], 1.0),
        ("corr(x, x)", [BIG - i for i in range(10)], 1.0),
        ("beta(x, x)", [BIG - i for i in range(10)], 1.0),
        ("mad(x)", [BIG - i for i in range(10)], 2.5),
        ("mad(x, true)", [BIG - i for i in range(10)], 2.5),
        ("imax(x)", [BIG - 1, BIG, BIG], 1),
        ("imin(x)", [-BIG, -BIG - 1], 1),
        ("avg(mavg(x, 2))", [BIG] * 4, float(BIG)),
        ("avg(tmavg(t, x, 2))", [BIG] * 4, float(BIG)),
        ("max(mrank(x, true, 3))", [BIG - 2, BIG - 1, BIG], 2),
        ("sum(x)", [BIG, BIG], -2),
        ("wsum(x, x)", [2, 3], 13),
    ],
)
def test_large_whole_numbers_are_exact_on_the_way(expression: str, values: list[int], value: Any) -> None:
    found = window_value(expression, values, "LONG")
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("few_rows_max", [0, 1000], ids=["vectors", "few-rows"])
def test_running_means_of_large_whole_numbers_are_exact(few_rows_max: int) -> None:
    metrics = ["cumavg(x) == 9223372036854775807", "cumwavg(x, x) == 9223372036854775807", "cumstd(x) == 0"]
    subject = AnomalyDetectionEngine("big", metrics, {"t": "TIMESTAMP", "x": "LONG"}, "t")
    subject.few_rows_max = few_rows_max
    assert subject.append([(i, BIG) for i in range(3)])["type"].to_list() == [0, 1, 0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("few_rows_max", [0, 1000, 2], ids=["vectors", "few-rows", "both"])
def test_a_mean_over_panes_that_overflow_survives_a_snapshot(few_rows_max: int) -> None:
    metrics = ["avg(x) == 9223372036854775807 and sum(x) < 0"]
    engines = [AnomalyDetectionEngine("big", metrics, {"t": "TIMESTAMP", "x": "LONG"}, "t", (), 4, 2) for _ in "ab"]
    for one in engines:
        one.few_rows_max = few_rows_max
    engines[0].append([(i, 1) for i in range(3)])
    found = []
    for time in range(3, 13):
        found += engines[0].append_physical(pl.DataFrame({"t": [time], "x": [BIG]}))["t"].to_list()
        engines[1].restore(engines[0].snapshot())
        assert engines[1].snapshot() == engines[0].snapshot()
        engines.reverse()
    assert found == [8, 10, 12]


@pytest.mark.parametrize(
    ("expression", "value"),
    [("skew(x)", 1.1384199576606167), ("kurtosis(x)", 2.7880000000000003), ("mad(x)", 2.4), ("var(x)", 12.5)],
)
@pytest.mark.parametrize("far", [0.0, 1e12, 1e15, -1e15])
def test_values_far_from_zero_keep_their_digits(expression: str, value: float, far: float) -> None:
    assert window_value(expression, [far + i for i in (0, 1, 2, 3, 9)]) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("expression", "values", "value"),
    [
        ("kurtosis(x)", [1.0, 1.0], None),
        ("kurtosis(x)", [1.0], None),
        ("skew(x)", [5.0, 5.0, 5.0], None),
        ("kurtosis(x)", [1e308, -1e308, 1e308], None),
        ("kurtosis(x)", [1e200, -1e200, 3e200], 1.5),
        ("skew(x)", [1.0, 2.0], 0.0),
        ("percentile(x, 50)", [1.7e308, -1.7e308], 0.0),
        ("percentile(x, 50, 'midpoint')", [1.7e308, 1.7e308], 1.7e308),
        ("any(x)", [None, None], None),
        ("all(x)", [None, None], None),
    ],
)
def test_an_aggregate_is_a_number_or_null(expression: str, values: list[float | None], value: float | None) -> None:
    assert window_value(expression, values) == value


@pytest.mark.parametrize(
    ("expression", "x", "value"),
    [
        ("round(x)", 0.49999999999999994, 0),
        ("round(x)", -0.49999999999999994, 0),
        ("round(x)", 2.5, 3),
        ("round(x)", -2.5, -3),
        ("round(x)", 4503599627370497.0, 4503599627370497),
        ("round(x, 2)", 1.115, 1.11),
        ("round(x, 2)", 1.125, 1.13),
        ("round(x, 10)", 1e300, 1e300),
        ("round(x, -2)", 250.0, 300.0),
        ("round(x, -2)", 249.99999999999997, 200.0),
        ("floor(x)", 1e300, BIG),
        ("ceil(x)", -1e300, -BIG - 1),
        ("long(x)", 2.0**63, BIG),
        ("int(x)", -(2.0**63), -BIG - 1),
    ],
)
def test_rounding_is_exact_and_stays_within_64_bits(expression: str, x: float, value: float) -> None:
    assert value_of(expression, [x]) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [("strlen(x)", 2), ("upper(x)", "A\0"), ("nullFill(x, 'b')", "a\0"), ("startsWith(x, 'a')", True)],
)
def test_a_text_that_ends_in_nul_stays_whole(expression: str, value: Any) -> None:
    assert value_of(expression, ["a\0"], "STRING") == value


def test_texts_that_differ_in_nul_alone_differ() -> None:
    schema = {"t": "TIMESTAMP", "x": "STRING"}
    metrics = ["x == 'a'", "x == 'a\0'", "x in ['a\0']", "endsWith(x, '\0')"]
    for few_rows_max in (0, 9):
        subject = AnomalyDetectionEngine("nul", metrics, schema, "t")
        subject.few_rows_max = few_rows_max
        assert subject.append([(1, "a\0"), (2, "a")])["type"].to_list() == [1, 2, 3, 0]
    assert window_value("nunique(x)", ["a", "a\0"], "STRING") == 2

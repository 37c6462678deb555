"""Few rows, tested one after the other, give what the vectors give: output, state, late rows, explanations, windows."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.engine import AnomalyDetectionEngine
from actors.engine.functions.catalogue import FUNCTIONS
from actors.engine.functions.definition import Kind
from tests.property.engine.test_cuts import SCHEMA, run, streams

METRICS = [
    "qty < 4 or flag",
    "xor(price > 1.05 * prev(price), not flag)",
    "sum(qty) / 2 > 5 and count(qty) < 9",
    "sum(price) > 2.7",
    "avg(price) > price",
    "mean(qty) >= qty",
    "std(price) > 0.3 and stdp(qty) != 1",
    "var(price) > varp(price) or sem(price) < 0.1",
    "max(price) - min(price) > 0.9 or max(flag)",
    "corr(price, qty) > 0.2",
    "covar(price, qty) > covarp(qty, price) or beta(price, qty) > 0.1",
    "wavg(price, qty) < price or wavg(qty, flag) == 3",
    "wsum(price, qty) > wsum(qty, flag)",
    "first(price) < last(qty + price)",
    "firstNot(price) <= lastNot(qty) and firstNot(sym) == sym",
    "any(flag) and all(qty) or rms(price) > 1",
    "prod(price) < 1 and prod(qty) > 2",
    "sum2(qty) > sum3(price) and sum4(qty) > 9",
    "size(qty) > 3 and min(qty) < 2",
    "sum(iif(flag, qty, 1)) > nullFill(first(qty), 3)",
    "deltas(price, 2) > 0.3",
    "deltas(qty) > 2",
    "ratios(price) > 1.3 and percentChange(qty, 2) > 0",
    "move(sym, 2) == sym",
    "prev(flag) != flag or isNull(prev(price + qty))",
    "ffill(price, 2) > 0.8 and ffill(sym) > 'A'",
    "cumsum(price) > 3.3 and cumcount(price) > 1",
    "cumsum(qty) > 9 or cumprod(flag) == 1",
    "cumavg(price) > price or cumstd(price) > 0.4",
    "cumvar(qty) > cumvarp(qty) and cumstdp(price) > 0",
    "cummax(qty) > qty or cummin(price) == price",
    "cumcorr(price, qty) > 0.1 or cumcovar(price, qty) > 0.1 or cumbeta(price, qty) < 0",
    "cumwsum(price, qty) > 3 and cumwavg(price, qty) < price",
    "ema(price, 3) > price",
    "ema(qty, 3, true) > qty",
    "ewmMean(price, alpha=0.4) > price or ewmMean(qty, com=2) > qty",
    "ewmStd(price, com=2) > 0.1 or ewmStd(qty, alpha=0.3) > 1",
    "prev(deltas(price)) > ratios(prev(price))",
    "between(qty, 2:5) and sym in ['A', 'B']",
    "deltas(time) > 3",
    "sum(price > 0.5) > 1 or qty in [1, NULL]",
    "between(price, prev(price):0.9) and not (qty > 3 or price < 0.5)",
    "count(qty in [2, NULL]) > 1 and max(qty) > qty",
]


@st.composite
def arguments(draw: st.DrawFn) -> dict[str, Any]:
    step = draw(st.sampled_from([1, 2, 3, 5, 10]))
    return {
        "metrics": draw(st.lists(st.sampled_from(METRICS), min_size=1, max_size=6, unique=True)),
        "window_size": step * draw(st.sampled_from([1, 1, 2, 4, 12])),
        "step": step,
        "key_columns": draw(st.sampled_from([(), ("sym",), ("sym",), ("sym", "flag"), ("flag", "qty")])),
        "nulls": draw(st.sampled_from(["smallest", "unknown"])),
        "explain": draw(st.sampled_from(["none", "windows", "all"])),
    }


def make(given: dict[str, Any], few_rows_max: int) -> AnomalyDetectionEngine:
    engine = AnomalyDetectionEngine("test", schema=SCHEMA, time_column="time", **given)
    engine.few_rows_max = few_rows_max
    return engine


def told(engine: AnomalyDetectionEngine, stream: list[tuple[Any, ...]], cuts: set[int]) -> list[Any]:
    """Return everything an engine says about a stream, batch by batch."""
    found: list[Any] = []
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, stop in pairwise(edges):
        anomalies = engine.append(stream[start:stop])
        engine.validate()
        explained = [engine.explain(*ids) for ids in anomalies.select("offset", "ordinal").rows()]
        found.append((anomalies, explained, engine.closed_windows(), engine.take_late()))
    return [part.rows() if hasattr(part, "rows") else part for batch in found for part in batch]


relaxed = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


@relaxed
@given(arguments(), streams(), st.sets(st.integers(1, 39), max_size=8))
def test_few_rows_are_told_about_as_many_are(
    given: dict[str, Any], stream: list[tuple[Any, ...]], cuts: set[int]
) -> None:
    vectors, rows = make(given, 0), make(given, 1000)
    assert told(rows, stream, cuts) == told(vectors, stream, cuts)
    assert rows.stat() == vectors.stat()
    assert rows.stat().null_comparison_counts == vectors.stat().null_comparison_counts
    assert rows.snapshot() == vectors.snapshot()


@relaxed
@given(arguments(), streams(), st.sets(st.integers(1, 39), max_size=12), st.integers(1, 8))
def test_changing_between_few_rows_and_many_changes_nothing(
    given: dict[str, Any], stream: list[tuple[Any, ...]], cuts: set[int], few_rows_max: int
) -> None:
    vectors, both = make(given, 0), make(given, few_rows_max)
    assert run(both, stream, cuts) == run(vectors, stream, set())
    restored = make(given, few_rows_max)
    restored.restore(both.snapshot())
    assert run(restored, stream, cuts) == run(vectors, stream, {3})
    assert restored.snapshot() == vectors.snapshot()


@pytest.mark.slow
@settings(relaxed, max_examples=3000)
@given(arguments(), streams(), st.sets(st.integers(1, 39), max_size=12), st.integers(1, 8))
def test_few_rows_give_the_output_of_many_in_thousands_of_cases(
    given: dict[str, Any], stream: list[tuple[Any, ...]], cuts: set[int], few_rows_max: int
) -> None:
    vectors, both = make(given, 0), make(given, few_rows_max)
    assert told(both, stream, cuts) == told(vectors, stream, cuts)
    assert both.snapshot() == vectors.snapshot()


def test_every_metric_here_has_a_row_form() -> None:
    assert [
        metric for metric in METRICS if make({"metrics": [metric], "window_size": 4, "step": 2}, 1).few_rows_max == 0
    ] == []


def test_every_aggregate_and_look_back_with_a_row_form_is_in_a_metric_here() -> None:
    text = " ".join(METRICS)
    formed = [f.name for f in FUNCTIONS if f.row_form is not None and f.kind is not Kind.SCALAR]
    assert [name for name in formed if f"{name}(" not in text] == []

"""The output and the state depend on the rows alone: not on batch cuts, snapshots, or how keys are spread."""

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.engine import AnomalyDetectionEngine

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "flag": "BOOL", "qty": "INT", "price": "DOUBLE"}

METRICS = [
    "qty < 4",
    "price > 1.05 * prev(price)",
    "sum(qty) > 5",
    "sum(price) > 2.7",
    "avg(price) > price",
    "std(price) > 0.3 and count(price) > 1",
    "max(price) - min(price) > 0.9",
    "corr(price, qty) > 0.2",
    "wavg(price, qty) < price",
    "percentile(price, 75) < price",
    "med(qty) >= last(qty)",
    "first(price) < lastNot(price)",
    "nunique(sym, true) == 1 and nunique(qty) > 2",
    "mode(qty) == 2 or imax(price) > 1",
    "sum(deltas(price)) > 0.1",
    "prod(price) < 1 and kurtosis(price) > 1.5",
    "mad(price, true) > 0.2",
    "deltas(price, 2) > 0.3",
    "ratios(price) > 1.3",
    "move(sym, 2) == sym",
    "ffill(price, 2) > 0.8",
    "msum(price, 3) > 1.7",
    "mavg(price, 4, 2) > price",
    "mstd(price, 3) > 0.4",
    "mpercentile(price, 40, 5, minPeriods=1) < price",
    "mrank(price, true, 4) == 3",
    "tmsum(time, price, 7) > 2.1",
    "tmcount(time, qty, 5ms) > 3",
    "tmmax(time, price, 4) > price",
    "cumsum(price) > 3.3",
    "cumavg(price) > price",
    "cumstd(price) > 0.4",
    "cummax(qty) > qty",
    "ema(price, 3) > price",
    "ewmMean(price, com=0.5) > price",
    "prev(mavg(price, 2)) > price",
    "cumcorr(price, qty) > 0.1",
    "any(flag) and flag",
    "isNull(qty) == false && x_in(sym)".replace("x_in(sym)", "sym in ['A', 'B']"),
    "sym < prev(sym)",
]

prices = st.none() | st.floats(0.0, 2.0, allow_nan=False)
rows = st.tuples(
    st.integers(0, 12) | st.integers(0, 2000),
    st.sampled_from(["A", "B", "C", None]),
    st.none() | st.booleans(),
    st.none() | st.integers(-1, 9),
    prices,
)


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Rows whose time mostly grows, with ties, gaps, late rows and rows without a time."""
    time, stream = draw(st.integers(-5, 50)), []
    for step, *rest in draw(st.lists(rows, min_size=1, max_size=40)):
        time += 0 if step in (7, 8, 9) else step if step > 12 or step < 5 else 1
        own = None if step == 12 else time - 3 if step in (10, 11) else time
        stream.append((own, *rest))
    return stream


@st.composite
def engines(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of an engine with some metrics."""
    step = draw(st.sampled_from([1, 2, 3, 5, 10]))
    return {
        "metrics": draw(st.lists(st.sampled_from(METRICS), min_size=1, max_size=6, unique=True)),
        "window_size": step * draw(st.sampled_from([1, 1, 2, 4])),
        "step": step,
        "key_columns": draw(st.sampled_from([(), ("sym",), ("sym",), ("sym", "flag")])),
    }


def make(arguments: dict[str, Any]) -> AnomalyDetectionEngine:
    return AnomalyDetectionEngine("test", schema=SCHEMA, time_column="time", **arguments)


def run(engine: AnomalyDetectionEngine, stream: list[tuple[Any, ...]], cuts: set[int]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, stop in pairwise(edges):
        found += engine.append(stream[start:stop]).rows()
        engine.validate()
    return found


relaxed = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@relaxed
@given(engines(), streams(), st.sets(st.integers(1, 39), max_size=8))
def test_batch_cuts_change_neither_output_nor_state(
    arguments: dict[str, Any], stream: list[tuple[Any, ...]], cuts: set[int]
) -> None:
    whole, cut, single = make(arguments), make(arguments), make(arguments)
    # The whole is tested by vectors, the parts row by row where the metrics allow it.
    whole.few_rows_max = 0
    expected = run(whole, stream, set())
    assert run(cut, stream, cuts) == expected
    assert run(single, stream, set(range(len(stream)))) == expected
    assert whole.snapshot() == cut.snapshot() == single.snapshot()


@relaxed
@given(engines(), streams(), st.integers(1, 39))
def test_what_was_captured_is_the_snapshot_of_an_engine_that_stopped_there(
    arguments: dict[str, Any], stream: list[tuple[Any, ...]], cut: int
) -> None:
    stopped, going = make(arguments), make(arguments)
    run(stopped, stream[:cut], set())
    run(going, stream[:cut], set())
    captured = going.capture()
    # Both ways of testing rows change arrays where they are.
    run(going, stream[cut:] + stream, {len(stream) - cut})
    assert b"".join(captured.pieces()) == stopped.snapshot()


@relaxed
@given(engines(), streams(), st.integers(1, 39))
def test_a_snapshot_restored_elsewhere_continues_with_equal_output(
    arguments: dict[str, Any], stream: list[tuple[Any, ...]], cut: int
) -> None:
    whole, first, second = make(arguments), make(arguments), make(arguments)
    expected = run(whole, stream, {cut})
    found = run(first, stream[:cut], set())
    second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot()
    if stream[cut:]:
        found += run(second, stream[cut:], set())
    assert found == expected
    assert second.snapshot() == whole.snapshot()


@relaxed
@given(engines(), streams(), st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_keys_spread_over_engines_give_the_same_anomalies(
    arguments: dict[str, Any], stream: list[tuple[Any, ...]], homes: list[int]
) -> None:
    arguments["key_columns"] = ("sym",)
    expected = sorted(run(make(arguments), stream, set()), key=lambda row: row[-2:])
    home = dict(zip(["A", "B", "C", None], homes, strict=True))
    found: list[tuple[Any, ...]] = []
    for number in range(3):
        offsets = [offset for offset, row in enumerate(stream) if home[row[1]] == number]
        if offsets:
            found += make(arguments).append([stream[offset] for offset in offsets], offsets).rows()
    assert sorted(found, key=lambda row: row[-2:]) == expected


@pytest.mark.slow
@settings(relaxed, max_examples=3000)
@given(engines(), streams(), st.sets(st.integers(1, 39), max_size=8))
def test_batch_cuts_change_nothing_in_thousands_of_cases(
    arguments: dict[str, Any], stream: list[tuple[Any, ...]], cuts: set[int]
) -> None:
    assert run(make(arguments), stream, cuts) == run(make(arguments), stream, set())


def test_large_batches_and_small_ones_number_keys_alike() -> None:
    count = 3000
    frame = pl.DataFrame(
        {
            "time": pl.Series(range(count), dtype=pl.Int64),
            "sym": [None if i % 97 == 0 else f"K{i * i % 211}" for i in range(count)],
            "flag": [i % 3 == 0 for i in range(count)],
            "qty": [i % 7 for i in range(count)],
            "price": [0.1 * (i % 11) for i in range(count)],
        }
    )
    arguments = {"metrics": ["sum(price) > 1.1", "prev(qty) > qty"], "window_size": 50, "step": 50}
    outputs, snapshots = [], []
    for size in (29, 40, 100, 3000):
        engine = make({**arguments, "key_columns": ("sym", "qty")})
        parts = [engine.append_physical(frame[start : start + size]) for start in range(0, count, size)]
        outputs.append(pl.concat(parts))
        snapshots.append(engine.snapshot())
    assert all(output.equals(outputs[0]) for output in outputs)
    assert len(set(snapshots)) == 1


@pytest.mark.parametrize("window", [50, 400])
def test_long_streams_of_many_keys_do_not_depend_on_cuts(window: int) -> None:
    generator, count = np.random.default_rng(5), 8000
    frame = pl.DataFrame(
        {
            "time": np.arange(count),
            "sym": [f"K{number}" for number in generator.integers(0, 150, count)],
            "flag": [True] * count,
            "qty": generator.integers(0, 10, count),
            "price": generator.random(count),
        }
    )
    metrics = [metric for metric in METRICS if "flag" not in metric and "ema" not in metric and "ewm" not in metric]
    arguments = {"metrics": metrics, "window_size": window, "step": 50, "key_columns": ("sym",)}
    outputs, snapshots = [], []
    for size in (count, 1777, 211):
        engine = make(arguments)
        parts = [engine.append_physical(frame[start : start + size]) for start in range(0, count, size)]
        outputs.append(pl.concat(parts))
        snapshots.append(engine.snapshot())
    assert [output.equals(outputs[0]) for output in outputs] == [True] * 3
    assert len(set(snapshots)) == 1

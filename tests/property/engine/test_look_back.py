"""Look-backs by time give the naive values over any times, with the same state however rows are cut."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.engine import AnomalyDetectionEngine, MetricError
from actors.engine.functions.look_back import TimedMoveState
from actors.engine.vectors.batch import single_key
from actors.engine.vectors.vector import Type, Vector
from actors.given_rows import to_frame
from tests.support.naive.ordered import rate, time_move, time_previous

SCHEMA = {"time": "TIMESTAMP", "key": "INT", "at": "TIMESTAMP", "x": "INT"}
BIG = (1 << 63) - 1
TIMES = st.integers(-3, 40) | st.none() | st.sampled_from([1000, -1000])
ROWS = st.lists(st.tuples(st.integers(0, 2), TIMES, st.integers(-3, 9) | st.none()), min_size=1, max_size=40)
METRIC = "isNull({0}) or isValid({0})"
LOOKS = [(w, t, e) for w in (1, 4, 10) for t in (None, 0, 2) for e in (None, 1, 3) if e is None or e <= w]


def values(expressions: list[str], rows: list[tuple[Any, ...]], cuts: list[int]) -> tuple[list[Any], bytes]:
    """Return the values of expressions at all rows, and the state after them."""
    metrics, found = [METRIC.format(one) for one in expressions], []
    engine = AnomalyDetectionEngine("t", metrics, SCHEMA, "time", ["key"])
    for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        frame = to_frame(engine.settings.schema, [(i, *rows[i]) for i in range(start, stop)])
        engine.append_physical(frame)
        engine.validate()
        found += [[_value(engine, i, n, one) for n, one in enumerate(expressions)] for i in range(start, stop)]
        restored = AnomalyDetectionEngine("t", metrics, SCHEMA, "time", ["key"])
        restored.restore(engine.snapshot())
        engine = restored if stop < len(rows) else engine
    return found, engine.snapshot()


def _value(engine: AnomalyDetectionEngine, offset: int, ordinal: int, expression: str) -> Any:
    return engine.explain(offset, ordinal).values[expression]


@settings(max_examples=40, deadline=None)
@given(ROWS, st.data())
def test_look_backs_are_naive_at_any_cut(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    looks = data.draw(st.lists(st.sampled_from(LOOKS), min_size=3, max_size=3))
    given_ = [
        f"tmove(at, x, {w}" + ("" if t is None else f", tolerance={t}") + ("" if e is None else f", every={e}") + ")"
        for w, t, e in looks
    ]
    expressions = [*dict.fromkeys([*given_, "tmprev(at, x, 3)", "rate(x, at)"])]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    found, state = values(expressions, rows, cuts)
    assert state == values(expressions, rows, [])[1]
    for i, (key, _, _) in enumerate(rows):
        own = [row for row in rows[: i + 1] if row[0] == key]
        times, numbers = [row[1] for row in own], [row[2] for row in own]
        wanted: dict[str, Any] = {
            one: time_move(times, numbers, *look) for one, look in zip(given_, looks, strict=True)
        }
        wanted |= {"tmprev(at, x, 3)": time_previous(times, numbers, 3), "rate(x, at)": rate(numbers, times, 1000)}
        assert found[i] == [pytest.approx(wanted[one]) for one in expressions], (i, own)


@pytest.mark.parametrize(
    ("tolerance", "every", "most"), [(None, 100, 11), (None, None, 1001), (10, None, 1001), (50, 7, 144)]
)
def test_what_is_kept_is_bounded(tolerance: int | None, every: int | None, most: int) -> None:
    state = TimedMoveState(Type.INT, 1000, tolerance, every)
    for start in range(0, 20_000, 700):
        times = Vector(np.arange(start, start + 700), None)
        state.evaluate([times, times], single_key(700))
    assert state.state()["lengths"].tolist() == [most]
    assert every is None or most <= (state.kept().entry_count_max or 0)


@pytest.mark.parametrize("time", [BIG, -BIG - 1, 1 << 62, -(1 << 62)])
def test_times_at_the_ends_of_64_bits_do_no_harm(time: int) -> None:
    rows = [(0, time, 1), (0, 0, 2), (0, time, 3), (0, BIG, 4), (0, -BIG - 1, 5)]
    for cuts in ([], [1, 2, 3]):
        found, _ = values([f"tmove(at, x, {1 << 61})", "tmove(at, x, 5, every=5)", "tmprev(at, x, 9)"], rows, cuts)
        assert found[0] == [None, None, None]


@pytest.mark.parametrize(
    ("metric", "problem"),
    [
        ("tmove(time, x, 5, every=6) > 1", "`every` is longer than the window"),
        ("tmove(time, x, 0) > 1", "`window` cannot be 0"),
        ("tmove(time, x, 5s, tolerance=-1s) > 1", "`tolerance` cannot be -1s"),
        ("tmove(x, x, 5s) > 1", "a length of time needs a time column"),
        ("tmove(time, x, 7d, tolerance=10us) > 1", "no whole number of ticks"),
        ("rate(x, x) > 1", "needs a time here"),
        ("rate() > 1", "lacks its argument `x`"),
        ("ewmScore(x) > 1", "give exactly one of com"),
        ("zscore(x, 1) > 1", "`window` cannot be 1"),
        ("zscore(avg(x), 5) > 1", "an aggregate cannot stand inside"),
        ("increase('a') > 1", "needs a number here"),
        ("zscore(5, 5) > 1", "needs a column"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(metric: str, problem: str) -> None:
    with pytest.raises(MetricError, match=problem):
        AnomalyDetectionEngine("t", [metric], SCHEMA, "time", ["key"], 10, 10)


def test_shorthands_within_shorthands_have_a_bound() -> None:
    metric = "x"
    for _ in range(20):
        metric = f"zscore({metric}, 5)"
    with pytest.raises(MetricError, match="stands for more than 5000 functions and columns"):
        AnomalyDetectionEngine("t", [f"{metric} > 1"], SCHEMA, "time", ["key"])

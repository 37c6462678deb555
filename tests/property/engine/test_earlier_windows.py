"""Earlier windows and named parts: the same values and state however rows are cut, by grid, calendar and ticks."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.engine import AnomalyDetectionEngine
from actors.given_rows import to_frame
from tests.support.naive.engine import NaiveEngine
from tests.support.naive.numbers import Fragile

SCHEMA = {"time": "TIMESTAMP", "key": "INT", "x": "INT"}
LET = {"total": "sum(x)", "many": "count(*)", "mean": "total \\ many"}
METRICS = (
    "earlier(total, 1) < total",
    "isNull(earlier(mean, 2)) and many > 1",
    "many > earlier(many, 3) + earlier(total, 1)",
    "x > earlier(mean, 1)",
    "isNull(earlier(first(x), 1)) and x > 0",
)
GRIDS: tuple[dict[str, Any], ...] = (
    {"window_size": 4, "step": 4},
    {"window_size": 12, "step": 3},
    {"window_size": 10, "step": 4},
    {"window_size": 7, "step": 7},
    {"window_size": 8, "step": 4, "window_offset": 1},
)
HOPS = st.sampled_from([0, 0, 1, 1, 2, 3, 5, 9, 30])
ROWS = st.lists(st.tuples(HOPS, st.integers(0, 2), st.integers(-3, 9) | st.none()), min_size=1, max_size=25)


def written_out(metric: str) -> str:
    for name in ("mean", "total", "many"):
        metric = metric.replace(name, f"({LET[name]})")
    return metric


def made(grid: dict[str, Any], **options: Any) -> AnomalyDetectionEngine:
    return AnomalyDetectionEngine("t", METRICS, SCHEMA, "time", ["key"], let=LET, **grid, **options)


def timed(rows: list[tuple[int, int, int | None]]) -> list[tuple[int, int, int | None]]:
    time, found = 1000, []
    for hop, key, x in rows:
        time += hop
        found.append((time, key, x))
    return found


def outcome(rows: list[Any], cuts: list[int], ticks: int, grid: dict[str, Any]) -> tuple[list[Any], bytes]:
    """Return the anomalies and the state; a tick comes after every so many rows, and each cut restores a snapshot."""
    options = {"ticks_close_windows": True} if ticks else {}
    engine, found = made(grid, **options), []
    stops = sorted({*cuts, *(range(ticks, len(rows), ticks) if ticks else ()), 0, len(rows)})
    for start, stop in pairwise(stops):
        found += engine.append_physical(to_frame(engine.settings.schema, rows[start:stop])).rows()
        if ticks and stop % ticks == 0:
            found += engine.advance(rows[stop - 1][0], stop - 1).rows()
        engine.validate()
        restored = made(grid, **options)
        restored.restore(engine.snapshot())
        engine = restored
    return [(row[1], row[2], row[-2], row[-1]) for row in found], engine.snapshot()


OF_ROWS: tuple[dict[str, Any], ...] = ({"window_rows": 3}, {"window_rows": 4, "step": 2}, {"window_gap": 4})


@pytest.mark.parametrize("grid", [*GRIDS, *OF_ROWS], ids=str)
@settings(max_examples=4, deadline=None)
@given(ROWS, st.lists(st.integers(0, 40), max_size=4), st.sampled_from([0, 0, 3]))
def test_cuts_change_nothing(grid: dict[str, Any], hops: list[Any], cuts: list[int], ticks: int) -> None:
    rows = timed(hops)
    cuts, ticks = [cut for cut in cuts if cut < len(rows)], 0 if "window_rows" in grid else ticks
    assert outcome(rows, cuts, ticks, grid) == outcome(rows, [], ticks, grid)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@settings(max_examples=4, deadline=None)
@given(ROWS)
def test_anomalies_are_the_naive_ones(grid: dict[str, Any], hops: list[Any]) -> None:
    rows = timed(hops)
    naive = NaiveEngine([written_out(metric) for metric in METRICS], SCHEMA, "time", ["key"], **grid)
    try:
        wanted = [(one.time, one.metric_index, one.offset, one.ordinal) for one in naive.append(rows)]
    except Fragile:
        return
    found = made(grid).append_physical(to_frame(made(grid).settings.schema, rows)).rows()
    assert [(row[0], row[2], row[4], row[5]) for row in found] == wanted


@settings(max_examples=3, deadline=None)
@given(ROWS, st.integers(0, 40))
def test_days_and_months_have_earlier_ones(hops: list[Any], cut: int) -> None:
    rows = [(row[0] * 7_200_000, *row[1:]) for row in timed(hops)]
    grid = {"align": "month", "timezone": "Europe/Berlin"}
    assert outcome(rows, [min(cut, len(rows))], 0, grid) == outcome(rows, [], 0, grid)


def test_a_month_is_compared_with_the_one_before() -> None:
    schema = {"time": "DATETIME", "x": "INT"}
    options = {"align": "month", "timezone": "Europe/Berlin"}
    engine = AnomalyDetectionEngine(
        "t", ["sum(x) > 2 * earlier(sum(x), 1)"], schema, "time", nulls="unknown", **options
    )
    day = 86_400
    rows = [(31 * day + 5, 1), (59 * day, 1), (90 * day, 5), (120 * day, 1), (151 * day, 1)]
    found = engine.append_physical(to_frame(engine.settings.schema, rows))
    # April of 1970 against March; the Berlin of 1970 is an hour ahead.
    assert found["time"].to_list() == [120 * day - 3600]


@pytest.mark.parametrize(
    ("grid", "times"),
    [({"window_rows": 2}, [0, 1, 2, 3, 9]), ({"window_gap": 3}, [0, 1, 10, 11, 90])],
)
def test_rows_and_sessions_have_earlier_ones(grid: dict[str, Any], times: list[int]) -> None:
    schema = {"time": "TIMESTAMP", "x": "INT"}
    engine = AnomalyDetectionEngine("t", ["earlier(sum(x), 1) == 3 and sum(x) == 7"], schema, "time", **grid)
    rows = list(zip(times, [1, 2, 3, 4, 5], strict=True))
    assert engine.append_physical(to_frame(engine.settings.schema, rows)).height == 1

"""Ticks close windows: what closes, what is late then, what is told of it."""

import json
from typing import Any

import pytest

from actors.engine import AnomalyDetectionEngine
from actors.engine.episodes.episode import LifecycleSettings
from actors.engine.errors import ArgumentError, EngineSnapshotError
from actors.engine.report.output import LATE_ORDINALS

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"}


def make(metrics: list[str], size: int = 10, step: int = 10, **options: Any) -> AnomalyDetectionEngine:
    settings = {"ticks_close_windows": True} | options
    return AnomalyDetectionEngine("test", metrics, SCHEMA, "time", ["sym"], size, step, **settings)


def told(frame: Any) -> list[tuple[Any, ...]]:
    return [(row["sym"], row["time"].microsecond // 1000, row["type"], row["offset"], row["ordinal"]) for row in
            frame.rows(named=True)]  # fmt: skip


def test_a_tick_closes_the_windows_of_all_keys_in_the_order_of_keys() -> None:
    engine = make(["sum(qty) > 5", "count(qty) > 0"])
    engine.append([(1, "B", 6), (2, "A", 1), (11, "C", 9)])
    found = engine.advance(19)
    assert told(found) == [
        ("A", 10, 1, 2, LATE_ORDINALS), ("B", 10, 0, 2, LATE_ORDINALS + 1), ("B", 10, 1, 2, LATE_ORDINALS + 2),
    ]  # fmt: skip
    assert engine.advance(19).is_empty()
    assert told(engine.advance(20, 7)) == [("C", 20, 0, 7, LATE_ORDINALS), ("C", 20, 1, 7, LATE_ORDINALS + 1)]


def test_without_the_setting_ticks_close_nothing() -> None:
    engine = make(["sum(qty) > 5"], ticks_close_windows=False)
    engine.append([(1, "A", 6)])
    assert engine.advance(100).is_empty()
    assert told(engine.append([(100, "A", 1)])) == [("A", 10, 0, 1, 0)]


def test_mixed_metrics_see_what_a_tick_has_closed() -> None:
    engine = make(["avg(qty) > qty"])
    engine.append([(1, "A", 6)])
    engine.advance(10)
    assert told(engine.append([(10, "A", 5)])) == [("A", 10, 0, 1, 0)]


@pytest.mark.parametrize("few_rows_max", [0, 100])
def test_a_row_older_than_a_window_that_was_reported_is_late(few_rows_max: int) -> None:
    engine = make(["sum(qty) > 5"])
    engine.few_rows_max = few_rows_max
    engine.append([(1, "A", 6), (15, "B", 1)])
    engine.advance(25)
    engine.append([(9, "A", 6), (10, "A", 6), (19, "B", 6)])
    assert engine.take_late().select("offset", "late_by").rows() == [(2, 1), (4, 1)]
    assert told(engine.advance(30)) == [("A", 20, 0, 4, LATE_ORDINALS)]


def test_a_tick_reports_sliding_windows_as_long_as_they_have_rows() -> None:
    engine = make(["sum(qty) > 0"], 30, 10)
    engine.append([(1, "A", 6)])
    assert [row[1] for row in told(engine.advance(25))] == [10, 20]
    assert [row[1] for row in told(engine.advance(1000))] == [30]


def test_a_tick_is_of_one_split() -> None:
    engine = make(["sum(qty) > 5"])
    for split, symbol in enumerate("AB"):
        engine.follow_split(split)
        engine.append([(1, symbol, 6)], [0])
    assert [row[0] for row in told(engine.advance(10))] == ["B"]
    engine.follow_split(0)
    assert [row[0] for row in told(engine.advance(10))] == ["A"]


@pytest.mark.parametrize("few_rows_max", [0, 100])
def test_what_a_tick_reports_is_explained(few_rows_max: int) -> None:
    engine = make(["sum(qty) > 5"], explain="all")
    engine.few_rows_max = few_rows_max
    engine.append([(1, "B", 6), (2, "A", 7), (3, "A", 2)])
    found = engine.advance(10)
    assert [json.loads(one) for one in found["detail"]] == [
        {"values": {"sum(qty)": 9}, "window": {"start": 0, "end": 10, "rows": 2}},
        {"values": {"sum(qty)": 6}, "window": {"start": 0, "end": 10, "rows": 1}},
    ]
    explained = engine.explain(2, LATE_ORDINALS + 1)
    assert (explained.key, explained.values["sum(qty)"], explained.window_end) == (("B",), 6, 10)
    assert sorted(engine.closed_windows().rows()) == [("A", 10, 2, 9), ("B", 10, 1, 6)]


def test_episodes_begin_and_end_at_ticks_and_several_at_one_are_told_apart() -> None:
    engine = make(["sum(qty) > 5"], lifecycles=[LifecycleSettings()])
    engine.append([(1, "B", 6), (2, "A", 6)])
    engine.advance(10)
    begun = engine.take_episodes()
    assert [(one.offset, one.episode.key, one.episode.start) for one in begun.notices] == [
        (1, ("A",), 10),
        (1, ("B",), 10),
    ]
    assert len(begun.changed) == 2
    restored = make(["sum(qty) > 5"], lifecycles=[LifecycleSettings()])
    restored.restore(engine.snapshot())
    assert restored.open_episodes() == engine.open_episodes()
    engine.append([(11, "A", 1)])
    engine.advance(20)
    assert [(one.episode.key, one.episode.end) for one in engine.take_episodes().notices] == [(("A",), 20)]


@pytest.mark.parametrize(
    ("keys", "rows"),
    [
        ({"k": "DOUBLE", "b": "BOOL"}, [(1, -0.5, None), (1, None, True), (1, -0.5, False), (1, 2.5, True)]),
        ({"k": "INT", "b": "STRING"}, [(1, 7, "é"), (1, None, None), (1, -7, "b"), (1, 7, None)]),
    ],
)
def test_keys_of_all_types_are_reported_as_they_came(keys: dict[str, str], rows: list[tuple[Any, ...]]) -> None:
    engine = AnomalyDetectionEngine(
        "test", ["size(k) > 0"], {"time": "TIMESTAMP", **keys}, "time", ["k", "b"], 5, 5, ticks_close_windows=True
    )
    engine.append(rows)
    wanted = sorted((row[1:] for row in rows), key=lambda key: [(value is not None, value) for value in key])
    assert engine.advance(5).select("k", "b").rows() == wanted


def test_a_tick_that_closes_many_windows_takes_the_keys_in_parts() -> None:
    engine, whole = make(["sum(qty) > 0", "med(qty) > 0"], 30, 10), make(["sum(qty) > 0", "med(qty) > 0"], 30, 10)
    engine._core.rows_at_once = 3
    rows = [(at, f"key{at * 7 % 10}", at) for at in range(10)]
    for one in (engine, whole):
        one.append(rows)
    assert engine.advance(25).rows() == whole.advance(25).rows()
    assert engine.snapshot() == whole.snapshot()


def test_without_keys_a_tick_closes_the_windows_of_all_rows() -> None:
    engine = AnomalyDetectionEngine("test", ["sum(qty) > 5"], SCHEMA, "time", (), 10, 10, ticks_close_windows=True)
    engine.append([(1, "A", 3), (2, "B", 3)])
    assert engine.advance(10).height == 1


def test_ticks_that_have_nothing_to_close_are_refused() -> None:
    with pytest.raises(ArgumentError, match="nothing that ticks could close"):
        make(["qty > 5"])
    with pytest.raises(ArgumentError, match="ticks_close_windows is 'yes'"):
        make(["sum(qty) > 5"], ticks_close_windows="yes")


def test_a_snapshot_of_an_engine_whose_windows_close_otherwise_is_refused() -> None:
    with pytest.raises(EngineSnapshotError, match="other metrics"):
        make(["sum(qty) > 5"]).restore(make(["sum(qty) > 5"], ticks_close_windows=False).snapshot())

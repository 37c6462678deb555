"""Idle keys are forgotten at ticks: they begin anew, their episodes end, and state stays bounded."""

from typing import Any

import pytest

from actors.engine import AnomalyDetectionEngine
from actors.engine.episodes.episode import EpisodeState, LifecycleSettings
from actors.engine.errors import ArgumentError, EngineSnapshotError

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"}


def make(metrics: list[str], size: int | None = None, keys: tuple[str, ...] = ("sym",), **options: Any) -> Any:
    settings = {"nulls": "unknown", "idle_key_ttl": 50, "ticks_close_windows": size is not None} | options
    return AnomalyDetectionEngine("test", metrics, SCHEMA, "time", keys, size, size, **settings)


@pytest.mark.parametrize("few_rows_max", [0, 100])
def test_a_key_that_comes_back_after_its_time_is_a_new_one(few_rows_max: int) -> None:
    engine = make(["qty > prev(qty)"])
    engine.few_rows_max = few_rows_max
    engine.append([(1, "A", 1), (2, "B", 1), (3, "C", 1)])
    engine.advance(52)
    found = engine.append([(60, "A", 9), (60, "B", 9)])
    assert found["sym"].to_list() == ["B"]


@pytest.mark.parametrize("few_rows_max", [0, 100])
def test_what_a_window_has_said_is_forgotten_with_its_key(few_rows_max: int) -> None:
    engine = make(["avg(qty) > qty"], 10)
    engine.few_rows_max = few_rows_max
    engine.append([(1, "A", 6)])
    engine.advance(20)
    assert engine.append([(21, "A", 5)]).height == 1
    engine.advance(90)
    assert engine.append([(95, "A", 1)]).height == 0


def test_keys_that_come_and_go_leave_no_state_behind() -> None:
    engine = make(["sum(qty) > 5", "med(qty) > prev(qty)", "qty > mavg(qty, 3)"], 10, max_lateness=3)
    sizes = []
    for start in range(0, 2400, 20):
        engine.append([(start + at, f"session {start + at}", 3) for at in range(20)])
        engine.advance(start + 20)
        sizes.append((engine.stat().key_count, len(engine.snapshot())))
    assert max(count for count, _ in sizes[10:]) < 250
    assert max(size for _, size in sizes[20:100]) * 1.2 > max(size for _, size in sizes[100:])
    assert engine.memory().state_size_bytes < 200_000


def test_a_key_of_another_split_is_not_forgotten() -> None:
    engine = make(["qty > prev(qty)"])
    for split, symbol in enumerate("AB"):
        engine.follow_split(split)
        engine.append([(1, symbol, 1)], [0])
    engine.advance(1000)
    found = engine.append([(1000, "B", 2)], [1])
    engine.follow_split(0)
    assert (found.height, engine.append([(1000, "A", 2)], [1]).height) == (0, 1)


def test_episodes_of_a_forgotten_key_end_and_others_keep_theirs() -> None:
    engine = make(["qty > 5"], lifecycles=[LifecycleSettings(hold=10)])
    engine.append([(1, "A", 9), (2, "B", 9), (12, "B", 9), (40, "C", 9), (50, "C", 9), (2, "D", 1), (3, "E", 1)])
    engine.advance(63)
    ended = [(one.episode.key, one.episode.end) for one in engine.take_episodes().notices if one.episode.end]
    assert ended == [(("B",), 63)]
    assert [(one.key, one.state) for one in engine.open_episodes()] == [(("C",), EpisodeState.FIRING)]
    engine.append([(64, "C", 1)])
    assert [(one.episode.key, one.episode.end) for one in engine.take_episodes().notices] == [(("C",), 64)]


def test_keys_of_several_columns_and_types_move_together() -> None:
    schema = {"time": "TIMESTAMP", "a": "DOUBLE", "b": "BOOL", "c": "STRING"}
    metrics, keys = ["time > prev(time)"], ["a", "b", "c"]
    engine = AnomalyDetectionEngine("test", metrics, schema, "time", keys, idle_key_ttl=5, nulls="unknown")
    kept = [(0.5, True, "x"), (None, None, None), (-0.0, False, "y")]
    engine.append([(1, -1.5, None, f"gone {at}") for at in range(9)] + [(9, *key) for key in kept])
    engine.advance(10)
    assert engine.stat().key_count == 3
    assert engine.append([(11, *key) for key in kept]).select("a", "b", "c").rows() == kept
    assert engine.append([(12, -1.5, None, "gone 3")]).height == 0


def test_without_keys_the_only_one_is_forgotten_too() -> None:
    engine = make(["qty > prev(qty)"], None, ())
    engine.append([(1, "A", 1)])
    engine.advance(100)
    assert engine.append([(101, "A", 2)]).height == 0


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        ("sum(qty) > 5", {"ticks_close_windows": False}, "needs ticks_close_windows"),
        ("sum(qty) > 5", {"idle_key_ttl": 9}, "is 9, less than the window, 10"),
        ("qty > 5", {"idle_key_ttl": -1}, "idle_key_ttl is -1"),
        ("qty > 5", {"idle_key_ttl": 9, "max_lateness": 3, "ticks_close_windows": False}, "needs ticks_close_windows"),
    ],
)
def test_times_that_would_lose_something_are_refused(metric: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make([metric], 10, **({"ticks_close_windows": "sum" in metric} | options))


def test_a_snapshot_of_an_engine_that_forgets_after_another_time_is_refused() -> None:
    with pytest.raises(EngineSnapshotError, match="other metrics"):
        make(["qty > prev(qty)"]).restore(make(["qty > prev(qty)"], idle_key_ttl=51).snapshot())

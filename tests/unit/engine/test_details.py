"""What is told of an anomaly: the values of its metric's parts and its window, packed for storage and as text."""

import json

import pytest

from actors.engine import AnomalyDetectionEngine, ArgumentError
from actors.given_rows import to_frame

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT", "note": "STRING"}
ROWS = [(1, "A", 6, "x"), (2, "B", 3, None), (3, "A", 4, "y"), (6, "A", 2, 'q"')]


def told(metric: str, level: str = "all", **window: int) -> list[dict[str, object]]:
    """Return the details of the anomalies of `ROWS`."""
    engine = AnomalyDetectionEngine("test", [metric], SCHEMA, "time", ["sym"], explain=level, **window)
    return [json.loads(text) if text else text for text in engine.append(ROWS)["detail"].to_list()]


def test_a_metric_of_rows_tells_the_values_of_its_parts() -> None:
    assert told("qty < 4 or note == 'x'") == [
        {"values": {"qty < 4": False, "note == 'x'": True, "qty": 6, "note": "x"}},
        {"values": {"qty < 4": True, "note == 'x'": False, "qty": 3, "note": None}},
        {"values": {"qty < 4": True, "note == 'x'": False, "qty": 2, "note": 'q"'}},
    ]


def test_a_metric_of_windows_tells_its_window_and_not_the_arguments_of_aggregates() -> None:
    assert told("sum(qty * 2) > 5", window_size=3, step=3) == [
        {"values": {"sum(qty * 2)": 12}, "window": {"start": 0, "end": 3, "rows": 1}},
        {"values": {"sum(qty * 2)": 8}, "window": {"start": 3, "end": 6, "rows": 1}},
    ]


def test_a_mixed_metric_tells_the_window_that_it_rests_on() -> None:
    assert told("avg(qty) > qty", window_size=6, step=3) == [
        {"values": {"avg(qty)": 6.0, "qty": 4}, "window": {"start": -3, "end": 3, "rows": 1}},
        {"values": {"avg(qty)": 5.0, "qty": 2}, "window": {"start": 0, "end": 6, "rows": 2}},
    ]


def test_windows_alone_are_told_if_that_is_asked_for() -> None:
    assert told("sum(qty) > 5", "windows", window_size=3, step=3) == [{"window": {"start": 0, "end": 3, "rows": 1}}]
    assert told("qty > 5", "windows") == [None]


def test_without_explanations_there_is_no_column_for_them() -> None:
    engine = AnomalyDetectionEngine("test", ["qty > 5"], SCHEMA, "time")
    assert "detail" not in engine.append(ROWS).columns
    assert engine.take_details() == []


def test_packed_details_stand_in_the_order_of_the_anomalies() -> None:
    metrics = ["qty < 4", "sum(qty) > 5", "qty > 3"]
    engine = AnomalyDetectionEngine("test", metrics, SCHEMA, "time", ["sym"], 3, 3, explain="all")
    found = engine.append_physical(to_frame(engine.settings.schema, ROWS))
    assert found["type"].to_list() == [2, 0, 1, 2, 0]
    assert engine.take_details() == [(6,), (3,), (3, 1, 6), (4,), (2,)]
    assert engine.take_details() == []


def test_another_level_is_refused() -> None:
    with pytest.raises(ArgumentError, match="explain is 'much'; use one of none, windows, all"):
        AnomalyDetectionEngine("test", ["qty > 5"], SCHEMA, "time", explain="much")

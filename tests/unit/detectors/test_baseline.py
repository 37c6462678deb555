"""What people are told of unusual numbers, and what they may ask for."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from actors.detectors import BaselineSpec, Detector, make_detector
from actors.detectors.baseline import season
from actors.detectors.errors import DetectorSpecError
from actors.model import ColumnType, Schema

DAY_MS = 86_400_000
NOISE = np.random.default_rng(7).normal(size=4000)


def detector(kind: str = "DOUBLE", time: str = "TIMESTAMP", **options: Any) -> Detector:
    schema = Schema.from_mapping({"time": time, "load": kind, "name": "STRING"})
    return make_detector(BaselineSpec(name="b", variables=("load",), **options), schema, "time")


def found_in(values: Any, made: Detector | None = None, step_ms: int = 900_000) -> list[tuple[int, dict[str, Any]]]:
    """Return row and detail of each alarm."""
    frame = pl.DataFrame({"time": np.arange(len(values)) * step_ms, "load": values, "name": [""] * len(values)})
    found = (made or detector()).process(frame, np.arange(len(frame)))
    return [(row, json.loads(text)) for row, text in zip(found["offset"], found["detail"], strict=True)]


def test_a_spike_is_told_with_what_was_expected() -> None:
    values = 50 + NOISE[:1000]
    values[900] = 93
    [(row, detail)] = [alarm for alarm in found_in(values) if alarm[0] >= 400]
    assert (row, detail["value"], detail["why"], detail["variable"]) == (900, 93, "value", "load")
    assert detail["low"] < 50 < detail["high"] < 93 <= detail["expected"] + 93
    assert detail["text"] == f"expected {detail['low']:.6g}..{detail['high']:.6g}, got 93"
    assert detail["score"] >= 1


def test_a_level_that_stays_is_an_alarm_once() -> None:
    values = NOISE[:3000] + np.where(np.arange(3000) < 1500, 0, 12)
    rows = [row for row, _ in found_in(values) if row >= 1400]
    assert rows[0] - 1500 in range(4)
    assert len([row for row in rows if row >= 1620]) <= 2


def test_what_is_usual_by_day_is_unusual_by_night() -> None:
    values = 10 * np.sin(np.arange(3000) * 2 * np.pi / 96) + 0.3 * NOISE[:3000]
    values[2400 + 72] = 9
    assert 2400 + 72 in {row for row, _ in found_in(values)}


def test_nothing_is_found_before_a_key_was_seen_for_long_enough() -> None:
    values = NOISE[:400].copy()
    values[[100, 199]] = 500
    assert found_in(values[:200]) == []
    values = NOISE[:1500].copy()
    values[[250, 700]] = 500, -300
    assert {250, 700} <= {row for row, _ in found_in(values, detector(season="day"), 900_000)}
    assert [row for row, _ in found_in(values, detector(season="week"), 900_000) if row < 672] == []


def test_only_changes_that_are_asked_for_are_alarms() -> None:
    values = NOISE[:2000] + 100
    values[[800, 1200]] = 130, 70
    rows = {name: {row for row, _ in found_in(values, detector(direction=name))} for name in ("both", "up", "down")}
    assert {800, 1200} <= rows["both"]
    assert (800 in rows["up"], 1200 in rows["up"]) == (True, False)
    assert (800 in rows["down"], 1200 in rows["down"]) == (False, True)
    for least in (31, "31%"):
        assert not {800, 1200} & {row for row, _ in found_in(values, detector(min_change=least))}
    for least in (25, "25%"):
        assert {800, 1200} <= {row for row, _ in found_in(values, detector(min_change=least))}


def test_the_sensitivity_changes_how_much_is_found() -> None:
    values = 50 + NOISE + 30 * (np.arange(4000) % 331 == 330) * (np.arange(4000) % 5)
    counts = [len(found_in(values, detector(sensitivity=name))) for name in (3.0, "low", "default", "high", 0.6)]
    assert counts == sorted(counts)
    assert counts[0] < counts[2] < counts[-1]


def test_whole_numbers_are_numbers() -> None:
    values = (NOISE[:1000] * 10).astype(np.int64)
    values[800] = 2**60
    assert 800 in {row for row, _ in found_in(values, detector("LONG"))}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sensitivity": "medium"}, "sensitivity 'medium' of 'b'"),
        ({"sensitivity": 0}, "sensitivity 0 of 'b' must be low, default, high or a number above 0"),
        ({"sensitivity": float("nan")}, "sensitivity nan"),
        ({"sensitivity": True}, "sensitivity True"),
        ({"season": "month"}, "season 'month' of 'b'"),
        ({"direction": "left"}, "direction 'left' of 'b'"),
        ({"min_change": -1}, "min_change -1 of 'b' must be a number that is not negative, or a share such as '5%'"),
        ({"min_change": "5"}, "min_change '5'"),
        ({"min_change": "x%"}, "min_change 'x%'"),
        ({"season": "day", "time": "DATE"}, "season 'day' of 'b' needs finer times than column 'time', which is DATE"),
        ({"season": "week", "time": "TIME"}, "season 'week' of 'b' needs finer times"),
        ({"kind": "STRING"}, "watches numbers but column 'load' is STRING"),
        ({"kind": "BOOL"}, "watches numbers but column 'load' is BOOL"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(DetectorSpecError) as caught:
        detector(**options)
    assert text in str(caught.value)


def test_places_of_a_season() -> None:
    hours = np.arange(0, 48) * 3_600_000
    assert season.bins("day", hours, ColumnType.TIMESTAMP).tolist() == [4 * (hour % 24) for hour in range(48)]
    # The first of January 1970 was a Thursday.
    assert season.bins("week", hours, ColumnType.TIMESTAMP).tolist() == list(range(72, 120))
    assert season.bins("week", hours - 3 * DAY_MS, ColumnType.TIMESTAMP).tolist() == list(range(48))
    assert season.bins("day", np.array([-1, 0]), ColumnType.SECOND).tolist() == [95, 0]
    far = np.array([np.iinfo(np.int64).max, np.iinfo(np.int64).min])
    for name in ("auto", "day", "week"):
        assert all(0 <= place < season.bin_count(name) for place in season.bins(name, far, ColumnType.DATETIME))
    assert detector(time="DATE") is not None

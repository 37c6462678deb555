"""Windows without rows, and how many of them there may be."""

import pytest

from actors.engine import AnomalyDetectionEngine, EngineError
from actors.engine.windows.grid import EMPTY_MAX

SCHEMA = {"time": "DATETIME", "sym": "SYMBOL", "qty": "INT"}


def engine(**given: object) -> AnomalyDetectionEngine:
    plain = {"window_size": 1, "step": 1, "empty_windows": "zero", "ticks_close_windows": True}
    return AnomalyDetectionEngine("empty", ["count(qty) < 1"], SCHEMA, "time", ["sym"], **(plain | given))  # type: ignore[arg-type]


def test_a_gap_of_any_length_gives_so_many_windows_and_no_more() -> None:
    for few_rows in (0, 400):
        subject = engine()
        subject.few_rows_max = few_rows
        assert subject.append([(0, "A", 1), (10**9, "A", 1)]).height == EMPTY_MAX
        assert subject.append([(10**9 + 3, "A", 1)]).height == 2


def test_a_tick_gives_so_many_windows_of_each_key_and_goes_on_from_where_time_is() -> None:
    subject = engine()
    subject.append([(0, "A", 1), (0, "B", 1)])
    assert subject.advance(10**8).height == 2 * EMPTY_MAX
    assert subject.advance(10**8 + 2)["time"].dt.epoch("s").to_list() == [10**8 + 1, 10**8 + 2] * 2


def test_a_key_that_is_forgotten_has_no_more_windows() -> None:
    subject = engine(idle_key_ttl=5)
    subject.append([(0, "A", 1), (9, "B", 1)])
    assert subject.advance(9)["sym"].to_list() == ["A"] * 8
    assert subject.stat().key_count == 1
    assert subject.advance(12)["sym"].to_list() == ["B"] * 2
    subject.append([(13, "A", 1)])
    assert subject.advance(15)["sym"].to_list() == ["A", "B", "B", "B"]


def test_nothing_but_ticks_shows_that_nothing_comes() -> None:
    with pytest.raises(EngineError, match="empty_windows is 'zero', and what comes after a key's last row"):
        engine(ticks_close_windows=False)

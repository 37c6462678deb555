"""The short path for few rows: what it takes, and that it keeps the state of the vectors."""

import polars as pl
import pytest

from actors.engine import AnomalyDetectionEngine
from actors.engine.rows import executor as rowwise

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "price": "DOUBLE", "qty": "LONG"}
BIG = (1 << 63) - 1


def engine(*metrics: str, few_rows_max: int | None = None) -> AnomalyDetectionEngine:
    made = AnomalyDetectionEngine("few", list(metrics), SCHEMA, "time", ["sym"], 10, 10)
    if few_rows_max is not None:
        made.few_rows_max = few_rows_max
    return made


def test_metrics_that_need_all_rows_of_a_window_are_left_to_vectors() -> None:
    assert engine("percentile(price, 90) < price", "qty < 4").few_rows_max == 0


def test_metrics_whose_functions_have_a_row_form_have_a_short_path() -> None:
    assert engine("sum(qty) > 5", "avg(qty) > qty", "price > prev(price)").few_rows_max == 400


def test_sums_beyond_64_bits_are_cut_down_as_by_vectors() -> None:
    rows = [(1, "A", 1.0, BIG), (2, "A", 1.0, BIG), (11, "A", 1.0, BIG), (12, "A", 1.0, 5)]
    engines = [engine("sum(qty) == -2", "qty + qty == -2", "cumsum(qty) == -2", few_rows_max=n) for n in (0, 9)]
    vectors, few = ([row[2] for row in one.append(rows).rows()] for one in engines)
    assert few == vectors == [1, 1, 2, 0, 1]
    assert engines[0].snapshot() == engines[1].snapshot()


def test_nan_and_infinity_in_a_frame_are_null() -> None:
    frame = pl.DataFrame(
        {"time": [1, 2, 3], "sym": ["A"] * 3, "price": [float("nan"), float("inf"), 1.0], "qty": [1] * 3}
    )
    assert engine("isNull(price)").append(frame)["offset"].to_list() == [0, 1]


def test_keys_that_are_no_longer_at_hand_are_read_from_the_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowwise, "KEYS_MAX", 2)
    rows = [(time, f"S{time % 5}", float(time % 7), time % 3) for time in range(60)]
    engines = [engine("sum(qty) > 2", "price > prev(price)", "avg(price) > price", few_rows_max=n) for n in (0, 100)]
    vectors, few = (one.append(rows).rows() for one in engines)
    assert few == vectors
    assert engines[0].snapshot() == engines[1].snapshot()


def test_the_state_of_keys_at_hand_is_part_of_a_snapshot() -> None:
    first, second = engine("sum(qty) > 5", few_rows_max=100), engine("sum(qty) > 5", few_rows_max=0)
    first.append([(1, "A", 1.0, 3), (2, "A", 1.0, 3)])
    second.restore(first.snapshot())
    assert second.append([(11, "A", 1.0, 3)])["offset"].to_list() == [2]


def test_an_anomaly_of_few_rows_is_explained_from_the_state_before_its_row() -> None:
    few = engine("sum(qty) > 5", "qty > prev(qty)", few_rows_max=100)
    few.append([(1, "A", 1.0, 3), (2, "A", 1.0, 4), (12, "A", 1.0, 9), (13, "A", 1.0, 10)])
    window, row = few.explain(2, 0), few.explain(2, 1)
    assert (window.window_start, window.window_end, window.window_row_count, window.values["sum(qty)"]) == (0, 10, 2, 7)
    assert (row.values["qty"], row.values["prev(qty)"]) == (9, 4)

"""Windows: kinds of metrics, closing, gaps, sliding, alignment, late rows, output order."""

from typing import Any

import pytest

from actors.engine import AnomalyDetectionEngine
from actors.engine.core import WINDOWS_AT_ONCE_MAX
from actors.engine.windows.alignment import alignment_size
from actors.model import ColumnType
from tests.unit.engine.support import SCHEMA, engine, fire, quantities, times_fired


def row(time: int | None, qty: int | None, sym: str | None = "A") -> dict[str, Any]:
    return {"time": time, "sym": sym, "flag": None, "qty": qty, "price": None}


def test_the_row_that_closes_a_window_is_not_in_it() -> None:
    subject = engine("sum(qty) == 1", "sum(qty) == 2", window_size=10, step=10)
    assert fire(subject, [row(0, 1), row(10, 2), row(20, 4)]) == [(10, 0), (20, 1)]


def test_a_window_stays_open_until_a_later_row_of_its_key() -> None:
    subject = engine("count(qty) > 0", key_columns=["sym"], window_size=10, step=10)
    assert fire(subject, [row(1, 1, "A"), row(50, 1, "B")]) == []
    assert fire(subject, [row(10, 1, "A")]) == [(10, "A", 0)]


def test_windows_close_before_the_row_is_tested() -> None:
    assert times_fired("qty > max(qty)", [1, 1, 1, 1, 1, 2, 1], window_size=5, step=5) == [5]


def test_a_mixed_metric_waits_for_the_first_window() -> None:
    assert times_fired("isNull(qty) or qty > max(qty)", [1, None, 3, 4, None, 5], window_size=5, step=5) == [5]


def test_the_last_computed_window_stays_in_force_after_a_gap() -> None:
    subject = engine("qty > max(qty)", window_size=10, step=10)
    assert fire(subject, [row(1, 5), row(95, 6), row(96, 4), row(101, 5)]) == [(95, 0)]


def test_empty_windows_are_not_computed() -> None:
    subject = engine("count(qty) >= 0", window_size=10, step=10)
    assert fire(subject, [row(0, 1), row(10**15, 1), row(10**15 + 10, 1)]) == [(10, 0), (10**15 + 10, 0)]


def test_sliding_windows_end_at_every_step_and_hold_what_is_there() -> None:
    subject = engine("count(qty) == 1", "count(qty) == 4", "count(qty) == 6", window_size=6, step=3)
    rows = [row(time, 1) for time in range(2, 12)]
    assert fire(subject, rows) == [(3, 0), (6, 1), (9, 2)]


def test_sliding_windows_with_old_rows_are_computed_before_a_gap_is_jumped() -> None:
    subject = engine("count(qty) == 1", "count(qty) == 2", window_size=10, step=5)
    assert fire(subject, [row(0, 1), row(6, 1), row(31, 1)]) == [(5, 0), (10, 1), (15, 0)]


def test_a_batch_that_closes_very_many_windows_is_tested_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(1000 * i, 1) for i in range(5)]
    whole = fire(engine("sum(qty) > 0", window_size=100, step=1), rows)
    monkeypatch.setattr("actors.engine.core.WINDOWS_AT_ONCE_MAX", 200)
    assert fire(engine("sum(qty) > 0", window_size=100, step=1), rows) == whole
    assert len(whole) == 400


def test_a_percentile_slides_over_rows() -> None:
    subject = engine("percentile(qty, 50) == 2.5", "med(qty) == 4.5", window_size=4, step=2)
    rows = [row(time, time + 1) for time in range(7)]
    assert fire(subject, rows) == [(4, 0), (6, 1)]


def test_order_sensitive_calls_inside_an_aggregate_see_the_window_alone() -> None:
    subject = engine("sum(deltas(qty)) == 1", window_size=2, step=2)
    assert fire(subject, [row(0, 1), row(1, 2), row(2, 9), row(3, 10), row(4, 0)]) == [(2, 0), (4, 0)]


def test_equal_aggregates_of_several_metrics_share_their_panes() -> None:
    subject = engine("sum(qty) > 1", "sum(qty) + 1 > 3", "avg(qty) > 1", window_size=2, step=2)
    assert sum(state.kept.what == "open pane" for state in subject.costs().states) == 3


def test_late_rows_are_set_aside_if_any_metric_has_an_aggregate() -> None:
    subject = engine("qty < 4", "sum(qty) > 100", key_columns=["sym"], window_size=10, step=10)
    rows = [row(5, 1), row(4, 2), row(5, 3), row(4, 1, "B"), row(3, 0)]
    assert fire(subject, rows) == [(5, "A", 0), (5, "A", 0), (4, "B", 0)]
    assert subject.stat().late_row_count == 2
    late = subject.take_late()
    assert late["offset"].to_list() == [1, 4]
    assert late["qty"].to_list() == [2, 0]
    assert late["late_by"].to_list() == [1, 2]
    assert subject.take_late().height == 0


def test_rows_without_a_time_are_set_aside_too() -> None:
    subject = engine("qty < 4")
    fire(subject, [row(5, 1), row(None, 7)])
    assert subject.take_late().select("qty", "offset", "late_by").rows() == [(7, 1, None)]


def test_the_newest_late_rows_are_kept() -> None:
    subject = engine("sum(qty) > 100", window_size=10, step=10, late_rows_max=2)
    fire(subject, [row(5, 1), row(4, 2), row(3, 3), row(2, 4)])
    fire(subject, [row(1, 5)])
    assert subject.take_late()["qty"].to_list() == [4, 5]
    assert subject.stat().late_row_count == 4


def test_lateness_is_measured_against_the_latest_accepted_row() -> None:
    subject = engine("sum(qty) > 100", window_size=10, step=10)
    fire(subject, [row(5, 1), row(3, 1), row(4, 1), row(5, 1)])
    assert subject.stat().late_row_count == 2


def test_late_rows_take_part_without_an_aggregate() -> None:
    subject = engine("qty < prev(qty)", key_columns=["sym"])
    assert fire(subject, [row(5, 3), row(4, 1), row(3, 2), row(2, 1)]) == [(4, "A", 0), (2, "A", 0)]


def test_rows_without_a_time_are_counted_and_left_out() -> None:
    subject = engine("qty < 4", "prev(qty) == 7")
    assert fire(subject, [row(None, 1), row(1, 7), row(None, 1), row(2, 9)]) == [(2, 1)]
    assert subject.stat().timeless_row_count == 2
    assert subject.stat().discarded_row_count == 2


def test_output_is_in_arrival_order_windows_first_then_metric_order() -> None:
    subject = engine("qty >= 0", "sum(qty) >= 0", "avg(qty) >= qty", key_columns=["sym"], window_size=2, step=1)
    rows = [row(1, 1, "B"), row(1, 1, "A"), row(4, 1, "B"), row(4, 1, "A")]
    frame = subject.append(rows)
    found = list(zip(frame["offset"], frame["ordinal"], frame["type"], strict=True))
    expected = [(0, 0, 0), (1, 0, 0)]
    expected += [(offset, ordinal, kind) for offset in (2, 3) for ordinal, kind in enumerate((1, 1, 0, 2))]
    assert found == expected


def test_offsets_may_be_given_and_have_gaps() -> None:
    frame = engine("qty < 4").append(quantities(1, 9, 1), [10, 12, 30])
    assert frame["offset"].to_list() == [10, 30]


def test_a_null_key_is_a_key() -> None:
    subject = engine("deltas(qty) == 1", key_columns=["sym"])
    assert fire(subject, [row(1, 1, None), row(2, 5, "A"), row(3, 2, None)]) == [(3, None, 0)]


def test_keys_may_have_several_columns_of_any_type() -> None:
    schema = {"time": "DATE", "a": "INT", "b": "DOUBLE", "c": "BOOL", "qty": "INT"}
    subject = engine("prev(qty) == 1", schema=schema, key_columns=["b", "a", "c"])
    rows = [(1, 1, 0.0, True, 1), (1, 1, -0.0, True, 2), (1, 2, 0.0, True, 3), (1, 1, 0.0, None, 4)]
    assert fire(subject, rows) == [(1, 0.0, 1, True, 0)]


@pytest.mark.parametrize(
    ("kind", "step", "round_time", "size"),
    [
        (ColumnType.DATETIME, 3, True, 3),
        (ColumnType.MINUTE, 31, True, 60),
        (ColumnType.SECOND, 5000, False, 60),
        (ColumnType.TIMESTAMP, 3, True, 5),
        (ColumnType.TIME, 60001, True, 120000),
        (ColumnType.NANOTIMESTAMP, 501, True, 1000),
        (ColumnType.NANOTIME, 501, False, 1000),
        (ColumnType.NANOTIME, 10**12, True, 60 * 10**9),
        (ColumnType.MICROTIMESTAMP, 1, True, 1),
        (ColumnType.MICROTIMESTAMP, 1000, True, 1000),
        (ColumnType.DATE, 7, True, 1),
        (ColumnType.MONTH, 5, True, 12),
    ],
)
def test_the_alignment_size_follows_the_precision(kind: ColumnType, step: int, round_time: bool, size: int) -> None:
    assert alignment_size(kind, step, round_time) == size


def test_each_key_is_aligned_to_its_own_first_row() -> None:
    subject = engine("count(qty) >= 1", key_columns=["sym"], window_size=3, step=3)
    rows = [row(2, 1, "A"), row(7, 1, "B"), row(8, 1, "A"), row(9, 1, "B"), row(9, 1, "A"), row(11, 1, "B")]
    assert fire(subject, rows) == [(3, "A", 0), (8, "B", 0), (9, "A", 0), (11, "B", 0)]


def test_times_before_the_epoch_round_down() -> None:
    subject = engine("count(qty) == 2", window_size=5, step=5)
    assert fire(subject, [row(-7, 1), row(-6, 1), row(-5, 1), row(0, 1)]) == [(-5, 0)]


@pytest.mark.parametrize("kind", [k for k in ColumnType if k.is_temporal])
def test_every_temporal_type_may_be_the_time_column(kind: ColumnType) -> None:
    subject = engine("count(qty) == 1", schema={**SCHEMA, "time": str(kind)}, window_size=60, step=60)
    assert [found[-1] for found in fire(subject, [row(0, 1), row(7200, 1)])] == [0]
    assert subject.append([]).height == 0


def test_batches_are_not_cut_for_the_panes_of_windows_of_rows_which_close_one_at_a_row() -> None:
    schema = {"time": "TIMESTAMP", "qty": "INT"}
    subject = AnomalyDetectionEngine("rows", ["sum(qty) > 5"], schema, "time", window_rows=10**6, step=1)
    assert subject._core.rows_at_once == WINDOWS_AT_ONCE_MAX

"""NULL in comparisons: its three values where it is unknown, and how often each metric met it."""

from typing import Any

import pytest

from actors.engine import AnomalyDetectionEngine
from tests.unit.engine.support import times_fired

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"}
BOTH = pytest.mark.parametrize("few_rows_max", [0, 1000], ids=["vectors", "few-rows"])


def engine(*metrics: str, few_rows_max: int = 0, **options: Any) -> AnomalyDetectionEngine:
    made = AnomalyDetectionEngine("nulls", metrics, SCHEMA, "time", ["sym"], 10, 10, **options)
    made.few_rows_max = few_rows_max
    return made


def test_null_is_in_a_list_that_has_it() -> None:
    assert times_fired("qty in [NULL]", [1, None]) == times_fired("in(qty, [NULL])", [1, None]) == [1]
    assert times_fired("in(qty, NULL)", [1, None]) == []
    assert times_fired("in(items=[1], x=qty)", [1, None]) == [0]


def test_logic_has_three_values_where_null_is_unknown() -> None:
    values = [None, 9, 2]
    assert times_fired("not (qty > 5 and 1 > 2)", values, nulls="unknown") == [0, 1, 2]
    assert times_fired("not (qty > 5 or 1 > 2)", values, nulls="unknown") == [2]
    assert times_fired("not (qty in [2, NULL])", values, nulls="unknown") == []
    assert times_fired("not between(qty, 1:5)", values, nulls="unknown") == [1]


@BOTH
def test_comparisons_with_null_are_counted_for_each_metric(few_rows_max: int) -> None:
    metrics = ["qty < 4", "qty > prev(qty) or sum(qty > 1) > qty", "sum(qty) > 5", "isNull(qty)"]
    subject = engine(*metrics, few_rows_max=few_rows_max)
    subject.append([(1, "A", None), (2, "A", 3), (3, "B", None), (12, "A", None), (25, "A", 1)])
    # Before the first window of a key `sum(qty > 1) > qty` is not carried out.
    assert subject.stat().null_comparison_counts == (3, 5 + 3 + 1, 1, 0)


@BOTH
def test_counts_of_comparisons_with_null_begin_anew_after_a_restore(few_rows_max: int) -> None:
    first, second = (engine("qty < 4", "sum(qty) > 5", few_rows_max=few_rows_max) for _ in range(2))
    first.append([(1, "A", None), (12, "A", None)])
    second.append([(1, "A", None)])
    second.restore(first.snapshot())
    second.append([(13, "A", None)])
    assert second.stat().null_comparison_counts == (1, 0)

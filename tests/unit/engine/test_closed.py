"""The windows that a batch closed, with what aggregates gave."""

from actors.engine import AnomalyDetectionEngine

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"}


def engine(*metrics: str, step: int = 3) -> AnomalyDetectionEngine:
    """Return an engine with windows of 3 ms."""
    return AnomalyDetectionEngine("closed", metrics, SCHEMA, "time", ["sym"], 3, step)


def test_closed_windows_have_their_end_and_the_value_of_each_aggregate() -> None:
    subject = engine("sum(qty) > 5", "max(qty) > prev(qty)")
    subject.append([(0, "A", 6), (1, "B", None), (2, "A", 1), (3, "A", 4), (7, "B", 5)])
    assert subject.closed_windows().rows() == [("A", 3, 2, 7, 6), ("B", 3, 1, None, None)]
    assert subject.closed_windows().columns == ["sym", "window_end", "window_row_count", "sum(qty)", "max(qty)"]


def test_windows_with_the_same_rows_are_all_there() -> None:
    subject = engine("sum(qty) > 5", step=1)
    subject.append([(0, "A", 6), (9, "A", 1)])
    assert [row[1:] for row in subject.closed_windows().rows()] == [(1, 1, 6), (2, 1, 6), (3, 1, 6)]


def test_without_a_closed_window_there_is_no_row() -> None:
    subject = engine("last(sym) == `A", "qty > 3")
    assert subject.closed_windows().rows() == []
    subject.append([(0, "A", 6)])
    assert subject.closed_windows().rows() == []
    subject.append([(3, "A", 6)])
    assert subject.closed_windows().rows() == [("A", 3, 1, "A")]

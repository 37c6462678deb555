"""Times at the edge of their types: nothing is lost, and what cannot be shown as a time is NULL there alone."""

from datetime import UTC, datetime, time
from typing import Any

import polars as pl
import pytest

from actors.engine import AnomalyDetectionEngine, ArgumentError

EDGES = [
    ("TIME", 86_399_500, 1_000, 86_400_000),
    ("NANOTIME", 86_399_999_999_999, 1_000, 86_400_000_000_000),
    ("SECOND", 86_399, 10, 86_400),
    ("MINUTE", 1_439, 10, 1_440),
    ("DATE", 2_932_896, 1, 2_932_897),
    ("DATE", (1 << 31) - 1, 1, 1 << 31),
    ("DATETIME", 253_402_300_799, 10, 253_402_300_800),
    ("DATETIME", 1 << 60, 1 << 10, (1 << 60) + (1 << 10) - 16),
    ("TIMESTAMP", 253_402_300_799_999, 1_000, 253_402_300_800_000),
    ("MICROTIMESTAMP", 253_402_300_799_999_999, 1_000_000, 253_402_300_800_000_000),
]
"""Type, time of a row, window, and a time that such a column cannot show."""


def make(kind: str, *metrics: str, window: int = 10, **options: Any) -> AnomalyDetectionEngine:
    schema = {"time": kind, "sym": "SYMBOL", "qty": "INT"}
    return AnomalyDetectionEngine("edge", metrics, schema, "time", ["sym"], window, window, **options)


@pytest.mark.parametrize("few_rows_max", [0, 100])
@pytest.mark.parametrize(("kind", "at", "window", "end"), EDGES)
def test_a_window_that_ends_beyond_its_type_is_reported(
    kind: str, at: int, window: int, end: int, few_rows_max: int
) -> None:
    engine = make(kind, "sum(qty) > 0", window=window, ticks_close_windows=True)
    engine.few_rows_max = few_rows_max
    engine.append([(at, "A", 5)])
    found = engine.advance(at + 2 * window)
    assert found.select("time", "sym", "type").rows() == [(None, "A", 0)]
    assert engine.closed_windows()["window_end"].to_list() == [engine.explain(0, found["ordinal"][0]).window_end]
    engine.validate()


@pytest.mark.parametrize("few_rows_max", [0, 100])
@pytest.mark.parametrize(("kind", "at", "window", "end"), EDGES)
def test_a_row_beyond_its_type_is_tested(kind: str, at: int, window: int, end: int, few_rows_max: int) -> None:
    engine = make(kind, "qty > 0", "max(qty) > 0", window=window)
    engine.few_rows_max = few_rows_max
    rows = [(end, "A", 5), (-end, "B", 5), (end + 2 * window, "A", 0)]
    assert engine.append(rows)["type"].to_list() == [0, 0, 1]
    again = make(kind, "qty > 0", "max(qty) > 0", window=window)
    assert again.append_physical(pl.DataFrame(rows, ["time", "sym", "qty"], orient="row"))["time"][0] == end
    engine.validate()


@pytest.mark.parametrize("kind", ["NANOTIMESTAMP", "TIMESTAMP", "DATETIME", "DATE", "MONTH", "TIME", "MINUTE"])
@pytest.mark.parametrize("at", [(1 << 63) - 1, -(1 << 63)])
def test_a_time_that_cannot_be_computed_with_is_set_aside(kind: str, at: int) -> None:
    engine = make(kind, "qty > 0", "sum(qty) > 0", max_lateness=5, ticks_close_windows=True)
    engine.append([(at, "A", 5), (3, "A", 5)])
    assert engine.take_late().rows() == [(at, "A", 5, 0, None)]
    assert engine.stat().timeless_row_count == 1
    before = engine.snapshot()
    with pytest.raises(ArgumentError, match=f"the time is {at}; give a whole number from"):
        engine.advance(at)
    assert engine.snapshot() == before


def test_what_can_be_shown_is_shown_beside_what_cannot() -> None:
    found = make("TIME", "qty > 0").append([(86_399_999, "A", 1), (86_400_000, "A", 1), (0, "A", 1)])
    assert found["time"].to_list() == [time(23, 59, 59, 999_000), None, time(0)]


def test_a_key_that_its_type_cannot_show_is_null_in_the_output_alone() -> None:
    schema = {"time": "TIMESTAMP", "day": "DATE", "qty": "INT"}
    engine = AnomalyDetectionEngine("edge", ["qty > prev(qty)"], schema, "time", ["day"])
    engine.append([(0, 1 << 40, 1), (0, 1 << 41, 1)])
    assert engine.append([(1, 1 << 40, 2)]).select("time", "day").rows() == [
        (datetime.fromtimestamp(0.001, UTC).replace(tzinfo=None), None)
    ]
    assert engine.explain(2).key == (1 << 40,)


@pytest.mark.parametrize("few_rows_max", [0, 100])
@pytest.mark.parametrize("count", [1, 2, 20, 21, 60])
@pytest.mark.parametrize("at", [None, (1 << 63) - 1, -(1 << 63)])
def test_a_row_without_a_time_is_left_out_of_batches_of_any_size(at: int | None, count: int, few_rows_max: int) -> None:
    engine = make("TIMESTAMP", "qty > 0", "sum(qty) > 0", window=1_000)
    engine.few_rows_max = few_rows_max
    found = engine.append([*((number, "A", 5) for number in range(count - 1)), (at, "A", 5)])
    assert found["offset"].to_list() == list(range(count - 1))
    assert engine.stat().timeless_row_count == 1
    engine.validate()


@pytest.mark.parametrize("count", [1, 2, 20, 21, 60])
def test_a_time_that_cannot_be_shown_is_null_in_batches_of_any_size(count: int) -> None:
    engine, beyond = make("TIMESTAMP", "qty > 0"), 253_402_300_800_000
    found = engine.append([*((number, "A", 5) for number in range(count - 1)), (beyond, "A", 5)])
    assert found["time"].is_null().to_list() == [False] * (count - 1) + [True]

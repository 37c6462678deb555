"""Rows as people have them: every kind of frame, array, mapping and iterable gives the same anomalies."""

from collections import deque
from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from actors.engine import AnomalyDetectionEngine, EngineError
from actors.engine.streaming import EngineTable, StreamTable

SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT", "price": "DOUBLE", "ok": "BOOL"}
START = datetime(2024, 1, 1)
FRAME = pl.DataFrame(
    {
        "price": [1.5, None, 2.5],
        "time": [START + timedelta(milliseconds=at) for at in range(3)],
        "SYM": ["a", "b", None],
        "qty": [3, 1, 4],
        "ok": [True, None, False],
    }
)
ROWS = FRAME.select("time", "SYM", "qty", "price", "ok").rows()

FORMS: dict[str, Callable[[], Any]] = {
    "frame": lambda: FRAME,
    "lazy frame": FRAME.lazy,
    "series of structs": lambda: FRAME.to_struct("row"),
    "pandas": FRAME.to_pandas,
    "pandas with its own types": lambda: FRAME.to_pandas().convert_dtypes(),
    "pandas with categories": lambda: FRAME.to_pandas().astype({"SYM": "category"}),
    "Arrow table": FRAME.to_arrow,
    "Arrow batch": lambda: FRAME.to_arrow().to_batches()[0],
    "Arrow reader": lambda: FRAME.to_arrow().to_reader(),
    "columns": lambda: FRAME.to_dict(as_series=False),
    "columns as series": FRAME.to_dict,
    "columns as arrays": lambda: {name: FRAME[name].to_numpy() for name in FRAME.columns},
    "columns as Arrow arrays": lambda: {name: FRAME[name].to_arrow() for name in FRAME.columns},
    "rows": lambda: ROWS,
    "tuple of rows": lambda: tuple(ROWS),
    "deque of rows": lambda: deque(ROWS),
    "generator of rows": lambda: (row for row in ROWS),
    "generator of mappings": lambda: iter(FRAME.to_dicts()),
    "array of objects": lambda: np.array(ROWS, dtype=object),
}


def make(schema: Any = None) -> AnomalyDetectionEngine:
    return AnomalyDetectionEngine("inputs", ["qty > 2"], schema or SCHEMA, "time", ["sym"])


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_every_form_are_taken(form: str) -> None:
    found = make().append(FORMS[form]())
    assert found.select("time", "sym", "offset").rows() == [
        (START, "a", 0),
        (START + timedelta(milliseconds=2), None, 2),
    ]


def test_arrays_are_taken_by_name_and_by_place() -> None:
    records = np.array(
        [("2024-01-01", "a", 3), ("2024-01-02", "b", 1)], [("time", "M8[s]"), ("sym", "U3"), ("qty", "i2")]
    )
    subject = make({"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"})
    assert subject.append(records).select("time", "sym").rows() == [(START, "a")]
    numbers = AnomalyDetectionEngine(
        "inputs", ["qty > 2"], {"time": "TIMESTAMP", "qty": "INT"}, "time", nulls="unknown"
    )
    found = numbers.append(np.array([[1.0, 3.0], [2.0, np.nan], [3.0, 9.0]]))
    assert found["offset"].to_list() == [0, 2]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (FRAME.lazy().select(pl.col("nothing")), 'unable to find column "nothing"'),
        ({"time": 1, "sym": "a"}, "column 'time' is of type int; give a list of its values, one for each row"),
        ({"time": [1]}, "the rows have no column 'sym'; they have time"),
        ({"time": [1, 2], "sym": ["a"], "qty": [1], "price": [1], "ok": [True]}, "does not match height"),
        (np.zeros((2, 3)), "an array of shape \\(2, 3\\); give one with a row of 5 values"),
        ({(1, "a", 3, 1.0, True)}, "the rows are of type set; give a frame, a list of rows, or a list of mappings"),
        ("rows", "the rows are of type str"),
        (5, "the rows are of type int"),
        (FRAME.to_pandas().drop(columns="qty"), "the rows have no column 'qty'"),
        ([(1, "a", 3.5, 1.0, True)], "column 'qty' cannot hold its values: .* found value of type Float64: 3.5$"),
    ],
)
def test_what_is_no_rows_is_refused(rows: Any, message: str) -> None:
    subject = make()
    before = subject.snapshot()
    with pytest.raises(EngineError, match=message):
        subject.append(rows)
    assert subject.snapshot() == before


def test_a_generator_that_fails_changes_nothing() -> None:
    def rows() -> Any:
        yield ROWS[0]
        raise RuntimeError("the source is gone")

    subject = make()
    with pytest.raises(RuntimeError, match="the source is gone"):
        subject.append(rows())
    assert subject.stat().row_count == 0


def test_an_output_table_keeps_times_that_cannot_be_shown() -> None:
    types = ["TIME", "SYMBOL", "INT", "STRING"]
    output = StreamTable(["end", "sym", "type", "metric"], types)
    schema = {"time": "TIME", "sym": "SYMBOL", "qty": "INT"}
    table = EngineTable(AnomalyDetectionEngine("inputs", ["sum(qty) > 2"], schema, "time", ["sym"], 1000, 1000), output)
    assert table.append_message([(86_399_500, "A", 5), (86_400_000, "A", 5)], 1) == 1
    assert output.read(0)["end"].to_list() == [86_400_000]
    assert output.select()["end"].to_list() == [None]


def times_of(kind: str, time: Any) -> list[Any]:
    """What an engine makes of a time, given as rows, as mappings and as columns."""
    forms = [(time, 3)], [{"time": time, "qty": 3}], {"time": [time], "qty": [3]}
    engines = (AnomalyDetectionEngine("inputs", ["qty > 2"], {"time": kind, "qty": "INT"}, "time") for _ in forms)
    return [engine.append_physical(rows)["time"][0] for engine, rows in zip(engines, forms, strict=True)]


@pytest.mark.parametrize(
    ("kind", "given", "time"),
    [
        ("TIMESTAMP", np.datetime64("2020-01-02T03:04:05.123456789"), 1_577_934_245_123),
        ("NANOTIMESTAMP", np.datetime64("2020-01-02T03:04:05.123456789"), 1_577_934_245_123_456_789),
        ("DATE", np.datetime64("2020-01-02T03:04:05.123456789"), 18_263),
        ("TIMESTAMP", np.datetime64("2020-01-02"), 1_577_923_200_000),
        ("MONTH", np.datetime64("2020-01"), 24_240),
        ("NANOTIMESTAMP", pd.Timestamp("2020-01-02T03:04:05.123456789"), 1_577_934_245_123_456_789),
        ("TIMESTAMP", pd.Timestamp("2020-01-02T09:00", tz="Asia/Tokyo"), 1_577_923_200_000),
        ("TIME", time(3, 4, 5, 678_901), 11_045_678),
        ("MINUTE", time(3, 4), 184),
    ],
)
def test_a_time_is_exact_in_rows_too(kind: str, given: Any, time: int) -> None:
    assert times_of(kind, given) == [time] * 3


@pytest.mark.parametrize("value", [None, pd.NaT, pd.NA, np.datetime64("NaT")])
def test_what_is_nothing_elsewhere_is_null(value: Any) -> None:
    engine = AnomalyDetectionEngine("inputs", ["isNull(price) and qty > 2"], SCHEMA, "time", ["sym"])
    assert engine.append([(START, "a", 3, value, value)]).height == 1
    assert engine.append([(value, "a", 3, None, None)]).height == 0
    assert engine.stat().timeless_row_count == 1


@pytest.mark.parametrize("unit", ["s", "D", "W"])
def test_a_time_that_has_no_place_in_64_bits_is_refused(unit: str) -> None:
    times = np.array([2**60], dtype=f"datetime64[{unit}]")
    for rows in ({"time": times, "qty": [3]}, [(times[0], 3)]):
        with pytest.raises(EngineError, match=f"times of datetime64\\[{unit}\\] that 64 bits"):
            AnomalyDetectionEngine("inputs", ["qty > 2"], {"time": "TIMESTAMP", "qty": "INT"}, "time").append(rows)


def test_a_column_written_as_in_the_schema_wins_over_others_of_its_name() -> None:
    columns = {"time": [1], "sym": ["a"], "qty": [3], "QTY": [0], "price": [0.0], "ok": [True]}
    for rows in (columns, pl.DataFrame(columns), pl.DataFrame(columns).to_dicts()):
        assert make().append(rows).height == 1


@pytest.mark.parametrize(
    "rows",
    [[], {name: [] for name in SCHEMA}, pd.DataFrame(columns=list(SCHEMA)), np.empty((0, 5)), np.array([])],
    ids=["list", "columns", "pandas", "array of rows", "array"],
)
def test_no_rows_have_no_types_that_could_be_wrong(rows: Any) -> None:
    assert make().append(rows).height == 0


def test_whole_numbers_of_which_some_are_missing_are_taken_from_pandas_and_masked_arrays() -> None:
    frame = FRAME.to_pandas().assign(qty=[3, None, 4], ok=[None] * 3)
    assert make().append(frame)["offset"].to_list() == [0, 2]
    columns = FRAME.to_dict(as_series=False) | {"qty": np.ma.array([3, 9, 4], mask=[0, 1, 0])}
    assert make().append(columns)["offset"].to_list() == [0, 2]


def test_rows_may_be_series_with_names() -> None:
    frame = pd.DataFrame([(1, "a", 3, 1.5, True), (2, "b", 4, 2.5, True)], columns=list(SCHEMA))
    assert make().append([row for _, row in frame.iterrows()]).height == 2


@pytest.mark.parametrize("name", ["qty", "price"])
@pytest.mark.parametrize("truth", [True, np.bool_(False)])
def test_a_boolean_is_no_number_in_rows_of_any_kind(name: str, truth: Any) -> None:
    row = {"time": 1, "sym": "a", "qty": 1, "price": 1.0, "ok": True, name: truth}
    columns = {column: [value] for column, value in row.items()}
    for rows in ([row], [tuple(row.values())], columns, pl.DataFrame(columns), pd.DataFrame(columns)):
        engine = AnomalyDetectionEngine(name="e", metrics=["price > 0"], schema=SCHEMA, time_column="time")
        with pytest.raises(EngineError, match=f"column '{name}' .* Bool"):
            engine.append(rows)

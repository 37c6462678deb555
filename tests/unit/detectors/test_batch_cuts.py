"""What is found and what is stored shows the rows, not where batches were cut."""

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest

from actors.detectors import CountVectorSpec, Detector, LearnPhase, NewValueSpec, ValueRangeSpec, make_detector
from actors.model import Schema

SCHEMA = Schema.from_mapping({"time": "TIMESTAMP", "qty": "LONG", "price": "DOUBLE"})
TYPES = {"time": pl.Int64, "qty": pl.Int64, "price": pl.Float64}

AFTER_LEARNING = (
    NewValueSpec(name="d", variables=("qty",), learn=LearnPhase(row_count=3)), range(5), range(5), [0.0] * 5
)  # fmt: skip
CONFIGURED = (
    NewValueSpec(name="d", variables=("qty",), learn=LearnPhase(row_count=1), configure_row_count=4),
    range(5), range(5), [0.0] * 5,
)  # fmt: skip
MUTED_WITHIN_A_BATCH = (
    NewValueSpec(
        name="d", variables=("qty",), learn=LearnPhase(row_count=2), expire_after=9, report="once", distinct_count_max=1
    ),
    range(4), (1, 2, 2, 2), [0.0] * 4,
)  # fmt: skip
LATE_ROWS = (
    CountVectorSpec(name="d", event_id_columns=("qty",), window_ticks=10, learn=LearnPhase(row_count=1)),
    (0, 1, 31, 2, 41), (1, 1, 1, 1, 1), [0.0] * 5,
)  # fmt: skip
ZEROS = (ValueRangeSpec(name="d", variables=("price",), learn=LearnPhase(row_count=4)), range(2), range(2), [0.0, -0.0])
SHOWN_ZEROS = (
    NewValueSpec(name="d", variables=("price",), learn=LearnPhase(row_count=1)), range(3), range(3), [1.0, 0.0, -0.0]
)  # fmt: skip


def run(made: Detector, rows: pl.DataFrame, cuts: list[int]) -> tuple[list[Any], dict[bytes, bytes], bytes]:
    found: list[Any] = []
    stored: dict[bytes, bytes] = {}
    for start, end in pairwise([0, *cuts, len(rows)]):
        found += made.process(rows[start:end], np.arange(start, end)).rows()
        stored |= made.changed_state()
        made.mark_saved()
    return found, stored, made.snapshot()


@pytest.mark.parametrize(
    ("spec", "times", "quantities", "prices"),
    [
        pytest.param(*AFTER_LEARNING, id="judged rows in the batch in which learning ends"),
        pytest.param(*CONFIGURED, id="muted by the configuration after some rows were learned"),
        pytest.param(*MUTED_WITHIN_A_BATCH, id="muted for too many values within a batch"),
        pytest.param(*LATE_ROWS, id="late rows after learning has ended"),
        pytest.param(*ZEROS, id="zeros of both signs in a range"),
        pytest.param(*SHOWN_ZEROS, id="zeros of both signs among values"),
    ],
)
def test_every_cut_finds_and_stores_the_same(spec: Any, times: Any, quantities: Any, prices: Any) -> None:
    rows = pl.DataFrame({"time": list(times), "qty": list(quantities), "price": prices}, schema=TYPES)
    whole = run(make_detector(spec, SCHEMA, "time"), rows, [])
    for cut in range(1, len(rows)):
        assert run(make_detector(spec, SCHEMA, "time"), rows, [cut]) == whole, f"cut before row {cut}"


def test_only_learned_rows_are_counted() -> None:
    made = make_detector(AFTER_LEARNING[0], SCHEMA, "time")
    made.process(pl.DataFrame({"time": range(5), "qty": [0] * 5, "price": [0.0] * 5}, schema=TYPES), np.arange(5))
    code = made._groups.code(())
    assert made._groups.encode(code) == [[], 3, 0, 2, True]

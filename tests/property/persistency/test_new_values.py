"""The new value detector equals the naive one, however the rows are cut into batches."""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.detectors import LearnPhase, NewValueSpec, make_detector
from actors.model import Schema
from tests.support.naive_persistency import Anomaly, NaiveKnownValues

SCHEMA = Schema.from_mapping({"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "LONG", "user": "STRING"})
TYPES = {"time": pl.Int64, "sym": pl.String, "qty": pl.Int64, "user": pl.String}
ROWS = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.sampled_from("ABC"),
        st.none() | st.integers(0, 4),
        st.none() | st.sampled_from(["x", "y", "z"]),
    ),
    max_size=60,
)
CUTS = st.lists(st.integers(0, 60), max_size=4)


def run(detector: Any, rows: list[Any], cuts: list[int]) -> list[Anomaly]:
    bounds = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    found: list[Anomaly] = []
    for start, end in pairwise(bounds):
        frame = pl.DataFrame(rows[start:end], schema=TYPES, orient="row")
        anomalies = detector.process(frame, np.arange(start, end) * 3)
        values = [json.loads(text)["value"] for text in anomalies["detail"]]
        found += zip(anomalies["offset"], anomalies["type"], values, strict=True)
    return found


def check(rows: list[Any], cuts: list[int], learn: int, age: int | None, cap: int, report: str) -> None:
    spec = NewValueSpec(
        name="new",
        variables=("qty", "user"),
        learn=LearnPhase(row_count=learn),
        expire_after=age,
        distinct_count_max=cap,
        report=report,
    )
    detector = make_detector(spec, SCHEMA, "time", ["sym"])
    naive = NaiveKnownValues(learn, age, cap, report == "once")
    expected = [
        anomaly
        for index, (time, sym, qty, user) in enumerate(rows)
        for anomaly in naive.row(index * 3, time, sym, (qty, user))
    ]
    assert run(detector, rows, cuts) == expected


ARGUMENTS = st.tuples(
    ROWS,
    CUTS,
    st.integers(1, 12),
    st.none() | st.integers(1, 20),
    st.integers(1, 6),
    st.sampled_from(["every", "once"]),
)


@given(ARGUMENTS)
@settings(max_examples=25, deadline=None)
def test_it_equals_the_naive_detector_however_batches_are_cut(arguments: Any) -> None:
    check(*arguments)


@pytest.mark.slow
@given(ARGUMENTS)
@settings(max_examples=3000, deadline=None)
def test_it_equals_the_naive_detector_in_thousands_of_cases(arguments: Any) -> None:
    check(*arguments)


@given(ROWS, st.integers(0, 60), st.none() | st.integers(1, 20), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_restart_at_any_row_changes_nothing(rows: list[Any], cut: int, age: int | None, by_entries: bool) -> None:
    spec = NewValueSpec(name="new", variables=("qty", "user"), learn=LearnPhase(row_count=4), expire_after=age)
    whole = run(make_detector(spec, SCHEMA, "time", ["sym"]), rows, [])
    first, second = (make_detector(spec, SCHEMA, "time", ["sym"]) for _ in range(2))
    cut = min(cut, len(rows))
    stored: dict[bytes, bytes] = {}
    before: list[Anomaly] = []
    for start in range(cut):
        frame = pl.DataFrame(rows[start : start + 1], schema=TYPES, orient="row")
        anomalies = first.process(frame, np.array([start * 3]))
        values = [json.loads(text)["value"] for text in anomalies["detail"]]
        before += zip(anomalies["offset"], anomalies["type"], values, strict=True)
        stored.update(first.changed_state())
        first.mark_saved()
    if by_entries:
        second.load_state(stored)
    else:
        second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot() or cut == 0
    after = []
    if cut < len(rows):
        frame = pl.DataFrame(rows[cut:], schema=TYPES, orient="row")
        anomalies = second.process(frame, np.arange(cut, len(rows)) * 3)
        values = [json.loads(text)["value"] for text in anomalies["detail"]]
        after = list(zip(anomalies["offset"], anomalies["type"], values, strict=True))
    assert before + after == whole

"""Every detector equals its definition, and neither batches nor restarts change what it finds."""

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.detectors import (
    BaselineSpec,
    CharsetSpec,
    CountVectorSpec,
    Detector,
    EventSequenceSpec,
    LearnPhase,
    NewEventSpec,
    NewValueCombinationSpec,
    NewValueSpec,
    RuleSpec,
    ValueRangeSpec,
    make_detector,
)
from actors.detectors.stability import StabilitySpec
from actors.model import Schema
from tests.support.naive_persistency import naive_charsets, naive_counts, naive_ranges, naive_sequences

SCHEMA = Schema.from_mapping(
    {"time": "TIMESTAMP", "sym": "SYMBOL", "ev": "LONG", "qty": "LONG", "price": "DOUBLE", "user": "STRING"}
)
TYPES = {"time": pl.Int64, "sym": pl.String, "ev": pl.Int64, "qty": pl.Int64, "price": pl.Float64, "user": pl.String}
ROWS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from("AB"),
        st.none() | st.integers(0, 2),
        st.none() | st.integers(-5, 5),
        st.none() | st.sampled_from([0.0, -0.0, 0.5, 1.0, 2.0]),
        st.none() | st.text("abc", max_size=3),
    ),
    max_size=40,
)
LEARN = LearnPhase(row_count=5)
SPECS: list[Any] = [
    BaselineSpec(name="d", variables=("qty", "price"), event_id_columns=("ev",), configure_row_count=6),
    NewValueSpec(name="d", variables=("qty", "user"), event_id_columns=("ev",), learn=LEARN, configure_row_count=6),
    NewValueSpec(name="d", variables=("qty",), learn=LearnPhase(duration=9), expire_after=5, report="once"),
    NewValueSpec(name="d", variables=("qty",), learn=LearnPhase(until=20), distinct_count_max=4),
    NewValueCombinationSpec(name="d", combinations=(("qty", "user"), ("ev", "price")), learn=LEARN),
    NewEventSpec(name="d", event_id_columns=("ev", "user"), learn=LEARN),
    ValueRangeSpec(name="d", variables=("qty", "price", "time"), learn=LEARN, configure_row_count=7),
    CharsetSpec(name="d", variables=("user",), learn=LEARN, configure_row_count=4),
    EventSequenceSpec(name="d", event_id_columns=("ev",), length=3, learn=LEARN),
    NewValueSpec(name="d", variables=("qty",), learn=LEARN, expire_after=5, report="once", distinct_count_max=3),
    CountVectorSpec(name="d", event_id_columns=("ev",), window_ticks=7, learn=LEARN, report="once"),
    StabilitySpec(name="d", variables=("qty", "price", "time"), event_id_columns=("ev",), value_count_max=3),
    StabilitySpec(name="d", variables=("user", "qty"), segmentation="both", segment_thresholds=(1.1, 0.5)),
    StabilitySpec(name="d", variables=("user",), learn=LEARN),
    RuleSpec(
        name="d", rules=({"name": "r", "conditions": [{"column": "qty", "operator": ">", "value": 3}]},), learn=LEARN
    ),
]


def frame_of(rows: Any) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TYPES, orient="row")


def make(spec: Any) -> Detector:
    return make_detector(spec, SCHEMA, "time", ["sym"])


def found_rows(spec: Any, rows: Any) -> list[int]:
    found: list[int] = make(spec).process(frame_of(rows), np.arange(len(rows)))["offset"].to_list()
    return found


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 40), max_size=3), restarts=st.booleans())
@settings(max_examples=15, deadline=None)
def test_neither_cuts_nor_restarts_change_what_is_found_and_stored(
    spec: Any, rows: Any, cuts: list[int], restarts: bool
) -> None:
    undivided = make(spec)
    whole = undivided.process(frame_of(rows), np.arange(len(rows)))
    detector, stored, parts = make(spec), dict[bytes, bytes](), [whole.clear()]
    for start, end in pairwise(sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})):
        parts.append(detector.process(frame_of(rows[start:end]), np.arange(start, end)))
        stored.update(detector.changed_state())
        detector.mark_saved()
        if restarts:
            snapshot, detector = detector.snapshot(), make(spec)
            detector.load_state(stored)
            again = make(spec)
            again.restore(snapshot)
            assert again.snapshot() == snapshot
    assert pl.concat(parts).equals(whole)
    assert stored == undivided.changed_state()
    assert detector.snapshot() == undivided.snapshot()


@given(rows=ROWS)
@settings(max_examples=18, deadline=None)
def test_ranges_equal_their_definition(rows: Any) -> None:
    expected = naive_ranges([(row[0], row[1], row[3]) for row in rows], 5)
    assert found_rows(ValueRangeSpec(name="d", variables=("qty",), learn=LEARN), rows) == expected


@given(rows=ROWS)
@settings(max_examples=18, deadline=None)
def test_charsets_equal_their_definition(rows: Any) -> None:
    expected = naive_charsets([(row[0], row[1], row[5]) for row in rows], 5)
    assert found_rows(CharsetSpec(name="d", variables=("user",), learn=LEARN), rows) == expected


@given(rows=ROWS, length=st.integers(2, 4), report=st.sampled_from(["every", "once"]))
@settings(max_examples=18, deadline=None)
def test_sequences_equal_their_definition(rows: Any, length: int, report: str) -> None:
    spec = EventSequenceSpec(name="d", event_id_columns=("ev",), length=length, learn=LEARN, report=report)
    expected = naive_sequences([(row[0], row[1], row[2]) for row in rows], 5, length, report == "once")
    assert found_rows(spec, rows) == expected


@given(rows=ROWS, window=st.integers(1, 9), by_time=st.booleans(), distance_max=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=18, deadline=None)
def test_counts_equal_their_definition(rows: Any, window: int, by_time: bool, distance_max: float) -> None:
    size: Any = {"window_ticks": window} if by_time else {"window_row_count": window}
    spec = CountVectorSpec(name="d", event_id_columns=("ev",), learn=LEARN, distance_max=distance_max, **size)
    expected = naive_counts([(row[0], row[1], row[2]) for row in rows], 5, window, by_time, distance_max)
    assert found_rows(spec, rows) == expected

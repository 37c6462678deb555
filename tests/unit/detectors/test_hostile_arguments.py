"""Arguments of detectors of any kind: an error of the package that names the value, never one of Python or Polars."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from actors.detectors import (
    CountVectorSpec,
    DetectorSpecError,
    LearnPhase,
    NewValueSpec,
    RuleSpec,
    StabilitySpec,
    make_detector,
)
from actors.detectors.errors import DetectorValueError
from actors.errors import SchemaError

SCHEMA = {"time": "TIMESTAMP", "host": "SYMBOL", "qty": "INT", "text": "STRING"}
FRAME = pl.DataFrame(
    {"time": [1, 2], "host": ["a", "b"], "qty": [1, 2], "text": ["x", "y"]},
    schema={"time": pl.Int64, "host": pl.String, "qty": pl.Int64, "text": pl.String},
)
OF_ONE_CELL = pl.DataFrame({"a": [1]})
"""Compares its cells with whatever it is compared with."""

SPEC = NewValueSpec(name="d", variables=("qty", "text"), event_id_columns=("qty",), learn=LearnPhase())
COUNTS = CountVectorSpec(name="d", event_id_columns=("text",), window_ticks=5, learn=LearnPhase())


@pytest.mark.parametrize("name", ["\ud800", "", None, 5, OF_ONE_CELL])
def test_a_name_that_could_not_be_saved_is_refused(name: Any) -> None:
    with pytest.raises(DetectorSpecError, match="must be a text"):
        NewValueSpec(name=name, variables=("qty",))


@pytest.mark.parametrize(
    "make",
    [
        lambda value: NewValueSpec(name="d", variables=("qty",), report=value),
        lambda value: StabilitySpec(name="d", variables=("qty",), segmentation=value),
        lambda value: NewValueSpec(name="d", variables=("qty",), event_id=value),
        lambda value: RuleSpec(
            name="d", rules=({"name": "r", "conditions": [{"column": "qty", "operator": value, "value": 5}]},)
        ),
        lambda value: StabilitySpec(name="d", variables=("qty",), segment_thresholds=(value,)),
        lambda value: make_detector(SPEC, SCHEMA, value),
    ],
)
@pytest.mark.parametrize("value", [OF_ONE_CELL, "\ud800", 1 << 64, 10**400, object()])
def test_a_setting_of_another_kind_is_refused(make: Any, value: Any) -> None:
    with pytest.raises(DetectorSpecError):
        make(value)


@pytest.mark.parametrize("distance", [True, float("nan"), 1 << 64])
def test_a_distance_that_is_none_is_refused(distance: Any) -> None:
    with pytest.raises(DetectorSpecError, match="distance_max"):
        CountVectorSpec(name="d", event_id_columns=("qty",), window_row_count=2, distance_max=distance)


@pytest.mark.parametrize("offsets", ["ab", {0, 1}, {0: 0, 1: 1}, np.zeros((2, 2)), 5, None])
def test_offsets_that_are_no_array_are_refused(offsets: Any) -> None:
    with pytest.raises(SchemaError, match="offsets in an array"):
        make_detector(SPEC, SCHEMA, "time", ["host"]).process(FRAME, offsets)


@pytest.mark.parametrize(
    ("group", "variable", "value"),
    [
        (("a", 1 << 64), "qty", 5),
        (("a", "text"), "qty", 5),
        ((5, 1), "qty", 5),
        (("\ud800", 1), "qty", 5),
        (("a", 1), "text", "\ud800"),
        (("a", 1), OF_ONE_CELL, 5),
    ],
)
def test_what_no_row_could_bring_is_not_accepted_and_changes_nothing(group: Any, variable: Any, value: Any) -> None:
    detector = make_detector(SPEC, SCHEMA, "time", ["host"])
    before = detector.snapshot()
    with pytest.raises((DetectorSpecError, DetectorValueError)):
        detector.accept(group, variable, value)
    assert detector.snapshot() == before


def test_a_count_that_could_not_be_saved_is_not_accepted() -> None:
    detector = make_detector(COUNTS, SCHEMA, "time", ["host"])
    with pytest.raises(DetectorValueError, match="a count that is none"):
        detector.accept("a", "text", [["x", 1 << 64]])


def test_a_key_that_is_null_is_accepted() -> None:
    detector = make_detector(SPEC, SCHEMA, "time", ["host"])
    detector.accept((None, 1), "qty", 5)
    detector.restore(detector.snapshot())

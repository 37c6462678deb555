"""What callers give is converted, or refused where it enters with an error of the library."""

import enum
from collections import namedtuple
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from actors.persistency import (
    ChunkedEventDataFrame,
    EventPersistency,
    EventStabilityTracker,
    PersistencySaver,
    PersistencySaverConfig,
    load,
    save,
)
from actors.persistency.errors import PersistencyTypeError, PersistencyValueError
from actors.persistency.rle_list import RLEList
from actors.persistency.stability_classifier import StabilityClassifier
from actors.persistency.stability_tracker import SingleStabilityTracker


def ingested(*event: Any) -> dict[Any, Any]:
    persistency = EventPersistency(ChunkedEventDataFrame)
    persistency.ingest_event(*event)
    return {event_id: data.get_data().rows() for event_id, data in persistency.get_events_data().items()}


@pytest.mark.parametrize(
    "variables", [["a", "b"], ("a", "b"), (text for text in "ab"), np.array(["a", "b"]), pl.Series(["a", "b"])]
)
def test_variables_come_in_every_form_that_has_an_order(variables: Any) -> None:
    assert ingested(1, "t", variables) == {1: [("a", "b")]}


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ((1, "t", ["a"], np.array([1, 2])), "named_variables array.* must be a mapping"),
        ((1, "t", ["a"], pl.Series([1])), "must be a mapping of names to values"),
        ((1, "t", ["a"], []), r"named_variables \[\] must be a mapping"),
        ((None, "t", ["a"]), "the event id None must be a whole number or a text"),
        (([1], "t", ["a"]), r"the event id \[1\] must be"),
        ((1.5, "t", ["a"]), "the event id 1.5 must be"),
        ((1, "t", "abc"), "variables 'abc' must be a list of values"),
        ((1, "t", 5), "variables 5 must be a list of values"),
        ((1, "t", {"a": 1}), "named ones go to named_variables"),
        ((1, "t", {"a", "b"}), "must be a list of values"),
        ((1, "t", [], [("a", 1)]), "must be a mapping of names to values"),
        ((1, "t", [], {1: 2}), "the variable 1 must be named by a text"),
        ((1, "t", ["a"], {}, "now"), "the timestamp 'now' must be a number of seconds"),
        ((1, "t", ["a"], {}, datetime.now(UTC)), "must be a number of seconds"),
    ],
)
def test_an_event_of_another_kind_is_refused_and_changes_nothing(event: tuple[Any, ...], message: str) -> None:
    persistency = EventPersistency()
    with pytest.raises(PersistencyTypeError, match=message):
        persistency.ingest_event(*event)
    with pytest.raises(PersistencyTypeError, match=message):
        persistency.ingest_events([(2, "t", ["b"]), event])
    assert persistency.get_event_data(1) is None
    assert list(persistency.get_events_data()) == [2]


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ("abc", "events must be a list; 'abc' is a single value"),
        (None, "events must be a list; None"),
        ({"event_id": 1}, "these events are one mapping; give a list of events"),
        ((1, "t", ["a"]), "1 is no event; give its parts in the order event_id"),
        ([()], r"\(\) is no event"),
        ([(1, "t", ["a"], {}, None, 6)], "is no event"),
        ([{"variables": ["a"]}], "an event needs an event_id"),
        ([{"event_id": 1, "vars": ["a"]}], "an event has no part 'vars'; its parts are event_id, event_template"),
    ],
)
def test_what_are_no_events_is_refused(events: Any, message: str) -> None:
    with pytest.raises(PersistencyTypeError, match=message):
        EventPersistency().ingest_events(events)


def test_events_come_from_anything_that_gives_them() -> None:
    Event = namedtuple("Event", "id template variables")  # noqa: PYI024  what people have
    persistency = EventPersistency()
    assert persistency.ingest_events(Event(np.int64(number), "t", ["a"]) for number in range(3)) == 3
    assert {type(event_id) for event_id in persistency.get_events_seen()} == {int}


FRAME = pl.DataFrame({"id": [1, 2], "v": ["a", "b"]})


@pytest.mark.parametrize("frame", [FRAME, FRAME.lazy(), FRAME.to_dict(as_series=False), FRAME.to_arrow])
def test_frames_come_in_every_form_that_polars_takes(frame: Any) -> None:
    given = frame() if callable(frame) else frame
    assert EventPersistency().ingest_frame(given, "id", variables="v") == 2


@pytest.mark.parametrize("frame", [None, 5, "text"])
def test_what_is_no_frame_is_refused(frame: Any) -> None:
    with pytest.raises(PersistencyValueError, match="is no frame"):
        EventPersistency().ingest_frame(frame, "id")


def test_a_column_that_has_no_times_is_refused() -> None:
    with pytest.raises(PersistencyValueError, match="column 'v' is String; times are dates, or numbers of seconds"):
        EventPersistency().ingest_frame(FRAME, "id", timestamp_column="v")


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("EventStabilityTracker", {}, "is no class of backends"),
        (int, {}, "is no class of backends"),
        (EventStabilityTracker, {"time_buckets": 2**64}, "time_buckets 18446744073709551616 must be at most 1000000"),
        (EventStabilityTracker, {"nope": 1}, "event_data_kwargs {'nope': 1} do not fit EventStabilityTracker"),
        (EventStabilityTracker, {"min_samples": "3"}, "min_samples '3' must be a whole number of at least 0"),
        (ChunkedEventDataFrame, {"max_rows": -1}, "max_rows -1 must be a whole number of at least 0"),
        (ChunkedEventDataFrame, {"compact_every": None}, "compact_every None must be a whole number"),
    ],
)
def test_a_backend_that_cannot_be_made_is_refused_at_the_first_event(kind: Any, arguments: Any, message: str) -> None:
    persistency = EventPersistency(kind, event_data_kwargs=arguments)
    with pytest.raises(PersistencyValueError, match=message):
        persistency.ingest_event(1, "t", ["a"])


def test_a_single_name_is_a_blacklist_of_one() -> None:
    single: Any = "Content"
    assert EventPersistency(variable_blacklist=single).variable_blacklist == ["Content"]
    with pytest.raises(PersistencyTypeError, match=r"variable_blacklist has 1\.5"):
        EventPersistency(variable_blacklist=[1.5])  # type: ignore[list-item]


class Segmentation(enum.Enum):
    BOTH = "both"


def test_members_of_enumerations_stand_for_their_values() -> None:
    tracker = SingleStabilityTracker(segmentation=Segmentation.BOTH)  # type: ignore[arg-type]
    assert (tracker.segmentation, tracker.needs_timestamps) == ("both", True)


def test_thresholds_may_come_from_a_generator() -> None:
    thresholds: Any = (limit for limit in (1.1, 0.5))
    assert StabilityClassifier(thresholds).segment_threshs == [1.1, 0.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_samples": 2.5}, "min_samples 2.5 must be a whole number"),
        ({"segmentation": "COUNT"}, "segmentation 'COUNT' is unknown; use one of count, time, both"),
        ({"add_value_fn": "charset"}, "add_value_fn 'charset' is unknown; use one of default, CharsetDetector"),
        ({"segment_thresholds": 0.5}, "segment_thresholds 0.5 must be a list of numbers"),
        ({"segment_thresholds": ["a"]}, "segment_thresholds 'a' must be a number"),
        ({"segment_thresholds": [float("nan")]}, "segment_thresholds nan must be a number"),
        ({"classification": "index"}, "classification 'index' must be a mapping of settings"),
        ({"classification": {"index": "yes"}}, "index 'yes' must be True or False"),
        ({"classification": {"decision": "CONSENSUS"}}, "decision 'CONSENSUS' is unknown"),
        ({"classification": {"slope_index": True, "slope_threshold": "x"}}, "slope_threshold 'x' must be a number"),
        ({"max_distinct": 2.5}, "max_distinct 2.5 must be a whole number"),
        ({"expire_after": "5m"}, "expire_after '5m' must be a number"),
        ({"time_buckets": 2.5}, "time_buckets 2.5 must be a whole number"),
        ({"detector_config": 5}, "detector_config 5 must be a mapping of settings"),
        (
            {"add_value_fn": "BigramFrequencyDetector", "detector_config": {"prob_thresh": "x"}},
            "prob_thresh 'x' must be a number",
        ),
    ],
)
def test_settings_of_a_tracker_that_cannot_be_used_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PersistencyValueError, match=message):
        SingleStabilityTracker(**arguments)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": 5}, "the path 5 must be a path or a URI"),
        ({"path": ""}, "the path '' must be"),
        ({"path": "x", "save_interval_seconds": 0}, "save_interval_seconds 0 must be above 0"),
        ({"path": "x", "save_interval_seconds": 1e300}, "save_interval_seconds 1e\\+300 must be above 0 and at most"),
        ({"path": "x", "save_interval_seconds": "5"}, "save_interval_seconds '5' must be a number"),
        ({"path": "x", "events_until_save": 0}, "events_until_save 0 must be a whole number of at least 1"),
        ({"path": "x", "storage_options": 5}, "must be a mapping"),
    ],
)
def test_settings_of_a_saver_that_cannot_be_used_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PersistencyValueError, match=message):
        PersistencySaverConfig(**settings)


def test_a_saver_takes_a_path(tmp_path: Path) -> None:
    path: Any = tmp_path
    saver = PersistencySaver(EventPersistency(), PersistencySaverConfig(path))
    saver.save()
    assert saver.get_status()["path"] == str(tmp_path)


def test_a_persistency_is_merged_with_another_and_with_nothing_else() -> None:
    persistency = EventPersistency()
    for other in (5, persistency):
        with pytest.raises(PersistencyTypeError, match="give another EventPersistency"):
            persistency.merge(other)  # type: ignore[arg-type]


def test_a_single_value_is_no_series() -> None:
    with pytest.raises(PersistencyTypeError, match="the values are 5; give a list of them"):
        RLEList(5)  # type: ignore[arg-type]
    for call in (StabilityClassifier([1.1]).is_stable, StabilityClassifier([1.1]), StabilityClassifier([1.1]).verdicts):
        with pytest.raises(PersistencyTypeError, match="the series of changes is None; give a list of truth values"):
            call(None)  # type: ignore[operator]


OF_ONE_CELL = pl.DataFrame({"a": [1]})
"""Compares its cells with whatever it is compared with."""


@pytest.mark.parametrize(
    "use",
    [
        lambda it: it.ingest_frame({"id": [1], "v": [1]}, "id", template_column=""),
        lambda it: it.ingest_frame({"id": [1], "v": [1]}, "id", template_column=OF_ONE_CELL),
        lambda it: it.ingest_frame({"id": [1], "v": [1]}, "id", timestamp_column=[]),
        lambda it: it.ingest_frame({"id": [1], "v": [1]}, OF_ONE_CELL),
        lambda it: it.accept(1, [], 5),
        lambda it: it.accept(1, None, 5),
        lambda it: EventStabilityTracker(segmentation=OF_ONE_CELL),
        lambda it: EventStabilityTracker(add_value_fn=OF_ONE_CELL),
        lambda it: save("no persistency"),  # type: ignore[arg-type]
        lambda it: load(None, b""),  # type: ignore[arg-type]
        lambda it: PersistencySaverConfig("somewhere", auto_load="yes"),  # type: ignore[arg-type]
    ],
)
def test_what_is_of_another_kind_is_refused_where_it_enters(use: Any) -> None:
    with pytest.raises(PersistencyValueError):
        use(EventPersistency())

"""Stability trackers equal the formulas, whatever the blocks in which they are fed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.persistency import EventPersistency, EventStabilityTracker
from actors.persistency.rle_list import RLEList
from actors.persistency.stability_classifier import StabilityClassifier
from actors.persistency.stability_tracker import SingleStabilityTracker
from tests.support.naive_persistency import naive_bounds, naive_changes, naive_means, naive_verdict

THRESHOLDS = st.lists(st.sampled_from([0.01, 0.1, 0.3, 0.5, 1.1]), min_size=1, max_size=7)
SERIES = st.lists(st.integers(0, 12), max_size=80)
STAMPS = st.none() | st.floats(0, 100) | st.just(float("nan"))


def check(values: list[int], stamps: list[Any], segmentation: str, thresholds: list[float], cut: int) -> None:
    tracker = SingleStabilityTracker(segmentation=segmentation, segment_thresholds=thresholds)
    tracker.add_block(values[:cut], stamps[:cut])
    tracker.add_block(values[cut:], stamps[cut:])
    given_stamps = [stamp for stamp in stamps if stamp is not None]
    assert list(tracker.change_series) == naive_changes(values)
    assert tracker.classify().type == naive_verdict(values, given_stamps, segmentation, 3, thresholds)
    classifier = StabilityClassifier(thresholds)
    classifier.is_stable(tracker.change_series, given_stamps)
    if values:
        bounds = naive_bounds(len(values), given_stamps, len(thresholds))
        assert classifier.get_last_segment_means() == naive_means(naive_changes(values), bounds)


@st.composite
def cases(draw: Any) -> tuple[Any, ...]:
    values = draw(SERIES)
    count = len(values)
    rising = st.lists(st.floats(0, 100), min_size=count, max_size=count).map(sorted)
    stamps = draw(rising | st.lists(STAMPS, min_size=count, max_size=count))
    segmentation = draw(st.sampled_from(["count", "time", "both"]))
    return values, stamps, segmentation, draw(THRESHOLDS), draw(st.integers(0, count))


@given(cases())
@settings(max_examples=30, deadline=None)
def test_verdicts_and_means_equal_the_formulas(case: tuple[Any, ...]) -> None:
    check(*case)


@pytest.mark.slow
@given(cases())
@settings(max_examples=20_000, deadline=None)
def test_verdicts_and_means_equal_the_formulas_thousands_of_times(case: tuple[Any, ...]) -> None:
    check(*case)


@given(st.lists(st.booleans(), max_size=60), st.integers(-1, 70))
@settings(max_examples=25, deadline=None)
def test_a_run_list_counts_like_a_list(series: list[bool], end: int) -> None:
    runs = RLEList(series)
    assert (list(runs), len(runs)) == (series, len(series))
    assert runs.true_count(end) == sum(series[: max(end, 0)])
    assert list(runs.true_positions()) == [index for index, value in enumerate(series) if value]
    assert runs.true_position_sum() == sum(runs.true_positions())


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from([(), ("a",), ("a", "b")]), st.integers(0, 5)), max_size=60),
    st.sampled_from([{}, {"segmentation": "both"}, {"max_distinct": 3}, {"expire_after": 4.0}]),
    st.sets(st.integers(0, 60)),
)
@settings(max_examples=25, deadline=None)
def test_reads_between_events_change_nothing(events: Any, arguments: Any, reads: set[int]) -> None:
    quiet, read = (EventPersistency(EventStabilityTracker, event_data_kwargs=arguments) for _ in range(2))
    for index, (event_id, names, value) in enumerate(events):
        for made in (quiet, read):
            made.ingest_event(event_id, "t", [value], dict.fromkeys(names, value + 1), float(index))
        if index in reads:
            read.get_event_data(event_id)
    states = [
        {
            event_id: {name: _comparable(item) for name, item in made.get_event_data(event_id).items()}
            for event_id in made
        }
        for made in (quiet, read)
    ]
    assert states[0] == states[1]


@given(SERIES, SERIES)
@settings(max_examples=25, deadline=None)
def test_merging_equals_one_tracker_of_everything(left: list[int], right: list[int]) -> None:
    one, two, whole = (SingleStabilityTracker() for _ in range(3))
    one.add_block(left, [None] * len(left))
    two.add_block(right, [None] * len(right))
    whole.add_block(left + right, [None] * (len(left) + len(right)))
    one.merge(two)
    assert _comparable(one) == _comparable(whole)


def _comparable(tracker: SingleStabilityTracker) -> Any:
    state = tracker.to_state()
    return {**state, "unique_set": set(state["unique_set"]), "last_seen": sorted(state["last_seen"] or ())}

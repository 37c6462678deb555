import math
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from actors.persistency import EventPersistency, EventStabilityTracker
from actors.persistency.classification_methods import ClassificationMethods
from actors.persistency.errors import PersistencyLoadError, PersistencyValueError
from actors.persistency.rle_list import RLEList
from actors.persistency.stability_classifier import StabilityClassifier
from actors.persistency.stability_tracker import SingleStabilityTracker


def tracked(values: Any, stamps: Any = None, **arguments: Any) -> SingleStabilityTracker:
    tracker = SingleStabilityTracker(**arguments)
    for index, value in enumerate(values):
        tracker.add_value(value, None if stamps is None else stamps[index])
    return tracker


def verdict(values: Any, stamps: Any = None, **arguments: Any) -> str:
    return tracked(values, stamps, **arguments).classify().type


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("aa", "INSUFFICIENT_DATA"),
        ("aaa", "STATIC"),
        ("abc", "RANDOM"),
        ("aba", "UNSTABLE"),
        ("ab" * 20, "STABLE"),
        ("abcdefgh" + "a" * 3, "UNSTABLE"),
    ],
)
def test_the_verdict_follows_the_order_of_the_rules(values: str, expected: str) -> None:
    assert verdict(values) == expected


def test_a_change_is_a_first_occurrence() -> None:
    assert list(tracked("abab").change_series) == [True, True, False, False]


def test_a_mean_equal_to_its_threshold_fails() -> None:
    assert not StabilityClassifier([1.1, 0.5]).is_stable([True, False, True, False])
    assert StabilityClassifier([1.1, 0.51]).is_stable([True, False, True, False])


def test_runs_and_lists_have_the_same_means() -> None:
    series = [True, True, False, True, False, False, False]
    of_list, of_runs = StabilityClassifier([1.1, 0.3, 0.1, 0.01]), StabilityClassifier([1.1, 0.3, 0.1, 0.01])
    of_list.is_stable(series)
    of_runs.is_stable(RLEList(series))
    assert of_list.get_last_segment_means() == of_runs.get_last_segment_means() == [1.0, 0.5, 0.5, 0.0]


def test_an_empty_series_is_stable() -> None:
    assert StabilityClassifier([1.1, 0.3]).is_stable([])


def test_three_changes_and_a_late_burst_are_stable_by_count_only() -> None:
    values = ["a", "b", "c"] + ["a"] * 37
    stamps = [0.0, 30.0, 60.0] + [90.0 + i / 1000 for i in range(37)]
    assert verdict(values, stamps) == "STABLE"
    assert verdict(values, stamps, segmentation="time") == "UNSTABLE"
    assert verdict(values, stamps, segmentation="both") == "UNSTABLE"


def test_twenty_values_twice_and_one_an_hour_later_have_these_means() -> None:
    values = [*range(20), *range(20), 0]
    stamps = [i / 1000 for i in range(40)] + [3600.0]
    tracker = tracked(values, stamps, segmentation="time")
    assert tracker.classify().type == "STABLE"
    # 20 changes among the 40 observations of the first window.
    assert tracker.stability_classifier.get_last_segment_means() == [0.5, 0.0, 0.0, 0.0]
    assert verdict(values, stamps) == "UNSTABLE"


def test_fresh_values_every_second_and_late_repeats_have_these_means() -> None:
    stamps = [float(i) for i in range(30)] + [29.0 + 100 * i for i in range(1, 11)]
    tracker = tracked([*range(30), *[0] * 10], stamps, segmentation="time")
    assert tracker.classify().type == "STABLE"
    assert tracker.stability_classifier.get_last_segment_means() == [0.9375, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "stamps", [None, [5.0, 4.0, 6.0, 7.0], [1.0] * 4, [1.0, math.nan, 2.0, 3.0], [1.0, None, 2, 3]]
)
def test_unusable_times_fall_back_to_count(stamps: Any) -> None:
    values = "aabb"
    tracker = tracked(values, stamps, segmentation="time")
    tracker.classify()
    assert tracker.stability_classifier.get_last_segment_means() == [1.0, 0.0, 1.0, 0.0]


def test_times_are_kept_only_when_a_test_needs_them() -> None:
    assert tracked("ab", [1.0, 2.0]).timestamps == []
    assert tracked("ab", [1.0, 2.0], segmentation="both").timestamps == [1.0, 2.0]


def test_both_shows_both_lists_of_means() -> None:
    reason = tracked("aabb", [0.0, 1.0, 2.0, 3.0], segmentation="both").classify().reason
    assert "count [1.0, 0.0, 1.0, 0.0]" in reason
    assert "time [" in reason


def test_an_empty_segment_does_not_pass_for_being_empty() -> None:
    assert verdict("aba", segment_thresholds=[1.1, 1.1, 1.1, 1.1]) == "INSUFFICIENT_DATA"
    assert verdict("abaa", segment_thresholds=[1.1, 1.1, 1.1, 1.1]) == "STABLE"


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"index": True}, "STABLE"),
        ({"index": False, "slope_index": True}, "STABLE"),
        ({"slope_index": True, "slope_threshold": -0.5}, "UNSTABLE"),
        ({"slope_index": True, "slope_time": True, "slope_threshold": -0.5, "decision": "majority"}, "UNSTABLE"),
        ({"time": True, "slope_index": True, "slope_threshold": -0.5, "decision": "majority"}, "STABLE"),
    ],
)
def test_methods_are_joined_by_the_decision_rule(block: Any, expected: str) -> None:
    values, stamps = "aaba" + "a" * 36, [float(i) for i in range(40)]
    # The third value is a change, so the slope is a little above -0.5.
    assert verdict(values, stamps, classification={"segment_thresholds": [1.1, 0.3], **block}) == expected


def test_fewer_observations_than_segments_are_not_enough_for_the_segment_methods() -> None:
    assert verdict("aba", classification={"index": True}) == "INSUFFICIENT_DATA"
    assert verdict("aab", classification={"index": False, "slope_index": True}) == "UNSTABLE"


@pytest.mark.parametrize("block", [{"index": False}, {"segment_thresholds": []}, {"decision": "coin"}, {"slope": True}])
def test_an_impossible_classification_is_refused(block: Any) -> None:
    with pytest.raises(PersistencyValueError):
        SingleStabilityTracker(classification=block)


def test_the_reason_names_each_test_its_axis_and_the_rule() -> None:
    block = {"index": False, "slope_index": True, "slope_time": True}
    reason = tracked("aab" + "a" * 9, classification=block).classify().reason
    assert reason == (
        "slope_index: slope -0.400 (index axis) at most -0.05 -> STABLE; "
        "slope_time: slope -0.400 (index axis) at most -0.05 -> STABLE; decision=consensus (2/2) -> STABLE"
    )


def test_other_methods_may_be_set_after_the_observations() -> None:
    tracker = tracked("abab" + "a" * 20)
    assert (tracker.classification.enabled, tracker.classify().type) == (("index",), "STABLE")
    tracker.classification = {"segment_thresholds": [0.01, 0.01]}  # type: ignore[assignment]  # as files have it
    assert (tracker.stability_classifier.n_segments, tracker.classify().type) == (2, "UNSTABLE")
    tracker.classification = ClassificationMethods(segment_thresholds=[0.5] * 30)
    assert tracker.classify().reason == "Not enough data for 30 segments (have 24, need 30)"


@pytest.mark.parametrize(
    ("segmentation", "enabled"), [("count", ("index",)), ("time", ("time",)), ("both", ("index", "time"))]
)
def test_a_segmentation_reads_as_the_methods_it_stands_for(segmentation: str, enabled: tuple[str, ...]) -> None:
    assert SingleStabilityTracker(segmentation=segmentation).classification.enabled == enabled


def test_trackers_keep_their_methods_when_the_list_given_changes() -> None:
    thresholds = [0.5, 0.4]
    methods = ClassificationMethods(segment_thresholds=thresholds)
    tracker = SingleStabilityTracker(classification=methods)
    thresholds.append(0.1)
    methods.segment_thresholds.append(0.2)
    assert tracker.classification.segment_thresholds == [0.5, 0.4]


def test_a_classifier_runs_the_tests_of_a_classification() -> None:
    series = [True] * 30 + [False] * 10
    stamps = [float(second) for second in range(30)] + [100.0 * late for late in range(1, 11)]
    block = {"time": True, "slope_index": True, "slope_time": True, "decision": "majority"}
    classifier = StabilityClassifier(classification=block)
    assert classifier.verdicts(series, stamps) == {
        "index": False,
        "time": True,
        "slope_index": True,
        "slope_time": True,
    }
    assert classifier.is_stable(series, stamps)
    assert not StabilityClassifier(classification={**block, "decision": "consensus"}).is_stable(series, stamps)


def test_a_classifier_tells_the_slope_by_position_and_by_time() -> None:
    series, classifier = [True, True, True, False, False], StabilityClassifier()
    assert classifier.slope(series) == -1 / 3
    assert classifier.slope(RLEList(series), [0.0, 1.0, 2.0, 100.0, 101.0]) == pytest.approx(-0.495)
    assert classifier.slope(series, [0.0, 9.0, 9.0, 9.0, 9.0]) == -1 / 3


def test_thresholds_given_twice_are_refused() -> None:
    with pytest.raises(PersistencyValueError, match="given twice"):
        StabilityClassifier([1.1], classification={"index": True})


def test_thresholds_beside_the_methods_of_a_state_are_theirs() -> None:
    state = tracked("abaab", classification={"index": True, "time": True}).to_state()
    del state["classification"]["segment_thresholds"]
    tracker = SingleStabilityTracker.from_state({**state, "segment_thresholds": [0.8, 0.4]})
    assert tracker.classification == ClassificationMethods(time=True, segment_thresholds=[0.8, 0.4])


def test_expand_value_is_the_older_name_of_the_characters() -> None:
    backend = EventStabilityTracker(expand_value=True)
    backend.add_data({"x": "ab"})
    state = backend.get_data()["x"].to_state()
    old = {name: state[name] for name in ("min_samples", "runs", "unique_set")} | {"expand_value": True}
    tracker = SingleStabilityTracker.from_state(old)
    tracker.add_value("bc")
    assert (tracker.unique_set, tracker.expand_value) == ({"a", "b", "c"}, True)


def test_characters_are_known_one_by_one() -> None:
    tracker = tracked(["ab", "ba", "c", "abc"], add_value_fn="CharsetDetector")
    assert list(tracker.change_series) == [True, False, True, False]
    assert tracker.unique_set == {"a", "b", "c"}


def test_only_numbers_make_a_range() -> None:
    tracker = tracked(
        ["1", "2.5", "x", 1.0, None, 3], [0.0] * 6, add_value_fn="ValueRangeDetector", segmentation="time"
    )
    assert list(tracker.change_series) == [True, True, False, True]
    assert (tracker.unique_set, len(tracker.timestamps)) == ({1, 3}, 4)


def test_an_unseen_pair_of_characters_is_a_change_and_counts_survive() -> None:
    tracker = tracked(["ab", "ab", "ba"], add_value_fn="BigramFrequencyDetector")
    assert list(tracker.change_series) == [True, False, True]
    again = SingleStabilityTracker.from_state(tracker.to_state())
    assert again.extra_state["freq"][-1] == {"a": 1, "b": 1}


def test_settings_reach_the_trackers_through_the_backend() -> None:
    arguments = {"min_samples": 5, "segment_thresholds": [1.1, 0.5]}
    persistency = EventPersistency(EventStabilityTracker, event_data_kwargs=arguments)
    persistency.ingest_events((1, "t", ["a"]) for _ in range(4))
    assert persistency[1].classify()["var_0"].type == "INSUFFICIENT_DATA"  # type: ignore[union-attr]


def test_features_are_found_by_verdict() -> None:
    persistency = EventPersistency(EventStabilityTracker)
    persistency.ingest_events((1, "t", [], {"s": 0, "r": i}) for i in range(5))
    assert persistency[1].get_features_by_classification("STATIC") == ["s"]  # type: ignore[union-attr]


def test_a_tracker_in_hand_sees_what_was_ingested_since() -> None:
    persistency = EventPersistency(EventStabilityTracker)
    persistency.ingest_event(1, "t", ["a"])
    tracker = persistency.get_event_data(1)["var_0"]
    persistency.ingest_event(1, "t", ["b"])
    assert tracker.unique_set == {"a", "b"}


def test_an_absent_variable_keeps_its_own_times() -> None:
    persistency = EventPersistency(EventStabilityTracker, event_data_kwargs={"segmentation": "time"})
    for time, named in enumerate(({"a": 1, "b": 1}, {"a": 1}, {"b": 1, "c": 1})):
        persistency.ingest_event(1, "t", [], named, float(time))
        persistency.get_event_data(1)
    times = {name: tracker.timestamps for name, tracker in persistency.get_event_data(1).items()}
    assert times == {"a": [0.0, 1.0], "b": [0.0, 2.0], "c": [2.0]}


def test_all_nan_are_one_value() -> None:
    tracker = tracked([float("nan"), math.nan, Decimal("nan"), (1, float("nan")), (1, float("nan"))])
    assert list(tracker.change_series) == [True, False, False, True, False]


def test_values_without_a_hash_are_told_apart_by_their_text() -> None:
    tracker = tracked([{"a": 1, "b": 2}, {"b": 2, "a": 1}, [1], {2, 1}])
    assert tracker.unique_set == {"{'a': 1, 'b': 2}", "[1]", "{1, 2}"}


def test_values_of_many_types_survive_a_dump() -> None:
    values = [
        datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        Decimal("1.50"),
        10**40,
        -(10**30),
        (1, ("a", (2.5, None))),
        b"x",
        float("nan"),
        frozenset({1, 2}),
        "\ud800",
    ]
    persistency = EventPersistency(EventStabilityTracker)
    persistency.ingest_events((1, "t", [value]) for value in values)
    again = EventStabilityTracker.load(persistency[1].dump())  # type: ignore[union-attr]
    expected = persistency.get_event_data(1)["var_0"].to_state()["unique_set"]
    assert repr(again.get_data()["var_0"].to_state()["unique_set"]) == repr(expected)


def test_variables_first_seen_after_a_load_have_the_configured_semantics() -> None:
    made = EventStabilityTracker.load(EventStabilityTracker().dump(), add_value_fn="CharsetDetector")
    made.add_data({"x": "ab"})
    assert made.get_data()["x"].unique_set == {"a", "b"}  # type: ignore[attr-defined]


def test_old_state_and_unknown_entries_are_read() -> None:
    state = {"min_samples": 3, "runs": [(True, 1), (False, 4)], "unique_set": [["a", 1]], "future": 1}
    tracker = SingleStabilityTracker.from_state(state)
    assert tracker.unique_set == {("a", 1)}
    assert tracker.classify().type == "STATIC"


def test_a_state_without_runs_is_refused() -> None:
    with pytest.raises(PersistencyLoadError, match="runs"):
        SingleStabilityTracker.from_state({"min_samples": 3})


def test_beyond_the_cap_the_number_of_values_is_estimated() -> None:
    tracker = SingleStabilityTracker(max_distinct=100)
    tracker.add_block([i % 20_000 for i in range(60_000)], [None] * 60_000)
    assert len(tracker.unique_set) == 100
    assert tracker.distinct_count == pytest.approx(20_000, rel=0.05)
    assert tracker.change_series.true_count() == pytest.approx(20_000, rel=0.05)


def test_beyond_the_cap_all_distinct_values_are_still_random() -> None:
    tracker = SingleStabilityTracker(max_distinct=10)
    tracker.add_block(range(5000), [None] * 5000)
    assert tracker.classify().type == "RANDOM"


def test_an_expired_value_is_a_change_again() -> None:
    tracker = tracked("abaa", [0.0, 1.0, 9.0, 20.0], expire_after=10.0)
    assert list(tracker.change_series) == [True, True, False, True]
    assert tracker.unique_set == {"a"}


def test_an_accepted_value_is_no_change() -> None:
    persistency = EventPersistency(EventStabilityTracker)
    persistency.ingest_event(1, "t", [], {"x": "a"})
    persistency.accept(1, "x", "b")
    persistency.ingest_event(1, "t", [], {"x": "b"})
    assert list(persistency.get_event_data(1)["x"].change_series) == [True, False]


def test_times_in_buckets_lead_to_almost_the_same_bounds() -> None:
    values = [min(i, 49) for i in range(4000)]
    stamps = [1.7e9 + (i / 40) ** 1.5 for i in range(4000)]
    exact = tracked(values, stamps, segmentation="time")
    bounded = tracked(values, stamps, segmentation="time", time_buckets=512)
    bounded = SingleStabilityTracker.from_state(bounded.to_state())
    bounds = [made.stability_classifier.segment_bounds(4000, made._times()) for made in (exact, bounded)]
    assert bounds[1] == pytest.approx(bounds[0], abs=15)
    assert (exact.classify().type, bounded.classify().type, bounded.timestamps) == ("STABLE", "STABLE", [])


def test_the_slope_by_time_is_exact_with_buckets() -> None:
    block = {"index": False, "slope_time": True}
    values, stamps = [0, 0, 1, 0, 2, 0, 0], [0.0, 1.0, 2.0, 4.0, 7.0, 8.0, 9.5]
    reasons = {
        tracked(values, stamps, classification=block, time_buckets=count).classify().reason for count in (None, 4)
    }
    assert len(reasons) == 1


def test_a_falling_time_makes_buckets_unusable() -> None:
    tracker = tracked("aabb", [5.0, 4.0, 6.0, 7.0], segmentation="time", time_buckets=8)
    tracker.classify()
    assert tracker.stability_classifier.get_last_segment_means() == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"time_buckets": 1},
        {"segmentation": "no"},
        {"add_value_fn": "no"},
        {"max_distinct": 0},
        {"expire_after": 0},
        {"segment_thresholds": []},
        {"add_value_fn": "CharsetDetector", "max_distinct": 5},
    ],
)
def test_arguments_that_cannot_be_used_are_refused(arguments: Any) -> None:
    with pytest.raises(PersistencyValueError):
        SingleStabilityTracker(**arguments)

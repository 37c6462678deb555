import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from actors.detectors import (
    CharsetSpec,
    CountVectorSpec,
    Detector,
    DetectorSpecError,
    DetectorStateError,
    EventSequenceSpec,
    LearnPhase,
    NewEventSpec,
    NewValueCombinationSpec,
    NewValueSpec,
    RuleSpec,
    ValueRangeSpec,
    make_detector,
)
from actors.detectors.configuration import stable_variables
from actors.model import Schema
from actors.persistency import EventPersistency, EventStabilityTracker

SCHEMA = Schema.from_mapping({"Time": "TIMESTAMP", "sym": "SYMBOL", "ev": "LONG", "qty": "LONG", "user": "STRING"})
TYPES = {"Time": pl.Int64, "sym": pl.String, "ev": pl.Int64, "qty": pl.Int64, "user": pl.String}


def frame(*rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=TYPES, orient="row")


def row(time: int, sym: str = "A", ev: int | None = 1, qty: int | None = 0, user: str | None = "u") -> tuple[Any, ...]:
    return time, sym, ev, qty, user


def detector(kind: Any, keys: tuple[str, ...] = ("sym",), **arguments: Any) -> Detector:
    learn = arguments.pop("learn", LearnPhase(row_count=2))
    return make_detector(kind(name="d", learn=learn, **arguments), SCHEMA, "time", keys)


def process(made: Detector, *rows: tuple[Any, ...], start: int = 0) -> list[tuple[int, str]]:
    found = made.process(frame(*rows), np.arange(start, start + len(rows)))
    return list(zip(found["offset"].to_list(), found["metric"].to_list(), strict=True))


def details(made: Detector, *rows: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [json.loads(text) for text in made.process(frame(*rows), np.arange(len(rows)))["detail"]]


def test_anomalies_have_the_columns_of_the_engine_and_a_detail() -> None:
    made = detector(NewValueSpec, variables=("qty", "user"), event_id_columns=("ev",))
    rows = (row(1), row(2, qty=1), row(3, qty=7, user="new"))
    found = made.process(frame(*rows), np.array([10, 20, 30]))
    assert found.schema == {
        "Time": pl.Int64,
        "sym": pl.String,
        "type": pl.Int32,
        "metric": pl.String,
        "offset": pl.Int64,
        "ordinal": pl.Int32,
        "detail": pl.String,
    }
    assert found.drop("detail").rows() == [
        (3, "A", 0, "new value of qty", 30, 0),
        (3, "A", 1, "new value of user", 30, 1),
    ]
    shown = {"event_id": 1, "variable": "qty", "value": 7, "known": 2, "learned_since": 1}
    assert json.loads(found["detail"][0]) == shown


def test_nothing_found_has_the_same_columns() -> None:
    made = detector(NewValueSpec, variables=("qty",))
    empty = made.process(frame(), np.zeros(0, np.int64))
    assert empty.columns == made.process(frame(row(1)), np.array([0])).columns
    assert len(empty) == 0


def test_each_key_and_event_id_learns_for_itself() -> None:
    made = detector(NewValueSpec, variables=("qty",), event_id_columns=("ev",), learn=LearnPhase(row_count=1))
    rows = (
        row(1, qty=1),
        row(2, ev=2, qty=2),
        row(3, "B", qty=3),
        row(4, qty=2),
        row(5, ev=2, qty=2),
        row(6, "B", qty=1),
    )
    assert [offset for offset, _ in process(made, *rows)] == [3, 5]


def test_an_unknown_value_is_reported_every_time_or_once() -> None:
    rows = (row(1), row(2), row(3, qty=9), row(4, qty=9))
    assert len(process(detector(NewValueSpec, variables=("qty",)), *rows)) == 2
    assert len(process(detector(NewValueSpec, variables=("qty",), report="once"), *rows)) == 1


def test_without_room_a_value_is_reported_every_time_however_batches_are_cut() -> None:
    made = detector(NewValueSpec, variables=("qty",), report="once", distinct_count_max=1)
    assert len(process(made, row(1), row(2), row(3, qty=9), row(4, qty=9))) == 2


def test_learning_ends_with_the_watermark_and_does_not_come_back() -> None:
    made = detector(NewValueSpec, variables=("qty",), learn=LearnPhase(until=10))
    rows = (row(1, qty=1), row(9, qty=2), row(10, qty=3), row(5, qty=4))
    assert [offset for offset, _ in process(made, *rows)] == [2, 3]


def test_learning_may_last_for_a_time_since_the_first_row_of_a_group() -> None:
    made = detector(NewValueSpec, variables=("qty",), learn=LearnPhase(duration=5))
    rows = (row(100, qty=1), row(104, qty=2), row(105, qty=3))
    assert [offset for offset, _ in process(made, *rows)] == [2]


def test_an_expired_value_is_reported_when_it_returns() -> None:
    made = detector(NewValueSpec, variables=("qty",), expire_after=10)
    rows = (row(0, qty=1), row(1, qty=2), row(11, qty=2), row(12, qty=1), row(21, qty=2))
    assert [offset for offset, _ in process(made, *rows)] == [3]


def test_null_is_no_value_and_a_row_without_a_time_is_left_out() -> None:
    made = detector(NewValueSpec, variables=("qty",))
    rows = (row(1), (None, "A", 1, 9, "u"), row(2), row(3, qty=None), row(4, qty=9))
    assert [offset for offset, _ in process(made, *rows)] == [4]


def test_a_variable_with_too_many_values_is_no_longer_watched_in_its_group() -> None:
    made = detector(NewValueSpec, variables=("qty",), learn=LearnPhase(row_count=3), distinct_count_max=2)
    rows = [row(time, qty=time) for time in range(3)] + [row(9, qty=9)]
    others = [row(time, "B") for time in range(3)] + [row(9, "B", qty=9)]
    assert process(made, *rows, *others) == [(7, "new value of qty")]


def test_an_accepted_value_is_not_reported_again() -> None:
    made = detector(NewValueSpec, variables=("qty",), event_id_columns=("ev",))
    assert process(made, row(1), row(2), row(3, qty=9)) == [(2, "new value of qty")]
    made.accept(("A", 1), "qty", 9)
    assert process(made, row(4, qty=9), start=3) == []
    assert any(made.changed_state())


@pytest.mark.parametrize(("group", "variable"), [(("A",), "qty"), (("A", 1), "none")])
def test_accepting_for_no_group_or_metric_is_refused(group: Any, variable: str) -> None:
    made = detector(NewValueSpec, variables=("qty",), event_id_columns=("ev",))
    with pytest.raises(DetectorSpecError):
        made.accept(group, variable, 1)


def test_without_keys_all_rows_are_one_group_with_a_constant_event_id() -> None:
    made = detector(NewValueSpec, (), variables=("qty",), event_id="login")
    found = details(made, row(1), row(2, "B"), row(3, "C", qty=5))
    assert (found[0]["event_id"], found[0]["known"]) == ("login", 1)


def test_a_group_that_has_learned_changes_no_state() -> None:
    made = detector(NewValueSpec, variables=("qty",))
    process(made, row(1), row(2), row(3))
    made.mark_saved()
    process(made, row(4), row(5, qty=8), start=3)
    assert made.changed_state() == {}


def test_keys_of_saved_entries_are_short_whatever_the_group() -> None:
    made = detector(NewValueSpec, variables=("qty",))
    process(made, row(1, "long" * 1000), row(2, "other"))
    assert {len(key) for key in made.changed_state()} == {1, 17, 19}


def test_training_and_detecting_on_purpose() -> None:
    made = detector(NewValueSpec, variables=("qty",), learn=LearnPhase())
    made.train(frame(row(1, qty=1), row(2, qty=2)), np.arange(2))
    assert made.detect(frame(row(3, qty=2), row(4, qty=3)), np.arange(2, 4))["offset"].to_list() == [3]
    assert process(made, row(5, qty=3), start=4) == [(4, "new value of qty")]


def test_detecting_uses_up_no_learning_rows() -> None:
    made = detector(NewValueSpec, variables=("qty",))
    made.detect(frame(row(1), row(2), row(3)), np.arange(3))
    assert process(made, row(4, qty=4), row(5, qty=5), row(6, qty=6), start=3) == [(5, "new value of qty")]


def test_only_stable_variables_are_watched_after_automatic_configuration() -> None:
    made = detector(NewValueSpec, variables=("qty", "user"), configure_row_count=40)
    rows = [row(time, qty=time, user="u") for time in range(40)]
    assert process(made, *rows, row(50, qty=99, user="new")) == [(40, "new value of user")]


def test_configuring_on_purpose_mutes_what_is_unstable() -> None:
    made = detector(NewValueSpec, variables=("qty", "user"))
    made.configure(frame(*(row(time, qty=time) for time in range(20))), np.arange(20))
    assert process(made, row(1), row(2), row(3, qty=5, user="new")) == [(2, "new value of user")]


def test_a_detector_of_events_cannot_be_configured() -> None:
    with pytest.raises(DetectorSpecError, match="train it instead"):
        detector(NewEventSpec, event_id_columns=("ev",)).configure(frame(row(1)), np.arange(1))


def test_stable_variables_of_trackers_are_found() -> None:
    persistency = EventPersistency(EventStabilityTracker)
    persistency.ingest_events((1, "t", [], {"fix": 0, "random": i}) for i in range(9))
    assert stable_variables(persistency) == {1: ["fix"]}


def test_a_new_combination_of_known_values_is_found() -> None:
    made = detector(NewValueCombinationSpec, combinations=(("qty", "user"),))
    found = details(made, row(1, qty=1, user="a"), row(2, qty=2, user="b"), row(3, qty=1, user="b"))
    assert [(one["variable"], one["value"]) for one in found] == [("qty, user", [1, "b"])]


def test_a_new_event_of_a_key_is_found() -> None:
    made = detector(NewEventSpec, event_id_columns=("ev",))
    assert process(made, row(1), row(2), row(3, ev=2), row(4, "B", ev=2)) == [(2, "new event of ev")]


def test_a_number_outside_the_learned_range_is_found() -> None:
    made = detector(ValueRangeSpec, variables=("qty",))
    rows = (row(1, qty=3), row(2, qty=7), row(3, qty=5), row(4, qty=8))
    assert details(made, *rows) == [
        {"event_id": None, "variable": "qty", "value": 8, "low": 3, "high": 7, "learned_since": 1}
    ]
    made.accept("A", "qty", 8)
    assert process(made, row(5, qty=8), start=4) == []


def test_a_text_with_a_new_character_is_found() -> None:
    made = detector(CharsetSpec, variables=("user",))
    found = details(made, row(1, user="ab"), row(2, user="c"), row(3, user="cab"), row(4, user="a-b_"))
    assert [(one["value"], one["unknown"]) for one in found] == [("a-b_", "-_")]


def test_a_new_sequence_is_found_at_the_row_that_completes_it() -> None:
    made = detector(EventSequenceSpec, event_id_columns=("ev",), length=2, learn=LearnPhase(row_count=4))
    rows = [row(time, ev=ev) for time, ev in enumerate((1, 2, 1, 2, 1, 1))]
    found = details(made, *rows)
    assert [one["value"] for one in found] == [[1, 1]]
    made.accept("A", "ev", [1, 1])
    assert process(made, row(7, ev=1), start=6) == []


def test_unusual_counts_are_found_when_their_window_ends() -> None:
    made = detector(
        CountVectorSpec, event_id_columns=("ev",), window_ticks=10, learn=LearnPhase(until=10), distance_max=0.4
    )
    usual = [row(time, ev=ev) for time, ev in ((0, 1), (1, 1), (2, 2), (10, 1), (11, 2), (12, 1))]
    unusual = [row(20, ev=3), row(21, ev=1), row(30, ev=1)]
    found = details(made, *usual, *unusual)
    assert [(one["value"], one["distance"]) for one in found] == [([[1, 1], [3, 1]], 1.0)]


def test_a_rule_finds_rows_that_fulfil_all_its_conditions() -> None:
    conditions = [
        {"column": "qty", "operator": ">", "value": 5},
        {"column": "user", "operator": "matches", "value": "^r"},
    ]
    made = detector(RuleSpec, rules=({"name": "big", "conditions": conditions},), learn=LearnPhase())
    found = made.process(frame(row(1, qty=6), row(2, qty=6, user="root"), row(3, qty=None, user="r")), np.arange(3))
    assert found["metric"].to_list() == ["rule big"]
    assert json.loads(found["detail"][0])["values"] == {"qty": 6, "user": "root"}


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("==", 2, [1]),
        ("!=", 2, [0, 2]),
        ("<", 2, [0]),
        ("<=", 2, [0, 1]),
        (">=", 2, [1, 2]),
        ("in", [1, 3], [0, 2]),
        ("not in", [1], [1, 2]),
        ("is null", None, [3]),
        ("is not null", None, [0, 1, 2]),
    ],
)
def test_null_fulfils_only_the_question_for_null(operator: str, value: Any, expected: list[int]) -> None:
    rules = ({"name": "r", "conditions": [{"column": "qty", "operator": operator, "value": value}]},)
    made = detector(RuleSpec, rules=rules, learn=LearnPhase())
    rows = (row(1, qty=1), row(2, qty=2), row(3, qty=3), row(4, qty=None))
    assert [offset for offset, _ in process(made, *rows)] == expected


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (NewValueSpec, {"variables": ()}),
        (NewValueSpec, {"variables": ("qty", "qty")}),
        (NewValueSpec, {"variables": ("none",)}),
        (NewValueSpec, {"variables": ("qty",), "report": "never"}),
        (NewValueSpec, {"variables": ("qty",), "distinct_count_max": 0}),
        (NewValueSpec, {"variables": ("qty",), "expire_after": 0}),
        (NewValueSpec, {"variables": ("qty",), "configure_row_count": 3}),
        (NewValueSpec, {"variables": ("qty",), "event_id": 1, "event_id_columns": ("ev",)}),
        (NewEventSpec, {}),
        (ValueRangeSpec, {"variables": ("user",)}),
        (CharsetSpec, {"variables": ("qty",)}),
        (EventSequenceSpec, {"event_id_columns": ("ev",), "length": 1}),
        (CountVectorSpec, {"event_id_columns": ("ev",)}),
        (CountVectorSpec, {"event_id_columns": ("ev",), "window_ticks": 1, "window_row_count": 1}),
        (RuleSpec, {"rules": ()}),
        (RuleSpec, {"rules": ({"name": "r", "conditions": []},)}),
        (RuleSpec, {"rules": ({"name": "r", "conditions": [{"column": "qty", "operator": "~"}]},)}),
        (
            RuleSpec,
            {"rules": ({"name": "r", "conditions": [{"column": "qty", "operator": "contains", "value": "x"}]},)},
        ),
    ],
)
def test_a_specification_that_cannot_be_used_is_refused(kind: Any, arguments: Any) -> None:
    with pytest.raises(DetectorSpecError):
        detector(kind, **arguments)


def test_a_learn_phase_of_no_rows_is_refused() -> None:
    with pytest.raises(DetectorSpecError, match="at least 1"):
        LearnPhase(row_count=0)


def test_state_of_another_specification_or_torn_state_is_refused() -> None:
    made, other = (detector(NewValueSpec, variables=(name,)) for name in ("qty", "user"))
    process(made, row(1))
    with pytest.raises(DetectorStateError, match="another specification"):
        other.load_state(made.changed_state())
    with pytest.raises(DetectorStateError, match="no snapshot"):
        detector(NewValueSpec, variables=("qty",)).restore(made.snapshot()[:-3])
    snapshot = made.snapshot()
    for bit in range(8 * len(snapshot)):
        damaged = bytearray(snapshot)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DetectorStateError, match="no snapshot"):
            detector(NewValueSpec, variables=("qty",)).restore(bytes(damaged))


def test_a_fingerprint_tells_specifications_apart() -> None:
    one, same, other = (detector(NewValueSpec, variables=(name,)) for name in ("qty", "qty", "user"))
    assert one.fingerprint == same.fingerprint
    assert one.fingerprint != other.fingerprint

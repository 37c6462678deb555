"""Specifications of detectors are converted or refused where they enter; kinds register themselves."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

from actors.detectors import (
    CharsetSpec,
    CountVectorSpec,
    DetectorSpecError,
    EventSequenceSpec,
    LearnPhase,
    NewEventSpec,
    NewValueCombinationSpec,
    NewValueSpec,
    RuleSpec,
    StabilitySpec,
    ValueRangeSpec,
    make_detector,
    registry,
)
from actors.detectors.checks import as_names
from actors.detectors.configuration import stable_variables
from actors.detectors.errors import DetectorValueError
from actors.detectors.parts import Materials, Parts
from actors.detectors.registry import detector_kind, detector_types
from actors.detectors.specs import GroupSpec
from actors.detectors.value_range import ValueRangeWatcher
from actors.errors import SchemaError
from actors.frames import schema_of
from actors.given_rows import to_frame
from actors.model import Schema
from config import ConfigError, JobSettings
from config.detector_specs import detector_specs
from tests.support.partition_jobs import make_partition_job

SCHEMA = Schema.from_mapping(
    {"time": "TIMESTAMP", "sym": "SYMBOL", "ev": "LONG", "qty": "LONG", "user": "STRING", "price": "DOUBLE"}
)
LEARN = LearnPhase(row_count=2)


def condition(operator: str, value: Any = None, column: str = "user") -> dict[str, Any]:
    return {"rules": [{"name": "r", "conditions": [{"column": column, "operator": operator, "value": value}]}]}


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (ValueRangeSpec, {"variables": "qty"}, "learns no row, so that it would find nothing; give it a learn phase"),
    (NewValueSpec, {"variables": 5}, "variables of 'd' must be a list; 5 is a single value"),
    (NewValueSpec, {"variables": {"qty"}}, "variables of 'd' must be a list; {'qty'} is a set, which has no order"),
    (NewValueSpec, {"variables": ("qty", 5)}, "names of columns; 5 is none"),
    (NewValueSpec, {"variables": "qty", "learn": {"rows": 5}}, "must be a LearnPhase"),
    (
        NewValueSpec,
        {"variables": "qty", "report": "Once"},
        "report 'Once' of 'd' is unknown; use one of 'every', 'once'",
    ),
    (NewValueSpec, {"variables": "qty", "distinct_count_max": "5"}, "must be a whole number of at least 1"),
    (NewValueSpec, {"variables": "qty", "expire_after": 2.5}, "expire_after 2.5 of 'd' must be a whole number"),
    (NewValueSpec, {"variables": "qty", "configure_row_count": True}, "must be a whole number of at least 4"),
    (NewValueCombinationSpec, {"combinations": ("qty", "user")}, "must be a list; 'qty' is a single value"),
    (NewEventSpec, {"event_id_columns": "ev", "configure_row_count": 9}, "has no variables to choose from"),
    (EventSequenceSpec, {"event_id_columns": "ev", "length": 2.0}, "length 2.0 of 'd' must be a whole number"),
    (CountVectorSpec, {"event_id_columns": "ev", "window_ticks": "5m"}, "must be a whole number of at least 1"),
    (CountVectorSpec, {"event_id_columns": "ev", "window_ticks": 5, "distance_max": 2}, "no distance exceeds that"),
    (CountVectorSpec, {"event_id_columns": "ev", "window_ticks": 5, "distance_max": float("nan")}, "distance_max nan"),
    (StabilitySpec, {"variables": "qty", "segmentation": "COUNT"}, "segmentation 'COUNT' of 'd' is unknown"),
    (StabilitySpec, {"variables": "qty", "segment_thresholds": (0.5, -1)}, "must be numbers above 0"),
    (StabilitySpec, {"variables": "qty", "segment_thresholds": 0.5}, "must be a list; 0.5 is a single value"),
    (RuleSpec, {"rules": {"name": "r"}}, "'name' is no rule; give a mapping of its fields"),
    (RuleSpec, {"rules": []}, "has no rule; give at least one"),
    (RuleSpec, condition("==", None), "`==` needs one other than NULL; `is null` asks for NULL"),
    (RuleSpec, condition("is null", "x"), "`is null` takes no value"),
    (RuleSpec, condition("in", []), "has an empty list; give at least one value"),
    (RuleSpec, condition("in", ["a", None]), "needs one other than NULL"),
    (RuleSpec, condition("in", "ab"), "value of a condition on 'user' must be a list; 'ab' is a single value"),
    (RuleSpec, condition("<", float("nan")), "which equals nothing; give a number"),
    (RuleSpec, condition("contains", 5), "`contains` needs a text"),
    (RuleSpec, condition("matches", "["), r"'\[' is no regular expression"),
    (RuleSpec, condition(">", "5", "qty"), "rule 'r' does not fit its columns"),
    (RuleSpec, condition("contains", "5", "qty"), "rule 'r' does not fit its columns"),
    (RuleSpec, condition("in", [1, "a"], "qty"), "rule 'r' does not fit its columns"),
    (RuleSpec, condition(">", 2**70, "qty"), "give a text, a number of 64 bits or a Boolean"),
    (RuleSpec, condition(">", object(), "qty"), "give a text, a number of 64 bits or a Boolean"),
]


@pytest.mark.parametrize(("kind", "fields", "message"), REFUSED, ids=[text for *_, text in REFUSED])
def test_a_specification_that_cannot_be_used_is_refused(kind: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DetectorSpecError, match=message):
        make_detector(kind(name="d", **fields), SCHEMA, "time", ["sym"])


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (NewValueSpec, {"variables": "SYM"}),
        (NewValueCombinationSpec, {"combinations": [("sym", "ev")], "event_id_columns": "ev"}),
        (NewEventSpec, {"event_id_columns": "sym"}),
        (ValueRangeSpec, {"variables": "ev", "event_id_columns": "ev"}),
        (CharsetSpec, {"variables": "sym"}),
        (EventSequenceSpec, {"event_id_columns": "sym", "length": 2}),
        (CountVectorSpec, {"event_id_columns": "sym", "window_row_count": 2}),
    ],
)
def test_what_is_the_same_in_a_group_is_not_watched(kind: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(DetectorSpecError, match="nothing would ever be new; watch another column"):
        make_detector(kind(name="d", learn=LEARN, **fields), SCHEMA, "time", ["sym"])
    assert make_detector(kind(name="d", learn=LearnPhase(until=5), **fields), SCHEMA, "time", ["sym"]).metrics


def test_how_many_rows_of_a_key_come_in_a_span_of_time_may_be_watched() -> None:
    spec = CountVectorSpec(name="d", learn=LEARN, event_id_columns=("sym",), window_ticks=10)
    assert make_detector(spec, SCHEMA, "time", ["sym"]).metrics == ("new counts of sym",)


@pytest.mark.parametrize(("keys", "ids"), [(["Time"], []), ([], ["TIME"]), (["sym"], ["ev", "time"])])
def test_the_time_column_tells_no_groups_apart(keys: list[str], ids: list[str]) -> None:
    spec = NewValueSpec(name="d", variables=("qty",), learn=LEARN, event_id_columns=tuple(ids))
    with pytest.raises(DetectorSpecError, match="is the time column, so that each time would be of its own; leave it"):
        make_detector(spec, SCHEMA, "time", keys)


def test_the_schema_may_be_types_by_name() -> None:
    spec = NewValueSpec(name="d", variables=("qty",), learn=LEARN)
    assert make_detector(spec, {"time": "TIMESTAMP", "qty": "INT"}, "time").metrics == ("new value of qty",)
    for wrong in (None, 5, {"time": "SOON"}):
        with pytest.raises(DetectorSpecError, match="detector 'd': "):
            make_detector(spec, wrong, "time")  # type: ignore[arg-type]


class Report(enum.Enum):
    ONCE = "once"


def test_lists_and_choices_are_taken_in_every_form() -> None:
    def columns() -> Iterator[str]:
        yield from ("qty", "user")

    expected = NewValueSpec(name="d", variables=("qty", "user"), event_id_columns=("ev",), report="once", learn=LEARN)
    given: Any = {"variables": columns(), "event_id_columns": "ev", "report": Report.ONCE}
    assert NewValueSpec(name="d", learn=LEARN, **given) == expected
    pairs: Any = (iter(["qty", "user"]), ["ev", "user"])
    assert NewValueCombinationSpec(name="d", combinations=pairs).combinations == (("qty", "user"), ("ev", "user"))
    made = make_detector(expected, SCHEMA, "time", "sym")
    assert made.fingerprint == make_detector(expected, SCHEMA, "time", ["sym"]).fingerprint


def test_a_range_may_be_trained_on_purpose_or_configured() -> None:
    assert ValueRangeSpec(name="d", variables=("qty",), learn=LearnPhase()).learn == LearnPhase()
    assert ValueRangeSpec(name="d", variables=("qty",), configure_row_count=9).effective_learn().row_count == 9


def job_with(detector: dict[str, Any]) -> JobSettings:
    return make_partition_job(metrics=[], window=None, detectors=[detector])


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        ({"type": "value_range", "watch": "qty"}, "give it a learn phase, such as `learn: {rows: 1000}` in a job file"),
        ({"type": "value_range", "watch": "qty", "learn": {"rows": 5}, "report": "once"}, "does not take 'report'"),
        ({"type": "charset", "watch": "user", "expire_after": "1h"}, "of type charset does not take 'expire_after'"),
        ({"type": "stability", "watch": "qty", "max_distinct": 5}, "does not take 'max_distinct'"),
        ({"type": "new_event", "event": "user", "watch": "qty"}, "watches no columns by themselves; leave `watch` out"),
        ({"type": "new_value", "watch": "qty", "options": {"variables": ["user"]}}, "has no option 'variables'"),
        ({"type": "event_sequence", "event": "user", "options": {"lenght": 3}}, "did you mean 'length'"),
        ({"type": "new_value", "watch": "sym", "learn": {"rows": 5}}, "nothing would ever be new"),
        ({"type": "rule", "options": condition("matches", "(")}, "is no regular expression"),
    ],
)
def test_a_job_does_not_ask_for_what_would_find_nothing(detector: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        detector_specs(job_with(detector))


def test_a_kind_registers_itself_and_is_had_from_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))

    @detector_kind("highest")
    @dataclass(frozen=True, slots=True, kw_only=True)
    class HighestSpec(GroupSpec):
        watch_field: ClassVar[str | None] = "variables"
        variables: tuple[str, ...]
        margin: int = 0

        def _check(self) -> None:
            self.put("variables", as_names(self.name, "variables", self.variables))

        def make_parts(self, given: Materials) -> Parts:
            names = given.names(self.variables)
            return Parts(watchers=[ValueRangeWatcher(name, pl.Int64(), given.detail_of([name])) for name in names])

    assert "highest" in detector_types()
    (spec,) = detector_specs(job_with({"type": "highest", "watch": "qty", "options": {"margin": 5}}))
    assert spec == HighestSpec(name="highest", variables=("qty",), margin=5)


@pytest.mark.parametrize(
    ("kind", "fields", "variable", "value", "message"),
    [
        (NewValueSpec, {"variables": "qty"}, "qty", "five", "column 'qty' is LONG, which cannot hold 'five'"),
        (NewValueSpec, {"variables": "qty"}, "qty", None, "which cannot hold None"),
        (ValueRangeSpec, {"variables": "price"}, "price", float("nan"), "which cannot hold nan"),
        (CharsetSpec, {"variables": "user"}, "user", 5, "column 'user' is STRING, which cannot hold 5"),
        (NewValueCombinationSpec, {"combinations": [("ev", "qty")]}, "ev, qty", [1], "is not a combination of ev, qty"),
        (EventSequenceSpec, {"event_id_columns": "ev", "length": 3}, "ev", [1], "is not a sequence of 3 event ids"),
        (CountVectorSpec, {"event_id_columns": "ev", "window_ticks": 3}, "ev", [1], "are not pairs of event id and"),
        (CountVectorSpec, {"event_id_columns": "ev", "window_ticks": 3}, "ev", [[1, 0]], "have a count that is none"),
        (CountVectorSpec, {"event_id_columns": "ev", "window_row_count": 3}, "ev", [[1, 2]], "of a window of 3 rows"),
    ],
)
def test_a_value_that_no_row_could_bring_is_not_accepted(
    kind: Any, fields: dict[str, Any], variable: str, value: Any, message: str
) -> None:
    made = make_detector(kind(name="d", learn=LEARN, **fields), SCHEMA, "time", ["sym"])
    with pytest.raises(DetectorValueError, match=message):
        made.accept("A", variable, value)
    made.validate()


def test_a_range_learns_no_nan() -> None:
    made = make_detector(ValueRangeSpec(name="d", variables="price", learn=LEARN), SCHEMA, "time")  # type: ignore[arg-type]
    types = {
        "time": pl.Int64,
        "sym": pl.String,
        "ev": pl.Int64,
        "qty": pl.Int64,
        "user": pl.String,
        "price": pl.Float64,
    }
    prices = (1.0, float("nan"), 9.0, float("nan"))
    rows = pl.DataFrame([(at, "A", 1, 1, "u", price) for at, price in enumerate(prices)], schema=types, orient="row")
    assert made.process(rows, np.arange(4))["offset"].to_list() == [2]
    made.validate()


def test_what_is_no_persistency_has_no_stable_variables() -> None:
    with pytest.raises(DetectorSpecError, match="5 has no trackers; give an EventPersistency"):
        stable_variables(5)  # type: ignore[arg-type]


def test_rows_and_offsets_are_as_many() -> None:
    made = make_detector(NewValueSpec(name="d", variables="qty", learn=LEARN), SCHEMA, "time")  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="1 rows come with 2 offsets; give one for each row"):
        made.process(to_frame(SCHEMA, [(1, "A", 1, 1, "u", 1.0)]), np.arange(2))


def test_a_frame_that_is_not_canonical_is_refused_before_anything_is_learned() -> None:
    made = make_detector(NewValueSpec(name="d", variables="qty", learn=LEARN), SCHEMA, "time")  # type: ignore[arg-type]
    rows = to_frame(SCHEMA, [(1, "A", 1, 1, "u", 1.0)])
    before = made.snapshot()
    for call in (made.process, made.train, made.detect):
        with pytest.raises(SchemaError, match="column 'qty' is missing, but must be Int64; make frames with"):
            call(rows.drop("qty"), np.arange(1))
        with pytest.raises(SchemaError, match="column 'time' is String, but must be Int64"):
            call(rows.with_columns(time=pl.lit("noon")), np.arange(1))
    assert made.snapshot() == before


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([1, 0, 1], "offset 1 of row 2 is not above the one before it in its group; sort them"),
        ([7, 4, 6], "offset 6 of row 2 is not above the one before it in its group; sort them"),
        ([0.0, 1.5, 2.0], "the offsets are an array of float64; give whole numbers of 64 bits"),
        ([False, True, True], "the offsets are an array of bool; give whole numbers of 64 bits"),
        (np.array([1, 2, 2**63], np.uint64), "the offsets are an array of uint64; give whole numbers of 64 bits"),
    ],
)
def test_offsets_are_whole_numbers_that_ascend_within_each_group(offsets: Any, message: str) -> None:
    types = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"}
    made = make_detector(NewValueSpec(name="d", variables=("qty",), learn=LEARN), types, "time", ["sym"])
    rows = pl.DataFrame({"time": [1, 2, 3], "sym": ["A", "B", "A"], "qty": [1, 2, 3]})
    before = made.snapshot()
    for call in (made.process, made.train, made.configure):
        with pytest.raises(SchemaError, match=message):
            call(rows, offsets)
    assert made.snapshot() == before
    made.process(rows, np.array([5, 1, 6]))


@pytest.mark.parametrize(
    ("column", "conditions"),
    [
        ("qty", [("==", 1.5)]),
        ("qty", [(">", 2), ("<", 3)]),
        ("qty", [("is null", None), (">", 1)]),
        ("qty", [(">=", 2**63 - 1), ("!=", 2**63 - 1)]),
        ("price", [(">", float("inf"))]),
        ("price", [(">=", 5.0), ("<=", 5.0), ("not in", [5.0])]),
        ("user", [("<", "")]),
        ("user", [("==", "a"), ("==", "b")]),
        ("ok", [("==", 2)]),
        ("ok", [(">", True)]),
    ],
)
def test_a_rule_that_no_value_fulfils_is_refused(column: str, conditions: list[tuple[str, Any]]) -> None:
    schema = schema_of({"time": "TIMESTAMP", "qty": "INT", "price": "DOUBLE", "user": "STRING", "ok": "BOOL"})
    asked = [{"column": column, "operator": operator, "value": value} for operator, value in conditions]
    with pytest.raises(DetectorSpecError, match=f"rule 'r' would find nothing: no value of column '{column}'"):
        make_detector(RuleSpec(name="d", rules=[{"name": "r", "conditions": asked}]), schema, "time")


@pytest.mark.parametrize(
    ("column", "conditions"),
    [
        ("qty", [(">", 2), ("<", 4)]),
        ("qty", [("<", -(2**63) + 1)]),
        ("qty", [(">", 1.5), ("<", 2.5)]),
        ("price", [(">", 5.0), ("<", 5.000001), ("!=", 5.0000001)]),
        ("user", [("<", "b"), ("!=", ""), ("not in", ["a"])]),
        ("user", [("matches", "^a"), ("contains", "z")]),
        ("ok", [("!=", True)]),
    ],
)
def test_a_rule_that_some_value_fulfils_is_taken(column: str, conditions: list[tuple[str, Any]]) -> None:
    schema = schema_of({"time": "TIMESTAMP", "qty": "INT", "price": "DOUBLE", "user": "STRING", "ok": "BOOL"})
    asked = [{"column": column, "operator": operator, "value": value} for operator, value in conditions]
    detector = make_detector(RuleSpec(name="d", rules=[{"name": "r", "conditions": asked}]), schema, "time")
    assert detector.metrics == ("rule r",)


@pytest.mark.parametrize("event_id", [2**64, b"x", True, 1.5, object(), {"a"}])
def test_an_event_id_that_cannot_be_saved_is_refused(event_id: Any) -> None:
    with pytest.raises(DetectorSpecError, match=r"event_id .* must be a whole number of 64 bits"):
        NewValueSpec(name="d", variables=("user",), event_id=event_id)


@pytest.mark.parametrize("limits", [{"row_count": 2**64}, {"duration": 2**64}, {"until": 2**64}, {"until": "5"}])
def test_a_learn_phase_that_cannot_be_saved_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(DetectorSpecError, match="must be a whole number of 64 bits"):
        LearnPhase(**limits)


def test_an_event_id_column_named_twice_is_refused() -> None:
    with pytest.raises(DetectorSpecError, match="event_id_columns of 'd' names a column twice"):
        NewEventSpec(name="d", event_id_columns=("user", "USER"))

"""Arguments of engines: whatever is given, an engine or an error of its own that shows the value."""

import contextlib
import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any, get_type_hints

import numpy as np
import polars as pl
import pytest

from actors.engine import AnomalyDetectionEngine, EngineError, EngineSpec, LifecycleSettings
from actors.engine.arguments import checked_settings
from actors.engine.spec import EngineOptions
from tests.unit.engine.support import engine


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("nobody may see this")


ANYTHING: list[Any] = [
    *(None, True, 0, -1, 2**63, 2**64, 10**40, 1.5, float("nan"), "", "x", "1us", "\0", "\ud800", b"x", "a" * 10_000),
    *([], [None], [5], (), {}, {"a": 1}, {1: "INT"}, set(), object(), Unshowable(), complex(1), print, ValueError("x")),
    *(np.int64(5), np.array([1, 2]), np.bool_(True), pl.Series([1]), pl.DataFrame(), timedelta(microseconds=1)),
]
GOOD: dict[str, Any] = {
    "name": "good",
    "metrics": ["sum(qty) > 5"],
    "schema": {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"},
    "time_column": "time",
    "window_size": 10,
    "step": 5,
}


@pytest.mark.parametrize("name", EngineSpec.__dataclass_fields__)
def test_an_argument_of_any_kind_is_taken_or_refused(name: str) -> None:
    longest = 0
    for value in ANYTHING:
        try:
            AnomalyDetectionEngine(**GOOD | {name: value})
        except EngineError as error:
            longest = max(longest, len(str(error)))
    assert longest < 500


@pytest.mark.parametrize("name", ["hold", "keep_firing", "clear"])
def test_a_setting_of_episodes_of_any_kind_is_taken_or_refused(name: str) -> None:
    for value in ANYTHING:
        with contextlib.suppress(EngineError):
            AnomalyDetectionEngine(**GOOD, lifecycles=[LifecycleSettings(**{name: value})])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_size": 2**64, "step": 1}, "window_size is 18446744073709551616, more than 2"),
        ({"max_lateness": 2**63}, "max_lateness is 9223372036854775808, more than 2"),
        ({"metrics": [None]}, "metrics\\[0\\] is None; give a text"),
        ({"name": None}, "name is None; give a text"),
        ({"key_columns": {"sym"}}, "key_columns is {'sym'}, a set, which has no order that stays; give a list"),
        ({"metrics": frozenset({"qty > 1"})}, "a set, which has no order that stays; give a list"),
        ({"metrics": ["qty > 1", "qty > 2"], "lifecycles": [None]}, "there are 1 lifecycles for 2 metrics; give one"),
        ({"lifecycles": [5]}, "lifecycles\\[0\\] is 5; give LifecycleSettings, or None"),
        ({"window_size": "1us"}, "window_size: '1us' is no whole number of units of a TIMESTAMP column, 1ms each"),
        ({"idle_key_ttl": "soon"}, "idle_key_ttl: 'soon' is no duration; write a number and a unit"),
        ({"key_columns": ["time"]}, "'time' is the time column and a key column"),
        ({"windowsize": 5}, "there is no argument 'windowsize'; the arguments are name, metrics"),
        ({"schema": {"time": "TIMESTAMP", "qty": pl.List(pl.Int64)}}, "'qty' has the type List\\(Int64\\), which rows"),
    ],
)
def test_an_error_shows_the_value_and_the_way_out(options: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        AnomalyDetectionEngine(**GOOD | options)


@pytest.mark.parametrize("name", ["true", "NULL", "False"])
def test_a_column_that_metrics_cannot_name_is_refused(name: str) -> None:
    with pytest.raises(EngineError, match=f"the column '{name}' has the name of a constant of metrics"):
        AnomalyDetectionEngine(**GOOD | {"schema": {"time": "TIMESTAMP", "qty": "INT", name: "INT"}})


@pytest.mark.parametrize(
    ("kind", "given", "units"),
    [
        ("TIMESTAMP", "5s", 5_000),
        ("TIMESTAMP", timedelta(seconds=5), 5_000),
        ("DATETIME", "1h30m", 5_400),
        ("NANOTIMESTAMP", timedelta(microseconds=3), 3_000),
        ("DATE", "2d", 2),
        ("MINUTE", np.int64(7), 7),
    ],
)
def test_a_length_of_time_may_be_a_text_or_a_timedelta(kind: str, given: Any, units: int) -> None:
    schema = {"time": kind, "qty": "INT"}
    options = {"max_lateness": given, "idle_key_ttl": given, "ticks_close_windows": True}
    spec = EngineSpec(**GOOD | options | {"schema": schema, "window_size": given, "step": given})
    settings = checked_settings(spec)
    assert settings.grid is not None
    lengths = {settings.window_size, settings.grid.step, settings.max_lateness, settings.idle_key_ttl}
    assert lengths == {units}
    rule = LifecycleSettings(hold=given, keep_firing=given)
    (lifecycle,) = AnomalyDetectionEngine(**GOOD | {"schema": schema, "lifecycles": [rule]}).settings.lifecycles
    assert lifecycle is not None
    assert (lifecycle.hold, lifecycle.keep_firing) == (units, units)


def test_the_options_of_the_class_are_the_fields_of_the_specification() -> None:
    given_by_place = {"name", "metrics", "schema", "time_column", "key_columns", "window_size", "step"}
    fields = {field.name: field.type for field in dataclasses.fields(EngineSpec)}
    assert get_type_hints(EngineOptions) == {name: kind for name, kind in fields.items() if name not in given_by_place}


def test_the_schema_may_be_that_of_a_frame() -> None:
    frame = pl.DataFrame({"t": [0], "a": [1.5], "b": ["x"], "c": [True]}).cast({"t": pl.Datetime("ms")})
    subject = AnomalyDetectionEngine("test", ["a > 1"], frame.schema, "t", ["b"])
    assert [str(column.type) for column in subject.settings.schema.columns] == ["TIMESTAMP", "DOUBLE", "STRING", "BOOL"]
    assert subject.append(frame).height == 1


def test_an_engine_shows_what_it_is_and_has_seen() -> None:
    subject = engine("qty > 1", key_columns=["sym"])
    subject.append([(0, "A", True, 5, 1.0)])
    assert repr(subject) == "AnomalyDetectionEngine('test', ['qty > 1']): 1 rows, 1 anomalies, 0 keys"


def other_calls() -> list[Callable[[AnomalyDetectionEngine, Any], Any]]:
    return [
        *(lambda subject, value: subject.append(value), lambda subject, value: subject.append_physical(value)),
        *(lambda subject, value: subject.advance(value), lambda subject, value: subject.advance_physical(9, value)),
        *(lambda subject, value: subject.explain(value), lambda subject, value: subject.explain(0, value)),
        *(lambda subject, value: subject.follow_split(value), lambda subject, value: subject.restore(value)),
        lambda subject, value: subject.append([(9, "A", 1)], value),
    ]


@pytest.mark.parametrize("call", other_calls())
def test_a_call_with_anything_is_taken_or_refused_and_then_changes_nothing(
    call: Callable[[AnomalyDetectionEngine, Any], Any],
) -> None:
    for value in ANYTHING:
        subject = AnomalyDetectionEngine(**GOOD, explain="all", max_lateness=2, ticks_close_windows=True)
        subject.append([(1, "A", 9), (7, "A", 9)])
        before = subject.snapshot()
        try:
            call(subject, value)
        except EngineError:
            assert subject.snapshot() == before

"""Conditions on payloads."""

from typing import Any

import numpy as np
import pytest

from actors.store.errors import StoreConfigError
from actors.store.events.conditions import AllCondition, AnyCondition, ConditionRule, JsonCondition, get_json, rules_for
from actors.store.events.event import BinaryPayload, JsonPayload
from actors.store.events.patterns import PatternSet

TRUE, FALSE = AllCondition(conditions=()), AnyCondition(conditions=())


def test_all_of_nothing_holds_and_any_of_nothing_does_not() -> None:
    assert TRUE.holds(None)
    assert not FALSE.holds(None)


def test_all_and_any_compose() -> None:
    assert not AllCondition(conditions=(TRUE, FALSE)).holds(None)
    assert AnyCondition(conditions=(FALSE, AllCondition(conditions=(TRUE,)))).holds(None)


def test_a_payload_that_is_no_json_fails() -> None:
    assert not JsonCondition().holds(None)
    assert not JsonCondition().holds(BinaryPayload("x", b""))
    assert JsonCondition().holds(JsonPayload(None))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((), {"a": [1, {"b": 2}]}),
        ("a", [1, {"b": 2}]),
        (("a", 1, "b"), 2),
        (("a", -1, "b"), 2),
        (("a", (1, ["b"])), 2),
        (("a", 7), None),
        (("a", "b"), None),
        ("missing", None),
        (0, None),
    ],
)
def test_a_path_leads_to_a_value_or_to_null(path: Any, expected: Any) -> None:
    assert get_json({"a": [1, {"b": 2}]}, path) == expected


@pytest.mark.parametrize(
    ("value", "name"),
    [(None, "null"), (True, "boolean"), (1, "number"), (1.5, "number"), ("", "string"), ([], "array"), ({}, "object")],
)
def test_types_are_told_apart(value: Any, name: str) -> None:
    for data_type in ("null", "boolean", "string", "number", "array", "object"):
        assert JsonCondition(data_type=data_type).holds(JsonPayload(value)) is (data_type == name)


def test_null_matches_a_missing_key() -> None:
    assert JsonCondition(data_path="k", data_type="null").holds(JsonPayload({}))


def test_values_compare_as_python_does() -> None:
    assert JsonCondition(data_value=1).holds(JsonPayload(True))
    assert JsonCondition(data_value=1.0).holds(JsonPayload(1))
    assert not JsonCondition(data_value="1").holds(JsonPayload(1))
    assert JsonCondition(data_value=None).holds(JsonPayload(None))


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(StoreConfigError, match="'integer' is unknown"):
        JsonCondition(data_type="integer")


def test_every_entry_whose_patterns_match_counts() -> None:
    rules = (
        ConditionRule(subscriptions=PatternSet([("a", "*")]), condition=TRUE),
        ConditionRule(subscriptions=PatternSet([("?", "b")]), condition=FALSE),
    )
    assert rules_for(rules, ("a", "b")) == (TRUE, FALSE)
    assert rules_for(rules, ("c",)) == ()


@pytest.mark.parametrize("kind", [["null"], 5, "text", np.array([1, 2])])
def test_a_type_that_json_has_not_is_refused(kind: Any) -> None:
    with pytest.raises(StoreConfigError, match="data_type"):
        JsonCondition(data_type=kind)

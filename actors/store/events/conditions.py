"""Conditions: which events are plausible, judged by their payload.

An event must satisfy every entry whose patterns match its type; an event that no entry concerns passes. The decisions
are pure. `describe` gives the settings back as plain data, so that the store can tell whether they changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, runtime_checkable

from actors.store.arguments import SETTINGS, Arguments, set_fields
from actors.store.errors import StoreConfigError
from actors.store.events.event import EventType, JsonPayload, Payload
from actors.store.events.patterns import PatternSet


class Anything(Enum):
    """Stands for a value that is not tested (`None` is JSON's null, which can be).

    An enumeration, because conditions travel between processes and its one member is the same in each.
    """

    ANY = "any"


ANYTHING = Anything.ANY
"""The one value of `Anything`."""

JSON_TYPES = ("null", "boolean", "string", "number", "array", "object")
"""Names of the JSON types."""

JsonPath = str | int | Sequence[Any]
"""Key of a mapping, position in a list (negative from the end), or a sequence of paths to follow in turn."""


@runtime_checkable
class Condition(Protocol):
    """A test of a payload."""

    def holds(self, payload: Payload) -> bool:
        """Return whether the condition holds for a payload."""
        ...

    def describe(self) -> Any:
        """Return the settings as plain data."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AllCondition:
    """Holds when all of its conditions hold, so an empty one always does."""

    conditions: tuple[Condition, ...]
    """Conditions to hold."""

    def __post_init__(self) -> None:
        set_fields(self, conditions=check_conditions(self.conditions))

    def holds(self, payload: Payload) -> bool:
        """Return whether the condition holds for a payload."""
        return all(condition.holds(payload) for condition in self.conditions)

    def describe(self) -> Any:
        """Return the settings as plain data."""
        return ["all", [condition.describe() for condition in self.conditions]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyCondition:
    """Holds when one of its conditions holds, so an empty one never does."""

    conditions: tuple[Condition, ...]
    """Conditions of which one must hold."""

    def __post_init__(self) -> None:
        set_fields(self, conditions=check_conditions(self.conditions))

    def holds(self, payload: Payload) -> bool:
        """Return whether the condition holds for a payload."""
        return any(condition.holds(payload) for condition in self.conditions)

    def describe(self) -> Any:
        """Return the settings as plain data."""
        return ["any", [condition.describe() for condition in self.conditions]]


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonCondition:
    """Holds for JSON payloads whose value at a path has the type and equals the value that are asked for.

    Raises:
        StoreConfigError: a type that JSON has not, or a path that is none.
    """

    data_path: JsonPath = ()
    """Where to look; what is missing there is null."""

    data_type: str | None = None
    """One of `JSON_TYPES`; `None` allows all. A boolean is no number."""

    data_value: Any = ANYTHING
    """Value to equal, as Python compares, so 1 equals 1.0 and true."""

    def __post_init__(self) -> None:
        _check_path(self.data_path)
        if self.data_type is not None and SETTINGS.text(self.data_type, "data_type") not in JSON_TYPES:
            raise StoreConfigError(f"data_type {self.data_type!r} is unknown; use one of {', '.join(JSON_TYPES)}")

    def holds(self, payload: Payload) -> bool:
        """Return whether the condition holds for a payload."""
        if not isinstance(payload, JsonPayload):
            return False
        value = get_json(payload.data, self.data_path)
        if self.data_type is not None and json_type(value) != self.data_type:
            return False
        return self.data_value is ANYTHING or bool(value == self.data_value)

    def describe(self) -> Any:
        """Return the settings as plain data."""
        value = [] if self.data_value is ANYTHING else [repr(self.data_value)]
        return ["json", repr(self.data_path), self.data_type, value]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionRule:
    """A condition and the event types that it concerns."""

    subscriptions: PatternSet
    """Types whose events must satisfy the condition."""

    condition: Condition
    """What must hold."""

    def __post_init__(self) -> None:
        if not isinstance(self.subscriptions, PatternSet):
            set_fields(self, subscriptions=PatternSet(self.subscriptions))
        check_conditions([self.condition])

    def describe(self) -> Any:
        """Return the settings as plain data."""
        return [[list(pattern) for pattern in self.subscriptions.patterns], self.condition.describe()]


def check_conditions(conditions: Any, arguments: Arguments = SETTINGS) -> tuple[Condition, ...]:
    """Return conditions as a tuple.

    Raises:
        StoreConfigError: they are no list, or one is no condition; `arguments` may name another error.
    """
    listed = arguments.sequence(conditions, "conditions")
    for one in listed:
        if not isinstance(one, Condition) or isinstance(one, type):
            raise arguments.refuse("condition", one, "give one such as JsonCondition(data_path='a', data_value=1)")
    return listed


def _check_path(path: Any) -> None:
    if isinstance(path, list | tuple):
        for step in path:
            _check_path(step)
    elif not isinstance(path, str | int) or isinstance(path, bool):
        raise SETTINGS.refuse("data_path", path, "give keys and positions, such as 'a' or ['a', 0]")


def rules_for(rules: Sequence[ConditionRule], event_type: EventType) -> tuple[Condition, ...]:
    """Return the conditions that concern a type."""
    return tuple(rule.condition for rule in rules if rule.subscriptions.matches(event_type))


def get_json(data: Any, path: JsonPath) -> Any:
    """Return the value at a path, `None` where there is nothing."""
    if isinstance(path, str):
        return data.get(path) if isinstance(data, dict) else None
    if isinstance(path, int):
        inside = isinstance(data, list) and -len(data) <= path < len(data)
        return data[path] if inside else None
    for step in path:
        data = get_json(data, step)
    return data


def json_type(value: Any) -> str:
    """Return the name of a value's JSON type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list | tuple) else "object"

"""What a detector is made of, and what its kind is given to make that."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from actors.detectors.configuration import Configuration, Mutable
from actors.detectors.errors import DetectorSpecError
from actors.detectors.findings import MakeDetail, UnusualRows
from actors.detectors.groups import GroupedRows, Groups
from actors.detectors.verdicts import VariableVerdict
from actors.errors import SchemaError
from actors.model import Column, Schema

ShowEventId = Callable[[Sequence[Any]], Any]
"""Takes a group and returns the event id as anomalies show it."""


class Memory(Protocol):
    """Something that is remembered of each group, and saved."""

    changed: set[int]
    """Groups of which something else is remembered than was last saved."""

    def codes(self) -> Iterable[int]:
        """Return the groups about which something is known."""

    def encode(self, code: int) -> list[Any]:
        """Return what is saved of a group."""

    def decode(self, code: int, saved: Sequence[Any]) -> None:
        """Take over what was saved of a group."""

    def validate(self) -> None:
        """Assert every invariant."""


class Learner(Memory, Protocol):
    """What knows values of each group, so that others may be accepted."""

    metric: str
    """Text of the metric; always the same."""

    about: str | None
    """What the metric is about: a column, or columns joined by a comma and a blank; `None` if it knows no values."""

    def accept(self, code: int, value: Any, now: int | None) -> None:
        """Let a reported value count as known for a group."""


class Watcher(Learner, Protocol):
    """One metric of a detector: what it knows of each group, and what it finds in a batch."""

    def observe(self, batch: GroupedRows) -> list[UnusualRows]:
        """Learn from a batch and return what is wrong with it."""


class ConfiguredWatcher(Watcher, Mutable, Protocol):
    """A watcher that can be told to leave a group alone."""


class Follower(Learner, Protocol):
    """What follows one variable and reports nothing."""

    def observe(self, batch: GroupedRows) -> None:
        """Take the values of a batch."""

    def verdict(self, code: int, detector: str, group: tuple[Any, ...]) -> VariableVerdict | None:
        """Return what is known of a group, or `None` when it never had a value."""


@dataclass(slots=True, kw_only=True)
class Parts:
    """What a detector is made of, beside its groups."""

    watchers: Sequence[Watcher] = ()
    """One per metric."""

    memories: Sequence[Memory] = ()
    """What watchers remember apart from what they know."""

    followers: Sequence[Follower] = ()
    """What follows variables without reporting anything."""

    configuration: Configuration | None = None
    """Decides which groups the watchers leave alone; `None` where that is not to be decided."""


def find_columns(detector: str, schema: Schema, names: Sequence[str]) -> tuple[Column, ...]:
    """Return columns of a schema.

    Raises:
        DetectorSpecError: the schema lacks one.
    """
    try:
        return tuple(schema[name] for name in names)
    except SchemaError as error:
        raise DetectorSpecError(f"detector {detector!r}: {error}") from error


class Materials:
    """What a kind of detector is given to make its parts: columns, groups, and how anomalies are described."""

    def __init__(
        self, detector: str, schema: Schema, time_column: str, groups: Groups, show_event_id: ShowEventId
    ) -> None:
        self.schema = schema
        self.time_column = time_column
        self._detector = detector
        self._groups = groups
        self._show_event_id = show_event_id

    def columns(self, names: Sequence[str]) -> tuple[Column, ...]:
        """Return columns of the schema.

        Raises:
            DetectorSpecError: the schema lacks one.
        """
        return find_columns(self._detector, self.schema, names)

    def names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return columns under the names that the schema gives them.

        Raises:
            DetectorSpecError: the schema lacks one.
        """
        return tuple(column.name for column in self.columns(names))

    def detail_of(self, names: Sequence[str], label: str = "variable") -> MakeDetail:
        """Return the function that describes anomalies of one metric."""
        name = ", ".join(names)

        def detail(code: int, shown: Mapping[str, Any]) -> str:
            described = {"event_id": self._show_event_id(self._groups.ids[code]), label: name, **shown}
            described["learned_since"] = self._groups.first_time(code)
            return json.dumps(described, ensure_ascii=False)

        return detail

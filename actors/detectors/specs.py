"""What detectors of all kinds are asked to do: frozen values, checked when they are made.

Vocabulary: a *group* is everything a detector learns together: rows that agree in the job's key columns and in the
columns of the event id. A *variable* is a watched column. Times and ages are integers in the unit of the time column.

A kind of detector is one class that derives from `GroupSpec`, in a module of its own with the watcher that it makes,
and is registered there under its name in job files (`actors.detectors.registry`). Its fields are its options, and part
of the fingerprint of saved state: names and order never change.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from actors.detectors.checks import (
    as_names,
    check_choice,
    check_count,
    check_integer,
    check_text,
    check_variables,
)
from actors.detectors.configuration import Configuration
from actors.detectors.errors import DetectorSpecError
from actors.detectors.learn_phase import LearnPhase
from actors.detectors.parts import ConfiguredWatcher, Materials, Parts
from actors.detectors.values import parse_list, plain_value, typed_value
from actors.model import Column, ColumnType, Schema

DISTINCT_COUNT_MAX = 10_000
"""Values learned per group and variable at most, unless a specification says otherwise."""

CONFIGURE_ROW_COUNT_MIN = 4
"""Fewest rows that can tell stable variables from others."""

NOT_GIVEN = LearnPhase()
"""The learn phase of a specification that was given none."""


OWN_DETAIL_NAMES = ("event_id", "variable", "learned_since")
"""What the details of all anomalies of detectors have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSpec:
    """What all detectors have in common.

    Raises:
        DetectorSpecError: an empty name, a number out of range, or nothing that could ever be found.
    """

    type: ClassVar[str]
    """Name of the kind in job files; registering sets it."""

    watch_field: ClassVar[str | None] = None
    """Field that takes the columns a job watches: `variables`, `combinations`, or none."""

    detail_names: ClassVar[tuple[str, ...]] = ()
    """What the details of its anomalies have, besides `OWN_DETAIL_NAMES`; texts about them may name it."""

    watches_events: ClassVar[bool] = False
    """Whether the event id is what is watched, and therefore no part of the group."""

    needs_learning: ClassVar[bool] = False
    """Whether nothing is found in a group that has learned nothing."""

    name: str
    """Name of the detector, unique within a job."""

    event_id_columns: tuple[str, ...] = ()
    """Columns whose values are the event id; state is kept per key and event id."""

    event_id: int | str | None = None
    """The event id when it is the same for all rows; shown in the detail of anomalies."""

    learn: LearnPhase = NOT_GIVEN
    """When rows are learned; a `LearnPhase()` of one's own says that the detector is trained on purpose."""

    def __post_init__(self) -> None:
        check_text("a detector", "name", self.name)
        if not isinstance(self.learn, LearnPhase):
            raise DetectorSpecError(f"learn {self.learn!r} of {self.name!r} must be a LearnPhase")
        self.put("event_id_columns", as_names(repr(self.name), "event_id_columns", self.event_id_columns))
        if isinstance(self.event_id, str):
            check_text(repr(self.name), "event_id", self.event_id)
        elif self.event_id is not None:
            check_integer(f"{self.name!r}, which is no text,", "event_id", self.event_id)
        if self.event_id_columns and self.event_id is not None:
            raise DetectorSpecError(f"detector {self.name!r} has both event_id_columns and event_id; give one of them")
        if self.watches_events and not self.event_id_columns:
            raise DetectorSpecError(f"detector {self.name!r} watches event ids; give event_id_columns")
        self._check()
        if self.needs_learning and self.learn is NOT_GIVEN and not self.effective_learn().has_limit:
            raise DetectorSpecError(
                f"detector {self.name!r} learns no row, so that it would find nothing; give it a learn phase, such as "
                "`learn: {rows: 1000}` in a job file or `learn=LearnPhase(row_count=1000)` in a program, or "
                "`learn=LearnPhase()` where it is trained on purpose"
            )

    def put(self, name: str, value: Any) -> None:
        """Set a field to its converted value, while the specification is being made."""
        object.__setattr__(self, name, value)

    def _check(self) -> None:
        """Check the fields of a kind of detector."""

    def make_parts(self, given: Materials) -> Parts:
        """Return what a detector of this kind is made of.

        Raises:
            DetectorSpecError: the schema lacks a column, or one has the wrong type.
        """
        raise NotImplementedError

    def effective_learn(self) -> LearnPhase:
        """Return the learn phase, which lasts at least as long as the automatic configuration."""
        configured: int | None = getattr(self, "configure_row_count", None)
        if configured is None:
            return self.learn
        return replace(self.learn, row_count=max(configured, self.learn.row_count or 0))

    @property
    def needs_all_times(self) -> bool:
        """Whether judged rows, too, are judged by the latest time of their group."""
        return False

    @classmethod
    def can_watch(cls, kind: ColumnType) -> bool:
        """Return whether columns of a type can be watched."""
        return True

    def watched_columns(self) -> tuple[tuple[str, ...], ...]:
        """Return the columns of each metric that tell values apart, for those that look for values."""
        return ()

    @property
    def takes_lists(self) -> bool:
        """Whether a value that is accepted is a list."""
        return False

    def event_ids_in(self, value: Any) -> Sequence[Any]:
        """Return the event ids that a value is made of, for those that watch event ids."""
        return ()

    def accepted_value(self, schema: Schema, about: str, text: str) -> Any:
        """Return the value that typed words mean, as it stands in frames.

        Raises:
            DetectorValueError: the words are none of the values that this detector knows.
        """
        if self.takes_lists:
            return self.checked_value(schema, about, parse_list(text))
        return typed_value(schema[about], text)

    def checked_value(self, schema: Schema, about: str, value: Any) -> Any:
        """Return a value that is to be accepted, as it stands in frames.

        Raises:
            DetectorValueError: it is none of the values that this detector knows.
        """
        return plain_value(schema[about], value)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSpec(GroupSpec):
    """What detectors have in common that know a set of things per group."""

    distinct_count_max: int = DISTINCT_COUNT_MAX
    """Things learned per group and metric; a metric that exceeds it while learning is no longer watched there."""

    report: str = "every"
    """`every`: each row with something unknown. `once`: the first one, after which it counts as known."""

    def _check(self) -> None:
        check_count(repr(self.name), "distinct_count_max", self.distinct_count_max)
        self.put("report", check_choice(repr(self.name), "report", self.report, ("every", "once")))

    @property
    def reports_once(self) -> bool:
        """Whether something unknown is reported the first time only."""
        return self.report == "once"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariablesSpec(GroupSpec):
    """What detectors have in common that watch each of several columns by itself."""

    watch_field: ClassVar[str | None] = "variables"

    watches: ClassVar[str]
    """What the columns must have, for people: `texts`, `numbers`."""

    variables: tuple[str, ...]
    """Columns, each watched by itself; the position is the anomaly's type."""

    configure_row_count: int | None = None
    """As for `NewValueSpec`."""

    def _check(self) -> None:
        self.put("variables", as_names(repr(self.name), "variables", self.variables))
        check_variables(repr(self.name), self.variables)
        check_configure(self.name, self.configure_row_count)

    def watched_columns(self) -> tuple[tuple[str, ...], ...]:
        """Return each variable by itself."""
        return tuple((name,) for name in self.variables)

    def make_watcher(self, column: Column, given: Materials) -> ConfiguredWatcher:
        """Return the watcher of one column."""
        raise NotImplementedError

    def make_parts(self, given: Materials) -> Parts:
        """Return a watcher for each variable."""
        columns = given.columns(self.variables)
        for column in columns:
            if not self.can_watch(column.type):
                text = f"detector {self.name!r} watches {self.watches} but column {column.name!r} is {column.type}"
                raise DetectorSpecError(text)
        watchers = [self.make_watcher(column, given) for column in columns]
        watched = [[column.name] for column in columns]
        return Parts(watchers=watchers, configuration=Configuration(watched, watchers, self.configure_row_count))


def check_configure(name: str, row_count: int | None) -> None:
    """Refuse a number of configuring rows that says nothing.

    Raises:
        DetectorSpecError: fewer rows than a verdict needs.
    """
    if row_count is not None:
        check_count(repr(name), "configure_row_count", row_count, at_least=CONFIGURE_ROW_COUNT_MIN)

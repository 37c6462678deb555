"""What detectors are asked to do: frozen values, checked when they are made.

Vocabulary: a *group* is everything a detector learns together: rows that agree in the job's key columns and in the
columns of the event id. A *variable* is a watched column. Times and ages are integers in the unit of the time column.
"""

from dataclasses import dataclass, field
from typing import Any

from actors.detectors.errors import DetectorSpecError

DISTINCT_COUNT_MAX = 10_000
"""Values learned per group and variable at most, unless a specification says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnPhase:
    """When a group's rows are learned instead of judged: as long as one of the limits given is not reached.

    Without a limit nothing is learned, and only what was accepted, trained or loaded is known.

    Raises:
        DetectorSpecError: a limit below 1.
    """

    row_count: int | None = None
    """The first rows of each group."""

    duration: int | None = None
    """Time since the group's first row, exclusive."""

    until: int | None = None
    """A moment, exclusive; rows from then on are judged."""

    def __post_init__(self) -> None:
        for name in ("row_count", "duration"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DetectorSpecError(f"learn {name} {value} must be at least 1; leave it out for no limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSpec:
    """What all detectors have in common.

    Raises:
        DetectorSpecError: an empty name, or a number out of range.
    """

    name: str
    """Name of the detector, unique within a job."""

    event_id_columns: tuple[str, ...] = ()
    """Columns whose values are the event id; state is kept per key and event id."""

    event_id: int | str | None = None
    """The event id when it is the same for all rows; shown in the detail of anomalies."""

    learn: LearnPhase = field(default_factory=LearnPhase)
    """When rows are learned."""

    def __post_init__(self) -> None:
        if not self.name:
            raise DetectorSpecError("a detector has an empty name; name it")
        if self.event_id_columns and self.event_id is not None:
            raise DetectorSpecError(f"detector {self.name!r} has both event_id_columns and event_id; give one of them")
        self._check()

    def _check(self) -> None:
        """Check the fields of a kind of detector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _KnownValuesSpec(GroupSpec):
    distinct_count_max: int = DISTINCT_COUNT_MAX
    """Values learned per group and variable; a variable that exceeds it while learning is no longer watched there."""

    expire_after: int | None = None
    """Age, since the value was last seen, from which a value is reported again; `None` for never."""

    report: str = "every"
    """`every`: each row with an unknown value. `once`: the first one, after which the value counts as known."""

    def _check(self) -> None:
        if self.distinct_count_max < 1:
            raise DetectorSpecError(f"distinct_count_max {self.distinct_count_max} of {self.name!r} must be at least 1")
        if self.expire_after is not None and self.expire_after < 1:
            raise DetectorSpecError(f"expire_after {self.expire_after} of {self.name!r} must be at least 1")
        if self.report not in ("every", "once"):
            raise DetectorSpecError(f"report {self.report!r} of {self.name!r} is unknown; use 'every' or 'once'")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewValueSpec(_KnownValuesSpec):
    """Reports values of a variable that its group has not learned. NULL is no value."""

    variables: tuple[str, ...]
    """Columns watched, each by itself; the position is the anomaly's type."""

    def _check(self) -> None:
        _KnownValuesSpec._check(self)
        check_variables(self.name, self.variables)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewValueCombinationSpec(_KnownValuesSpec):
    """Reports combinations of values of several columns that their group has not learned."""

    combinations: tuple[tuple[str, ...], ...]
    """Combinations of columns; the position is the anomaly's type. A row with a NULL in one is not judged by it."""

    def _check(self) -> None:
        _KnownValuesSpec._check(self)
        check_variables(self.name, self.combinations)
        for columns in self.combinations:
            check_variables(self.name, columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEventSpec(_KnownValuesSpec):
    """Reports event ids that their key has not learned; here the event id is what is watched, not part of the group."""

    def _check(self) -> None:
        _KnownValuesSpec._check(self)
        if not self.event_id_columns:
            raise DetectorSpecError(f"detector {self.name!r} watches event ids; give event_id_columns")


def check_variables(name: str, variables: tuple[Any, ...]) -> None:
    """Refuse an empty or repeated list of things to watch.

    Raises:
        DetectorSpecError: there is nothing to watch, or one thing twice.
    """
    if not variables:
        raise DetectorSpecError(f"detector {name!r} watches no column; name at least one")
    if len(set(variables)) < len(variables):
        raise DetectorSpecError(f"detector {name!r} names a column twice in {list(variables)}")

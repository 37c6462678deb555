"""What detectors are asked to do: frozen values, checked when they are made.

Vocabulary: a *group* is everything a detector learns together: rows that agree in the job's key columns and in the
columns of the event id. A *variable* is a watched column. Times and ages are integers in the unit of the time column.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.detectors.errors import DetectorSpecError

DISTINCT_COUNT_MAX = 10_000
"""Values learned per group and variable at most, unless a specification says otherwise."""


SEQUENCE_LENGTH_MAX = 100
"""Longest sequence of event ids."""

CONFIGURE_ROW_COUNT_MIN = 4
"""Fewest rows that can tell stable variables from others."""


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
class KnownSpec(GroupSpec):
    """What detectors have in common that know a set of things per group."""

    distinct_count_max: int = DISTINCT_COUNT_MAX
    """Things learned per group and metric; a metric that exceeds it while learning is no longer watched there."""

    report: str = "every"
    """`every`: each row with something unknown. `once`: the first one, after which it counts as known."""

    def _check(self) -> None:
        if self.distinct_count_max < 1:
            raise DetectorSpecError(f"distinct_count_max {self.distinct_count_max} of {self.name!r} must be at least 1")
        if self.report not in ("every", "once"):
            raise DetectorSpecError(f"report {self.report!r} of {self.name!r} is unknown; use 'every' or 'once'")


@dataclass(frozen=True, slots=True, kw_only=True)
class _KnownValuesSpec(KnownSpec):
    expire_after: int | None = None
    """Age, since the value was last seen, from which a value is reported again; `None` for never."""

    configure_row_count: int | None = None
    """The first rows of each group, after which only variables found STATIC or STABLE in them stay watched there.

    These rows are learned as well. `None` watches every variable from the start.
    """

    def _check(self) -> None:
        KnownSpec._check(self)
        check_configure(self.name, self.configure_row_count)
        if self.expire_after is not None and self.expire_after < 1:
            raise DetectorSpecError(f"expire_after {self.expire_after} of {self.name!r} must be at least 1")


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
        _check_events(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRangeSpec(GroupSpec):
    """Reports numbers outside the range that their group has learned; a group that learned none is not judged."""

    variables: tuple[str, ...]
    """Columns of numbers, each watched by itself; the position is the anomaly's type."""

    configure_row_count: int | None = None
    """As for `NewValueSpec`."""

    def _check(self) -> None:
        check_variables(self.name, self.variables)
        check_configure(self.name, self.configure_row_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class CharsetSpec(GroupSpec):
    """Reports texts with a character that their group has not learned in that variable."""

    variables: tuple[str, ...]
    """Columns of texts, each watched by itself; the position is the anomaly's type."""

    configure_row_count: int | None = None
    """As for `NewValueSpec`."""

    def _check(self) -> None:
        check_variables(self.name, self.variables)
        check_configure(self.name, self.configure_row_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSequenceSpec(KnownSpec):
    """Reports sequences of event ids that their key has not learned. Rows without an event id do not count."""

    length: int
    """Number of event ids in a sequence; the first `length - 1` rows of a key complete none."""

    def _check(self) -> None:
        KnownSpec._check(self)
        _check_events(self)
        if not 2 <= self.length <= SEQUENCE_LENGTH_MAX:
            raise DetectorSpecError(f"length {self.length} of {self.name!r} must be from 2 to {SEQUENCE_LENGTH_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CountVectorSpec(KnownSpec):
    """Reports windows of a key in which event ids are counted unlike in any window it has learned.

    A window is judged with its last row when it is a number of rows, and with the first row after it when it is a span
    of time; it is learned when its last row is. Spans start at multiples of their size; empty ones are left out.
    """

    window_row_count: int | None = None
    """Size of a window in rows; this or `window_ticks`."""

    window_ticks: int | None = None
    """Size of a window in time; this or `window_row_count`."""

    distance_max: float = 0.0
    """Largest distance to a learned window that is still usual: the sum of differing counts over the larger total."""

    def _check(self) -> None:
        KnownSpec._check(self)
        _check_events(self)
        sizes = [size for size in (self.window_row_count, self.window_ticks) if size is not None]
        if len(sizes) != 1 or sizes[0] < 1:
            raise DetectorSpecError(f"give {self.name!r} either window_row_count or window_ticks, at least 1")
        if not self.distance_max >= 0:
            raise DetectorSpecError(f"distance_max {self.distance_max} of {self.name!r} must be at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class StabilitySpec(GroupSpec):
    """Follows how the values of variables behave, and reports nothing: STATIC, STABLE, UNSTABLE or RANDOM.

    With a learn phase only the rows of that are followed, without one all rows.
    """

    variables: tuple[str, ...]
    """Columns followed, each by itself. NULL is no value."""

    value_count_max: int = 1000
    """Distinct values of a variable kept exactly; beyond, their number is an estimate."""

    min_samples: int = 3
    """Fewest values that allow a verdict."""

    segmentation: str = "count"
    """What the series is cut into: equal numbers of values (`count`), equal spans of time (`time`), or `both`."""

    segment_thresholds: tuple[float, ...] = (1.1, 0.3, 0.1, 0.01)
    """One for each segment: the share of values never seen before that its segment must stay below to be STABLE."""

    def _check(self) -> None:
        object.__setattr__(self, "segment_thresholds", tuple(self.segment_thresholds))
        check_variables(self.name, self.variables)
        for name in ("value_count_max", "min_samples"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise DetectorSpecError(f"{name} {value} of {self.name!r} must be a number of at least 1")
        if self.segmentation not in ("count", "time", "both"):
            raise DetectorSpecError(f"segmentation {self.segmentation!r} of {self.name!r} must be count, time or both")
        if not self.segment_thresholds or not all(isinstance(share, int | float) for share in self.segment_thresholds):
            raise DetectorSpecError(f"segment_thresholds of {self.name!r} must be numbers, one for each segment")


OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "in", "not in", "is null", "is not null", "contains", "matches")
"""What a condition may ask; `matches` takes a regular expression. NULL fulfils `is null` only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One question about one column.

    Raises:
        DetectorSpecError: an operator that does not exist.
    """

    column: str
    """Column asked about."""

    operator: str
    """One of `OPERATORS`."""

    value: Any = None
    """What the column is compared with: a value, or a tuple of values for `in` and `not in`."""

    def __post_init__(self) -> None:
        if isinstance(self.value, list):
            object.__setattr__(self, "value", tuple(self.value))
        if self.operator not in OPERATORS:
            raise DetectorSpecError(f"operator {self.operator!r} is unknown; use one of {', '.join(OPERATORS)}")
        if self.operator in ("in", "not in") and not isinstance(self.value, tuple):
            raise DetectorSpecError(f"operator {self.operator!r} on {self.column!r} needs a tuple of values")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Conditions that together make a row an anomaly."""

    name: str
    """Name, unique within the detector."""

    conditions: tuple[Condition, ...]
    """All must hold; mappings of the fields of a condition will do."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(_made(Condition, given) for given in self.conditions))


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec(GroupSpec):
    """Reports rows that fulfil a rule; rows of the learn phase are not judged."""

    rules: tuple[Rule, ...]
    """Rules, or mappings of the fields of a rule; the position is the anomaly's type."""

    def _check(self) -> None:
        object.__setattr__(self, "rules", tuple(_made(Rule, given) for given in self.rules))
        check_variables(self.name, tuple(rule.name for rule in self.rules))
        for rule in self.rules:
            if not rule.conditions:
                raise DetectorSpecError(f"rule {rule.name!r} of {self.name!r} has no condition; give at least one")


def _made(kind: type[Any], given: Any) -> Any:
    """Return a value of a kind: the one given, or the one that a mapping of its fields describes."""
    if not isinstance(given, Mapping):
        return given
    try:
        return kind(**given)
    except TypeError as error:
        raise DetectorSpecError(f"{dict(given)} does not describe a {kind.__name__.lower()}: {error}") from error


def _check_events(spec: GroupSpec) -> None:
    if not spec.event_id_columns:
        raise DetectorSpecError(f"detector {spec.name!r} watches event ids; give event_id_columns")


def check_configure(name: str, row_count: int | None) -> None:
    """Refuse a number of configuring rows that tells nothing.

    Raises:
        DetectorSpecError: fewer rows than a verdict needs.
    """
    if row_count is not None and row_count < CONFIGURE_ROW_COUNT_MIN:
        raise DetectorSpecError(
            f"configure_row_count {row_count} of {name!r} must be at least {CONFIGURE_ROW_COUNT_MIN}"
        )


def check_variables(name: str, variables: tuple[Any, ...]) -> None:
    """Refuse an empty or repeated list of things to watch.

    Raises:
        DetectorSpecError: there is nothing to watch, or one thing twice.
    """
    if not variables:
        raise DetectorSpecError(f"detector {name!r} watches no column; name at least one")
    if len(set(variables)) < len(variables):
        raise DetectorSpecError(f"detector {name!r} names a column twice in {list(variables)}")

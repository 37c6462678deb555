"""The specifications that the detectors of a job's settings stand for.

The settings of `DetectorSettings` are those of all kinds; which of them, and which options, a kind takes follows from
the fields of its specification. Nothing that a kind does not take is passed over in silence.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol

from actors.durations import duration_units
from actors.errors import TocsinError
from actors.model import Schema
from config.base import suggest
from config.detectors import EVERY_VARIABLE, DetectorSettings
from config.errors import ConfigError
from config.sources import log_of
from config.units import time_units

if TYPE_CHECKING:
    from actors.detectors import Detector, LearnPhase
    from actors.detectors.specs import GroupSpec

SETTING_FIELDS: Mapping[str, str] = {
    "expire_after": "expire_after",
    "max_distinct": "distinct_count_max",
    "report": "report",
}
"""Settings that not every kind takes, and the fields of specifications that they go to."""

COMMON_FIELDS = ("name", "event_id_columns", "learn", "variables", "combinations", *SETTING_FIELDS.values())
"""Fields that have settings of their own, so that they are no options."""


class WithDetectors(Protocol):
    """What of a job its detectors are made of."""

    @property
    def detectors(self) -> tuple[DetectorSettings, ...]:
        """Their settings."""

    @property
    def row_schema(self) -> Schema:
        """Columns of a row."""

    @property
    def time_column(self) -> str:
        """Name of the time column, spelt as in the schema."""

    @property
    def key(self) -> tuple[str, ...]:
        """Names of the key columns, as they were given."""

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The same, spelt as in the schema."""

    @property
    def source(self) -> Any:
        """Where rows come from."""


def detector_specs(job: WithDetectors) -> "tuple[GroupSpec, ...]":
    """Return the specifications of a job's detectors, in their order.

    Raises:
        ConfigError: a detector of that type does not exist, or refuses its settings.
    """
    return tuple(detector_spec(job, detector) for detector in job.detectors)


def detector_spec(job: WithDetectors, detector: DetectorSettings) -> "GroupSpec":
    """Return the specification of one detector.

    Raises:
        ConfigError: a detector of that type does not exist, or refuses its settings.
    """
    # Making the detector, which costs little, is what tells whether columns are there and fit.
    return _made(job, detector).spec


def make_detectors(job: WithDetectors) -> "list[Detector]":
    """Return a job's detectors in their order, having learnt nothing.

    Raises:
        ConfigError: a detector of that type does not exist, or refuses its settings.
    """
    return [_made(job, detector) for detector in job.detectors]


def _made(job: WithDetectors, detector: DetectorSettings) -> "Detector":
    from actors.detectors import make_detector
    from actors.detectors.registry import find_kind

    kind = find_kind(detector.type)
    if kind is None:
        raise ConfigError(f"there is no detector {detector.type!r} in this version; use another")
    try:
        _refuse_other_settings(kind, detector)
        spec = kind(**_arguments(job, detector, kind))
        return make_detector(spec, job.row_schema, job.time_column, job.key_columns)
    except (TocsinError, TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error


def _refuse_other_settings(kind: "type[GroupSpec]", detector: DetectorSettings) -> None:
    name, known = detector.name or detector.type, {field.name for field in fields(kind)}
    for setting, field in SETTING_FIELDS.items():
        if field not in known and getattr(detector, setting) != DetectorSettings.model_fields[setting].default:
            raise ConfigError(f"detector {name!r} of type {kind.type} does not take {setting!r}; leave it out")
    if detector.watch and kind.watch_field is None:
        raise ConfigError(f"detector {name!r} of type {kind.type} watches no columns by themselves; leave `watch` out")
    options = sorted(known - set(COMMON_FIELDS))
    for option in detector.options:
        if option not in options:
            raise ConfigError(f"detector {name!r} has no option {option!r}; {suggest(option, options)}")


def _arguments(job: WithDetectors, detector: DetectorSettings, kind: "type[GroupSpec]") -> dict[str, Any]:
    time_type, known = job.row_schema[job.time_column].type, {field.name for field in fields(kind)}
    age = None if detector.expire_after is None else duration_units(detector.expire_after, time_type)
    given = {"expire_after": age, "distinct_count_max": detector.max_distinct, "report": detector.report}
    arguments: dict[str, Any] = {name: value for name, value in given.items() if name in known}
    if kind.watch_field is not None:
        watched = {"variables": _variables(job, detector, kind), "combinations": _combinations(detector)}
        arguments[kind.watch_field] = watched[kind.watch_field]
    learn = _learn_phase(job, detector)
    if learn.has_limit:
        arguments["learn"] = learn
    for name, value in detector.options.items():
        # Durations such as `5m` stand for ticks where ticks are meant.
        is_duration = name.endswith("_ticks") and isinstance(value, str)
        arguments[name] = duration_units(value, time_type) if is_duration else value
    return {"name": detector.name or detector.type, "event_id_columns": detector.event, **arguments}


def _learn_phase(job: WithDetectors, detector: DetectorSettings) -> "LearnPhase":
    from actors.detectors import LearnPhase

    kind, learn = job.row_schema[job.time_column].type, detector.learn
    return LearnPhase(
        row_count=learn.rows,
        duration=None if learn.duration is None else duration_units(learn.duration, kind),
        until=None if learn.until is None else time_units(learn.until, kind),
    )


def _variables(job: WithDetectors, detector: DetectorSettings, kind: "type[GroupSpec]") -> tuple[str, ...]:
    """Return the columns that are watched, each by itself; a star is the variables of templates that can be."""
    named = tuple(name for part in detector.watch for name in ((part,) if isinstance(part, str) else part))
    log = log_of(job.source)
    if EVERY_VARIABLE not in named or log is None:
        return named
    variables = {name.lower() for name in log.variables}
    columns = {name.lower(): field.lower() for name, field in log.columns.items()}
    found = [
        column.name
        for column in job.row_schema.columns
        if columns.get(column.name.lower(), column.name.lower()) in variables and kind.can_watch(column.type)
    ]
    named = tuple(name for name in named if name != EVERY_VARIABLE)
    # What tells groups apart is the same within each.
    known = {name.lower() for name in (*named, *job.key, *detector.event)}
    return (*named, *(name for name in found if name.lower() not in known))


def _combinations(detector: DetectorSettings) -> tuple[tuple[str, ...], ...]:
    """Return the lists of columns that are watched together; plain columns make one list."""
    lists = [part for part in detector.watch if not isinstance(part, str)]
    plain = tuple(part for part in detector.watch if isinstance(part, str))
    return tuple([plain, *lists] if plain else lists)

"""What the libraries are built from: the specifications that a job's settings stand for.

The libraries are imported when they are asked for, so reading a job file loads only what it needs.
"""

from typing import TYPE_CHECKING, Any

from actors.durations import duration_units
from actors.errors import TocsinError
from actors.model import ColumnType
from config.detectors import EVERY_VARIABLE, DetectorSettings
from config.errors import ConfigError
from config.settings import JobSettings
from config.sources import LogSource
from config.units import time_units

if TYPE_CHECKING:
    from actors.detectors.specs import GroupSpec, LearnPhase
    from actors.engine import EngineSpec, LifecycleSettings
    from actors.store.config import StoreConfig


def engine_spec(job: JobSettings) -> "EngineSpec":
    """Return the specification of the anomaly detection engine of a job."""
    from actors.engine import EngineSpec

    return EngineSpec(
        name=job.name.replace("-", "_"),
        metrics=tuple(metric.when for metric in job.metrics),
        schema=job.row_schema,
        time_column=job.time_column,
        key_columns=job.key_columns,
        window_size=job.window_size_ticks,
        step=job.window_step_ticks,
        garbage_size=job.engine.garbage_size,
        round_time=job.engine.round_time,
        nulls=job.engine.nulls,
        explain=job.engine.explain,
        late_rows_max=job.limits.batch_rows_max,
        anomaly_descriptions=_descriptions(job),
        lifecycles=_lifecycles(job),
        max_lateness=metric_ticks(job, job.engine.max_lateness),
        ticks_close_windows=job.engine.ticks_close_windows,
        idle_key_ttl=metric_ticks(job, job.engine.idle_key_ttl),
    )


def store_config(job: JobSettings, *, identifier: str | None = None) -> "StoreConfig":
    """Return the settings of the event store in each shard of a job.

    Raises:
        ConfigError: the store refuses them.
    """
    from actors.store.config import StoreConfig

    events = job.events
    data: dict[str, Any] = {
        "identifier": identifier,
        "latest": {"subscriptions": [list(pattern) for pattern in events.latest]},
        "series": [
            {
                "order_by": series.order_by.upper(),
                "subscriptions": [list(pattern) for pattern in series.types],
                "limit": {name: value for name, value in series.limit.model_dump().items() if value is not None},
            }
            for series in events.series
        ],
        "conditions": [
            {
                "subscriptions": [list(pattern) for pattern in rule.types],
                "condition": rule.condition,
            }
            for rule in events.conditions
        ],
    }
    try:
        return StoreConfig.from_mapping(data)
    except TocsinError as error:
        raise ConfigError(str(error)) from error


def detector_specs(job: JobSettings) -> "tuple[GroupSpec, ...]":
    """Return the specifications of a job's detectors, in their order.

    Raises:
        ConfigError: a detector of that type does not exist, or refuses its settings.
    """
    return tuple(detector_spec(job, detector) for detector in job.detectors)


def detector_spec(job: JobSettings, detector: DetectorSettings) -> "GroupSpec":
    """Return the specification of one detector.

    Raises:
        ConfigError: a detector of that type does not exist, or refuses its settings.
    """
    from actors.detectors import specs

    kind = getattr(specs, _spec_name(detector.type), None)
    if kind is None:
        raise ConfigError(f"there is no detector {detector.type!r} in this version; use another")
    try:
        given = _detector_arguments(job, detector)
        options = _options(job, detector)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    known = kind.__dataclass_fields__
    unknown = [name for name in detector.options if name not in known]
    if unknown:
        raise ConfigError(f"detector {given['name']!r} has no option {unknown[0]!r}; look at its page")
    arguments = {name: value for name, value in given.items() if name in known} | options
    try:
        spec: GroupSpec = kind(**arguments)
    except (TocsinError, TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error
    return spec


def metric_ticks(job: JobSettings, duration: int | str | None) -> int:
    """Return a duration in ticks of the time column, 0 for none.

    Raises:
        ValueError: it is no duration, or no whole number of ticks.
    """
    return 0 if duration is None else duration_units(duration, job.row_schema[job.time_column].type)


def _lifecycles(job: JobSettings) -> "tuple[LifecycleSettings | None, ...]":
    if not any(metric.has_episodes for metric in job.metrics):
        return ()
    from actors.engine import LifecycleSettings

    return tuple(
        LifecycleSettings(
            hold=metric_ticks(job, metric.hold), keep_firing=metric_ticks(job, metric.keep_firing), clear=metric.clear
        )
        if metric.has_episodes
        else None
        for metric in job.metrics
    )


def _descriptions(job: JobSettings) -> tuple[str, ...] | None:
    if all(metric.describe is None for metric in job.metrics):
        return None
    from actors.engine.language.analysis import analyse_metric

    # Metrics without words of their own keep the text that the engine would print.
    return tuple(
        analyse_metric(metric.when, job.row_schema).text if metric.describe is None else metric.describe
        for metric in job.metrics
    )


def _detector_arguments(job: JobSettings, detector: DetectorSettings) -> dict[str, Any]:
    """Return everything that a specification may ask for, by its names."""
    time_type = job.row_schema[job.time_column].type
    return {
        "name": detector.name or detector.type,
        "event_id_columns": detector.event,
        "learn": _learn_phase(job, detector),
        "variables": _variables(job, detector),
        "combinations": _combinations(detector.watch),
        "expire_after": None if detector.expire_after is None else duration_units(detector.expire_after, time_type),
        "distinct_count_max": detector.max_distinct,
        "report": detector.report,
    }


def _options(job: JobSettings, detector: DetectorSettings) -> dict[str, Any]:
    """Return a detector's options, with durations such as `5m` in ticks where ticks are meant."""
    time_type = job.row_schema[job.time_column].type
    return {
        name: duration_units(value, time_type) if name.endswith("_ticks") and isinstance(value, str) else value
        for name, value in detector.options.items()
    }


def _learn_phase(job: JobSettings, detector: DetectorSettings) -> "LearnPhase":
    from actors.detectors.specs import LearnPhase

    kind, learn = job.row_schema[job.time_column].type, detector.learn
    return LearnPhase(
        row_count=learn.rows,
        duration=None if learn.duration is None else duration_units(learn.duration, kind),
        until=None if learn.until is None else time_units(learn.until, kind),
    )


def _spec_name(detector_type: str) -> str:
    return "".join(word.capitalize() for word in detector_type.split("_")) + "Spec"


def _variables(job: JobSettings, detector: DetectorSettings) -> tuple[str, ...]:
    """Return the columns that are watched, each by itself; a star is the variables of templates that can be."""
    named = _flat(detector.watch)
    if EVERY_VARIABLE not in named or not isinstance(job.source, LogSource):
        return named
    variables = {name.lower() for name in job.source.variables}
    fields = {name.lower(): field.lower() for name, field in job.source.columns.items()}
    found = [
        column.name
        for column in job.row_schema.columns
        if fields.get(column.name.lower(), column.name.lower()) in variables and _can_watch(detector.type, column.type)
    ]
    named = tuple(name for name in named if name != EVERY_VARIABLE)
    # What tells groups apart is the same within each.
    known = {name.lower() for name in (*named, *job.key, *detector.event)}
    return (*named, *(name for name in found if name.lower() not in known))


def _can_watch(detector_type: str, kind: ColumnType) -> bool:
    if detector_type == "value_range":
        return not kind.is_text and kind is not ColumnType.BOOL
    return kind.is_text or detector_type != "charset"


def _flat(watch: tuple[str | tuple[str, ...], ...]) -> tuple[str, ...]:
    return tuple(name for part in watch for name in ((part,) if isinstance(part, str) else part))


def _combinations(watch: tuple[str | tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """Return the lists of columns that are watched together; plain columns make one list."""
    lists = [part for part in watch if not isinstance(part, str)]
    plain = tuple(part for part in watch if isinstance(part, str))
    return tuple([plain, *lists] if plain else lists)

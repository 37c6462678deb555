"""What the libraries are built from: the specifications that a job's settings stand for.

The libraries are imported when they are asked for, so reading a job file loads only what it needs.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from actors.durations import NANOSECONDS, duration_units, nanoseconds_per_unit, show_duration
from actors.errors import TocsinError
from config.errors import ConfigError
from config.settings import JobSettings

if TYPE_CHECKING:
    from actors.engine import EngineSpec, LifecycleSettings
    from actors.engine.episodes.episode import Lifecycle
    from actors.store.config import StoreConfig

HOUR_NS = 3600 * NANOSECONDS


def engine_spec(job: JobSettings, key_columns: Sequence[str] | None = None) -> "EngineSpec":
    """Return the specification of an engine with all metrics of a job, with the job's window and key or another one."""
    from actors.engine import EngineSpec

    return EngineSpec(
        name=job.name.replace("-", "_"),
        metrics=tuple(metric.when for metric in job.metrics),
        schema=job.row_schema,
        time_column=job.time_column,
        let=job.let,
        key_columns=job.key_columns if key_columns is None else key_columns,
        **({} if job.window is None else job.window.arguments(job.row_schema[job.time].type)._asdict()),
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
        absent_after=metric_ticks(job, job.absent),
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


def metric_ticks(job: JobSettings, duration: int | str | None) -> int:
    """Return a duration in ticks of the time column, 0 for none.

    Raises:
        ValueError: it is no duration, or no whole number of ticks.
    """
    return 0 if duration is None else duration_units(duration, job.row_schema[job.time_column].type)


def ahead_limit(job: JobSettings) -> tuple[int, str] | None:
    """Return how far a row may be ahead of most keys of its split, in ticks and for people; `None`: as far as it likes.

    Without ticks the time of one key is no matter of the others, so that nothing is asked unless the job says so.
    """
    given, kind = job.limits.ahead_max, job.row_schema[job.time].type
    if given == "off" or (given is None and job.ticks is None):
        return None
    if given is not None:
        return metric_ticks(job, given), str(given)
    unit_ns = nanoseconds_per_unit(kind)
    hour = 1 if unit_ns is None else max(1, HOUR_NS // unit_ns)
    # Keys that come less often than that are apart by themselves.
    windows = [one.size_ticks(kind) for one in job.windows]
    reach = 2 * max(metric_ticks(job, job.ticks), metric_ticks(job, job.absent), *windows, 0)
    if reach <= hour:
        return hour, "1h"
    return reach, f"{reach} units" if unit_ns is None else show_duration(reach * unit_ns)


def _lifecycles(job: JobSettings) -> "tuple[LifecycleSettings | None, ...]":
    if not any(map(job.makes_episodes, job.metrics)):
        return ()
    from actors.engine import LifecycleSettings

    return tuple(
        LifecycleSettings(
            hold=metric_ticks(job, metric.hold),
            keep_firing=metric_ticks(job, metric.keep_firing),
            clear=metric.clear,
            is_implied=not metric.has_episodes,
        )
        if job.makes_episodes(metric)
        else None
        for metric in job.metrics
    )


def detector_lifecycles(job: JobSettings) -> "tuple[Lifecycle | None, ...]":
    """Return for each detector how what it finds becomes episodes; `None` where it does not."""
    if not any(map(job.makes_episodes, job.detectors)):
        return (None,) * len(job.detectors)
    from actors.engine.episodes.episode import Lifecycle

    return tuple(
        Lifecycle(hold=metric_ticks(job, one.hold), keep_firing=metric_ticks(job, one.keep_firing))
        if job.makes_episodes(one)
        else None
        for one in job.detectors
    )


def _descriptions(job: JobSettings) -> tuple[str, ...] | None:
    if all(metric.describe is None for metric in job.metrics):
        return None
    from actors.engine.language.analysis import analyse_metric

    # Metrics without words of their own keep the text that the engine would print.
    return tuple(
        analyse_metric(metric.when, job.row_schema, job.time_column, tuple(job.let.items())).text
        if metric.describe is None
        else metric.describe
        for metric in job.metrics
    )

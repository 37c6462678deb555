"""Metric groups: the metrics of a job that have one window and one key, and so one engine in each partition.

Most jobs have one group. Groups come in the order of their first metrics. What a group's engine says of its metrics,
numbered from 0, is said of the job's by their positions here.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.settings import JobSettings
from config.specs import engine_spec
from config.windows import WindowSettings

if TYPE_CHECKING:
    from actors.engine import EngineSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricGroup:
    """Metrics with one window and one key."""

    metrics: tuple[int, ...]
    """Their positions in the job, ascending."""

    key_columns: tuple[str, ...]
    """Names of the key columns, spelt as in the schema."""

    window: WindowSettings | None
    """The window of their aggregates."""


def metric_groups(job: JobSettings) -> tuple[MetricGroup, ...]:
    """Return the groups of a job's metrics; none in a job without any."""
    kind = job.row_schema[job.time].type
    found: dict[object, tuple[list[int], tuple[str, ...], WindowSettings | None]] = {}
    for index, (metric, key) in enumerate(zip(job.metrics, job.keys, strict=True)):
        window = job.window if metric.window is None else metric.window
        # `60s` and `1m` are one window.
        cut = None if window is None else window.arguments(kind)
        found.setdefault((key, cut), ([], key, window))[0].append(index)
    return tuple(
        MetricGroup(metrics=tuple(indexes), key_columns=key, window=window) for indexes, key, window in found.values()
    )


def group_specs(job: JobSettings) -> "tuple[tuple[MetricGroup, EngineSpec], ...]":
    """Return the groups of a job's metrics, each with the specification of its engine.

    Raises:
        TocsinError: a metric cannot be read.
    """
    from dataclasses import replace

    groups = metric_groups(job)
    specs = [_spec_of(job, group) for group in groups]
    if len(groups) > 1 and job.engine.ticks_close_windows and not job.engine.max_lateness:
        # Of metrics that look at rows alone there is nothing to close, which is no matter if there is of others.
        have = [_has_windows(job, group) for group in groups]
        if any(have):
            specs = [replace(spec, ticks_close_windows=one) for spec, one in zip(specs, have, strict=True)]
    return tuple(zip(groups, specs, strict=True))


def _spec_of(job: JobSettings, group: MetricGroup) -> "EngineSpec":
    chosen = tuple(job.metrics[index] for index in group.metrics)
    spec = engine_spec(job.model_copy(update={"metrics": chosen, "window": group.window}), group.key_columns)
    if spec.empty_windows == "zero" and _has_windows(job, group):
        from dataclasses import replace

        return replace(spec, ticks_close_windows=True)
    return spec


def _has_windows(job: JobSettings, group: MetricGroup) -> bool:
    """Return whether time closes windows of a group."""
    if group.window is None or group.window.rows is not None:
        return False
    return any(has_aggregate(job, job.metrics[index].when) for index in group.metrics)


def has_aggregate(job: JobSettings, text: str) -> bool:
    """Return whether a metric of a job has an aggregate, so that it needs a window."""
    from actors.engine.language.analysis import analyse_metric
    from actors.engine.language.terms import MetricKind

    let = tuple(job.let.items())
    return analyse_metric(text, job.row_schema, job.time_column, let).kind is not MetricKind.ROW

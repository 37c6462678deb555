"""Parts of a job checked by the libraries that will run them: metrics, detectors, the event store."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from actors.errors import TocsinError
from config.detector_specs import detector_spec
from config.errors import Path, SettingError
from config.metric_groups import group_specs, has_aggregate, metric_groups
from config.settings import JobSettings
from config.specs import engine_spec, store_config
from config.texts import value_faults

_SETTINGS: dict[str, Path] = {
    "nothing_to_close": ("engine", "ticks_close_windows"),
    "idle_key_ttl": ("engine", "idle_key_ttl"),
}
"""Settings of the engine as a whole, by the codes of what may be wrong with them."""


def library_faults(job: JobSettings) -> list[SettingError]:
    """Return what the libraries refuse, one fault for each metric, detector, and the store."""
    faults = _let_faults(job) or (_metric_faults(job) if job.metrics else [])
    for index, detector in enumerate(job.detectors):
        faults += _faults(("detectors", index), partial(detector_spec, job, detector))
    if job.events.store or job.events.anomalies:
        faults += _faults(("events",), partial(store_config, job))
    # What metrics have values of is known of those that can be read.
    return faults or value_faults(job, partial(_value_texts, job))


def _value_texts(job: JobSettings) -> tuple[tuple[str, ...], ...]:
    """Return for each metric the texts of the parts that its anomalies have values of."""
    from actors.engine import AnomalyDetectionEngine

    found: dict[int, tuple[str, ...]] = {}
    for group, spec in group_specs(job):
        found |= zip(group.metrics, AnomalyDetectionEngine.from_spec(spec).value_texts, strict=True)
    return tuple(found[index] for index in range(len(job.metrics)))


def _let_faults(job: JobSettings) -> list[SettingError]:
    """Return what is wrong with named parts, which every metric would say again."""
    if not job.let:
        return []
    from actors.engine.language.analysis import analyse_parts

    parts = tuple(job.let.items())
    return _faults(("let",), lambda: analyse_parts(parts, job.row_schema, job.time_column))


def _metric_faults(job: JobSettings) -> list[SettingError]:
    # The engine is imported when the first metric is checked: reading settings in other places needs none of it.
    from actors.engine import AnomalyDetectionEngine

    # What all metrics are needed for to say is left out until each has been looked at.
    build = AnomalyDetectionEngine.from_spec
    groups = metric_groups(job)
    faults: list[SettingError] = []
    for index, metric in enumerate(job.metrics):
        group = next(one for one in groups if index in one.metrics)
        alone = job.model_copy(update={"metrics": (), "window": group.window})
        bare = replace(engine_spec(alone, group.key_columns), ticks_close_windows=False, idle_key_ttl=0)
        bare = replace(bare, empty_windows="skip")
        faults += _faults(("metrics", index), partial(build, replace(bare, metrics=metric.when)))
        if metric.clear is not None:
            faults += _faults(("metrics", index, "clear"), partial(build, replace(bare, metrics=metric.clear)))
        if not faults and metric.window is not None and not has_aggregate(job, metric.when):
            text = "has no effect: the metric has no aggregate, and tests each row by itself; leave it out"
            faults.append(SettingError(("metrics", index, "window"), text))
    if faults:
        return faults
    specs = group_specs(job)
    # Most jobs have one group, whose settings are those of all metrics.
    paths: list[Path] = [("metrics",) if len(specs) == 1 else ("metrics", group.metrics[0]) for group, _ in specs]
    for path, (_, spec) in zip(paths, specs, strict=True):
        faults += _faults(path, partial(build, spec))
    return faults[:1]


def _faults(path: Path, build: Callable[[], Any]) -> list[SettingError]:
    try:
        build()
    except TocsinError as error:
        code = getattr(error, "code", "")
        if code == "window_required":
            text = "missing, but a metric has an aggregate; add `window: {size: 5m, step: 1m}` or the like"
            return [SettingError(("window",), text)]
        first, *rest = str(error).splitlines()
        return [SettingError(_SETTINGS.get(code, path), "\n".join([first, *(f"  {line}" for line in rest)]))]
    return []

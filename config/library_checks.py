"""Parts of a job checked by the libraries that will run them: metrics, detectors, the event store."""

from collections.abc import Callable
from functools import partial
from typing import Any

from actors.errors import TocsinError
from config.document import Path, format_path
from config.errors import Problem
from config.settings import JobSettings
from config.specs import detector_spec, engine_arguments, store_config

_SETTINGS: dict[str, Path] = {
    "nothing_to_close": ("engine", "ticks_close_windows"),
    "idle_key_ttl": ("engine", "idle_key_ttl"),
}
"""Settings of the engine as a whole, by the codes of what may be wrong with them."""


def check_parts(job: JobSettings) -> list[tuple[Path, Problem]]:
    """Return what the libraries refuse, each with the path of the faulty key."""
    problems: dict[Path, Problem] = {}
    if job.metrics:
        _check_metrics(job, problems)
    for index, detector in enumerate(job.detectors):
        _attempt(("detectors", index), problems, partial(detector_spec, job, detector))
    if job.events.store or job.events.anomalies:
        _attempt(("events",), problems, partial(store_config, job))
    return list(problems.items())


def _check_metrics(job: JobSettings, problems: dict[Path, Problem]) -> None:
    # The engine is imported when the first metric is checked: reading settings in other places needs none of it.
    from actors.engine import AnomalyDetectionEngine

    # What all metrics are needed for to say is left out until each has been looked at.
    arguments = engine_arguments(job.model_copy(update={"metrics": ()}))
    arguments |= {"ticks_close_windows": False, "idle_key_ttl": 0}
    for index, metric in enumerate(job.metrics):
        alone = arguments | {"metrics": [metric.when]}
        _attempt(("metrics", index), problems, partial(AnomalyDetectionEngine, **alone))
        if metric.clear is not None:
            cleared = arguments | {"metrics": [metric.clear]}
            _attempt(("metrics", index, "clear"), problems, partial(AnomalyDetectionEngine, **cleared))
    if not problems:
        _attempt(("metrics",), problems, partial(AnomalyDetectionEngine, **engine_arguments(job)))


def _attempt(path: Path, problems: dict[Path, Problem], build: Callable[[], Any]) -> None:
    try:
        build()
    except TocsinError as error:
        text = str(error)
        code = getattr(error, "code", "")
        path = _SETTINGS.get(code, path)
        if code == "window_required":
            path, text = (
                ("window",),
                "missing, but a metric has an aggregate; add `window: {size: 5m, step: 1m}` or the like",
            )
        first, *rest = text.splitlines()
        text = "\n".join([first, *(f"  {line}" for line in rest)])
        problems.setdefault(path, Problem(path=format_path(path), line=None, text=text))

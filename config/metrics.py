"""The metrics of a job, checked by the engine that will run them."""

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

from actors.errors import TocsinError
from config.document import Path, format_path
from config.errors import Problem
from config.settings import JobSettings


def engine_arguments(job: JobSettings, *, metrics: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the arguments of the anomaly detection engine of a job, by name.

    `metrics` replaces the job's own metrics (and leaves out their descriptions).
    """
    descriptions = [metric.describe or metric.when for metric in job.metrics]
    described = metrics is None and any(metric.describe is not None for metric in job.metrics)
    return {
        "name": job.name.replace("-", "_"),
        "metrics": [metric.when for metric in job.metrics] if metrics is None else list(metrics),
        "schema": job.row_schema,
        "time_column": job.time_column,
        "key_columns": job.key_columns,
        "window_size": job.window_size_ticks,
        "step": job.window_step_ticks,
        "garbage_size": job.engine.garbage_size,
        "round_time": job.engine.round_time,
        "nulls": job.engine.nulls,
        "anomaly_descriptions": descriptions if described else None,
    }


def check_metrics(job: JobSettings) -> list[tuple[Path, Problem]]:
    """Return what the engine refuses about the metrics, one problem for each faulty metric."""
    engine = _engine()
    problems: list[tuple[Path, Problem]] = []
    if engine is None:
        return problems
    for index, metric in enumerate(job.metrics):
        try:
            engine(**engine_arguments(job, metrics=[metric.when]))
        except TocsinError as error:
            path: Path = ("metrics", index)
            text = "\n".join(f"  {line}" for line in str(error).splitlines())
            problems.append((path, Problem(path=format_path(path), line=None, text=text.strip())))
    return problems


def _engine() -> Any:
    # The engine is imported when the first job is checked: reading settings in other places needs none of it.
    if importlib.util.find_spec("actors.engine") is None:
        return None
    return getattr(importlib.import_module("actors.engine"), "AnomalyDetectionEngine", None)

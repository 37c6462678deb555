"""Checks of sinks of one type that concern other settings of the job too."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from actors.templates import TemplateError, parse_template
from config.base import fault
from config.errors import Path
from config.service_sinks import AlertmanagerSinkSettings
from config.store_sinks import FILE_COLUMNS, ParquetSinkSettings

if TYPE_CHECKING:
    from config.settings import JobSettings

_STABLE_WORDS = ("job", "rule", "severity", "key", "start", "fired_at")
"""What stays the same while an episode lasts, besides key columns and labels."""


_OWN_LABELS = ("alertname", "finding")
"""Labels that alerts have besides those of the key."""


def label_name(column: str) -> str:
    """Return the label of an alert that a key column becomes."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", column)
    return f"_{name}" if name[:1].isdigit() else name


def check_alerts(job: "JobSettings") -> None:
    """Check that the alerts of an episode have one set of labels, and no two episodes at a time the same.

    Raises:
        SettingError: a label changes while an episode lasts, or a key column is no label of its own.
    """
    for index, sink in enumerate(job.sinks):
        if not isinstance(sink, AlertmanagerSinkSettings):
            continue
        names = [label_name(column) for column in job.all_key_columns]
        for place, (column, name) in enumerate(zip(job.all_key_columns, names, strict=True)):
            if name in _OWN_LABELS or name in names[:place]:
                text = f"{column!r} would be the label {name!r}, which another one is; name it otherwise"
                raise fault(_key_path(job, place), text)
        for path, text in _labels(job, index, sink):
            of_metric = path[0] == "metrics"
            _check_label(path, text, job.keys[int(path[1])] if of_metric else job.all_key_columns)


def check_files(job: "JobSettings") -> None:
    """Check that Parquet files have room for the columns of the key.

    Raises:
        SettingError: a key column is called as another one is.
    """
    if not any(isinstance(sink, ParquetSinkSettings) for sink in job.sinks):
        return
    for place, name in enumerate(job.all_key_columns):
        if name in FILE_COLUMNS:
            raise fault(
                _key_path(job, place), f"Parquet files have a column {name!r} of their own; name the column otherwise"
            )


def _key_path(job: "JobSettings", place: int) -> Path:
    """Return where one of all key columns is first named."""
    if place < len(job.key_columns):
        return "key", place
    name = job.all_key_columns[place]
    return next(("metrics", index, "key", key.index(name)) for index, key in enumerate(job.keys) if name in key)


def _labels(job: "JobSettings", index: int, sink: AlertmanagerSinkSettings) -> Iterator[tuple[Path, str]]:
    for number, metric in enumerate(job.metrics):
        if job.makes_episodes(metric) and sink.where.takes_rule(
            metric.severity, metric.id or metric.describe or metric.when
        ):
            yield from ((("metrics", number, "labels", name), text) for name, text in metric.labels.items())
    for number, detector in enumerate(job.detectors):
        # Which texts they have is known only when they are made.
        if job.makes_episodes(detector):
            yield from ((("detectors", number, "labels", name), text) for name, text in detector.labels.items())
    yield from ((("sinks", index, "labels", name), text) for name, text in sink.labels.items())


def _check_label(path: Path, text: str, key_columns: tuple[str, ...]) -> None:
    try:
        places = parse_template(text).places
    except TemplateError:
        # That is said of all texts.
        return
    for place in places:
        if place.name not in (*key_columns, *_STABLE_WORDS) and not place.name.startswith("labels."):
            raise fault(
                path,
                f"{place.name!r} changes while an episode lasts, and Alertmanager would take it for another alert; "
                "name key columns, or put it into a summary or an annotation",
            )

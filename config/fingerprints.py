"""What of a job's data its fingerprint leaves out, so that shards stay those of the same job."""

from typing import Any

from config.formats import DIALECT
from config.rules import ABOUT_KEYS
from config.windows import forget_later_settings

_SINCE_THEN: tuple[tuple[str, Any], ...] = (
    ("time_columns", []),
    ("quoted_line_ends", False),
    ("types", {}),
    ("comments", None),
)


def forget_what_decides_nothing(data: dict[str, Any]) -> None:
    """Take out of a job's data what is said of its rules, and how its sinks deliver."""
    for rule in (*data["metrics"], *data["detectors"]):
        for name in ABOUT_KEYS:
            rule.pop(name, None)
    if not data["let"]:
        # No part had a name when the first shards were made.
        del data["let"]
    for metric in data["metrics"]:
        # All metrics had those of the job when the first shards were made.
        for name in ("window", "key"):
            if metric[name] is None:
                del metric[name]
    for detector in data["detectors"]:
        # Nothing that detectors find had episodes when the first shards were made.
        for name in ("for", "keep_firing"):
            if detector[name] is None:
                del detector[name]
    for window in (data["window"], *(metric.get("window") for metric in data["metrics"])):
        forget_later_settings(window)
    for sink in data["sinks"]:
        for name in ("name", "policy", "where", "headers", "secret", "body", "timeout", "ca"):
            sink.pop(name, None)
        if sink["only"] is None:
            del sink["only"]


def forget_usual_dialect(form: dict[str, Any]) -> None:
    """Take out of a format what was not there when the first shards were made, as far as it says what was so then."""
    for name, usual in (*DIALECT.items(), *_SINCE_THEN):
        if form.get(name, "") == usual:
            del form[name]
    if "timezone" not in form:
        form.pop("repeated_hour", None)

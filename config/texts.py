"""Texts about metrics and detectors, templates all of them: which names they may use, and what is wrong with them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from actors.templates import TemplateError, bare, parse_template
from config.base import fault, suggest
from config.detectors import detail_names
from config.errors import Path, SettingError
from config.form import EPISODE_WORDS, RULE_WORDS, WINDOW_WORDS
from config.rules import RuleSettings

if TYPE_CHECKING:
    from config.settings import JobSettings

_OF_SINKS = ("id", "kind", "summary", "runbook")
"""Words for the texts of sinks alone: what a record gets last."""

_OF_NOTIFICATIONS = ("group", "firing", "resolved", "repeated", "notice", "held", "items")
"""Words for the texts of sinks that follow a policy."""


def text_faults(job: "JobSettings") -> list[SettingError]:
    """Return what is wrong with the texts and ids of a job's rules, and with the texts of its sinks."""
    faults = _id_faults(job)
    for name in job.let:
        if name.lower() in (*RULE_WORDS, *EPISODE_WORDS, "window", "labels"):
            faults.append(fault(("let", name), f"{name!r} means something else in texts; name the part otherwise"))
    for path, text in _templates(job):
        try:
            template = parse_template(text)
        except TemplateError as error:
            faults.append(fault(path, str(error)))
            continue
        known = {bare(name): name for name in _names(job, path)}
        for place in template.places:
            # What has a bracket or a sign in it is part of a metric: `value_faults` looks at it.
            if place.name not in known and re.fullmatch(r"[\w.]+", place.name):
                names = sorted(known.values())
                faults.append(fault(path, f"nothing is called {place.name!r} here; {suggest(place.name, names)}"))
    return faults


def value_faults(job: "JobSettings", parts: Callable[[], Sequence[Sequence[str]]]) -> list[SettingError]:
    """Return which names in texts no anomaly has a value of; `parts` gives the parts of each metric, if it is needed.

    A name of a detector is left alone where its verdicts have values of columns.
    """
    faults = []
    for path, text in _templates(job):
        known = {bare(name) for name in _names(job, path)} - {bare(name) for name in _mere_columns(job, path)}
        unknown = [place.name for place in parse_template(text).places if place.name not in known]
        if not unknown or _tells_columns(job, path):
            continue
        of_rule = _parts_at(job, path, parts())
        for name in unknown:
            if name not in {bare(part) for part in of_rule}:
                way = f"name a key column or one of {', '.join(of_rule)}" if of_rule else "name a key column"
                faults.append(
                    fault(path, f"{name!r} is neither part of the key nor of the metric, so it has no value; {way}")
                )
    return faults


def _mere_columns(job: "JobSettings", path: Path) -> set[str]:
    """Return the columns and named parts that records of what a text is about have no field of."""
    if path[0] == "sinks":
        key = job.all_key_columns
    else:
        key = job.keys[int(path[1])] if path[0] == "metrics" else job.key_columns
    return {*job.row_schema.names, *job.let} - {*key, *RULE_WORDS, *EPISODE_WORDS, *WINDOW_WORDS, *_details(job, path)}


def _details(job: "JobSettings", path: Path) -> set[str]:
    """Return the names of what detectors tell of the anomalies that a text is about."""
    if path[0] == "metrics":
        return set()
    about = job.detectors if path[0] == "sinks" else (job.detectors[int(path[1])],)
    return {name for detector in about for name in detail_names(detector.type)}


def _tells_columns(job: "JobSettings", path: Path) -> bool:
    """Return whether what a text is about may tell the values of any columns."""
    if path[0] == "metrics":
        return False
    about = job.detectors if path[0] == "sinks" else (job.detectors[int(path[1])],)
    return any(detector.type == "rule" for detector in about)


def _parts_at(job: "JobSettings", path: Path, parts: Sequence[Sequence[str]]) -> list[str]:
    """Return the parts of the metrics that a text is about."""
    if path[0] == "detectors":
        return []
    chosen = parts if path[0] == "sinks" else parts[int(path[1]) : int(path[1]) + 1]
    return list(dict.fromkeys(part for one in chosen for part in one))


def _id_faults(job: "JobSettings") -> list[SettingError]:
    seen: set[str] = set()
    faults = []
    for path, rule in _rules(job):
        if rule.id is not None and rule.id in seen:
            faults.append(fault((*path, "id"), f"{rule.id!r} is the id of another metric or detector"))
        seen.add(rule.id or "")
    return faults


def _rules(job: "JobSettings") -> "Iterator[tuple[Path, RuleSettings]]":
    for name, rules in (("metrics", job.metrics), ("detectors", job.detectors)):
        for index, rule in enumerate(rules):
            yield (name, index), rule


def _templates(job: "JobSettings") -> Iterator[tuple[Path, str]]:
    for path, rule in _rules(job):
        for name in ("describe", "summary", "runbook"):
            if (text := getattr(rule, name, None)) is not None:
                yield (*path, name), text
        yield from (((*path, "labels", name), text) for name, text in rule.labels.items())
    for index, sink in enumerate(job.sinks):
        yield from _texts_of(("sinks", index), sink.texts)


def _texts_of(path: Path, data: object) -> Iterator[tuple[Path, str]]:
    if isinstance(data, str):
        yield path, data
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from _texts_of((*path, str(key)), value)
    elif isinstance(data, list | tuple):
        for index, value in enumerate(data):
            yield from _texts_of((*path, index), value)


def _names(job: "JobSettings", path: Path) -> Iterator[str]:
    """Give the names that a template at a path may use, besides parts of metrics."""
    is_body = path[0] == "sinks"
    unknown = set() if is_body else {*_OF_SINKS, path[2]}
    if path[2] == "describe":
        unknown.add("metric")
    yield from (*job.row_schema.names, *job.let, *(name for name in RULE_WORDS if name not in unknown))
    yield from (*EPISODE_WORDS, *WINDOW_WORDS, *sorted(_details(job, path)))
    if is_body and job.follows_policy(job.sinks[int(path[1])]):
        yield from _OF_NOTIFICATIONS
    if path[2] == "labels":
        # Labels are read first.
        return
    for place, rule in _rules(job):
        if is_body or place == path[:2]:
            yield from (f"labels.{name}" for name in rule.labels)

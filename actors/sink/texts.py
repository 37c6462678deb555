"""What people have said of a metric or detector, with the values of one anomaly or episode in it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from actors.durations import show_duration
from actors.templates import Template, TemplateError, Values, bare, parse_template
from config.form import EPISODE_WORDS, JobForm, RuleForm, rules_of

_EPISODE_FIELDS = frozenset(EPISODE_WORDS) - {"duration"}


@lru_cache(maxsize=1024)
def template_of(text: str) -> Template:
    """Return a text as a template; a job of before may have one that is none, which stands for itself."""
    try:
        return parse_template(text)
    except TemplateError:
        return Template((text,))


def described(job: JobForm) -> dict[int, Template]:
    """Return, by the positions of metrics, the texts that have values in them."""
    found = {}
    for number, metric in enumerate(job.metrics):
        template = None if metric.describe is None else template_of(metric.describe)
        if template is not None and template.parts != (metric.describe,):
            found[number] = template
    return found


def with_texts(job: JobForm, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return records with what the job says of their metrics and detectors, as far as it says anything."""
    templates = described(job)
    if not templates and not any(map(_says_anything, (*job.metrics, *job.detectors))):
        return list(records)
    return [_with_texts(job, templates.get(record.get("type", -1)), record) for record in records]


def _with_texts(job: JobForm, template: Template | None, record: dict[str, Any]) -> dict[str, Any]:
    values = values_of(job, record)
    text = {} if template is None else {"metric": template.render(values)}
    rule = _rule_of(job, record)
    return {**record, **text, **({} if rule is None else _rule_fields(rule, values))}


def _says_anything(rule: RuleForm) -> bool:
    return bool(rule.id or rule.severity or rule.labels or rule.summary or rule.runbook)


def _rule_fields(rule: RuleForm, values: Values) -> dict[str, Any]:
    """Return what is said of a metric or detector, as far as anything is."""
    found = {
        "rule": rule.id,
        "severity": rule.severity,
        "labels": {name: template_of(text).render(values) for name, text in rule.labels.items()},
        "summary": None if rule.summary is None else template_of(rule.summary).render(values),
        "runbook": None if rule.runbook is None else template_of(rule.runbook).render(values),
    }
    return {name: value for name, value in found.items() if value}


def values_of(job: JobForm, record: Mapping[str, Any]) -> Values:
    """Return what gives the values of names in the texts about a record, `None` for those that it has none of."""
    detail = record.get("detail")
    parts = detail if isinstance(detail, Mapping) else {}
    episode, window, values = (_mapping(parts.get(name)) for name in ("episode", "window", "values"))
    key = _mapping(record.get("key"))
    rule = _rule_of(job, record)

    def value(name: str) -> Any:
        if name in key:
            return "NULL" if key[name] is None else key[name]
        for text, found in values.items():
            if bare(text) == name:
                return found
        if name in _EPISODE_FIELDS:
            return episode.get(name)
        if name == "duration":
            return _duration(episode or window)
        if name.startswith("window."):
            return window.get(name.removeprefix("window."))
        if name.startswith("labels."):
            label = "" if rule is None else rule.labels.get(name.removeprefix("labels."), "")
            # A label has no labels in it, so this ends; a job of before may have one that has.
            return template_of(label).render(lambda one: None if one.startswith("labels.") else value(one)) or None
        if name == "rule":
            return None if rule is None else rule.id
        if name == "severity":
            return None if rule is None else rule.severity
        if name == "key":
            return ", ".join("NULL" if one is None else str(one) for one in key.values()) or None
        if name == "job":
            return job.name
        # What a detector tells besides has names of its own (`GroupSpec.detail_names`).
        found = record.get(name) if name in record else parts.get(name)
        return None if isinstance(found, Mapping) and name not in record else found

    return value


def _rule_of(job: JobForm, record: Mapping[str, Any]) -> RuleForm | None:
    """Return the metric or detector of a record, `None` where it has none: a key that is absent, say."""
    number = record.get("type")
    if not isinstance(number, int):
        return None
    if number < len(job.metrics):
        return job.metrics[number]
    if not any(map(_says_anything, job.detectors)):
        # To know which of them it is, detectors have to be made.
        return None
    rules = rules_of(job)
    return rules[number] if number < len(rules) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _duration(parts: Mapping[str, Any]) -> str | None:
    """Return how long an episode has lasted, up to its last row that was true while it goes on, or a window."""
    start, end = (_moment(parts.get(name)) for name in ("start", "end"))
    end = end or _moment(parts.get("last_true"))
    if start is None or end is None:
        return None
    length = end - start
    return show_duration(((length.days * 86_400 + length.seconds) * 1_000_000 + length.microseconds) * 1000)


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None

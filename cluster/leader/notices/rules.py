"""What a job says of the notices of one of its sinks, and what is to be known of an episode for that. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from actors.sink.choosing import Chooser
from actors.sink.lines import anomaly_records, plain_key
from actors.sink.protocol import SinkRecord
from actors.sink.texts import template_of, values_of
from config.form import rules_of
from config.notice_checks import inhibiting_columns
from config.notifications import ABSENT, LABEL, NotificationSettings
from config.settings import JobSettings
from config.sinks import SinkBase
from raft.records import SilenceRecord

Group = tuple[tuple[str, str], ...]
"""Name and value of all that the episodes of a group have in common."""

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What of an episode decides who is told of it."""

    metric: str
    """`id` of the metric, or its text."""

    severity: str
    key: Mapping[str, str]
    """Values of the key columns, as they are printed."""

    labels: Mapping[str, str]
    group: Group
    is_wanted: bool
    """Whether the sink takes it; others are known for what they inhibit."""

    inhibitors: tuple[tuple[int, tuple[str, ...], Key], ...]
    """What it is inhibited by: a type, some columns, and its values of these."""

    inhibits: tuple[tuple[int, tuple[str, ...], Key], ...]
    """What it inhibits by: its type, some columns, and its values of these."""


class NoticeRules:
    """What one sink of a job wants of its notices."""

    def __init__(self, job: JobSettings, sink: SinkBase) -> None:
        assert job.notifications is not None, "the sink follows a policy"
        self.settings: NotificationSettings = job.notifications
        self.sink = sink.identity
        self.job_name = job.name
        self._job = job
        self._chooser = Chooser(job, sink.where)
        self._rules = rules_of(job)
        types: dict[str, list[int]] = {ABSENT: [len(self._rules)]}
        for number, rule in enumerate(job.rules):
            if rule.id is not None:
                types.setdefault(rule.id, []).append(number)
        self._inhibited_by = {
            number: tuple(
                (by, tuple(inhibiting_columns(job, rule, one.id) if one.equal is None else one.equal))
                for one in rule.inhibited_by
                for by in types[one.id]
            )
            for number, rule in enumerate(job.rules)
        }
        self._inhibiting: dict[int, set[tuple[str, ...]]] = {}
        for about in self._inhibited_by.values():
            for kind, equal in about:
                self._inhibiting.setdefault(kind, set()).add(equal)

    def facts(self, one: SinkRecord) -> Facts:
        """Return what is to be known of the episode of a notice."""
        rule = self._rules[one.type] if one.type < len(self._rules) else None
        kind = min(one.type, len(self._rules))
        key = {name: "NULL" if value is None else str(value) for name, value in plain_key(self._job, one).items()}
        labels: dict[str, str] = {}
        if rule is not None and rule.labels:
            values = values_of(self._job, anomaly_records(self._job, [one])[0])
            labels = {name: str(template_of(text).render(values)) for name, text in rule.labels.items()}
        metric = one.metric if rule is None else rule.id or one.metric
        severity = (rule and rule.severity) or ""
        known = {**key, "metric": metric, "severity": severity, "job": self._job.name}
        known |= {f"{LABEL}{name}": text for name, text in labels.items()}
        names = self.settings.group_by or ("metric", *key)
        return Facts(
            metric=metric,
            severity=severity,
            key=key,
            labels=labels,
            group=tuple((name, known.get(name, "")) for name in names),
            is_wanted=self._chooser.takes(one),
            inhibitors=tuple(
                (by, equal, tuple(key[name] for name in equal)) for by, equal in self._inhibited_by.get(kind, ())
            ),
            inhibits=tuple(
                (kind, equal, tuple(key[name] for name in equal)) for equal in sorted(self._inhibiting.get(kind, ()))
            ),
        )


def silences_now(silences: Mapping[str, SilenceRecord], job: str, now_us: int) -> tuple[str, ...]:
    """Return the ids of the silences of a job that hold at a time."""
    return tuple(
        sorted(
            name for name, one in silences.items() if one.start_us <= now_us < one.end_us and fnmatchcase(job, one.job)
        )
    )


def fits_silence(one: SilenceRecord, facts: Facts) -> bool:
    """Return whether an episode is one of those that a silence is about."""
    if one.severity and facts.severity not in one.severity:
        return False
    if one.metric and not _fits_any(facts.metric, one.metric):
        return False
    return _fit_all(facts.key, one.key) and _fit_all(facts.labels, one.labels)


def _fits_any(text: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _fit_all(values: Mapping[str, str], wanted: Sequence[tuple[str, str]]) -> bool:
    """Return whether each name that is wanted has a value that fits one of the patterns of that name."""
    fitting = {name for name, pattern in wanted if name in values and fnmatchcase(values[name], pattern)}
    return all(name in fitting for name, _ in wanted)

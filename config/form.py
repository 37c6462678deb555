"""What of a job's settings is needed to show what it has found, read without checking all of them.

`JobSettings` have all of it. Who only asks a cluster reads it from the bytes that the group keeps, which were checked
when the job was submitted; that takes a hundredth of the time, and no pydantic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import msgpack

from actors.model import Schema

RULE_WORDS = ("job", "id", "kind", "time", "metric", "type", "rule", "severity", "summary", "runbook", "key")
EPISODE_WORDS = ("state", "since", "start", "fired_at", "end", "last_true", "count", "peak", "duration")
WINDOW_WORDS = ("window.start", "window.end", "window.rows")
"""Names that texts about metrics and detectors may use, besides columns, labels and parts of metrics."""


class RuleForm(Protocol):
    """What is said of a metric or detector."""

    @property
    def id(self) -> str | None:
        """Name for programs."""

    @property
    def severity(self) -> str | None:
        """How bad it is."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels for receivers, templates."""

    @property
    def summary(self) -> str | None:
        """A sentence for people, a template."""

    @property
    def runbook(self) -> str | None:
        """Where it is written what to do, a template."""


class MetricForm(RuleForm, Protocol):
    """How a metric is named."""

    @property
    def when(self) -> str:
        """Its condition."""

    @property
    def describe(self) -> str | None:
        """Text that replaces the condition in the output, a template."""

    @property
    def key(self) -> Sequence[str] | None:
        """Names of the key columns that it has for itself; `None` means the job's."""


class JobForm(Protocol):
    """A job as far as its anomalies are shown."""

    @property
    def name(self) -> str:
        """Name of the job."""

    @property
    def row_schema(self) -> Schema:
        """Columns of a row."""

    @property
    def time_column(self) -> str:
        """Name of the time column, spelt as in the schema."""

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Names of the key columns, spelt as in the schema."""

    @property
    def all_key_columns(self) -> tuple[str, ...]:
        """Names of the columns of all keys: the job's, then what metrics have besides. Anomalies have all of them."""

    @property
    def metrics(self) -> Sequence[MetricForm]:
        """Its metrics; detectors follow them in the count of types."""

    @property
    def detectors(self) -> Sequence[RuleForm]:
        """Its detectors."""

    @property
    def detector_type_counts(self) -> Sequence[int]:
        """Types of anomalies that each detector raises: one that watches several columns may have one for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRule:
    """What stored settings say of a metric or detector."""

    id: str | None
    severity: str | None
    labels: Mapping[str, str]
    summary: str | None
    runbook: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMetric(StoredRule):
    """A metric of stored settings."""

    when: str
    describe: str | None
    key: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredForm:
    """The form of a job whose settings are stored."""

    name: str
    row_schema: Schema
    time_column: str
    key_columns: tuple[str, ...]
    all_key_columns: tuple[str, ...]
    metrics: tuple[StoredMetric, ...]
    detectors: tuple[StoredRule, ...]
    spec: bytes = field(repr=False)
    """The settings that were stored."""

    @property
    def detector_type_counts(self) -> Sequence[int]:
        """Types of anomalies that each detector raises, for which alone the detectors are made."""
        return _type_counts(self.spec)


def stored_form(spec: bytes) -> StoredForm:
    """Return the form of a job from what `JobSettings.to_bytes` wrote."""
    job = msgpack.unpackb(spec)["job"]
    schema = Schema.from_mapping(job["schema"])
    keys = {index: one["key"] for index, one in enumerate(job["metrics"]) if one.get("key") is not None}
    own = {index: tuple(schema[name].name for name in key) for index, key in keys.items()}
    key_columns = tuple(schema[name].name for name in job["key"])
    return StoredForm(
        name=job["job"],
        row_schema=schema,
        time_column=schema[job["time"]].name,
        key_columns=key_columns,
        all_key_columns=tuple(dict.fromkeys((*key_columns, *(name for key in own.values() for name in key)))),
        metrics=tuple(
            StoredMetric(when=one["when"], describe=one.get("describe"), key=own.get(index), **_said(one))
            for index, one in enumerate(job["metrics"])
        ),
        detectors=tuple(StoredRule(**_said(one)) for one in job["detectors"]),
        spec=spec,
    )


def rules_of(job: JobForm) -> tuple[RuleForm, ...]:
    """Return by type of anomaly the metric or detector that raises it; none raises what comes after them."""
    if not job.detectors:
        return tuple(job.metrics)
    pairs = zip(job.detectors, job.detector_type_counts, strict=True)
    return (*job.metrics, *(rule for rule, count in pairs for _ in range(count)))


@lru_cache(maxsize=64)
def _type_counts(spec: bytes) -> tuple[int, ...]:
    from config.settings import JobSettings

    return JobSettings.from_bytes(spec).detector_type_counts


def key_columns_of(job: JobForm, kind: int) -> tuple[str, ...]:
    """Return the key columns of the anomalies of a metric or detector, by its position in the output."""
    key = job.metrics[kind].key if 0 <= kind < len(job.metrics) else None
    return job.key_columns if key is None else tuple(job.row_schema[name].name for name in key)


def _said(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stored settings say of a rule; those of before say nothing."""
    found = {name: rule.get(name) for name in ("id", "severity", "summary", "runbook")}
    return found | {"labels": rule.get("labels") or {}}

"""What of a job's settings is needed to show what it has found, read without checking all of them.

`JobSettings` have all of it. Who only asks a cluster reads it from the bytes that the group keeps, which were checked
when the job was submitted; that takes a hundredth of the time, and no pydantic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgpack

from actors.model import Schema


class MetricForm(Protocol):
    """How a metric is named."""

    @property
    def when(self) -> str:
        """Its condition."""

    @property
    def describe(self) -> str | None:
        """Text that replaces the condition in the output."""


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
    def metrics(self) -> Sequence[MetricForm]:
        """Its metrics; detectors follow them in the count of types."""

    @property
    def detectors(self) -> Sequence[object]:
        """Its detectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMetric:
    """A metric of stored settings."""

    when: str
    describe: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredForm:
    """The form of a job whose settings are stored."""

    name: str
    row_schema: Schema
    time_column: str
    key_columns: tuple[str, ...]
    metrics: tuple[StoredMetric, ...]
    detectors: tuple[object, ...]


def stored_form(spec: bytes) -> StoredForm:
    """Return the form of a job from what `JobSettings.to_bytes` wrote."""
    job = msgpack.unpackb(spec)["job"]
    schema = Schema.from_mapping(job["schema"])
    return StoredForm(
        name=job["job"],
        row_schema=schema,
        time_column=schema[job["time"]].name,
        key_columns=tuple(schema[name].name for name in job["key"]),
        metrics=tuple(StoredMetric(when=one["when"], describe=one.get("describe")) for one in job["metrics"]),
        detectors=tuple(job["detectors"]),
    )

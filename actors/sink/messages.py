"""Anomalies and episodes as messages: records with an id in front, or what a job's template makes of them.

The id is `JOB/SPLIT-OFFSET-ORDINAL`, which no other record of any job has. Receivers know by it what they have already.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actors.sink.lines import anomaly_records
from actors.sink.protocol import SinkRecord
from actors.sink.texts import template_of, values_of
from actors.templates import Template, Values
from config.settings import JobSettings


def identified_records(job: JobSettings, anomalies: Sequence[SinkRecord]) -> list[dict[str, Any]]:
    """Return anomalies as records that begin with `id`, `job`, `kind` and, of an episode, its `state`."""
    records = anomaly_records(job, anomalies)
    return [_identified(job, anomaly, record) for anomaly, record in zip(anomalies, records, strict=True)]


def _identified(job: JobSettings, anomaly: SinkRecord, record: Mapping[str, Any]) -> dict[str, Any]:
    place = f"{job.name}/{anomaly.id.split}-{anomaly.id.offset}-{anomaly.id.ordinal}"
    detail = record.get("detail")
    episode = detail.get("episode") if isinstance(detail, Mapping) else None
    kind = {"kind": "anomaly"} if not isinstance(episode, Mapping) else {"kind": "episode", "state": episode["state"]}
    return {"id": place, "job": job.name, **kind, **record}


class Contents:
    """Makes what is sent of records: `body` with its texts filled in, or without one the record itself."""

    def __init__(self, job: JobSettings, body: Mapping[str, Any] | None) -> None:
        self._job = job
        self._body = None if body is None else _compiled(body)

    def of(self, record: Mapping[str, Any], values: Values | None = None) -> Mapping[str, Any]:
        """Return what is sent of a record; `values` give those of names where it is not one of an anomaly."""
        if self._body is None:
            return record
        filled: Mapping[str, Any] = _filled(self._body, values or values_of(self._job, record))
        return filled

    def json_of(self, record: Mapping[str, Any], values: Values | None = None) -> bytes:
        """Return what is sent of a record as JSON."""
        return json.dumps(self.of(record, values), ensure_ascii=False, default=str).encode("utf-8", "replace")


def _compiled(data: Any) -> Any:
    if isinstance(data, str):
        return template_of(data)
    if isinstance(data, Mapping):
        return {name: _compiled(value) for name, value in data.items()}
    return [_compiled(one) for one in data] if isinstance(data, list | tuple) else data


def _filled(data: Any, values: Callable[[str], Any]) -> Any:
    if isinstance(data, Mapping):
        return {name: _filled(value, values) for name, value in data.items()}
    if isinstance(data, list):
        return [_filled(one, values) for one in data]
    return data.value(values) if isinstance(data, Template) else data

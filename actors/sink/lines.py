"""Anomalies as programs get them: rows of columns, and records for JSON. There is one form of each for all outputs.

Rows have the time column, the key columns, `type`, `metric`, `detail`, and where the anomaly comes from. Records have
the time as `time`, whatever its column is called, the key columns as an object `key`, and `detail` as an object: sinks
write them, commands print them, and events of anomalies carry them. Times are ISO text with all their digits, also
those that a detail names.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from actors.model import AnomalyId, ColumnType
from actors.sink.texts import described, values_of, with_texts
from actors.time_text import time_text
from config.form import JobForm, key_columns_of

_TIMES = {
    None: ("learned_since", "last", "tick"),
    "window": ("start", "end"),
    "episode": ("since", "start", "fired_at", "end", "last_true"),
}
"""What is a time in a detail: below which of its keys, under which names."""


ANOMALY = "anomaly"
"""Second part of the type of an anomaly's event; the first is the job's name, the third its position."""


class Raised(Protocol):
    """An anomaly, as a partition keeps it or as a sink gets it."""

    @property
    def id(self) -> AnomalyId:
        """Where it comes from."""

    @property
    def time(self) -> int | None:
        """Ticks of the job's time column."""

    @property
    def key(self) -> tuple[Any, ...]:
        """Values of the key columns, in order."""

    @property
    def type(self) -> int:
        """Position of the metric or detector."""

    @property
    def metric(self) -> str:
        """Text of the metric or detector."""

    @property
    def detail(self) -> str | None:
        """JSON text with what is known of it."""


def column_names(job: JobForm) -> list[str]:
    """Return the names of the columns of a job's anomalies, in order."""
    names = [job.time_column, *job.all_key_columns, "type", "metric", "detail", "split", "offset", "ordinal"]
    return list(dict.fromkeys(names))


def anomaly_records(job: JobForm, anomalies: Sequence[Raised]) -> list[dict[str, Any]]:
    """Return anomalies as plain data for JSON, with what the job says of their metrics and detectors.

    That is as much as there is of `rule`, `severity`, `labels`, `summary` and `runbook`.
    """
    return with_texts(job, [as_record(job, row) for row in _plain_rows(job, anomalies, shown_detail)])


def as_record(job: JobForm, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row, or some of its columns, as plain data for JSON."""
    time = {"time": row[job.time_column]} if job.time_column in row else {}
    return time | with_key(job, {name: value for name, value in row.items() if name != job.time_column})


def with_key(job: JobForm, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with the columns of its key, as far as it has them, as one object, which comes first."""
    kind = record.get("type")
    own = job.all_key_columns if not isinstance(kind, int) else key_columns_of(job, kind)
    key = {name: record[name] for name in own if name in record}
    others = set(job.all_key_columns)
    rest = {name: value for name, value in record.items() if name not in others}
    # Who has chosen columns may want none of the key.
    return ({"key": key} if key or not own else {}) | rest


def anomaly_rows(
    job: JobForm, anomalies: Sequence[Raised], detail: Callable[[ColumnType, str | None], Any] | None = None
) -> list[dict[str, Any]]:
    """Return anomalies as rows of plain values, with the details as data, or as `detail` makes them."""
    rows = _plain_rows(job, anomalies, shown_detail if detail is None else detail)
    if described(job):
        for row, text in zip(rows, metric_texts(job, anomalies), strict=True):
            row["metric"] = text
    return rows


def _plain_rows(
    job: JobForm, anomalies: Sequence[Raised], shown: Callable[[ColumnType, str | None], Any]
) -> list[dict[str, Any]]:
    """Return anomalies as rows whose metrics have the texts that are stored."""
    schema = job.row_schema
    time_kind = schema[job.time_column].type
    keys = [(name, schema[name].type) for name in job.all_key_columns]
    return [
        {
            job.time_column: time_text(time_kind, one.time),
            **{name: plain_value(kind, value) for (name, kind), value in zip(keys, one.key, strict=True)},
            "type": one.type,
            "metric": one.metric,
            "detail": shown(time_kind, one.detail),
            "split": one.id.split,
            "offset": one.id.offset,
            "ordinal": one.id.ordinal,
        }
        for one in anomalies
    ]


def metric_texts(job: JobForm, anomalies: Sequence[Raised]) -> list[str]:
    """Return the texts of the metrics of anomalies, with the values that they ask for."""
    templates = described(job)
    kind = job.row_schema[job.time_column].type
    found = []
    for one in anomalies:
        template = templates.get(one.type)
        if template is None:
            found.append(one.metric)
            continue
        key = plain_key(job, one)
        record = {"time": time_text(kind, one.time), "key": key, "type": one.type}
        values = values_of(job, record | {"detail": shown_detail(kind, one.detail)})
        found.append(template.render(values))
    return found


def plain_key(job: JobForm, one: Raised) -> dict[str, Any]:
    """Return the key of an anomaly as JSON shows it: the columns that its metric or detector is computed per."""
    schema, values = job.row_schema, dict(zip(job.all_key_columns, one.key, strict=True))
    return {name: plain_value(schema[name].type, values[name]) for name in key_columns_of(job, one.type)}


def detail_text(kind: ColumnType, text: str | None) -> str | None:
    """Return a detail as text for a cell, with ISO text for the times in it."""
    detail = shown_detail(kind, text)
    return json.dumps(detail, ensure_ascii=False) if isinstance(detail, dict) else text


def shown_detail(kind: ColumnType, text: str | None) -> Any:
    """Return the data of a detail with ISO text for the times in it; what has no date and time there stays a number."""
    detail = json_data(text)
    if not isinstance(detail, dict):
        return detail
    for part, names in _TIMES.items():
        holder = detail if part is None else detail.get(part)
        if not isinstance(holder, dict):
            continue
        for name in names:
            ticks = holder.get(name)
            if type(ticks) is int:
                shown = time_text(kind, ticks)
                holder[name] = ticks if shown is None else shown
    return detail


def json_data(text: str | None) -> Any:
    """Return what JSON text says, or the text when it is none."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        # A detector may use words.
        return text


def plain_value(kind: ColumnType, value: Any) -> Any:
    """Return a value of a column as JSON shows it: times as ISO text."""
    if value is None:
        return None
    if kind.is_temporal:
        return time_text(kind, value)
    return float(value) if kind is ColumnType.DOUBLE else value

"""Anomalies as programs get them: rows of columns, and records for JSON. There is one form of each for all outputs.

Rows have the time column, the key columns, `type`, `metric`, `detail`, and where the anomaly comes from. Records have
the time as `time`, whatever its column is called, the key columns as an object `key`, and `detail` as an object: sinks
write them, commands print them, and events of anomalies carry them. Times are ISO text with all their digits, also
those that a detail names.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import polars as pl

from actors.frames import polars_schema, present_times, time_texts, times_as_text
from actors.json_lines import json_line as json_line
from actors.model import AnomalyId, ColumnType
from config.settings import JobSettings

_TIMES = {
    None: ("learned_since", "last", "tick"),
    "window": ("start", "end"),
    "episode": ("start", "fired_at", "end", "last_true"),
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


def anomaly_frame(job: JobSettings, anomalies: Sequence[Raised]) -> pl.DataFrame:
    """Return anomalies as the output table: time, key columns, type, metric, detail, and where they come from."""
    schema = job.row_schema
    types = polars_schema(schema)
    keys = {
        name: pl.Series([anomaly.key[i] for anomaly in anomalies], dtype=types[name])
        for i, name in enumerate(job.key_columns)
    }
    details = shown_details(schema[job.time_column].type, [anomaly.detail for anomaly in anomalies])
    frame = pl.DataFrame(
        {
            job.time_column: pl.Series([anomaly.time for anomaly in anomalies], dtype=pl.Int64),
            **keys,
            "type": pl.Series([anomaly.type for anomaly in anomalies], dtype=pl.Int32),
            "metric": pl.Series([anomaly.metric for anomaly in anomalies], dtype=pl.String),
            "detail": pl.Series(details, dtype=pl.String),
            "split": pl.Series([anomaly.id.split for anomaly in anomalies], dtype=pl.Int64),
            "offset": pl.Series([anomaly.id.offset for anomaly in anomalies], dtype=pl.Int64),
            "ordinal": pl.Series([anomaly.id.ordinal for anomaly in anomalies], dtype=pl.Int64),
        }
    )
    return present_times(schema, frame, months_as_text=True)


def shown_details(kind: ColumnType, details: Sequence[str | None]) -> list[str | None]:
    """Return details with ISO text for the times in them; what has no date and time there stays a number."""
    found = {index: json_data(text) for index, text in enumerate(details) if text is not None}
    places = [
        (holder, name)
        for detail in found.values()
        if isinstance(detail, dict)
        for part, names in _TIMES.items()
        if isinstance(holder := detail if part is None else detail.get(part), dict)
        for name in names
        if type(holder.get(name)) is int and -(1 << 63) <= holder[name] < 1 << 63
    ]
    texts = times_as_text(kind, [holder[name] for holder, name in places])
    for (holder, name), text in zip(places, texts, strict=True):
        holder[name] = holder[name] if text is None else text
    return [
        json.dumps(found[index], ensure_ascii=False) if isinstance(found.get(index), dict) else text
        for index, text in enumerate(details)
    ]


def anomaly_records(job: JobSettings, frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of the output table, or of some of its columns, as plain data for JSON."""
    found = []
    for record in json_records(frame, ("detail",)):
        time = {"time": record.pop(job.time_column)} if job.time_column in record else {}
        found.append(time | with_key(job, record))
    return found


def with_key(job: JobSettings, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with the key columns that it has as one object, which comes first."""
    key = {name: record[name] for name in job.key_columns if name in record}
    rest = {name: value for name, value in record.items() if name not in key}
    # Who has chosen columns may want none of the key.
    return ({"key": key} if key or not job.key_columns else {}) | rest


def raised_records(job: JobSettings, raised: pl.DataFrame) -> list[dict[str, Any]]:
    """Return what a partition has just raised, in physical columns, likewise; where it comes from is left out."""
    schema = job.row_schema
    details = shown_details(schema[job.time_column].type, raised["detail"].to_list())
    chosen = raised.select(job.time_column, *job.key_columns, "type", "metric")
    frame = chosen.with_columns(pl.Series("detail", details, dtype=pl.String))
    return anomaly_records(job, present_times(schema, frame, months_as_text=True))


def json_records(frame: pl.DataFrame, json_columns: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of a frame as plain data for JSON: times as text, and columns of JSON text as values."""
    records = time_texts(frame).to_dicts()
    for record in records:
        record |= {name: json_data(record[name]) for name in json_columns if name in record}
    return records


def json_data(text: str | None) -> Any:
    """Return what JSON text says, or the text where it says nothing."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        # A detector may use words.
        return text

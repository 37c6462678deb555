"""Anomalies as a frame: the columns of `actors.sink.lines`, with dates and times in the types of Polars."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from actors.frames import polars_schema, present_times, time_texts
from actors.sink.lines import Raised, as_record, detail_text, json_data, metric_texts
from actors.sink.texts import with_texts
from config.form import JobForm


def anomaly_frame(job: JobForm, anomalies: Sequence[Raised]) -> pl.DataFrame:
    """Return anomalies as the output table: time, key columns, type, metric, detail, and where they come from."""
    schema = job.row_schema
    types = polars_schema(schema)
    time_kind = schema[job.time_column].type
    keys = {
        name: pl.Series([anomaly.key[i] for anomaly in anomalies], dtype=types[name])
        for i, name in enumerate(job.all_key_columns)
    }
    frame = pl.DataFrame(
        {
            job.time_column: pl.Series([anomaly.time for anomaly in anomalies], dtype=pl.Int64),
            **keys,
            "type": pl.Series([anomaly.type for anomaly in anomalies], dtype=pl.Int32),
            "metric": pl.Series(metric_texts(job, anomalies), dtype=pl.String),
            "detail": pl.Series([detail_text(time_kind, one.detail) for one in anomalies], dtype=pl.String),
            "split": pl.Series([anomaly.id.split for anomaly in anomalies], dtype=pl.Int64),
            "offset": pl.Series([anomaly.id.offset for anomaly in anomalies], dtype=pl.Int64),
            "ordinal": pl.Series([anomaly.id.ordinal for anomaly in anomalies], dtype=pl.Int64),
        }
    )
    return present_times(schema, frame, months_as_text=True)


def raised_records(job: JobForm, raised: pl.DataFrame) -> list[dict[str, Any]]:
    """Return what a partition has just raised, in physical columns, as records; where it comes from is left out."""
    schema = job.row_schema
    kind = schema[job.time_column].type
    details = [detail_text(kind, detail) for detail in raised["detail"].to_list()]
    chosen = raised.select(job.time_column, *job.all_key_columns, "type", "metric")
    frame = chosen.with_columns(pl.Series("detail", details, dtype=pl.String))
    rows = json_records(present_times(schema, frame, months_as_text=True), ("detail",))
    return with_texts(job, [as_record(job, row) for row in rows])


def json_records(frame: pl.DataFrame, json_columns: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of a frame as plain data for JSON: times as text, and columns of JSON text as values."""
    records = time_texts(frame).to_dicts()
    for record in records:
        record |= {name: json_data(record[name]) for name in json_columns if name in record}
    return records

"""Anomalies have one form: the records that are shown and written are those of the frame, value for value."""

import random

import polars as pl
import pytest

from actors.frames import present_times, time_texts
from actors.model import AnomalyId, Column, ColumnType, Schema
from actors.partition.anomalies import Anomaly
from actors.sink.anomaly_frames import anomaly_frame, json_records
from actors.sink.lines import anomaly_rows, column_names
from actors.time_text import time_text
from config.form import stored_form
from tests.support.partition_jobs import make_partition_job

TEMPORAL = [kind for kind in ColumnType if kind.is_temporal]

EDGES = (
    0,
    1,
    -1,
    11,
    12,
    1439,
    1440,
    86_399,
    86_400,
    119_999,
    120_000,
    2_932_896,
    2_932_897,
    253_402_300_800,
    -(1 << 63),
)
"""Around the first and last time of some type."""

DETAILS = (
    None,
    "words",
    "[1, 2]",
    '{"window": {"start": 60, "end": 120}, "tick": 7}',
    '{"values": {"qty": 9}}',
    '"text"',
)


def times(kind: ColumnType) -> list[int | None]:
    """Return times of all magnitudes."""
    chance = random.Random(f"times of {kind}")
    found = [chance.choice((1, -1)) * chance.getrandbits(bits) for bits in range(1, 63) for _ in range(4)]
    return [None, *EDGES, *found]


@pytest.mark.parametrize("kind", TEMPORAL)
def test_a_time_is_the_text_that_polars_makes_of_it(kind: ColumnType) -> None:
    given = times(kind)
    frame = pl.DataFrame({"time": given}, schema={"time": pl.Int64})
    shown = time_texts(present_times(Schema((Column(name="time", type=kind),)), frame, months_as_text=True))
    assert [time_text(kind, ticks) for ticks in given] == shown["time"].to_list()


@pytest.mark.parametrize("kind", [*TEMPORAL, ColumnType.DOUBLE, ColumnType.LONG, ColumnType.BOOL])
def test_rows_are_the_rows_of_the_frame(kind: ColumnType) -> None:
    time_kind = kind if kind.is_temporal else ColumnType.TIMESTAMP
    schema = {"time": str(time_kind), "key": str(kind), "qty": "INT"}
    job = make_partition_job(schema=schema, time="time", key=["key"], window=None, metrics=["qty > 1"])
    values = times(kind) if kind.is_temporal else [None, True, False] if kind is ColumnType.BOOL else [None, 1, -7]
    found = [
        Anomaly(
            id=AnomalyId(split=0, offset=place, ordinal=0),
            time=None if value is None else int(value),
            key=(value,),
            type=place % 2,
            metric="qty > 1",
            detail=DETAILS[place % len(DETAILS)],
        )
        for place, value in enumerate(values)
    ]
    frame = anomaly_frame(job, found)
    assert column_names(job) == frame.columns
    rows = anomaly_rows(job, found)
    assert rows == json_records(frame, ("detail",))
    assert [type(row["key"]) for row in rows] == [type(value) for value in time_texts(frame)["key"]]
    assert anomaly_rows(stored_form(job.to_bytes()), found) == rows


def test_the_form_of_a_stored_job_is_that_of_its_settings() -> None:
    job = make_partition_job(metrics=["qty > 1", {"when": "qty < 4", "describe": "few"}])
    form = stored_form(job.to_bytes())
    assert (form.name, form.row_schema, form.time_column, form.key_columns) == (
        job.name,
        job.row_schema,
        job.time_column,
        job.key_columns,
    )
    assert [(one.when, one.describe) for one in form.metrics] == [("qty > 1", None), ("qty < 4", "few")]
    assert len(form.detectors) == len(job.detectors)

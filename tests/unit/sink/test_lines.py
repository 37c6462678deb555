"""Anomalies have one form: the records that are shown and written are those of the frame, value for value."""

import json
import random
from dataclasses import replace

import polars as pl
import pytest

from actors.frames import present_times, time_texts
from actors.model import AnomalyId, Column, ColumnType, Schema
from actors.partition.anomalies import Anomaly
from actors.sink.anomaly_frames import anomaly_frame, json_records
from actors.sink.lines import anomaly_records, anomaly_rows, column_names
from actors.time_text import time_text
from config import make_job
from config.form import stored_form
from tests.support.jobs import make_trades_job
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


def test_what_a_job_says_of_a_metric_is_shown_with_the_values_of_the_anomaly() -> None:
    metric = {
        "when": "avg(qty) > 5", "id": "busy", "severity": "warning", "labels": {"desk": "{sym}-desk"},
        "summary": "{sym}: {avg(qty):.1f} for {duration}", "runbook": "wiki/{rule}", "describe": "{sym} is busy",
    }  # fmt: skip
    job = make_trades_job({"type": "stream", "name": "trades"}, metrics=[metric, "qty < 4"])
    detail = json.dumps({"values": {"avg( qty )": 6.25}, "window": {"start": 1000, "end": 61000, "rows": 3}})
    busy = Anomaly(
        id=AnomalyId(split=0, offset=1, ordinal=0), time=61000, key=("A",), type=0, metric="x", detail=detail
    )
    plain = replace(busy, type=1, metric="qty < 4", detail=None)
    absent = replace(busy, type=2, metric="absent for 5m", detail=None)
    first, second, third = anomaly_records(job, [busy, plain, absent])
    assert {name: first[name] for name in ("metric", "rule", "severity", "labels", "summary", "runbook")} == {
        "metric": "A is busy", "rule": "busy", "severity": "warning", "labels": {"desk": "A-desk"},
        "summary": "A: 6.2 for 1m", "runbook": "wiki/busy",
    }  # fmt: skip
    assert (second["metric"], third["metric"]) == ("qty < 4", "absent for 5m")
    assert not {"rule", "severity", "labels", "summary", "runbook"} & (second.keys() | third.keys())
    assert anomaly_frame(job, [busy, plain])["metric"].to_list() == ["A is busy", "qty < 4"]


def test_the_form_that_is_stored_says_the_same_of_a_metric() -> None:
    rule = {"when": "qty < 4", "id": "small", "severity": "info", "labels": {"a": "b"}, "summary": "{sym}"}
    job = make_trades_job({"type": "stream", "name": "trades"}, metrics=[rule])
    anomaly = Anomaly(id=AnomalyId(split=0, offset=1, ordinal=0), time=5, key=("A",), type=0, metric="x", detail=None)
    assert anomaly_records(stored_form(job.to_bytes()), [anomaly]) == anomaly_records(job, [anomaly])


def test_texts_may_name_what_else_is_said_of_the_metric() -> None:
    said = "{rule} {severity} {labels.desk}"
    rule = {
        "when": "qty < 4", "id": "small", "severity": "info", "labels": {"desk": "{sym}-desk"},
        "summary": said, "describe": said, "runbook": "wiki/{labels.desk}",
    }  # fmt: skip
    job = make_trades_job({"type": "stream", "name": "trades"}, metrics=[rule])
    anomaly = Anomaly(id=AnomalyId(split=0, offset=1, ordinal=0), time=5, key=("A",), type=0, metric="x", detail=None)
    (record,) = anomaly_records(job, [anomaly])
    text = "small info A-desk"
    assert (record["summary"], record["metric"], record["runbook"]) == (text, text, "wiki/A-desk")
    assert anomaly_frame(job, [anomaly])["metric"].to_list() == [text]


def test_each_thing_that_a_detector_finds_is_shown_with_what_is_said_of_that_detector() -> None:
    detectors = [
        {"type": "new_value", "watch": ["qty", "sym2"], "id": "first", "severity": "info"},
        {"type": "new_value", "name": "silent", "watch": ["qty"]},
        {"type": "new_value", "name": "last", "watch": ["qty"], "id": "last", "summary": "{sym} {rule}"},
    ]
    learning = [{**one, "learn": {"rows": 2}} for one in detectors]
    schema = {"ts": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT", "sym2": "SYMBOL"}
    given = {"job": "two", "schema": schema, "time": "ts", "key": ["sym"], "detectors": learning}
    job = make_job(
        {**given, "metrics": ["qty < 4"], "source": {"type": "stream", "name": "trades"}, "absent": 9, "ticks": 3}
    )
    one = Anomaly(id=AnomalyId(split=0, offset=1, ordinal=0), time=5, key=("A",), type=0, metric="x", detail=None)
    found = [replace(one, type=kind) for kind in range(6)]
    for form in (job, stored_form(job.to_bytes())):
        records = anomaly_records(form, found)
        assert [record.get("rule") for record in records] == [None, "first", "first", None, "last", None]
        assert records[4]["summary"] == "A last"

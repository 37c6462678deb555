"""An anomaly looks the same to programs wherever they get it: commands, files, sinks, stored events."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from actors.partition.anomalies import Anomaly, AnomalyFilter
from actors.partition.partition import Partition
from actors.sink.ndjson import NdjsonSink
from actors.sink.protocol import SinkRecord
from actors.store import Event, EventId, JsonPayload, Timestamp
from actors.store.query.planner import QueryServerParams
from cluster.show.anomaly_export import export_anomalies
from cluster.show.episodes import explained
from cluster.show.event_layout import EventLayout, event_record
from cluster.show.output import Form, Output
from cluster.show.present import show_anomalies
from config import JobSettings
from tests.support.partition_jobs import make_batch, make_partition_job

JOB = make_partition_job(
    schema={"at": "NANOTIMESTAMP", "sym": "SYMBOL", "day": "DATE", "user": "STRING"},
    time="at",
    key=["sym", "day"],
    metrics=['user == "eve"'],
    window=None,
    detectors=[{"type": "new_value", "watch": ["user"], "learn": {"rows": 1}}],
    events={"anomalies": True},
    partitions=1,
)

FIRST = 1_700_000_000_123_456_789

ROWS = [(FIRST, "A", 19_000, "ann"), (FIRST + 1, "A", 19_000, "eve")]

EXPECTED: list[dict[str, Any]] = [
    {
        "time": "2023-11-14T22:13:20.123456790Z",
        "key": {"sym": "A", "day": "2022-01-08"},
        "type": 0,
        "metric": 'user == "eve"',
        "detail": {"values": {"user": "eve"}},
        "split": 0,
        "offset": 1,
        "ordinal": 0,
    },
    {
        "time": "2023-11-14T22:13:20.123456790Z",
        "key": {"sym": "A", "day": "2022-01-08"},
        "type": 1,
        "metric": "new value of user",
        "detail": {
            "event_id": None,
            "variable": "user",
            "value": "eve",
            "known": 1,
            "learned_since": "2023-11-14T22:13:20.123456789Z",
        },
        "split": 0,
        "offset": 1,
        "ordinal": 1,
    },
]


@dataclass(frozen=True, kw_only=True)
class Found:
    anomalies: Sequence[Anomaly]
    events: Sequence[Event]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Return what a partition has made of the rows."""
    with Partition.open(JOB, 0, tmp_path_factory.mktemp("shard")) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, make_batch(JOB, 0, ROWS), 0)
        partition.flush(1, 0)
        events = partition.queries.events(QueryServerParams(server_id=0))
        return Found(
            anomalies=partition.queries.anomalies(AnomalyFilter(), 10),
            events=sorted(events, key=lambda event: event.id),
        )


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def through_export(job: JobSettings, anomalies: Sequence[Anomaly], path: Path, columns: tuple[str, ...] = ()) -> Any:
    output = Output(form=Form.JSON, path=path / "out.json", columns=columns, may_overwrite=True)
    export_anomalies(output, job, iter(anomalies), None, is_wide=False)
    return lines((path / "out.json").read_text())


def test_commands_files_and_sinks_have_one_form(found: Found, tmp_path: Path) -> None:
    printed = lines(show_anomalies(JOB, found.anomalies, as_json=True))
    assert printed == EXPECTED
    assert [list(record) for record in printed] == [list(EXPECTED[0])] * 2
    assert through_export(JOB, found.anomalies, tmp_path) == EXPECTED
    records = [
        SinkRecord(
            partition=0, id=one.id, time=one.time, key=one.key, type=one.type, metric=one.metric, detail=one.detail
        )
        for one in found.anomalies
    ]
    NdjsonSink(tmp_path, JOB).write(records)
    assert lines((tmp_path / "partition-0000-split-0000.ndjson").read_text()) == EXPECTED
    one = explained(JOB, found.anomalies[1].id, found.anomalies[1:])
    assert (one.time, one.key, one.detail) == tuple(EXPECTED[1][name] for name in ("time", "key", "detail"))


def test_stored_events_of_anomalies_have_it_too(found: Found) -> None:
    shown = [event_record(event)["payload"] for event in found.events]
    own = [{name: record[name] for name in ("time", "key", "type", "metric", "detail")} for record in EXPECTED]
    # The values of a metric's parts are kept with the anomaly alone.
    assert shown == [own[0] | {"detail": None}, own[1]]
    layout = EventLayout()
    layout.see(found.events)
    assert json.loads(layout.frame(found.events)["detail"][1]) == own[1]["detail"]


def test_chosen_columns_keep_the_form(found: Found, tmp_path: Path) -> None:
    chosen = through_export(JOB, found.anomalies[:1], tmp_path, ("metric", "at", "day"))
    assert chosen == [
        {"time": "2023-11-14T22:13:20.123456790Z", "key": {"day": "2022-01-08"}, "metric": 'user == "eve"'}
    ]
    assert through_export(JOB, found.anomalies[:1], tmp_path, ("type",)) == [{"type": 0}]


def test_a_job_without_keys_has_an_empty_key(found: Found) -> None:
    job = make_partition_job(key=[], metrics=["qty > 8"], window=None, partitions=1)
    (anomaly,) = found.anomalies[:1]
    keyless = Anomaly(id=anomaly.id, time=1, key=(), type=0, metric="qty > 8", detail=None)
    assert lines(show_anomalies(job, [keyless], as_json=True))[0]["key"] == {}


def test_anomalies_that_an_earlier_version_stored_show_their_detail_as_an_object() -> None:
    data = {"metric": "new value of user", "key": ["A"], "detail": '{"value": "eve"}'}
    event = Event(
        id=EventId(0, 1, 2), type=("trades", "anomaly", "1"), timestamp=Timestamp(1, 0), payload=JsonPayload(data)
    )
    assert event_record(event)["payload"] == data | {"detail": {"value": "eve"}}
    row = Event(id=EventId(0, 1, 1), type=("trades", "A"), timestamp=Timestamp(1, 0), payload=JsonPayload(data))
    assert event_record(row)["payload"] == data

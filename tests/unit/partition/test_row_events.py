"""Rows and anomalies as events: their ids, times, types and payloads."""

from pathlib import Path
from typing import Any

import pytest

from actors.partition.anomalies import AnomalyFilter
from actors.partition.partition import Partition
from actors.store import Event, EventId, JsonPayload, Timestamp
from actors.store.query.planner import QueryServerParams
from config import JobSettings
from tests.support.partition_jobs import make_batch, make_partition_job

SETTINGS: dict[str, Any] = {"metrics": ["qty > 8", "qty > 10"], "window": None, "flush": {"rows": 1000}}


def make_job(**settings: Any) -> JobSettings:
    return make_partition_job(**(SETTINGS | {"events": {"store": True}} | settings))


def events_of(directory: Path, job: JobSettings, *batches: list[tuple[object, ...]], split: int = 0) -> list[Event]:
    with Partition.open(job, 0, directory) as partition:
        partition.begin(1, {split: 0}, 0)
        for rows in batches:
            partition.apply(1, make_batch(job, partition.received[split], rows, split=split), 0)
        partition.flush(1, 0)
        return sorted(partition.queries.events(QueryServerParams(server_id=split)), key=lambda event: event.id)


def test_a_row_is_an_event_with_the_split_and_the_offset_after_it_as_id(tmp_path: Path) -> None:
    found = events_of(tmp_path, make_job(), [(1500, "A", 1, "ann"), (2500, "B", 2, None)], split=3)
    assert found == [
        Event(
            id=EventId(3, 1, 1),
            type=("trades", "A"),
            timestamp=Timestamp(1, 500_000),
            source_timestamp=Timestamp(1, 500_000),
            payload=JsonPayload({"time": 1500, "sym": "A", "qty": 1, "user": "ann"}),
        ),
        Event(
            id=EventId(3, 2, 1),
            type=("trades", "B"),
            timestamp=Timestamp(2, 500_000),
            source_timestamp=Timestamp(2, 500_000),
            payload=JsonPayload({"time": 2500, "sym": "B", "qty": 2, "user": None}),
        ),
    ]


def test_anomalies_follow_the_event_of_their_row(tmp_path: Path) -> None:
    found = events_of(tmp_path, make_job(), [(1500, "A", 11, "ann")])
    assert [(event.id.instance, event.type) for event in found] == [
        (1, ("trades", "A")),
        (2, ("trades", "anomaly", "0")),
        (3, ("trades", "anomaly", "1")),
    ]
    shown = {"time": "1970-01-01T00:00:01.500Z", "key": {"sym": "A"}, "type": 0, "metric": "qty > 8", "detail": None}
    assert found[1].payload == JsonPayload(shown)
    assert found[1].timestamp == found[0].timestamp


def test_what_a_detector_knows_is_in_the_payload(tmp_path: Path) -> None:
    detector = {"type": "new_value", "watch": ["user"], "learn": {"rows": 1}}
    job = make_job(metrics=[], detectors=[detector], events={"anomalies": True})
    (event,) = events_of(tmp_path, job, [(1000, "A", 1, "ann"), (2000, "A", 1, "bob")])
    assert event.id == EventId(0, 2, 2)
    assert isinstance(event.payload, JsonPayload)
    assert event.payload.data["detail"]["value"] == "bob"


def test_timestamps_never_shrink_and_source_timestamps_are_the_rows_own(tmp_path: Path) -> None:
    rows = [(5000, "A", 1, ""), (3000, "B", 1, ""), (6000, "A", 1, ""), (1000, "B", 1, "")]
    found = events_of(tmp_path, make_job(), rows[:2], rows[2:])
    assert [event.timestamp.s for event in found] == [5, 5, 6, 6]
    assert [event.source_timestamp and event.source_timestamp.s for event in found] == [5, 3, 6, 1]


def test_the_watermark_is_kept_when_the_partition_is_opened_again(tmp_path: Path) -> None:
    job = make_job()
    events_of(tmp_path, job, [(5000, "A", 1, "")])
    with Partition.open(job, 0, tmp_path) as partition:
        partition.begin(2, {0: 0}, 0)
        partition.apply(2, make_batch(job, 0, [(5000, "A", 1, ""), (3000, "A", 1, "")]), 0)
        partition.flush(2, 0)
        found = sorted(partition.queries.events(QueryServerParams(server_id=0)), key=lambda event: event.id)
    assert [event.timestamp.s for event in found] == [5, 5]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (None, ("trades", "NULL")),
        (["shop", "{user}", "{SYM}"], ("shop", "ann", "NULL")),
        (["all"], ("all",)),
        (["{qty}", "x{qty}"], ("7", "x{qty}")),
    ],
)
def test_types_come_from_the_template(template: list[str] | None, expected: tuple[str, ...], tmp_path: Path) -> None:
    job = make_job(events={"store": True, "type": template})
    (event,) = events_of(tmp_path, job, [(1000, None, 7, "ann")])
    assert event.type == expected


def test_a_key_that_is_the_text_null_and_a_key_that_is_null_stay_apart_in_payloads(tmp_path: Path) -> None:
    found = events_of(tmp_path, make_job(), [(1000, None, 9, ""), (2000, "NULL", 9, "")])
    assert [event.payload.data["key"] for event in found if event.type[1] == "anomaly"] == [
        {"sym": None},
        {"sym": "NULL"},
    ]


def test_the_payload_has_the_columns_that_are_wanted(tmp_path: Path) -> None:
    job = make_job(events={"store": True, "payload": ["Qty"]})
    (event,) = events_of(tmp_path, job, [(1000, "A", 7, "ann")])
    assert event.payload == JsonPayload({"qty": 7})


def test_a_job_may_store_anomalies_only(tmp_path: Path) -> None:
    job = make_job(events={"store": False, "anomalies": True})
    found = events_of(tmp_path, job, [(1000, "A", 7, ""), (2000, "A", 9, "")])
    assert [event.id for event in found] == [EventId(0, 2, 2)]


def test_a_job_may_store_nothing(tmp_path: Path) -> None:
    assert events_of(tmp_path, make_job(events={"anomalies": False}), [(1000, "A", 9, "")]) == []


def test_a_row_without_a_time_has_no_event_and_harms_no_other(tmp_path: Path) -> None:
    detector = {"type": "new_value", "watch": ["user"], "learn": {"rows": 1}}
    job = make_job(detectors=[detector], metrics=[])
    rows = [(1000, "A", 1, "ann"), (None, "A", 1, "bob"), (3000, "A", 1, "cid")]
    found = events_of(tmp_path, job, rows)
    assert [(event.id.session, event.id.instance) for event in found] == [(1, 1), (3, 1), (3, 2)]


def test_batches_do_not_change_events(tmp_path: Path) -> None:
    rows = [(1000 * (at * 7 % 10), "ABC"[at % 3], at % 12, "ann") for at in range(20)]
    whole = events_of(tmp_path / "1", make_job(), rows)
    cut = events_of(tmp_path / "2", make_job(), rows[:1], rows[1:7], [], rows[7:])
    assert whole == cut
    assert len(whole) == 24


def test_types_and_ordinals_of_detectors_follow_the_metrics(tmp_path: Path) -> None:
    detectors = [
        {"type": "new_value", "name": "users", "watch": ["user", "qty"], "learn": {"rows": 1}},
        {"type": "new_value", "name": "users too", "watch": ["user"], "learn": {"rows": 1}},
    ]
    with Partition.open(make_job(detectors=detectors), 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        rows = [(1000, "A", 1, "ann"), (2000, "A", 11, "bob"), (3000, "A", 1, "cid")]
        assert partition.apply(1, make_batch(make_job(), 0, rows), 0) == 7
        partition.flush(1, 0)
        anomalies = partition.queries.anomalies(AnomalyFilter(), 100)
    found = [(anomaly.id.offset, anomaly.id.ordinal, anomaly.type) for anomaly in anomalies]
    assert found == [(1, 0, 0), (1, 1, 1), (1, 2, 2), (1, 3, 3), (1, 4, 4), (2, 0, 2), (2, 1, 4)]

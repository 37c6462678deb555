"""Events and anomalies as tables, JSON, CSV and Parquet."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from actors.model import AnomalyId
from actors.partition.anomalies import Anomaly
from actors.store import BinaryPayload, Event, EventId, JsonPayload, QueryTimeseriesParams, Timestamp
from cluster.errors import ClusterError
from cluster.show import event_export, event_spool
from cluster.show.anomaly_export import export_anomalies, read_cursor
from cluster.show.event_export import export_events
from cluster.show.event_layout import EventLayout, event_record
from cluster.show.event_spool import EventSpool
from cluster.show.output import Form, Output, choose_output
from tests.support.partition_jobs import make_partition_job

PARAMS = QueryTimeseriesParams()


def made(number: int, payload: Any, *words: str) -> Event:
    return Event(EventId(0, number, 1), words or ("a", "b"), Timestamp(number, 0), Timestamp(0, number), payload)


def flat(count: int) -> list[Event]:
    return [made(n, JsonPayload({"qty": n, "sym": f"S{n}", "up": n % 2 == 0})) for n in range(1, count + 1)]


def written(tmp_path: Path, form: Form, events: list[Event], **options: Any) -> Path:
    path = tmp_path / f"result.{form}"
    export_events(Output(form=form, path=path, may_overwrite=True, **options), PARAMS, iter(events), None)
    return path


def test_fields_that_all_events_have_are_columns(tmp_path: Path) -> None:
    assert written(tmp_path, Form.TABLE, flat(2)).read_text().splitlines() == [
        "timestamp                    source_timestamp             type  id     qty  sym  up",
        "---------------------------  ---------------------------  ----  -----  ---  ---  -----",
        "1970-01-01T00:00:01.000000Z  1970-01-01T00:00:00.000001Z  a/b   0/1/1    1  S1   False",
        "1970-01-01T00:00:02.000000Z  1970-01-01T00:00:00.000002Z  a/b   0/2/1    2  S2   True",
    ]
    frame = pl.read_parquet(written(tmp_path, Form.PARQUET, flat(2)))
    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")
    assert frame.row(1) == (
        datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC), datetime(1970, 1, 1, 0, 0, 0, 2, tzinfo=UTC),
        "a/b", "0/2/1", 2, "S2", True,
    )  # fmt: skip


def test_other_payloads_are_one_column_of_json(tmp_path: Path) -> None:
    events = [*flat(1), made(2, JsonPayload([1])), made(3, None), made(4, BinaryPayload("png", b"\0"))]
    frame = pl.read_parquet(written(tmp_path, Form.PARQUET, events))
    assert frame.columns == ["timestamp", "source_timestamp", "type", "id", "payload"]
    assert frame["payload"].to_list() == [
        '{"qty": 1, "sym": "S1", "up": false}', "[1]", None, '{"binary": "png", "base64": "AA=="}',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, 2.5, None], pl.Float64, [1.0, 2.5, None]),
        ([1, 1 << 60], pl.Int64, [1, 1 << 60]),
        ([0.5, 1 << 60], pl.String, ["0.5", "1152921504606846976"]),
        ([1 << 64, 1], pl.String, ["18446744073709551616", "1"]),
        ([True, 1], pl.String, ["true", "1"]),
        (["a", None], pl.String, ["a", None]),
        (["a", 1], pl.String, ['"a"', "1"]),
        ([[1], {"b": 2}], pl.String, ["[1]", '{"b": 2}']),
        ([None, None], pl.String, [None, None]),
        (["\ud800"], pl.String, ["\\ud800"]),
    ],
)
def test_no_value_of_a_field_is_changed_by_its_column(values: list[Any], kind: Any, expected: list[Any]) -> None:
    events = [made(n, JsonPayload({"v": value})) for n, value in enumerate(values, 1)]
    layout = EventLayout()
    layout.see(events)
    assert layout.schema["v"] == kind
    assert layout.frame(events)["v"].to_list() == expected


def test_a_field_may_have_the_name_of_a_column() -> None:
    layout = EventLayout()
    events = [made(1, JsonPayload({"type": "t", "payload": 1}))]
    layout.see(events)
    assert layout.frame(events).columns[4:] == ["payload.type", "payload.payload"]


def test_times_beyond_64_bits_are_text() -> None:
    event = made(1, None)._replace(timestamp=Timestamp((1 << 63) - 1, 5))
    layout = EventLayout()
    layout.see([event])
    assert layout.frame([event])["timestamp"].to_list() == ["9223372036854775807000005us"]


def test_batches_do_not_show_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = flat(10)
    whole = [written(tmp_path, form, events).read_bytes() for form in (Form.CSV, Form.JSON, Form.TABLE)]
    monkeypatch.setattr(event_export, "PAGE_EVENT_COUNT", 3)
    monkeypatch.setattr(event_spool, "MEMORY_SIZE_BYTES_MAX", 10)
    assert [written(tmp_path, form, events).read_bytes() for form in (Form.CSV, Form.JSON, Form.TABLE)] == whole
    assert pl.read_parquet(written(tmp_path, Form.PARQUET, events))["qty"].to_list() == list(range(1, 11))


def test_a_spool_gives_back_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_spool, "MEMORY_SIZE_BYTES_MAX", 10)
    events = [
        *flat(2),
        made(3, None)._replace(source_timestamp=None),
        made(4, JsonPayload(1 << 70)),
        made(5, BinaryPayload("b", b"\xff"), "\ud800"),
    ]
    with EventSpool() as spool:
        spool.add(events[:2])
        spool.add(events[2:])
        assert [one for batch in spool.batches() for one in batch] == events


def test_json_keeps_the_payload_whole_and_tells_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    export_events(Output(form=Form.JSON), PARAMS, iter(flat(3)), 2)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [*map(event_record, flat(2)), {"next": "time:2000000/0/2/1"}]


def test_wanted_columns_come_in_their_order(tmp_path: Path) -> None:
    columns = {"columns": ("qty", "id")}
    assert written(tmp_path, Form.CSV, flat(1), **columns).read_text() == "qty,id\n1,0/1/1\n"
    assert json.loads(written(tmp_path, Form.JSON, flat(1), **columns).read_text()) == {"qty": 1, "id": "0/1/1"}
    with pytest.raises(ClusterError, match="there is no column 'price'; the columns are timestamp, source_timestamp"):
        written(tmp_path, Form.CSV, flat(1), columns=("price",))


def test_a_file_is_replaced_only_when_asked_and_never_left_half(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    output = choose_output(None, path)
    path.write_text("mine")
    with pytest.raises(ClusterError, match="--force replaces it"):
        export_events(output, PARAMS, iter(flat(1)), None)
    with pytest.raises(ClusterError, match="--force replaces it"):
        choose_output(None, path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"]
    assert path.read_text() == "mine"
    export_events(choose_output(None, path, may_overwrite=True), PARAMS, iter(flat(1)), None)
    assert path.read_text().startswith("timestamp,source_timestamp,type,id,qty")


@pytest.mark.parametrize(
    ("form", "name", "expected"),
    [
        (None, None, Form.TABLE),
        (None, "a.parquet", Form.PARQUET),
        (None, "a.ndjson", Form.JSON),
        (None, "a", Form.TABLE),
        ("csv", "a.parquet", Form.CSV),
    ],
)
def test_the_name_of_the_file_decides_when_nothing_else_does(
    tmp_path: Path, form: str | None, name: str | None, expected: Form
) -> None:
    assert choose_output(form, None if name is None else tmp_path / name).form is expected


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"no/a\.csv cannot be written"):
        export_events(choose_output(None, tmp_path / "no" / "a.csv"), PARAMS, iter(flat(1)), None)


def test_anomalies_are_exported_with_a_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = make_partition_job()
    found = [
        Anomaly(id=AnomalyId(split=0, offset=n, ordinal=0), time=n, key=("A",), type=0, metric="qty > 8", detail=None)
        for n in range(3)
    ]
    exported = export_anomalies(Output(form=Form.JSON), job, iter(found), 2, is_wide=False)
    assert (exported.count, exported.next) == (2, "0/1/0")
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"next": "0/1/0"}
    assert read_cursor("0/1/0") == found[1].id
    path = tmp_path / "a.parquet"
    assert not export_anomalies(choose_output(None, path), job, iter(found), None, is_wide=False).more_follows
    assert pl.read_parquet(path)["sym"].to_list() == ["A"] * 3
    with pytest.raises(ClusterError, match="'x' is no cursor of anomalies"):
        read_cursor("x")

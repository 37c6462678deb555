"""What people and programs are shown, and what they may type."""

import json
from dataclasses import replace

import pytest

from actors.model import AnomalyId
from actors.partition.anomalies import Anomaly
from actors.source.protocol import DeadLetter
from cluster.errors import ClusterError
from cluster.leader.status import PumpStat
from cluster.show.anomaly_export import ExportedAnomalies, _batches, read_newest_cursor
from cluster.show.frame_output import dead_letter_frame
from cluster.show.present import parse_time, show_anomalies, show_run
from cluster.show.text import show_rows, show_time_us
from tests.support.partition_jobs import make_partition_job

JOB = make_partition_job()


def make_anomaly(key: str | None, *, detail: str | None = None, time: int | None = 1_700_000_000_123) -> Anomaly:
    place = AnomalyId(split=1, offset=20, ordinal=3)
    return Anomaly(id=place, time=time, key=(key,), type=0, metric="qty > 8", detail=detail)


def test_anomalies_are_a_table() -> None:
    assert show_anomalies(JOB, [make_anomaly("A"), make_anomaly(None)], as_json=False).splitlines() == [
        "time                      sym   type  metric",
        "------------------------  ----  ----  -------",
        "2023-11-14T22:13:20.123Z  A        0  qty > 8",
        "2023-11-14T22:13:20.123Z  NULL     0  qty > 8",
    ]


def test_a_detail_of_a_detector_is_shown_when_there_is_one() -> None:
    found = replace(make_anomaly("B", detail='{"value": 3}'), type=len(JOB.metrics))
    text = show_anomalies(JOB, [make_anomaly("A"), found], as_json=False)
    assert text.splitlines()[0].split() == ["time", "sym", "type", "metric", "detail"]


def test_a_wide_table_names_the_row() -> None:
    header, _, row = show_anomalies(JOB, [make_anomaly("A")], as_json=False, is_wide=True).splitlines()
    assert header.split()[-4:] == ["detail", "split", "offset", "ordinal"]
    assert row.split()[-4:] == ["NULL", "1", "20", "3"]


def test_no_anomalies_are_a_table_without_rows() -> None:
    assert show_anomalies(JOB, [], as_json=False).splitlines()[0].split() == ["time", "sym", "type", "metric"]
    assert show_anomalies(JOB, [], as_json=True) == ""


def test_programs_get_lines_of_json() -> None:
    assert json.loads(show_anomalies(JOB, [make_anomaly("Ä")], as_json=True)) == {
        "time": "2023-11-14T22:13:20.123Z",
        "key": {"sym": "Ä"},
        "type": 0,
        "metric": "qty > 8",
        "detail": None,
        "split": 1,
        "offset": 20,
        "ordinal": 3,
    }


def test_programs_get_whole_seconds_with_as_many_digits() -> None:
    line = show_anomalies(JOB, [make_anomaly("A", time=1_700_000_000_000)], as_json=True)
    assert json.loads(line)["time"] == "2023-11-14T22:13:20.000Z"


@pytest.mark.parametrize(
    ("kind", "ticks", "text"),
    [
        ("NANOTIMESTAMP", 1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"),
        ("MICROTIMESTAMP", -1, "1969-12-31T23:59:59.999999Z"),
        ("DATETIME", 1_700_000_000, "2023-11-14T22:13:20.000Z"),
        ("DATE", 10, "1970-01-11"),
        ("NANOTIME", 3_600_000_000_001, "01:00:00.000000001"),
        ("MINUTE", 61, "01:01:00"),
        ("MONTH", 24_000, "2000-01"),
    ],
)
def test_times_keep_their_zone_and_all_their_digits(kind: str, ticks: int, text: str | int) -> None:
    schema = {"time": kind, "sym": "SYMBOL", "qty": "INT"}
    job = make_partition_job(schema=schema, window=None, metrics=["qty > 1"])
    found = [make_anomaly("A", time=ticks)]
    assert json.loads(show_anomalies(job, found, as_json=True))["time"] == text
    assert show_anomalies(job, found, as_json=False).splitlines()[2].split()[0] == str(text)


def test_details_are_values_and_no_text_inside_of_json() -> None:
    found = [make_anomaly("A", detail='{"values": {"qty": 9}}'), make_anomaly("A", detail="words")]
    records = [json.loads(line) for line in show_anomalies(JOB, found, as_json=True).splitlines()]
    assert [record["detail"] for record in records] == [{"values": {"qty": 9}}, "words"]


def test_wide_letters_and_line_ends_leave_columns_in_place() -> None:
    assert show_rows(("a", "b"), [["漢字", "x"], ["y", "z"]]).splitlines()[2:] == ["漢字  x", "y     z"]
    lines = show_anomalies(JOB, [make_anomaly("a\nb")], as_json=False).splitlines()
    assert (len(lines), lines[2].split()[1]) == (3, "a\\nb")


def test_a_run_names_the_rows_that_were_too_late_to_be_tested() -> None:
    stat = PumpStat(row_count=9, dead_letter_count=1, anomaly_count=2, positions={0: 10}, at_end=True)
    assert show_run(stat, 0) == "9 rows, 1 dead letters, 2 new anomalies"
    assert show_run(stat, 4) == "9 rows, 1 dead letters, 4 late rows that were not tested, 2 new anomalies"


def test_an_anomaly_without_a_time_is_shown() -> None:
    assert show_anomalies(JOB, [make_anomaly("A", time=None)], as_json=False).splitlines()[2].split()[0] == "NULL"


def test_a_job_without_keys_is_shown() -> None:
    anomaly = Anomaly(id=AnomalyId(split=0, offset=0, ordinal=0), time=0, key=(), type=0, metric="m", detail=None)
    text = show_anomalies(make_partition_job(key=[]), [anomaly], as_json=False)
    assert text.splitlines()[2] == "1970-01-01T00:00:00.000Z     0  m"


def test_numbers_stand_to_the_right_and_text_to_the_left() -> None:
    assert show_rows(("name", "count"), [["a", "5"], ["bcdef", "-12.5"]]).splitlines() == [
        "name   count",
        "-----  -----",
        "a          5",
        "bcdef  -12.5",
    ]


def test_dead_letters_are_shown_whatever_their_bytes() -> None:
    letters = [DeadLetter(split=0, offset=7, reason="no time", raw=b"\xff,x")]
    assert dead_letter_frame(letters).to_dicts() == [
        {"split": 0, "offset": 7, "reason": "no time", "raw": "\\xff,x"},
    ]


def test_long_dead_letters_are_cut_for_people_only() -> None:
    letters = [DeadLetter(split=0, offset=7, reason="r", raw=b"x" * 500)]
    assert len(dead_letter_frame(letters, is_cut=True)["raw"][0]) == 100
    assert len(dead_letter_frame(letters)["raw"][0]) == 500


@pytest.mark.parametrize(
    ("time_us", "text"),
    [(None, "-"), (0, "1970-01-01T00:00:00.000Z"), (1_700_000_000_123_999, "2023-11-14T22:13:20.123Z")],
)
def test_a_moment_is_shown(time_us: int | None, text: str) -> None:
    assert show_time_us(time_us) == text


@pytest.mark.parametrize(
    ("kind", "typed", "ticks"),
    [
        ("TIMESTAMP", None, None),
        ("TIMESTAMP", "1700000000123", 1_700_000_000_123),
        ("TIMESTAMP", "-5", -5),
        ("TIMESTAMP", "2023-11-14T22:13:20.123", 1_700_000_000_123),
        ("TIMESTAMP", "2023-11-14 22:13:20.123", 1_700_000_000_123),
        ("TIMESTAMP", " 2023-11-14T22:13:20Z ", 1_700_000_000_000),
        ("TIMESTAMP", "2023-11-15T00:13:20+02:00", 1_700_000_000_000),
        ("TIMESTAMP", "1969-12-31T23:59:59.999", -1),
        ("DATETIME", "2023-11-14T22:13:20", 1_700_000_000),
        ("NANOTIMESTAMP", "1970-01-01T00:00:01", 1_000_000_000),
        ("NANOTIMESTAMP", "1970-01-01T00:00:01.000000999Z", 1_000_000_999),
        ("MICROTIMESTAMP", "1970-01-01T00:00:01.000001", 1_000_001),
        ("MICROTIMESTAMP", "1970-01-01T00:00:01.000001999Z", 1_000_001),
        ("DATE", "1970-01-11", 10),
        ("MONTH", "2024-03-15", 2024 * 12 + 2),
    ],
)
def test_a_typed_time_becomes_ticks(kind: str, typed: str | None, ticks: int | None) -> None:
    job = make_partition_job(schema={"time": kind, "sym": "SYMBOL", "qty": "INT"}, window=None, metrics=["qty > 1"])
    assert parse_time(job, typed, 0) == ticks


@pytest.mark.parametrize(("kind", "typed"), [("TIMESTAMP", "soon"), ("SECOND", "2023-11-14T22:13:20")])
def test_a_typed_time_that_means_nothing_is_refused(kind: str, typed: str) -> None:
    job = make_partition_job(schema={"time": kind, "sym": "SYMBOL", "qty": "INT"}, window=None, metrics=["qty > 1"])
    with pytest.raises(ClusterError, match=r"soon|has no date"):
        parse_time(job, typed, 0)


@pytest.mark.parametrize(
    ("kind", "first", "last"),
    [
        ("TIMESTAMP", 1_700_006_400_000, 1_700_092_799_999),
        ("NANOTIMESTAMP", 1_700_006_400_000_000_000, 1_700_092_799_999_999_999),
        ("DATE", 19_676, 19_676),
        ("MONTH", 2023 * 12 + 10, 2023 * 12 + 10),
    ],
)
def test_a_day_reaches_from_its_first_tick_to_its_last(kind: str, first: int, last: int) -> None:
    job = make_partition_job(schema={"time": kind, "sym": "SYMBOL", "qty": "INT"}, window=None, metrics=["qty > 1"])
    assert parse_time(job, "2023-11-15", 0) == first
    assert parse_time(job, "2023-11-15", 0, is_end=True) == last
    assert parse_time(job, "yesterday", 1_700_100_000_000_000, is_end=True) == last


def test_pages_of_the_newest_go_on_after_a_time_and_a_place() -> None:
    exported = ExportedAnomalies(newest_first=True)
    assert len(list(_batches(iter([make_anomaly("A"), make_anomaly("B", time=None)]), 1, exported))) == 1
    assert (exported.next, exported.more_follows) == ("1700000000123/1/20/3", True)
    place = AnomalyId(split=1, offset=20, ordinal=3)
    assert read_newest_cursor(exported.next) == (True, 1_700_000_000_123, place)
    assert read_newest_cursor("none/1/20/3") == (False, 0, place)
    with pytest.raises(ClusterError, match="is no cursor of --newest"):
        read_newest_cursor("1/20/3")

"""How people write numbers, times and texts: against Python's own csv, zoneinfo and codecs."""

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from actors.source.open import open_source
from config.errors import ConfigError
from config.settings import JobSettings
from tests.support.jobs import make_trades_job
from tests.support.reading import SplitContent, read_split

SCHEMA = {"schema": {"time": "TIMESTAMP", "sym": "STRING", "qty": "DOUBLE"}, "key": []}


def read(folder: Path, data: bytes, schema: dict[str, Any] | None = None, **source: Any) -> SplitContent:
    (folder / "a.csv").write_bytes(data)
    path = str(folder / f"a.{source.pop('ending', 'csv')}")
    Path(path).write_bytes(data)
    return read_split(open_source(make_trades_job({"path": path, **source}, **(schema or SCHEMA)), folder))


@pytest.mark.parametrize(
    ("text", "decimal", "thousands", "value"),
    [
        ("1,5", ",", None, 1.5),
        ("-1.234.567,25", ",", ".", -1234567.25),
        ("1234567,25", ",", ".", 1234567.25),
        ("1'234.5", ".", "'", 1234.5),
        ("12 345,", ",", " ", 12345.0),
        (",5", ",", None, 0.5),
        ("1,5e3", ",", ".", 1500.0),
        ("NaN", ",", ".", None),
        ("1.5", ",", None, "bad"),
        ("1.5", ",", ".", "bad"),
        ("12.34,5", ",", ".", "bad"),
        ("1,234,5", ",", ".", "bad"),
        ("x", ",", ".", "bad"),
    ],
)
def test_numbers_as_people_write_them(
    tmp_path: Path, text: str, decimal: str, thousands: str | None, value: float | str | None
) -> None:
    data = f"time;sym;qty\n2026-01-01 00:00;A;{text}\n2026-01-01 00:01;A;\n".encode()
    content = read(tmp_path, data, separator=";", decimal=decimal, thousands=thousands)
    assert content.rows[-1][1][2] is None
    if value == "bad":
        assert [letter.offset for letter in content.dead_letters] == [0]
        assert text in content.dead_letters[0].reason
    else:
        assert content.rows[0][1][2] == value


def test_whole_numbers_have_thousands_too(tmp_path: Path) -> None:
    schema = {"schema": {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "LONG"}, "key": ["sym"]}
    content = read(
        tmp_path, b"time;sym;qty\n2026-01-01;A;1.234.567\n", schema, separator=";", decimal=",", thousands="."
    )
    assert content.rows[0][1][2] == 1234567


def expected_utc(local: datetime, zone: ZoneInfo, repeated_hour: str) -> datetime | None:
    """Return what zoneinfo makes of a local time, `None` where it is none."""
    found = []
    for fold in (0, 1):
        utc = local.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if utc.astimezone(zone).replace(tzinfo=None) == local and utc not in found:
            found.append(utc)
    if not found or (len(found) > 1 and repeated_hour == "refuse"):
        return None
    return found[-1] if repeated_hour == "second" else found[0]


@pytest.mark.parametrize("zone", ["Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"])
@pytest.mark.parametrize("repeated_hour", ["first", "second", "refuse"])
@pytest.mark.parametrize("time_format", ["auto", "%d.%m.%Y %H:%M:%S"])
def test_local_times_are_those_of_zoneinfo(tmp_path: Path, zone: str, repeated_hour: str, time_format: str) -> None:
    random = Random(7)
    days = [datetime(2026, 3, 29), datetime(2026, 10, 25), datetime(2026, 3, 8), datetime(2026, 11, 1)]
    days += [datetime(2026, 4, 5), datetime(2026, 10, 4), datetime(1985, 6, 1)]
    locals_ = [day + timedelta(minutes=random.randrange(300)) for day in days for _ in range(60)]
    pattern = "%Y-%m-%d %H:%M:%S" if time_format == "auto" else time_format
    lines = [f"{one.strftime(pattern)},A,{number}" for number, one in enumerate(locals_)]
    data = "\n".join(["time,sym,qty", *lines]).encode()
    content = read(tmp_path, data, time_format=time_format, timezone=zone, repeated_hour=repeated_hour)
    wanted = {number: expected_utc(one, ZoneInfo(zone), repeated_hour) for number, one in enumerate(locals_)}
    found = {offset: datetime.fromtimestamp(row[0] / 1000, UTC) for offset, row in content.rows}
    assert found == {number: one for number, one in wanted.items() if one is not None}
    for letter in content.dead_letters:
        assert wanted[letter.offset] is None
        assert "a time that " in letter.reason


def test_a_time_with_an_offset_means_what_it_says(tmp_path: Path) -> None:
    lines = ["2026-07-01T12:00:00Z", "2026-07-01T12:00:00+05:00", "2026-07-01T12:00:00", "1782907200000"]
    data = "\n".join(["time,sym,qty", *(f"{one},A,1" for one in lines)]).encode()
    content = read(tmp_path, data, timezone="Europe/Zurich")
    noon = 1782907200000
    assert [row[0] for _, row in content.rows] == [noon, noon - 5 * 3_600_000, noon - 2 * 3_600_000, noon]


def test_objects_and_logs_have_local_times(tmp_path: Path) -> None:
    data = b'{"time": "2026-07-01 12:00", "sym": "A", "qty": 1}\n'
    assert read(tmp_path, data, ending="ndjson", timezone="Europe/Zurich").rows[0][1][0] == 1782900000000
    log = {"format": r"(?P<time>\S+ \S+) (?P<sym>\w+) (?P<qty>\S+)", "decimal": ","}
    content = read(tmp_path, b"2026-07-01 12:00 A 1,5\n", ending="log", timezone="Europe/Zurich", **log)
    assert content.rows[0][1] == (1782900000000, "A", 1.5)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "iso8859-15", "cp1251"])
def test_texts_of_other_encodings(tmp_path: Path, encoding: str) -> None:
    words = [bytes([code]).decode(encoding, "ignore") or "-" for code in range(160, 256)]
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=";", lineterminator="\r\n")
    writer.writerow(["Zeit", "Größe" if encoding != "cp1251" else "Размер", "qty"])
    for number, word in enumerate(words):
        writer.writerow([f"2026-01-01 00:{number % 60:02}", f"{word};{word}", number])
    data = stream.getvalue().encode(encoding)
    name = "Größe" if encoding != "cp1251" else "Размер"
    content = read(tmp_path, data, separator=";", encoding=encoding, columns={"time": "Zeit", "sym": name})
    assert [row[1] for _, row in content.rows] == [f"{word};{word}" for word in words]


def test_a_byte_that_is_no_character_is_a_dead_letter(tmp_path: Path) -> None:
    data = b"time,sym,qty\n2026-01-01,\x81,1\n\n2026-01-01,\xe4,2\n"
    content = read(tmp_path, data, encoding="cp1252")
    assert [(one.offset, one.reason) for one in content.dead_letters] == [(0, "the line is not text in cp1252")]
    assert [(offset, row[1]) for offset, row in content.rows] == [(2, "ä")]


def test_the_time_may_stand_in_two_columns(tmp_path: Path) -> None:
    data = b"Datum;sym;Uhrzeit;qty\n01.07.2026;A; 12:00 ;1\n;A;12:00;2\n01.07.2026;A;12:61;3\n"
    content = read(
        tmp_path,
        data,
        separator=";",
        time_columns=["Datum", "uhrzeit"],
        time_format="%d.%m.%Y %H:%M",
        timezone="Europe/Zurich",
    )
    assert content.rows == ((0, (1782900000000, "A", 1.0)),)
    assert [one.offset for one in content.dead_letters] == [1, 2]
    bare = read(tmp_path, b"2026-07-01,12:00,A,1\n", header=False, time_columns=["date", "clock"])
    assert bare.rows[0][1][0] == 1782907200000


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"timezone": "Europe/Zuerich"}, "no time zone"),
        ({"repeated_hour": "second"}, "give `timezone`"),
        ({"encoding": "utf-32"}, "is not read; use utf-8"),
        ({"encoding": "klingon"}, "is not read; use utf-8"),
        ({"thousands": "5"}, "cannot stand between digits"),
        ({"decimal": ",", "thousands": ","}, "cannot stand between digits"),
    ],
)
def test_what_makes_no_sense_is_refused(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_trades_job({"path": "a.csv", **source})


def test_the_fingerprints_of_jobs_of_before_stay(tmp_path: Path) -> None:
    def of(**source: Any) -> str:
        job: JobSettings = make_trades_job({"path": "a.csv", **source})
        return job.fingerprint

    assert of() == of(decimal=".", encoding="utf-8", thousands=None)
    assert len({of(), of(decimal=","), of(timezone="UTC"), of(encoding="latin-1"), of(time_columns=["a", "b"])}) == 5

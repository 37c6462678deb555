"""Syslog: both kinds of messages, both framings, years that nobody writes."""

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.source.format.syslog import parse
from actors.source.push.syslog import FrameCutter


def us(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text).timestamp() * 1_000_000)


NOW_US = us("2026-12-01T10:00:00Z")


def parsed(text: str, received: str = "2026-12-01T10:00:00Z", zone: str = "UTC") -> dict[str, Any]:
    found = parse(text, us(received), "sender", zone)
    found["time"] = datetime.datetime.fromtimestamp(found["time"] / 1e9, datetime.UTC).isoformat()
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '<165>1 2003-10-11T22:14:15.003Z m.example evnt 12 ID47 [a@1 i="3" b="x\\"y\\]"][b@2] \ufeffAn event',
            {
                "time": "2003-10-11T22:14:15.003000+00:00",
                "host": "m.example",
                "app": "evnt",
                "pid": "12",
                "message_id": "ID47",
                "facility": "local4",
                "severity": 5,
                "level": "notice",
                "structured": {"a@1": {"i": "3", "b": 'x"y]'}, "b@2": {}},
                "message": "An event",
            },
        ),
        ("<0>1 - - - - - -", {"time": "2026-12-01T10:00:00+00:00", "host": None, "app": None, "message": ""}),
        (
            "<34>Oct  1 22:14:15 host su[7]: failed: x",
            {"time": "2026-10-01T22:14:15+00:00", "host": "host", "app": "su", "pid": "7", "message": "failed: x"},
        ),
        ("<34>Oct 11 22:14:15 fe80::1 su: failed", {"host": "fe80::1", "app": "su", "message": "failed"}),
        ("<34>Oct 11 22:14:15 su: failed", {"host": "sender", "app": "su", "message": "failed"}),
        ("<34>Oct 11 2025 22:14:15.250: h a: m", {"time": "2025-10-11T22:14:15.250000+00:00", "host": "h"}),
        (
            "<13>2026-11-30T10:00:00.5+01:00 h app[12]: msg",
            {"time": "2026-11-30T09:00:00.500000+00:00", "host": "h", "app": "app", "pid": "12", "message": "msg"},
        ),
        ("hello world", {"severity": 5, "facility": "user", "host": "sender", "message": "hello world"}),
        ("<999>hello", {"severity": 5, "message": "<999>hello"}),
        ("<13>1 2026-13-01T00:00:00Z h a - - - m", {"message": "1 2026-13-01T00:00:00Z h a - - - m"}),
        ("<13>1 - h a - - [broken m", {"message": "1 - h a - - [broken m"}),
        ("<13>Feb 30 00:00:00 h a: m", {"message": "Feb 30 00:00:00 h a: m"}),
    ],
)
def test_a_message_is_its_fields(text: str, expected: dict[str, Any]) -> None:
    found = parsed(text)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "received", "expected"),
    [
        ("Dec 31 23:59:58", "2027-01-01T00:00:03Z", "2026-12-31T23:59:58+00:00"),
        ("Jan  1 00:00:01", "2026-12-31T23:59:59Z", "2027-01-01T00:00:01+00:00"),
        ("Feb 29 12:00:00", "2028-03-01T00:00:00Z", "2028-02-29T12:00:00+00:00"),
        ("Jun  5 12:00:00", "2026-01-05T00:00:00Z", "2026-06-05T12:00:00+00:00"),
    ],
)
def test_a_time_without_a_year_has_that_which_is_nearest_to_its_arrival(
    text: str, received: str, expected: str
) -> None:
    assert parsed(f"<13>{text} h a: m", received)["time"] == expected


def test_local_times_have_a_zone_and_the_repeated_hour_is_that_nearest_to_the_arrival() -> None:
    text = "<13>Oct 25 02:30:00 h a: m"
    assert parsed(text, "2026-10-25T00:31:00Z", "Europe/Berlin")["time"] == "2026-10-25T00:30:00+00:00"
    assert parsed(text, "2026-10-25T01:31:00Z", "Europe/Berlin")["time"] == "2026-10-25T01:30:00+00:00"


@given(st.text(alphabet='<>135 1-[]=":\\aJan2026T.Z\n', max_size=60))
def test_any_text_is_a_message(text: str) -> None:
    assert parse(text, NOW_US, None, "UTC")["message"] is not None


STREAM = b"<13>one\n\n5 <14>x3 a\nb<15>two\0" + b"20 " + b"y" * 20 + b"z" * 30 + b"\n<16>last"
WHOLE = [b"<13>one", b"<14>x", b"a\nb", b"<15>two", b"y" * 11, b"z" * 11]


@pytest.mark.parametrize("size", range(1, 30))
def test_messages_do_not_depend_on_the_pieces_in_which_they_come(size: int) -> None:
    cutter = FrameCutter(10)
    found = [one for at in range(0, len(STREAM), size) for one in cutter.cut(STREAM[at : at + size])]
    assert found == WHOLE
    assert not cutter.is_counted
    assert cutter.torn() == b"<16>last"


def test_a_counted_message_that_ends_too_soon_is_known() -> None:
    cutter = FrameCutter(100)
    assert cutter.cut(b"12 <13>short") == []
    assert cutter.is_counted
    assert FrameCutter(100).cut(b"1x no length\n1234567890123 x\n") == [b"1x no length", b"1234567890123 x"]

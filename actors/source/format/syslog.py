r"""Syslog: messages of RFC 5424, and of RFC 3164 as senders really write them.

A message has `time`, `host`, `app`, `pid`, `message_id`, `severity` (0 to 7) and its name `level`, `facility`,
`message`, `structured` (an object, into which names may be paths) and `structured_data`, the same as it is written.
What an old message lacks it gets by RFC 3164: without a priority it is 13, and without a header all of it is the
message, its time that of its arrival and its host the sender. Times without a year have the year that brings them
nearest to their arrival, so that reading again gives the same; an hour that a clock has twice is decided alike.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from actors.source.decoding import RowRules
from actors.source.format.ndjson import NdjsonReader
from actors.source.format.text import TextFormat, field_names
from actors.source.protocol import Offsets
from actors.source.records import Origin, Texts
from actors.source.transport.lines import LineFraming
from config.formats import NdjsonFormatSettings, SyslogFormatSettings

TORN = "torn"
"""Header of messages whose connection ended within them."""

LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "clock"),
    *(f"local{number}" for number in range(8)),
)
_DEFAULT_PRIORITY = 13
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_PRIORITY = re.compile(r"<([0-9]{1,3})>")
_NEW = re.compile(r"([1-9][0-9]{0,2}) (\S+) (\S+) (\S+) (\S+) (\S+) (-|\[)", re.ASCII)
_OLD_TIME = re.compile(
    r"(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +(?P<day>[0-9]{1,2})(?: (?P<year>[0-9]{4}))? "
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?:? +",
    re.ASCII,
)
_ISO_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.,]{8,18}(?:Z|[+-][0-9]{2}:?[0-9]{2})?) +", re.ASCII)
_OLD_TAG = re.compile(r"(?P<app>[^\s\[\]:]{1,48})(?:\[(?P<pid>[^\[\]\s]{1,64})\])?: ?")
_OLD_TAG_FIRST = re.compile(_OLD_TAG.pattern.removesuffix(" ?") + "(?: |$)")
"""The same where a host may stand too, in whose address are colons."""
_OLD_HOST = re.compile(r"(?P<host>\S{1,255}) +")
_ELEMENT = re.compile(r'\[([^ =\]"]{1,255})((?: [^ =\]"]{1,255}="(?:[^"\\\]]|\\.)*")*)\]', re.DOTALL)
_PARAMETER = re.compile(r' ([^ =\]"]{1,255})="((?:[^"\\\]]|\\.)*)"', re.DOTALL)


class SyslogReader:
    """Reads messages, the times of which are local ones of a zone where they name none."""

    def __init__(self, objects: NdjsonReader, zone: str, size_bytes_max: int, *, is_torn: bool) -> None:
        self._objects = objects
        self._zone = zone
        self._size_bytes_max = size_bytes_max
        self._is_torn = is_torn

    def read(self, texts: Texts) -> tuple[dict[str, list[Any]], Offsets, dict[int, str]]:
        """Return the values of the good rows by column, the numbers of these, and what is wrong with others."""
        received = texts.meta.get("$received")
        arrivals = [0] * len(texts) if received is None else received.cast(pl.Int64).to_list()
        senders = texts.meta.get("$sender", pl.Series([None] * len(texts), dtype=pl.String)).to_list()
        numbers: list[int] = []
        found: list[dict[str, Any]] = []
        faults: dict[int, str] = {}
        for number in range(len(texts)):
            raw = texts.raw(number)
            if self._is_torn:
                faults[number] = "the connection ended within the message"
            elif len(raw) > self._size_bytes_max:
                faults[number] = f"the message is longer than {self._size_bytes_max} bytes"
            elif raw:
                numbers.append(number)
                found.append(parse(raw.decode("utf-8", "replace"), arrivals[number], senders[number], self._zone))
        return self._objects.rows_of(numbers, found, faults)


def syslog_format(settings: SyslogFormatSettings, rules: RowRules) -> TextFormat:
    """Return what makes rows of the messages of both RFCs."""
    fields = field_names(rules.schema, settings.columns)
    objects = NdjsonReader(NdjsonFormatSettings(missing="null"), fields)

    def open_reader(origin: Origin) -> SyslogReader:
        is_torn = origin.header == TORN.encode()
        return SyslogReader(objects, settings.timezone, settings.record_size_bytes_max, is_torn=is_torn)

    framing = LineFraming(record_size_bytes_max=settings.record_size_bytes_max)
    return TextFormat(rules, fields, framing, open_reader, columns=settings.columns)


def parse(text: str, received_us: int, sender: str | None, zone: str) -> dict[str, Any]:
    """Return the fields of a message; `time` is in nanoseconds since 1970."""
    priority, rest = _DEFAULT_PRIORITY, text
    match = _PRIORITY.match(text)
    if match is not None and int(match[1]) < 8 * len(FACILITIES):
        priority, rest = int(match[1]), text[match.end() :]
    found: dict[str, Any] = {
        "time": received_us * 1000,
        "host": sender,
        "app": None,
        "pid": None,
        "message_id": None,
        "severity": priority % 8,
        "level": LEVELS[priority % 8],
        "facility": FACILITIES[priority // 8],
        "message": rest,
        "structured": {},
        "structured_data": None,
    }
    if match is not None and (new := _NEW.match(rest)) is not None and _take_new(found, rest, new, received_us):
        return found
    _take_old(found, rest, received_us, zone)
    return found


def _take_new(found: dict[str, Any], rest: str, match: re.Match[str], received_us: int) -> bool:
    """Take the fields of RFC 5424; return whether it is such a message."""
    time = received_us * 1000 if match[2] == "-" else _iso_ns(match[2], "UTC")
    data = _structured(rest, match.start(7))
    if time is None or data is None:
        return False
    structured, end = data
    message = rest[end:].removeprefix(" ").removeprefix("\ufeff")
    names = dict(zip(("host", "app", "pid", "message_id"), (match[3], match[4], match[5], match[6]), strict=True))
    found |= {name: None if value == "-" else value for name, value in names.items()}
    shown = rest[match.start(7) : end]
    found |= {"time": time, "message": message, "structured": structured}
    found["structured_data"] = None if shown == "-" else shown
    return True


def _structured(rest: str, start: int) -> tuple[dict[str, dict[str, str]], int] | None:
    """Return structured data that begins at a place, and its end; `None` when it is none."""
    if rest[start] == "-":
        return ({}, start + 1) if rest[start + 1 : start + 2] in ("", " ") else None
    found: dict[str, dict[str, str]] = {}
    position = start
    while (match := _ELEMENT.match(rest, position)) is not None:
        parameters = _PARAMETER.findall(match[2])
        found[match[1]] = {name: re.sub(r'\\(["\\\]])', r"\1", value) for name, value in parameters}
        position = match.end()
    return (found, position) if found and rest[position : position + 1] in ("", " ") else None


def _take_old(found: dict[str, Any], rest: str, received_us: int, zone: str) -> None:
    """Take what a message of RFC 3164 has; without a time it has no header."""
    if (match := _OLD_TIME.match(rest)) is not None:
        time = _nearest_ns(match, received_us, zone)
    elif (match := _ISO_TIME.match(rest)) is not None:
        time = _iso_ns(match[1], zone)
    else:
        time = None
    if match is None or time is None:
        return
    rest = rest[match.end() :]
    found["time"] = time
    tag = _OLD_TAG_FIRST.match(rest)
    if tag is None and (host := _OLD_HOST.match(rest)) is not None:
        found["host"], rest = host["host"], rest[host.end() :]
        tag = _OLD_TAG.match(rest)
    if tag is not None:
        found["app"], found["pid"], rest = tag["app"], tag["pid"], rest[tag.end() :]
    found["message"] = rest


def _iso_ns(text: str, zone: str) -> int | None:
    """Return nanoseconds since 1970 of an ISO time, which is one of a zone unless it names an offset."""
    try:
        time = datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        return None
    return _ns(time if time.tzinfo is not None else time.replace(tzinfo=_zone(zone)))


def _nearest_ns(match: re.Match[str], received_us: int, zone: str) -> int | None:
    """Return the time of RFC 3164 that is nearest to an arrival, in nanoseconds since 1970."""
    fraction = int((match["fraction"] or "").ljust(9, "0"))
    day, hour, minute, second = (int(match[name]) for name in ("day", "hour", "minute", "second"))
    month = _MONTHS.index(match["month"]) + 1
    received = received_us * 1000
    year = (_EPOCH + timedelta(microseconds=received_us)).year
    years = (year - 1, year, year + 1) if match["year"] is None else (int(match["year"]),)
    times: list[int] = []
    for one in years:
        for fold in (0, 1):
            try:
                # The second of a leap is that before it.
                local = datetime(one, month, day, hour, minute, min(second, 59), tzinfo=_zone(zone), fold=fold)
                times.append(_ns(local) + fraction)
            except (ValueError, OverflowError):
                continue
    return min(times, key=lambda time: abs(time - received), default=None)


@lru_cache(maxsize=16)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _ns(time: datetime) -> int:
    passed = time - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000_000 + passed.microseconds * 1_000

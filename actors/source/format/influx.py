r"""InfluxDB's line protocol: `measurement,tag=value field=1.5,other="text" 1465839830100400200`.

A line is a row; its tags, its fields, `measurement` and `time` are found by their names as they are written. Most lines
have neither quotes nor backslashes and are taken apart by splitting; the others letter by letter. A line without a time
has the time at which it arrived, if that is known.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from actors.source.decoding import RowRules
from actors.source.format.text import TextFormat, field_names
from actors.source.protocol import Offsets
from actors.source.records import Origin, Texts, find_unreadable
from actors.source.transport.lines import LineFraming
from config.formats import InfluxFormatSettings

PRECISIONS = {"n": 1, "ns": 1, "u": 1_000, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
"""Units of times in nanoseconds, as settings and requests name them."""

MEASUREMENT, TIME = "measurement", "time"
_HEADER = b"precision="
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
_BOOLS = dict.fromkeys(("t", "T", "true", "True", "TRUE"), True) | dict.fromkeys(
    ("f", "F", "false", "False", "FALSE"), False
)


class LineError(ValueError):
    """A line is none of the protocol; the message says why."""


class InfluxReader:
    """Reads lines whose times have one unit, in nanoseconds."""

    def __init__(self, settings: InfluxFormatSettings, fields: Mapping[str, str], unit_ns: int) -> None:
        self._fields = dict(fields)
        self._measurements = frozenset(settings.measurements)
        self._null_when_missing = settings.missing == "null"
        self._size_bytes_max = settings.record_size_bytes_max
        self._unit_ns = unit_ns

    def read(self, texts: Texts) -> tuple[dict[str, list[Any]], Offsets, dict[int, str]]:
        """Return the values of the good rows by column, the numbers of these, and what is wrong with others."""
        faults = find_unreadable(texts, self._size_bytes_max)
        received = _received_ns(texts)
        numbers: list[int] = []
        found: list[dict[str, Any]] = []
        for number in range(len(texts)):
            text = "" if number in faults else texts.raw(number).decode()
            if not text or text.isspace() or text.startswith("#"):
                continue
            try:
                values = parse_line(text)
                if self._measurements and values[MEASUREMENT] not in self._measurements:
                    continue
                self._check(values)
            except LineError as error:
                faults[number] = str(error)
                continue
            time = values.get(TIME)
            values[TIME] = (None if received is None else received[number]) if time is None else time * self._unit_ns
            numbers.append(number)
            found.append(values)
        columns = {column: [values.get(field) for values in found] for column, field in self._fields.items()}
        return columns, np.array(numbers, dtype=np.int64), faults

    def _check(self, values: Mapping[str, Any]) -> None:
        if not self._null_when_missing:
            for field in self._fields.values():
                if field not in values and field != TIME:
                    raise LineError(f"the line has no tag or field {field!r}")


def influx_format(settings: InfluxFormatSettings, rules: RowRules) -> TextFormat:
    """Return the format of line protocol; an origin may say the unit of its times."""
    fields = field_names(rules.schema, settings.columns)

    def open_reader(origin: Origin) -> InfluxReader:
        said = (origin.header or b"").removeprefix(_HEADER).decode() or settings.precision
        return InfluxReader(settings, fields, PRECISIONS[said])

    framing = LineFraming(record_size_bytes_max=settings.record_size_bytes_max)
    return TextFormat(rules, fields, framing, open_reader, columns=settings.columns)


def precision_header(precision: str) -> str:
    """Return what an origin says whose times have a unit."""
    return _HEADER.decode() + precision


def parse_line(text: str) -> dict[str, Any]:
    """Return the tags and fields of a line with its measurement and, if it has one, its time as it is written.

    Raises:
        LineError: the line is none of the protocol.
    """
    text = text.strip(" \r\n")
    if '"' in text or "\\" in text:
        head, body, time = _parts_with_quotes(text)
    else:
        parts = text.split(" ")
        if len(parts) > 3:
            parts = text.split()
        if not 2 <= len(parts) <= 3:
            raise LineError("the line has no fields" if len(parts) < 2 else "the line has more after its time")
        head, body, time = parts[0].split(","), parts[1].split(","), parts[2] if len(parts) == 3 else ""
    values: dict[str, Any] = {}
    for tag in head[1:]:
        name, value = _pair(tag)
        values[_bare(name)] = _bare(value)
    for part in body:
        name, value = _pair(part)
        values[_bare(name)] = _value(value)
    if not head[0]:
        raise LineError("the line has no measurement")
    values[MEASUREMENT] = _bare(head[0])
    values.pop(TIME, None)
    if time:
        if not _WHOLE.fullmatch(time):
            raise LineError(f"the time of the line, {time[:40]!r}, is no whole number")
        values[TIME] = int(time)
    return values


def cut_lines(body: bytes) -> list[bytes]:
    """Return the lines of a body; a line end within the quotes of a field belongs to its text."""
    lines = body.split(b"\n")
    if b'"' not in body:
        return lines
    found: list[bytes] = []
    number = 0
    while number < len(lines):
        line, end = lines[number], number + 1
        if _is_open(line):
            for last in range(number + 1, len(lines)):
                if not _is_open(b"\n".join(lines[number : last + 1])):
                    line, end = b"\n".join(lines[number : last + 1]), last + 1
                    break
                if last - number > _TEXT_LINES_MAX:
                    break
        found.append(line)
        number = end
    return found


_TEXT_LINES_MAX = 100


def _is_open(line: bytes) -> bool:
    """Return whether the text of a field does not end in a line."""
    if line.count(b'"') % 2 == 0 and b"\\" not in line:
        return False
    try:
        _parts_with_quotes(line.decode("latin-1"))
    except _OpenTextError:
        return True
    except LineError:
        return False
    return False


class _OpenTextError(LineError):
    """The quotes of a text are not closed."""


def _parts_with_quotes(text: str) -> tuple[list[str], list[str], str]:
    """Return the parts between commas of the first two words, and the third word; escapes stay as they are."""
    words: list[list[str]] = [[""]]
    is_quoted = False
    position = 0
    while position < len(text):
        letter = text[position]
        taken = letter
        if letter == "\\" and position + 1 < len(text):
            taken = text[position : position + 2]
            words[-1][-1] += taken
        elif letter == '"' and len(words) == 2 and (is_quoted or words[-1][-1].endswith("=")):
            is_quoted = not is_quoted
            words[-1][-1] += letter
        elif is_quoted or letter not in ", ":
            words[-1][-1] += letter
        elif letter == ",":
            words[-1].append("")
        elif words[-1] != [""]:
            words.append([""])
        position += len(taken)
    if is_quoted:
        raise _OpenTextError("the quotes of a text are not closed")
    if len(words) > 3 or (len(words) == 3 and len(words[2]) > 1):
        raise LineError("the line has more after its time")
    if len(words) < 2:
        raise LineError("the line has no fields")
    return words[0], words[1], words[2][0] if len(words) == 3 else ""


def _pair(part: str) -> tuple[str, str]:
    """Return the name and the value of a part, of which the first may hold escaped equal signs."""
    at = part.find("=")
    while at > 0 and (at - len(part[:at].rstrip("\\"))) % 2:
        at = part.find("=", at + 1)
    if at <= 0 or at + 1 == len(part):
        raise LineError(f"{part[:60]!r} is no name with a value")
    return part[:at], part[at + 1 :]


def _bare(text: str) -> str:
    """Return a name or the value of a tag without its escapes."""
    return re.sub(r"\\([, =])", r"\1", text) if "\\" in text else text


def _value(text: str) -> float | int | bool | str:
    last = text[-1]
    if last in "iu" and _WHOLE.fullmatch(text, 0, len(text) - 1):
        return int(text[:-1])
    if last == '"' and len(text) > 1 and text[0] == '"':
        return re.sub(r'\\(["\\])', r"\1", text[1:-1]) if "\\" in text else text[1:-1]
    if _NUMBER.fullmatch(text):
        return float(text)
    if text in _BOOLS:
        return _BOOLS[text]
    raise LineError(f"{text[:60]!r} is no value: write a number, 5i, true or a text in quotes")


def _received_ns(texts: Texts) -> list[int] | None:
    received = texts.meta.get("$received")
    return None if received is None else (received.cast(pl.Int64) * 1_000).to_list()

"""Entries of systemd's journal, as `journalctl --output=json` writes them.

Fields are columns by their own names (`_SYSTEMD_UNIT`); those of everyday use have short ones too. A field that an
entry has several times is the first of them; one that is no text comes as a list of bytes and is decoded.
"""

import json
from typing import Any

from actors.source.decoding import RowRules
from actors.source.format.ndjson import NdjsonReader
from actors.source.format.text import TextFormat, field_names
from actors.source.protocol import Offsets
from actors.source.records import Texts, find_unreadable
from actors.source.transport.lines import LineFraming
from config.formats import JournaldFormatSettings, NdjsonFormatSettings

SHORT_NAMES = {
    "time": "__REALTIME_TIMESTAMP",
    "host": "_HOSTNAME",
    "unit": "_SYSTEMD_UNIT",
    "app": "SYSLOG_IDENTIFIER",
    "pid": "_PID",
    "severity": "PRIORITY",
    "message": "MESSAGE",
}


class JournaldReader:
    """Reads entries, whose values are all text."""

    def __init__(self, objects: NdjsonReader, size_bytes_max: int) -> None:
        self._objects = objects
        self._size_bytes_max = size_bytes_max

    def read(self, texts: Texts) -> tuple[dict[str, list[Any]], Offsets, dict[int, str]]:
        """Return the values of the good rows by column, the numbers of these, and what is wrong with others."""
        faults = find_unreadable(texts, self._size_bytes_max)
        numbers: list[int] = []
        found: list[dict[str, Any]] = []
        for number in range(len(texts)):
            raw = b"" if number in faults else texts.raw(number)
            if not raw:
                continue
            try:
                entry = json.loads(raw)
                if not isinstance(entry, dict):
                    raise TypeError
            except (ValueError, TypeError, RecursionError):
                faults[number] = "the entry is no object of JSON"
                continue
            plain = {name: _text(value) for name, value in entry.items()}
            numbers.append(number)
            found.append({**{short: plain.get(name) for short, name in SHORT_NAMES.items()}, **plain})
        return self._objects.rows_of(numbers, found, faults)


def journald_format(settings: JournaldFormatSettings, rules: RowRules) -> TextFormat:
    """Return the format of entries of systemd's journal."""
    fields = field_names(rules.schema, settings.columns)
    reader = JournaldReader(NdjsonReader(NdjsonFormatSettings(missing="null"), fields), settings.record_size_bytes_max)
    framing = LineFraming(record_size_bytes_max=settings.record_size_bytes_max)
    return TextFormat(rules, fields, framing, lambda _: reader, columns=settings.columns)


def _text(value: Any) -> Any:
    if isinstance(value, list) and value:
        if all(isinstance(one, int) and 0 <= one < 256 for one in value):
            return bytes(value).decode("utf-8", "replace")
        return _text(value[0])
    return value if isinstance(value, str) or value is None else json.dumps(value)

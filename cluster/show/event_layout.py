"""Events as columns: what their payloads have in common decides which columns there are.

When all events carry JSON objects of the same fields, each field is a column; otherwise there is one column `payload`
of JSON text. The layout depends on the events alone, not on how they were gathered, so it is known when all were seen.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from actors.frames import time_texts
from actors.sink.lines import ANOMALY, json_data
from actors.store import BinaryPayload, Event, JsonPayload, Timestamp
from actors.store.events.event import Payload
from cluster.client.event_query import join_type

EVENT_COLUMNS = ("timestamp", "source_timestamp", "type", "id")
"""Columns that every event has."""

TIME_COLUMNS = ("timestamp", "source_timestamp")
"""Those among them that are times."""

PAYLOAD = "payload"
"""Column of the payload, where its fields have none of their own."""

CALENDAR = range(-62_135_596_800_000_000, 253_402_300_800_000_000)
"""Microseconds since 1970 from the year 1 to the year 9999."""

INT64 = range(-(1 << 63), 1 << 63)
"""Integers that a column takes."""

EXACT_FLOATS = range(-(1 << 53), (1 << 53) + 1)
"""Integers that a column of floats takes without rounding."""

_EPOCH = datetime(1970, 1, 1)


class EventLayout:
    """Finds out the columns of events: `see` them all, then `schema` and `frame` are right."""

    def __init__(self) -> None:
        self._fields: dict[str, None] | None = None
        self._is_flat = True
        self._is_wide = False
        self._has_payload = False
        self._kinds: dict[str, set[str]] = {}

    def see(self, events: Iterable[Event]) -> None:
        """Take events into account."""
        for event in events:
            self._is_wide = self._is_wide or not _is_narrow(event)
            self._see_payload(_shown_payload(event))

    @property
    def schema(self) -> dict[str, Any]:
        """Names and Polars types of the columns; times are without zone and mean UTC."""
        time = pl.String if self._is_wide else pl.Datetime("us")
        fixed: dict[str, Any] = dict(zip(EVENT_COLUMNS, (time, time, pl.String, pl.String), strict=True))
        if not self._has_payload:
            return fixed
        if self._fields is None or not self._is_flat:
            return {**fixed, PAYLOAD: pl.String}
        return fixed | {_column_name(name): _kind_type(self._kinds[name]) for name in self._fields}

    def frame(self, events: Sequence[Event], *, times_as_text: bool = False) -> pl.DataFrame:
        """Return events as a frame of the schema; `times_as_text` shows them as JSON does."""
        schema = self.schema
        times = [event.timestamp.ticks for event in events]
        sources = [event.source_timestamp and event.source_timestamp.ticks for event in events]
        columns: dict[str, pl.Series | Sequence[Any]] = {
            "timestamp": times,
            "source_timestamp": sources,
            "type": [_whole(join_type(event.type)) for event in events],
            "id": [show_id(event) for event in events],
        }
        if times_as_text or self._is_wide:
            schema |= dict.fromkeys(TIME_COLUMNS, pl.String)
            columns |= {"timestamp": _time_texts(times), "source_timestamp": _time_texts(sources)}
        if PAYLOAD in schema and (self._fields is None or not self._is_flat):
            columns[PAYLOAD] = [_payload_text(_shown_payload(event)) for event in events]
        elif self._has_payload:
            payloads = [_shown_payload(event) for event in events]
            for name in self._fields or ():
                columns[_column_name(name)] = self._field(name, payloads)
        return pl.DataFrame({name: _series(name, values, schema[name]) for name, values in columns.items()})

    def _see_payload(self, payload: Payload) -> None:
        data = payload.data if isinstance(payload, JsonPayload) else None
        self._has_payload = self._has_payload or payload is not None
        if not isinstance(data, dict):
            self._is_flat = False
            return
        if self._fields is None:
            self._fields = dict.fromkeys(data)
            self._kinds = {name: set() for name in data}
        elif data.keys() != self._fields.keys():
            self._is_flat = False
        if self._is_flat:
            for name, value in data.items():
                self._kinds[name].add(_kind(value))

    def _field(self, name: str, payloads: Sequence[Payload]) -> list[Any]:
        values = [payload.data[name] for payload in payloads if isinstance(payload, JsonPayload)]
        if not _is_text(self._kinds[name]):
            return values
        is_plain = self._kinds[name] <= {"str", "null"}
        return [None if value is None else _whole(value) if is_plain else _text(value) for value in values]


def event_record(event: Event) -> dict[str, Any]:
    """Return an event as plain data for JSON."""
    return {
        "timestamp": show_timestamp(event.timestamp),
        "source_timestamp": None if event.source_timestamp is None else show_timestamp(event.source_timestamp),
        "type": join_type(event.type),
        "id": show_id(event),
        PAYLOAD: _payload_data(_shown_payload(event)),
    }


def pick_columns(record: Mapping[str, Any], columns: Sequence[str]) -> Mapping[str, Any]:
    """Return the wanted columns of an event's record, those of its payload included; what it has not is null."""
    if not columns:
        return record
    payload = record[PAYLOAD] if isinstance(record[PAYLOAD], dict) else {}
    fields = {_column_name(name): value for name, value in payload.items()} | dict(record)
    return {name: fields.get(name) for name in columns}


def show_timestamp(timestamp: Timestamp) -> str:
    """Return a timestamp as text in UTC, with microseconds."""
    return _time_text(timestamp.ticks)


def show_id(event: Event) -> str:
    """Return an id as people may type it."""
    return "/".join(map(str, event.id))


def _time_text(ticks: int) -> str:
    try:
        return (_EPOCH + timedelta(microseconds=ticks)).isoformat(timespec="microseconds") + "Z"
    except OverflowError:
        return f"{ticks}us"


def _time_texts(ticks: Sequence[int | None]) -> pl.Series | list[str | None]:
    if all(one is None or one in CALENDAR for one in ticks):
        times = pl.Series("time", ticks, dtype=pl.Int64).cast(pl.Datetime("us"))
        return time_texts(times.to_frame()).to_series()
    return [None if one is None else _time_text(one) for one in ticks]


def _is_narrow(event: Event) -> bool:
    return event.timestamp.ticks in INT64 and (event.source_timestamp is None or event.source_timestamp.ticks in INT64)


def _column_name(field: str) -> str:
    return f"{PAYLOAD}.{field}" if field in (*EVENT_COLUMNS, PAYLOAD) else field


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if value in EXACT_FLOATS else "long" if value in INT64 else "huge"
    return type(value).__name__ if isinstance(value, float | str) else "nested"


def _kind_type(kinds: set[str]) -> Any:
    present = kinds - {"null"}
    if not present or _is_text(kinds):
        return pl.String
    if present == {"bool"}:
        return pl.Boolean
    return pl.Float64 if "float" in present else pl.Int64


def _is_text(kinds: set[str]) -> bool:
    """Return whether the values of a field go into a column as text: as they are, or as JSON when they are mixed."""
    present = kinds - {"null"}
    return not (present == {"bool"} or present <= {"int", "float"} or present <= {"int", "long"}) or not present


def _series(name: str, values: pl.Series | Sequence[Any], kind: Any) -> pl.Series:
    if isinstance(values, pl.Series):
        return values.alias(name)
    if isinstance(kind, pl.Datetime):
        return pl.Series(name, values, dtype=pl.Int64).cast(kind)
    return pl.Series(name, values, dtype=kind)


def _shown_payload(event: Event) -> Payload:
    """Return an event's payload; that of an anomaly which an earlier version stored has its detail as JSON text."""
    payload = event.payload
    data = payload.data if isinstance(payload, JsonPayload) and event.type[1:2] == (ANOMALY,) else None
    if not isinstance(data, dict) or data.keys() != {"metric", "key", "detail"} or not isinstance(data["detail"], str):
        return payload
    return JsonPayload(data | {"detail": json_data(data["detail"])})


def _payload_data(payload: Payload) -> Any:
    if isinstance(payload, BinaryPayload):
        return {"binary": payload.type, "base64": base64.b64encode(payload.data).decode("ascii")}
    return None if payload is None else payload.data


def _payload_text(payload: Payload) -> str | None:
    return None if payload is None else _text(_payload_data(payload))


def _text(value: Any) -> str:
    return _whole(json.dumps(value, ensure_ascii=False))


def _whole(text: str) -> str:
    """Return text without halves of surrogate pairs, which columns cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")

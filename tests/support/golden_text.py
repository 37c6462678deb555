"""Golden cases as text: what an engine is created with, its rows, and the output expected.

A file is a sentence or more about the case, an empty line, settings, and sections::

    Six rows, two metrics.

    schema: time TIMESTAMP, sym SYMBOL, qty INT
    time: time
    key: sym
    window: 3 step 3
    metric: sum(qty) > 5
    description: too much

    --- rows
    2018-10-08T01:01:01.002 | A | 6
    --- output
    0.0 | 2018-10-08T01:01:01.003 | A | 0 | sum(qty) > 5

Each section `rows` is a batch. Values are as they look; `NULL` is NULL and `""` the empty string. Times are integers in
the unit of their type or ISO dates and times; the output has them like the rows. A line of output names the row that
caused the anomaly and its ordinal, then time, key, metric index and text. An engine that must not be created has the
output `refused: code`.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.engine_case import EngineCase
from tests.support.naive_engine import Anomaly

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK_MICROSECONDS = {"TIMESTAMP": 1_000, "DATETIME": 1_000_000, "MICROTIMESTAMP": 1, "DATE": 86_400_000_000}
"""Microseconds of a tick, for the types whose times may be written as dates."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
PRECISIONS = {"TIMESTAMP": "milliseconds", "DATETIME": "seconds", "MICROTIMESTAMP": "microseconds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenCase:
    """One file."""

    path: Path
    head: str
    """Everything before the output."""

    case: EngineCase
    output: list[str]
    """Lines of the output expected."""

    has_dates: bool
    """Whether times are written as dates."""

    def lines(self, found: list[Anomaly]) -> list[str]:
        """Return anomalies as lines of the output."""
        return [self._line(anomaly) for anomaly in found]

    def rewrite(self, lines: list[str]) -> None:
        """Make these lines the output expected."""
        self.path.write_text("\n".join([self.head, "--- output", *lines]) + "\n")

    def _line(self, anomaly: Anomaly) -> str:
        kind = self.case.schema[self.case.time_column]
        time = show_time(anomaly.time, kind) if self.has_dates else str(anomaly.time)
        shown = [time, *map(show_value, anomaly.key), str(anomaly.metric_index), anomaly.text]
        return " | ".join([f"{anomaly.offset}.{anomaly.ordinal}", *shown])


def read_golden(path: Path) -> GoldenCase:
    """Return the case of a file."""
    head, _, output = path.read_text().partition("\n--- output\n")
    settings, *batches = re.split(r"\n--- rows(?:\n|$)", head)
    schema, arguments = _settings(settings.partition("\n\n")[2])
    rows = [[_row(line, list(schema.values())) for line in batch.splitlines() if line.strip()] for batch in batches]
    case = EngineCase(schema=schema, batches=rows, **arguments)
    has_dates = any(_DATE.search(batch) for batch in batches)
    return GoldenCase(path=path, head=head, case=case, output=output.splitlines(), has_dates=has_dates)


def _settings(text: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the schema and the other arguments of an engine."""
    pairs = [line.split(": ", 1) for line in text.splitlines() if line.strip()]
    settings = dict(pairs)
    columns = [column.split() for column in settings["schema"].split(", ")]
    arguments: dict[str, Any] = {
        "metrics": [value for name, value in pairs if name == "metric"],
        "anomaly_descriptions": [value for name, value in pairs if name == "description"] or None,
        "time_column": settings["time"],
        "key_columns": tuple(settings["key"].split(", ")) if "key" in settings else (),
        "round_time": settings.get("round time", "true") == "true",
        "nulls": settings.get("nulls", "smallest"),
    }
    if "window" in settings:
        arguments["window_size"], arguments["step"] = map(int, settings["window"].split(" step "))
    return {name: kind for name, kind in columns}, arguments  # noqa: C416 - checks that there are two


def _row(line: str, kinds: list[str]) -> list[Any]:
    return [_value(cell.strip(), kind) for cell, kind in zip(line.split("|"), kinds, strict=True)]


def _value(text: str, kind: str) -> Any:
    if text == "NULL":
        return None
    if kind in ("STRING", "SYMBOL"):
        return "" if text == '""' else text
    if kind == "BOOL":
        return {"true": True, "false": False}[text]
    if kind == "DOUBLE":
        return float(text)
    return read_time(text, kind) if _DATE.match(text) else int(text)


def read_time(text: str, kind: str) -> int:
    """Return a date and time as ticks of its type."""
    since = datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH
    return since // timedelta(microseconds=TICK_MICROSECONDS[kind])


def to_datetime(ticks: int, kind: str) -> datetime:
    """Return ticks as a date and time without a zone."""
    return (EPOCH + timedelta(microseconds=ticks * TICK_MICROSECONDS[kind])).replace(tzinfo=None)


def show_time(ticks: int, kind: str) -> str:
    """Return ticks as a date and time."""
    moment = to_datetime(ticks, kind)
    return moment.date().isoformat() if kind == "DATE" else moment.isoformat(timespec=PRECISIONS[kind])


def show_value(value: Any) -> str:
    """Return the value of a key column as the cases write it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    return '""' if value == "" else str(value)

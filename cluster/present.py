"""What commands print: tables for people, JSON for programs. Pure: values in, text out."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from actors.anomalies import Anomaly
from actors.frames import present_times, to_physical
from actors.model import Column
from actors.source import DeadLetter
from cluster.pump import PumpStat
from config.settings import JobSettings


def anomaly_frame(job: JobSettings, anomalies: Sequence[Anomaly]) -> pl.DataFrame:
    """Return anomalies as the output table: time, key columns, type, metric, detail, and where they come from."""
    schema = job.row_schema
    keys = {name: [anomaly.key[i] for anomaly in anomalies] for i, name in enumerate(job.key_columns)}
    frame = pl.DataFrame(
        {
            job.time_column: pl.Series([anomaly.time for anomaly in anomalies], dtype=pl.Int64),
            **keys,
            "type": pl.Series([anomaly.type for anomaly in anomalies], dtype=pl.Int32),
            "metric": pl.Series([anomaly.metric for anomaly in anomalies], dtype=pl.String),
            "detail": pl.Series([anomaly.detail for anomaly in anomalies], dtype=pl.String),
            "split": pl.Series([anomaly.id.split for anomaly in anomalies], dtype=pl.Int64),
            "offset": pl.Series([anomaly.id.offset for anomaly in anomalies], dtype=pl.Int64),
            "ordinal": pl.Series([anomaly.id.ordinal for anomaly in anomalies], dtype=pl.Int64),
        }
    )
    return present_times(schema, frame)


def show_anomalies(
    job: JobSettings, anomalies: Sequence[Anomaly], *, as_json: bool, is_wide: bool = False, has_header: bool = True
) -> str:
    """Return anomalies as text; the table leaves out what names the row unless it `is_wide`."""
    frame = anomaly_frame(job, anomalies)
    if as_json:
        return show_json_lines(frame.to_dicts())
    if not is_wide:
        hidden = ["split", "offset", "ordinal"] + (["detail"] if frame["detail"].is_null().all() else [])
        frame = frame.drop(hidden)
    table = show_table(frame)
    return table if has_header else "\n".join(table.splitlines()[2:])


def show_table(frame: pl.DataFrame) -> str:
    """Return a frame as a plain table with columns wide enough for their values."""
    rows = [[show_cell(value) for value in row] for row in frame.iter_rows()]
    return show_rows(frame.columns, rows)


def show_rows(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text below a header, numbers to the right."""
    widths = [max(len(name), *(len(row[i]) for row in rows), 0) for i, name in enumerate(names)]
    is_number = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(names))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, is_number, strict=True)
        )
        return "  ".join(padded).rstrip()

    return "\n".join([line(names), line(["-" * width for width in widths]), *map(line, rows)])


def show_dead_letters(letters: Iterable[DeadLetter], *, as_json: bool) -> str:
    """Return dead letters as text."""
    found = [
        {
            "split": letter.split,
            "offset": letter.offset,
            "reason": letter.reason,
            "raw": letter.raw.decode("utf-8", errors="backslashreplace"),
        }
        for letter in letters
    ]
    if as_json:
        return show_json_lines(found)
    names = ("split", "offset", "reason", "raw")
    return show_rows(names, [[show_cell(letter[name])[:100] for name in names] for letter in found])


def show_run(stat: PumpStat, late_row_count: int) -> str:
    """Return what a run has read and found; rows that were set aside are named only when there are any."""
    late = f", {late_row_count} late rows that were not tested" if late_row_count else ""
    return f"{stat.row_count} rows, {stat.dead_letter_count} dead letters{late}, {stat.anomaly_count} new anomalies"


def show_json_lines(records: Iterable[Mapping[str, Any]]) -> str:
    """Return records as lines of JSON; all times have the same number of digits."""
    return "\n".join(json.dumps(record, default=_json_value, ensure_ascii=False) for record in records)


def _json_value(value: Any) -> str:
    return value.isoformat(sep=" ", timespec="microseconds") if isinstance(value, datetime) else str(value)


def show_time_us(time_us: int | None) -> str:
    """Return a time of day in UTC, or a dash."""
    if time_us is None:
        return "-"
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%H:%M:%S.%f")[:-3]


def parse_time(job: JobSettings, text: str | None) -> int | None:
    """Return the ticks of the job's time column that a typed time means: ticks, or an ISO date and time in UTC.

    Raises:
        ValueError: it is neither.
    """
    if text is None:
        return None
    if text.lstrip("-").isdigit():
        return int(text)
    column = job.row_schema[job.time]
    moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return _ticks(column, moment)


def _ticks(column: Column, moment: datetime) -> int:
    if not column.type.has_date:
        raise ValueError(f"column {column.name!r} is {column.type}, which has no date; give its ticks")
    value = to_physical(pl.Series(column.name, [moment], dtype=pl.Datetime("us")), column)
    return int(value[0])


def show_cell(value: Any) -> str:
    """Return one value of a table as text."""
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    return str(value)


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()

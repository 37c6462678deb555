"""What commands print of rows and anomalies: tables for people, JSON for programs. Pure: values in, text out."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from actors.durations import nanoseconds_per_unit, show_duration
from actors.model import SECONDS_PER_UNIT, UNITS_PER_SECOND, Column, ColumnType
from actors.sink.lines import Raised, anomaly_records, anomaly_rows, column_names, detail_text
from actors.time_text import EPOCH_DAY, FIRST_DAY, LAST_DAY
from cluster.client.typed_times import DAY_US, US_PER_S, read_time, read_whole
from cluster.errors import ClusterError
from cluster.leader.status import PumpStat
from cluster.show.text import show_cell, show_json_lines, show_rows
from config.form import JobForm

if TYPE_CHECKING:
    from config.settings import JobSettings

_NAMES_OF_ROW = frozenset({"split", "offset", "ordinal"})


def narrow_rows(job: JobForm, anomalies: Sequence[Raised]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return columns and rows for people: without what names the row, with the details of detectors alone."""
    rows = anomaly_rows(job, anomalies, detail_text)
    for row in rows:
        if row["type"] < len(job.metrics):
            row["detail"] = None
    hidden = _NAMES_OF_ROW if any(row["detail"] is not None for row in rows) else {*_NAMES_OF_ROW, "detail"}
    return [name for name in column_names(job) if name not in hidden], rows


def show_anomalies(
    job: JobForm, anomalies: Sequence[Raised], *, as_json: bool, is_wide: bool = False, has_header: bool = True
) -> str:
    """Return anomalies as text; the table leaves out what names the row unless it `is_wide`."""
    if as_json:
        return show_json_lines(anomaly_records(job, anomalies))
    names, rows = column_names(job), anomaly_rows(job, anomalies, detail_text)
    if not is_wide:
        names, rows = narrow_rows(job, anomalies)
    table = show_rows(names, [[show_cell(row[name]) for name in names] for row in rows])
    return table if has_header else "\n".join(table.splitlines()[2:])


def show_run(stat: PumpStat, late_row_count: int, times: Sequence[str | int | None] = ()) -> str:
    """Return what a run has read and found; rows that were not tested are named only when there are any."""
    late = f", {late_row_count} late rows that were not tested" if late_row_count else ""
    reach = f" from {times[0]} to {times[1]}" if times else ""
    read = f"{stat.row_count} rows{reach}, {stat.dead_letter_count} dead letters{late}"
    return f"{read}, {stat.anomaly_count} new anomalies"


def show_null_comparisons(job: "JobSettings", counts: Sequence[int]) -> list[str]:
    """Return a line for each metric whose comparisons met NULL."""
    means = {"unknown": "which is unknown and not true", "smallest": "which counts as the smallest value"}
    return [
        f"metric {index}, {metric.describe or metric.when}: {count} comparisons met NULL, {means[job.engine.nulls]}"
        for index, (metric, count) in enumerate(zip(job.metrics, counts, strict=False))
        if count
    ]


def show_nothing_but_letters(dead_letter_count: int) -> str:
    """Return what is said when no record became a row."""
    return f"none of {dead_letter_count} records became a row; columns, format or times of `source` do not fit them"


def parse_time(job: JobForm, text: str | None, now_us: int, *, is_end: bool = False) -> int | None:
    """Return the ticks of the job's time column that a typed time means: ticks, or a time as people type it.

    A day means its beginning, or with `is_end` its last tick.

    Raises:
        ClusterError: it is neither.
    """
    if text is None:
        return None
    number = read_whole(text)
    if number is not None:
        return number
    column = job.row_schema[job.time_column]
    typed = read_time(text, now_us)
    if not is_end or typed.end_us is None:
        return _ticks(column, typed.start_us) + (typed.rest_ns if column.type is ColumnType.NANOTIMESTAMP else 0)
    end, last = _ticks(column, typed.end_us), _ticks(column, typed.last_us)
    # Ticks may be finer than microseconds, or as long as a month.
    return end - 1 if last < end else end


def shown_ticks(job: "JobSettings", ticks: int) -> str:
    """Return a length of time of a job's rows as text."""
    tick_ns = nanoseconds_per_unit(job.row_schema[job.time].type)
    return f"{ticks} months" if tick_ns is None else show_duration(ticks * tick_ns)


def _ticks(column: Column, time_us: int) -> int:
    if not column.type.has_date:
        raise ClusterError(f"column {column.name!r} is {column.type}, which has no date; give its ticks")
    if column.type is ColumnType.MONTH:
        day = time_us // DAY_US
        if not FIRST_DAY <= day <= LAST_DAY:
            raise _beyond(column)
        found = date.fromordinal(day + EPOCH_DAY)
        return found.year * 12 + found.month - 1
    if column.type in SECONDS_PER_UNIT:
        return time_us // (SECONDS_PER_UNIT[column.type] * US_PER_S)
    ticks = time_us * UNITS_PER_SECOND[column.type] // US_PER_S
    if not -(1 << 63) <= ticks < 1 << 63:
        raise _beyond(column)
    return ticks


def _beyond(column: Column) -> ClusterError:
    return ClusterError(f"column {column.name!r} is {column.type}, which cannot hold such a time; give a nearer one")

"""What commands print of rows and anomalies: tables for people, JSON for programs. Pure: values in, text out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from actors.frames import time_texts, to_physical
from actors.model import Column, ColumnType
from actors.partition.anomaly_table import Anomaly
from actors.sink.lines import anomaly_frame, anomaly_records
from cluster.client.typed_times import read_time, read_whole
from cluster.errors import ClusterError
from cluster.leader.status import PumpStat
from cluster.show.text import show_cell, show_json_lines, show_rows
from config.settings import JobSettings

if TYPE_CHECKING:
    from actors.source.protocol import DeadLetter

RAW_SHOWN_MAX = 100
"""Characters of a dead letter that a table shows."""


def narrow(job: JobSettings, frame: pl.DataFrame) -> pl.DataFrame:
    """Return an anomaly frame for people: without what names the row, with the details of detectors alone."""
    own = pl.when(pl.col("type") >= len(job.metrics)).then(pl.col("detail")).alias("detail")
    shown = frame.drop("split", "offset", "ordinal").with_columns(own)
    return shown.drop("detail") if shown["detail"].is_null().all() else shown


def show_anomalies(
    job: JobSettings, anomalies: Sequence[Anomaly], *, as_json: bool, is_wide: bool = False, has_header: bool = True
) -> str:
    """Return anomalies as text; the table leaves out what names the row unless it `is_wide`."""
    frame = anomaly_frame(job, anomalies)
    if as_json:
        return show_json_lines(anomaly_records(job, frame))
    if not is_wide:
        frame = narrow(job, frame)
    table = show_table(frame)
    return table if has_header else "\n".join(table.splitlines()[2:])


def show_table(frame: pl.DataFrame) -> str:
    """Return a frame as a plain table with columns wide enough for their values."""
    rows = [[show_cell(value) for value in row] for row in time_texts(frame).iter_rows()]
    return show_rows(frame.columns, rows)


def dead_letter_frame(letters: "Sequence[DeadLetter]", *, is_cut: bool = False) -> pl.DataFrame:
    """Return dead letters as a frame; `is_cut` shortens what is long, for people."""
    length = RAW_SHOWN_MAX if is_cut else None
    return pl.DataFrame(
        {
            "split": pl.Series([letter.split for letter in letters], dtype=pl.Int64),
            "offset": pl.Series([letter.offset for letter in letters], dtype=pl.Int64),
            "reason": pl.Series([letter.reason[:length] for letter in letters], dtype=pl.String),
            "raw": pl.Series(
                [letter.raw.decode("utf-8", errors="backslashreplace")[:length] for letter in letters], dtype=pl.String
            ),
        }
    )


def show_run(stat: PumpStat, late_row_count: int, times: Sequence[str | int | None] = ()) -> str:
    """Return what a run has read and found; rows that were not tested are named only when there are any."""
    late = f", {late_row_count} late rows that were not tested" if late_row_count else ""
    reach = f" from {times[0]} to {times[1]}" if times else ""
    read = f"{stat.row_count} rows{reach}, {stat.dead_letter_count} dead letters{late}"
    return f"{read}, {stat.anomaly_count} new anomalies"


def show_null_comparisons(job: JobSettings, counts: Sequence[int]) -> list[str]:
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


def parse_time(job: JobSettings, text: str | None, now_us: int, *, is_end: bool = False) -> int | None:
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
    column = job.row_schema[job.time]
    typed = read_time(text, now_us)
    if not is_end or typed.end_us is None:
        return _ticks(column, typed.start_us) + (typed.rest_ns if column.type is ColumnType.NANOTIMESTAMP else 0)
    end, last = _ticks(column, typed.end_us), _ticks(column, typed.last_us)
    # Ticks may be finer than microseconds, or as long as a month.
    return end - 1 if last < end else end


def _ticks(column: Column, time_us: int) -> int:
    if not column.type.has_date:
        raise ClusterError(f"column {column.name!r} is {column.type}, which has no date; give its ticks")
    moment = pl.Series(column.name, [time_us], dtype=pl.Int64).cast(pl.Datetime("us"))
    return int(to_physical(moment, column)[0])

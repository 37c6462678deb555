"""What commands show of episodes, late rows and the reasons of anomalies. Pure: values in, frames and text out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from actors.engine.episodes.episode import Episode
from actors.frames import polars_schema, present_times
from actors.model import AnomalyId, Column, Schema
from actors.partition.anomalies import Anomaly
from actors.partition.rejected_records import LateRow
from actors.partition.type_texts import type_texts
from actors.sink.anomaly_frames import json_records
from actors.sink.lines import anomaly_records, with_key
from cluster.errors import ClusterError
from cluster.show.frame_output import show_table
from cluster.show.text import show_cell, show_json_lines
from config.settings import JobSettings

TIMES = ("since", "start", "fired_at", "end", "last_true")
"""Columns of episodes that are times."""


def late_frame(job: JobSettings, rows: Sequence[LateRow]) -> pl.DataFrame:
    """Return late rows as a frame: where they are from, why they were discarded, and their columns."""
    where = {
        "split": pl.Series([late.split for late in rows], dtype=pl.Int64),
        "offset": pl.Series([late.offset for late in rows], dtype=pl.Int64),
        "reason": pl.Series([late.reason for late in rows], dtype=pl.String),
    }
    schema = job.row_schema
    own = pl.DataFrame([late.row for late in rows], schema=polars_schema(schema), orient="row")
    shown = present_times(schema, own, months_as_text=True)
    return shown.select(
        *[pl.lit(values).alias(name) for name, values in where.items() if name not in shown.columns], pl.all()
    )


def episode_frame(job: JobSettings, episodes: Sequence[Episode]) -> pl.DataFrame:
    """Return episodes as a frame: key columns, metric, state, times, count, peak, and the row that began them."""
    texts = type_texts(job)
    types = polars_schema(job.row_schema)
    keys = {
        name: pl.Series([episode.key[i] for episode in episodes], dtype=types[name])
        for i, name in enumerate(job.all_key_columns)
    }
    kind = job.row_schema[job.time_column].type
    times = {name: pl.Series([getattr(one, name) for one in episodes], dtype=pl.Int64) for name in TIMES}
    schema = Schema(tuple(Column(name=name, type=kind) for name in TIMES))
    return pl.DataFrame(
        {
            **present_times(job.row_schema, pl.DataFrame(keys), months_as_text=True).to_dict(),
            "type": pl.Series([one.type for one in episodes], dtype=pl.Int32),
            "metric": pl.Series([_text_of(texts, one.type) for one in episodes], dtype=pl.String),
            "state": pl.Series([str(one.state) for one in episodes], dtype=pl.String),
            **present_times(schema, pl.DataFrame(times), months_as_text=True).to_dict(),
            "count": pl.Series([one.count for one in episodes], dtype=pl.Int64),
            "peak": pl.Series([None if one.peak is None else float(one.peak) for one in episodes], dtype=pl.Float64),
            "split": pl.Series([one.split for one in episodes], dtype=pl.Int64),
            "offset": pl.Series([one.offset for one in episodes], dtype=pl.Int64),
        }
    )


def episode_records(job: JobSettings, frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame of episodes as plain data for JSON, with the key as an object."""
    return [with_key(job, record) for record in json_records(frame)]


def show_episodes(job: JobSettings, episodes: Sequence[Episode], *, as_json: bool, has_header: bool = True) -> str:
    """Return episodes as text, in the form of `query episodes`."""
    frame = episode_frame(job, episodes)
    if as_json:
        return show_json_lines(episode_records(job, frame)) if frame.height else ""
    table = show_table(frame)
    return table if has_header else "\n".join(table.splitlines()[2:])


def _text_of(texts: Sequence[str], number: int) -> str | None:
    # A job that was changed may have fewer metrics than the one before it, whose episodes stay.
    return texts[number] if number < len(texts) else None


def before(place: AnomalyId) -> AnomalyId | None:
    """Return the greatest id below one, `None` if there is none."""
    if place.ordinal:
        return AnomalyId(split=place.split, offset=place.offset, ordinal=place.ordinal - 1)
    if place.offset:
        return AnomalyId(split=place.split, offset=place.offset - 1, ordinal=(1 << 32) - 1)
    if place.split:
        return AnomalyId(split=place.split - 1, offset=(1 << 64) - 1, ordinal=(1 << 32) - 1)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One anomaly and its reasons, as they are shown."""

    id: str
    """Split, offset and ordinal, joined by slashes."""

    time: str | int | None
    window: Mapping[str, Any] | None
    """Its `start` (inclusive), `end` (exclusive) and number of `rows`; `None` if it has none."""

    key: Mapping[str, Any]
    type: int
    metric: str
    detail: Any
    """What is kept of it; `None` if nothing is."""


def explained(job: JobSettings, place: AnomalyId, found: Sequence[Anomaly]) -> Explained:
    """Return one anomaly and its reasons.

    Raises:
        ClusterError: it was not found.
    """
    if not found or found[0].id != place:
        text = f"{place.split}/{place.offset}/{place.ordinal}"
        raise ClusterError(f"job {job.name!r} has no anomaly {text}; `tocsin query anomalies --wide` shows what it has")
    (record,) = anomaly_records(job, found[:1])
    detail = record["detail"]
    return Explained(
        id=f"{place.split}/{place.offset}/{place.ordinal}",
        time=record["time"],
        window=detail.get("window") if isinstance(detail, dict) else None,
        key=record["key"],
        type=record["type"],
        metric=record["metric"],
        detail=detail,
    )


def show_explained(one: Explained) -> str:
    """Return the reasons of an anomaly as text."""
    keys = [f"{name} {show_cell(value)}" for name, value in one.key.items()]
    lines = [one.metric, f"  {', '.join((f'at {show_cell(one.time)}', *keys, f'anomaly {one.id}'))}"]
    detail = one.detail
    if detail is None:
        reason = "the job has another `explain` than `all`, or its metrics have changed since"
        return "\n".join([*lines, f"  nothing more is kept: {reason}"])
    if not isinstance(detail, dict) or not set(detail) <= {"values", "window"}:
        return "\n".join([*lines, f"  {json.dumps(detail, ensure_ascii=False)}"])
    values = detail.get("values", {})
    if one.window is not None:
        lines.append("  window from {start} to before {end}, {rows} rows".format_map(one.window))
    width = max(map(len, values), default=0)
    lines += [f"  {name.ljust(width)}  = {show_cell(value)}" for name, value in values.items()]
    return "\n".join(lines)

"""Summaries of backtests: plain values for programs, tables for people. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from actors.frames import present_times
from actors.model import Schema
from actors.sink.anomaly_frames import json_records
from actors.source.protocol import DeadLetter
from actors.time_text import time_text
from cluster.backtest.counting import Backtest
from cluster.show.text import show_cell, show_rows
from config.form import key_columns_of

KEYS_SHOWN = 5
"""Keys that a summary names for each metric, those with most anomalies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySummary:
    """What a metric finds of one key."""

    key: Mapping[str, Any]
    """Values of the key columns, times as ISO text."""

    anomalies: int
    rows: int
    """Rows of the key."""

    per_1000_rows: float
    """Anomalies per 1000 rows of the key."""

    first: str | None
    last: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """What one metric or detector finds."""

    type: int
    metric: str
    """Its description, or its text."""

    anomalies: int
    episodes: int | None
    """`None` without a lifecycle."""

    per_1000_rows: float
    keys: int
    """Keys with an anomaly."""

    first: str | None
    last: str | None
    top_keys: tuple[KeySummary, ...]
    """Those with most anomalies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a job finds; times are ISO text, `None` without any row."""

    job: str
    rows: int
    keys: int
    time_from: str | None
    time_to: str | None
    anomalies: int
    late_rows: int
    dead_letters: int
    null_comparisons: tuple[int, ...]
    """For each metric."""

    first_dead_letters: tuple[DeadLetter, ...]
    metrics: tuple[MetricSummary, ...]


def summarise(result: Backtest, key_count_max: int = KEYS_SHOWN) -> Summary:
    """Return what a job finds: totals, each metric, and its keys with most anomalies (0: all keys)."""
    return Summary(
        job=result.job.name,
        rows=result.row_count,
        keys=result.rows_of(result.job.key_columns).height if result.job.key_columns else min(result.row_count, 1),
        time_from=shown_time(result, result.time_first),
        time_to=shown_time(result, result.time_last),
        anomalies=result.anomaly_count,
        late_rows=result.late_row_count,
        dead_letters=result.dead_letter_count,
        null_comparisons=tuple(result.null_comparison_counts),
        first_dead_letters=tuple(result.dead_letters),
        metrics=tuple(_metric(result, index, key_count_max) for index in range(len(result.metrics))),
    )


def plain_summary(summary: Summary) -> dict[str, Any]:
    """Return a summary as JSON has it."""
    names = {"time_from": "from", "time_to": "to"}
    plain = {names.get(name, name): value for name, value in asdict(summary).items()}
    for letter in plain["first_dead_letters"]:
        del letter["raw"]
    return plain


def shown_time(result: Backtest, ticks: int | None) -> str | None:
    """Return ticks of the time column as ISO text."""
    return time_text(result.job.row_schema[result.job.time].type, ticks)


def shown_metric(result: Backtest, index: int) -> str:
    """Return a metric as its anomalies are called: by its description if it has one."""
    described = result.job.metrics[index].describe if index < len(result.job.metrics) else None
    return described or result.metrics[index]


def _metric(result: Backtest, index: int, key_count_max: int) -> MetricSummary:
    found = result.counts.filter(pl.col("type") == index)
    count = result.count_of(index)
    names = result.job.all_key_columns
    by_key = found.sort("anomalies", *names, descending=[True, *(False for _ in names)])
    return MetricSummary(
        type=index,
        metric=shown_metric(result, index),
        anomalies=count,
        episodes=result.episode_counts.get(index, 0) if _has_lifecycle(result, index) else None,
        per_1000_rows=_per_1000(count, result.row_count),
        keys=found.height,
        first=shown_time(result, _or_none(found["first"].min())),
        last=shown_time(result, _or_none(found["last"].max())),
        top_keys=_keys(result, index, by_key.head(key_count_max or by_key.height)),
    )


def _has_lifecycle(result: Backtest, index: int) -> bool:
    rules = result.job.rules
    return index < len(rules) and result.job.makes_episodes(rules[index])


def _keys(result: Backtest, index: int, found: pl.DataFrame) -> tuple[KeySummary, ...]:
    names = key_columns_of(result.job, index)
    rows = found
    if names:
        rows = found.join(result.rows_of(names), on=names, how="left", nulls_equal=True, maintain_order="left")
    shown = shown_keys(result, found)
    return tuple(
        KeySummary(
            key={name: shown_key[name] for name in result.job.all_key_columns},
            anomalies=line["anomalies"],
            rows=line["rows"] if names else result.row_count,
            per_1000_rows=_per_1000(line["anomalies"], line["rows"] if names else result.row_count),
            first=shown_time(result, line["first"]),
            last=shown_time(result, line["last"]),
        )
        for line, shown_key in zip(rows.iter_rows(named=True), shown, strict=True)
    )


def shown_keys(result: Backtest, found: pl.DataFrame) -> list[dict[str, Any]]:
    """Return lines of a frame with key columns as plain values, with ISO text for the times among the keys."""
    keys = tuple(result.job.row_schema[name] for name in result.job.all_key_columns)
    return json_records(present_times(Schema(keys), found, months_as_text=True) if keys else found)


def _or_none(value: Any) -> int | None:
    return None if value is None else int(value)


def _per_1000(count: int, row_count: int) -> float:
    return round(1000 * count / row_count, 3) if row_count else 0.0


METRIC_NAMES = ("type", "metric", "anomalies", "episodes", "per 1000 rows", "keys", "first", "last")


def metric_rows(summary: Summary) -> list[list[str]]:
    """Return the table of metrics, a row for each."""
    return [
        [
            str(metric.type),
            metric.metric,
            str(metric.anomalies),
            _dash(metric.episodes),
            f"{metric.per_1000_rows:.3f}",
            str(metric.keys),
            _dash(metric.first),
            _dash(metric.last),
        ]
        for metric in summary.metrics
    ]


def key_names(key_columns: Sequence[str]) -> tuple[str, ...]:
    """Return the header of the table of keys."""
    return ("type", *key_columns, "anomalies", "rows", "per 1000 rows", "first", "last")


def key_rows(summary: Summary) -> list[list[str]]:
    """Return the table of keys, for each metric those with most anomalies."""
    return [
        [
            str(metric.type),
            *(show_cell(value) for value in line.key.values()),
            str(line.anomalies),
            str(line.rows),
            f"{line.per_1000_rows:.3f}",
            _dash(line.first),
            _dash(line.last),
        ]
        for metric in summary.metrics
        for line in metric.top_keys
    ]


def headline(summary: Summary) -> str:
    """Return what was read and found, in a sentence."""
    keys = "key" if summary.keys == 1 else "keys"
    reach = f", {summary.time_from} to {summary.time_to}" if summary.rows else ""
    return (
        f"{summary.job}: {summary.rows} rows of {summary.keys} {keys}{reach}: "
        f"{summary.anomalies} anomalies, {summary.late_rows} late rows, {summary.dead_letters} dead letters"
    )


def show_summary(summary: Summary, key_columns: Sequence[str]) -> str:
    """Return a summary as text."""
    parts = [headline(summary), show_rows(METRIC_NAMES, metric_rows(summary))]
    lines = key_rows(summary)
    if key_columns and lines:
        parts.append(show_rows(key_names(key_columns), lines))
    parts += [
        f"dead letter at split {letter.split}, offset {letter.offset}: {letter.reason}"
        for letter in summary.first_dead_letters
    ]
    return "\n\n".join(parts)


def _dash(value: Any) -> str:
    return "-" if value is None else str(value)

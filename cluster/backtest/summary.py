"""Summaries of backtests: plain values for programs, tables for people. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from actors.frames import time_text
from cluster.backtest.counting import Backtest
from cluster.show.present import show_cell, show_rows

KEYS_SHOWN = 5
"""Keys that a summary names for each metric, those with most anomalies."""

Summary = Mapping[str, Any]


def summarise(result: Backtest, key_count_max: int = KEYS_SHOWN) -> dict[str, Any]:
    """Return what a job finds: totals, each metric, and its keys with most anomalies."""
    return {
        "job": result.job.name,
        "rows": result.row_count,
        "keys": result.keys.height if result.job.key_columns else min(result.row_count, 1),
        "from": shown_time(result, result.time_first),
        "to": shown_time(result, result.time_last),
        "anomalies": result.anomaly_count,
        "late_rows": result.late_row_count,
        "dead_letters": result.dead_letter_count,
        "null_comparisons": list(result.null_comparison_counts),
        "first_dead_letters": [
            {"split": letter.split, "offset": letter.offset, "reason": letter.reason} for letter in result.dead_letters
        ],
        "metrics": [_metric(result, index, key_count_max) for index in range(len(result.metrics))],
    }


def shown_time(result: Backtest, ticks: int | None) -> str | int | None:
    """Return ticks of the time column as ISO text, or as a number where they are months."""
    return time_text(result.job.row_schema[result.job.time].type, ticks)


def shown_metric(result: Backtest, index: int) -> str:
    """Return a metric as its anomalies are called: by its description if it has one."""
    described = result.job.metrics[index].describe if index < len(result.job.metrics) else None
    return described or result.metrics[index]


def _metric(result: Backtest, index: int, key_count_max: int) -> dict[str, Any]:
    found = result.counts.filter(pl.col("type") == index)
    count = result.count_of(index)
    by_key = found.sort(
        "anomalies", *result.job.key_columns, descending=[True, *(False for _ in result.job.key_columns)]
    )
    return {
        "type": index,
        "metric": shown_metric(result, index),
        "anomalies": count,
        "episodes": result.episode_counts.get(index, 0) if _has_lifecycle(result, index) else None,
        "per_1000_rows": _per_1000(count, result.row_count),
        "keys": found.height,
        "first": shown_time(result, _or_none(found["first"].min())),
        "last": shown_time(result, _or_none(found["last"].max())),
        "top_keys": [_key(result, line) for line in by_key.head(key_count_max).iter_rows(named=True)],
    }


def _has_lifecycle(result: Backtest, index: int) -> bool:
    metrics = result.job.metrics
    return index < len(metrics) and metrics[index].has_episodes


def _key(result: Backtest, line: Mapping[str, Any]) -> dict[str, Any]:
    key = {name: line[name] for name in result.job.key_columns}
    same = [pl.col(name).eq_missing(pl.lit(value)) for name, value in key.items()]
    rows = int(result.keys.filter(same)["rows"].sum())
    return {
        "key": key,
        "anomalies": line["anomalies"],
        "rows": rows,
        "per_1000_rows": _per_1000(line["anomalies"], rows),
        "first": shown_time(result, line["first"]),
        "last": shown_time(result, line["last"]),
    }


def _or_none(value: Any) -> int | None:
    return None if value is None else int(value)


def _per_1000(count: int, row_count: int) -> float:
    return round(1000 * count / row_count, 3) if row_count else 0.0


METRIC_NAMES = ("type", "metric", "anomalies", "episodes", "per 1000 rows", "keys", "first", "last")


def metric_rows(summary: Summary) -> list[list[str]]:
    """Return the table of metrics, a row for each."""
    return [
        [
            str(metric["type"]),
            metric["metric"],
            str(metric["anomalies"]),
            _dash(metric["episodes"]),
            f"{metric['per_1000_rows']:.3f}",
            str(metric["keys"]),
            _dash(metric["first"]),
            _dash(metric["last"]),
        ]
        for metric in summary["metrics"]
    ]


def key_names(key_columns: Sequence[str]) -> tuple[str, ...]:
    """Return the header of the table of keys."""
    return ("type", *key_columns, "anomalies", "rows", "per 1000 rows", "first", "last")


def key_rows(summary: Summary) -> list[list[str]]:
    """Return the table of keys, for each metric those with most anomalies."""
    return [
        [
            str(metric["type"]),
            *(show_cell(value) for value in line["key"].values()),
            str(line["anomalies"]),
            str(line["rows"]),
            f"{line['per_1000_rows']:.3f}",
            _dash(line["first"]),
            _dash(line["last"]),
        ]
        for metric in summary["metrics"]
        for line in metric["top_keys"]
    ]


def headline(summary: Summary) -> str:
    """Return what was read and found, in a sentence."""
    keys = "key" if summary["keys"] == 1 else "keys"
    reach = f", {summary['from']} to {summary['to']}" if summary["rows"] else ""
    return (
        f"{summary['job']}: {summary['rows']} rows of {summary['keys']} {keys}{reach}: "
        f"{summary['anomalies']} anomalies, {summary['late_rows']} late rows, {summary['dead_letters']} dead letters"
    )


def show_summary(summary: Summary, key_columns: Sequence[str]) -> str:
    """Return a summary as text."""
    parts = [headline(summary), show_rows(METRIC_NAMES, metric_rows(summary))]
    lines = key_rows(summary)
    if key_columns and lines:
        parts.append(show_rows(key_names(key_columns), lines))
    parts += [
        f"dead letter at split {letter['split']}, offset {letter['offset']}: {letter['reason']}"
        for letter in summary["first_dead_letters"]
    ]
    return "\n\n".join(parts)


def _dash(value: Any) -> str:
    return "-" if value is None else str(value)

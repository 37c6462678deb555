"""Scores of a backtest: its alarms against labels, which say when something was wrong. Pure but for reading labels.

An *alarm* is an episode that has fired; it lasts from there to its last row or window that was true. A label is *found*
by an alarm that overlaps it, of a key that it is about; an alarm that overlaps none is *false*.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from actors.engine.episodes.episode import Episode
from actors.frames import polars_schema, present_times
from actors.model import Column, Schema
from actors.time_text import time_text
from cluster.backtest.counting import Backtest
from cluster.errors import BacktestError, ClusterError
from cluster.show.present import parse_time, shown_ticks
from cluster.show.text import show_cell, show_rows
from config.base import suggest
from config.settings import JobSettings
from config.sinks import NdjsonSinkSettings

COLUMNS = ("start", "end")
"""Columns of every file of labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A time during which something was wrong, in ticks, both ends included."""

    start: int
    end: int
    key: Mapping[str, str]
    """Key column -> its value as text; columns that are not named may have any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What alarms are worth against labels."""

    metric: str | None
    """Text of the metric; `None`: all of them together."""

    alarms: int
    false: int
    """Alarms that overlap no label."""

    found: int
    """Labels that an alarm overlaps."""

    labels: int
    delay: float | None
    """Median time from the start of a label that was found to its first alarm, in ticks."""

    precision: float | None
    """Share of the alarms that are not false; `None` without an alarm."""

    recall: float | None
    """Share of the labels that are found; `None` without a label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The scores of a backtest."""

    scores: tuple[Scores, ...]
    """All metrics together, and each, in the order of their positions."""

    first_alarms: tuple[int | None, ...]
    """For each label the time from its start to its first alarm, in ticks; `None` where it was missed."""

    labels: tuple[Label, ...]
    outside_count: int
    """Labels that are left out, since no row has a time of theirs."""


def with_alarms(job: JobSettings) -> JobSettings:
    """Return a job of which everything that is found becomes episodes."""
    return job.model_copy(update={"sinks": (NdjsonSinkSettings(path="episodes", only="episodes"),)})


def read_labels(path: Path, job: JobSettings, now_us: int) -> list[Label]:
    """Return the labels in a CSV file: `start` and `end`, and key columns for labels of some keys.

    Raises:
        BacktestError: it cannot be read, a column is none of a label, or a time is none.
    """
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BacktestError(f"the labels in {path} cannot be read: {str(error).splitlines()[0]}") from error
    keys = {name.lower(): name for name in job.all_key_columns}
    for name in COLUMNS:
        if name not in frame.columns:
            raise BacktestError(f"{path} has no column {name!r}; labels have `start`, `end` and, if any, key columns")
    for name in frame.columns:
        if name not in COLUMNS and name.lower() not in keys:
            raise BacktestError(f"{path}: {name!r} is neither start, end nor a key column; {suggest(name, keys)}")
    found = []
    for number, row in enumerate(frame.iter_rows(named=True), 2):
        start, end = (_moment(path, number, job, name, row[name], now_us) for name in COLUMNS)
        if end < start:
            raise BacktestError(f"{path}, line {number}: the label ends before it starts, {row['end']}")
        key = {keys[name.lower()]: text for name, text in row.items() if name not in COLUMNS and text is not None}
        found.append(Label(start=start, end=end, key=key))
    return found


def score(result: Backtest, labels: Sequence[Label], slack: int = 0) -> Scored:
    """Return the scores of a backtest that has kept its episodes; alarms may come `slack` ticks after a label."""
    first_time, last_time = result.time_first, result.time_last
    inside = [
        one
        for one in labels
        if first_time is not None and last_time is not None and one.start <= last_time and one.end >= first_time
    ]
    keys = _shown_keys(result.job, result.episodes)
    alarms = [(one, key) for one, key in zip(result.episodes, keys, strict=True) if one.fired_at is not None]
    # The first alarm of each label, by type of anomaly.
    first: list[dict[int, int]] = [{} for _ in inside]
    are_true = [False] * len(alarms)
    for number, (alarm, key) in enumerate(alarms):
        fired_at = alarm.fired_at or 0
        for place, label in enumerate(inside):
            overlaps = fired_at <= label.end + slack and max(alarm.last_true, fired_at) >= label.start
            if overlaps and label.key.items() <= key.items():
                are_true[number] = True
                delay = max(fired_at - label.start, 0)
                first[place][alarm.type] = min(first[place].get(alarm.type, delay), delay)
    kinds = [(None, None), *enumerate(result.metrics)]
    scores = tuple(_scores(kind, text, alarms, are_true, first) for kind, text in kinds)
    return Scored(
        scores=scores,
        first_alarms=tuple(min(one.values(), default=None) for one in first),
        labels=tuple(inside),
        outside_count=len(labels) - len(inside),
    )


def plain_scores(scored: Scored, job: JobSettings) -> dict[str, Any]:
    """Return scores as values for JSON; delays are in ticks of the time column."""
    kind = job.row_schema[job.time_column].type
    labels = [
        {"start": time_text(kind, one.start), "end": time_text(kind, one.end), "key": dict(one.key), "delay": delay}
        for one, delay in zip(scored.labels, scored.first_alarms, strict=True)
    ]
    return {"scores": [asdict(one) for one in scored.scores], "labels": labels, "outside": scored.outside_count}


def show_scores(scored: Scored, job: JobSettings) -> str:
    """Return scores as tables."""
    lines = [
        [
            "all" if one.metric is None else one.metric,
            *(str(count) for count in (one.alarms, one.false)),
            f"{one.found}/{one.labels}",
            *("NULL" if share is None else f"{share:.3f}" for share in (one.precision, one.recall)),
            "NULL" if one.delay is None else shown_ticks(job, round(one.delay)),
        ]
        for one in scored.scores
    ]
    table = show_rows(["metric", "alarms", "false", "found", "precision", "recall", "delay"], lines)
    kind = job.row_schema[job.time_column].type
    times = [
        [
            show_cell(time_text(kind, one.start)),
            show_cell(time_text(kind, one.end)),
            ", ".join(one.key.values()) or "any",
            "missed" if delay is None else shown_ticks(job, delay),
        ]
        for one, delay in zip(scored.labels, scored.first_alarms, strict=True)
    ]
    return f"{table}\n\n{show_rows(['start', 'end', 'key', 'first alarm after'], times)}"


def _scores(
    kind: int | None,
    text: str | None,
    alarms: Sequence[tuple[Episode, Mapping[str, str]]],
    are_true: Sequence[bool],
    first: Sequence[Mapping[int, int]],
) -> Scores:
    own = [is_true for (alarm, _), is_true in zip(alarms, are_true, strict=True) if kind in (None, alarm.type)]
    delays = [
        min(by_type.values()) if kind is None else by_type[kind]
        for by_type in first
        if by_type and (kind is None or kind in by_type)
    ]
    return Scores(
        metric=text,
        alarms=len(own),
        false=own.count(False),
        found=len(delays),
        labels=len(first),
        delay=statistics.median(delays) if delays else None,
        precision=own.count(True) / len(own) if own else None,
        recall=len(delays) / len(first) if first else None,
    )


def _shown_keys(job: JobSettings, episodes: Sequence[Episode]) -> list[dict[str, str]]:
    """Return the keys of episodes as they are printed."""
    columns = [job.row_schema[name] for name in job.all_key_columns]
    data = {column.name: [one.key[place] for one in episodes] for place, column in enumerate(columns)}
    schema = Schema(tuple(Column(name=column.name, type=column.type) for column in columns))
    if not columns:
        return [{} for _ in episodes]
    frame = present_times(schema, pl.DataFrame(data, schema=polars_schema(schema)), months_as_text=True)
    return [{name: show_cell(value) for name, value in row.items()} for row in frame.iter_rows(named=True)]


def _moment(path: Path, number: int, job: JobSettings, name: str, text: str | None, now_us: int) -> int:
    try:
        found = parse_time(job, text, now_us, is_end=name == "end")
    except ClusterError as error:
        raise BacktestError(f"{path}, line {number}: {name}: {error}") from error
    if found is None:
        raise BacktestError(f"{path}, line {number}: {name} is empty; give a time")
    return found

"""Series: what a picture of a backtest shows, gathered by replaying the rows of a few keys. Pure values, no picture.

A *panel* is one column of one key: the values of its rows, the aggregates of its windows, and the anomalies of the
metrics that look at the column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import polars as pl

from actors.engine.language.analysis import analyse_metric
from actors.engine.language.terms import Metric, MetricKind, columns_of
from actors.engine.windows.closed import END
from actors.model import ColumnType, Schema
from cluster.backtest.counting import Backtest, TimeRange
from cluster.backtest.replay import ClosedWindows, Input, InputBatch, Replay
from cluster.errors import BacktestError
from config.form import key_columns_of
from config.settings import JobSettings

PANELS_MAX = 6
COLUMNS_MAX = 3
"""Columns shown of each key, those that most metrics look at."""

POINTS_MAX = 200_000
"""Points that a panel holds; beyond them, neighbours give way to the smaller and the larger of them."""

_NUMBERS = (ColumnType.BOOL, ColumnType.INT, ColumnType.LONG, ColumnType.DOUBLE)

_LOCATIONS = ("avg(", "mean(", "med(", "percentile(", "quantile(", "min(", "max(", "first", "last", "mode(", "wavg(")
"""Beginnings of aggregates whose values lie among those of the column."""

Key = tuple[Any, ...]


class Points:
    """Times and values of a series, thinned when there are too many."""

    def __init__(self) -> None:
        self._times: list[np.ndarray] = []
        self._values: list[np.ndarray] = []
        self.row_count = 0

    def add(self, times: np.ndarray, values: np.ndarray) -> None:
        """Add points whose times follow those before."""
        self._times.append(times)
        self._values.append(values)
        self.row_count += len(times)
        if sum(map(len, self._times)) > POINTS_MAX:
            thin = thinned(np.concatenate(self._times), np.concatenate(self._values), POINTS_MAX // 2)
            self._times, self._values = [thin[0]], [thin[1]]

    @property
    def times(self) -> np.ndarray:
        """Times in ticks."""
        return np.concatenate([np.zeros(0, np.int64), *self._times])

    @property
    def values(self) -> np.ndarray:
        """Values as real numbers; NaN is NULL."""
        return np.concatenate([np.zeros(0), *self._values])


def thinned(times: np.ndarray, values: np.ndarray, count_max: int) -> tuple[np.ndarray, np.ndarray]:
    """Return at most so many points, about, that look the same: of each run of neighbours the extremes."""
    width = -(-2 * len(times) // count_max)
    if width <= 2:
        return times, values
    count = len(times) // width * width
    blocks = values[:count].reshape(-1, width)
    low = np.where(np.isnan(blocks), np.inf, blocks).argmin(axis=1)
    high = np.where(np.isnan(blocks), -np.inf, blocks).argmax(axis=1)
    chosen = np.sort(np.stack([low, high], axis=1), axis=1) + np.arange(0, count, width)[:, None]
    kept = np.concatenate([chosen.ravel(), np.arange(count, len(times))])
    return times[kept], values[kept]


@dataclass(slots=True, kw_only=True)
class Panel:
    """One column of one key."""

    key: Key
    column: str
    rows: Points = field(default_factory=Points)
    windows: dict[str, Points] = field(default_factory=dict)
    """Aggregates of the column over windows, by their text; times are the windows' ends."""

    marks: dict[int, Points] = field(default_factory=dict)
    """Anomalies by type: their times, and the values they have to do with."""

    mark_windows: dict[int, str] = field(default_factory=dict)
    """The aggregate that the values of marks are of, for types that stand for windows; others are of the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is drawn."""

    result: Backtest
    panels: tuple[Panel, ...]
    window_sizes: Mapping[int, int]
    """Length of windows in ticks, by the types of the anomalies that stand for a whole window."""


def shown_columns(replay: Replay, schema: Schema) -> list[str]:
    """Return the columns of numbers that metrics and detectors look at, those of most metrics first."""
    counts: dict[str, int] = {}
    for names in _columns_by_type(replay):
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    numbers = [column.name for column in schema.columns if column.type in _NUMBERS]
    return sorted((name for name in numbers if name in counts), key=lambda name: -counts[name])[:COLUMNS_MAX]


def _columns_by_type(replay: Replay) -> list[set[str]]:
    """Return for each type of anomaly the columns that it looks at."""
    of_metrics = [columns_of(metric.term) for metric in replay.engine.metrics]
    return of_metrics + replay.watched


def busiest_keys(result: Backtest, count: int) -> list[Key]:
    """Return the keys with most anomalies, and others if there are not as many."""
    names = list(result.job.key_columns)
    if not names:
        return [()]
    # Metrics with a key of their own have anomalies of what is no key of the job.
    other = [kind for kind, key in enumerate(result.job.keys) if key != result.job.key_columns]
    counts = result.counts.filter(~pl.col("type").is_in(other))
    found = counts.group_by(names, maintain_order=True).agg(pl.col("anomalies").sum())
    ranked = pl.concat([found.sort("anomalies", *names, descending=[True, *(False for _ in names)]).select(names)])
    others = result.rows_of(names).sort("rows", *names, descending=[True, *(False for _ in names)]).select(names)
    return list(dict.fromkeys([*ranked.iter_rows(), *others.iter_rows()]))[:count]


def parse_key(job: JobSettings, texts: Sequence[str]) -> Key | None:
    """Return the key that somebody typed, a text for each key column; `None` for no text.

    Raises:
        BacktestError: these are no values of the key columns.
    """
    if not texts:
        return None
    columns = [job.row_schema[name] for name in job.key_columns]
    if len(texts) != len(columns):
        names = ", ".join(job.key_columns) or "none"
        raise BacktestError(f"{len(texts)} values of --key, but the key columns are: {names}; give one for each")
    try:
        return tuple(_key_value(column.type, text) for column, text in zip(columns, texts, strict=True))
    except ValueError as error:
        raise BacktestError(f"--key {' '.join(texts)}: {error}") from error


def _key_value(kind: ColumnType, text: str) -> Any:
    if kind.is_text:
        return text
    if kind is ColumnType.BOOL:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{text!r} is neither true nor false")
        return text.lower() == "true"
    return float(text) if kind is ColumnType.DOUBLE else int(text)


def gather(result: Backtest, rows: Input, times: TimeRange, key: Key | None = None) -> Picture:
    """Return what a picture of a backtest shows: one key, or those with most anomalies.

    Raises:
        BacktestError: no row has that key, or there are no rows.
    """
    if not result.row_count:
        raise BacktestError("there are no rows to draw; without --plot the summary says what was read")
    job, replay = result.job, Replay(result.job)
    columns = shown_columns(replay, job.row_schema)
    if not columns:
        return Picture(result=result, panels=(), window_sizes={})
    keys = [key] if key is not None else busiest_keys(result, max(1, PANELS_MAX // len(columns)))
    gatherer = _Gatherer(result, replay, [Panel(key=one, column=name) for one in keys for name in columns])
    # Metrics need the rows of all keys that they see together.
    chosen = _is_one_of(job.route_columns, [_chosen(job.key_columns, one, job.route_columns) for one in keys])
    for batch in rows():
        wanted = times.cut(batch, job.time_column)
        wanted = wanted if chosen is None else wanted.where(chosen)
        if wanted.frame.height:
            gatherer.add(wanted)
    if key is not None and not any(panel.rows.row_count for panel in gatherer.panels):
        raise BacktestError(f"no row has the key {', '.join(map(str, key))}")
    sizes = {index: size for index, size in enumerate(_window_sizes(job)) if size is not None}
    return Picture(result=result, panels=tuple(gatherer.panels), window_sizes=sizes)


def _window_sizes(job: JobSettings) -> list[int | None]:
    """Return for each metric the length of its windows, if its anomalies stand for whole ones."""
    kind, sizes = job.row_schema[job.time].type, []
    for metric in job.metrics:
        window = job.window if metric.window is None else metric.window
        is_of_windows = (
            analyse_metric(metric.when, job.row_schema, job.time_column, tuple(job.let.items())).kind
            is MetricKind.WINDOW
        )
        has_size = window is not None and window.has_one_length and is_of_windows
        sizes.append(window.size_ticks(kind) if has_size and window is not None else None)
    return sizes


def _chosen(names: Sequence[str], key: Key, columns: Sequence[str]) -> Key:
    """Return the values of some columns of a key."""
    values = dict(zip(names, key, strict=True))
    return tuple(values[name] for name in columns)


def _is_one_of(names: Sequence[str], keys: Sequence[Key]) -> pl.Expr | None:
    if not names:
        return None
    return reduce(lambda left, right: left | right, (_is_key(names, key) for key in keys))


def _is_key(names: Sequence[str], key: Key) -> pl.Expr:
    return pl.all_horizontal(pl.col(name).eq_missing(pl.lit(value)) for name, value in zip(names, key, strict=True))


class _Gatherer:
    """Fills panels batch by batch."""

    def __init__(self, result: Backtest, replay: Replay, panels: list[Panel]) -> None:
        self.panels = panels
        self._job = result.job
        self._replay = replay
        replay.keeps_windows = True
        self._looks_at = _columns_by_type(replay)

    def add(self, batch: InputBatch) -> None:
        anomalies = self._replay.apply(batch)
        places = np.searchsorted(batch.offsets, anomalies["offset"].to_numpy())
        caused = batch.frame[np.minimum(places, batch.frame.height - 1)]
        for panel in self.panels:
            own = batch.frame.filter(self._is_of(panel, self._job.key_columns))
            panel.rows.add(own[self._job.time_column].to_numpy(), _real(own[panel.column]))
            windows: dict[int, pl.DataFrame] = {}
            for closed in self._replay.closed_windows:
                frame = closed.frame.filter(self._is_of(panel, closed.key_columns))
                windows |= dict.fromkeys(closed.metrics, frame)
                self._add_windows(panel, closed, frame)
            marked = anomalies.with_columns(_real_series(caused[panel.column]).alias("y"))
            self._add_marks(panel, marked, windows)

    def _is_of(self, panel: Panel, key_columns: Sequence[str]) -> pl.Expr:
        """Return whether a line with some key columns is of the key of a panel, as far as it has the same ones."""
        names = [name for name in self._job.key_columns if name in key_columns]
        return _is_key(names, _chosen(self._job.key_columns, panel.key, names)) if names else pl.lit(True)

    def _add_windows(self, panel: Panel, closed: ClosedWindows, frame: pl.DataFrame) -> None:
        for text in self._aggregates_of(panel.column, closed.metrics):
            points = panel.windows.setdefault(self._named(text, closed.metrics[0]), Points())
            points.add(frame[END].to_numpy(), _real(frame[text]))

    def _named(self, text: str, index: int) -> str:
        """Return the name of an aggregate in the windows of a metric; several groups may have the same one."""
        groups = self._replay.closed_windows
        if sum(text in closed.frame.columns for closed in groups) < 2:
            return text
        return f"{text} ({next(number for number, closed in enumerate(groups) if index in closed.metrics)})"

    def _add_marks(self, panel: Panel, marked: pl.DataFrame, windows: Mapping[int, pl.DataFrame]) -> None:
        for (index,), found in marked.group_by("type", maintain_order=True):
            if not isinstance(index, int) or panel.column not in self._looks_at[index]:
                continue
            found = found.filter(self._is_of(panel, key_columns_of(self._job, index)))
            if found.is_empty():
                continue
            text = self._judged(panel.column, index) if index in windows else None
            if text is not None:
                found = self._on_windows(found, windows[index], text)
                panel.mark_windows[index] = self._named(text, index)
            points = panel.marks.setdefault(index, Points())
            points.add(found[self._job.time_column].to_numpy(), _real(found["y"]))

    def _judged(self, column: str, index: int) -> str | None:
        """Return the first aggregate of the column in a window metric; best one whose values lie among the column's."""
        metrics = self._replay.engine.metrics
        if index >= len(metrics) or metrics[index].kind is not MetricKind.WINDOW:
            return None
        texts = [text for text, names in _aggregates(metrics[index]).items() if column in names]
        return next((text for text in texts if is_location(text)), texts[0] if texts else None)

    def _on_windows(self, found: pl.DataFrame, windows: pl.DataFrame, text: str) -> pl.DataFrame:
        """Put the anomalies of windows where an aggregate of theirs was."""
        time = self._job.time_column
        values = windows.select(pl.col(END).alias(time), pl.col(text).cast(pl.Float64).alias("y"))
        return found.drop("y").join(values, on=time, how="left", maintain_order="left")

    def _aggregates_of(self, column: str, metrics: Sequence[int]) -> list[str]:
        texts: Mapping[str, set[str]] = {}
        for index in metrics:
            texts = {**texts, **_aggregates(self._replay.engine.metrics[index])}
        return [text for text, names in texts.items() if names == {column}]


def _aggregates(metric: Metric) -> dict[str, set[str]]:
    """Return the aggregate calls of a metric and the columns of each, those whose result is a number."""
    found: dict[str, set[str]] = {}
    pending = [metric.term]
    while pending:
        term = pending.pop(0)
        if term.is_aggregate and term.type.is_number:
            found[term.source] = columns_of(term)
        elif not term.is_aggregate:
            pending.extend(term.arguments)
    return found


def is_location(text: str) -> bool:
    """Return whether the values of an aggregate lie among those of its column."""
    return text.lower().startswith(_LOCATIONS)


def _real_series(values: pl.Series) -> pl.Series:
    return values.cast(pl.Float64).fill_null(float("nan"))


def _real(values: pl.Series) -> np.ndarray:
    return _real_series(values).to_numpy()

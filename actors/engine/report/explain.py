"""Explanations: why a metric fired, with the value of each of its parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.engine.arguments import CheckedSettings
from actors.engine.language.analysis import MetricKind
from actors.engine.language.program import Context, Node, no_column
from actors.engine.report.output import Anomalies
from actors.engine.vectors.batch import Batch
from actors.engine.vectors.vector import Array, Vector
from actors.engine.windows.windows import Closings


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why one anomaly was reported."""

    offset: int
    ordinal: int
    metric_index: int
    metric: str
    """Canonical text of the metric."""

    kind: MetricKind
    time: int
    """Time of the anomaly, in ticks of the time column."""

    key: tuple[Any, ...]
    """Values of the key columns."""

    window_start: int | None
    """First tick of the window whose aggregates were compared; `None` without aggregates."""

    window_end: int | None
    """Exclusive end of that window."""

    window_row_count: int | None
    """Rows in that window."""

    values: dict[str, Any]
    """Value of each part of the metric, by its text; `None` is NULL."""


@dataclass(frozen=True, slots=True)
class LastBatch:
    """What an explanation needs of the latest batch."""

    batch: Batch
    anomalies: Anomalies
    context: Context | None
    """What metrics of rows were evaluated in; `None` where there are no rows."""

    closings: Closings | None
    over_windows: Context | None

    def find(self, offset: int, ordinal: int) -> int | None:
        """Return which of the anomalies has an id."""
        offsets = self.batch.offsets[self.anomalies.rows]
        where = ((offsets == offset) & (self.anomalies.ordinals == ordinal)).nonzero()[0]
        return int(where[0]) if len(where) else None


def window_context(closings: Closings) -> Context:
    """Return what metrics of windows are evaluated in: the windows that closed."""
    return Context(len(closings.row_counts), no_column, lambda node: closings.values[node.index], None)


def anomaly_times(time_column: str, batch: Batch, anomalies: Anomalies, closings: Closings | None) -> Array:
    """Return each anomaly's time: the end of its window, or the time of its row."""
    times: Array = batch.frame.get_column(time_column).to_numpy().take(anomalies.rows)
    if closings is None or not closings.count:
        return times
    of_window = (anomalies.windows < closings.count).nonzero()[0]
    if len(of_window):
        times[of_window] = closings.ends.take(anomalies.windows.take(of_window))
    return times


def explanation(settings: CheckedSettings, nodes: Sequence[Node], last: LastBatch, index: int) -> Explanation:
    """Return why an anomaly of a batch was reported."""
    anomalies, closings = last.anomalies, last.closings
    metric_index, row = int(anomalies.metric_index[index]), int(anomalies.rows[index])
    metric, node = settings.metrics[metric_index], nodes[metric_index]
    end = size = None
    if metric.kind is MetricKind.WINDOW:
        assert closings is not None
        assert last.over_windows is not None
        window = int(anomalies.windows[index])
        position = window if closings.rooms is None else int(closings.rooms[window])
        end, size = int(closings.ends[window]), int(closings.row_counts[position])
        values = part_values(node, last.over_windows, position)
    else:
        position = row if last.batch.order is None else int((last.batch.order == row).nonzero()[0][0])
        if metric.kind is MetricKind.MIXED:
            assert closings is not None
            ends, sizes = closings.held.window(np.array([position]))
            end, size = int(ends[0]), int(sizes[0])
        assert last.context is not None
        values = part_values(node, last.context, position)
    times = anomaly_times(settings.time_column, last.batch, anomalies, closings)
    return Explanation(
        offset=int(last.batch.offsets[row]),
        ordinal=int(anomalies.ordinals[index]),
        metric_index=metric_index,
        metric=metric.text,
        kind=metric.kind,
        time=int(times[index]),
        key=tuple(last.batch.frame[name][row] for name in settings.key_columns),
        window_start=None if end is None else end - (settings.window_size or 0),
        window_end=end,
        window_row_count=size,
        values=values,
    )


def part_values(node: Node, context: Context, position: int) -> dict[str, Any]:
    """Return the value, at one position, of every part of a metric; the arguments of aggregates are left out."""
    found: dict[str, Any] = {}
    pending = [node]
    while pending:
        part = pending.pop(0)
        if part.constant is None:
            found.setdefault(part.term.source, _value_at(context.value(part), position))
        if not part.term.is_aggregate:
            pending.extend(part.arguments)
    return found


def _value_at(vector: Vector, position: int) -> Any:
    values, valid = vector
    if valid is not None and not (valid[position] if np.ndim(valid) else valid):
        return None
    value = values[position] if np.ndim(values) else values
    return value.item() if isinstance(value, np.generic | np.ndarray) else value

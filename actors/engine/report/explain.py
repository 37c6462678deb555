"""Explanations: why a metric fired, with the value of each of its parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.engine.arguments import CheckedSettings
from actors.engine.evaluated import Evaluated
from actors.engine.language.program import Context, Node
from actors.engine.language.terms import MetricKind, Term
from actors.engine.vectors.vector import Vector


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
    """Time of the anomaly, in units of the time column."""

    key: tuple[Any, ...]
    """Values of the key columns."""

    window_start: int | None
    """First moment of the window whose aggregates were compared; `None` without aggregates."""

    window_end: int | None
    """Exclusive end of that window."""

    window_row_count: int | None

    values: dict[str, Any]
    """Value of each part of the metric, by its text; `None` is NULL."""


def explanation(settings: CheckedSettings, nodes: Sequence[Node], last: Evaluated, index: int) -> Explanation:
    """Return why an anomaly of a batch was reported."""
    anomalies, closings = last.anomalies, last.closings
    metric_index, row = int(anomalies.metric_index[index]), int(anomalies.rows[index])
    metric, node = settings.metrics[metric_index], nodes[metric_index]
    end = size = start = None
    if metric.kind is MetricKind.WINDOW:
        window = int(anomalies.windows[index])
        position = window if closings.contents is None else int(closings.contents[window])
        end, size = int(closings.ends[window]), int(closings.row_counts[position])
        start = None if closings.starts is None else int(closings.starts[window])
        values = part_values(metric.term, node, last.windows, position)
    else:
        position = row if last.batch.order is None else int((last.batch.order == row).nonzero()[0][0])
        if metric.kind is MetricKind.MIXED:
            end, size, *starts = (int(bound[0]) for bound in closings.held.window(np.array([position])))
            start = starts[0] if starts else None
        values = part_values(metric.term, node, last.rows, position)
    return Explanation(
        offset=int(last.batch.offsets[row]),
        ordinal=int(anomalies.ordinals[index]),
        metric_index=metric_index,
        metric=metric.text,
        kind=metric.kind,
        time=int(last.anomaly_times(settings.time_column)[index]),
        key=tuple(last.batch.frame[name][row] for name in settings.key_columns),
        window_start=start if start is not None or end is None else window_start(settings, end),
        window_end=end,
        window_row_count=size,
        values=values,
    )


def window_start(settings: CheckedSettings, end: int) -> int:
    """Return where the window begins that has an end."""
    assert settings.grid is not None
    return settings.grid.window_start(end)


def part_values(term: Term, node: Node, context: Context, position: int) -> dict[str, Any]:
    """Return the value, at one position, of every part of a metric; the arguments of aggregates are left out."""
    found: dict[str, Any] = {}
    pending = [(term, node)]
    while pending:
        term, part = pending.pop(0)
        if part.constant is None:
            found.setdefault(term.source, _value_at(context.value(part), position))
        if not term.is_aggregate:
            pending.extend(zip(term.arguments, part.arguments, strict=True))
    return found


def _value_at(vector: Vector, position: int) -> Any:
    values, valid = vector
    if valid is not None and not (valid[position] if np.ndim(valid) else valid):
        return None
    value = values[position] if np.ndim(values) else values
    return value.item() if isinstance(value, np.generic | np.ndarray) else value

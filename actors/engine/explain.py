"""Explanations: why a metric fired, with the value of each of its parts."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.engine.analysis import MetricKind
from actors.engine.program import Context, Node
from actors.engine.vectors import Vector


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

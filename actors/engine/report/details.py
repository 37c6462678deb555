"""Details: why each anomaly of a batch was reported, told for all of them at once.

A *detail* is kept packed, as a tuple of numbers and texts, and rendered as JSON text only when somebody reads it. For a
metric with aggregates it begins with the exclusive end of the window, in ticks, and the number of rows in it; the
values of the metric's parts follow, unless windows alone are told. The parts are all sub-expressions but the metric
itself, which was true, constants, and the arguments of aggregates.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from actors.engine.language.analysis import Metric, MetricKind
from actors.engine.language.program import Context, Node
from actors.engine.report.output import Anomalies
from actors.engine.vectors.batch import Batch
from actors.engine.vectors.vector import Array, Vector
from actors.engine.windows.windows import Closings

LEVELS = ("none", "windows", "all")
"""How much is told: nothing, the windows, or the windows and all values."""

Packed = Sequence[Any] | None
"""A detail as it is kept; `None` where there is nothing to tell."""

_JSON = json.JSONEncoder(ensure_ascii=False)


class Details:
    """Collects the details of one engine's anomalies, and renders them."""

    def __init__(self, metrics: Sequence[Metric], nodes: Sequence[Node], window_size: int, level: str) -> None:
        self._metrics = tuple(metrics)
        self._names = [_parts_below(node) for node in nodes]
        self._parts = [list(parts.values()) if level == "all" else [] for parts in self._names]
        self._window_size = window_size
        self._collected: list[Packed] = []

    def take(self) -> list[Packed]:
        """Return the details since the last call, one for each anomaly in order of the output."""
        collected, self._collected = self._collected, []
        return collected

    def parts(self, metric_index: int) -> list[Node]:
        """Return the parts of a metric whose values are told."""
        return self._parts[metric_index]

    def keep(self, packed: Iterable[Packed]) -> None:
        """Keep details that have been packed elsewhere."""
        self._collected += packed

    def collect(
        self,
        anomalies: Anomalies,
        batch: Batch,
        context: Context | None,
        closings: Closings | None,
        over_windows: Context | None,
    ) -> None:
        """Keep the details of a batch's anomalies until they are taken."""
        if not len(anomalies.rows):
            return
        packed: list[list[Packed]] = []
        places: list[Array] = []
        positions = _positions(batch)
        for metric_index, metric in enumerate(self._metrics):
            where = (anomalies.metric_index == metric_index).nonzero()[0]
            if not len(where):
                continue
            if metric.kind is MetricKind.WINDOW:
                assert closings is not None
                assert over_windows is not None
                windows = anomalies.windows[where]
                rooms = windows if closings.rooms is None else closings.rooms[windows]
                columns = [closings.ends[windows].tolist(), closings.row_counts[rooms].tolist()]
                columns += self._values(metric_index, over_windows, rooms)
            else:
                rows = positions(anomalies.rows[where])
                columns = []
                if metric.kind is MetricKind.MIXED:
                    assert closings is not None
                    columns = [bounds.tolist() for bounds in closings.held.window(rows)]
                assert context is not None
                columns += self._values(metric_index, context, rows)
            packed.append(list(zip(*columns, strict=True)) if columns else [None] * len(where))
            places.append(where)
        self._collected += _in_place(packed, places)

    def _values(self, metric_index: int, context: Context, positions: Array) -> list[list[Any]]:
        return [_listed(context.value(node), positions) for node in self._parts[metric_index]]

    def render(self, metric_index: int, packed: Packed) -> str | None:
        """Return a detail as JSON text: `values` by the texts of the parts, and the `window` with its bounds."""
        if packed is None:
            return None
        names, told = self._names[metric_index], {}
        has_window = self._metrics[metric_index].kind is not MetricKind.ROW
        values = packed[2:] if has_window else packed
        if values or not has_window:
            told["values"] = dict(zip(names, values, strict=True))
        if has_window:
            end, row_count = packed[:2]
            told["window"] = {"start": end - self._window_size, "end": end, "rows": row_count}
        return _JSON.encode(told)


def _parts_below(node: Node) -> dict[str, Node]:
    """Return the parts of a metric by their texts, outermost first."""
    found: dict[str, Node] = {}
    pending = [] if node.term.is_aggregate else list(node.arguments)
    while pending:
        part = pending.pop(0)
        if part.constant is None:
            found.setdefault(part.term.source, part)
        if not part.term.is_aggregate:
            pending.extend(part.arguments)
    return found


def _positions(batch: Batch) -> Callable[[Array], Array]:
    """Return a function from positions in the frame to positions in the batch's order."""
    if batch.order is None:
        return lambda rows: rows
    inverse = np.empty(batch.frame.height, dtype=np.int64)
    inverse[batch.order] = np.arange(len(batch.order))
    return lambda rows: inverse[rows]


def _listed(vector: Vector, positions: Array) -> list[Any]:
    """Return the values at these positions, `None` for NULL."""
    values, valid = vector
    if not np.ndim(values):
        plain = values.item() if isinstance(values, np.generic | np.ndarray) else values
        listed: list[Any] = [plain] * len(positions)
    else:
        listed = values[positions].tolist()
    if valid is None:
        return listed
    there = valid[positions].tolist() if np.ndim(valid) else [bool(valid)] * len(positions)
    return [value if is_there else None for value, is_there in zip(listed, there, strict=True)]


def _in_place(packed: list[list[Packed]], places: list[Array]) -> list[Packed]:
    """Return the details of several metrics in the order of the output."""
    if len(packed) == 1:
        return packed[0]
    joined = list(chain.from_iterable(packed))
    return [joined[index] for index in np.concatenate(places).argsort(kind="stable").tolist()]

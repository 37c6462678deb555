"""Details: why each anomaly of a batch was reported, for all of them at once.

A *detail* is kept packed, as a tuple of numbers and texts, and rendered as JSON text only when somebody reads it. For a
metric with aggregates it begins with the exclusive end of the window, in units, the number of rows in it and, where the
end does not say so, its start; the values of the metric's parts follow, unless windows alone are wanted. The parts are
all sub-expressions but the metric itself, which was true, constants, and the arguments of aggregates.
"""

import json
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import polars as pl

from actors.engine.arguments import CheckedSettings
from actors.engine.evaluated import Evaluated
from actors.engine.language.program import Context, Node
from actors.engine.language.terms import MetricKind, Term
from actors.engine.report.output import Firing
from actors.engine.vectors.batch import Batch
from actors.engine.vectors.vector import Array, Vector

Packed = Sequence[Any] | None
"""A detail as it is kept; `None` where there is nothing to say."""

_JSON = json.JSONEncoder(ensure_ascii=False)


class NoDetails:
    """Stands for the details where nobody wants them."""

    def take(self) -> list[Packed]:
        """Return that there are none."""
        return []

    def part_texts(self, metric_index: int) -> tuple[str, ...]:
        """Return that no part of a metric has a value."""
        return ()

    def keep(self, fired: Sequence[Firing]) -> None:
        """Keep nothing."""

    def collect(self, evaluated: Evaluated) -> None:
        """Collect nothing."""

    def render(self, metric_index: int, packed: Packed) -> None:
        """Return no text."""

    def shown(self, found: pl.DataFrame) -> pl.DataFrame:
        """Return anomalies as they are."""
        return found


class Details:
    """Collects the details of one engine's anomalies, and renders them."""

    def __init__(self, settings: CheckedSettings, nodes: Sequence[Node]) -> None:
        self._metrics = settings.metrics
        self._names = [_parts_below(metric.term, node) for metric, node in zip(settings.metrics, nodes, strict=True)]
        self._parts = [list(parts.values()) if settings.explain == "all" else [] for parts in self._names]
        self._grid = settings.grid
        self._collected: list[Packed] = []

    def take(self) -> list[Packed]:
        """Return the details since the last call, one for each anomaly in order of the output."""
        collected, self._collected = self._collected, []
        return collected

    def parts(self, metric_index: int) -> list[Node]:
        """Return the parts of a metric whose values are wanted."""
        return self._parts[metric_index]

    def part_texts(self, metric_index: int) -> tuple[str, ...]:
        """Return the texts of the parts of a metric whose values are kept."""
        return tuple(self._names[metric_index]) if self._parts[metric_index] else ()

    def keep(self, fired: Sequence[Firing]) -> None:
        """Keep the details that a row by row test has packed."""
        self._collected += [firing[4] for firing in fired]

    def collect(self, evaluated: Evaluated) -> None:
        """Keep the details of a batch's anomalies until they are taken."""
        anomalies, closings = evaluated.anomalies, evaluated.closings
        if not len(anomalies.rows):
            return
        packed: list[list[Packed]] = []
        places: list[Array] = []
        positions = _positions(evaluated.batch)
        for metric_index, metric in enumerate(self._metrics):
            where = (anomalies.metric_index == metric_index).nonzero()[0]
            if not len(where):
                continue
            if metric.kind is MetricKind.WINDOW:
                windows = anomalies.windows[where]
                contents = windows if closings.contents is None else closings.contents[windows]
                columns = [closings.ends[windows].tolist(), closings.row_counts[contents].tolist()]
                columns += [] if closings.starts is None else [closings.starts[windows].tolist()]
                columns += self._values(metric_index, evaluated.windows, contents)
            else:
                rows = positions(anomalies.rows[where])
                columns = []
                if metric.kind is MetricKind.MIXED:
                    columns = [bounds.tolist() for bounds in closings.held.window(rows)]
                columns += self._values(metric_index, evaluated.rows, rows)
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
        tells_start = self._grid is not None and self._grid.tells_start
        values = packed[2 + tells_start :] if has_window else packed
        if values or not has_window:
            told["values"] = dict(zip(names, values, strict=True))
        if has_window:
            assert self._grid is not None
            end, row_count = packed[:2]
            start = packed[2] if tells_start else self._grid.window_start(end)
            told["window"] = {"start": start, "end": end, "rows": row_count}
        return _JSON.encode(told)

    def shown(self, found: pl.DataFrame) -> pl.DataFrame:
        """Return the anomalies whose details wait, with those as texts in the column `detail`."""
        texts = [self.render(kind, packed) for kind, packed in zip(found["type"].to_list(), self.take(), strict=True)]
        return found.with_columns(pl.Series("detail", texts, dtype=pl.String))


def _parts_below(term: Term, node: Node) -> dict[str, Node]:
    """Return the parts of a metric by their texts, outermost first."""
    found: dict[str, Node] = {}
    pending = [] if term.is_aggregate else list(zip(term.arguments, node.arguments, strict=True))
    while pending:
        term, part = pending.pop(0)
        if part.constant is None:
            found.setdefault(term.source, part)
        if not term.is_aggregate:
            pending.extend(zip(term.arguments, part.arguments, strict=True))
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

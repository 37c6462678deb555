"""Evaluations: what a metric and its clear expression said of the rows and windows of a batch, in the order of time.

Only the keys that have an open episode, or a true evaluation in the batch, are looked at: all others change nothing.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from actors.engine.episodes.episode import Evaluation, Lifecycle
from actors.engine.evaluated import Evaluated
from actors.engine.language.program import Node, Program, fired
from actors.engine.language.terms import Metric, MetricKind
from actors.engine.vectors.vector import Array, Type, Vector

_LOW, _HIGH = ("lt", "le"), ("gt", "ge")


class Watch(NamedTuple):
    """One metric that is followed."""

    type: int
    rule: Lifecycle
    kind: MetricKind
    node: Node
    clear: Node | None
    value: Node | None
    is_peak_low: bool


class _Seen(NamedTuple):
    """Evaluations of one expression, in the order of keys and, within a key, of their happening."""

    keys: Array
    arrivals: Array
    """Position in the frame of the row, or of the row that closed the window."""

    windows: Array
    """Number of the window; above all of them for the row itself, which comes after the windows it closes."""

    times: Array
    is_true: Array
    places: Array
    """Position in what the expression was evaluated over."""

    values: Vector | None
    """What is measured, over the same."""


def watch_of(number: int, metric: Metric, rule: Lifecycle, program: Program) -> Watch:
    """Return how a metric is followed."""
    node = program.node(metric.term)
    value, is_low = measured(node)
    clear = None if rule.clear is None else program.node(rule.clear.term)
    return Watch(number, rule, metric.kind, node, clear, value, is_low)


def measured(node: Node) -> tuple[Node | None, bool]:
    """Return the varying side of the first comparison by size, and whether a small value is the extreme one."""
    name = node.term.function.name if node.term.function is not None else ""
    if name in (*_LOW, *_HIGH):
        left, right = node.arguments
        varying, is_low = (left, name in _LOW) if left.constant is None else (right, name in _HIGH)
        return (varying, is_low) if varying.term.type in (Type.INT, Type.REAL) else (None, False)
    if node.term.is_aggregate:
        return None, False
    below = (measured(argument) for argument in node.arguments)
    return next((found for found in below if found[0] is not None), (None, False))


def steps(watch: Watch, evaluated: Evaluated, active: Array) -> Iterable[tuple[int, int, int, int, int, Any]]:
    """Give key, arrival, window, time, evaluation and value of each evaluation that may change something."""
    seen = _seen(watch.node, watch.kind, evaluated, watch.value)
    codes = np.where(seen.is_true, int(Evaluation.TRUE), 0)
    if watch.clear is None:
        codes[~seen.is_true] = int(Evaluation.CLEAR)
    else:
        assert watch.rule.clear is not None
        clear = _seen(watch.clear, watch.rule.clear.kind, evaluated, None)
        if (watch.kind is MetricKind.WINDOW) is (watch.rule.clear.kind is MetricKind.WINDOW):
            codes[_aligned(seen, clear) & ~seen.is_true] = int(Evaluation.CLEAR)
        else:
            seen, codes = _joined(seen, codes, clear)
    touched = np.union1d(active, seen.keys[codes == int(Evaluation.TRUE)])
    where = np.flatnonzero(np.isin(seen.keys, touched))
    if watch.rule.keep_firing == 0 and len(where):
        # Without a time to keep firing, the first of several evaluations that say the same has done everything.
        keys, chosen = seen.keys[where], codes[where]
        repeated = (keys[1:] == keys[:-1]) & (chosen[1:] == chosen[:-1]) & (chosen[1:] != int(Evaluation.TRUE))
        where = where[np.concatenate(([True], ~repeated))]
    columns = (seen.keys, seen.arrivals, seen.windows, seen.times, codes)
    return zip(*(column[where].tolist() for column in columns), _values(seen, where), strict=True)


def _seen(node: Node, kind: MetricKind, evaluated: Evaluated, value: Node | None) -> _Seen:
    batch, layout, closings = evaluated.batch, evaluated.layout, evaluated.closings
    keys = np.repeat(layout.numbers, layout.lengths)
    if kind is MetricKind.WINDOW:
        if not closings.count:
            return _nothing()
        context, count = evaluated.windows, len(closings.row_counts)
        places = np.arange(closings.count) if closings.contents is None else closings.contents
        is_true = fired(context.value(node), count)[places]
        values = None if value is None else context.rows(value)
        numbers = np.arange(closings.count)
        rows = closings.rows
        return _Seen(keys[rows], batch.arrivals(rows), numbers, closings.ends, is_true, places, values)
    if evaluated.is_tick:
        return _nothing()
    computed = evaluated.computed(kind)
    places = np.arange(batch.row_count) if computed is None else np.flatnonzero(computed)
    is_true = fired(evaluated.rows.value(node), batch.row_count)[places]
    values = None if value is None else evaluated.rows.rows(value)
    numbers = np.full(len(places), closings.count)
    return _Seen(keys[places], batch.arrivals(places), numbers, evaluated.times[places], is_true, places, values)


def _nothing() -> _Seen:
    none = np.zeros(0, dtype=np.int64)
    return _Seen(none, none, none, none, none.astype(np.bool_), none, None)


def _aligned(seen: _Seen, clear: _Seen) -> Array:
    """Return which of the evaluations seen come with a true clear expression; both are over rows, or over windows."""
    true_places = clear.places[clear.is_true] if len(clear.places) else clear.places
    if len(seen.windows) and len(clear.windows) == len(seen.windows) and (clear.places == seen.places).all():
        return clear.is_true
    return np.isin(seen.places, true_places)


def _joined(seen: _Seen, codes: Array, clear: _Seen) -> tuple[_Seen, Array]:
    """Put the true evaluations of a clear expression between those of a metric that happen at other moments."""
    cleared = np.flatnonzero(clear.is_true)
    pairs = zip(seen[:6], clear[:6], strict=True)
    columns = [np.concatenate((own, other[cleared])) for own, other in pairs]
    columns[4][len(codes) :] = False
    codes = np.concatenate((codes, np.full(len(cleared), int(Evaluation.CLEAR))))
    order = np.lexsort((columns[2], columns[1], columns[0]))
    keys, arrivals, windows, times, is_true, places = (column[order] for column in columns)
    return _Seen(keys, arrivals, windows, times, is_true, places, seen.values), codes[order]


def _values(seen: _Seen, where: Array) -> list[Any]:
    if seen.values is None:
        return [None] * len(where)
    # Only true evaluations are asked for their value; what a clear expression stands on may lie elsewhere.
    places = np.where(seen.is_true[where], seen.places[where], 0)
    values = seen.values.values[places].tolist()
    if seen.values.valid is None:
        return list(values)
    there = seen.values.valid[places].tolist()
    return [value if is_there else None for value, is_there in zip(values, there, strict=True)]

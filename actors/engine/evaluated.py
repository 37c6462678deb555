"""What the engine has computed for a batch, or at a tick: one value for all who look at it."""

from collections.abc import Sequence
from typing import NamedTuple

from actors.engine.language.program import Context, Node, fired, no_aggregate, no_column
from actors.engine.language.terms import Metric, MetricKind
from actors.engine.report.output import NO_ANOMALIES, Anomalies, Fired, ordered
from actors.engine.vectors.batch import Batch
from actors.engine.vectors.segments import Layout
from actors.engine.vectors.vector import Array
from actors.engine.windows.windows import Closings

_NO_ROWS = Context(0, no_column, no_aggregate, None)


class Evaluated(NamedTuple):
    """Rows of a batch, sorted by key where anything depends on that, and the windows that they closed."""

    batch: Batch
    layout: Layout
    """Which of the sorted rows belong to which key; one segment where nothing depends on keys."""

    times: Array
    """Time of each sorted row."""

    closings: Closings
    windows: Context
    """What metrics of windows are evaluated in: the windows that closed."""

    rows: Context = _NO_ROWS
    """What metrics of rows are evaluated in: the sorted rows."""

    is_tick: bool = False
    """Whether the rows only stand for keys whose windows a tick closed, so that metrics of rows are not tested."""

    anomalies: Anomalies = NO_ANOMALIES
    before: Array | None = None
    """Latest time of each segment's key before, the least number there is for none; `None` where nobody asks."""

    def find(self, offset: int, ordinal: int) -> int | None:
        """Return which of the anomalies has an id."""
        offsets = self.batch.offsets[self.anomalies.rows]
        where = ((offsets == offset) & (self.anomalies.ordinals == ordinal)).nonzero()[0]
        return int(where[0]) if len(where) else None

    def anomaly_times(self, time_column: str) -> Array:
        """Return each anomaly's time: the end of its window, or the time of its row."""
        anomalies, closings = self.anomalies, self.closings
        times: Array = self.batch.frame.get_column(time_column).to_numpy().take(anomalies.rows)
        if closings.count:
            of_window = (anomalies.windows < closings.count).nonzero()[0]
            times[of_window] = closings.ends.take(anomalies.windows.take(of_window))
        return times

    def computed(self, kind: MetricKind) -> Array | None:
        """Return for which sorted rows a metric of rows is tested; `None` for all."""
        return self.closings.held.computed if kind is MetricKind.MIXED else None


def window_context(closings: Closings) -> Context:
    """Return what metrics of windows are evaluated in."""
    return Context(len(closings.row_counts), no_column, lambda node: closings.values[node.index], None)


def found_anomalies(metrics: Sequence[Metric], nodes: Sequence[Node], evaluated: Evaluated) -> Anomalies:
    """Return where metrics fired, in the order of the output; `nodes` are their terms."""
    batch, closings = evaluated.batch, evaluated.closings
    found: list[Fired] = []
    for metric_index, (metric, node) in enumerate(zip(metrics, nodes, strict=True)):
        if metric.kind is MetricKind.WINDOW:
            if closings.count:
                where = closings.of_rooms(fired(evaluated.windows.value(node), len(closings.row_counts))).nonzero()[0]
                found.append(Fired(metric_index, batch.arrivals(closings.rows[where]), where))
        elif not evaluated.is_tick:
            mask, computed = fired(evaluated.rows.value(node), batch.row_count), evaluated.computed(metric.kind)
            mask = mask if computed is None else mask & computed
            found.append(Fired(metric_index, batch.arrivals(mask.nonzero()[0]), None))
    return ordered(found, batch.frame.height, closings.count)

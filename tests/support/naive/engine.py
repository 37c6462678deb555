"""The naive engine itself: the published algorithm, one row at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.naive.alignment import alignment_size
from tests.support.naive.calendar import NaiveCalendar
from tests.support.naive.check import TEMPORAL, check
from tests.support.naive.evaluate import Evaluator, Known, Row
from tests.support.naive.refusal import Refused
from tests.support.naive.syntax import Node, parse
from tests.support.naive.text import canonical_text

Key = tuple[Any, ...]


class Anomaly(NamedTuple):
    """One line of the output."""

    offset: int
    ordinal: int
    time: int
    key: tuple[Any, ...]
    metric_index: int
    text: str


class Reason(NamedTuple):
    """Why a metric fired."""

    time: int
    """Time of the anomaly."""

    metric_index: int
    window: tuple[int, int, int] | None
    """Start, end and number of rows of the window whose aggregates were used."""

    values: Mapping[Node, Any]
    """Values of the parts of the metric, down to its aggregates; empty unless asked for."""


@dataclass(slots=True)
class _KeyState:
    """What is kept of a key: all of its accepted rows, with their times."""

    rows: list[Row] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    next_end: int = 0
    reported_until: int | None = None
    """End of the latest window that a tick closed."""

    known: dict[int, Known] = field(default_factory=dict)
    """Per metric: values of arguments of order-sensitive calls at the rows so far."""

    aggregates: list[dict[Node, Any]] | None = None
    """Per metric: the values over the latest computed window; `None` before the first."""

    window: tuple[int, int, int] | None = None
    """Start, end and number of rows of that window."""

    computed: dict[int, list[dict[Node, Any]]] = field(default_factory=dict)
    """The same of all windows that were computed, by their ends."""


class NaiveEngine:
    """Rows in, anomalies out.

    Raises:
        Refused: an argument or a metric that must not be accepted.
    """

    def __init__(
        self,
        metrics: Sequence[str],
        schema: Mapping[str, str],
        time_column: str,
        key_columns: Sequence[str] = (),
        window_size: int | None = None,
        step: int | None = None,
        round_time: bool = True,
        anomaly_descriptions: Sequence[str] | None = None,
        nulls: str = "smallest",
        gives_values: bool = False,
        window_offset: int = 0,
        calendar: "NaiveCalendar | None" = None,
    ) -> None:
        self._offset, self._calendar = window_offset, calendar
        self._schema = {name.lower(): kind for name, kind in schema.items()}
        self._time, self._keys = time_column.lower(), [name.lower() for name in key_columns]
        self._metrics = [check(parse(metric), self._schema) for metric in metrics]
        self._evaluators = [Evaluator(metric, unknown=nulls == "unknown") for metric in self._metrics]
        self._has_windows = any(metric.aggregates for metric in self._metrics)
        self._size, self._step, self._alignment = 0, 0, 1
        self._check_arguments(metrics, anomaly_descriptions)
        if self._has_windows:
            self._set_windows(window_size, step, round_time)
        self._texts = list(anomaly_descriptions or map(canonical_text, metrics))
        self._states: dict[tuple[Any, ...], _KeyState] = {}
        self._next_offset = 0
        self._gives_values = gives_values
        self.reasons: dict[tuple[int, int], Reason] = {}
        """Why each anomaly was found, by its offset and ordinal; the parts have values if `gives_values`."""

        self.late_offsets: list[int] = []
        """Rows that were discarded because a later one of their key had been there."""

        self.untimed_offsets: list[int] = []
        """Rows that were discarded because they have no time."""

    def _check_arguments(self, metrics: Sequence[str], descriptions: Sequence[str] | None) -> None:
        if not metrics or (descriptions is not None and len(descriptions) != len(metrics)):
            raise Refused("bad_argument", "metrics and descriptions")
        if self._schema.get(self._time) not in TEMPORAL or any(key not in self._schema for key in self._keys):
            raise Refused("bad_argument", "time or key column")

    def _set_windows(self, size: int | None, step: int | None, round_time: bool) -> None:
        if size is None or step is None:
            raise Refused("window_required")
        if size < 1 or step < 1 or not 0 <= self._offset < step:
            raise Refused("bad_argument", "window size and step")
        self._size, self._step = size, step
        self._alignment = alignment_size(self._schema[self._time], step, round_time=round_time)

    def append(self, rows: Sequence[Sequence[Any]], offsets: Sequence[int] | None = None) -> list[Anomaly]:
        """Return the anomalies that these rows cause, in the order of the output."""
        if offsets is None:
            offsets = range(self._next_offset, self._next_offset + len(rows))
        found: list[Anomaly] = []
        for offset, values in zip(offsets, rows, strict=True):
            row = dict(zip(self._schema, map(_plain, values, self._schema.values()), strict=True))
            key = tuple(row[name] for name in self._keys)
            for ordinal, reason in enumerate(self._judge(offset, key, row)):
                index = reason.metric_index
                found.append(Anomaly(offset, ordinal, reason.time, key, index, self._texts[index]))
                self.reasons[offset, ordinal] = reason
            self._next_offset = offset + 1
        return found

    def advance(self, time: int, offset: int, keys: Callable[[Key], bool] = lambda key: True) -> list[Anomaly]:
        """Return the anomalies of the windows of some keys that have ended at a time, with ordinals from 0."""
        found: list[Anomaly] = []
        for key in sorted(filter(keys, self._states), key=lambda key: [(value is not None, value) for value in key]):
            for reason in self._close_in_time(self._states[key], time):
                index = reason.metric_index
                found.append(Anomaly(offset, len(found), reason.time, key, index, self._texts[index]))
        return found

    def forget(self, time: int, ttl: int, keys: Callable[[Key], bool] = lambda key: True) -> None:
        """Forget those of some keys whose latest row, or window reported at a tick, is too old."""
        for key in list(filter(keys, self._states)):
            state = self._states[key]
            if state.times and max([*state.times, state.reported_until or state.times[0]]) < time - ttl:
                del self._states[key]

    def _close_in_time(self, state: _KeyState, time: int) -> list[Reason]:
        hits: list[Reason] = []
        while self._has_windows and state.next_end <= time and self._window(state):
            state.reported_until = state.next_end
            hits += self._compute(state, self._window(state))
        return hits

    def _judge(self, offset: int, key: tuple[Any, ...], row: Row) -> list[Reason]:
        time = row[self._time]
        if time is None:
            self.untimed_offsets.append(offset)
            return []
        state = self._states.setdefault(key, _KeyState())
        hits: list[Reason] = []
        if self._has_windows:
            if state.times and time < max(state.times[-1], state.reported_until or state.times[-1]):
                self.late_offsets.append(offset)
                return []
            if not state.times:
                state.next_end = self._first_end(time)
            hits += self._close_windows(state, time)
        state.rows.append(row)
        state.times.append(time)
        return hits + self._row_hits(state)

    def _close_windows(self, state: _KeyState, time: int) -> list[Reason]:
        hits: list[Reason] = []
        while state.next_end <= time:
            window = self._window(state)
            if not window:
                while state.next_end <= time:
                    state.next_end = self._following(state.next_end, time)
                break
            hits += self._compute(state, window)
        return hits

    def _first_end(self, time: int) -> int:
        if self._calendar is not None:
            return self._calendar.next_end(time, self._step)
        return (time - self._offset) // self._alignment * self._alignment + self._offset + self._step

    def _following(self, end: int, time: int) -> int:
        """Return the end of the next window, or one nearer to a time beyond it."""
        if self._calendar is not None:
            return self._calendar.next_end(end, self._step)
        return end + max((time - end) // self._step, 1) * self._step

    def _start(self, end: int) -> int:
        return end - self._size if self._calendar is None else self._calendar.earlier(end, self._size)

    def _end_before(self, end: int, n: int) -> int:
        """Return the end of the window n steps before."""
        return end - n * self._step if self._calendar is None else self._calendar.earlier(end, n * self._step)

    def _window(self, state: _KeyState) -> list[Row]:
        end = state.next_end
        start = self._start(end)
        return [row for row, at in zip(state.rows, state.times, strict=True) if start <= at < end]

    def _compute(self, state: _KeyState, window: list[Row]) -> list[Reason]:
        end = state.next_end
        state.aggregates = [
            {call: evaluator.aggregate(call, window) for call in metric.aggregates}
            for metric, evaluator in zip(self._metrics, self._evaluators, strict=True)
        ]
        state.computed[end] = state.aggregates
        for i, (metric, evaluator) in enumerate(zip(self._metrics, self._evaluators, strict=True)):
            for call in metric.earlier:
                (n,) = metric.bound[call][1]
                before = state.computed.get(self._end_before(end, n))
                value = None if before is None else evaluator.part(call.arguments[0], before[i])
                state.aggregates[i][call] = value
        state.window = (self._start(end), end, len(window))
        state.next_end = self._following(end, end)
        return self._window_hits(state)

    def _window_hits(self, state: _KeyState) -> list[Reason]:
        assert state.window is not None
        found = [
            self._test(i, state, [{}], {}, state.window[1])
            for i, metric in enumerate(self._metrics)
            if metric.kind == "window"
        ]
        return [reason for reason in found if reason is not None]

    def _row_hits(self, state: _KeyState) -> list[Reason]:
        found = [
            self._test(i, state, state.rows, state.known.setdefault(i, {}), state.times[-1])
            for i, metric in enumerate(self._metrics)
            if metric.kind == "row" or (metric.kind == "mixed" and state.aggregates is not None)
        ]
        return [reason for reason in found if reason is not None]

    def _test(self, index: int, state: _KeyState, rows: Sequence[Row], known: Known, time: int) -> Reason | None:
        """Return why a metric is true for the last of the rows, or `None` if it is not."""
        evaluator, aggregates = self._evaluators[index], state.aggregates[index] if state.aggregates else {}
        if evaluator.last(rows, known, aggregates) is not True:
            return None
        values = evaluator.parts(rows, known, aggregates) if self._gives_values else {}
        return Reason(time, index, state.window if self._metrics[index].aggregates else None, values)


def _plain(value: Any, kind: str) -> Any:
    return float(value) if kind == "DOUBLE" and value is not None else value

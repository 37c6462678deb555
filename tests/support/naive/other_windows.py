"""Windows that are no stretches of time: so many rows, and sessions, as a row by row engine has them."""

from collections.abc import Callable
from typing import Any

from tests.support.naive.engine import Key, NaiveEngine, Reason, _KeyState
from tests.support.naive.evaluate import Row


class NaiveRowWindows(NaiveEngine):
    """Windows of rows; the row with which one is complete closes it, and is itself compared with the one before."""

    def __init__(self, *given: Any, rows: int, row_step: int, **named: Any) -> None:
        super().__init__(*given, **named, window_size=1, step=1)
        self._rows, self._row_step = rows, row_step

    def _close_windows(self, state: _KeyState, time: int) -> list[Reason]:
        return []

    def _close_in_time(self, state: _KeyState, time: int) -> list[Reason]:
        return []

    def _row_hits(self, state: _KeyState) -> list[Reason]:
        hits = super()._row_hits(state)
        over = len(state.rows) - self._rows
        if over < 0 or over % self._row_step:
            return hits
        return self._compute_over(state, state.rows[over:], state.times[over], state.times[-1]) + hits

    def _compute_over(self, state: _KeyState, window: list[Row], start: int, end: int) -> list[Reason]:
        state.aggregates = [
            {call: evaluator.aggregate(call, window) for call in metric.aggregates}
            for metric, evaluator in zip(self._metrics, self._evaluators, strict=True)
        ]
        state.window = (start, end, len(window))
        return self._window_hits(state)


class NaiveSessions(NaiveRowWindows):
    """Sessions; a row that comes so long after the last one closes the one before it, and so does time."""

    def __init__(self, *given: Any, gap: int, **named: Any) -> None:
        super().__init__(*given, **named, rows=1 << 60, row_step=1)
        self._gap = gap
        self._closed: dict[int, int] = {}

    def _close_windows(self, state: _KeyState, time: int) -> list[Reason]:
        begun = self._closed.get(id(state), 0)
        if not state.times[begun:] or time < state.times[-1] + self._gap:
            return []
        self._closed[id(state)] = len(state.rows)
        return self._compute_over(state, state.rows[begun:], state.times[begun], state.times[-1] + self._gap)

    def _close_in_time(self, state: _KeyState, time: int) -> list[Reason]:
        hits = self._close_windows(state, time)
        if state.rows and self._closed.get(id(state), 0) == len(state.rows):
            state.reported_until = max(state.reported_until or 0, state.times[-1] + self._gap)
        return hits


class NaiveZero(NaiveEngine):
    """Windows of known keys are computed whether they have rows or not."""

    def _close_windows(self, state: _KeyState, time: int) -> list[Reason]:
        hits: list[Reason] = []
        while state.next_end <= time:
            if state.times:
                hits += self._compute(state, self._window(state))
            else:
                # Nothing was known of the key then.
                state.next_end = self._following(state.next_end, state.next_end)
        return hits

    def _close_in_time(self, state: _KeyState, time: int) -> list[Reason]:
        hits: list[Reason] = []
        while state.next_end <= time:
            state.reported_until = state.next_end
            hits += self._compute(state, self._window(state))
        return hits

    def forget(self, time: int, ttl: int, keys: Callable[[Key], bool] = lambda key: True) -> None:
        for key in list(filter(keys, self._states)):
            if self._states[key].times and self._states[key].times[-1] < time - ttl:
                del self._states[key]

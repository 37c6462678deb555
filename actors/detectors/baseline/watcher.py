"""The watcher of one column: rows go to whichever executor takes them faster, alarms are raised once."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from actors.detectors.baseline import many_keys, one_key, season, tuning
from actors.detectors.baseline import state as at
from actors.detectors.baseline.judged import Judged
from actors.detectors.baseline.reasons import Rule, reason
from actors.detectors.baseline.state import Doubles, Ints, State
from actors.detectors.findings import MakeDetail, UnusualRows
from actors.detectors.groups import Bools, GroupedRows
from actors.model import Column

MANY = 24
"""Keys with a row from which on it is faster to take a row of each at once."""

TOGETHER_MAX = 1024
"""Most keys of which rows are taken at once; what comes in between then stays in the caches of a core."""


class BaselineWatcher:
    """What is usual for one column of numbers, per group."""

    def __init__(self, column: Column, time: Column, rule: Rule, make_detail: MakeDetail) -> None:
        self.metric = f"baseline of {column.name}"
        self.about: str | None = None
        self.changed: set[int] = set()
        self._column = column.name
        self._time = time
        self._rule = rule
        self._make_detail = make_detail
        self._state = State(season.bin_count(rule.season))

    def observe(self, batch: GroupedRows) -> list[UnusualRows]:
        """Learn all rows of a batch and return those that are unusual."""
        if not batch.row_count:
            return []
        self._state.grow(int(batch.group_codes.max()) + 1)
        values = batch.frame[self._column].cast(float).fill_null(np.nan).to_numpy()
        is_given = (np.abs(values) <= tuning.VALUE_MAX) & ~self._state.is_muted[batch.codes]
        rows = np.flatnonzero(is_given)
        if not len(rows):
            return []
        starts = np.flatnonzero(np.diff(batch.codes[rows], prepend=-1))
        counts = np.diff(starts, append=len(rows))
        codes = batch.codes[rows[starts]]
        self._note_first_times(codes, batch.now[rows[starts]])
        rows_before = self._state.numbers[at.ROWS, codes]
        judged = self._take(batch, values, rows, starts, counts, codes)
        self.changed.update(codes.tolist())
        # Counted from 1, over all batches.
        places = np.arange(1, len(rows) + 1) + np.repeat(rows_before - starts, counts)
        return self._alarms(batch, values, judged, rows, places)

    def accept(self, code: int, value: Any, now: int | None) -> None:
        """Do nothing: what was reported is learned already."""

    def mute(self, code: int) -> None:
        """Stop watching a group."""
        self._state.grow(code + 1)
        self._state.is_muted[code] = True
        self.changed.add(code)

    def codes(self) -> Iterable[int]:
        """Return the groups about which something is known."""
        return self._state.codes()

    def encode(self, code: int) -> list[Any]:
        """Return what is saved of a group."""
        self._state.grow(code + 1)
        return self._state.encode(code)

    def decode(self, code: int, saved: Sequence[Any]) -> None:
        """Take over what was saved of a group."""
        self._state.decode(code, saved)

    def validate(self) -> None:
        """Assert every invariant of what is known."""
        self._state.validate()

    def _note_first_times(self, codes: Ints, times: Ints) -> None:
        is_first = self._state.numbers[at.ROWS, codes] == 0.0
        self._state.first_times[codes[is_first]] = times[is_first]

    def _take(self, batch: GroupedRows, values: Doubles, rows: Ints, starts: Ints, counts: Ints, codes: Ints) -> Judged:
        """Learn the rows that bring a value; `starts`, `counts` and `codes` are of their groups."""
        times = batch.frame[self._time.name].to_physical().cast(int).to_numpy()
        bins = season.bins(self._rule.season, times, self._time.type)
        judged = Judged.of(batch.row_count)
        done = np.zeros(len(codes), np.int64)
        if len(codes) >= MANY:
            # Keys with many rows stand together, so that most are taken as long as there are many keys with another.
            order = np.argsort(-counts, kind="stable")
            for some in np.array_split(order, -(-len(order) // TOGETHER_MAX)):
                picked, turn = self._state.picked(codes[some]), 0
                while (width := int(np.searchsorted(-counts[some], -turn, side="left"))) >= MANY:
                    at_once = rows[starts[some[:width]] + turn]
                    many_keys.take_rows(picked, values[at_once], bins[at_once], judged, at_once)
                    turn += 1
                self._state.put_back(codes[some], picked)
                done[some] = np.minimum(counts[some], turn)
        for group in np.flatnonzero(done < counts).tolist():
            own = rows[starts[group] + done[group] : starts[group] + counts[group]]
            one_key.take_rows(self._state, int(codes[group]), values[own], bins[own], judged, own)
        return judged

    def _alarms(
        self, batch: GroupedRows, values: Doubles, judged: Judged, rows: Ints, places: Doubles
    ) -> list[UnusualRows]:
        scores = judged.scores[rows] / self._rule.sensitivity
        is_alarm = (scores >= 1.0) & self._is_judged(batch, rows, places)
        found = []
        for place in np.flatnonzero(is_alarm).tolist():
            row, score = int(rows[place]), float(scores[place])
            shown = reason(self._rule, judged, row, float(values[row]), score)
            if shown is None:
                continue
            known = self._state.numbers[:, batch.codes[row]]
            is_quiet = places[place] - known[at.ALARM_ROW] <= tuning.QUIET_ROW_COUNT
            if is_quiet and score <= tuning.WORSE * known[at.ALARM_SCORE]:
                continue
            known[at.ALARM_ROW], known[at.ALARM_SCORE] = places[place], score
            found.append(UnusualRows((row,), self._make_detail(int(batch.codes[row]), shown)))
        return found

    def _is_judged(self, batch: GroupedRows, rows: Ints, places: Doubles) -> Bools:
        """Return which rows are beyond the warm-up of their group, and not learned on purpose."""
        is_judged = ~batch.is_learning[rows] & (places > tuning.WARM_UP_ROW_COUNT)
        if self._rule.warm_up:
            is_judged &= batch.now[rows] - self._state.first_times[batch.codes[rows]] >= self._rule.warm_up
        return is_judged

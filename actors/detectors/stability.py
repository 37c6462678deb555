"""Trackers of stability: how the values of one variable behave, per group. They report nothing; they are looked at.

A tracker takes every value that is not NULL, also after the learn phase unless that is limited. What is saved of a
group is the state of its tracker of the persistency library and the time of the last change.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from actors.detectors.groups import Batch, segments
from actors.persistency.stability_tracker import SingleStabilityTracker
from actors.persistency.values import decode_value, encode_value


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is known of one variable of one group."""

    detector: str
    """Name of the detector."""

    group: tuple[Any, ...]
    """Values of the key columns and the event columns that the group is."""

    variable: str
    """The column."""

    type: str
    """STATIC, STABLE, UNSTABLE, RANDOM or INSUFFICIENT_DATA."""

    reason: str
    """Why."""

    observation_count: int
    """Values seen, NULL not counted."""

    distinct_count: int
    """Distinct values; an estimate beyond the number kept exactly."""

    change_count: int
    """Observations of a value never seen before."""

    last_change: int | None
    """Time of the last of them, in ticks of the time column; `None` before the first."""


class StabilityTrackers:
    """Trackers of one column, one per group."""

    def __init__(
        self, column: str, time_column: str, make_tracker: Callable[[], SingleStabilityTracker], *, learns_only: bool
    ) -> None:
        self.metric = f"stability of {column}"
        self.column = column
        self.changed: set[int] = set()
        self._time_column = time_column
        self._make_tracker = make_tracker
        self._learns_only = learns_only
        self._trackers: dict[int, SingleStabilityTracker] = {}
        self._last_changes: dict[int, int] = {}

    def observe(self, batch: Batch) -> None:
        """Take the values of a batch."""
        values, times = batch.frame[self.column], batch.frame[self._time_column]
        is_taken = values.is_not_null().to_numpy()
        if self._learns_only:
            is_taken = is_taken & batch.is_learning
        if not is_taken.any():
            return
        plain, ticks = values.to_list(), times.to_list()
        for code, start, end in segments(batch):
            rows = (is_taken[start:end].nonzero()[0] + start).tolist()
            if rows:
                self._take(code, [plain[row] for row in rows], [ticks[row] for row in rows])

    def accept(self, code: int, value: Any, now: int | None) -> None:
        """Let a value count as known for a group, without an observation."""
        del now
        self._tracker(code).accept(value)
        self.changed.add(code)

    def verdict(self, code: int, detector: str, group: tuple[Any, ...]) -> Verdict | None:
        """Return what is known of a group, or `None` when it never had a value."""
        tracker = self._trackers.get(code)
        if tracker is None:
            return None
        found = tracker.classify()
        return Verdict(
            detector=detector,
            group=group,
            variable=self.column,
            type=found.type,
            reason=found.reason,
            observation_count=len(tracker.change_series),
            distinct_count=tracker.distinct_count,
            change_count=tracker.change_series.true_count(),
            last_change=self._last_changes.get(code),
        )

    def codes(self) -> Iterable[int]:
        """Return the groups about which something is known."""
        return self._trackers

    def encode(self, code: int) -> list[Any]:
        """Return what is saved of a group."""
        return [encode_value(self._trackers[code].to_state()), self._last_changes.get(code)]

    def decode(self, code: int, saved: Sequence[Any]) -> None:
        """Take over what was saved of a group."""
        state, last_change = saved
        self._trackers[code] = SingleStabilityTracker.from_state(decode_value(state))
        if last_change is not None:
            self._last_changes[code] = last_change

    def validate(self) -> None:
        """Assert that only followed groups have a last change, and that trackers agree with themselves."""
        assert self._last_changes.keys() <= self._trackers.keys(), "a change of a group that is not followed"
        for code, tracker in self._trackers.items():
            series = tracker.change_series
            assert 0 <= series.true_count() <= len(series), code
            assert (code in self._last_changes) == (series.true_count() > 0), code

    def _tracker(self, code: int) -> SingleStabilityTracker:
        tracker = self._trackers.get(code)
        if tracker is None:
            tracker = self._trackers[code] = self._make_tracker()
        return tracker

    def _take(self, code: int, values: list[Any], ticks: list[int]) -> None:
        tracker = self._tracker(code)
        before, changes = len(tracker.change_series), tracker.change_series.true_count()
        tracker.add_block(values, ticks)
        if tracker.change_series.true_count() > changes:
            self._last_changes[code] = ticks[tracker.change_series.last_true_position() - before]
        self.changed.add(code)

"""The kind `stability`: how the values of variables behave, per group. It reports nothing; it is looked at.

A tracker takes every value that is not NULL, also after the learn phase unless that is limited. What is saved of a
group is the state of its tracker of the persistency library and the time of the last change.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from actors.detectors.checks import as_names, as_numbers, check_choice, check_count, check_variables
from actors.detectors.groups import GroupedRows, segments
from actors.detectors.parts import Materials, Parts
from actors.detectors.registry import detector_kind
from actors.detectors.specs import GroupSpec
from actors.detectors.verdicts import VariableVerdict
from actors.persistency.stability_tracker import SEGMENTATIONS, SingleStabilityTracker
from actors.persistency.values import decode_value, encode_value

TIME_BUCKET_COUNT = 256
"""Spans in which times of values are counted, where stability is judged by time."""


@detector_kind("stability")
@dataclass(frozen=True, slots=True, kw_only=True)
class StabilitySpec(GroupSpec):
    """Follows how the values of variables behave, and reports nothing: STATIC, STABLE, UNSTABLE or RANDOM.

    With a learn phase only the rows of that are followed, without one all rows.
    """

    watch_field: ClassVar[str | None] = "variables"

    variables: tuple[str, ...]
    """Columns followed, each by itself. NULL is no value."""

    value_count_max: int = 1000
    """Distinct values of a variable kept exactly; beyond, their number is an estimate."""

    min_samples: int = 3
    """Fewest values that allow a verdict."""

    segmentation: str = "count"
    """What the series is cut into: equal numbers of values (`count`), equal spans of time (`time`), or `both`."""

    segment_thresholds: tuple[float, ...] = (1.1, 0.3, 0.1, 0.01)
    """One for each segment: the share of values never seen before that its segment must stay below to be STABLE."""

    def _check(self) -> None:
        owner = repr(self.name)
        self.put("variables", as_names(owner, "variables", self.variables))
        self.put("segment_thresholds", as_numbers(owner, "segment_thresholds", self.segment_thresholds))
        self.put("segmentation", check_choice(owner, "segmentation", self.segmentation, SEGMENTATIONS))
        check_variables(owner, self.variables)
        check_count(owner, "value_count_max", self.value_count_max)
        check_count(owner, "min_samples", self.min_samples)

    def make_parts(self, given: Materials) -> Parts:
        """Return a tracker for each variable."""
        followers = [
            StabilityTrackers(column, given.time_column, self._make_tracker, learns_only=self.learn.has_limit)
            for column in given.names(self.variables)
        ]
        return Parts(followers=followers)

    def _make_tracker(self) -> SingleStabilityTracker:
        return SingleStabilityTracker(
            self.min_samples,
            self.segmentation,
            segment_thresholds=self.segment_thresholds,
            max_distinct=self.value_count_max,
            time_buckets=None if self.segmentation == "count" else TIME_BUCKET_COUNT,
        )


class StabilityTrackers:
    """Trackers of one column, one per group."""

    def __init__(
        self, column: str, time_column: str, make_tracker: Callable[[], SingleStabilityTracker], *, learns_only: bool
    ) -> None:
        self.metric = f"stability of {column}"
        self.about: str | None = column
        self.column = column
        self.changed: set[int] = set()
        self._time_column = time_column
        self._make_tracker = make_tracker
        self._learns_only = learns_only
        self._trackers: dict[int, SingleStabilityTracker] = {}
        self._last_changes: dict[int, int] = {}

    def observe(self, batch: GroupedRows) -> None:
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

    def verdict(self, code: int, detector: str, group: tuple[Any, ...]) -> VariableVerdict | None:
        """Return what is known of a group, or `None` when it never had a value."""
        tracker = self._trackers.get(code)
        if tracker is None:
            return None
        found = tracker.classify()
        return VariableVerdict(
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

"""The segment test and the slope: two ways to see changes die out in a series of observations.

A *change* is an observation that brought something never seen before. The *segment test* cuts a series into as many
parts as there are thresholds, by number of observations or by time, and asks that the share of changes in each part is
below that part's threshold. The *slope* is how far before the middle the changes lie on average: -0.5 when there is
none after the first observation, 0 when they are spread evenly, +0.5 when all are at the end.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import isfinite
from typing import Any

from actors.persistency.arguments import numbers
from actors.persistency.classification_methods import ClassificationMethods
from actors.persistency.errors import PersistencyTypeError, PersistencyValueError
from actors.persistency.rle_list import RLEList
from actors.persistency.time_buckets import TimeBuckets

ChangeSeries = RLEList[bool] | Sequence[bool]
Timestamps = Sequence[float | None] | TimeBuckets


class StabilityClassifier:
    """The segment test with one threshold per segment, or, without thresholds, the tests of a classification.

    Raises:
        PersistencyValueError: there is no threshold, there are two lists of them, or the classification cannot be used.
    """

    def __init__(
        self,
        segment_thresholds: Sequence[float] | None = None,
        min_samples: int = 10,
        *,
        classification: ClassificationMethods | Mapping[str, Any] | None = None,
    ) -> None:
        self.classification: ClassificationMethods | None = None
        if segment_thresholds is not None and classification is not None:
            raise PersistencyValueError("segment_thresholds are given twice; a classification has its own")
        if segment_thresholds is None:
            self.classification = ClassificationMethods.from_any(classification or {})
            segment_thresholds, min_samples = self.classification.segment_thresholds, self.classification.segment_count
        self.segment_threshs = numbers("segment_thresholds", segment_thresholds)
        if not self.segment_threshs:
            raise PersistencyValueError("the segment test has no thresholds; give one per segment, such as [1.1, 0.3]")
        self.min_samples = min_samples
        self.segment_means: list[float] = []
        self._details: dict[str, str] = {}

    @property
    def n_segments(self) -> int:
        """Number of segments."""
        return len(self.segment_threshs)

    def is_stable(self, change_series: ChangeSeries, timestamps: Timestamps | None = None) -> bool:
        """Return whether the tests pass; an empty series is stable.

        Without a classification that is the segment test: by time where the timestamps can be used (one per
        observation, finite, never falling, not all equal), else by number of observations.
        """
        if self.classification is None:
            return self._passes_segments(_as_runs(change_series), timestamps)
        return self.decide(self.verdicts(change_series, timestamps))

    def verdicts(self, change_series: ChangeSeries, timestamps: Timestamps | None = None) -> dict[str, bool]:
        """Return, by name of each test of the classification, whether it passes; all of them run."""
        methods = self.classification or ClassificationMethods(segment_thresholds=self.segment_threshs)
        series = _as_runs(change_series)
        self.segment_means, self._details = [], {}
        found = {}
        for name in methods.enabled:
            stamps = timestamps if name in ("time", "slope_time") else None
            if name in ("index", "time"):
                found[name] = self._passes_segments(series, stamps)
                detail = _segment_reason(found[name], self.segment_means, self.segment_threshs)
            else:
                slope, axis = _slope_on_axis(series, stamps)
                found[name] = len(series) == 0 or slope <= methods.slope_threshold
                relation = "at most" if found[name] else "above"
                detail = f"slope {slope:+.3f} ({axis} axis) {relation} {methods.slope_threshold}"
            self._details[name] = f"{name}: {detail} -> {_word(found[name])}"
        return found

    def decide(self, verdicts: Mapping[str, bool]) -> bool:
        """Return what the rule of the classification makes of verdicts: all, or more than half, must have passed."""
        passed_count = sum(verdicts.values())
        if self.classification is None or self.classification.decision == "consensus":
            return passed_count == len(verdicts)
        return passed_count * 2 > len(verdicts)

    def get_last_details(self) -> dict[str, str]:
        """Return what each test found when `verdicts` last ran, for people."""
        return self._details

    def slope(self, change_series: ChangeSeries, timestamps: Timestamps | None = None) -> float:
        """Return the slope of a series, by time where the timestamps can be used, else by position."""
        return _slope_on_axis(_as_runs(change_series), timestamps)[0]

    def segment_bounds(self, count: int, timestamps: Timestamps | None = None) -> list[int]:
        """Return the first index of each segment, and `count`."""
        segment_count = len(self.segment_threshs)
        if timestamps is None or not are_usable(timestamps, count):
            return [int(k * count / segment_count) for k in range(segment_count)] + [count]
        if isinstance(timestamps, TimeBuckets):
            return timestamps.segment_bounds(segment_count)
        known: Sequence[Any] = timestamps
        start, end = known[0], known[count - 1]
        cuts = [start + k * (end - start) / segment_count for k in range(1, segment_count)]
        return [0, *(bisect_left(known, cut) for cut in cuts), count]

    def get_last_segment_means(self) -> list[float]:
        """Return the shares of changes that the last test found."""
        return self.segment_means

    def get_segment_thresholds(self) -> list[float]:
        return self.segment_threshs

    def __call__(self, change_series: ChangeSeries, timestamps: Timestamps | None = None) -> bool:
        """Return what `is_stable` returns."""
        return self.is_stable(change_series, timestamps)

    def __repr__(self) -> str:
        return f"StabilityClassifier(segment_threshs={self.segment_threshs}, segment_means={self.segment_means})"

    def _passes_segments(self, change_series: RLEList[bool], timestamps: Timestamps | None) -> bool:
        count = len(change_series)
        if count == 0:
            self.segment_means = []
            return True
        bounds = self.segment_bounds(count, timestamps)
        self.segment_means = _segment_means(change_series, bounds)
        return all(mean < limit for mean, limit in zip(self.segment_means, self.segment_threshs, strict=True))


def are_usable(timestamps: Timestamps, count: int) -> bool:
    """Return whether segments of time can be cut: one finite stamp per observation, never falling, not all equal."""
    if isinstance(timestamps, TimeBuckets):
        return timestamps.is_usable(count)
    if len(timestamps) != count or count == 0:
        return False
    if isinstance(timestamps, array):
        import numpy as np

        stamps = np.frombuffer(timestamps, dtype=np.float64)
        return bool(np.isfinite(stamps).all() and (stamps[1:] >= stamps[:-1]).all() and stamps[-1] > stamps[0])
    if any(stamp is None or not isfinite(stamp) for stamp in timestamps):
        return False
    known: Sequence[Any] = timestamps
    return all(a <= b for a, b in pairwise(known)) and known[-1] > known[0]


def _segment_reason(passed: bool, means: Sequence[float], thresholds: Sequence[float]) -> str:
    """Return what a segment test found, for people."""
    return f"means {list(means)} {'below' if passed else 'not below'} thresholds {list(thresholds)}"


def _slope_on_axis(series: RLEList[bool], timestamps: Timestamps | None) -> tuple[float, str]:
    """Return the slope, and whether it is by `time` or by `index`.

    The slope by time covers the span that begins at the second observation. It is by position where the timestamps
    cannot be used, or are all equal from the second on.
    """
    if timestamps is not None and len(series) >= _SLOPE_COUNT_MIN:
        slope = _time_slope(series, timestamps)
        if slope is not None:
            return slope, "time"
    return _index_slope(series), "index"


def _index_slope(series: RLEList[bool]) -> float:
    count = len(series)
    if count < _SLOPE_COUNT_MIN:
        return 0.0
    first = series.true_count(1)
    changes = series.true_count() - first
    if changes == 0:
        return -0.5
    return (series.true_position_sum() / changes - count / 2) / (count - 2)


def _time_slope(series: RLEList[bool], timestamps: Timestamps) -> float | None:
    count = len(series)
    if not are_usable(timestamps, count):
        return None
    if isinstance(timestamps, TimeBuckets):
        return timestamps.slope()
    known: Sequence[Any] = timestamps
    span = known[count - 1] - known[1]
    if span <= 0:
        return None
    places = [known[index] for index in series.true_positions() if index > 0]
    return float((sum(places) / len(places) - known[1]) / span - 0.5) if places else -0.5


_SLOPE_COUNT_MIN = 3


def _as_runs(series: ChangeSeries) -> RLEList[bool]:
    if isinstance(series, RLEList):
        return series
    if not isinstance(series, Iterable):
        raise PersistencyTypeError(f"the series of changes is {series!r}; give a list of truth values")
    return RLEList(bool(changed) for changed in series)


def _word(stable: bool) -> str:
    return "STABLE" if stable else "UNSTABLE"


def _segment_means(series: RLEList[bool], bounds: Sequence[int]) -> list[float]:
    means = []
    start, before = bounds[0], 0
    for end in bounds[1:]:
        count = series.true_count(end)
        means.append((count - before) / (end - start) if end > start else 0.0)
        start, before = end, count
    return means

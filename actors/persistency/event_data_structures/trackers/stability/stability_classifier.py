"""The segment test and the slope: two ways to see changes die out in a series of observations.

A *change* is an observation that brought something never seen before. The *segment test* cuts a series into as many
parts as there are thresholds, by number of observations or by time, and asks that the share of changes in each part is
below that part's threshold. The *slope* is how far before the middle the changes lie on average: -0.5 when there is
none after the first observation, 0 when they are spread evenly, +0.5 when all are at the end.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from typing import Any

from actors.persistency.errors import PersistencyValueError
from actors.persistency.event_data_structures.trackers.stability.time_buckets import TimeBuckets
from actors.persistency.rle_list import RLEList

DEFAULT_SEGMENT_THRESHOLDS = (1.1, 0.3, 0.1, 0.01)
"""Largest share of changes, exclusive, in each quarter; the first quarter always passes."""

DEFAULT_SLOPE_THRESHOLD = -0.05
"""Largest slope, inclusive, of a stable series."""

ChangeSeries = RLEList[bool] | Sequence[bool]
Timestamps = Sequence[float | None] | TimeBuckets


class StabilityClassifier:
    """The segment test with one threshold per segment.

    Raises:
        PersistencyValueError: there is no threshold.
    """

    def __init__(self, segment_thresholds: Sequence[float], min_samples: int = 10) -> None:
        if not segment_thresholds:
            raise PersistencyValueError("the segment test has no thresholds; give one per segment, such as [1.1, 0.3]")
        self.segment_threshs = list(segment_thresholds)
        self.min_samples = min_samples
        self.segment_means: list[float] = []

    def is_stable(self, change_series: ChangeSeries, timestamps: Timestamps | None = None) -> bool:
        """Return whether every segment's share of changes is below its threshold; an empty series is stable.

        With usable timestamps (one per observation, finite, never falling, not all equal) segments are equal spans of
        time; otherwise they are equal numbers of observations.
        """
        count = len(change_series)
        if count == 0:
            self.segment_means = []
            return True
        bounds = self.segment_bounds(count, timestamps)
        self.segment_means = _segment_means(change_series, bounds)
        return all(mean < limit for mean, limit in zip(self.segment_means, self.segment_threshs, strict=True))

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
        """Return the thresholds."""
        return self.segment_threshs

    def __call__(self, change_series: ChangeSeries, timestamps: Timestamps | None = None) -> bool:
        """Return what `is_stable` returns."""
        return self.is_stable(change_series, timestamps)

    def __repr__(self) -> str:
        return f"StabilityClassifier(segment_threshs={self.segment_threshs}, segment_means={self.segment_means})"


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


def index_slope(series: RLEList[bool]) -> float:
    """Return the slope by position: the mean position of changes after the first observation, around the middle."""
    count = len(series)
    if count < _SLOPE_COUNT_MIN:
        return 0.0
    first = series.true_count(1)
    changes = series.true_count() - first
    if changes == 0:
        return -0.5
    return (series.true_position_sum() / changes - count / 2) / (count - 2)


def time_slope(series: RLEList[bool], timestamps: Timestamps) -> float:
    """Return the slope by time, over the span that begins at the second observation, else the slope by position.

    The position is used where the timestamps are not usable, or are all equal from the second on.
    """
    count = len(series)
    if count < _SLOPE_COUNT_MIN:
        return 0.0
    if not are_usable(timestamps, count):
        return index_slope(series)
    if isinstance(timestamps, TimeBuckets):
        slope = timestamps.slope()
        return index_slope(series) if slope is None else slope
    known: Sequence[Any] = timestamps
    span = known[count - 1] - known[1]
    if span <= 0:
        return index_slope(series)
    places = [known[index] for index in series.true_positions() if index > 0]
    return float((sum(places) / len(places) - known[1]) / span - 0.5) if places else -0.5


_SLOPE_COUNT_MIN = 3


def _segment_means(series: ChangeSeries, bounds: Sequence[int]) -> list[float]:
    if not isinstance(series, RLEList):
        series = RLEList(bool(changed) for changed in series)
    means = []
    start, before = bounds[0], 0
    for end in bounds[1:]:
        count = series.true_count(end)
        means.append((count - before) / (end - start) if end > start else 0.0)
        start, before = end, count
    return means

"""The trackers of all variables of one event id."""

from collections.abc import Callable
from typing import Any

from actors.persistency.single_tracker import Classification, SingleTracker


class MultiTracker:
    """One tracker per variable, made by `single_tracker_type()` when the variable is first seen."""

    def __init__(self, single_tracker_type: Callable[[], SingleTracker] = SingleTracker) -> None:
        self.single_tracker_type = single_tracker_type
        self.single_trackers: dict[str, SingleTracker] = {}

    def add_data(self, data_object: dict[str, Any], timestamp: float | None = None) -> None:
        """Take one observation of each variable named."""
        for name, value in data_object.items():
            self.tracker(name).add_value(value, timestamp)

    def tracker(self, name: str) -> SingleTracker:
        """Return the tracker of a variable, made if need be."""
        tracker = self.single_trackers.get(name)
        if tracker is None:
            tracker = self.single_trackers[name] = self.single_tracker_type()
        return tracker

    def get_trackers(self) -> dict[str, SingleTracker]:
        """Return the live dictionary of trackers."""
        return self.single_trackers

    def classify(self) -> dict[str, Classification]:
        """Return the verdict on each variable."""
        return {name: tracker.classify() for name, tracker in self.single_trackers.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.single_trackers!r})"

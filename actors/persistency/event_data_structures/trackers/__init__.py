"""Backends that keep features of each variable instead of its values."""

from actors.persistency.event_data_structures.trackers.base import (
    Classification,
    EventTracker,
    MultiTracker,
    SingleTracker,
)
from actors.persistency.event_data_structures.trackers.stability import (
    ClassificationMethods,
    EventStabilityTracker,
    MultiStabilityTracker,
    SingleStabilityTracker,
    StabilityClassifier,
)

__all__ = [
    "Classification",
    "ClassificationMethods",
    "EventStabilityTracker",
    "EventTracker",
    "MultiStabilityTracker",
    "MultiTracker",
    "SingleStabilityTracker",
    "SingleTracker",
    "StabilityClassifier",
]

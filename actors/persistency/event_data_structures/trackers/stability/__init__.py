"""Stability: whether a variable goes on bringing values never seen before."""

from actors.persistency.event_data_structures.trackers.stability.classification_methods import ClassificationMethods
from actors.persistency.event_data_structures.trackers.stability.stability_classifier import StabilityClassifier
from actors.persistency.event_data_structures.trackers.stability.stability_tracker import (
    EventStabilityTracker,
    MultiStabilityTracker,
    SingleStabilityTracker,
)

__all__ = [
    "ClassificationMethods",
    "EventStabilityTracker",
    "MultiStabilityTracker",
    "SingleStabilityTracker",
    "StabilityClassifier",
]

"""Stability: whether a variable goes on bringing values never seen before."""

from actors.persistency.event_data_structures.trackers.stability.stability_classifier import StabilityClassifier
from actors.persistency.event_data_structures.trackers.stability.stability_tracker import (
    EventStabilityTracker,
    MultiStabilityTracker,
    SingleStabilityTracker,
)

__all__ = ["EventStabilityTracker", "MultiStabilityTracker", "SingleStabilityTracker", "StabilityClassifier"]

"""Trackers of any feature: one per variable, gathered per event id."""

from actors.persistency.event_data_structures.trackers.base.event_tracker import EventTracker
from actors.persistency.event_data_structures.trackers.base.multi_tracker import MultiTracker
from actors.persistency.event_data_structures.trackers.base.single_tracker import Classification, SingleTracker

__all__ = ["Classification", "EventTracker", "MultiTracker", "SingleTracker"]

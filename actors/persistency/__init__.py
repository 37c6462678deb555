"""Event persistency: what is remembered per event id, as rows or as features of variables.

A plain library: it reads no clock and knows neither actors nor databases. `EventPersistency` holds one backend per
event id; `event_data_structures` has the backends; `persistency_saver` writes and reads it all. The two data frame
backends are imported on first use, because one of them needs an optional package.
"""

from typing import TYPE_CHECKING, Any

from actors.persistency.event_data_structures.base import EventDataset, EventDataStructure
from actors.persistency.event_data_structures.trackers.stability.stability_tracker import EventStabilityTracker
from actors.persistency.event_persistency import EventPersistency
from actors.persistency.persistency_saver import (
    PersistencyLoadError,
    PersistencySaveError,
    PersistencySaver,
    PersistencySaverConfig,
    load,
    save,
)

if TYPE_CHECKING:
    from actors.persistency.event_data_structures.dataframes import ChunkedEventDataFrame, EventDataFrame

__all__ = [
    "ChunkedEventDataFrame",
    "EventDataFrame",
    "EventDataStructure",
    "EventDataset",
    "EventPersistency",
    "EventStabilityTracker",
    "PersistencyLoadError",
    "PersistencySaveError",
    "PersistencySaver",
    "PersistencySaverConfig",
    "load",
    "save",
]


def __getattr__(name: str) -> Any:
    if name in ("ChunkedEventDataFrame", "EventDataFrame"):
        from actors.persistency.event_data_structures import dataframes

        return getattr(dataframes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

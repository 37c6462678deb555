"""Event persistency: what is remembered per event id, as rows or as features of variables.

A plain library: it reads no clock and knows neither actors nor databases. `EventPersistency` holds one backend per
event id; a backend keeps rows (`chunked_event_dataframe`, `event_dataframe`) or features of variables
(`event_tracker`, `stability_tracker`); `persistency_saver` writes and reads it all. The two data frame backends are
imported on first use, because one of them needs an optional package. `import_paths` has the paths of the library that
this one stands in for.
"""

from typing import TYPE_CHECKING, Any

from actors.persistency.backends import find_backend
from actors.persistency.event_data_structure import EventDataset, EventDataStructure
from actors.persistency.event_persistency import EventPersistency
from actors.persistency.import_paths import install
from actors.persistency.persistency_saver import (
    PersistencyLoadError,
    PersistencySaveError,
    PersistencySaver,
    PersistencySaverConfig,
    load,
    save,
)
from actors.persistency.stability_tracker import EventStabilityTracker

if TYPE_CHECKING:
    from actors.persistency.chunked_event_dataframe import ChunkedEventDataFrame
    from actors.persistency.event_dataframe import EventDataFrame

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

install()


def __getattr__(name: str) -> Any:
    if name in ("ChunkedEventDataFrame", "EventDataFrame"):
        return find_backend(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

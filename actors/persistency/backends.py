"""The backends of this package by name: the only ones that a name found in a file can mean."""

from collections.abc import Mapping
from importlib import import_module

from actors.persistency.event_data_structure import EventDataStructure

BACKENDS: Mapping[str, str] = {
    "ChunkedEventDataFrame": "chunked_event_dataframe",
    "EventDataFrame": "event_dataframe",
    "EventStabilityTracker": "stability_tracker",
    "EventTracker": "event_tracker",
}
"""Names of the backends, and the modules that they are in; imported when they are needed."""


def find_backend(name: str) -> type[EventDataStructure]:
    """Return a backend; `name` is one of `BACKENDS`."""
    found: type[EventDataStructure] = getattr(import_module(f"actors.persistency.{BACKENDS[name]}"), name)
    return found

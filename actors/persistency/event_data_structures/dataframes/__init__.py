"""Backends that keep the rows of events: for Polars, and for pandas where that is installed."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.persistency.event_data_structures.dataframes.chunked_event_dataframe import ChunkedEventDataFrame
    from actors.persistency.event_data_structures.dataframes.event_dataframe import EventDataFrame

__all__ = ["ChunkedEventDataFrame", "EventDataFrame"]


def __getattr__(name: str) -> Any:
    if name == "ChunkedEventDataFrame":
        from actors.persistency.event_data_structures.dataframes import chunked_event_dataframe

        return chunked_event_dataframe.ChunkedEventDataFrame
    if name == "EventDataFrame":
        from actors.persistency.event_data_structures.dataframes import event_dataframe

        return event_dataframe.EventDataFrame
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

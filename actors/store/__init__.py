"""Events on LMDB: latest values and time series, registered in memory and flushed in one transaction.

`EventStore` is the entry; `StoreConfig` says what is kept; `Query...Params` say what is asked; `arguments` converts or
refuses whatever enters. Everything else is how it is done: `events` are values and rows in memory, `disk` is what the
tables hold and how it is written, `query` reads, `check` looks for damage. No Ray, no clock of its own.
"""

from typing import TYPE_CHECKING

from actors.lazy_names import lazy_names

if TYPE_CHECKING:
    from actors.store.config import OrderBy, SeriesConfig, SetConfig, StoreConfig
    from actors.store.events.columns_of_events import ColumnBatch
    from actors.store.events.event import BinaryPayload, Event, EventId, JsonPayload, Timestamp
    from actors.store.query.planner import Order, QueryLatestParams, QueryServerParams, QueryTimeseriesParams
    from actors.store.store import EventStore
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "actors.store.config": "OrderBy SeriesConfig SetConfig StoreConfig",
            "actors.store.events.columns_of_events": "ColumnBatch",
            "actors.store.events.event": "BinaryPayload Event EventId JsonPayload Timestamp",
            "actors.store.query.planner": "Order QueryLatestParams QueryServerParams QueryTimeseriesParams",
            "actors.store.store": "EventStore",
        },
    )

__all__ = [
    "BinaryPayload",
    "ColumnBatch",
    "Event",
    "EventId",
    "EventStore",
    "JsonPayload",
    "Order",
    "OrderBy",
    "QueryLatestParams",
    "QueryServerParams",
    "QueryTimeseriesParams",
    "SeriesConfig",
    "SetConfig",
    "StoreConfig",
    "Timestamp",
]

"""Queries mean the same in the process that they are sent to."""

import copy
import pickle
from pathlib import Path

from actors.store import Event, EventId, EventStore, JsonPayload, QueryTimeseriesParams, StoreConfig, Timestamp
from actors.store.config import OrderBy, SeriesConfig


def test_a_query_that_was_sent_finds_what_it_would_have_found(tmp_path: Path) -> None:
    event = Event(EventId(0, 1, 1), ("a",), Timestamp(1, 0), None, JsonPayload({"level": 1}))
    config = StoreConfig(series=(SeriesConfig(order_by=OrderBy.TIMESTAMP),), flush_period_ms=None)
    with EventStore.open(tmp_path, config, clock=lambda: 0) as store:
        store.register([event])
        params = QueryTimeseriesParams(t_to=Timestamp(1, 0))
        assert store.query(pickle.loads(pickle.dumps(params))).events == (event,)
        assert store.query(copy.deepcopy(params)).events == (event,)

"""One long value costs its own length, not its length in every row."""

import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from actors.store import EventStore, JsonPayload, QueryTimeseriesParams
from cluster.local.speed import slowness
from tests.support.store_setup import event, open_store

ROW_COUNT = 8192
LONG = "y" * (1 << 20)


def seconds_of(path: Path, odd: Any) -> float:
    """Store rows of which one has an odd payload, read them, and return how long both took."""
    events = [event(n, "a", data={"value": n, "text": f"text {n % 7}"}) for n in range(1, ROW_COUNT + 1)]
    events[5] = events[5]._replace(payload=JsonPayload(odd))
    with open_store(path) as store:
        store.register(events)
        started = time.perf_counter()
        store.flush()
        _read(store, odd)
        return time.perf_counter() - started


def _read(store: EventStore, odd: Any) -> None:
    frame = store.query_frame(QueryTimeseriesParams(), {"value": pl.Float64, "text": pl.String})
    assert frame.height == ROW_COUNT
    found = store.query(QueryTimeseriesParams(ids=frozenset([event(6).id]))).events
    assert found[0].payload == JsonPayload(odd)


@pytest.mark.parametrize(
    "odd",
    [
        {"value": 1, "text": LONG},
        {"value": 1, "text": [LONG]},
        {"value": 1, LONG: "text"},
        {f"key {n}": n for n in range(1000)},
        LONG,
    ],
    ids=["text", "nested text", "key", "many keys", "text alone"],
)
def test_one_long_value_costs_its_own_length(tmp_path: Path, odd: Any) -> None:
    usual = seconds_of(tmp_path / "usual", {"value": 1, "text": "text"})
    assert seconds_of(tmp_path / "odd", odd) < 10 * usual + 0.5 * slowness()

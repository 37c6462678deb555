"""Damage to the blocks that are written to: named, left alone, and everything else goes on."""

from pathlib import Path
from typing import Any

import pytest

from actors.store import EventStore, Order, OrderBy, QueryTimeseriesParams, Timestamp
from actors.store.disk.log import _KEY as LOG_KEY
from actors.store.disk.source_series import _KEY as RUN_KEY
from actors.store.errors import BlockDamagedError
from tests.support.store_setup import event, instances, open_store, small_blocks


def filled(path: Path) -> EventStore:
    """A store with the ids 1 to 4 in a full block and 5 to 7 in the tail."""
    store = open_store(path)
    for first in (1, 5):
        last = min(first + 4, 8)
        store.register([event(n, "ab"[n % 2], source=n, data={"n": n}) for n in range(first, last)])
        store.flush()
    return store


def damage(store: EventStore, table: Any, key: bytes, place: int | None) -> None:
    def action(txn: Any) -> None:
        raw = bytearray(txn.get(key, db=table))
        if place is None:
            txn.delete(key, db=table)
        else:
            raw[place] ^= 1
            txn.put(key, bytes(raw), db=table)

    store._shard.write(action)


def held(store: EventStore, **options: Any) -> list[int]:
    return instances(store.query(QueryTimeseriesParams(order=Order.ASCENDING, **options)))


@pytest.mark.parametrize("place", [0, 1, 30, -1, None])
def test_a_damaged_tail_does_not_stop_opening_and_is_named(tmp_path: Path, place: int | None) -> None:
    with small_blocks(4):
        with filled(tmp_path) as store:
            damage(store, store._tables.log, LOG_KEY.pack(1, 1), place)
        with open_store(tmp_path) as store:
            (lost,) = store.stat().damages
            assert lost.startswith("block 1 of server 1's log: 3 events after id (1, 1, 4) up to (1, 1, 7) are lost (")
            assert store.last_event_id(1).instance == 7
            assert held(store, t_to=Timestamp(4, 0)) == [1, 2, 3, 4]
            with pytest.raises(BlockDamagedError, match="block 1 of server 1's log"):
                held(store)


def test_what_comes_after_a_damaged_tail_is_stored_and_found(tmp_path: Path) -> None:
    with small_blocks(4):
        with filled(tmp_path) as store:
            damage(store, store._tables.log, LOG_KEY.pack(1, 1), -1)
        with open_store(tmp_path) as store:
            store.register([event(n, "ab"[n % 2], data={"n": n}) for n in range(8, 14)])
        with open_store(tmp_path) as store:
            assert store.stat().damages == ()
            assert held(store, t_from=Timestamp(8, 0)) == [8, 9, 10, 11, 12, 13]
            newest = QueryTimeseriesParams(event_types=(("a",),), max_results=2)
            assert instances(store.query(newest)) == [12, 10]


def test_a_query_of_a_type_does_not_pass_over_a_damaged_tail_unseen(tmp_path: Path) -> None:
    with small_blocks(4):
        with filled(tmp_path) as store:
            damage(store, store._tables.log, LOG_KEY.pack(1, 1), 30)
        with open_store(tmp_path) as store:
            store.register([event(n, "c") for n in range(8, 14)])
            store.flush()
            with pytest.raises(BlockDamagedError, match="block 1 of server 1's log"):
                store.query(QueryTimeseriesParams(event_types=(("a",),), max_results=5))
            assert instances(store.query(QueryTimeseriesParams(event_types=(("c",),), max_results=1))) == [13]


def test_a_damaged_tail_of_a_sorted_run_does_not_stop_the_flush(tmp_path: Path) -> None:
    with small_blocks(4):
        with filled(tmp_path) as store:
            damage(store, store._tables.runs, RUN_KEY.pack(0, 0, 1), -1)
        with open_store(tmp_path) as store:
            store.register([event(n, "a", source=n) for n in range(8, 10)])
            store.flush()
            (lost,) = store.stat().damages
            assert "block 1 of run 0 of series 0" in lost
            late = held(store, order_by=OrderBy.SOURCE_TIMESTAMP, source_t_from=Timestamp(8, 0))
            assert late == [8, 9]


@pytest.mark.parametrize("place", range(4))
def test_a_damaged_number_of_a_latest_event_does_not_stop_opening(tmp_path: Path, place: int) -> None:
    def action(txn: Any) -> None:
        value = txn.pop(bytes(4), db=store._tables.latest)
        txn.put(bytes(1 if n == place else 0 for n in range(4)), value, db=store._tables.latest)

    with open_store(tmp_path) as store:
        store.register([event(1, "a")])
        store.flush()
        store._shard.write(action)
    with open_store(tmp_path) as store:
        number = 256 ** (3 - place)
        assert store.stat().damages == (f"the latest event of type number {number} is lost",)
        assert instances(store.query(QueryTimeseriesParams())) == [1]

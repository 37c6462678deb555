"""Readers of a store that another process may have open, and pages that continue at a place."""

from pathlib import Path

import pytest

from actors.shard import Shard, ShardMissingError
from actors.store import EventStore, Order, OrderBy, QueryLatestParams, QueryServerParams, QueryTimeseriesParams
from actors.store.errors import QueryError
from actors.store.events.conditions import JsonCondition
from actors.store.query.planner import place_of
from actors.store.query.reader import StoreReader
from tests.support.store_setup import event, instances, open_store, small_blocks

ASC, DESC = Order.ASCENDING, Order.DESCENDING
EVENTS = [event(n, "ab"[n % 2], time=n // 2, source=(7 * n) % 10, data={"n": n, "odd": n % 2}) for n in range(1, 11)]


def fill(store: EventStore) -> None:
    store.register(EVENTS[:7])
    store.flush()
    store.register(EVENTS[7:])


@pytest.mark.parametrize("order", [ASC, DESC])
@pytest.mark.parametrize("order_by", list(OrderBy))
@pytest.mark.parametrize("size", [1, 3, 4])
def test_pages_that_continue_at_a_place_join_to_the_whole(
    tmp_path: Path, order: Order, order_by: OrderBy, size: int
) -> None:
    with small_blocks(4), open_store(tmp_path) as store:
        fill(store)
        whole = store.query(QueryTimeseriesParams(order=order, order_by=order_by)).events
        found, after, follows = [], None, True
        while follows:
            params = QueryTimeseriesParams(order=order, order_by=order_by, max_results=size, after=after)
            page = store.query(params)
            found += page.events
            after, follows = place_of(page.events[-1], order_by), page.more_follows
    assert len(whole) == 10
    assert tuple(found) == whole


def test_a_place_needs_no_event(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        fill(store)
        after = (3_000_000, 1, 1, 99)
        assert instances(store.query(QueryTimeseriesParams(order=ASC, after=after))) == [8, 9, 10]
        assert instances(store.query(QueryTimeseriesParams(after=after, unique_type=True))) == [7, 6]


def test_two_ways_to_continue_are_refused() -> None:
    with pytest.raises(QueryError, match="give one of them"):
        QueryTimeseriesParams(after=(0, 0, 0, 0), last_event_id=EVENTS[0].id)


def test_payloads_are_selected_by_conditions(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        fill(store)
        odd = JsonCondition(data_path="odd", data_value=1)
        small = JsonCondition(data_path="n", data_value=3)
        assert instances(store.query(QueryTimeseriesParams(conditions=(odd,), max_results=2))) == [9, 7]
        assert instances(store.query(QueryTimeseriesParams(conditions=(odd, small)))) == [3]
        assert instances(store.query(QueryTimeseriesParams(conditions=(odd,), unique_type=True))) == [9]


def test_a_reader_finds_what_the_store_finds(tmp_path: Path) -> None:
    queries = [
        QueryTimeseriesParams(),
        QueryTimeseriesParams(order=ASC, order_by=OrderBy.SOURCE_TIMESTAMP, event_types=(("a",),)),
        QueryTimeseriesParams(unique_type=True),
        QueryServerParams(server_id=1),
    ]
    with small_blocks(4), open_store(tmp_path) as store:
        fill(store)
        expected = [store.query(one) for one in queries]
        latest = set(map(str, store.query(QueryLatestParams()).events))
    with Shard.open(tmp_path, read_only=True) as shard:
        reader = StoreReader(shard)
        assert [reader.query(one) for one in queries] == expected
        assert set(map(str, reader.query(QueryLatestParams()).events)) == latest


def test_a_shard_without_a_store_says_so(tmp_path: Path) -> None:
    Shard.open(tmp_path).close()
    with Shard.open(tmp_path, read_only=True) as shard, pytest.raises(ShardMissingError, match="event_meta"):
        StoreReader(shard)


def test_a_reader_knows_the_types_on_disk(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        fill(store)
        store.flush()
    with Shard.open(tmp_path, read_only=True) as shard:
        reader = StoreReader(shard)
        reader.validate()
        assert len(reader.types) == 2
        reader.types._types.append(("lost",))
        with pytest.raises(AssertionError):
            reader.validate()

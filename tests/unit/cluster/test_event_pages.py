"""Pages of events out of the stores of several partitions."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.store import (
    Event,
    EventStore,
    Order,
    OrderBy,
    QueryLatestParams,
    QueryServerParams,
    QueryTimeseriesParams,
    SetConfig,
    StoreConfig,
)
from actors.store.query.planner import QueryParams, QueryResult
from cluster.client import event_pages
from cluster.client.event_pages import continue_after, merged_events, read_page
from cluster.errors import ClusterError
from tests.support.partition_jobs import skip_sync
from tests.support.store_setup import event, open_store

ASC, DESC = Order.ASCENDING, Order.DESCENDING
CONFIG = StoreConfig(sets=(SetConfig(),), flush_period_ms=None, timeseries_max_results=5)


def make_events(seed: int, count: int) -> list[list[Event]]:
    """Return events of two splits by the partition that has them; times repeat and source times come in any order."""
    rng = random.Random(seed)
    shares: list[list[Event]] = [[], [], []]
    for split in (0, 1):
        time = 0
        for session in range(1, count + 1):
            time += rng.choice((0, 0, 1))
            words = (rng.choice("abc"),)
            made = event(1, *words, time=time, source=rng.randrange(9), server=split, session=session, data=session)
            shares[rng.randrange(3)].append(made)
    return shares


class Stores:
    """Three partitions' stores; `asked` counts the partitions asked."""

    def __init__(self, stores: Sequence[EventStore]) -> None:
        self.stores = stores
        self.asked = 0

    def ask(self, partitions: Sequence[int], params: QueryParams) -> Mapping[int, QueryResult]:
        self.asked += len(partitions)
        return {number: self.stores[number].query(params) for number in partitions}


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[list[Event]]], Stores]]:
    monkeypatch.setattr(event_pages, "PAGE_EVENT_COUNT", 4)
    skip_sync(monkeypatch)
    with ExitStack() as stack:

        def fill(shares: list[list[Event]]) -> Stores:
            stores = [stack.enter_context(open_store(tmp_path / str(n), CONFIG)) for n in range(len(shares))]
            for store, share in zip(stores, shares, strict=True):
                store.register(sorted(share, key=lambda one: one.id))
            return Stores(stores)

        yield fill


def in_order(shares: list[list[Event]], order_by: OrderBy, order: Order) -> list[Event]:
    by_time = order_by is OrderBy.TIMESTAMP
    return sorted(
        (one for share in shares for one in share),
        key=lambda one: (one.timestamp if by_time else one.source_timestamp, one.id),
        reverse=order is DESC,
    )


@pytest.mark.parametrize("order", [ASC, DESC])
@pytest.mark.parametrize("order_by", list(OrderBy))
@pytest.mark.parametrize("limit", [0, 1, 7, 29, 30, 31, None])
def test_a_limit_gives_the_first_events_of_all_partitions(
    opened: Any, order: Order, order_by: OrderBy, limit: int | None
) -> None:
    shares = make_events(1, 15)
    params = QueryTimeseriesParams(order=order, order_by=order_by, max_results=limit)
    page = read_page(range(3), params, opened(shares).ask)
    assert list(page.events) == in_order(shares, order_by, order)[:limit]
    assert page.more_follows == (limit is not None and limit < 30)


@pytest.mark.parametrize("order", [ASC, DESC])
@pytest.mark.parametrize("order_by", list(OrderBy))
def test_pages_join_to_the_whole(opened: Any, order: Order, order_by: OrderBy) -> None:
    shares = make_events(2, 20)
    stores = opened(shares)
    params: Any = QueryTimeseriesParams(order=order, order_by=order_by, max_results=7)
    found: list[Event] = []
    while (page := read_page(range(3), params, stores.ask)).events:
        found += page.events
        params = continue_after(replace(params, after=None), str(page.next))
    assert found == in_order(shares, order_by, order)


def test_a_page_asks_no_more_of_partitions_than_the_first(opened: Any) -> None:
    stores = opened(make_events(3, 40))
    params: Any = QueryTimeseriesParams(order=ASC, max_results=3)
    asked = []
    for _ in range(10):
        stores.asked = 0
        page = read_page(range(3), params, stores.ask)
        asked.append(stores.asked)
        params = continue_after(params, str(page.next))
    assert asked == [3] * 10


def test_new_events_do_not_disturb_pages_and_are_found_behind_the_cursor(opened: Any) -> None:
    shares = make_events(4, 10)
    stores = opened(shares)
    older = QueryTimeseriesParams(max_results=15)
    newer = QueryTimeseriesParams(order=ASC)
    page, whole = read_page(range(3), older, stores.ask), read_page(range(3), newer, stores.ask)
    fresh = event(1, "a", time=100, server=0, session=99)
    stores.stores[1].register([fresh])
    rest = read_page(range(3), continue_after(older, str(page.next)), stores.ask)
    assert [*page.events, *rest.events] == in_order(shares, OrderBy.TIMESTAMP, DESC)
    assert read_page(range(3), continue_after(newer, str(whole.next)), stores.ask).events == (fresh,)


@pytest.mark.parametrize("order", [ASC, DESC])
def test_one_of_each_type_is_one_in_all_partitions(opened: Any, order: Order) -> None:
    shares = make_events(5, 20)
    params = QueryTimeseriesParams(order=order, unique_type=True, max_results=10)
    page = read_page(range(3), params, opened(shares).ask)
    firsts: dict[tuple[str, ...], Event] = {}
    for one in in_order(shares, OrderBy.TIMESTAMP, order):
        firsts.setdefault(one.type, one)
    assert list(page.events) == list(firsts.values())
    assert (len(firsts), page.next) == (3, None)


def test_the_latest_of_each_type_is_one_in_all_partitions(opened: Any) -> None:
    shares = make_events(6, 20)
    page = read_page(range(3), QueryLatestParams(event_types=(("a",), ("b",))), opened(shares).ask)
    newest = {one.type: one for one in in_order(shares, OrderBy.TIMESTAMP, ASC)}
    assert sorted(page.events) == sorted([newest["a",], newest["b",]])


def test_the_events_of_a_split_come_by_id_and_in_pages(opened: Any) -> None:
    shares = make_events(7, 20)
    stores = opened(shares)
    expected = sorted(one for share in shares for one in share if one.id.server == 1)
    params: Any = QueryServerParams(server_id=1, max_results=6)
    found: list[Event] = []
    while (page := read_page(range(3), params, stores.ask)).events:
        found += page.events
        params = continue_after(params, str(page.next))
    assert found == expected


def test_everything_is_read_page_by_page(opened: Any) -> None:
    shares = make_events(8, 30)
    stores = opened(shares)
    events = merged_events(range(3), QueryTimeseriesParams(order=ASC), stores.ask)
    first = next(events)
    assert stores.asked == 3
    assert [first, *events] == in_order(shares, OrderBy.TIMESTAMP, ASC)
    assert stores.asked >= 60 / 4


@pytest.mark.parametrize(
    ("params", "cursor", "message"),
    [
        (QueryTimeseriesParams(), "7", "'7' is no cursor; copy what the page before gave"),
        (QueryTimeseriesParams(), "time:1/2/3", "is no cursor"),
        (QueryTimeseriesParams(), "time:a/0/1/1", "is no cursor"),
        (QueryTimeseriesParams(), "source:1/2/3/4", "is of a query by source, this one is by time"),
        (QueryServerParams(server_id=1), "split:1/2", "is no cursor"),
        (QueryServerParams(server_id=1), "split:0/2/3", "is of split 0; ask for that one"),
    ],
)
def test_a_cursor_that_does_not_fit_is_refused(params: Any, cursor: str, message: str) -> None:
    with pytest.raises(ClusterError) as raised:
        continue_after(params, cursor)
    assert message in str(raised.value)

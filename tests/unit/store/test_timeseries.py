"""Time series queries: order, ranges, filters, pages."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from actors.store import (
    Event,
    EventId,
    EventStore,
    JsonPayload,
    Order,
    OrderBy,
    QueryTimeseriesParams,
    SeriesConfig,
    SetConfig,
    StoreConfig,
    Timestamp,
)
from actors.store.errors import QueryError
from actors.store.events.event import BinaryPayload
from actors.store.events.limits import Limit
from actors.store.events.patterns import PatternSet
from tests.support.store_setup import event, instances, open_store, small_blocks

ASC, DESC, SOURCE = Order.ASCENDING, Order.DESCENDING, OrderBy.SOURCE_TIMESTAMP
EVENTS = [
    event(1, "a", source=50),
    event(2, "b", source=10),
    event(3, "a"),
    event(4, "a", "x", source=30, data={"k": 1}),
    event(5, "b", time=4, source=30),
    event(6, "a", source=20),
]


@pytest.fixture(params=["pending", "flushed", "half"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[EventStore]:
    """The events, in every state of the flush."""
    with small_blocks(row_count=2), open_store(tmp_path) as opened:
        first = {"pending": 0, "flushed": 6, "half": 3}[request.param]
        opened.register(EVENTS[:first])
        opened.flush()
        opened.register(EVENTS[first:])
        yield opened


def ask(store: EventStore, **options: object) -> list[int]:
    return instances(store.query(QueryTimeseriesParams(**options)))  # type: ignore[arg-type]


def test_the_newest_come_first_unless_asked_otherwise(store: EventStore) -> None:
    assert ask(store) == [6, 5, 4, 3, 2, 1]
    assert ask(store, order=ASC) == [1, 2, 3, 4, 5, 6]


def test_events_without_source_time_are_in_the_first_order_only(store: EventStore) -> None:
    assert ask(store, order_by=SOURCE, order=ASC) == [2, 6, 4, 5, 1]
    assert ask(store, order_by=SOURCE) == [1, 5, 4, 6, 2]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"t_from": Timestamp(4, 0)}, [4, 5, 6]),
        ({"t_to": Timestamp(4, 0)}, [1, 2, 3, 4, 5]),
        ({"t_from": Timestamp(2, 0), "t_to": Timestamp(4, 0)}, [2, 3, 4, 5]),
        ({"t_from": Timestamp(4, 1), "t_to": Timestamp(5, 999_999)}, []),
        ({"source_t_from": Timestamp(30, 0)}, [1, 4, 5]),
        ({"source_t_to": Timestamp(30, 0)}, [2, 4, 5, 6]),
        ({"source_t_from": Timestamp(20, 0), "t_to": Timestamp(4, 0)}, [1, 4, 5]),
        ({"t_from": Timestamp(1 << 62, 0)}, []),
        ({"t_from": Timestamp(-(1 << 62), 0), "t_to": Timestamp(1 << 62, 0)}, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_bounds_are_inclusive_and_combine(
    store: EventStore, options: dict[str, Timestamp], expected: list[int]
) -> None:
    assert ask(store, order=ASC, **options) == expected
    assert ask(store, **options) == expected[::-1]
    assert sorted(ask(store, order_by=SOURCE, **options)) == [one for one in expected if one != 3]


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ([("a",)], [1, 3, 6]),
        ([("a", "*")], [1, 3, 4, 6]),
        ([("?",)], [1, 2, 3, 5, 6]),
        ([("a", "x"), ("b",)], [2, 4, 5]),
        ([("c",)], []),
        ([], []),
    ],
)
def test_types_are_patterns(store: EventStore, types: list[tuple[str, ...]], expected: list[int]) -> None:
    assert ask(store, order=ASC, event_types=tuple(types)) == expected


def test_ids_and_payloads_are_filters(store: EventStore) -> None:
    assert ask(store, ids=frozenset([EventId(1, 1, 2), EventId(1, 1, 5), EventId(9, 1, 1)])) == [5, 2]
    assert ask(store, payload=JsonPayload({"k": 1.0})) == [4]
    assert ask(store, payload=None) == []
    assert ask(store, payload=JsonPayload(None), event_types=(("b",),)) == [5, 2]
    assert ask(store, payload=BinaryPayload("k", b"")) == []


def test_one_of_each_type_is_the_first_in_the_asked_order(store: EventStore) -> None:
    assert ask(store, unique_type=True, order=ASC) == [1, 2, 4]
    assert ask(store, unique_type=True) == [6, 5, 4]
    assert ask(store, unique_type=True, t_to=Timestamp(3, 0)) == [3, 2]
    assert ask(store, unique_type=True, order_by=SOURCE) == [1, 5, 4]
    assert ask(store, unique_type=True, payload=JsonPayload({"k": 1})) == [4]


def test_the_latest_events_answer_for_one_of_each_type(store: EventStore) -> None:
    result = store.query(QueryTimeseriesParams(unique_type=True, t_from=Timestamp(4, 0), max_results=2))
    assert (instances(result), result.more_follows) == ([6, 5], True)
    assert ask(store, unique_type=True, event_types=(("b", "*"),)) == [5]


@pytest.mark.parametrize("limit", [0, 1, 3, 6, 7, None])
def test_more_follows_exactly_when_a_match_is_left(store: EventStore, limit: int | None) -> None:
    result = store.query(QueryTimeseriesParams(max_results=limit))
    assert len(result.events) == (6 if limit is None else min(limit, 6))
    assert result.more_follows is (limit is not None and limit < 6)


def test_a_negative_limit_is_refused_when_asked() -> None:
    with pytest.raises(QueryError, match="max_results is -1"):
        QueryTimeseriesParams(max_results=-1)


@pytest.mark.parametrize("order_by", OrderBy)
@pytest.mark.parametrize("order", Order)
def test_pages_join_to_the_whole(store: EventStore, order: Order, order_by: OrderBy) -> None:
    whole, found, last = ask(store, order=order, order_by=order_by), [], None
    while True:
        params = QueryTimeseriesParams(order=order, order_by=order_by, max_results=2, last_event_id=last)
        result = store.query(params)
        found += instances(result)
        if not result.more_follows:
            break
        last = result.events[-1].id
    assert found == whole


def test_a_page_may_end_with_an_event_of_another_type(store: EventStore) -> None:
    assert ask(store, order=ASC, event_types=(("a",),), last_event_id=EventId(1, 1, 2)) == [3, 6]


@pytest.mark.parametrize(
    "options",
    [
        {"last_event_id": EventId(1, 1, 7)},
        {"last_event_id": EventId(2, 1, 1)},
        {"last_event_id": EventId(1, 1, 6), "t_to": Timestamp(4, 0)},
        {"last_event_id": EventId(1, 1, 3), "order_by": SOURCE},
        {"last_event_id": EventId(1, 1, 2), "order_by": SOURCE, "source_t_from": Timestamp(11, 0)},
    ],
)
def test_a_page_after_an_event_outside_is_empty(store: EventStore, options: dict[str, object]) -> None:
    result = store.query(QueryTimeseriesParams(**options))  # type: ignore[arg-type]
    assert (result.events, result.more_follows) == ((), False)


def test_equal_times_are_ordered_by_id_both_ways(tmp_path: Path) -> None:
    with small_blocks(row_count=2), open_store(tmp_path) as store:
        store.register([event(n, time=5, source=5, server=server) for server in (2, 1) for n in (1, 2, 3)])
        expected = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
        for order_by in OrderBy:
            for _ in range(2):
                found = store.query(QueryTimeseriesParams(order=ASC, order_by=order_by)).events
                assert [(one.id.server, one.id.instance) for one in found] == expected
                backwards = store.query(QueryTimeseriesParams(order_by=order_by)).events
                assert backwards == found[::-1]
                store.flush()


def test_the_order_of_two_servers_does_not_wait_for_the_flush(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.register([event(n, time=2 * n) for n in range(1, 6)])
        store.register([event(n, time=2 * n - 1, server=2) for n in range(1, 6)])
        times = [one.timestamp.s for one in store.query(QueryTimeseriesParams(order=ASC)).events]
        assert times == list(range(1, 11))
        limits = {"t_from": Timestamp(4, 0), "t_to": Timestamp(6, 0)}
        assert [one.timestamp.s for one in store.query(QueryTimeseriesParams(**limits)).events] == [6, 5, 4]  # type: ignore[arg-type]


def series(*words: str, order_by: OrderBy = OrderBy.TIMESTAMP, limit: Limit | None = None) -> SeriesConfig:
    return SeriesConfig(order_by=order_by, subscriptions=PatternSet([words]), limit=limit or Limit())


def test_only_the_first_series_that_may_hold_a_type_is_read(tmp_path: Path) -> None:
    config = StoreConfig(series=(series("a", "x", limit=Limit(max_entries=1)), series("a", "*")), flush_period_ms=None)
    with open_store(tmp_path, config) as store:
        store.register([event(1, "a", "x"), event(2, "a", "x"), event(3, "a", "y")])
        store.flush()
        assert ask(store, event_types=(("a", "x"),)) == [2]
        assert ask(store, event_types=(("a", "y"),)) == [3]
        assert ask(store, event_types=(("a", "x", "1"),)) == []
        assert ask(store) == [2]
        assert ask(store, event_types=(("a", "*"),)) == [2]
        assert ask(store, event_types=(("b",),)) == []
        assert ask(store, order_by=SOURCE) == []


def test_a_type_that_only_looks_like_a_prefix_finds_its_own_series(tmp_path: Path) -> None:
    config = StoreConfig(series=(series("a", "x"), series("a", "x", "1")), flush_period_ms=None)
    with open_store(tmp_path, config) as store:
        store.register([event(1, "a", "x", "1")])
        assert ask(store, event_types=(("a", "x", "1"),)) == [1]


def test_the_store_caps_every_result(tmp_path: Path) -> None:
    config = StoreConfig(sets=(SetConfig(),), flush_period_ms=None, timeseries_max_results=3)
    with open_store(tmp_path, config) as store:
        store.register([event(n) for n in range(1, 6)])
        for limit in (None, 100):
            result = store.query(QueryTimeseriesParams(max_results=limit))
            assert (instances(result), result.more_follows) == ([5, 4, 3], True)


def test_a_type_among_many_is_found_through_many_blocks(tmp_path: Path) -> None:
    with small_blocks(row_count=4), open_store(tmp_path) as store:
        for first in range(1, 200, 7):
            store.register([event(n, "rare" if n % 61 == 0 else f"t{n % 9}") for n in range(first, first + 7)])
            store.flush()
        assert ask(store, event_types=(("rare",),)) == [183, 122, 61]
        assert ask(store, event_types=(("rare",),), t_to=Timestamp(130, 0)) == [122, 61]
        assert ask(store, event_types=(("rare",), ("t3",)), max_results=4) == [201, 192, 183, 174]


def test_late_source_times_are_sorted_in_and_merged(tmp_path: Path) -> None:
    with small_blocks(row_count=4, runs_per_level=3), open_store(tmp_path) as store:
        sources = [(n * 37) % 101 for n in range(1, 101)]
        for first in range(0, 100, 5):
            store.register([event(n + 1, source=sources[n]) for n in range(first, first + 5)])
            store.flush()
        found = store.query(QueryTimeseriesParams(order=ASC, order_by=SOURCE)).events
        assert [one.source_timestamp.s for one in found if one.source_timestamp] == sorted(sources)
        assert len(store._writer.state.series[1].runs) < 8


def test_a_frame_holds_ids_types_times_and_fields(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.register([event(1, "a", "x", data={"v": 1.5, "n": 1}), event(2, "b", source=3, data={"v": "text"})])
        store.flush()
        store.register([Event(EventId(1, 1, 3), (), Timestamp(3, 0)), event(4, "b", data={"v": 2})])
        frame = store.query_frame(QueryTimeseriesParams(order=ASC), {"v": pl.Float64, "n": pl.Int64})
        assert frame.rows() == [
            (1, 1, 1, "a/x", 1_000_000, None, 1.5, 1),
            (1, 1, 2, "b", 2_000_000, 3_000_000, None, None),
            (1, 1, 3, "", 3_000_000, None, None, None),
            (1, 1, 4, "b", 4_000_000, None, 2.0, None),
        ]
        assert store.query_frame(QueryTimeseriesParams(event_types=(("no",),)), {"v": pl.Float64}).shape == (0, 7)

"""Latest events, and what any storage still has of a server."""

from pathlib import Path

import pytest

from actors.store import (
    EventId,
    OrderBy,
    QueryLatestParams,
    QueryServerParams,
    SeriesConfig,
    SetConfig,
    StoreConfig,
)
from actors.store.errors import QueryError
from actors.store.events.conditions import ConditionRule, JsonCondition
from actors.store.events.limits import Limit
from actors.store.events.patterns import PatternSet
from tests.support.store_setup import event, instances, open_store, small_blocks

NUMBERS = ConditionRule(subscriptions=PatternSet([("*",)]), condition=JsonCondition(data_type="number"))


def latest(store: object, *types: tuple[str, ...]) -> list[int]:
    return sorted(instances(store.query(QueryLatestParams(event_types=types or None))))  # type: ignore[attr-defined]


def test_there_is_one_latest_event_per_type(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.register([event(1, "a"), event(2, "b"), event(3, "a"), event(4, "a", "x")])
        for _ in range(2):
            assert latest(store) == [2, 3, 4]
            assert latest(store, ("*",)) == [2, 3, 4]
            assert latest(store, ("a",), ("none",)) == [3]
            assert latest(store, ("a", "*")) == [3, 4]
            store.flush()
    with open_store(tmp_path) as store:
        assert latest(store) == [2, 3, 4]


def test_between_servers_the_later_time_counts_and_then_the_later_call(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.register([event(1, "a", time=5), event(1, "a", time=4, server=2)])
        assert store.query(QueryLatestParams()).events[0].id.server == 1
        store.register([event(2, "a", time=5, server=2)])
        assert store.query(QueryLatestParams()).events[0].id.server == 2
        store.register([event(2, "a", time=5)])
        assert store.query(QueryLatestParams()).events[0].id.server == 1


def test_limits_of_series_do_not_touch_the_latest(tmp_path: Path) -> None:
    config = StoreConfig(sets=(SetConfig(timestamp_limit=Limit(max_entries=0)),), flush_period_ms=None)
    with open_store(tmp_path, config) as store:
        store.register([event(1, "a")])
        store.flush()
        assert latest(store) == [1]


def test_latest_events_need_no_series(tmp_path: Path) -> None:
    with open_store(tmp_path, StoreConfig(flush_period_ms=None)) as store:
        assert store.register([event(1, "a"), event(2, "b")])[0].is_accepted
    with open_store(tmp_path, StoreConfig(flush_period_ms=None, latest=PatternSet([("a",)]))) as store:
        assert latest(store) == [1]
        assert store.register([event(3, "b")])[0].kind == "unwanted"
    with open_store(tmp_path, StoreConfig(flush_period_ms=None)) as store:
        assert latest(store) == [1, 2]
        assert store.last_event_id(1) == EventId(1, 1, 2)


def test_conditions_that_came_later_hide_what_fails_them(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.register([event(1, "a", data="x"), event(2, "b", data=1)])
    strict = StoreConfig(sets=(SetConfig(),), conditions=(NUMBERS,), flush_period_ms=None)
    with open_store(tmp_path, strict) as store:
        assert latest(store) == [2]
        assert instances(store.query(QueryServerParams(server_id=1))) == [2]
        assert instances(store.query(QueryServerParams(server_id=1, persisted=True))) == [2]
    with open_store(tmp_path) as store:
        assert instances(store.query(QueryServerParams(server_id=1))) == [1, 2]


def server(store: object, **options: object) -> list[int]:
    return instances(store.query(QueryServerParams(server_id=1, **options)))  # type: ignore[attr-defined, arg-type]


def test_server_queries_ascend_from_an_id_that_need_not_exist(tmp_path: Path) -> None:
    with small_blocks(row_count=2), open_store(tmp_path) as store:
        store.register([event(n, f"t{n}") for n in (1, 3, 5, 7)])
        for _ in range(2):
            assert server(store) == [1, 3, 5, 7]
            assert server(store, last_event_id=EventId(1, 1, 3)) == [5, 7]
            assert server(store, last_event_id=EventId(1, 1, 4)) == [5, 7]
            assert server(store, last_event_id=EventId(1, 2, 0)) == []
            result = store.query(QueryServerParams(server_id=1, max_results=3))
            assert (instances(result), result.more_follows) == ([1, 3, 5], True)
            assert store.query(QueryServerParams(server_id=2)).events == ()
            store.flush()


def test_the_last_id_must_be_of_the_asked_server() -> None:
    with pytest.raises(QueryError, match="of server 2, the query asks for 1"):
        QueryServerParams(server_id=1, last_event_id=EventId(2, 1, 1))


def test_only_what_is_on_disk_counts_as_persisted(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.register([event(1, "a")])
        store.flush()
        store.register([event(2, "a")])
        assert server(store, persisted=True) == [1]
        assert server(store) == [1, 2]
        assert store.query(QueryServerParams(server_id=1, max_results=0)).more_follows


def test_a_superseded_latest_event_is_gone_at_once(tmp_path: Path) -> None:
    with open_store(tmp_path, StoreConfig(flush_period_ms=None)) as store:
        store.register([event(1, "a"), event(2, "b")])
        store.register([event(3, "a")])
        assert server(store) == [2, 3]
        store.flush()
        assert server(store) == server(store, persisted=True) == [2, 3]


def test_a_server_query_is_the_union_of_what_storages_hold(tmp_path: Path) -> None:
    config = StoreConfig(
        latest=PatternSet([("old",)]),
        series=(
            SeriesConfig(order_by=OrderBy.TIMESTAMP, limit=Limit(max_entries=3)),
            SeriesConfig(
                order_by=OrderBy.SOURCE_TIMESTAMP, subscriptions=PatternSet([("s",)]), limit=Limit(max_entries=2)
            ),
        ),
        flush_period_ms=None,
    )
    with small_blocks(row_count=2), open_store(tmp_path, config) as store:
        given = [event(1, "old"), event(2, "s", source=90), event(3, "x"), event(4, "s", source=10)]
        store.register([*given, event(5, "s", source=50), event(6, "x"), event(7, "x"), event(8, "x")])
        store.flush()
        assert server(store) == [1, 2, 5, 6, 7, 8]


def test_log_blocks_that_no_storage_needs_are_deleted(tmp_path: Path) -> None:
    limited = SetConfig(timestamp_limit=Limit(max_entries=6), source_timestamp_limit=Limit(max_entries=3))
    with small_blocks(row_count=2), open_store(tmp_path, StoreConfig(sets=(limited,), flush_period_ms=None)) as store:
        for n in range(1, 41):
            store.register([event(n, source=n)])
            store.flush()
        counts = store._shard.stat().entry_counts
        assert (counts["event_log"], counts["event_source"]) == (3, 2)

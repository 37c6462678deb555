"""Queries of stored events as people type them."""

from typing import Any

import pytest

from actors.store import (
    EventId,
    JsonPayload,
    Order,
    OrderBy,
    QueryLatestParams,
    QueryServerParams,
    QueryTimeseriesParams,
    Timestamp,
)
from cluster.client.event_query import EventQuery, check_stored, join_type, make_params, read_condition, split_type
from cluster.errors import ClusterError
from tests.support.partition_jobs import make_partition_job

NOW_US = 1_769_860_800_000_000


def test_a_plain_query_asks_for_the_newest_of_everything() -> None:
    assert make_params(EventQuery(), NOW_US) == QueryTimeseriesParams(max_results=100)


def test_everything_that_is_typed_becomes_a_parameter() -> None:
    wanted = EventQuery(
        patterns=("trades/A", "trades/?/*"),
        time_from="3d",
        time_to="2026-01-30",
        source_from="now",
        source_to="1769860800s",
        ids=("0/17/1",),
        payload='{"qty": 5}',
        order_by="source",
        oldest_first=True,
        count_max=None,
        after="source:7/0/3/1",
    )
    assert make_params(wanted, NOW_US) == QueryTimeseriesParams(
        event_types=(("trades", "A"), ("trades", "?", "*")),
        t_from=Timestamp(1_769_601_600, 0),
        t_to=Timestamp(1_769_817_599, 999_999),
        source_t_from=Timestamp(1_769_860_800, 0),
        source_t_to=Timestamp(1_769_860_800, 0),
        ids=frozenset([EventId(0, 17, 1)]),
        payload=JsonPayload({"qty": 5}),
        order=Order.ASCENDING,
        order_by=OrderBy.SOURCE_TIMESTAMP,
        after=(7, 0, 3, 1),
    )


def test_latest_events_and_those_of_a_split_have_queries_of_their_own() -> None:
    assert make_params(EventQuery(is_latest=True, patterns=("a/*",)), 0) == QueryLatestParams(event_types=(("a", "*"),))
    assert make_params(EventQuery(split=3, after="split:3/5/1"), 0) == QueryServerParams(
        server_id=3, max_results=100, last_event_id=EventId(3, 5, 1)
    )


def test_a_slash_inside_a_word_is_typed_with_a_backslash() -> None:
    assert split_type(r"trades/a\/b/c") == ("trades", "a/b", "c")
    assert join_type(("trades", "a/b", "c")) == r"trades/a\/b/c"


@pytest.mark.parametrize(
    ("typed", "matching", "others"),
    [
        ("qty=5", [{"qty": 5}, {"qty": 5.0}, {"qty": "5"}], [{"qty": 6}, {}, None, [5]]),
        ("up=true", [{"up": True}, {"up": "true"}], [{"up": 1}, {"up": False}]),
        ("one=1", [{"one": 1}], [{"one": True}]),
        ("sym=A", [{"sym": "A"}], [{"sym": "a"}, {"sym": None}]),
        ("note=", [{"note": ""}], [{"note": None}, {}]),
        ("note=null", [{"note": None}, {}, {"note": "null"}], [{"note": 0}]),
        ("a.b=1", [{"a.b": 1}, {"a": {"b": 1}}], [{"a": 1}, {"b": 1}]),
        ("a.b=null", [{}, {"a": {}}], [{"a.b": 1}, {"a": {"b": 1}}]),
        ("x=a=b", [{"x": "a=b"}], [{"x": "a"}]),
    ],
)
def test_a_field_equals_what_is_typed_as_json_or_as_text(typed: str, matching: list[Any], others: list[Any]) -> None:
    condition = read_condition(typed)
    assert [one for one in matching if not condition.holds(JsonPayload(one))] == []
    assert [one for one in others if condition.holds(JsonPayload(one))] == []
    assert not condition.holds(None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patterns": ("a/*/b",)}, "write types like trades/A"),
        ({"ids": ("17",)}, "'17' is no id; write split/session/instance"),
        ({"ids": ("0/1/-1",)}, "is no id"),
        ({"where": ("qty",)}, "'qty' is no test of a field; write field=value"),
        ({"where": ("=5",)}, "is no test of a field"),
        ({"payload": "{"}, "'{' is no JSON"),
        ({"is_latest": True, "oldest_first": True, "where": ("a=1",)}, "leave out --where and --oldest"),
        ({"split": 0, "patterns": ("a",)}, "--split gives all events of a split by id; leave out --type"),
        ({"is_unique": True, "after": "time:0/0/0/0"}, "--unique cannot go on after a cursor"),
    ],
)
def test_what_cannot_be_asked_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ClusterError) as raised:
        make_params(EventQuery(**options), NOW_US)
    assert message in str(raised.value)


def test_a_job_without_the_events_asked_for_says_so() -> None:
    nothing = make_partition_job(events={"store": False, "anomalies": False})
    by_time = make_partition_job(events={"store": True, "series": [{"order_by": "timestamp"}]})
    by_source = QueryTimeseriesParams(order_by=OrderBy.SOURCE_TIMESTAMP)
    with pytest.raises(ClusterError, match="stores no events"):
        check_stored(nothing, QueryLatestParams())
    with pytest.raises(ClusterError, match=r"no series by source_timestamp; .* has: timestamp"):
        check_stored(by_time, by_source)
    check_stored(by_time, QueryTimeseriesParams())

"""What enters the store is turned into what it means, or refused with its name and the way out."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from actors.store import (
    ColumnBatch,
    Event,
    EventId,
    EventStore,
    JsonPayload,
    Order,
    OrderBy,
    QueryLatestParams,
    QueryServerParams,
    QueryTimeseriesParams,
    SeriesConfig,
    SetConfig,
    StoreConfig,
    Timestamp,
)
from actors.store.config import OrphanPolicy
from actors.store.errors import QueryError, RegisterError, StoreConfigError, StoreError
from actors.store.events.conditions import AllCondition, AnyCondition, ConditionRule, JsonCondition
from actors.store.events.limits import Limit
from actors.store.events.patterns import PatternSet
from actors.store.query.history import HistoryParams, read_history
from actors.store.query.planner import place_of
from tests.support.store_setup import MANUAL, event, instances, open_store


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with open_store(tmp_path) as store:
        store.register([event(n, "ab"[n % 2], source=100 - n, data={"n": n}) for n in range(1, 5)])
        yield store


def test_an_enumeration_may_be_given_by_its_name(store: EventStore) -> None:
    def asked(**options: Any) -> list[int]:
        return instances(store.query(QueryTimeseriesParams(**options)))

    assert asked(order="DESCENDING") == asked(order=Order.DESCENDING) == [4, 3, 2, 1]
    assert asked(order="ASCENDING", order_by="SOURCE_TIMESTAMP") == [4, 3, 2, 1]
    frames = store.read_history(HistoryParams(order_by="SOURCE_TIMESTAMP"))  # type: ignore[arg-type]
    assert next(frames)["instance"].to_list() == [4, 3, 2, 1]
    assert place_of(event(1, source=3.0), "SOURCE_TIMESTAMP") == (3_000_000, 1, 1, 1)  # type: ignore[arg-type]
    assert SeriesConfig(order_by="TIMESTAMP").order_by is OrderBy.TIMESTAMP  # type: ignore[arg-type]
    assert StoreConfig(orphans="drop").orphans is OrphanPolicy.DROP  # type: ignore[arg-type]


def test_lists_and_generators_are_taken_where_tuples_are_meant(store: EventStore) -> None:
    params = QueryTimeseriesParams(
        event_types=[["a"], ("?",)],  # type: ignore[arg-type]
        ids=[(1, 1, 2), EventId(1, 1, 4)],  # type: ignore[arg-type]
        t_from=(2, 0),  # type: ignore[arg-type]
        last_event_id=[1, np.int64(1), 4],  # type: ignore[arg-type]
        conditions=[JsonCondition(data_path=["n"], data_value=2)],  # type: ignore[arg-type]
    )
    assert params.event_types == (("a",), ("?",))
    assert instances(store.query(params)) == [2]
    assert instances(store.query(QueryLatestParams(one for one in [("a",)]))) == [4]  # type: ignore[arg-type]
    assert store.register(event(n, "a") for n in (5, 6)) == store.register([event(7, "a"), event(8, "a")])
    assert store.last_event_id(1) == EventId(1, 1, 8)


def test_settings_may_be_plain_data_wherever_they_stand(tmp_path: Path) -> None:
    config = StoreConfig(
        latest=[["a", "*"]],  # type: ignore[arg-type]
        sets=[{"subscriptions": [["a"]], "timestamp_limit": {"max_entries": 2}}],  # type: ignore[arg-type]
        series=[SeriesConfig(order_by=OrderBy.TIMESTAMP, limit={"max_entries": 3})],  # type: ignore[arg-type]
        conditions=[{"subscriptions": [["b"]], "condition": {"type": "json", "data_type": "number"}}],  # type: ignore[arg-type]
        flush_period_ms=None,
    )
    assert [one.limit for one in config.all_series()] == [Limit(max_entries=2), Limit(), Limit(max_entries=3)]
    assert config.latest == PatternSet([("a", "*")])
    with open_store(tmp_path, config) as store:
        verdicts = store.register([event(n, "a", data=n) for n in range(1, 6)] + [event(6, "b", data="no number")])
        assert [one.is_accepted for one in verdicts] == [True] * 5 + [False]
        store.flush()
        assert instances(store.query(QueryTimeseriesParams())) == [5, 4]


def test_conditions_and_queries_mean_the_same_in_another_process() -> None:
    condition = AllCondition(conditions=(AnyCondition(conditions=(JsonCondition(data_path="n"),)),))
    params = pickle.loads(pickle.dumps(QueryTimeseriesParams(conditions=(condition,))))
    assert params == QueryTimeseriesParams(conditions=(condition,))
    assert params.conditions[0].holds(JsonPayload({"n": 1}))


SERIES = (QueryTimeseriesParams, HistoryParams)
TIMES = ("t_from", "t_to")
WRONG_TIMES = (5, 5.0, "2024", (1,), (1, 2, 3), (1, -1), (1, 1_000_000), (1 << 63, 0), (1.5, 0), ("1", 0))
QUERIES: list[Callable[[], object]] = [
    *(lambda kind=kind: kind(order_by="nonsense") for kind in SERIES),
    *(lambda kind=kind: kind(order_by=None) for kind in SERIES),
    *(lambda name=name, time=time: QueryTimeseriesParams(**{name: time}) for name in TIMES for time in WRONG_TIMES),
    *(lambda time=time: QueryTimeseriesParams(source_t_to=time) for time in WRONG_TIMES),
    *(lambda time=time: HistoryParams(t_from=time) for time in WRONG_TIMES),
    *(
        lambda kind=kind, types=types: kind(event_types=types)
        for kind in (*SERIES, QueryLatestParams)
        for types in ("a/b", ("a", "b"), [b"a"], 5, {"a": 1}, [("*", "a")], [(1,)], [None])
    ),
    *(
        lambda ids=ids: QueryTimeseriesParams(ids=ids)
        for ids in (EventId(1, 1, 1), 5, "x", [5], [(1, 2)], [(1, 2, -1)])
    ),
    *(lambda one=one: QueryTimeseriesParams(last_event_id=one) for one in (5, (1, 2), (1, 2, "3"), (1, 2, 1 << 64))),
    *(lambda one=one: QueryTimeseriesParams(after=one) for one in (5, (1, 2, 3), (1.0, 1, 1, 1), "abcd")),
    *(lambda one=one: QueryTimeseriesParams(max_results=one) for one in (-1, 1.5, "5", True)),
    *(lambda one=one: QueryTimeseriesParams(conditions=one) for one in (JsonCondition(), [JsonCondition], [5], 5)),
    *(lambda one=one: QueryTimeseriesParams(payload=one) for one in ({"n": 1}, 5, "x", b"x")),
    lambda: QueryTimeseriesParams(order="nonsense"),  # type: ignore[arg-type]
    lambda: QueryTimeseriesParams(order=True),  # type: ignore[arg-type]
    lambda: QueryTimeseriesParams(unique_type="yes"),  # type: ignore[arg-type]
    *(lambda one=one: QueryServerParams(server_id=one) for one in (-1, "1", None, 1.0, True, 1 << 64)),
    *(lambda one=one: QueryServerParams(1, max_results=one) for one in (-1, "x")),
    lambda: QueryServerParams(1, persisted="no"),  # type: ignore[arg-type]
    lambda: QueryServerParams(1, last_event_id=(2, 1, 1)),  # type: ignore[arg-type]
    lambda: QueryServerParams(1, last_event_id=5),  # type: ignore[arg-type]
    *(lambda one=one: HistoryParams(columns=one) for one in ("server", 5, ["serve"], {"server": 1})),
    *(lambda one=one: HistoryParams(fields=one) for one in ("v", ["v"], {1: pl.Int64}, {"v": "Int64"}, {"type": str})),
    *(lambda one=one: HistoryParams(batch_row_count=one) for one in (0, -1, 1.5, None)),
    *(lambda name=name: HistoryParams(**{name: -1}) for name in ("server", "instance")),
    lambda: HistoryParams(prefix=5),  # type: ignore[arg-type]
    lambda: place_of(event(1), "nonsense"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_a_query_that_makes_no_sense_is_refused_with_a_way_out(number: int) -> None:
    with pytest.raises(QueryError, match=r"; ['\w]"):
        QUERIES[number]()


SETTINGS: list[Callable[[], object]] = [
    *(lambda one=one: Limit(max_entries=one) for one in (-1, "5", True, float("nan"), float("inf"), 1 << 65, {})),
    *(lambda one=one: Limit(duration=one) for one in (float("inf"), 1e300, -0.1, "1 h")),
    *(lambda one=one: SeriesConfig(order_by=one) for one in ("nonsense", None, 5, "timestamp ")),
    *(
        lambda one=one: SeriesConfig(order_by=OrderBy.TIMESTAMP, limit=one)
        for one in (5, None, {"most": 1}, {"size": -1})
    ),
    *(lambda one=one: SetConfig(subscriptions=one) for one in ("a/b", ("a", "b"), None, 5, [("*", "a")])),
    *(lambda one=one: SetConfig(source_timestamp_limit=one) for one in (5, "x", {"duration": "1 h"})),
    *(lambda one=one: PatternSet(one) for one in ("a/b", ("a", "b"), None, 5, {"a": 1}, [b"a"], [5])),
    *(lambda one=one: StoreConfig(sets=one) for one in (SetConfig(), "x", [5], [{"limit": {}}], 5)),
    *(lambda one=one: StoreConfig(series=one) for one in (SeriesConfig(order_by=OrderBy.TIMESTAMP), [5], [{}])),
    *(lambda one=one: StoreConfig(conditions=one) for one in (JsonCondition(), [JsonCondition()], 5)),
    *(lambda one=one: StoreConfig(latest=one) for one in ("a", ("a",), None, {"types": []})),
    *(lambda one=one: StoreConfig(flush_period_ms=one) for one in (0, -1, 0.5, "1", True)),
    *(lambda one=one: StoreConfig(timeseries_max_results=one) for one in (-1, 1.5, None)),
    *(
        lambda name=name, one=one: StoreConfig(**{name: one})
        for name in ("flush_row_count", "pending_size_bytes_max", "payload_size_bytes_max", "map_size_bytes")
        for one in (0, -1, 1.5, "1", None, True)
    ),
    lambda: StoreConfig(map_size_bytes_max=-1),
    lambda: StoreConfig(identifier=5),  # type: ignore[arg-type]
    lambda: StoreConfig(orphans="burn"),  # type: ignore[arg-type]
    *(lambda one=one: JsonCondition(data_path=one) for one in (5.0, None, True, [["a"], None], {"a": 1})),
    lambda: JsonCondition(data_type="integer"),
    *(lambda one=one: AllCondition(conditions=one) for one in (JsonCondition(), [5], 5, "x")),
    *(lambda one=one: AnyCondition(conditions=one) for one in (JsonCondition(), [AnyCondition])),
    lambda: ConditionRule(subscriptions=PatternSet([("a",)]), condition=5),  # type: ignore[arg-type]
    lambda: ConditionRule(subscriptions="a", condition=JsonCondition()),  # type: ignore[arg-type]
    lambda: EventStore.open(Path("unused"), {"sets": []}, clock=lambda: 0),  # type: ignore[arg-type]
    lambda: EventStore.open(5, MANUAL, clock=lambda: 0),  # type: ignore[arg-type]
    lambda: EventStore.open("", MANUAL, clock=lambda: 0),  # type: ignore[arg-type]
    lambda: EventStore.open(Path("unused"), MANUAL, clock=5),  # type: ignore[arg-type]
    lambda: EventStore.open(Path("unused"), MANUAL, clock=lambda: 1.5),  # type: ignore[arg-type]
    lambda: EventStore("unused", MANUAL),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_settings_that_make_no_sense_are_refused_with_a_way_out(number: int) -> None:
    with pytest.raises(StoreConfigError, match=r"; ('\*'|give|use|write|words)"):
        SETTINGS[number]()


@pytest.mark.parametrize("events", [event(1, "a"), "events", 5, None, {"id": 1}, EventId(1, 1, 1)])
def test_what_is_no_list_of_events_is_refused_as_a_whole(store: EventStore, events: Any) -> None:
    with pytest.raises(RegisterError, match="give a list"):
        store.register(events)
    assert store.last_event_id(1) == EventId(1, 1, 4)


@pytest.mark.parametrize("wrong", [5, None, ("a",), event(5, "a").id, {"type": "a"}])
def test_what_is_no_event_among_events_is_told_so(store: EventStore, wrong: Any) -> None:
    verdicts = store.register([event(5, "a"), wrong, event(6, "a")])
    assert [one.is_accepted for one in verdicts] == [True, False, True]
    assert "is no Event" in verdicts[1].reason


def a_batch(**changes: Any) -> ColumnBatch:
    numbers = np.arange(5, 8)
    batch = ColumnBatch(
        server=1,
        types=[("a",), ("b",)],
        type_index=np.array([0, 1, 0]),
        session=np.ones(3, dtype=np.int64),
        instance=numbers,
        timestamp=numbers * 1_000_000,
    )
    return replace(batch, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        *({"server": one} for one in (-1, "1", None, 1 << 64)),
        *({"types": one} for one in ("ab", ["a", "b"], None, [("a",), (1,)], [("a",)])),
        *({"type_index": one} for one in (np.array([0, 2, 0]), np.array([0, -1, 0]), np.zeros(3), np.zeros(2, int))),
        *({"session": one} for one in (np.array([1, -1, 1]), np.ones(3), np.ones(2, int), 5, None)),
        *({"instance": one} for one in (np.array([5, 6, -7]), np.ones((3, 1), int), ["5", "6", "7"])),
        *({"timestamp": one} for one in (np.ones(3), np.ones(4, int), [1, 2, 1 << 90], [1, 2, None], "abc")),
        *({"source_timestamp": one} for one in (np.ones(3), np.ones(2, int), np.zeros(3, "datetime64[us]"))),
        {"source_timestamp": np.ones(3, int), "has_source": np.ones(3, int)},
        *({"payloads": one} for one in ([b"\x01"], ["a", "b", "c"], [b"\x01", None, b"\x01"], b"\x01\x02\x03")),
        *({"payload_offsets": np.array(one), "payload_data": b"\x01" * 3} for one in ([0, 1, 2], [0, 2, 1, 3])),
        *({"payload_offsets": np.array(one), "payload_data": b"\x01" * 3} for one in ([0, 1, 2, 4], [1, 1, 2, 3])),
    ],
)
def test_columns_that_do_not_fit_together_are_refused_as_a_whole(store: EventStore, changes: dict[str, Any]) -> None:
    with pytest.raises(RegisterError, match=r"; (give|write|let)"):
        store.register_columns(a_batch(**changes))
    assert store.register_columns(a_batch()).tolist() == [True, True, True]
    store.flush()


def test_columns_may_be_lists(store: EventStore) -> None:
    batch = a_batch(
        type_index=[0, 1, 0], session=[1, 1, 1], instance=[5, 6, 7], timestamp=[5_000_000, 6_000_000, 1 << 65]
    )
    assert store.register_columns(batch).tolist() == [True, True, True]
    store.flush()
    assert store.query(QueryTimeseriesParams(max_results=1)).events[0].timestamp == Timestamp.from_ticks(1 << 65)


def test_methods_of_the_store_refuse_what_they_do_not_take(store: EventStore) -> None:
    wrong: list[Callable[[], object]] = [
        lambda: store.query({"event_types": None}),  # type: ignore[arg-type]
        lambda: store.query_frame(QueryLatestParams()),  # type: ignore[arg-type]
        lambda: store.query_frame(QueryTimeseriesParams(), max_results=-1),
        lambda: store.query_frame(QueryTimeseriesParams(), {"server": pl.Int64}),
        lambda: store.query_frame(QueryTimeseriesParams(), ["n"]),  # type: ignore[arg-type]
        lambda: next(store.read_history(QueryTimeseriesParams())),  # type: ignore[arg-type]
        lambda: store.last_event_id("1"),  # type: ignore[arg-type]
        lambda: store.last_timestamp(-1),
        lambda: store.register_columns([event(5)]),  # type: ignore[arg-type]
        lambda: store.register([event(5)], durable="yes"),  # type: ignore[arg-type]
    ]
    for call in wrong:
        with pytest.raises(StoreError, match=r"; (give|use)"):
            call()


def test_a_field_may_be_named_by_a_type_of_python(store: EventStore) -> None:
    frame = store.query_frame(QueryTimeseriesParams(), {"n": int})
    assert frame["n"].to_list() == [4, 3, 2, 1]


def test_an_event_of_the_wrong_kind_is_refused_with_its_reason(store: EventStore) -> None:
    wrong = Event(EventId(1, 1, 5), "a/b", Timestamp(5, 0))  # type: ignore[arg-type]
    assert "is no tuple of strings" in store.register([wrong])[0].reason


OF_ONE_CELL = pl.DataFrame({"a": [1]})
"""Compares its cells with whatever it is compared with."""


@pytest.mark.parametrize(
    "ask",
    [
        lambda: QueryTimeseriesParams(order=OF_ONE_CELL),
        lambda: QueryTimeseriesParams(order_by=OF_ONE_CELL),
        lambda: HistoryParams(order_by=OF_ONE_CELL),
        lambda: HistoryParams(columns=OF_ONE_CELL),
        lambda: HistoryParams(prefix="\ud800"),
        lambda: StoreConfig(orphans=OF_ONE_CELL),
        lambda: StoreConfig(identifier="\ud800"),
        lambda: list(read_history(None, HistoryParams())),  # type: ignore[arg-type]
        lambda: list(read_history("somewhere", None)),  # type: ignore[arg-type]
    ],
)
def test_what_compares_or_encodes_in_its_own_way_is_refused_too(ask: Any) -> None:
    with pytest.raises(StoreError):
        ask()


@pytest.mark.parametrize("fields", [OF_ONE_CELL, [], 0, "", set()])
def test_fields_that_are_no_mapping_are_refused_though_they_are_empty(store: EventStore, fields: Any) -> None:
    with pytest.raises(QueryError, match="give a mapping of names to Polars types"):
        store.query_frame(QueryTimeseriesParams(), fields)

"""Registering: what is taken, what is refused, and that the refused leaves no trace."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.shard import Shard
from actors.store import (
    BinaryPayload,
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
    SetConfig,
    StoreConfig,
    Timestamp,
)
from actors.store.errors import StoreBusyError, StoreError
from actors.store.events.conditions import ConditionRule, JsonCondition
from actors.store.events.event import UINT64_MAX, VerdictKind
from actors.store.events.patterns import PatternSet
from tests.support.naive_store import kinds
from tests.support.store_setup import MANUAL, event, instances, open_store

ASCENDING = QueryTimeseriesParams(order=Order.ASCENDING)
BY_SOURCE = QueryTimeseriesParams(order=Order.ASCENDING, order_by=OrderBy.SOURCE_TIMESTAMP)
NUMBERS_ONLY = ConditionRule(subscriptions=PatternSet([("a", "*")]), condition=JsonCondition(data_type="number"))
PAYLOADS: list[Any] = [
    None,
    JsonPayload(None),
    JsonPayload(True),
    JsonPayload(1),
    JsonPayload(1.0),
    JsonPayload(2**80),
    JsonPayload(-(2**63)),
    JsonPayload("ü\ud800\x00"),
    JsonPayload([1, [2.5, {"k": None}], "s"]),
    JsonPayload({"": {"nested": [False]}, "k\udfff": 1}),
    BinaryPayload("raw", b"\x00\xff"),
    BinaryPayload("", b""),
]


def everywhere(store: EventStore) -> list[list[Event]]:
    """What each kind of query gives for all events."""
    queries = [ASCENDING, BY_SOURCE, QueryServerParams(server_id=1), QueryLatestParams()]
    return [sorted(store.query(query).events, key=lambda one: one.id) for query in queries]


def test_all_payloads_survive_flush_reopening_and_every_query(tmp_path: Path) -> None:
    events = [
        Event(EventId(1, 1, n + 1), ("type", str(n)), Timestamp(n, 0), Timestamp(-n, 5), payload)
        for n, payload in enumerate(PAYLOADS)
    ]
    with open_store(tmp_path) as store:
        assert all(verdict.is_accepted for verdict in store.register(events))
        assert everywhere(store) == [events] * 4
        store.flush()
        assert everywhere(store) == [events] * 4
    with open_store(tmp_path) as store:
        assert everywhere(store) == [events] * 4
        kinds_of_data = [type(one.payload.data) for one in store.query(ASCENDING).events if one.payload]
        assert kinds_of_data == [type(one.data) for one in PAYLOADS if one]


def test_extreme_ids_times_and_types_survive(tmp_path: Path) -> None:
    far = Timestamp((1 << 63) - 1, 999_999)
    events = [
        Event(EventId(1, 1, 1), (), Timestamp(-(1 << 63), 0), far),
        Event(EventId(1, 1, 2), ("",), Timestamp(-1, 1), Timestamp(-(1 << 63), 0)),
        Event(EventId(1, UINT64_MAX, 1), ("x" * 5000, "日本", "a/b", "?", "*"), far, far),
        Event(EventId(1, UINT64_MAX, UINT64_MAX), ("\ud800",), far, None),
    ]
    with open_store(tmp_path) as store:
        assert kinds(store.register(events)) == ["accepted"] * 4
    with open_store(tmp_path) as store:
        assert list(store.query(ASCENDING).events) == events
        assert [one.id.instance for one in store.query(BY_SOURCE).events] == [2, 1, 1]
        assert store.register([event(1, server=UINT64_MAX)])[0].is_accepted


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": EventId(-1, 1, 1)}, "not three integers"),
        ({"id": EventId(1, 1 << 64, 1)}, "not three integers"),
        ({"id": EventId(1, 1, True)}, "not three integers"),
        ({"type": ["a"]}, "no tuple of strings"),
        ({"type": ("a", 1)}, "no tuple of strings"),
        ({"timestamp": Timestamp(1 << 63, 0)}, "signed 64-bit"),
        ({"timestamp": Timestamp(0, 1_000_000)}, "0 to 999999"),
        ({"timestamp": 5}, "no pair"),
        ({"source_timestamp": Timestamp(0, -1)}, "source timestamp has -1"),
        ({"payload": JsonPayload({1, 2})}, "holds a set"),
        ({"payload": JsonPayload({"k": [b"bytes"]})}, "holds a bytes"),
        ({"payload": JsonPayload({1: 2})}, "has the key 1"),
        ({"payload": {"k": 1}}, "a payload of dict"),
        ({"payload": BinaryPayload("t", "text")}, "bytes as data"),  # type: ignore[arg-type]
        ({"payload": JsonPayload("x" * 2000)}, "payload_size_bytes_max is 1000"),
    ],
)
def test_a_poisonous_event_is_refused_alone_and_with_its_reason(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    config = StoreConfig(sets=(SetConfig(),), flush_period_ms=None, payload_size_bytes_max=1000)
    with open_store(tmp_path, config) as store:
        verdicts = store.register([event(1, "a"), event(2, "a")._replace(**change), event(3, "a")])
        assert kinds(verdicts) == ["accepted", "invalid", "accepted"]
        assert re.search(reason, verdicts[1].reason)
        store.flush()
        assert instances(store.query(ASCENDING)) == [1, 3]


def test_a_payload_of_a_megabyte_is_fine(tmp_path: Path) -> None:
    large = event(1, "a", data="x" * 1_000_000)
    with open_store(tmp_path) as store:
        store.register([large, event(2, "a")])
        store.flush()
        assert store.query(ASCENDING).events[0] == large


def test_ids_grow_per_server_across_sessions_and_reopening(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        given = [event(2), event(2), event(1), event(1, server=2), event(1, session=2, time=2), event(9, time=9)]
        expected = ["accepted", "repeated", "repeated", "accepted", "accepted", "repeated"]
        assert kinds(store.register(given)) == expected
        assert store.register([event(0, session=3, time=3)])[0].kind == "repeated"
    with open_store(tmp_path) as store:
        assert store.last_event_id(1) == EventId(1, 2, 1)
        verdict = store.register([event(1, session=2, time=9)])[0]
        assert verdict.reason.startswith("id (1, 2, 1) is not after (1, 2, 1)")
        assert store.register([event(2, session=2, time=9)])[0].is_accepted


def test_times_do_not_shrink_per_server(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        given = [event(1, time=5), event(2, time=5), event(3, time=4.5), event(4, time=6), event(1, server=2, time=1)]
        verdicts = store.register(given)
        assert kinds(verdicts) == ["accepted", "accepted", "time shrinks", "accepted", "accepted"]
        assert verdicts[2].reason.startswith("the timestamp lies 500000 us before the last of server 1")
    with open_store(tmp_path) as store:
        assert store.register([event(9, time=5)])[0].kind is VerdictKind.TIME_SHRINKS
        assert store.last_timestamp(1) == Timestamp(6, 0)
        assert store.last_timestamp(7) is None


def test_what_no_storage_wants_does_not_move_the_last_id(tmp_path: Path) -> None:
    only_a = PatternSet([("a",)])
    config = StoreConfig(latest=only_a, sets=(SetConfig(subscriptions=only_a),), flush_period_ms=None)
    with open_store(tmp_path, config) as store:
        assert kinds(store.register([event(1, "a"), event(5, "b")])) == ["accepted", "unwanted"]
        assert store.last_event_id(1) == EventId(1, 1, 1)
        assert store.register([event(2, "a")])[0].is_accepted
        assert store.register([]) == []
        store.flush()
        store.flush()
        assert instances(store.query(ASCENDING)) == [1, 2]


def test_what_fails_a_condition_leaves_no_trace(tmp_path: Path) -> None:
    config = StoreConfig(sets=(SetConfig(),), conditions=(NUMBERS_ONLY,), flush_period_ms=None)
    with open_store(tmp_path, config) as store:
        assert kinds(store.register([event(1, "a", data="x"), event(2, "b", data="x")])) == [
            "condition fails",
            "accepted",
        ]
        assert store.stat().type_count == 1
        for query in (ASCENDING, QueryLatestParams(), QueryServerParams(server_id=1)):
            assert instances(store.query(query)) == [2]


def test_the_last_id_is_known_before_the_flush(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        assert store.last_event_id(4) == EventId(4, 0, 0)
        store.register([event(3, server=4)])
        assert store.last_event_id(4) == EventId(4, 1, 3)


def test_a_payload_changed_after_registering_is_not_seen(tmp_path: Path) -> None:
    payload = {"k": [1]}
    with open_store(tmp_path) as store:
        store.register([event(1, "a", data=payload)])
        payload["k"].append(2)
        assert store.query(ASCENDING).events[0].payload == JsonPayload({"k": [1]})
        found: Any = store.query(QueryLatestParams()).events[0].payload
        found.data["k"].append(3)
        assert store.query(QueryLatestParams()).events[0].payload == JsonPayload({"k": [1]})


def batch(count: int, start: int = 1, **changes: Any) -> ColumnBatch:
    columns: dict[str, Any] = {
        "server": 1,
        "types": [("a",), ("b",)],
        "type_index": np.arange(count) % 2,
        "session": np.arange(start, start + count, dtype=np.uint64),
        "instance": np.ones(count, dtype=np.uint64),
        "timestamp": np.arange(start, start + count) * 1_000_000,
        "source_timestamp": np.arange(count, 0, -1) * 1_000_000,
        "payloads": [b"\x01"] * count,
    }
    return ColumnBatch(**(columns | changes))


def test_columns_are_registered_like_events(tmp_path: Path) -> None:
    events = [
        Event(EventId(1, n, 1), ("ba"[n % 2],), Timestamp(n, 0), Timestamp(5 - n, 0), JsonPayload(1))
        for n in (1, 2, 3, 4)
    ]
    with open_store(tmp_path) as store:
        assert store.register_columns(batch(4)).tolist() == [True] * 4
        expected = [events, events, events, [events[2], events[3]]]
        assert everywhere(store) == expected
        store.flush()
        assert everywhere(store) == expected


def test_rows_that_are_there_already_are_skipped(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.register_columns(batch(3))
        store.flush()
        assert store.register_columns(batch(3)).tolist() == [False] * 3
        assert store.register_columns(batch(5)).tolist() == [False] * 3 + [True] * 2
        assert store.last_event_id(1) == EventId(1, 5, 1)
        assert [one.id.session for one in store.query(ASCENDING).events] == [1, 2, 3, 4, 5]


def test_columns_with_a_bad_row_are_judged_row_by_row(tmp_path: Path) -> None:
    times = np.array([1, 2, 1, 3]) * 1_000_000
    sessions = np.array([1, 2, 3, 2], dtype=np.uint64)
    with open_store(tmp_path) as store:
        assert store.register_columns(batch(4, timestamp=times, session=sessions)).tolist() == [
            True,
            True,
            False,
            False,
        ]
    config = StoreConfig(sets=(SetConfig(),), conditions=(NUMBERS_ONLY,), flush_period_ms=None)
    with open_store(tmp_path / "b", config) as store:
        payloads = [b"\x01", b"\x01", b"\xa1x", b"\xa1x"]
        assert store.register_columns(batch(4, payloads=payloads)).tolist() == [True, True, False, True]


def test_columns_may_lack_payloads_and_source_times(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.register_columns(batch(2, payloads=None, source_timestamp=None))
        found = store.query(ASCENDING).events
        assert [(one.payload, one.source_timestamp) for one in found] == [(None, None)] * 2
        offsets = np.array([0, 1, 3])
        store.register_columns(batch(2, start=3, payloads=None, payload_data=b"\x01\xa1x", payload_offsets=offsets))
        assert [one.payload for one in store.query(ASCENDING).events[2:]] == [JsonPayload(1), JsonPayload("x")]
        assert store.register_columns(batch(0)).tolist() == []


def test_registering_is_refused_while_too_much_is_pending(tmp_path: Path) -> None:
    config = StoreConfig(sets=(SetConfig(),), flush_period_ms=None, pending_size_bytes_max=1000)
    with open_store(tmp_path, config) as store:
        store.register([event(1, data="x" * 2000)])
        with pytest.raises(StoreBusyError, match="pending_size_bytes_max is 1000; flush before"):
            store.register([event(2)])
        assert store.last_event_id(1).instance == 1
        store.flush()
        assert store.register([event(2)])[0].is_accepted


def test_a_store_in_a_partition_is_made_durable_by_it_alone(tmp_path: Path) -> None:
    with Shard.open(tmp_path, identifier=None) as shard:
        store = EventStore(shard, MANUAL)
        with pytest.raises(StoreError, match="the partition decides"):
            store.register([event(1)], durable=True)
        with pytest.raises(StoreError, match="belongs to its partition"):
            store.flush()

"""The store does what the naive store does, whatever is called in whatever order."""

import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.store import (
    ColumnBatch,
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
from actors.store.events.conditions import ConditionRule, JsonCondition
from actors.store.events.event import BinaryPayload, Event
from actors.store.events.limits import Limit
from actors.store.events.patterns import PatternSet
from actors.store.events.payloads import encode_json
from actors.store.query.planner import ANY_PAYLOAD
from tests.support.naive_store import NaiveStore, kinds
from tests.support.store_setup import small_blocks

TYPES = [(), ("a",), ("a", "x"), ("a", "x", "1"), ("b",), ("b", "y"), ("c",)]
PATTERNS = [*TYPES, ("*",), ("a", "*"), ("?",), ("a", "?"), ("?", "?", "*"), ("none",)]
NUMBER_RULE = ConditionRule(subscriptions=PatternSet([("b", "*")]), condition=JsonCondition(data_type="number"))
CONFIGS = [
    StoreConfig(sets=(SetConfig(),), flush_period_ms=None),
    StoreConfig(
        latest=PatternSet([("a", "*"), ("c",)]),
        sets=(
            SetConfig(
                subscriptions=PatternSet([("a", "*")]),
                timestamp_limit=Limit(max_entries=7, min_entries=2),
                source_timestamp_limit=Limit(max_entries=5),
            ),
            SetConfig(subscriptions=PatternSet([("b", "*")]), timestamp_limit=Limit(duration=20, min_entries=1)),
        ),
        conditions=(NUMBER_RULE,),
        flush_period_ms=None,
        timeseries_max_results=6,
    ),
    StoreConfig(
        series=(
            SeriesConfig(order_by=OrderBy.SOURCE_TIMESTAMP, limit=Limit(duration=30, max_entries=9)),
            SeriesConfig(order_by=OrderBy.TIMESTAMP, subscriptions=PatternSet([("a", "x"), ("b", "?")])),
        ),
        flush_period_ms=None,
    ),
    StoreConfig(
        sets=(SetConfig(timestamp_limit=Limit(max_entries=4), source_timestamp_limit=Limit(max_entries=12)),),
        orphans=OrphanPolicy.DROP,
        flush_period_ms=None,
    ),
]

seconds = st.integers(-5, 60)
payloads = st.one_of(
    st.none(),
    st.builds(JsonPayload, st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.just({"k": [1, "z"]}))),
    st.just(BinaryPayload("raw", b"\x00\x01")),
)
types = st.sampled_from(TYPES)
times = st.builds(Timestamp, seconds, st.sampled_from([0, 999_999]))
queries = st.fixed_dictionaries(
    {},
    optional={
        "event_types": st.lists(st.sampled_from(PATTERNS), max_size=3).map(tuple),
        "t_from": times,
        "t_to": times,
        "source_t_from": times,
        "source_t_to": times,
        "order": st.sampled_from(Order),
        "order_by": st.sampled_from(OrderBy),
        "payload": st.one_of(st.just(ANY_PAYLOAD), payloads),
        "unique_type": st.booleans(),
        "max_results": st.integers(0, 8),
    },
)


class StoreMachine(RuleBasedStateMachine):
    """Calls both stores alike."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks = small_blocks(row_count=4, runs_per_level=3)
        self._blocks.__enter__()
        # Thousands of commits: a file system in memory keeps them short where there is one.
        memory = Path("/dev/shm")
        self._directory = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self._now = 40_000_000
        self._ids: dict[int, tuple[int, int, int]] = {}
        self._given: list[EventId] = []
        self._naive = NaiveStore(CONFIGS[0])
        self._open(CONFIGS[0])

    def teardown(self) -> None:
        self._store.drop()
        self._directory.cleanup()
        self._blocks.__exit__(None, None, None)

    def _open(self, config: StoreConfig) -> None:
        self._store = EventStore.open(Path(self._directory.name), config, clock=lambda: self._now)

    @rule(data=st.data(), count=st.integers(1, 9), server=st.integers(1, 2))
    def register(self, data: st.DataObject, count: int, server: int) -> None:
        events = [self._draw_event(data, data.draw(st.integers(1, 2)) if count > 6 else server) for _ in range(count)]
        assert kinds(self._store.register(events)) == self._naive.register(events)

    @rule(data=st.data(), count=st.integers(1, 12), server=st.integers(1, 3))
    def register_columns(self, data: st.DataObject, count: int, server: int) -> None:
        events = [self._draw_event(data, server)._replace(payload=JsonPayload(number)) for number in range(count)]
        accepted = self._store.register_columns(_batch(server, events))
        assert accepted.tolist() == [kind == "accepted" for kind in self._naive.register(events)]

    @rule()
    def flush(self) -> None:
        self._store.flush()
        self._naive.flush(self._now)

    @rule()
    def fail_to_flush(self) -> None:
        def write(txn: Any) -> None:
            self._store.write(txn, self._now)
            raise OSError("the disk went away")

        with pytest.raises(OSError, match="went away"):
            self._store._shard.write(write)

    @rule(number=st.integers(0, len(CONFIGS) - 1))
    def reopen(self, number: int) -> None:
        self._store.close()
        self._naive.flush(self._now)
        self._open(CONFIGS[number])
        self._naive.reopen(CONFIGS[number])

    @rule()
    def crash(self) -> None:
        self._store.drop()
        self._naive.crash()
        self._open(self._naive.config)
        for server in list(self._ids):
            last = self._naive.last_event_id(server)
            self._ids[server] = (last.session, last.instance, self._ids[server][2])

    @rule(step=st.integers(-10_000_000, 30_000_000))
    def advance_clock(self, step: int) -> None:
        self._now += step

    @rule(asked=st.one_of(st.none(), st.lists(st.sampled_from(PATTERNS), max_size=3).map(tuple)))
    def query_latest(self, asked: Any) -> None:
        params = QueryLatestParams(event_types=asked)
        found, expected = self._store.query(params), self._naive.query(params)
        assert sorted(found.events, key=lambda event: event.type) == sorted(expected.events, key=lambda e: e.type)

    @rule(asked=queries, data=st.data(), paged=st.booleans(), by_ids=st.booleans())
    def query_timeseries(self, asked: dict[str, Any], data: st.DataObject, paged: bool, by_ids: bool) -> None:
        if paged and self._given:
            asked["last_event_id"] = data.draw(st.sampled_from(self._given))
        if by_ids and self._given:
            asked["ids"] = frozenset(data.draw(st.lists(st.sampled_from(self._given), max_size=4)))
        params = QueryTimeseriesParams(**asked)
        assert self._store.query(params) == self._naive.query(params)
        if "max_results" not in asked and not params.unique_type:
            frame = self._store.query_frame(params, max_results=self._naive.config.timeseries_max_results)
            assert frame["instance"].to_list() == [event.id.instance for event in self._naive.query(params).events]

    @rule(server=st.integers(1, 3), persisted=st.booleans(), data=st.data(), limit=st.sampled_from([None, 0, 2]))
    def query_server(self, server: int, persisted: bool, data: st.DataObject, limit: int | None) -> None:
        after = data.draw(
            st.one_of(st.none(), st.builds(EventId, st.just(server), st.integers(0, 4), st.integers(0, 9)))
        )
        params = QueryServerParams(server_id=server, persisted=persisted, max_results=limit, last_event_id=after)
        assert self._store.query(params) == self._naive.query(params)

    @invariant()
    def all_parts_are_valid(self) -> None:
        self._store.validate()

    @invariant()
    def last_ids_agree(self) -> None:
        for server in (1, 2, 3):
            assert self._store.last_event_id(server) == self._naive.last_event_id(server)

    def _draw_event(self, data: st.DataObject, server: int) -> Event:
        session, instance, time = self._ids.get(server, (1, 0, 0))
        if data.draw(st.integers(0, 4)) == 0:
            session, instance = session + 1, 0
        instance += data.draw(st.sampled_from([1, 1, 1, 2, 0, -1]))
        time += data.draw(st.sampled_from([0, 1, 1, 3, -2]))
        session, instance = max(session, 1), max(instance, 0)
        self._ids[server] = (session, instance, time)
        event_id = EventId(server, session, instance)
        self._given.append(event_id)
        source = data.draw(st.one_of(st.none(), times))
        return Event(event_id, data.draw(types), Timestamp(time, 0), source, data.draw(payloads))


def _batch(server: int, events: list[Event]) -> ColumnBatch:
    distinct = list(dict.fromkeys(event.type for event in events))
    return ColumnBatch(
        server=server,
        types=distinct,
        type_index=np.array([distinct.index(event.type) for event in events]),
        session=np.array([event.id.session for event in events], dtype=np.uint64),
        instance=np.array([event.id.instance for event in events], dtype=np.uint64),
        timestamp=np.array([event.timestamp.ticks for event in events]),
        source_timestamp=np.array([event.source_timestamp.ticks if event.source_timestamp else 0 for event in events]),
        has_source=np.array([event.source_timestamp is not None for event in events]),
        payloads=[encode_json(event.payload.data)[1] for event in events if isinstance(event.payload, JsonPayload)],
    )


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=14, stateful_step_count=30, deadline=None, suppress_health_check=QUIET
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestStoreMachineAtLength(StoreMachine.TestCase):
    settings = settings(max_examples=400, stateful_step_count=60, deadline=None, suppress_health_check=QUIET)

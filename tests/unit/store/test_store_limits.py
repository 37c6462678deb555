"""Limits are exact after every flush."""

import random
from pathlib import Path
from typing import Any

import pytest

from actors.store import EventStore, Order, OrderBy, QueryTimeseriesParams, SetConfig, StoreConfig
from actors.store.events.limits import Limit
from actors.store.events.patterns import PatternSet
from tests.support.store_setup import event, instances, small_blocks


class Clock:
    """A clock that tests set."""

    now_us = 0

    def __call__(self) -> int:
        return self.now_us


def open_limited(path: Path, clock: Clock, **limits: Any) -> EventStore:
    limit = Limit(**limits)
    sets = (SetConfig(timestamp_limit=limit, source_timestamp_limit=limit),)
    return EventStore.open(path, StoreConfig(sets=sets, flush_period_ms=None), clock=clock)


def held(store: EventStore, order_by: OrderBy = OrderBy.TIMESTAMP) -> list[int]:
    return instances(store.query(QueryTimeseriesParams(order=Order.ASCENDING, order_by=order_by)))


@pytest.mark.parametrize("step", [1, 3, 10])
def test_never_more_than_max_entries_after_a_flush(tmp_path: Path, step: int) -> None:
    with small_blocks(row_count=4), open_limited(tmp_path, Clock(), max_entries=5) as store:
        for first in range(1, 31, step):
            store.register([event(n, source=100 - n) for n in range(first, first + step)])
            store.flush()
            count = first + step - 1
            assert held(store) == list(range(max(1, count - 4), count + 1))
            assert held(store, OrderBy.SOURCE_TIMESTAMP) == list(range(min(count, 5), 0, -1))


def test_pending_events_are_shown_beyond_the_limit_until_the_flush(tmp_path: Path) -> None:
    with open_limited(tmp_path, Clock(), max_entries=2) as store:
        store.register([event(n) for n in range(1, 6)])
        assert held(store) == [1, 2, 3, 4, 5]
        store.flush()
        assert held(store) == [4, 5]


def test_the_minimum_beats_every_other_limit(tmp_path: Path) -> None:
    clock = Clock()
    with open_limited(tmp_path, clock, min_entries=4, max_entries=2, duration=1, size=1) as store:
        store.register([event(n) for n in range(1, 10)])
        clock.now_us = 1_000_000_000
        store.flush()
        assert held(store) == [6, 7, 8, 9]


def test_an_event_of_exactly_the_allowed_age_stays(tmp_path: Path) -> None:
    clock = Clock()
    with small_blocks(row_count=2), open_limited(tmp_path, clock, duration=3.5) as store:
        store.register([event(n, source=n + 2) for n in range(1, 8)])
        clock.now_us = 7_500_000
        store.flush()
        assert held(store) == [4, 5, 6, 7]
        assert held(store, OrderBy.SOURCE_TIMESTAMP) == [2, 3, 4, 5, 6, 7]
        clock.now_us = 7_500_001
        store.flush()
        assert held(store) == [5, 6, 7]


def test_clock_jumps_take_nothing_back_and_lose_nothing_new(tmp_path: Path) -> None:
    clock, hour = Clock(), 3_600_000_000
    with small_blocks(row_count=2), open_limited(tmp_path, clock, duration=10) as store:
        store.register([event(n) for n in range(1, 5)])
        clock.now_us = hour
        store.flush()
        assert held(store) == []
        clock.now_us = 5_000_000
        store.register([event(n, time=5) for n in (5, 6)])
        store.flush()
        assert held(store) == [5, 6]
        store.register([event(1, server=2, time=1)])
        store.flush()
        assert held(store) == [1, 5, 6]


def test_limits_combine(tmp_path: Path) -> None:
    clock = Clock()
    with open_limited(tmp_path, clock, duration=5, max_entries=3) as store:
        store.register([event(n) for n in range(1, 9)])
        clock.now_us = 8_000_000
        store.flush()
        assert held(store) == [6, 7, 8]
        clock.now_us = 12_000_000
        store.flush()
        assert held(store) == [7, 8]


def test_an_old_event_that_comes_late_goes_first(tmp_path: Path) -> None:
    with open_limited(tmp_path, Clock(), max_entries=3) as store:
        store.register([event(n, time=n + 10) for n in range(1, 4)])
        store.flush()
        store.register([event(4, server=2, time=1, source=5)])
        store.flush()
        assert held(store) == [1, 2, 3]
        assert held(store, OrderBy.SOURCE_TIMESTAMP) == [4]


def test_limits_that_are_added_or_raised_later_count_from_then_on(tmp_path: Path) -> None:
    with open_limited(tmp_path, Clock()) as store:
        store.register([event(n) for n in range(1, 11)])
    with open_limited(tmp_path, Clock(), max_entries=4) as store:
        store.flush()
        assert held(store) == [7, 8, 9, 10]
    with open_limited(tmp_path, Clock(), max_entries=6) as store:
        store.register([event(n) for n in range(11, 15)])
        store.flush()
        assert held(store) == [9, 10, 11, 12, 13, 14]


def test_a_size_allows_entries_by_the_averages_of_its_own_series(tmp_path: Path) -> None:
    rng = random.Random(3)
    small, large = PatternSet([("small",)]), PatternSet([("large",)])
    sets = (
        SetConfig(subscriptions=small, timestamp_limit=Limit(size=300_000)),
        SetConfig(subscriptions=large, timestamp_limit=Limit(size=300_000)),
    )
    with EventStore.open(tmp_path, StoreConfig(sets=sets, flush_period_ms=None), clock=Clock()) as store:
        for first in range(1, 2001, 500):
            store.register([event(n, "small", data=n) for n in range(first, first + 500)])
        store.register([event(3000 + n, "large", data=rng.randbytes(9000).hex()) for n in range(50)])
        store.flush()
        by_patterns = {one.patterns[0][0]: one for one in store.stat().series if one.order_by == OrderBy.TIMESTAMP}
        assert by_patterns["small"].entry_count == 2000
        assert 1 <= by_patterns["large"].entry_count < 50
        assert by_patterns["large"].entry_count * by_patterns["large"].entry_size_bytes <= 300_000


def test_sets_have_limits_of_their_own(tmp_path: Path) -> None:
    sets = (
        SetConfig(subscriptions=PatternSet([("a",)]), timestamp_limit=Limit(max_entries=1)),
        SetConfig(subscriptions=PatternSet([("b",)]), source_timestamp_limit=Limit(max_entries=1)),
    )
    with EventStore.open(tmp_path, StoreConfig(sets=sets, flush_period_ms=None), clock=Clock()) as store:
        store.register([event(n, "ab"[n % 2], source=n) for n in range(1, 7)])
        store.flush()
        for words, order_by, expected in [
            (("a",), OrderBy.TIMESTAMP, [6]),
            (("a",), OrderBy.SOURCE_TIMESTAMP, [2, 4, 6]),
            (("b",), OrderBy.TIMESTAMP, [1, 3, 5]),
            (("b",), OrderBy.SOURCE_TIMESTAMP, [5]),
        ]:
            params = QueryTimeseriesParams(event_types=(words,), order_by=order_by, order=Order.ASCENDING)
            assert instances(store.query(params)) == expected


def test_a_page_after_a_trimmed_event_is_empty(tmp_path: Path) -> None:
    with small_blocks(row_count=4), open_limited(tmp_path, Clock(), max_entries=3) as store:
        given = [event(n, source=n) for n in range(1, 6)]
        store.register(given)
        store.flush()
        for order_by in OrderBy:
            params = QueryTimeseriesParams(order=Order.ASCENDING, order_by=order_by, last_event_id=given[1].id)
            assert store.query(params).events == ()
            params = QueryTimeseriesParams(order=Order.ASCENDING, order_by=order_by, last_event_id=given[2].id)
            assert instances(store.query(params)) == [4, 5]


def test_an_idle_store_commits_only_when_something_has_expired(tmp_path: Path) -> None:
    clock = Clock()
    with open_limited(tmp_path, clock, duration=10) as store:
        store.register([event(1, source=1), event(5, source=5)])
        store.flush()
        commits = store._shard.stat().transaction_id
        for clock.now_us in (5_000_000, 11_000_000):
            store._flush_due()
        assert store._shard.stat().transaction_id == commits
        clock.now_us = 11_000_001
        store._flush_due()
        store._flush_due()
        assert store._shard.stat().transaction_id == commits + 1
        assert instances(store.query(QueryTimeseriesParams())) == [5]

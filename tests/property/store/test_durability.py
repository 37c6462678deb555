"""Killed at any moment, a store comes back with whole sessions, and all its storages agree."""

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from actors.store import (
    EventId,
    EventStore,
    Order,
    OrderBy,
    QueryLatestParams,
    QueryServerParams,
    QueryTimeseriesParams,
    SetConfig,
    StoreConfig,
)
from actors.store.events.limits import Limit
from cluster.local.speed import slowness
from tests.support.store_setup import event, small_blocks
from tests.support.store_victim import CONFIG, POINTS, SESSION_EVENTS

ROOT = Path(__file__).resolve().parents[3]


def start(directory: Path, *arguments: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.support.store_victim", str(directory), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    return process


def check_survivors(directory: Path) -> int:
    """Check that what is left is whole and return its last session."""
    with EventStore.open(directory, CONFIG, clock=lambda: 0) as store:
        last = store.last_event_id(1)
        by_time = store.query(QueryTimeseriesParams(order=Order.ASCENDING)).events
        by_source = store.query(QueryTimeseriesParams(order=Order.ASCENDING, order_by=OrderBy.SOURCE_TIMESTAMP)).events
        by_server = store.query(QueryServerParams(server_id=1, persisted=True)).events
        latest = store.query(QueryLatestParams()).events
        numbers = [(one.id.session - 1) * SESSION_EVENTS + one.id.instance for one in by_time]
        whole = last.session * SESSION_EVENTS
        assert numbers == list(range(max(1, whole - 300 + 1), whole + 1))
        assert last.session == 0 or last.instance == SESSION_EVENTS
        assert len(by_source) == min(400, whole)
        assert [one.source_timestamp for one in by_source] == sorted(one.source_timestamp for one in by_source)  # type: ignore[type-var]
        assert [one.id for one in by_server] == sorted({one.id for one in (*by_time, *by_source, *latest)})
        newest = {one.type: one for one in by_time}
        assert all(newest.get(one.type, one) == one for one in latest)
        return last.session


def kill_at_random(directory: Path, rng: random.Random) -> None:
    process = start(directory, rng.randrange(1 << 30))
    time.sleep(rng.uniform(0.05, 0.3))
    process.kill()
    process.communicate()


def test_a_store_that_is_killed_comes_back_whole(tmp_path: Path) -> None:
    rng, sessions = random.Random(11), 0
    for _ in range(2):
        kill_at_random(tmp_path, rng)
        survived = check_survivors(tmp_path)
        assert survived >= sessions
        sessions = survived
    assert sessions > 0


@pytest.mark.slow
def test_a_store_that_is_killed_fifty_times_comes_back_whole(tmp_path: Path) -> None:
    rng = random.Random(12)
    for _ in range(50):
        kill_at_random(tmp_path, rng)
        check_survivors(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("point", POINTS)
def test_a_store_that_is_killed_within_a_flush_comes_back_whole(tmp_path: Path, point: str, count: int) -> None:
    process = start(tmp_path, 5, point, count)
    process.communicate(timeout=120 * slowness())
    assert process.returncode == -signal.SIGKILL
    check_survivors(tmp_path)
    # What was lost can be registered again.
    with EventStore.open(tmp_path, CONFIG, clock=lambda: 0) as store:
        session = store.last_event_id(1).session + 1
        assert store.register([event(1, time=session)._replace(id=EventId(1, session, 1))])[0].is_accepted


def hammer(directory: Path, seconds: float, readers: int) -> tuple[int, list[float]]:
    """Write, flush, trim and merge while readers check every result; return the rounds and the readers' seconds."""
    limit = Limit(max_entries=200)
    config = StoreConfig(sets=(SetConfig(timestamp_limit=limit, source_timestamp_limit=limit),), flush_period_ms=3)
    ending, failures, waited = threading.Event(), [], []
    with small_blocks(row_count=8), EventStore.open(directory, config, clock=lambda: 0) as store:

        def read() -> None:
            rng = random.Random(threading.get_ident())
            while not ending.is_set():
                order_by, order = rng.choice(list(OrderBy)), rng.choice(list(Order))
                begun = time.perf_counter()
                found = store.query(QueryTimeseriesParams(order=order, order_by=order_by, max_results=150)).events
                waited.append(time.perf_counter() - begun)
                keys = [
                    (one.source_timestamp if order_by is OrderBy.SOURCE_TIMESTAMP else one.timestamp, one.id)
                    for one in found
                ]
                if keys != sorted(set(keys), reverse=order is Order.DESCENDING):
                    failures.append(keys)
                numbers = sorted(one.id.instance for one in found)
                if order_by is OrderBy.TIMESTAMP and numbers and numbers != list(range(numbers[0], numbers[-1] + 1)):
                    failures.append(numbers)

        threads = [threading.Thread(target=read) for _ in range(readers)]
        for thread in threads:
            thread.start()
        number, rng, end = 0, random.Random(1), time.monotonic() + seconds
        while time.monotonic() < end:
            events = [event(number + n, time=(number + n) / 1000, source=rng.randrange(50)) for n in range(1, 6)]
            number += 5
            assert all(verdict.is_accepted for verdict in store.register(events))
            if rng.random() < 0.1:
                store.flush()
        ending.set()
        for thread in threads:
            thread.join()
    assert failures == []
    return number, waited


def test_readers_never_see_a_gap_or_a_repetition(tmp_path: Path) -> None:
    written, waited = hammer(tmp_path, seconds=1.5, readers=3)
    assert written > 0
    assert len(waited) > 0


@pytest.mark.slow
def test_eight_readers_for_half_a_minute_never_see_a_gap_or_wait_long(tmp_path: Path) -> None:
    _, waited = hammer(tmp_path, seconds=30, readers=8)
    assert sorted(waited)[int(len(waited) * 0.99)] < 2.0 * slowness()

"""Opening, flushing, failing, closing."""

import os
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from actors.shard import Shard, ShardError, ShardFullError, ShardIdentifierError, ShardOwnedError
from actors.shard.shard import DATA_FILE, Txn
from actors.store import (
    EventId,
    EventStore,
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
from actors.store.disk.state import StoreState, decode_state, encode_state
from actors.store.errors import BlockDamagedError, StoreClosedError, StoreFormatError
from actors.store.events.limits import Limit
from actors.store.events.patterns import PatternSet
from actors.store.query.queries import query_series
from actors.store.query.reader import StoreReader
from tests.support.store_setup import MANUAL, event, instances, open_store, small_blocks

ASCENDING = QueryTimeseriesParams(order=Order.ASCENDING)
KIB = 1024
LOG_KEY, RUN_KEY = struct.Struct(">QQ"), struct.Struct(">HII")


def held(store: EventStore, **options: Any) -> list[int]:
    return instances(store.query(QueryTimeseriesParams(order=Order.ASCENDING, **options)))


def test_closing_makes_everything_durable(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.register([event(n, source=n) for n in range(1, 4)])
    with open_store(tmp_path) as store:
        assert held(store) == held(store, order_by=OrderBy.SOURCE_TIMESTAMP) == [1, 2, 3]
        assert instances(store.query(QueryServerParams(server_id=1, persisted=True))) == [1, 2, 3]


def test_a_crash_loses_what_was_pending_and_it_can_be_registered_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.register([event(1), event(2)])
    store.flush()
    store.register([event(3), event(4)])
    store.drop()
    with open_store(tmp_path) as store:
        assert held(store) == [1, 2]
        assert store.last_event_id(1) == EventId(1, 1, 2)
        assert [one.is_accepted for one in store.register([event(3), event(4)])] == [True, True]


def test_durable_events_survive_a_crash(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.register([event(1)], durable=True)
    store.drop()
    with open_store(tmp_path) as store:
        assert held(store) == [1]


def test_every_call_after_closing_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.close()
    store.close()
    calls = [
        lambda: store.register([event(1)]),
        lambda: store.query(ASCENDING),
        lambda: store.query(QueryLatestParams()),
        lambda: store.query(QueryServerParams(server_id=1)),
        lambda: store.last_event_id(1),
        store.flush,
        store.stat,
    ]
    for call in calls:
        with pytest.raises(StoreClosedError, match="has been closed"):
            call()


def test_another_identifier_is_refused(tmp_path: Path) -> None:
    open_store(tmp_path, StoreConfig(identifier="one", flush_period_ms=None)).close()
    open_store(tmp_path, StoreConfig(flush_period_ms=None)).close()
    with pytest.raises(ShardIdentifierError, match="belongs to 'one', not to 'two'"):
        open_store(tmp_path, StoreConfig(identifier="two", flush_period_ms=None))


def test_a_second_opener_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        with pytest.raises(ShardOwnedError, match="already open in this process"):
            open_store(tmp_path)
        store.register([event(1)])
        store.flush()
        assert held(store) == [1]


def test_callbacks_receive_accepted_events_at_once_and_after_the_commit(tmp_path: Path) -> None:
    calls: list[tuple[str, list[int]]] = []
    with open_store(
        tmp_path,
        on_registered=lambda events: calls.append(("registered", [one.id.instance for one in events])),
        on_flushed=lambda events: calls.append(("flushed", [one.id.instance for one in events])),
    ) as store:
        store.register([event(1), event(1), event(2)])
        store.register([event(3)])
        assert calls == [("registered", [1, 2]), ("registered", [3])]
        store.flush()
        store.flush()
        assert calls[2:] == [("flushed", [1, 2, 3])]


def fail(store: EventStore) -> None:
    """A flush whose transaction does not come to its end."""

    def action(txn: Txn) -> None:
        store.write(txn, 0)
        raise OSError("no commit")

    with pytest.raises(OSError, match="no commit"):
        store._shard.write(action)


def test_failed_flushes_keep_everything_in_order(tmp_path: Path) -> None:
    flushed: list[int] = []
    with small_blocks(row_count=2):
        store = open_store(tmp_path, on_flushed=lambda events: flushed.extend(one.id.instance for one in events))
        for first in (1, 4, 7):
            store.register([event(n, source=20 - n) for n in range(first, first + 3)])
            fail(store)
            fail(store)
            assert held(store) == list(range(1, first + 3))
        assert flushed == []
        store.flush()
        assert flushed == list(range(1, 10))
        store.drop()
        with open_store(tmp_path) as store:
            assert held(store) == list(range(1, 10))
            assert held(store, order_by=OrderBy.SOURCE_TIMESTAMP) == list(range(9, 0, -1))


def test_a_full_map_grows_and_nothing_is_lost(tmp_path: Path) -> None:
    config = StoreConfig(sets=(SetConfig(),), flush_period_ms=None, map_size_bytes=128 * KIB)
    with open_store(tmp_path, config) as store:
        for first in range(1, 400, 100):
            store.register([event(n, data="x" * 1000) for n in range(first, first + 100)])
            store.flush()
        assert held(store) == list(range(1, 401))
        assert store._shard.stat().map_size_bytes > 128 * KIB


def test_a_map_that_may_not_grow_degrades_the_store_until_it_may(tmp_path: Path) -> None:
    config = StoreConfig(
        sets=(SetConfig(),), flush_period_ms=None, map_size_bytes=256 * KIB, map_size_bytes_max=256 * KIB
    )
    store = open_store(tmp_path, config)
    store.register([event(1)])
    store.flush()
    store.register([event(2, data=os.urandom(200 * KIB).hex())])
    with pytest.raises(ShardFullError, match="map_size_bytes_max"):
        store.flush()
    assert (store.stat().is_degraded, store.stat().pending_row_count) == (True, 1)
    assert held(store) == [1, 2]
    with pytest.raises(ShardFullError):
        store.close()
    assert held(store) == [1, 2]
    store._shard._map_size_bytes_max = 64 * KIB * KIB
    store.register([event(3)])
    store.close()
    with open_store(tmp_path) as store:
        assert held(store) == [1, 2, 3]
        assert not store.stat().is_degraded


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_degrades_the_store_until_there_is_space(small_disk: Path) -> None:
    with open_store(small_disk / "s") as store:
        store.register([event(1)])
        store.flush()
        (small_disk / "ballast").write_bytes(bytes(1500 * KIB))
        store.register([event(n, data=os.urandom(50 * KIB).hex()) for n in range(2, 12)])
        with pytest.raises(ShardFullError, match="is full or fails"):
            store.flush()
        store.register([event(12)])
        assert held(store) == list(range(1, 13))
        (small_disk / "ballast").unlink()
        store.flush()
        assert instances(store.query(QueryServerParams(server_id=1, persisted=True))) == list(range(1, 13))


def damage(store: EventStore, table: Any, key: bytes, place: int) -> None:
    def action(txn: Txn) -> None:
        raw = bytearray(txn.get(key, db=table) or b"")
        raw[place] ^= 1
        txn.put(key, bytes(raw), db=table)

    store._shard.write(action)


@pytest.mark.parametrize("place", [-1, 30])
def test_a_damaged_block_is_named_and_the_others_are_served(tmp_path: Path, place: int) -> None:
    with small_blocks(row_count=2), open_store(tmp_path) as store:
        store.register([event(n, data=f"payload {n}") for n in range(1, 9)])
        store.flush()
        damage(store, store._tables.log, LOG_KEY.pack(1, 1), place)
        with pytest.raises(BlockDamagedError, match=r"block 1 of server 1's log"):
            held(store)
        assert held(store, t_to=Timestamp(1, 0)) == [1]
        assert held(store, t_from=Timestamp(7, 0)) == [7, 8]


def test_damage_does_not_stop_the_flush(tmp_path: Path) -> None:
    limit = Limit(max_entries=4)
    config = StoreConfig(sets=(SetConfig(timestamp_limit=limit, source_timestamp_limit=limit),), flush_period_ms=None)
    with small_blocks(row_count=2, runs_per_level=2), open_store(tmp_path, config) as store:
        store.register([event(n, source=n) for n in range(1, 5)])
        store.flush()
        damage(store, store._tables.log, LOG_KEY.pack(1, 0), 30)
        damage(store, store._tables.runs, RUN_KEY.pack(0, 0, 0), 30)
        for n in range(5, 12):
            store.register([event(n, source=n - 4.5)])
            store.flush()
        assert instances(store.query(QueryTimeseriesParams(max_results=3))) == [11, 10, 9]
        assert store.last_event_id(1).instance == 11


def test_a_long_read_sees_what_it_began_with_and_growth_is_bounded(tmp_path: Path) -> None:
    with small_blocks(row_count=4), open_store(tmp_path) as store:
        store.register([event(n) for n in range(1, 9)])
        store.flush()
        with store._view() as (view, _):
            for n in range(9, 60):
                store.register([event(n)])
                store.flush()
            assert [one.id.instance for one in _all_events(store, view)] == list(range(1, 9))
        assert held(store) == list(range(1, 60))


def _all_events(store: EventStore, view: Any) -> list[Any]:
    series = store._series[0]
    return list(query_series(store._types, view, store._series_query(ASCENDING, series, view, 4096)).events)


def test_a_copy_made_while_writing_is_a_whole_store(tmp_path: Path) -> None:
    with small_blocks(row_count=4), open_store(tmp_path / "a") as store:
        store.register([event(n, source=n) for n in range(1, 11)])
        store.flush()
        store.register([event(11)])
        store._shard.copy_to(tmp_path / "b")
        store.flush()
    with open_store(tmp_path / "b") as copy:
        assert held(copy) == held(copy, order_by=OrderBy.SOURCE_TIMESTAMP) == list(range(1, 11))
        assert copy.register([event(11)])[0].is_accepted


def test_a_copy_of_the_file_at_every_commit_is_a_whole_store(tmp_path: Path) -> None:
    with small_blocks(row_count=3, runs_per_level=2), open_store(tmp_path / "a") as store:
        for n in range(1, 13):
            store.register([event(n, source=(n * 5) % 13)])
            store.flush()
            (tmp_path / str(n)).mkdir()
            shutil.copy(tmp_path / "a" / DATA_FILE, tmp_path / str(n) / DATA_FILE)
    for n in range(1, 13):
        with open_store(tmp_path / str(n)) as copy:
            assert held(copy) == sorted(held(copy, order_by=OrderBy.SOURCE_TIMESTAMP)) == list(range(1, n + 1))
            assert copy.last_event_id(1).instance == n


def test_a_series_is_found_by_its_definition_after_reordering(tmp_path: Path) -> None:
    a, b = (SetConfig(subscriptions=PatternSet([(one, "*")])) for one in "ab")
    with open_store(tmp_path, StoreConfig(sets=(a, b), flush_period_ms=None)) as store:
        store.register([event(1, "a"), event(2, "b")])
    with open_store(tmp_path, StoreConfig(sets=(b, a), flush_period_ms=None)) as store:
        assert held(store, event_types=(("a",),)) == [1]
        assert held(store, event_types=(("b",),)) == [2]
        assert len(store.stat().series) == 4


def only(*words: str, orphans: OrphanPolicy = OrphanPolicy.KEEP) -> StoreConfig:
    series = SeriesConfig(order_by=OrderBy.TIMESTAMP, subscriptions=PatternSet([words]))
    nothing = PatternSet([])
    return StoreConfig(latest=nothing, series=(series,), flush_period_ms=None, orphans=orphans)


def test_a_changed_series_begins_empty_and_the_old_one_is_kept(tmp_path: Path) -> None:
    with small_blocks(row_count=2):
        with open_store(tmp_path, only("a")) as store:
            store.register([event(n, "a") for n in (1, 2, 3)])
        with open_store(tmp_path, only("*")) as store:
            assert held(store) == []
            store.register([event(n, "a") for n in (4, 5)])
            assert held(store) == [4, 5]
            assert instances(store.query(QueryServerParams(server_id=1))) == [1, 2, 3, 4, 5]
            assert [one.is_active for one in store.stat().series] == [False, True]
        with open_store(tmp_path, only("a")) as store:
            store.register([event(6, "a")])
            assert held(store) == [1, 2, 3, 6]
            store.flush()
            assert held(store) == [1, 2, 3, 6]


def test_orphans_are_dropped_on_request(tmp_path: Path) -> None:
    with small_blocks(row_count=2):
        with open_store(tmp_path, only("a")) as store:
            store.register([event(n, "a") for n in range(1, 10)])
        with open_store(tmp_path, only("b", orphans=OrphanPolicy.DROP)) as store:
            assert instances(store.query(QueryServerParams(server_id=1))) == []
            assert [one.patterns for one in store.stat().series] == [(("b",),)]


def test_two_equal_definitions_are_one_with_the_last_limit() -> None:
    first = SeriesConfig(order_by=OrderBy.TIMESTAMP, limit=Limit(max_entries=1))
    last = SeriesConfig(order_by=OrderBy.TIMESTAMP, limit=Limit(max_entries=2))
    other = SeriesConfig(order_by=OrderBy.SOURCE_TIMESTAMP)
    assert StoreConfig(series=(first, other, last)).all_series() == (last, other)


def test_a_partition_commits_the_store_with_its_own_entries(tmp_path: Path) -> None:
    with Shard.open(tmp_path, identifier=None) as shard:
        store, table = EventStore(shard, MANUAL), shard.table("offsets")
        store.register([event(1)])

        def action(txn: Txn) -> None:
            store.write(txn, 0)
            txn.put(b"next", b"1", db=table)

        shard.write(action)
        store.committed()
        store.register([event(2)])
        store.close()
    with Shard.open(tmp_path, identifier=None) as shard:
        assert held(EventStore(shard, MANUAL)) == [1]


def test_the_background_flush_runs_without_calls_and_hurries_when_much_is_pending(tmp_path: Path) -> None:
    flushed = threading.Event()
    for config in (
        StoreConfig(sets=(SetConfig(),), flush_period_ms=10),
        StoreConfig(sets=(SetConfig(),), flush_period_ms=600_000, flush_row_count=3),
    ):
        with open_store(tmp_path, config, on_flushed=lambda events: flushed.set()) as store:
            last = store.last_event_id(1).instance
            store.register([event(last + n) for n in (1, 2, 3)])
            assert flushed.wait(20)
            flushed.clear()
            assert instances(store.query(QueryServerParams(server_id=1, persisted=True)))[-1] == last + 3


def test_registering_waits_for_the_background_flush_when_too_much_is_pending(tmp_path: Path) -> None:
    config = StoreConfig(sets=(SetConfig(),), flush_period_ms=600_000, pending_size_bytes_max=10_000)
    with open_store(tmp_path, config) as store:
        for n in range(1, 21):
            store.register([event(n, data="x" * 5000)])
            assert store.stat().pending_size_bytes < 20_000
        assert held(store) == list(range(1, 21))


def test_a_background_flush_that_fails_is_reported_and_tried_again(tmp_path: Path) -> None:
    config = StoreConfig(sets=(SetConfig(),), flush_period_ms=5, map_size_bytes=256 * KIB, map_size_bytes_max=256 * KIB)
    flushed = threading.Event()
    with open_store(tmp_path, config, on_flushed=lambda events: flushed.set()) as store:
        store.register([event(1, data=os.urandom(200 * KIB).hex())])
        assert not flushed.wait(0.2)
        assert store.stat().is_degraded
        store._shard._map_size_bytes_max = 64 * KIB * KIB
        assert flushed.wait(20)
        assert not store.stat().is_degraded


def test_errors_of_the_shard_are_errors_of_tocsin(tmp_path: Path) -> None:
    (tmp_path / DATA_FILE).write_bytes(b"not a shard" * 1000)
    with pytest.raises(ShardError, match="is no shard"):
        open_store(tmp_path)


@pytest.mark.parametrize("version", [1, 2])
def test_records_of_earlier_formats_are_read(version: int) -> None:
    record = msgpack.unpackb(encode_state(StoreState(sequence=7))) | {"format": version}
    del record["crc"]
    state = decode_state(msgpack.packb(record))
    assert (state.sequence, state.format, state.is_sealed) == (7, version, False)


def test_records_of_later_formats_are_refused() -> None:
    raw = encode_state(StoreState(sequence=7)).replace(b"\xa6format\x03", b"\xa6format\x04")
    with pytest.raises(StoreFormatError, match="the store has format 4, this program reads up to 3"):
        decode_state(raw)


def test_a_store_shows_what_it_is(tmp_path: Path) -> None:
    store = open_store(tmp_path / "events")
    store.register([event(1, "a"), event(2, "b")])
    place = str(tmp_path / "events")
    assert repr(store) == f"EventStore({place!r}, open, 2 types, 2 series, 2 events pending)"
    assert repr(store._shard) == f"Shard({place!r}, owned)"
    store.close()
    assert repr(store) == f"EventStore({place!r}, closed)"
    with Shard.open(tmp_path / "events", read_only=True) as shard:
        assert repr(StoreReader(shard)) == f"StoreReader(Shard({place!r}, read only))"

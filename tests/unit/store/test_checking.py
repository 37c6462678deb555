"""Checks of stores on disk: whole ones pass, whatever was done to them, and damage is named."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

from actors.shard import Shard
from actors.store import EventStore, OrderBy, SeriesConfig, SetConfig, StoreConfig
from actors.store.check.checking import check_store
from actors.store.check.findings import Finding, StoreCheck
from actors.store.disk.sealing import seal
from actors.store.disk.state import STATE_KEY, StoreState, decode_state, encode_state
from actors.store.events.limits import Limit
from actors.store.events.patterns import PatternSet
from actors.store.query.reader import StoreReader
from tests.support.partition_jobs import skip_sync
from tests.support.store_setup import event, open_store, small_blocks

LIMITED = StoreConfig(
    sets=(SetConfig(timestamp_limit=Limit(max_entries=25), source_timestamp_limit=Limit(max_entries=15)),),
    series=(SeriesConfig(order_by=OrderBy.SOURCE_TIMESTAMP, subscriptions=PatternSet([("a", "*")])),),
    flush_period_ms=None,
)
CONFIGS = [
    LIMITED,
    replace(LIMITED, sets=(SetConfig(),)),
    replace(LIMITED, series=()),
    StoreConfig(sets=(SetConfig(subscriptions=PatternSet([("a",), ("b", "?")])),), flush_period_ms=None),
]


def checked(path: Path) -> StoreCheck:
    with Shard.open(path, read_only=True) as shard:
        return check_store(StoreReader(shard))


def fill_at_random(store: EventStore, rng: random.Random) -> None:
    for _ in range(12):
        server = rng.choice((1, 2))
        session = store.last_event_id(server).session + 1
        last = store.last_timestamp(server)
        time = (0 if last is None else last.s) + rng.randrange(2)
        words = rng.choice((("a",), ("b", "x"), ("c",), ("a", "y")))
        source = rng.choice((None, rng.randrange(100)))
        store.register([event(n, *words, time=time, source=source, server=server, session=session) for n in (1, 2, 3)])
        if rng.random() < 0.4:
            store.flush()


@pytest.mark.parametrize("seed", range(8))
def test_a_store_is_whole_whatever_was_done_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    skip_sync(monkeypatch)
    rng = random.Random(seed)
    with small_blocks(4):
        for _ in range(4):
            with open_store(tmp_path, rng.choice(CONFIGS)) as store:
                fill_at_random(store, rng)
            assert checked(tmp_path).findings == []


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of twenty events in blocks of four; source times go down."""
    skip_sync(monkeypatch)
    config = StoreConfig(sets=(SetConfig(),), flush_period_ms=None)
    with small_blocks(4), open_store(tmp_path, config) as store:
        for start in (1, 5, 9, 13, 17):
            store.register([event(n, "ab"[n % 2], source=100 - n, data={"n": n}) for n in range(start, start + 4)])
            store.flush()
    return tmp_path


def change(path: Path, table: str, key: bytes, changed: Callable[[bytes], bytes | None]) -> None:
    """Change an entry as it is on disk, or delete it when there is nothing to put in its place."""
    with Shard.open(path) as shard:
        handle = shard.table(table)
        with shard.read() as txn:
            value = changed(bytes(txn.get(key, b"", db=handle)))
        shard.write(lambda txn: txn.delete(key, db=handle) if value is None else txn.put(key, value, db=handle))


def entries(path: Path, table: str) -> dict[bytes, bytes]:
    with Shard.open(path, read_only=True) as shard:
        handle = shard.table(table)
        with shard.read() as txn, txn.cursor(handle) as cursor:
            return {bytes(key): bytes(value) for key, value in cursor}


def change_sealed(path: Path, table: str, key: bytes, value: bytes) -> None:
    """Put another value in the place of one, with a checksum that fits."""
    change(path, table, key, lambda _: seal(key, value))


def change_state(path: Path, changed: Callable[[StoreState], StoreState]) -> None:
    change(path, "event_meta", STATE_KEY, lambda raw: encode_state(changed(decode_state(raw))))


def log_key(block: int) -> bytes:
    return (1).to_bytes(8, "big") + block.to_bytes(8, "big")


def places(path: Path) -> list[tuple[str, str]]:
    return [(one.table, one.place) for one in checked(path).findings]


def test_a_whole_store_is_counted(filled: Path) -> None:
    found = checked(filled)
    assert (found.event_count, found.findings) == (20, [])
    assert found.block_count >= 10


@pytest.mark.parametrize("position", [0, 20, 100, 160, -1])
def test_a_changed_byte_is_found_and_its_range_named(filled: Path, position: int) -> None:
    def flip(raw: bytes) -> bytes:
        at = position % len(raw)
        return raw[:at] + bytes([raw[at] ^ 0x55]) + raw[at + 1 :]

    change(filled, "event_log", log_key(2), flip)
    assert places(filled) == [("event_log", "block 2 of server 1, ids after (1, 8) to before (1, 13)")]


def test_a_block_that_is_cut_short_or_missing_is_found(filled: Path) -> None:
    change(filled, "event_log", log_key(1), lambda raw: raw[:50])
    change(filled, "event_log", log_key(4), lambda _: None)
    assert places(filled) == [
        ("event_log", "block 1 of server 1, ids after (1, 4) to before (1, 9)"),
        ("event_log", "block 4 of server 1, ids after (1, 16) to the end"),
    ]


def test_a_block_in_the_place_of_another_is_found(filled: Path) -> None:
    first = entries(filled, "event_log")[log_key(0)]
    change(filled, "event_log", log_key(3), lambda _: first)
    faults = [one.fault for one in checked(filled).findings]
    assert "its ids do not grow" in faults
    assert "its times shrink" in faults


def test_a_damaged_run_is_found(filled: Path) -> None:
    key = next(iter(entries(filled, "event_source")))
    change(filled, "event_source", key, lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]))
    (finding,) = checked(filled).findings
    assert finding.table == "event_source"
    assert finding.place.startswith("block ")


@pytest.mark.parametrize(
    ("table", "key", "expected"),
    [
        ("event_log", log_key(9), Finding(table="event_log", place="block 9 of server 1", fault="belongs to no log")),
        (
            "event_source",
            bytes.fromhex("0007 00000000 00000003"),
            Finding(table="event_source", place="block 3 of run 0 of series 7", fault="belongs to no run"),
        ),
    ],
)
def test_what_refers_to_nothing_is_found(filled: Path, table: str, key: bytes, expected: Finding) -> None:
    change(filled, table, key, lambda _: (9).to_bytes(8, "big"))
    assert checked(filled).findings == [expected]


def test_a_head_that_points_elsewhere_is_found(filled: Path) -> None:
    change_sealed(filled, "event_head", (1).to_bytes(8, "big") + bytes(4), (9).to_bytes(8, "big"))
    fault = "points to block 9, the newest with it is 4"
    assert checked(filled).findings == [Finding(table="event_head", place="type 0 of server 1", fault=fault)]


def test_a_record_that_counts_otherwise_is_found(filled: Path) -> None:
    def one_less(state: StoreState) -> StoreState:
        return replace(state, series={n: replace(one, count=one.count - 1) for n, one in state.series.items()})

    change_state(filled, one_less)
    assert [one.fault for one in checked(filled).findings] == [
        "counts 19 events, its runs 20",
        "counts 19 events, the log has 20 of them",
    ]


def test_events_that_only_one_table_has_are_found(filled: Path) -> None:
    def without_a_run(state: StoreState) -> StoreState:
        series = {
            n: replace(one, runs=one.runs[:-1], count=one.count - one.runs[-1].count) if one.runs else one
            for n, one in state.series.items()
        }
        return replace(state, series=series)

    change_state(filled, without_a_run)
    faults = [one.fault for one in checked(filled).findings]
    assert any("which are not the same" in fault for fault in faults)


def test_latest_events_and_types_are_checked(filled: Path) -> None:
    change(filled, "event_latest", bytes(4), lambda raw: raw[:-1])
    change_sealed(filled, "event_type", (7).to_bytes(4, "big"), b"\x91\xa1z")
    assert places(filled) == [("event_type", "type 7"), ("event_latest", "type 0")]


def test_a_latest_event_that_the_log_has_otherwise_is_found(filled: Path) -> None:
    key = bytes(4)
    entry = msgpack.unpackb(entries(filled, "event_latest")[key][:-5])
    changed: list[tuple[int, object]] = [(0, 1), (3, 5), (8, msgpack.packb({"n": 19.0}))]
    for place, value in changed:
        change_sealed(filled, "event_latest", key, msgpack.packb([*entry[:place], value, *entry[place + 1 :]]))
        assert checked(filled).findings == [
            Finding(table="event_latest", place="type 0", fault="is (1, 1, 19), which is another event in the log")
        ]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"last": (1, 19)}, "its last event is (1, 19), the log reaches (1, 20)"),
        ({"last": (1, 21)}, "its last event is (1, 21), which neither the log nor the latest events have"),
        ({"last_ticks": 21_000_000}, "its last event has the time 21000000, in the log 20000000"),
    ],
)
def test_a_last_event_that_the_log_does_not_end_with_is_found(
    filled: Path, changes: dict[str, Any], fault: str
) -> None:
    def other_end(state: StoreState) -> StoreState:
        return replace(state, servers={1: replace(state.servers[1], **changes)})

    change_state(filled, other_end)
    assert Finding(table="event_meta", place="server 1", fault=fault) in checked(filled).findings


def test_a_last_event_may_be_a_latest_one_alone(tmp_path: Path) -> None:
    only_a = StoreConfig(sets=(SetConfig(subscriptions=PatternSet([("a",)])),), flush_period_ms=None)
    with open_store(tmp_path, only_a) as store:
        store.register([event(1, "a"), event(2, "b")])
    assert checked(tmp_path).findings == []
    change_state(tmp_path, lambda state: replace(state, servers={1: replace(state.servers[1], last_ticks=9_000_000)}))
    (finding,) = checked(tmp_path).findings
    assert finding.fault == "its last event has the time 9000000, among the latest 2000000"


def test_a_record_that_cannot_be_read_is_one_finding(filled: Path) -> None:
    change(filled, "event_meta", STATE_KEY, lambda raw: raw[:-3])
    (finding,) = checked(filled).findings
    assert (finding.table, finding.place) == ("event_meta", "the record or the types")

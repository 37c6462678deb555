"""A flipped bit in any value of a store is found when the store is opened or checked."""

import random
from pathlib import Path

import lmdb
import pytest

from actors.errors import TocsinError
from actors.shard import Shard
from actors.store.check.checking import check_store
from actors.store.query.reader import StoreReader
from tests.support.partition_jobs import skip_sync
from tests.support.store_fixture import CONFIG, fixture_batches
from tests.support.store_setup import open_store, small_blocks

TABLES = ("event_meta", "event_type", "event_latest", "event_log", "event_head", "event_source", "meta")
COUNT, SLOW_COUNT = 120, 12_000


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with blocks and payloads of every kind."""
    skip_sync(monkeypatch)
    with small_blocks(16), open_store(tmp_path, CONFIG) as store:
        for batch in fixture_batches():
            assert all(verdict.is_accepted for verdict in store.register(batch))
            store.flush()
    return tmp_path


def exchange(directory: Path, table: str, key: bytes, value: bytes) -> bytes:
    """Put a value in the place of another one and return that."""
    with lmdb.open(str(directory), max_dbs=16, sync=False) as env:
        handle = env.open_db(table.encode(), create=False)
        with env.begin(write=True, db=handle) as txn:
            before = bytes(txn.get(key))
            txn.put(key, value or before)
            return before


def is_found_flipped(directory: Path, table: str, key: bytes, bit: int) -> bool:
    value = exchange(directory, table, key, b"")
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    exchange(directory, table, key, bytes(changed))
    try:
        return is_found(directory)
    finally:
        exchange(directory, table, key, value)


def is_found(directory: Path) -> bool:
    try:
        with Shard.open(directory, read_only=True) as shard:
            return bool(check_store(StoreReader(shard)).findings)
    except TocsinError:
        return True


def bits_of(directory: Path) -> list[tuple[str, bytes, int]]:
    with lmdb.open(str(directory), max_dbs=16) as env:
        found = []
        for table in TABLES:
            handle = env.open_db(table.encode(), create=False)
            with env.begin(db=handle) as txn, txn.cursor() as cursor:
                found += [(table, bytes(key), len(bytes(value)) * 8) for key, value in cursor]
    return found


def check_flips(directory: Path, count: int, seed: int) -> None:
    rng = random.Random(seed)
    values = bits_of(directory)
    assert not is_found(directory)
    # Every value once, so that small ones are not missed, then bits at random.
    chosen = [(table, key, rng.randrange(bits)) for table, key, bits in values]
    weights = [bits for _, _, bits in values]
    chosen += [(table, key, rng.randrange(bits)) for table, key, bits in rng.choices(values, weights, k=count)]
    assert [one for one in chosen if not is_found_flipped(directory, *one)] == []


def test_a_flipped_bit_in_any_value_is_found(directory: Path) -> None:
    check_flips(directory, COUNT, 1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_flipped_bit_in_any_value_is_found_at_length(directory: Path) -> None:
    check_flips(directory, SLOW_COUNT, 2)

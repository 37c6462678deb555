"""Sealed entries of the small tables, and stores of earlier formats that get seals."""

from pathlib import Path

import pytest

from actors.shard import Shard
from actors.store import EventId, EventStore, QueryLatestParams, QueryTimeseriesParams
from actors.store.check.checking import check_store
from actors.store.disk.sealing import find_damaged, read_table, seal, unseal
from actors.store.errors import RecordDamagedError
from actors.store.query.contents import read_facts
from actors.store.query.reader import StoreReader
from tests.support.store_fixture import CONFIG, fixture_events, unpack_fixture
from tests.support.store_setup import MANUAL, event, instances, open_store, small_blocks

FORMATS = Path(__file__).parents[2] / "support" / "formats"


def flip(path: Path, table: str, number: int = 0) -> None:
    with Shard.open(path) as shard:
        handle = shard.table(table)
        with shard.read() as txn:
            keys, values = read_table(txn, handle)
        value = bytearray(values[number])
        value[0] ^= 4
        shard.write(lambda txn: txn.put(keys[number], bytes(value), db=handle))


def test_a_sealed_value_comes_back_and_a_changed_one_does_not() -> None:
    sealed = seal(b"key", b"value")
    assert sealed.hex() == b"value".hex() + "ce" + "841271e7"
    assert unseal(b"key", sealed, "it") == b"value"
    for key, value in ((b"kex", sealed), (b"key", b"w" + sealed[1:]), (b"key", sealed[:-1]), (b"key", b"")):
        with pytest.raises(RecordDamagedError, match="it does not fit its checksum"):
            unseal(key, value, "it")
    assert find_damaged([b"a", b"b"], [seal(b"a", b"1"), seal(b"a", b"1")]) == [1]


def test_a_damaged_type_or_head_or_record_keeps_the_store_closed(tmp_path: Path) -> None:
    for table in ("event_type", "event_head", "event_meta"):
        with small_blocks(4), open_store(tmp_path / table) as store:
            store.register([event(n, "a") for n in range(1, 10)])
        flip(tmp_path / table, table)
        with pytest.raises(RecordDamagedError, match="restore the shard from a copy"):
            open_store(tmp_path / table)


def test_a_damaged_latest_event_is_reported_and_replaced_by_the_next(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.register([event(1, "a"), event(2, "b")])
    flip(tmp_path, "event_latest")
    with Shard.open(tmp_path, read_only=True) as shard, pytest.raises(RecordDamagedError, match="of type 0"):
        StoreReader(shard).query(QueryLatestParams())
    with open_store(tmp_path) as store:
        assert store.stat().damages == ("the latest event of type 'a' is lost",)
        assert instances(store.query(QueryLatestParams())) == [2]
        assert instances(store.query(QueryTimeseriesParams())) == [2, 1]
        store.register([event(3, "a")])
    with open_store(tmp_path) as store:
        assert (store.stat().damages, store.last_event_id(1)) == ((), EventId(1, 1, 3))


@pytest.mark.parametrize("version", [1, 2])
def test_a_store_without_seals_gets_them_when_it_is_opened_for_writing(tmp_path: Path, version: int) -> None:
    unpack_fixture(FORMATS / f"store-{version}.zip", tmp_path)
    EventStore.open(tmp_path, CONFIG, clock=lambda: 0).close()
    with Shard.open(tmp_path, read_only=True) as shard:
        reader = StoreReader(shard)
        assert read_facts(reader).format == 3
        assert check_store(reader).findings == []
        for name in ("event_type", "event_latest", "event_head"):
            with shard.read() as txn:
                assert find_damaged(*read_table(txn, shard.table(name))) == []
        assert len(reader.query(QueryTimeseriesParams()).events) == len(fixture_events())


def test_an_empty_store_is_whole(tmp_path: Path) -> None:
    open_store(tmp_path, MANUAL).close()
    with Shard.open(tmp_path, read_only=True) as shard:
        assert check_store(StoreReader(shard)).findings == []

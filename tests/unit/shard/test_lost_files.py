"""Files that are gone or exchanged under whoever has them open: nothing is acknowledged, nothing is answered."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.model import Schema
from actors.shard import Shard, ShardLostError
from actors.store import EventStore, QueryLatestParams, StoreConfig
from actors.stream.table import DurableStreamTable
from raft.errors import JournalLostError, SnapshotStoreLostError
from raft.journal import Journal
from raft.snapshots import SnapshotStore

BEYOND = b"x" * 40_000


def remove(place: Path) -> None:
    shutil.rmtree(place)


def remove_parent(place: Path) -> None:
    shutil.rmtree(place.parent)


def move_away(place: Path) -> None:
    place.rename(place.with_name("elsewhere"))


def replace_by_a_copy(place: Path) -> None:
    shutil.copy(place / "data.mdb", place / "copy")
    (place / "copy").replace(place / "data.mdb")


def exchange_directories(place: Path) -> None:
    shutil.copytree(place, place.with_name("copy"))
    move_away(place)
    place.with_name("copy").rename(place)


def cut(place: Path) -> None:
    os.truncate(place / "data.mdb", 8192)


def empty(place: Path) -> None:
    os.truncate(place / "data.mdb", 0)


def put_a_file_in_its_place(place: Path) -> None:
    remove(place)
    place.write_bytes(b"")


def exchange_a_link(place: Path) -> None:
    exchange_directories(place)
    place.rename(place.with_name("other"))
    place.symlink_to(place.with_name("other"))


LOSSES = (
    remove, remove_parent, move_away, replace_by_a_copy, exchange_directories, cut, empty, put_a_file_in_its_place,
    exchange_a_link,
)  # fmt: skip


every_way = pytest.mark.parametrize("lose", LOSSES, ids=lambda loss: loss.__name__)
two_ways = pytest.mark.parametrize("lose", [remove, cut], ids=lambda loss: loss.__name__)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "parent" / "place"


def put(shard: Shard, key: bytes, value: bytes) -> None:
    table = shard.table("t")
    shard.write(lambda txn: txn.put(key, value, db=table))


@every_way
def test_a_shard_that_is_lost_answers_nothing(place: Path, lose: Callable[[Path], None]) -> None:
    with Shard.open(place) as shard:
        put(shard, b"key", BEYOND)
        lose(place)
        with pytest.raises(ShardLostError, match=r"is lost: .*; open it again, or restore it"), shard.read():
            pass


@two_ways
def test_a_shard_that_is_lost_takes_nothing(place: Path, lose: Callable[[Path], None]) -> None:
    with Shard.open(place) as shard:
        put(shard, b"key", BEYOND)
        lose(place)
        with pytest.raises(ShardLostError):
            put(shard, b"other", b"value")


def test_a_loss_in_the_middle_of_a_write_is_noticed_before_it_is_acknowledged(place: Path) -> None:
    with Shard.open(place) as shard:
        table = shard.table("t")

        def action(txn: object) -> None:
            txn.put(b"key", b"value", db=table)  # type: ignore[attr-defined]
            move_away(place)

        with pytest.raises(ShardLostError, match="is gone"):
            shard.write(action)
        place.with_name("elsewhere").rename(place)
        with pytest.raises(ShardLostError, match="is gone"):
            put(shard, b"other", b"value")


def test_a_file_that_is_overwritten_with_an_older_copy_is_noticed(place: Path) -> None:
    with Shard.open(place) as shard:
        put(shard, b"key", BEYOND)
        older = (place / "data.mdb").read_bytes()
        put(shard, b"key", b"newer")
        (place / "data.mdb").write_bytes(older.ljust((place / "data.mdb").stat().st_size, b"\0"))
        with pytest.raises(ShardLostError, match="was overwritten: its last commit was"):
            put(shard, b"other", b"value")


@pytest.mark.parametrize("name", ["owner.lock", "lock.mdb"])
def test_a_lock_file_that_is_gone_keeps_nobody_out_so_nothing_is_written(place: Path, name: str) -> None:
    with Shard.open(place) as shard:
        put(shard, b"key", b"value")
        (place / name).unlink()
        with pytest.raises(ShardLostError, match=f"{name} is gone"):
            put(shard, b"other", b"value")
    with Shard.open(place) as shard:
        put(shard, b"other", b"value")


def test_a_shard_open_for_reading_and_a_copy_notice(place: Path, tmp_path: Path) -> None:
    Shard.open(place).close()
    with Shard.open(place, read_only=True) as shard:
        replace_by_a_copy(place)
        with pytest.raises(ShardLostError):
            shard.copy_to(tmp_path / "target")
        with pytest.raises(ShardLostError):
            shard.table_names()


@two_ways
def test_a_store_answers_nothing_from_memory(place: Path, lose: Callable[[Path], None]) -> None:
    store = EventStore.open(place, StoreConfig(flush_period_ms=None), clock=lambda: 0)
    lose(place)
    with pytest.raises(ShardLostError):
        store.query(QueryLatestParams())
    store.drop()


@two_ways
def test_a_stream_table_takes_no_rows(place: Path, lose: Callable[[Path], None]) -> None:
    schema = Schema.from_mapping({"n": "LONG"})
    with DurableStreamTable.open(place, schema) as table:
        table.append([(number,) for number in range(4000)])
        lose(place)
        with pytest.raises(ShardLostError):
            table.append([(1,)])
        with pytest.raises(ShardLostError):
            table.read(0, 0, 10)


@two_ways
def test_a_journal_makes_nothing_durable(place: Path, lose: Callable[[Path], None]) -> None:
    journal = Journal.open(place, durable=False)
    journal.form((("a", "a", journal.identity),))
    lose(place)
    journal.setCurrentTerm(1, "a")
    with pytest.raises(JournalLostError, match=r"the journal is lost: .*; start the member anew and admit it"):
        journal.sync()
    journal.close()


@two_ways
def test_a_snapshot_store_holds_and_takes_nothing(place: Path, lose: Callable[[Path], None]) -> None:
    with SnapshotStore.open(place) as store:
        store.put_chunk("job", 0, bytes(32), 0, BEYOND)
        lose(place)
        with pytest.raises(SnapshotStoreLostError, match=r"is lost: .*; start the member anew"):
            store.seal("job", 0, bytes(32), 5)
        with pytest.raises(SnapshotStoreLostError):
            store.holds("job", 0, bytes(32))
        with pytest.raises(SnapshotStoreLostError):
            store.list()

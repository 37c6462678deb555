"""Data files of LMDB that must not be mapped, and those that may although they end early."""

import ast
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from actors.lmdb_file import DataFileError, check_data_file, read_file_meta
from actors.model import Schema
from actors.shard import Shard, ShardFormatError
from actors.shard.upkeep import compact_shard, copy_shard
from actors.store import EventStore, StoreConfig
from actors.store.query.history import HistoryParams, read_history
from actors.stream.table import DurableStreamTable
from cluster.local.databases import check_database, measure_database
from raft.errors import JournalDamagedError, SnapshotStoreError
from raft.journal import Journal
from raft.snapshots import SnapshotStore
from tests.support.repository import ROOT

PAGE = 4096
OPENERS: list[tuple[Callable[[Path], object], type[Exception]]] = [
    (Shard.open, ShardFormatError),
    (lambda path: Shard.open(path, read_only=True), ShardFormatError),
    (lambda path: EventStore.open(path, StoreConfig(), clock=lambda: 0), ShardFormatError),
    (lambda path: list(read_history(path, HistoryParams())), ShardFormatError),
    (lambda path: DurableStreamTable.open(path, Schema.from_mapping({"a": "INT"})), ShardFormatError),
    (compact_shard, ShardFormatError),
    (lambda path: copy_shard(path, path / "copy"), ShardFormatError),
    (measure_database, ShardFormatError),
    (Journal.open, JournalDamagedError),
    (SnapshotStore.open, SnapshotStoreError),
]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    with Shard.open(tmp_path) as shard:
        table = shard.table("kept")
        shard.write(lambda txn: [txn.put(b"%d" % n, b"v" * 3000, db=table) for n in range(40)])
    return tmp_path


def cut(directory: Path, size: int) -> None:
    with (directory / "data.mdb").open("r+b") as file:
        file.truncate(size)


@pytest.mark.parametrize("size", [0, 1, PAGE, PAGE + 100, 20 * PAGE, 20 * PAGE + 1])
@pytest.mark.parametrize("number", range(len(OPENERS)))
def test_every_opener_refuses_a_file_that_is_cut_short_and_says_what_to_do(whole: Path, number: int, size: int) -> None:
    opener, error = OPENERS[number]
    cut(whole, size)
    with pytest.raises(error, match="restore it from a copy"):
        opener(whole)
    assert (whole / "data.mdb").stat().st_size == size


@pytest.mark.parametrize("size", [0, 20 * PAGE])
def test_a_check_of_a_database_names_a_file_that_is_cut_short(whole: Path, size: int) -> None:
    cut(whole, size)
    assert [one.table for one in check_database(whole).findings] == ["data.mdb"]


def test_a_file_may_lack_the_free_pages_at_its_end(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), map_size=1 << 24) as env:
        for _ in range(3):
            with env.begin(write=True) as txn:
                for number in range(20):
                    txn.put(b"%03d" % number, bytes(3000))
                for number in range(10, 20):
                    txn.delete(b"%03d" % number)
        # What was used and freed before a commit is never written.
        assert (tmp_path / "data.mdb").stat().st_size == read_file_meta(tmp_path).size_bytes - 9 * PAGE
        check_data_file(tmp_path)
        with env.begin() as txn:
            assert sum(len(value) for _, value in txn.cursor()) == 30_000
    cut(tmp_path, 12 * PAGE)
    with pytest.raises(DataFileError, match="its end is missing"):
        check_data_file(tmp_path)


def test_every_function_that_opens_an_environment_checks_its_file_first() -> None:
    unchecked = []
    for path in (*ROOT.glob("actors/**/*.py"), *ROOT.glob("raft/**/*.py"), *ROOT.glob("cluster/**/*.py")):
        text = path.read_text()
        for function in ast.walk(ast.parse(text)) if "lmdb.open(" in text else ():
            if isinstance(function, ast.FunctionDef):
                text = ast.unparse(function)
                if "lmdb.open(" in text and "check_data_file(" not in text.partition("lmdb.open(")[0]:
                    unchecked.append(f"{path.name}: {function.name}")
    assert unchecked == []

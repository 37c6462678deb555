"""A database between processes: one fills it, trims, merges and grows its map; another looks after it meanwhile."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.shard import ShardOwnedError
from actors.shard.upkeep import compact_shard, copy_shard
from cluster.local.databases import check_database, measure_database

ROOT = Path(__file__).parents[2]
ROUNDS = 6


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that fills the store in `tmp_path / "db"` until it is killed."""
    command = [sys.executable, "-m", "tests.support.store_victim", str(tmp_path / "db"), "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


def test_a_database_is_checked_copied_and_measured_while_it_is_written(
    tmp_path: Path, writer: subprocess.Popen[str]
) -> None:
    transactions = set()
    for number in range(ROUNDS):
        assert check_database(tmp_path / "db").findings == ()
        copy_shard(tmp_path / "db", tmp_path / f"copy{number}")
        assert check_database(tmp_path / f"copy{number}").findings == ()
        measured = measure_database(tmp_path / "db")
        transactions.add(measured["transaction"])
        assert measured["owner"] == writer.pid
        assert writer.poll() is None, "the writer has ended"
    assert len(transactions) > ROUNDS / 2, "nothing was written meanwhile"
    with pytest.raises(ShardOwnedError, match=f"owned by process {writer.pid}"):
        compact_shard(tmp_path / "db")


def test_what_a_killed_writer_leaves_is_whole_and_can_be_compacted(
    tmp_path: Path, writer: subprocess.Popen[str]
) -> None:
    while measure_database(tmp_path / "db")["transaction"] < 60:
        assert writer.poll() is None, "the writer has ended"
    writer.kill()
    writer.wait()
    found = check_database(tmp_path / "db")
    before, after = compact_shard(tmp_path / "db")
    assert after < before
    assert (check_database(tmp_path / "db"), found.findings) == (found, ())

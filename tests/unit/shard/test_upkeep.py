"""Upkeep of a shard's files, with and without an owner."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.lmdb_file import read_file_meta
from actors.shard import Shard, ShardError, ShardFormatError, ShardMissingError, ShardOwnedError
from actors.shard.upkeep import (
    compact_shard,
    copy_shard,
    find_owner,
    measure_shard,
    open_beside,
)


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    """A shard of which most pages have been freed."""
    with Shard.open(tmp_path / "shard", identifier="mine") as shard:
        kept, dropped = shard.table("kept"), shard.table("dropped")
        shard.write(lambda txn: [txn.put(b"%d" % n, b"v" * 1000, db=dropped) for n in range(400)])
        shard.write(lambda txn: [txn.put(b"%d" % n, b"v" * 1000, db=kept) for n in range(40)])
        shard.write(lambda txn: txn.drop(dropped, delete=False))
    return tmp_path / "shard"


def kept(directory: Path) -> int:
    with open_beside(directory) as shard:
        table = shard.table("kept")
        with shard.read() as txn:
            return int(txn.stat(db=table)["entries"])


def test_a_shard_is_measured(holed: Path) -> None:
    with open_beside(holed) as shard:
        found = measure_shard(shard)
    assert [(table.name, table.entry_count) for table in found.tables] == [("dropped", 0), ("kept", 40), ("meta", 3)]
    assert found.free_page_count > 100
    assert found.file_size_bytes >= found.page_count * found.page_size_bytes
    assert (found.owner, found.reading_processes) == (None, ())
    assert found.map_size_bytes == 256 << 20


def test_the_owner_is_found_without_touching_its_lock(tmp_path: Path) -> None:
    with Shard.open(tmp_path):
        assert find_owner(tmp_path) == os.getpid()
    assert find_owner(tmp_path) is None
    assert find_owner(tmp_path / "nothing") is None


def test_the_file_says_what_lmdb_says(holed: Path) -> None:
    with open_beside(holed) as shard:
        stat = shard.stat()
    meta = read_file_meta(holed)
    assert (meta.size_bytes, meta.transaction_id) == (stat.used_size_bytes, stat.transaction_id)
    assert meta.map_size_bytes == stat.map_size_bytes


def test_compacting_gives_back_free_pages_and_nothing_else(holed: Path) -> None:
    (holed / "compact.part").mkdir()
    (holed / "compact.part" / "data.mdb").write_text("left behind")
    before, after = compact_shard(holed)
    assert after < before / 2
    assert kept(holed) == 40
    assert sorted(one.name for one in holed.iterdir()) == ["data.mdb", "lock.mdb", "owner.lock"]
    with Shard.open(holed, identifier="mine") as shard:
        shard.write(lambda txn: txn.put(b"new", b"v", db=shard.table("meta")))
        assert measure_shard(shard).free_page_count < 10


def test_a_shard_in_use_is_not_compacted(holed: Path) -> None:
    size = (holed / "data.mdb").stat().st_size
    with Shard.open(holed), pytest.raises(ShardOwnedError, match=f"pid {os.getpid()}"):
        compact_shard(holed)
    program = (
        "import sys; from pathlib import Path; from actors.shard import Shard\n"
        "with Shard.open(Path(sys.argv[1]), read_only=True) as shard:\n"
        "    with shard.read() as txn: txn.stat()\n"
        "    print('reading', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(holed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        with pytest.raises(ShardOwnedError, match=f"being read by process {reader.pid}; end it first"):
            compact_shard(holed)
    assert (holed / "data.mdb").stat().st_size == size
    assert compact_shard(holed)[1] < size


def test_a_copy_is_made_beside_the_owner(holed: Path, tmp_path: Path) -> None:
    copy_shard(holed, tmp_path / "copy")
    assert kept(tmp_path / "copy") == 40
    with pytest.raises(ShardError, match="is not empty"):
        copy_shard(holed, tmp_path / "copy")


def test_a_file_that_is_cut_short_is_not_opened(holed: Path) -> None:
    with (holed / "data.mdb").open("r+b") as file:
        file.truncate(10 * 4096)
    for refused in (open_beside, compact_shard):
        with pytest.raises(ShardFormatError, match=r"has 40960 bytes and needs .* its end is missing"):
            refused(holed)


def test_what_is_no_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShardMissingError, match="there is no shard"):
        open_beside(tmp_path)
    (tmp_path / "data.mdb").write_bytes(b"x" * 10_000)
    with pytest.raises(ShardFormatError, match="is no LMDB file"):
        open_beside(tmp_path)
    (tmp_path / "data.mdb").write_bytes(b"x")
    with pytest.raises(ShardFormatError, match="is cut short to 1 bytes"):
        open_beside(tmp_path)
    (tmp_path / "data.mdb").unlink()
    os.mkfifo(tmp_path / "data.mdb")
    with pytest.raises(ShardFormatError, match=r"data\.mdb is no file"):
        open_beside(tmp_path)

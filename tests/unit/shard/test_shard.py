"""A shard: one owner, one writer, growth, copies."""

import mmap
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from actors.shard import (
    Shard,
    ShardBusyError,
    ShardClosedError,
    ShardError,
    ShardFormatError,
    ShardFullError,
    ShardIdentifierError,
    ShardMissingError,
    ShardOwnedError,
    ShardReadExpiredError,
)
from actors.shard.shard import Txn

KIB = 1024
OPEN_AND_WAIT = """
import sys, time
from pathlib import Path
from actors.shard import Shard
shard = Shard.open(Path(sys.argv[1]))
table = shard.table("t")
shard.write(lambda txn: txn.put(b"key", b"value", db=table))
print("open", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other_process(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", OPEN_AND_WAIT, str(tmp_path / "s")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def put(shard: Shard, key: bytes, value: bytes) -> None:
    table = shard.table("t")
    shard.write(lambda txn: txn.put(key, value, db=table))


def get(shard: Shard, key: bytes) -> bytes | None:
    table = shard.table("t")
    with shard.read() as txn:
        return txn.get(key, db=table)


def test_what_a_write_put_is_there_after_reopening(tmp_path: Path) -> None:
    with Shard.open(tmp_path / "s") as shard:
        put(shard, b"key", b"value")
    with Shard.open(tmp_path / "s") as shard:
        assert get(shard, b"key") == b"value"
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["data.mdb", "lock.mdb", "owner.lock"]


def test_a_write_that_raises_changes_nothing(tmp_path: Path) -> None:
    with Shard.open(tmp_path) as shard:
        table = shard.table("t")

        def action(txn: Txn) -> None:
            txn.put(b"key", b"value", db=table)
            raise RuntimeError("after the put")

        with pytest.raises(RuntimeError, match="after the put"):
            shard.write(action)
        assert get(shard, b"key") is None


def test_a_write_returns_what_its_action_returns(tmp_path: Path) -> None:
    with Shard.open(tmp_path) as shard:
        assert shard.write(lambda txn: 7) == 7


def test_a_second_opener_in_this_process_is_refused(tmp_path: Path) -> None:
    with Shard.open(tmp_path), pytest.raises(ShardOwnedError, match=f"{tmp_path} is already open .*pid {os.getpid()}"):
        Shard.open(tmp_path)


def test_a_refused_opener_leaves_the_first_one_working(tmp_path: Path) -> None:
    with Shard.open(tmp_path) as shard:
        with pytest.raises(ShardOwnedError):
            Shard.open(tmp_path)
        put(shard, b"key", b"value")
        assert get(shard, b"key") == b"value"
        with pytest.raises(ShardOwnedError):
            Shard.open(tmp_path)


def test_a_reader_in_the_owning_process_is_refused(tmp_path: Path) -> None:
    with Shard.open(tmp_path), pytest.raises(ShardOwnedError, match="use the open one"):
        Shard.open(tmp_path, read_only=True)


def test_another_process_is_refused_and_named(tmp_path: Path, other_process: "subprocess.Popen[bytes]") -> None:
    with pytest.raises(ShardOwnedError, match=f"{tmp_path / 's'} is owned by process {other_process.pid}"):
        Shard.open(tmp_path / "s")


def test_a_reader_may_open_what_another_process_owns(tmp_path: Path, other_process: "subprocess.Popen[bytes]") -> None:
    with Shard.open(tmp_path / "s", read_only=True) as shard:
        assert get(shard, b"key") == b"value"
        with pytest.raises(ShardError, match="open for reading"):
            shard.write(lambda txn: None)


def test_a_killed_owner_leaves_the_shard_open_to_others(
    tmp_path: Path, other_process: "subprocess.Popen[bytes]"
) -> None:
    os.kill(other_process.pid, signal.SIGKILL)
    other_process.wait()
    with Shard.open(tmp_path / "s") as shard:
        assert get(shard, b"key") == b"value"


def test_the_map_grows_and_the_action_is_repeated(tmp_path: Path) -> None:
    with Shard.open(tmp_path, map_size_bytes=64 * KIB) as shard:
        table = shard.table("t")
        calls: list[int] = []

        def action(txn: Txn) -> None:
            calls.append(1)
            for number in range(100):
                txn.put(b"%03d" % number, bytes(4 * KIB), db=table)

        shard.write(action)
        assert len(calls) > 1
        assert shard.stat().map_size_bytes == 1024 * KIB
        assert shard.stat().entry_counts == {"meta": 2, "t": 100}


def test_growth_stops_at_its_limit_and_changes_nothing(tmp_path: Path) -> None:
    with Shard.open(tmp_path, map_size_bytes=64 * KIB, map_size_bytes_max=128 * KIB) as shard:
        put(shard, b"key", b"value")
        with pytest.raises(ShardFullError, match=f"map of {128 * KIB} bytes"):
            put(shard, b"key", bytes(512 * KIB))
        assert get(shard, b"key") == b"value"
        put(shard, b"key", b"small")
        assert get(shard, b"key") == b"small"


def test_a_raised_limit_lets_a_full_shard_grow(tmp_path: Path) -> None:
    with (
        Shard.open(tmp_path, map_size_bytes=64 * KIB, map_size_bytes_max=64 * KIB) as shard,
        pytest.raises(ShardFullError),
    ):
        put(shard, b"key", bytes(512 * KIB))
    with Shard.open(tmp_path, map_size_bytes=64 * KIB) as shard:
        put(shard, b"key", bytes(512 * KIB))
        assert get(shard, b"key") == bytes(512 * KIB)


def test_growth_waits_for_readers_of_other_threads(tmp_path: Path) -> None:
    with Shard.open(tmp_path, map_size_bytes=64 * KIB) as shard:
        put(shard, b"key", b"value")
        reading, written = threading.Event(), threading.Event()

        def grow() -> None:
            reading.wait()
            put(shard, b"key", bytes(512 * KIB))
            written.set()

        thread = threading.Thread(target=grow)
        thread.start()
        with shard.read() as txn:
            reading.set()
            assert not written.wait(0.05)
            assert txn.get(b"key", db=shard.table("t")) == b"value"
        thread.join()
        assert get(shard, b"key") == bytes(512 * KIB)


def test_growth_inside_ones_own_read_is_refused_at_once(tmp_path: Path) -> None:
    with Shard.open(tmp_path, map_size_bytes=64 * KIB) as shard:
        shard.table("t")
        with shard.read(), pytest.raises(ShardBusyError, match="end the read before writing"):
            put(shard, b"key", bytes(512 * KIB))


def test_a_reader_follows_growth_by_another_process(tmp_path: Path) -> None:
    grow = """
import sys
from pathlib import Path
from actors.shard import Shard
with Shard.open(Path(sys.argv[1]), map_size_bytes=65536) as shard:
    table = shard.table("t")
    shard.write(lambda txn: txn.put(b"key", bytes(int(sys.argv[2])), db=table))
"""
    command = [sys.executable, "-c", grow, str(tmp_path)]
    subprocess.run([*command, "10"], check=True)
    with Shard.open(tmp_path, map_size_bytes=64 * KIB, read_only=True) as shard:
        assert get(shard, b"key") == bytes(10)
        subprocess.run([*command, "3000000"], check=True)
        assert get(shard, b"key") == bytes(3000000)


def test_a_read_does_not_see_later_writes(tmp_path: Path) -> None:
    with Shard.open(tmp_path) as shard:
        put(shard, b"key", b"old")
        with shard.read() as txn:
            put(shard, b"key", b"new")
            assert txn.get(b"key", db=shard.table("t")) == b"old"
            assert shard.stat().reader_count == 1


def test_a_copy_is_a_shard_of_its_own(tmp_path: Path) -> None:
    with Shard.open(tmp_path / "a", identifier="job/0") as shard:
        put(shard, b"key", b"value")
        shard.copy_to(tmp_path / "b")
        put(shard, b"key", b"later")
        with Shard.open(tmp_path / "b", identifier="job/0") as copy:
            assert get(copy, b"key") == b"value"


def test_a_copy_does_not_overwrite(tmp_path: Path) -> None:
    with Shard.open(tmp_path) as shard, pytest.raises(ShardError, match="is not empty"):
        shard.copy_to(tmp_path)


def test_another_identifier_is_refused(tmp_path: Path) -> None:
    Shard.open(tmp_path, identifier=None).close()
    Shard.open(tmp_path, identifier="job/0").close()
    Shard.open(tmp_path, identifier=None).close()
    with pytest.raises(ShardIdentifierError, match="belongs to 'job/0', not to 'job/1'"):
        Shard.open(tmp_path, identifier="job/1")
    Shard.open(tmp_path, identifier="job/0").close()


def test_another_format_is_refused(tmp_path: Path) -> None:
    with Shard.open(tmp_path) as shard:
        table = shard.table("meta")
        shard.write(lambda txn: txn.put(b"format", b"\x63", db=table))
    with pytest.raises(ShardFormatError, match="has format 99"):
        Shard.open(tmp_path)


def test_a_file_that_is_no_shard_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(ShardFormatError, match="is no shard"):
        Shard.open(tmp_path)
    with pytest.raises(ShardFormatError, match="is no shard"):
        Shard.open(tmp_path)


def test_reading_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardMissingError, match="there is no shard"):
        Shard.open(tmp_path / "none", read_only=True)
    Shard.open(tmp_path).close()
    with Shard.open(tmp_path, read_only=True) as shard, pytest.raises(ShardMissingError, match="no table 't'"):
        shard.table("t")


def test_a_closed_shard_refuses_every_call(tmp_path: Path) -> None:
    shard = Shard.open(tmp_path)
    shard.close()
    shard.close()
    for call in (lambda: shard.table("t"), lambda: shard.write(lambda txn: None), shard.stat):
        with pytest.raises(ShardClosedError, match="has been closed"):
            call()


def test_a_write_inside_a_write_is_refused(tmp_path: Path) -> None:
    with Shard.open(tmp_path) as shard:
        with pytest.raises(ShardError, match="a write inside a write"):
            shard.write(lambda txn: shard.write(lambda inner: None))
        with pytest.raises(ShardError, match="inside a write; call `table` before"):
            shard.write(lambda txn: shard.table("new"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_changes_nothing_and_is_survived(small_disk: Path) -> None:
    with Shard.open(small_disk / "s") as shard:
        put(shard, b"key", b"value")
        (small_disk / "ballast").write_bytes(bytes(512 * KIB))
        with pytest.raises(ShardFullError, match="is full or fails"):
            put(shard, b"large", bytes(800 * KIB))
        assert get(shard, b"key") == b"value"
        assert get(shard, b"large") is None
        (small_disk / "ballast").unlink()
        put(shard, b"large", bytes(512 * KIB))
        assert get(shard, b"large") == bytes(512 * KIB)


def test_a_read_that_stays_open_too_long_is_ended_by_a_write(tmp_path: Path) -> None:
    with Shard.open(tmp_path, reader_timeout_s=0.0) as shard:
        put(shard, b"key", b"value")
        table = shard.table("t")
        with shard.read() as txn:
            assert txn.get(b"key", db=table) == b"value"
            assert shard.stat().oldest_read_s > 0
            put(shard, b"key", b"other")
            assert shard.stat().oldest_read_s == 0
            with pytest.raises(ShardReadExpiredError, match="larger reader_timeout_s"):
                txn.get(b"key", db=table)
        assert get(shard, b"key") == b"other"


def test_a_read_is_not_ended_before_its_time_or_inside_a_cursor(tmp_path: Path) -> None:
    for timeout_s in (None, 3600.0, 0.0):
        with Shard.open(tmp_path, reader_timeout_s=timeout_s) as shard:
            put(shard, b"key", b"value")
            with shard.read() as txn, txn.cursor(shard.table("t")) as cursor:
                writer = threading.Thread(target=put, args=(shard, b"key", b"other"))
                writer.start()
                writer.join()
                assert list(cursor) == [(b"key", b"value")]


@pytest.mark.parametrize(("timeout_s", "grows"), [(None, True), (0.0, False)])
def test_a_forgotten_read_makes_the_file_grow_only_until_its_timeout(
    tmp_path: Path, timeout_s: float | None, grows: bool
) -> None:
    with Shard.open(tmp_path, reader_timeout_s=timeout_s) as shard:
        put(shard, b"key", bytes(100 * KIB))
        with shard.read():
            for _ in range(30):
                put(shard, b"key", bytes(100 * KIB))
            assert (shard.stat().used_size_bytes > 2000 * KIB) is grows


def test_growth_does_not_wait_for_a_read_beyond_its_timeout(tmp_path: Path) -> None:
    with Shard.open(tmp_path, map_size_bytes=64 * KIB, reader_timeout_s=0.0) as shard:
        with shard.read():
            writer = threading.Thread(target=put, args=(shard, b"key", bytes(500 * KIB)))
            writer.start()
            writer.join()
        assert get(shard, b"key") == bytes(500 * KIB)


def test_a_map_for_which_the_process_has_no_addresses_is_a_full_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("Cannot allocate memory")

    with Shard.open(tmp_path, map_size_bytes=64 * KIB) as shard:
        table = shard.table("t")
        with monkeypatch.context() as patch:
            patch.setattr(mmap, "mmap", refuse)
            with pytest.raises(
                ShardFullError, match=r"cannot grow by 65536 bytes: Cannot allocate .*ulimit -v.*nothing"
            ):
                shard.write(lambda txn: txn.put(b"key", bytes(100 * KIB), db=table))
        shard.validate()
        shard.write(lambda txn: txn.put(b"key", bytes(100 * KIB), db=table))
        shard.validate()


def test_a_write_without_memory_changes_nothing(tmp_path: Path) -> None:
    def fail(txn: Txn) -> None:
        txn.put(b"key", b"value", db=table)
        raise lmdb.MemoryError("mdb_put")

    with Shard.open(tmp_path) as shard:
        table = shard.table("t")
        with pytest.raises(ShardFullError, match=r"there is no memory for a write to .*nothing was changed"):
            shard.write(fail)
        with shard.read() as txn:
            assert txn.get(b"key", db=table) is None


class Shrunken:
    """An environment whose map cannot be changed, which closes it."""

    def __init__(self, env: lmdb.Environment) -> None:
        self._env = env

    def set_mapsize(self, size: int) -> None:
        self._env.close()
        raise lmdb.MemoryError(f"mdb_env_set_mapsize: {size}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)


def test_a_shard_that_lmdb_has_closed_says_so_and_is_free(tmp_path: Path) -> None:
    shard = Shard.open(tmp_path, map_size_bytes=64 * KIB)
    table = shard.table("t")
    shard._env = Shrunken(shard._env)  # type: ignore[assignment]
    with pytest.raises(ShardError, match=r"cannot grow: mdb_env_set_mapsize: 131072; open it again"):
        shard.write(lambda txn: txn.put(b"key", bytes(100 * KIB), db=table))
    with pytest.raises(ShardClosedError):
        shard.table_names()
    shard.validate()
    with Shard.open(tmp_path) as again:
        again.validate()


def test_what_contradicts_itself_is_not_valid(tmp_path: Path) -> None:
    shard = Shard.open(tmp_path)
    shard.validate()
    shard._tables["lost"] = shard.table("t")
    with pytest.raises(AssertionError, match="lost"):
        shard.validate()
    shard.close()
    shard.validate()
    shard._closed = False
    with pytest.raises(AssertionError, match="is not owned"):
        shard.validate()
    shard._closed = True
    with shard._gate.reading(), pytest.raises(AssertionError, match="has 1 readers"):
        shard.validate()

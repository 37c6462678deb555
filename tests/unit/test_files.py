"""Files: atomic, locked by the system, and for their owner only."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.engine.snapshot_files import write_snapshot
from actors.files import (
    FileLock,
    FileLockedError,
    make_directory,
    open_locked,
    private_opener,
    replace_file,
)
from actors.persistency.storage import DirectoryStorage
from actors.shard import Shard
from raft.journal import Journal
from raft.snapshots import SnapshotStore


@pytest.fixture(autouse=True)
def widest_rights() -> Iterator[None]:
    """Let the process give all rights it does not withhold itself."""
    former = os.umask(0)
    yield
    os.umask(former)


def rights_below(directory: Path) -> set[tuple[str, int]]:
    """Return kind and rights of all that is in a directory."""
    found = [path.stat() for path in directory.rglob("*")]
    return {("directory" if stat.S_ISDIR(one.st_mode) else "file", stat.S_IMODE(one.st_mode)) for one in found}


def test_directories_that_were_missing_are_their_owners_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "wide").mkdir(mode=0o755)
    make_directory(tmp_path / "wide" / "a" / "b")
    make_directory(tmp_path / "wide" / "a" / "b")
    assert rights_below(tmp_path / "wide") == {("directory", 0o700)}
    assert stat.S_IMODE((tmp_path / "wide").stat().st_mode) == 0o755


def test_a_file_in_the_place_of_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(FileExistsError):
        make_directory(tmp_path / "a")


def test_a_replaced_file_is_new_as_a_whole_and_its_owners(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"before")
    (tmp_path / ".f.draft").write_bytes(b"left behind by a crash")
    replace_file(tmp_path / "f", b"after")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"f": b"after"}
    assert rights_below(tmp_path) == {("file", 0o600)}


def test_a_lock_has_one_owner_whom_the_error_names(tmp_path: Path) -> None:
    with FileLock.take(tmp_path / "lock"), pytest.raises(FileLockedError, match=f"this process .pid {os.getpid()}"):
        FileLock.take(tmp_path / "lock")
    FileLock.take(tmp_path / "lock").release()
    assert rights_below(tmp_path) == {("file", 0o600)}


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    taking = "import sys, pathlib, os, signal; from actors.files import FileLock\n"
    taking += "lock = FileLock.take(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", taking, str(tmp_path / "lock")], check=False)
    assert (tmp_path / "lock").read_text().strip().isdigit()
    FileLock.take(tmp_path / "lock").release()


def test_a_locked_file_keeps_its_content(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"lines")
    with open_locked(tmp_path / "f", wait=True) as file:
        assert file.read() == b"lines"
        with pytest.raises(FileLockedError, match=r"another process$"):
            open_locked(tmp_path / "f", wait=False)


def test_everything_the_libraries_keep_is_their_owners(tmp_path: Path) -> None:
    with Shard.open(tmp_path / "shard") as shard:
        shard.copy_to(tmp_path / "copy")
    Journal.open(tmp_path / "member" / "raft").close()
    SnapshotStore.open(tmp_path / "member" / "snapshots").close()
    DirectoryStorage(tmp_path / "saved").write("a/b", b"state")
    write_snapshot(tmp_path / "saved", "engine", b"state")
    with open(tmp_path / "log", "a", opener=private_opener):
        pass
    assert rights_below(tmp_path) == {("directory", 0o700), ("file", 0o600)}

"""Paths that cannot be used end with an error of the library that says so, whatever the system calls it."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.shard import Shard, ShardError, ShardFullError
from actors.shard.upkeep import compact_shard, copy_shard, measure_shard, open_beside
from actors.store import EventStore, StoreConfig
from actors.store.query.history import HistoryParams, read_history

OPENERS: list[Callable[[Path], object]] = [
    Shard.open,
    lambda path: Shard.open(path, read_only=True),
    lambda path: EventStore.open(path, StoreConfig(), clock=lambda: 0),
    lambda path: list(read_history(path, HistoryParams())),
    compact_shard,
    open_beside,
    lambda path: copy_shard(path, path),
]


def a_file(path: Path) -> Path:
    path.touch()
    return path


def below_a_file(path: Path) -> Path:
    return a_file(path) / "deeper"


def too_long(path: Path) -> Path:
    return path / ("x" * 300)


def much_too_long(path: Path) -> Path:
    return path.joinpath(*["x" * 200] * 30)


def with_a_zero(path: Path) -> Path:
    return path / "a\0b"


def with_a_directory_as_data(path: Path) -> Path:
    (path / "data.mdb").mkdir(parents=True)
    return path


def with_a_directory_as_lock(path: Path) -> Path:
    (path / "owner.lock").mkdir(parents=True)
    return path


def in_proc(_: Path) -> Path:
    return Path("/proc/tocsin/shard")


PLACES = [
    a_file,
    below_a_file,
    too_long,
    much_too_long,
    with_a_zero,
    with_a_directory_as_data,
    with_a_directory_as_lock,
    in_proc,
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", range(len(OPENERS)))
def test_a_path_that_cannot_be_used_is_an_error_of_shards(
    tmp_path: Path, number: int, place: Callable[[Path], Path]
) -> None:
    path = place(tmp_path / "here")
    with pytest.raises(ShardError, match=r"check the path|restore it|open it for writing"):
        OPENERS[number](path)


@pytest.mark.parametrize("place", [a_file, below_a_file, too_long, with_a_zero, in_proc])
def test_a_copy_to_a_path_that_cannot_be_used_is_an_error_of_shards(
    tmp_path: Path, place: Callable[[Path], Path]
) -> None:
    with Shard.open(tmp_path / "shard") as shard:
        with pytest.raises(ShardError, match="check the path"):
            shard.copy_to(place(tmp_path / "copy"))
        assert measure_shard(shard).owner == os.getpid()


@pytest.mark.parametrize(
    ("code", "expected"), [(errno.EACCES, ShardError), (errno.EROFS, ShardError), (errno.ENOSPC, ShardFullError)]
)
@pytest.mark.parametrize("name", ["mkdir", "open"])
def test_what_the_system_refuses_is_an_error_of_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, expected: type[ShardError], name: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, name, refuse)
    with pytest.raises(expected, match=os.strerror(code)):
        Shard.open(tmp_path / "new")


@pytest.mark.parametrize("options", [{"map_size_bytes": 0}, {"map_size_bytes": -1}, {"map_size_bytes": 1 << 70}])
def test_a_map_that_cannot_be_is_refused(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(ShardError):
        Shard.open(tmp_path, map_size_bytes_max=1 << 80, **options)

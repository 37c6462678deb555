"""Generations of a shard: the current copy is opened, older ones are put aside, and a crash changes nothing."""

import shutil
from pathlib import Path

import pytest

from actors.shard import Shard, ShardDamagedError, ShardIdentifierError, ShardLostError, ShardOwnedError
from actors.shard.generations import copies_beside, open_at_rest, open_generation
from tests.support.file_crashes import crashes

NAME = "job/2"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "partitions" / "0002"


def write_value(shard: Shard, value: bytes) -> None:
    table = shard.table("t")
    shard.write(lambda txn: txn.put(b"value", value, db=table))


def read_value(shard: Shard) -> bytes | None:
    table = shard.table("t")
    with shard.read() as txn:
        return txn.get(b"value", db=table)


def make(place: Path, generation: int, value: bytes = b"older") -> None:
    with open_generation(place, generation, identifier=NAME) as shard:
        write_value(shard, value)


def value_at(directory: Path) -> tuple[int, bytes | None]:
    with Shard.open(directory, read_only=True) as shard:
        return shard.generation, read_value(shard)


def test_a_shard_of_before_is_the_first_generation(place: Path) -> None:
    with Shard.open(place, identifier=NAME) as shard:
        assert shard.generation == 1
        with shard.read() as txn:
            assert txn.get(b"generation", db=shard.table("meta")) is None
    with open_generation(place, 1, identifier=NAME) as shard:
        assert shard.generation == 1
    assert list(copies_beside(place)) == []


def test_an_equal_generation_is_opened_as_it_is(place: Path) -> None:
    make(place, 4)
    with open_generation(place, 4, identifier=NAME) as shard:
        assert (shard.generation, read_value(shard)) == (4, b"older")
    assert [path.name for path in place.parent.iterdir()] == ["0002"]


def test_an_older_copy_is_put_aside_and_an_empty_one_is_made(place: Path) -> None:
    make(place, 3)
    with open_generation(place, 4, identifier=NAME) as shard:
        assert (shard.generation, read_value(shard)) == (4, None)
    assert list(copies_beside(place)) == [(3, place.with_name("0002.generation-3"))]
    assert value_at(place.with_name("0002.generation-3")) == (3, b"older")


def test_a_newer_copy_is_refused_and_left_alone(place: Path) -> None:
    make(place, 5)
    with pytest.raises(ShardLostError, match=r"has generation 5, but generation 4 is the current one; .*move it away"):
        open_generation(place, 4, identifier=NAME)
    assert value_at(place) == (5, b"older")


def test_a_copy_that_has_arrived_becomes_current_by_opening_it_alone(place: Path) -> None:
    make(place, 3)
    with Shard.open(place) as shard:
        write_value(shard, b"moved")
        shard.copy_to(place.with_name("0002.generation-4"), 4)
    with open_generation(place, 3, identifier=NAME) as shard:
        assert shard.generation == 3
    with open_generation(place, 4, identifier=NAME) as shard:
        assert (shard.generation, read_value(shard)) == (4, b"moved")
    assert [generation for generation, _ in copies_beside(place)] == [3]


def test_a_generation_that_was_altered_is_damage(place: Path) -> None:
    make(place, 4)
    with Shard.open(place) as shard:
        meta = shard.table("meta")
        shard.write(lambda txn: txn.put(b"generation", b"\x09", db=meta))
    with pytest.raises(ShardDamagedError, match="does not fit its checksum"):
        Shard.open(place)
    with Shard.open(place.with_name("other")) as shard:
        meta = shard.table("meta")
        shard.write(lambda txn: (txn.put(b"generation", b"\x09", db=meta), txn.delete(b"checksum", db=meta)))
    with pytest.raises(ShardDamagedError, match="does not fit its checksum"):
        Shard.open(place.with_name("other"))


def test_a_damaged_shard_is_put_aside_once_and_then_made_anew(place: Path) -> None:
    make(place, 4)
    (place / "data.mdb").write_bytes(b"no shard" * 1000)
    with pytest.raises(ShardLostError, match=r"is no LMDB file.*put aside as 0002\.damaged-1"):
        open_generation(place, 4, identifier=NAME)
    open_generation(place, 4, identifier=NAME).close()
    assert (place.with_name("0002.damaged-1") / "data.mdb").read_bytes().startswith(b"no shard")


def test_a_directory_without_its_data_is_put_aside(place: Path) -> None:
    make(place, 4)
    (place / "data.mdb").unlink()
    with open_generation(place, 4, identifier=NAME) as shard:
        assert (shard.generation, read_value(shard)) == (4, None)


def test_the_shard_of_another_partition_stays_where_it_is(place: Path) -> None:
    make(place, 3)
    with pytest.raises(ShardIdentifierError):
        open_generation(place, 4, identifier="job/1")
    assert value_at(place) == (3, b"older")


def test_a_shard_that_is_open_is_not_moved(place: Path) -> None:
    make(place, 3)
    with open_generation(place, 3, identifier=NAME) as shard:
        with pytest.raises(ShardOwnedError):
            open_generation(place, 4, identifier=NAME)
        write_value(shard, b"goes on")


def test_at_rest_nothing_is_made_or_put_aside(place: Path) -> None:
    with pytest.raises(ShardLostError, match="0002 is gone"):
        open_at_rest(place, 1, identifier=NAME)
    assert not place.parent.exists()
    make(place, 3)
    open_at_rest(place, None, identifier=NAME).close()
    with pytest.raises(ShardLostError, match="has generation 3, and generation 4 is the current one"):
        open_at_rest(place, 4, identifier=NAME)
    assert value_at(place) == (3, b"older")


@pytest.mark.parametrize("has_arrived", [False, True], ids=["made", "arrived"])
def test_a_crash_at_any_step_of_a_change_leaves_both_copies(tmp_path: Path, has_arrived: bool) -> None:
    origin, place = tmp_path / "origin", tmp_path / "world" / "0002"
    make(origin / "0002", 3)
    if has_arrived:
        with Shard.open(origin / "0002") as shard:
            shard.copy_to(origin / "0002.generation-4", 4)
    shutil.copytree(origin, place.parent)
    expected = b"older" if has_arrived else None
    for number in crashes(lambda: open_generation(place, 4, identifier=NAME).close()):
        with open_generation(place, 4, identifier=NAME) as shard:
            assert (shard.generation, read_value(shard)) == (4, expected), number
        assert value_at(place.with_name("0002.generation-3")) == (3, b"older"), number
        shutil.rmtree(place.parent)
        shutil.copytree(origin, place.parent)
    assert number > 3


def test_a_crash_in_the_middle_of_a_copy_leaves_no_copy_or_a_whole_one(tmp_path: Path) -> None:
    target = tmp_path / "copy"
    with open_generation(tmp_path / "0002", 3, identifier=NAME) as shard:
        write_value(shard, b"older")
        for number in crashes(lambda: shard.copy_to(target, 4)):
            assert not (target / "data.mdb").exists() or value_at(target) == (4, b"older"), number
            shutil.rmtree(target, ignore_errors=True)
    assert number > 3

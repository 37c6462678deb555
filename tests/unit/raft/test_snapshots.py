"""The snapshot store: what is sealed is held, and nothing else is shown."""

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from raft.digests import digest_of
from raft.errors import SnapshotStoreError, SnapshotStoreFullError
from raft.snapshots import HeldSnapshot, SnapshotStore

CHUNKS = (b"first", b"second")
DATA = b"".join(CHUNKS)
DIGEST = hashlib.sha256(DATA).digest()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SnapshotStore]:
    with SnapshotStore.open(tmp_path / "snapshots", size_bytes_max=1 << 20) as store:
        yield store


def put(store: SnapshotStore, *, partition: int = 0) -> None:
    for index, chunk in enumerate(CHUNKS):
        store.put_chunk("j", partition, DIGEST, index, chunk)


def test_a_sealed_snapshot_is_held(store: SnapshotStore) -> None:
    put(store)
    assert store.seal("j", 0, DIGEST, len(DATA))
    assert store.read("j", 0, DIGEST) == DATA
    assert list(store.read_chunks("j", 0, DIGEST)) == list(CHUNKS)
    held = HeldSnapshot(job_id="j", partition=0, digest=DIGEST, size_bytes=len(DATA), chunk_count=2)
    assert (store.list(), store.size_bytes()) == ((held,), len(DATA))


@pytest.mark.parametrize("digest", [hashlib.sha256(DATA).digest(), digest_of(DATA)], ids=["of before", "now"])
def test_digests_of_both_kinds_tell_whether_a_snapshot_is_whole(
    store: SnapshotStore, tmp_path: Path, digest: bytes
) -> None:
    store.put_chunk("j", 0, digest, 0, DATA)
    assert store.seal("j", 0, digest, len(DATA))
    assert store.read("j", 0, digest) == DATA
    store.put_chunk("j", 1, digest, 0, DATA[:-1] + b"?")
    assert not store.seal("j", 1, digest, len(DATA))
    (tmp_path / "file").write_bytes(DATA)
    assert store.adopt("j", 2, digest, len(DATA), tmp_path / "file")
    (tmp_path / "torn").write_bytes(DATA[:-1] + b"?")
    assert not store.adopt("j", 3, digest, len(DATA), tmp_path / "torn")
    assert [held.partition for held in store.list()] == [0, 2]


def test_chunks_may_come_in_any_order_and_twice(store: SnapshotStore) -> None:
    for index in (1, 0, 1):
        store.put_chunk("j", 0, DIGEST, index, CHUNKS[index])
    assert store.seal("j", 0, DIGEST, len(DATA))
    assert store.seal("j", 0, DIGEST, len(DATA))


def test_an_unsealed_snapshot_is_not_shown(store: SnapshotStore) -> None:
    put(store)
    assert (store.holds("j", 0, DIGEST), store.list()) == (False, ())
    with pytest.raises(SnapshotStoreError, match="is not stored here"):
        store.read("j", 0, DIGEST)


@pytest.mark.parametrize("index", [0, 1])
def test_a_missing_chunk_is_noticed(store: SnapshotStore, index: int) -> None:
    store.put_chunk("j", 0, DIGEST, index, CHUNKS[index])
    assert not store.seal("j", 0, DIGEST, len(DATA))


def test_altered_bytes_are_not_sealed_and_can_be_sent_again(store: SnapshotStore) -> None:
    store.put_chunk("j", 0, DIGEST, 0, b"First")
    store.put_chunk("j", 0, DIGEST, 1, CHUNKS[1])
    assert not store.seal("j", 0, DIGEST, len(DATA))
    put(store)
    assert store.seal("j", 0, DIGEST, len(DATA))


def test_a_sealed_snapshot_is_not_overwritten(store: SnapshotStore) -> None:
    put(store)
    assert store.seal("j", 0, DIGEST, len(DATA))
    store.put_chunk("j", 0, DIGEST, 0, b"other")
    assert store.read("j", 0, DIGEST) == DATA


def test_forgetting_leaves_the_others(store: SnapshotStore) -> None:
    for partition in (0, 1):
        put(store, partition=partition)
        assert store.seal("j", partition, DIGEST, len(DATA))
    assert store.forget("j", 0, DIGEST)
    assert not store.forget("j", 0, DIGEST)
    assert [held.partition for held in store.list()] == [1]
    assert store.read("j", 1, DIGEST) == DATA


def test_sealing_drops_what_was_begun_of_the_same_partition(store: SnapshotStore) -> None:
    begun = hashlib.sha256(b"onetwo").digest()
    for partition in (0, 1):
        store.put_chunk("j", partition, begun, 0, b"one")
    put(store)
    assert store.seal("j", 0, DIGEST, len(DATA))
    for partition in (0, 1):
        store.put_chunk("j", partition, begun, 1, b"two")
    assert [store.seal("j", partition, begun, 6) for partition in (0, 1)] == [False, True]


def test_opening_keeps_what_is_sealed_and_drops_the_rest(tmp_path: Path) -> None:
    with SnapshotStore.open(tmp_path) as store:
        for partition in (0, 1):
            put(store, partition=partition)
        assert store.seal("j", 0, DIGEST, len(DATA))
    with SnapshotStore.open(tmp_path) as store:
        assert [held.partition for held in store.list()] == [0]
        store.put_chunk("j", 1, DIGEST, 1, CHUNKS[1])
        assert not store.seal("j", 1, DIGEST, len(DATA))


def test_a_full_store_says_so_and_keeps_what_it_has(store: SnapshotStore) -> None:
    put(store)
    assert store.seal("j", 0, DIGEST, len(DATA))
    with pytest.raises(SnapshotStoreFullError, match="free space or raise its limit"):
        store.put_chunk("j", 1, DIGEST, 0, b"x" * (2 << 20))
    assert store.read("j", 0, DIGEST) == DATA


def test_damage_on_disk_is_noticed(tmp_path: Path) -> None:
    with SnapshotStore.open(tmp_path) as store:
        put(store)
        assert store.seal("j", 0, DIGEST, len(DATA))
    with lmdb.open(str(tmp_path)) as env, env.begin(write=True) as txn, txn.cursor() as cursor:
        assert cursor.set_range(b"c")
        cursor.put(bytes(cursor.key()), b"First")
    with SnapshotStore.open(tmp_path) as store, pytest.raises(SnapshotStoreError, match="is damaged"):
        store.read("j", 0, DIGEST)


@pytest.mark.parametrize(
    ("job_id", "digest", "index", "data"),
    [("", DIGEST, 0, b"x"), ("j", b"short", 0, b"x"), ("j", DIGEST, -1, b"x"), ("j", DIGEST, 0, b"")],
)
def test_chunks_out_of_bounds_are_refused(
    store: SnapshotStore, job_id: str, digest: bytes, index: int, data: bytes
) -> None:
    with pytest.raises(SnapshotStoreError):
        store.put_chunk(job_id, 0, digest, index, data)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A file that has been written as a snapshot."""
    path = tmp_path / "made"
    path.write_bytes(DATA)
    return path


def test_a_file_is_adopted_and_stays_when_its_maker_removes_it(store: SnapshotStore, made: Path) -> None:
    assert store.adopt("j", 0, DIGEST, len(DATA), made)
    made.unlink()
    assert store.adopt("j", 0, DIGEST, len(DATA), made)
    assert store.read("j", 0, DIGEST) == DATA
    assert [store.read_chunk("j", 0, DIGEST, index) for index in (0, 1)] == [DATA, b""]
    held = HeldSnapshot(job_id="j", partition=0, digest=DIGEST, size_bytes=len(DATA), chunk_count=1)
    assert store.list() == (held,)
    store.validate()


def test_a_file_of_another_disk_is_copied(store: SnapshotStore, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refuse)
    assert store.adopt("j", 0, DIGEST, len(DATA), made)
    assert store.read("j", 0, DIGEST) == DATA


@pytest.mark.parametrize(("digest", "size_bytes"), [(bytes(32), len(DATA)), (DIGEST, len(DATA) + 1)])
def test_a_file_that_is_not_the_snapshot_is_not_adopted(
    tmp_path: Path, store: SnapshotStore, made: Path, digest: bytes, size_bytes: int
) -> None:
    assert not store.adopt("j", 0, digest, size_bytes, made)
    assert (store.list(), [*tmp_path.glob("snapshots/files/*")], made.exists()) == ((), [], True)


def test_a_file_that_cannot_be_adopted_is_an_error(store: SnapshotStore, made: Path, tmp_path: Path) -> None:
    with pytest.raises(SnapshotStoreError, match="cannot be taken"):
        store.adopt("j", 0, DIGEST, len(DATA), tmp_path / "missing")
    with pytest.raises(SnapshotStoreFullError):
        store.adopt("j", 0, DIGEST, 2 << 20, made)


def test_an_adopted_file_goes_when_it_is_forgotten_or_was_never_sealed(tmp_path: Path, made: Path) -> None:
    files = tmp_path / "snapshots" / "files"
    with SnapshotStore.open(tmp_path / "snapshots") as store:
        for partition in (0, 1):
            assert store.adopt("j", partition, DIGEST, len(DATA), made)
        assert store.forget("j", 0, DIGEST)
        assert len([*files.iterdir()]) == 1
        (files / "draft-1").write_bytes(b"x")
    with SnapshotStore.open(tmp_path / "snapshots") as store:
        assert [path.read_bytes() for path in files.iterdir()] == [DATA]
        assert store.read("j", 1, DIGEST) == DATA


def test_damage_of_an_adopted_file_is_noticed(store: SnapshotStore, made: Path, tmp_path: Path) -> None:
    assert store.adopt("j", 0, DIGEST, len(DATA), made)
    (file,) = tmp_path.glob("snapshots/files/*")
    file.write_bytes(b"other")
    with pytest.raises(SnapshotStoreError, match="is damaged"):
        store.read("j", 0, DIGEST)
    file.unlink()
    with pytest.raises(SnapshotStoreError, match="cannot be read"):
        store.read("j", 0, DIGEST)

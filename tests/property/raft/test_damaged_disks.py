"""Journals and snapshot stores that hold anything at all open soundly or fail by an error of ours."""

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import lmdb
import msgpack
import pytest

from raft.errors import JournalDamagedError, JournalError, SnapshotStoreError
from raft.journal import Dump, Journal
from raft.snapshots import SnapshotStore
from tests.support.hostile_frames import ODD_FRAMES, ODD_VALUES

VOTERS = (("a", "127.0.0.1:1", "id-a"),)
META_KEYS = (b"format", b"identity", b"voters", b"vote", b"dump")


def real_journal(directory: Path) -> None:
    """Write a journal with a dump and entries after it."""
    journal = Journal.open(directory, durable=False)
    journal.form(VOTERS)
    for index in range(2, 8):
        journal.add(b"\x00c%d" % index, index, 1 + index // 5)
    journal.compact(Dump(index=4, term=1, state=b"state", voters=VOTERS))
    journal.setCurrentTerm(3, "a/i")
    journal.setRaftCommitIndex(5)
    journal.sync()
    journal.close()


def change(directory: Path, changing: Callable[[dict[bytes, bytes]], None], *, prefix_bytes: int) -> None:
    """Change what is stored, and let the check sums be right."""
    with lmdb.open(str(directory)) as env, env.begin(write=True) as txn:
        stored = {bytes(key): bytes(value)[prefix_bytes:] for key, value in txn.cursor()}
        changed = dict(stored)
        changing(changed)
        for key in stored.keys() - changed.keys():
            txn.delete(key)
        for key, value in changed.items():
            checked = struct.pack(">I", zlib.crc32(value)) + value if prefix_bytes else value
            txn.put(key, checked)


def damage(dice: random.Random) -> Callable[[dict[bytes, bytes]], None]:
    """Return a way to change one thing."""

    def changing(stored: dict[bytes, bytes]) -> None:
        key = dice.choice(list(stored))
        match dice.randrange(5):
            case 0:
                del stored[key]
            case 1:
                stored[dice.choice(META_KEYS)] = dice.choice(ODD_FRAMES)
            case 2:
                stored[dice.choice(META_KEYS)] = bytes(msgpack.packb(dice.choice(ODD_VALUES)))
            case 3:
                stored[b"e" + dice.randbytes(dice.choice((0, 3, 8, 9)))] = dice.randbytes(dice.randrange(12))
            case _:
                value = bytearray(stored[key] or b"x")
                value[dice.randrange(len(value))] = dice.randrange(256)
                stored[key] = bytes(value)

    return changing


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_journal_opens_soundly_or_says_that_it_is_damaged(seed: int, tmp_path: Path) -> None:
    real_journal(tmp_path)
    change(tmp_path, damage(random.Random(seed)), prefix_bytes=4)
    try:
        journal = Journal.open(tmp_path, durable=False)
    except JournalError:
        return
    journal.validate()
    journal.close()


def test_terms_out_of_order_are_damage(tmp_path: Path) -> None:
    real_journal(tmp_path)
    change(tmp_path, lambda stored: stored.update({b"e" + struct.pack(">Q", 7): bytes(8)}), prefix_bytes=4)
    with pytest.raises(JournalDamagedError, match="terms are not in order"):
        Journal.open(tmp_path, durable=False)


@pytest.mark.parametrize("changed", [b"", b"\0", bytes(11), bytes(13)])
def test_a_damaged_seal_is_an_error_of_ours(changed: bytes, tmp_path: Path) -> None:
    digest = bytes.fromhex("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")
    with SnapshotStore.open(tmp_path) as store:
        store.put_chunk("j", 0, digest, 0, b"x")
        assert store.seal("j", 0, digest, 1)
    change(tmp_path, lambda stored: stored.update({key: changed for key in stored if key[:1] == b"s"}), prefix_bytes=0)
    with SnapshotStore.open(tmp_path) as store:
        for use in (store.list, lambda: store.read("j", 0, digest)):
            with pytest.raises(SnapshotStoreError, match="is damaged"):
                use()

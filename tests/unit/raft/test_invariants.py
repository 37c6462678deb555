"""Members, journals and snapshot stores notice when an invariant of theirs is broken."""

import hashlib
from pathlib import Path

import pytest

from raft.snapshots import SnapshotStore
from tests.unit.raft.lone import Lone


def test_a_member_is_sound_in_every_role(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.member.validate()
    lone.append((b"\x00one", 2, 1), after=(1, 0), commit_index=2)
    lone.member.step(0)
    lone.member.validate()
    lone.elect()
    lone.member.validate()
    assert (lone.member.role, lone.member.applied_index) == ("leader", 2)


def test_an_entry_that_was_applied_and_not_committed_is_noticed(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.append((b"\x00one", 2, 1), after=(1, 0), commit_index=1)
    lone.member._raft.applied_index = 2
    with pytest.raises(AssertionError):
        lone.member.validate()


def test_a_count_of_bytes_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.journal.validate()
    lone.journal._size_bytes += 1
    with pytest.raises(AssertionError):
        lone.journal.validate()


def test_a_store_of_snapshots_is_sound(tmp_path: Path) -> None:
    with SnapshotStore.open(tmp_path) as store:
        digest = hashlib.sha256(b"x").digest()
        store.put_chunk("j", 0, digest, 0, b"x")
        store.seal("j", 0, digest, 1)
        store.validate()

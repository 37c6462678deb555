"""The journal: what was synced is there after a crash, what was not is gone, and damage is noticed."""

from pathlib import Path

import lmdb
import pytest

from raft.errors import JournalDamagedError, JournalError
from raft.journal import EMPTY_COMMAND, Dump, Journal

VOTERS = (("a", "h:1", "i"),)
DUMP = Dump(index=3, term=1, state=b"state", voters=VOTERS)


def opened(directory: Path) -> Journal:
    return Journal.open(directory, durable=False)


def with_entries(directory: Path, last: int = 5) -> Journal:
    journal = opened(directory)
    for index in range(2, last + 1):
        journal.add(b"c%d" % index, index, 1)
    return journal


def indices(journal: Journal) -> list[int]:
    return [entry[1] for entry in journal[:]]


def test_a_new_journal_has_the_empty_entry_and_an_identity(tmp_path: Path) -> None:
    journal = opened(tmp_path / "one")
    assert journal[:] == [(EMPTY_COMMAND, 1, 0)]
    assert (journal.voters, journal.getCurrentTerm(), journal.getVotedForNodeId()) == ((), 0, None)
    assert len(journal.identity) == 32
    assert journal.identity != opened(tmp_path / "other").identity


def test_what_was_synced_survives_a_crash(tmp_path: Path) -> None:
    journal = with_entries(tmp_path)
    journal.setCurrentTerm(4, "a/i")
    journal.setRaftCommitIndex(3)
    journal.sync()
    journal.close()
    again = opened(tmp_path)
    assert (again[1], indices(again), again.identity) == ((b"c2", 2, 1), [1, 2, 3, 4, 5], journal.identity)
    assert (again.getCurrentTerm(), again.getVotedForNodeId(), again.getRaftCommitIndex()) == (4, "a/i", 3)


def test_what_was_not_synced_is_gone(tmp_path: Path) -> None:
    journal = with_entries(tmp_path, last=3)
    journal.sync()
    journal.add(b"c4", 4, 1)
    journal.setCurrentTerm(2, "a/i")
    assert journal.needs_sync()
    journal.close()
    again = opened(tmp_path)
    assert (indices(again), again.getCurrentTerm()) == ([1, 2, 3], 0)


def test_the_commit_index_alone_is_not_worth_a_write(tmp_path: Path) -> None:
    journal = with_entries(tmp_path)
    journal.sync()
    journal.setRaftCommitIndex(5)
    assert not journal.needs_sync()


def test_truncated_entries_are_replaced(tmp_path: Path) -> None:
    journal = with_entries(tmp_path)
    journal.sync()
    journal.truncate(3)
    journal.add(b"other", 3, 2)
    journal.sync()
    journal.close()
    assert opened(tmp_path)[:] == [(EMPTY_COMMAND, 1, 0), (b"c2", 2, 1), (b"other", 3, 2)]


def test_a_dump_and_the_log_after_it_change_together(tmp_path: Path) -> None:
    journal = with_entries(tmp_path)
    journal.sync()
    journal.compact(DUMP)
    journal.close()
    before = opened(tmp_path)
    assert (before.dump, indices(before)) == (None, [1, 2, 3, 4, 5])
    before.compact(DUMP)
    before.sync()
    before.close()
    after = opened(tmp_path)
    assert (after.dump, indices(after), after[0]) == (DUMP, [3, 4, 5], (EMPTY_COMMAND, 3, 1))


@pytest.mark.parametrize(("term", "kept"), [(1, [3, 4, 5]), (2, [3])])
def test_an_installed_dump_keeps_what_continues_it(tmp_path: Path, term: int, kept: list[int]) -> None:
    journal = with_entries(tmp_path)
    journal.install(Dump(index=3, term=term, state=b"", voters=VOTERS))
    journal.sync()
    journal.close()
    again = opened(tmp_path)
    assert (indices(again), again.getRaftCommitIndex()) == (kept, 3)


def test_a_dump_from_beyond_the_log_replaces_all_of_it(tmp_path: Path) -> None:
    journal = with_entries(tmp_path)
    journal.install(Dump(index=9, term=3, state=b"", voters=VOTERS))
    journal.add(b"c10", 10, 3)
    journal.sync()
    journal.close()
    assert opened(tmp_path)[:] == [(EMPTY_COMMAND, 9, 3), (b"c10", 10, 3)]


def test_the_bytes_of_the_log_are_counted(tmp_path: Path) -> None:
    journal = with_entries(tmp_path)
    assert journal.size_bytes == 1 + 4 * 2
    journal.truncate(4)
    assert journal.size_bytes == 1 + 2 * 2


def test_a_vote_is_not_changed_within_its_term(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.setCurrentTerm(2, "a/i")
    with pytest.raises(AssertionError):
        journal.setCurrentTerm(2, "b/i")
    with pytest.raises(AssertionError):
        journal.setCurrentTerm(1, None)


def test_a_group_is_formed_once(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.form(VOTERS)
    journal.close()
    again = opened(tmp_path)
    assert again.voters == VOTERS
    with pytest.raises(AssertionError):
        again.form(VOTERS)


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    with pytest.raises(JournalError, match="in use by this process"):
        opened(tmp_path)
    journal.close()
    opened(tmp_path).close()


def test_an_altered_value_is_noticed(tmp_path: Path) -> None:
    with_entries(tmp_path).sync()
    spoil(tmp_path, b"e", b"\0\0\0\0\0\0\0\0\0\0\0\0spoilt")
    with pytest.raises(JournalDamagedError, match="is damaged"):
        opened(tmp_path)


def test_a_missing_entry_is_noticed(tmp_path: Path) -> None:
    with_entries(tmp_path).sync()
    spoil(tmp_path, b"e\0\0\0\0\0\0\0\3", None)
    with pytest.raises(JournalDamagedError, match="the journal has entries"):
        opened(tmp_path)


def test_a_file_that_is_no_journal_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"something else" * 1000)
    with pytest.raises(JournalDamagedError, match="no LMDB file any more"):
        opened(tmp_path)


def spoil(directory: Path, start: bytes, value: bytes | None) -> None:
    """Alter, or delete, the first entry from this key on."""
    copy = directory / "copy"
    copy.mkdir()
    (directory / "data.mdb").rename(copy / "data.mdb")
    with lmdb.open(str(copy)) as env, env.begin(write=True) as txn, txn.cursor() as cursor:
        assert cursor.set_range(start)
        key = bytes(cursor.key())
        if value is None:
            cursor.delete()
        else:
            cursor.put(key, value)
    (copy / "data.mdb").rename(directory / "data.mdb")
    (directory / "owner.lock").unlink()
    (directory / "lock.mdb").unlink()

"""The ways in which PySyncObj loses what it has acknowledged: shown with its own code, and that ours holds."""

import shutil
from pathlib import Path

import pytest

from raft.errors import JournalLostError
from raft.membership import Greeting, Waiting, form, refusal
from tests.unit.raft.lone import Lone, Plain

NOOP = b"\x01"
ENTRIES = tuple((NOOP, index, 1) for index in (2, 3, 4, 5))
COMMANDS = tuple((b"\x00" + f"c{index}".encode(), index, 1) for index in (2, 3, 4, 5))
VOTE_REQUEST = {"type": "request_vote", "term": 2, "last_log_index": 1, "last_log_term": 0}


def greeting(name: str, identity: str, voters: tuple[tuple[str, str, str], ...] = ()) -> Greeting:
    return Greeting(name=name, address=name, identity=identity, voters=voters)


def test_pysyncobj_votes_after_losing_the_journal_it_acknowledged_entries_in(tmp_path: Path) -> None:
    before = Plain(tmp_path / "b")
    before.append(*ENTRIES, after=(1, 0))
    assert before.acknowledged() == 5
    shutil.rmtree(tmp_path / "b")
    after = Plain(tmp_path / "b")
    after.receive("c", **VOTE_REQUEST)
    assert [sent["type"] for sent in after.plain_transport.sent] == ["response_vote"]


def test_our_member_refuses_its_vote_for_a_log_that_is_behind(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.append(*ENTRIES, after=(1, 0))
    lone.forget_leader()
    lone.receive("c", **VOTE_REQUEST)
    assert lone.transport.take("response_vote") == []


def test_a_member_whose_directory_vanishes_under_it_neither_votes_nor_acknowledges(tmp_path: Path) -> None:
    lone = Lone(tmp_path / "b")
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(JournalLostError, match="is gone"):
        lone.receive("c", **VOTE_REQUEST)
    with pytest.raises(JournalLostError, match="is gone"):
        lone.append(*ENTRIES, after=(1, 0))
    assert lone.transport.sent == []


def test_a_member_without_messages_notices_that_its_directory_is_gone_within_a_second(tmp_path: Path) -> None:
    lone = Lone(tmp_path / "b")
    shutil.rmtree(tmp_path / "b")
    lone.journal.onOneSecondTimer()
    with pytest.raises(JournalLostError, match="is gone"):
        lone.member.step(0)


def test_a_member_that_has_lost_its_journal_waits_and_is_refused() -> None:
    voters = (("a", "a", "1"), ("b", "b", "2"), ("c", "c", "3"))
    returned, peer = greeting("b", "other"), greeting("c", "3", voters)
    configured = {"a": "a", "b": "b", "c": "c"}
    assert form(returned, configured, {"c": peer, "a": greeting("a", "1")}) is Waiting.FOR_ADMISSION
    assert refusal(peer, returned) == "'b' has lost its directory; expel its former self, then admit it"


def test_pysyncobj_drops_acknowledged_entries_when_killed_between_dump_and_compaction(tmp_path: Path) -> None:
    before = Plain(tmp_path / "b")
    before.append(*ENTRIES, after=(1, 0), commit_index=3)
    before.forceLogCompaction()
    before.doTick()
    assert before.acknowledged() == 5
    after = Plain(tmp_path / "b")
    after.doTick()
    assert after.indices() == [2, 3]


def test_our_member_keeps_entries_after_the_dump_wherever_it_is_killed(tmp_path: Path) -> None:
    before = Lone(tmp_path, log_entry_count_max=2)
    before.append(*COMMANDS, after=(1, 0), commit_index=3)
    before.member._SyncObj__applyLogEntries()
    before.member._SyncObj__tryLogCompaction()
    assert before.journal.dump is not None
    before.crash()
    unsynced = Lone(tmp_path, log_entry_count_max=2)
    assert unsynced.indices() == [1, 2, 3, 4, 5]
    unsynced.member.step(0)
    unsynced.crash()
    synced = Lone(tmp_path, log_entry_count_max=2)
    assert (synced.indices(), synced.machine.commands) == ([3, 4, 5], [b"c2", b"c3"])


def test_pysyncobj_cuts_acknowledged_entries_when_a_window_is_sent_again(tmp_path: Path) -> None:
    plain = Plain(tmp_path / "b")
    plain.append(*ENTRIES, after=(1, 0))
    assert plain.acknowledged() == 5
    plain.append(*ENTRIES[:2], after=(1, 0))
    assert plain.indices() == [1, 2, 3]


def test_our_member_keeps_entries_that_do_not_conflict(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.append(*ENTRIES, after=(1, 0))
    assert lone.matched() == 5
    lone.append(*ENTRIES[:2], after=(1, 0))
    assert (lone.indices(), lone.matched()) == ([1, 2, 3, 4, 5], 3)


def test_pysyncobj_counts_an_acknowledgement_from_another_term(tmp_path: Path) -> None:
    plain = Plain(tmp_path / "b")
    plain._SyncObj__raftElectionDeadline = 0
    plain.doTick()
    plain.receive("a", type="response_vote", term=1)
    # Sent in a former term, when entry 2 was another one.
    plain.receive("a", type="next_node_idx", next_node_idx=3, reset=False, success=True)
    plain.doTick()
    assert plain.raftCommitIndex == 2


def test_our_leader_drops_an_acknowledgement_from_another_term(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.elect()
    lone.receive("a", type="next_node_idx", term=0, next_node_idx=3, success=True, at_s=0.0)
    lone.member.step(0)
    assert lone.member.raftCommitIndex == 1
    lone.receive("a", type="next_node_idx", term=1, next_node_idx=3, success=True, at_s=0.0)
    lone.member.step(0)
    assert lone.member.raftCommitIndex == 2


def test_pysyncobj_counts_one_vote_twice(tmp_path: Path) -> None:
    plain = Plain(tmp_path / "b", names="abcde")
    plain._SyncObj__raftElectionDeadline = 0
    plain.doTick()
    for _ in range(2):
        plain.receive("a", type="response_vote", term=1)
    assert plain._isLeader()


def test_our_candidate_counts_each_voter_once(tmp_path: Path) -> None:
    lone = Lone(tmp_path, names="abcde")
    lone.elect()
    lone.receive("a", type="response_vote", term=1)
    assert lone.member.role == "candidate"
    lone.receive("c", type="response_vote", term=1)
    assert lone.member.role == "leader"

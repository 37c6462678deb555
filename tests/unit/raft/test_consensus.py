"""Rules of consensus that PySyncObj lacks or breaks, with made-up messages."""

from pathlib import Path

import pytest
from pysyncobj import FAIL_REASON

from raft.commands import LeaderElected, MemberAdded, MemberRemoved, decode_command
from raft.consensus import FOLLOWER
from raft.errors import JournalFullError, MemberFailedError
from raft.membership import encode_change
from raft.pysyncobj_seam import now_s
from tests.unit.raft.lone import Lone

OLD = tuple((b"\x00old%d" % index, index, 1) for index in (2, 3, 4))
VOTE = {"type": "request_vote", "last_log_index": 9, "last_log_term": 9}


def test_conflicting_entries_are_replaced_from_the_conflict_on(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.append(*OLD, after=(1, 0))
    new = ((b"\x00old2", 2, 1), (b"\x00new3", 3, 2))
    lone.append(*new, after=(1, 0), term=2)
    assert lone.journal[1:] == list(new)


def test_the_commit_index_does_not_cover_what_was_not_compared(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.append(*OLD, after=(1, 0))
    lone.append(after=(2, 1), term=2, commit_index=4)
    assert (lone.member.raftCommitIndex, lone.matched()) == (2, 2)


def test_a_committed_entry_is_never_replaced(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.append(*OLD, after=(1, 0), commit_index=3)
    with pytest.raises(MemberFailedError, match="would replace entry 3, committed up to 3"):
        lone.append((b"\x00new3", 3, 2), after=(2, 1), term=2)


def test_entries_that_do_not_connect_are_asked_for_from_the_commit_index_on(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.append(*OLD, after=(1, 0), commit_index=2)
    lone.transport.sent.clear()
    lone.append((b"\x00", 8, 2), after=(7, 2), term=2)
    answer = lone.transport.take("next_node_idx")[0]
    assert (answer["success"], answer["next_node_idx"], answer["term"]) == (False, 3, 2)


def test_a_leader_of_an_older_term_learns_of_the_newer_one(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.append(after=(1, 0), term=5)
    lone.transport.sent.clear()
    lone.append(*OLD, after=(1, 0), term=4)
    answer = lone.transport.take("next_node_idx")[0]
    assert (answer["success"], answer["term"], lone.indices()) == (False, 5, [1])


def test_a_leader_that_learns_of_a_newer_term_follows(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.elect()
    assert lone.member.leads_term(1)
    lone.receive("a", type="next_node_idx", term=7, next_node_idx=1, success=False, at_s=0.0)
    assert (lone.member.role, lone.member.raftCurrentTerm) == ("follower", 7)


def test_a_vote_is_kept_through_a_restart(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.receive("a", **VOTE, term=3)
    assert len(lone.transport.take("response_vote")) == 1
    lone.crash()
    again = Lone(tmp_path)
    again.receive("c", **VOTE, term=3)
    assert again.transport.take("response_vote") == []
    again.receive("a", **VOTE, term=3)
    assert len(again.transport.take("response_vote")) == 1


def test_nobody_is_voted_for_while_a_leader_is_heard(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.append(after=(1, 0), term=2)
    lone.receive("c", **VOTE, term=3)
    assert (lone.transport.take("response_vote"), lone.member.raftCurrentTerm) == ([], 2)
    lone.forget_leader()
    lone.receive("c", **VOTE, term=3)
    assert len(lone.transport.take("response_vote")) == 1


def test_nothing_leaves_while_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lone = Lone(tmp_path)

    def full() -> None:
        raise JournalFullError("the disk is full")

    monkeypatch.setattr(lone.journal, "_write", full)
    lone.append(*OLD, after=(1, 0))
    lone.member.step(0)
    assert (lone.transport.sent, lone.member.problem) == ([], "the disk is full")
    monkeypatch.undo()
    lone.append(*OLD, after=(1, 0))
    assert (lone.matched(), lone.member.problem) == (4, "")


def test_a_leader_begins_with_its_own_election(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.elect()
    elected = decode_command(lone.journal[-1][0][1:])
    assert elected == LeaderElected(member_id="b", term=1, members=lone.member.voters)
    assert not lone.journal.needs_sync()


def test_nobody_leads_whose_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lone = Lone(tmp_path, names="b")
    room = [1]

    def room_for_one_write() -> None:
        if not room:
            raise JournalFullError("the disk is full")
        room.pop()

    lone.journal.add(b"\x01", 2, 0)
    monkeypatch.setattr(lone.journal, "_write", room_for_one_write)
    monkeypatch.setattr(lone.journal, "needs_sync", lambda: True)
    lone.time_out()
    assert (lone.member.role, lone.member.raftCommitIndex, lone.machine.commands) == ("follower", 1, [])
    monkeypatch.undo()
    lone.time_out()
    lone.member.step(0)
    assert (lone.member.role, lone.member.raftCommitIndex) == ("leader", 4)


def test_a_lease_counts_from_the_question(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.elect()
    assert (lone.member.leads, lone.member.leads_alone) == (True, False)
    lone.receive("a", type="next_node_idx", term=1, next_node_idx=3, success=True, at_s=now_s())
    lone.member.step(0)
    assert lone.member.leads_alone
    for node in lone.member.otherNodes:
        lone.member._SyncObj__lastResponseTime[node] = 0.0
    lone.receive("a", type="next_node_idx", term=1, next_node_idx=3, success=True, at_s=0.0)
    assert not lone.member.leads


def test_a_dump_replaces_a_log_that_is_behind(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.append(*OLD, after=(1, 0))
    dump = (9, 2, b"x,y", lone.member.voters)
    lone.receive("a", type="append_entries", term=2, commit_index=9, dump=dump, at_s=0.0)
    assert (lone.indices(), lone.machine.commands, lone.matched()) == ([9], [b"x", b"y"], 9)


def test_a_dump_from_before_the_commit_index_changes_nothing(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.append(*OLD, after=(1, 0), commit_index=4)
    lone.receive("a", type="append_entries", term=1, commit_index=4, dump=(3, 1, b"x", ()), at_s=0.0)
    assert (lone.indices(), lone.machine.commands, lone.matched()) == ([1, 2, 3, 4], [], 3)


def test_entries_that_the_dump_covers_are_skipped(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.receive("a", type="append_entries", term=1, commit_index=3, dump=(3, 1, b"x", lone.member.voters), at_s=0.0)
    lone.append(*OLD, after=(1, 0))
    assert (lone.indices(), lone.matched()) == ([3, 4], 4)


def test_voters_follow_the_log_before_it_is_committed_and_back(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    added = encode_change(MemberAdded(member_id="d", address="d", identity="id-d"))
    lone.append((added, 2, 1), after=(1, 0))
    assert [voter[0] for voter in lone.member.voters] == ["a", "b", "c", "d"]
    lone.crash()
    again = Lone(tmp_path)
    assert [voter[0] for voter in again.member.voters] == ["a", "b", "c", "d"]
    again.append((b"\x00other", 2, 2), after=(1, 0), term=2)
    assert [voter[0] for voter in again.member.voters] == ["a", "b", "c"]


def test_a_leader_changes_its_voters_only_after_its_election_is_applied_and_one_at_a_time(tmp_path: Path) -> None:
    lone, outcomes = Lone(tmp_path), []
    lone.elect()

    def change(name: str) -> None:
        added = MemberAdded(member_id=name, address=name, identity=name)
        lone.member.submit_change(added, lambda _, reason: outcomes.append((name, reason)))
        lone.member.step(0)

    change("d")
    lone.receive("a", type="next_node_idx", term=1, next_node_idx=3, success=True, at_s=0.0)
    lone.member.step(0)
    change("e")
    change("f")
    assert outcomes == [("d", FAIL_REASON.REQUEST_DENIED), ("f", FAIL_REASON.REQUEST_DENIED)]
    assert [voter[0] for voter in lone.member.voters] == ["a", "b", "c", "e"]


def test_a_leader_does_not_expel_itself(tmp_path: Path) -> None:
    lone, reasons = Lone(tmp_path), []
    lone.elect()
    lone.receive("a", type="next_node_idx", term=1, next_node_idx=3, success=True, at_s=0.0)
    lone.member.step(0)
    itself = MemberRemoved(member_id="b", identity=lone.journal.identity)
    lone.member.submit_change(itself, lambda _, reason: reasons.append(reason))
    lone.member.step(0)
    assert reasons == [FAIL_REASON.REQUEST_DENIED]


def test_a_member_that_is_no_voter_does_not_stand_for_election(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    removed = encode_change(MemberRemoved(member_id="b", identity=lone.journal.identity))
    lone.append((removed, 2, 1), after=(1, 0))
    lone.time_out()
    assert (lone.member._SyncObj__raftState, lone.member.is_voter) == (FOLLOWER, False)


def test_messages_of_strangers_are_not_read(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.receive("x", **VOTE, term=3)
    assert (lone.transport.sent, lone.member.raftCurrentTerm) == ([], 0)


def test_a_late_response_is_not_taken_for_the_answer_to_another_command(tmp_path: Path) -> None:
    before, answers = Lone(tmp_path), []
    before.append(after=(1, 0))
    before.member.submit(b"one", lambda *answer: answers.append(answer))
    before.member.step(0)
    number = before.transport.take("apply_command")[0]["request_id"]
    before.crash()
    after = Lone(tmp_path, seed=2)
    after.append(after=(1, 0))
    after.member.submit(b"two", lambda *answer: answers.append(answer))
    after.member.step(0)
    after.receive("a", type="apply_command_response", request_id=number, log_idx=2, log_term=1)
    after.append((b"\x00one", 2, 1), after=(1, 0), commit_index=2)
    after.member.step(0)
    assert (after.machine.commands, answers) == ([b"one"], [])


def test_an_entry_of_a_later_version_stops_the_member(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.append((b"\x07new", 2, 1), after=(1, 0), commit_index=2)
    with pytest.raises(MemberFailedError, match="is unknown; update this member"):
        lone.member.step(0)

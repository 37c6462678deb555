"""Handing leadership over: who is told to stand for election, who does, who votes, and what if nobody can."""

from pathlib import Path
from typing import Any

import pytest

from raft.commands import ScaleRequested, encode_command
from raft.pysyncobj_seam import now_s
from tests.unit.raft.lone import Lone

COMMAND = encode_command(ScaleRequested(request_id="r", job_id="j", host_count=1))


def leading(directory: Path) -> Lone:
    """Return a member that leads term 1 with entries 1 and 2, and what it has sent is forgotten."""
    lone = Lone(directory)
    lone.elect()
    lone.member.step(0)
    lone.transport.sent.clear()
    return lone


def acknowledge(lone: Lone, name: str, index: int) -> None:
    lone.receive(name, type="next_node_idx", term=1, next_node_idx=index + 1, success=True, at_s=now_s())


def following(directory: Path) -> Lone:
    """Return a member that follows `a` in term 1 with entries 1 and 2."""
    lone = Lone(directory)
    lone.append((b"\x00x", 2, 1), after=(1, 0))
    lone.transport.sent.clear()
    return lone


def timeout_now(**changed: Any) -> dict[str, Any]:
    return {"type": "timeout_now", "term": 1, "last_log_index": 2, "last_log_term": 1, **changed}


def test_the_first_follower_with_a_whole_log_is_told(tmp_path: Path) -> None:
    lone = leading(tmp_path)
    lone.member.hand_over(10)
    lone.member.step(0)
    assert lone.transport.take("timeout_now") == []
    acknowledge(lone, "c", 2)
    lone.member.step(0)
    assert [name for name, message in lone.transport.sent if message["type"] == "timeout_now"] == ["c"]
    assert lone.transport.take("timeout_now") == [timeout_now()]
    lone.member.step(0)
    assert lone.transport.take("timeout_now") == []


def test_a_preferred_follower_is_told_although_another_answered_last(tmp_path: Path) -> None:
    lone = leading(tmp_path)
    acknowledge(lone, "c", 2)
    acknowledge(lone, "a", 2)
    lone.member.hand_over(10, frozenset("c"))
    lone.member.step(0)
    assert [name for name, message in lone.transport.sent if message["type"] == "timeout_now"] == ["c"]


def test_commands_wait_until_another_leads(tmp_path: Path) -> None:
    lone = leading(tmp_path)
    acknowledge(lone, "c", 2)
    lone.member.hand_over(10)
    lone.member.step(0)
    lone.member.submit(COMMAND, lambda *_: None)
    lone.member.step(0)
    assert lone.journal.last_index == 2
    lone.append(after=(2, 1), term=2)
    lone.member.step(0)
    assert [message["command"][1:] for message in lone.transport.take("apply_command")] == [COMMAND]


def test_a_leader_that_nobody_replaces_leads_on(tmp_path: Path) -> None:
    lone = leading(tmp_path)
    lone.member.hand_over(0)
    lone.member.submit(COMMAND, lambda *_: None)
    lone.member.step(0)
    lone.member.step(0)
    assert (lone.member.role, lone.journal.last_index) == ("leader", 3)


def test_a_leader_does_not_say_that_it_leads_alone_while_its_word_may_still_arrive(tmp_path: Path) -> None:
    lone = leading(tmp_path)
    acknowledge(lone, "c", 2)
    lone.member.step(0)
    assert lone.member.leads_alone
    lone.member.hand_over(10)
    lone.member.step(0)
    assert (lone.member.leads, lone.member.leads_alone) == (True, False)
    lone.member._handing._until_s = 0.0
    lone.member.step(0)
    assert (lone.journal.last_index, lone.member.leads_alone) == (3, False)
    acknowledge(lone, "c", 3)
    lone.member.step(0)
    assert lone.member.leads_alone


def test_who_is_told_stands_for_election_at_once(tmp_path: Path) -> None:
    lone = following(tmp_path)
    lone.receive("a", **timeout_now())
    assert (lone.member.role, lone.member.raftCurrentTerm) == ("candidate", 2)
    requests = lone.transport.take("request_vote")
    assert [(request["term"], request["is_handed_over"]) for request in requests] == [(2, True)] * 2
    lone.receive("c", type="response_vote", term=2)
    assert lone.member.role == "leader"


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("c", {}),
        ("a", {"term": 2}),
        ("a", {"term": 0}),
        ("a", {"last_log_index": 1, "last_log_term": 0}),
        ("a", {"last_log_index": 3}),
        ("a", {"last_log_term": 0}),
    ],
)
def test_a_word_that_is_late_or_not_the_leaders_changes_nothing(
    name: str, changed: dict[str, int], tmp_path: Path
) -> None:
    lone = following(tmp_path)
    lone.receive(name, **timeout_now(**changed))
    assert (lone.member.role, lone.member.raftCurrentTerm) == ("follower", 1)
    assert lone.transport.take("request_vote") == []


@pytest.mark.parametrize("is_handed_over", [True, False])
def test_a_voter_that_hears_its_leader_votes_for_whom_that_has_told_only(is_handed_over: bool, tmp_path: Path) -> None:
    lone = following(tmp_path)
    request = {"type": "request_vote", "term": 2, "last_log_index": 2, "last_log_term": 1}
    lone.receive("c", **request, is_handed_over=is_handed_over)
    assert len(lone.transport.take("response_vote")) == is_handed_over


def test_a_voter_refuses_whom_the_leader_has_told_when_its_log_is_newer(tmp_path: Path) -> None:
    lone = following(tmp_path)
    request = {"type": "request_vote", "term": 2, "last_log_index": 1, "last_log_term": 0}
    lone.receive("c", **request, is_handed_over=True)
    assert lone.transport.take("response_vote") == []


def test_a_leader_that_is_replaced_follows(tmp_path: Path) -> None:
    lone = leading(tmp_path)
    acknowledge(lone, "c", 2)
    lone.member.hand_over(10)
    lone.member.step(0)
    request = {"type": "request_vote", "term": 2, "last_log_index": 2, "last_log_term": 1}
    lone.receive("c", **request, is_handed_over=True)
    lone.member.step(0)
    assert (lone.member.role, len(lone.transport.take("response_vote"))) == ("follower", 1)
    assert not lone.member._handing.is_going_on

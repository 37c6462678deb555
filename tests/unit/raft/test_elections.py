"""Pre-vote: who asks before it stands for election, who consents, and what of members that cannot be asked."""

from pathlib import Path
from typing import Any

import pytest

from raft.pysyncobj_seam import now_s
from raft.transport import node_of
from tests.unit.raft.lone import Lone

QUESTION = {"type": "request_pre_vote", "term": 2, "last_log_index": 2, "last_log_term": 1}
CONSENT = {"type": "response_pre_vote", "term": 2, "consents": True}


def following(directory: Path, *, names: str = "abc") -> Lone:
    """Return a member that follows `a` in term 1 with entries 1 and 2."""
    lone = Lone(directory, names=names)
    lone.append((b"\x00x", 2, 1), after=(1, 0))
    lone.transport.sent.clear()
    return lone


def answers(lone: Lone, **changed: Any) -> list[Any]:
    """Return what the member answers to `c`, which asks for consent."""
    lone.receive("c", **{**QUESTION, **changed})
    return lone.transport.take("response_pre_vote")


def test_who_hears_no_leader_asks_first_and_begins_no_term(tmp_path: Path) -> None:
    lone = following(tmp_path)
    for _ in range(5):
        lone.time_out()
    assert (lone.member.role, lone.member.raftCurrentTerm, lone.member.leader_name) == ("follower", 1, None)
    assert lone.transport.take("request_pre_vote") == [QUESTION] * 10
    assert lone.transport.sent == []


def test_with_the_consent_of_a_majority_it_stands_for_election(tmp_path: Path) -> None:
    lone = following(tmp_path, names="abcde")
    lone.time_out()
    lone.receive("a", **CONSENT)
    lone.receive("a", **CONSENT)
    assert lone.member.role == "follower"
    lone.receive("c", **CONSENT)
    assert (lone.member.role, lone.member.raftCurrentTerm) == ("candidate", 2)
    assert len(lone.transport.take("request_vote")) == 4


@pytest.mark.parametrize("changed", [{"term": 1}, {"term": 3}, {"consents": False, "term": 1}])
def test_only_consent_to_the_term_that_was_asked_for_counts(changed: dict[str, Any], tmp_path: Path) -> None:
    lone = following(tmp_path)
    lone.time_out()
    lone.receive("c", **{**CONSENT, **changed})
    assert (lone.member.role, lone.member.raftCurrentTerm) == ("follower", 1)


def test_consent_counts_no_longer_once_a_leader_is_heard(tmp_path: Path) -> None:
    lone = following(tmp_path)
    lone.time_out()
    lone.append(after=(2, 1))
    lone.receive("c", **CONSENT)
    assert (lone.member.role, lone.member.raftCurrentTerm, lone.member.leader_name) == ("follower", 1, "a")


def test_who_hears_a_leader_does_not_answer(tmp_path: Path) -> None:
    lone = following(tmp_path)
    assert answers(lone) == []
    lone.forget_leader()
    assert answers(lone) == [CONSENT]


def test_a_leader_that_a_majority_hears_does_not_answer(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.elect()
    assert answers(lone, last_log_index=9) == []
    for node in lone.member.otherNodes:
        lone.member._SyncObj__lastResponseTime[node] = now_s() - 0.6
    assert answers(lone, last_log_index=9) == [CONSENT]


@pytest.mark.parametrize(
    "changed", [{"last_log_index": 1}, {"last_log_index": 9, "last_log_term": 0}, {"term": 1}, {"term": 0}]
)
def test_whom_one_would_not_elect_learns_of_the_term(changed: dict[str, int], tmp_path: Path) -> None:
    lone = following(tmp_path)
    lone.forget_leader()
    lone.member.set_term(1, "a")
    assert answers(lone, **changed) == [{**CONSENT, "term": 1, "consents": False}]


def test_consent_is_no_vote(tmp_path: Path) -> None:
    lone = following(tmp_path)
    lone.forget_leader()
    due_s = lone.member._elections.due_s
    assert answers(lone) == [CONSENT]
    lone.receive("a", **QUESTION)
    assert lone.transport.take("response_pre_vote") == [CONSENT]
    assert (lone.member.raftCurrentTerm, lone.member._elections.due_s) == (1, due_s)


def test_who_is_refused_follows_a_newer_term(tmp_path: Path) -> None:
    lone = following(tmp_path)
    lone.time_out()
    lone.receive("c", **{**CONSENT, "term": 8, "consents": False})
    assert (lone.member.role, lone.member.raftCurrentTerm) == ("follower", 8)
    lone.transport.sent.clear()
    lone.time_out()
    assert [request["term"] for request in lone.transport.take("request_pre_vote")] == [9, 9]


def test_members_that_cannot_be_asked_are_not_asked_and_keep_nobody_out(tmp_path: Path) -> None:
    lone = following(tmp_path)
    lone.transport.older_names = "c"
    lone.time_out()
    assert (lone.member.role, lone.member.raftCurrentTerm) == ("candidate", 2)
    assert {name for name, message in lone.transport.sent if message["type"] == "request_pre_vote"} == {"a"}
    assert len(lone.transport.take("request_vote")) == 2


def test_members_that_cannot_be_asked_count_only_while_they_are_connected(tmp_path: Path) -> None:
    lone = following(tmp_path)
    lone.transport.older_names = "ac"
    for node in lone.member.otherNodes:
        lone.transport._onNodeDisconnected(node)
    lone.time_out()
    assert (lone.member.role, lone.member.raftCurrentTerm) == ("follower", 1)


def test_a_leader_that_gives_up_asks_like_everybody(tmp_path: Path) -> None:
    lone = Lone(tmp_path)
    lone.elect()
    for node in lone.member.otherNodes:
        lone.member._SyncObj__lastResponseTime[node] = 0.0
    lone.member.step(0)
    assert (lone.member.role, lone.member.leader_name) == ("follower", None)
    lone.transport.sent.clear()
    lone.member.step(0)
    assert (lone.transport.sent, lone.member.raftCurrentTerm) == ([], 1)
    lone.time_out()
    assert lone.member.raftCurrentTerm == 1
    assert len(lone.transport.take("request_pre_vote")) == 2


def end(lone: Lone, name: str, since_s: float) -> None:
    """Let the member learn that nobody listens where another did."""
    lone.transport.on_ended(node_of(name, name, f"id-{name}"), since_s)


def wait_s(lone: Lone) -> float:
    """Return in how many seconds the member looks for a new leader."""
    return lone.member._elections.due_s - now_s()


def test_who_knows_that_the_leaders_process_has_ended_asks_at_once_and_consents(tmp_path: Path) -> None:
    lone = following(tmp_path)
    end(lone, "a", now_s())
    assert lone.member.leader_name is None
    assert wait_s(lone) <= 0.2
    assert answers(lone) == [CONSENT]
    # Whom it has consented to is to have the time to be elected.
    assert wait_s(lone) > 0.4


def test_who_asked_in_vain_after_a_leaders_end_asks_again_soon(tmp_path: Path) -> None:
    lone = following(tmp_path)
    end(lone, "a", now_s())
    lone.time_out()
    assert lone.transport.take("request_pre_vote") == [QUESTION] * 2
    assert wait_s(lone) <= 0.2


def test_the_end_of_another_member_or_of_a_former_process_of_the_leader_changes_nothing(tmp_path: Path) -> None:
    lone = following(tmp_path)
    end(lone, "c", now_s())
    end(lone, "a", lone.member._elections._heard_at_s)
    assert (lone.member.leader_name, answers(lone)) == ("a", [])
    assert wait_s(lone) > 0.4


def test_who_is_reluctant_lets_others_ask_first(tmp_path: Path) -> None:
    lone = following(tmp_path)
    lone.member.be_reluctant(is_reluctant=True)
    lone.append(after=(2, 1))
    assert wait_s(lone) > 1.4
    end(lone, "a", now_s())
    assert 0.4 < wait_s(lone) < 0.8
    lone.member.be_reluctant(is_reluctant=False)
    lone.append(after=(2, 1))
    assert wait_s(lone) <= 1.0

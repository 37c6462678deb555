"""Who votes: how a group is formed, who is refused, and what changes do."""

from raft.commands import MemberAdded, MemberRemoved
from raft.membership import (
    Greeting,
    Voters,
    Waiting,
    changed_voters,
    decode_change,
    encode_change,
    form,
    refusal,
)

CONFIGURED = {"a": "h:1", "b": "h:2", "c": "h:3"}
VOTERS: Voters = (("a", "h:1", "1"), ("b", "h:2", "2"), ("c", "h:3", "3"))


def greeting(name: str, identity: str, voters: Voters = (), *, address: str = "") -> Greeting:
    return Greeting(name=name, address=address or CONFIGURED.get(name, "h:9"), identity=identity, voters=voters)


def heard(*greetings: Greeting) -> dict[str, Greeting]:
    return {greeting.name: greeting for greeting in greetings}


def test_a_group_is_formed_when_all_have_been_heard() -> None:
    own = greeting("b", "2")
    assert form(own, CONFIGURED, heard(greeting("a", "1"))) is Waiting.FOR_MEMBERS
    assert form(own, CONFIGURED, heard(greeting("a", "1"), greeting("c", "3"))) == VOTERS


def test_a_member_at_another_address_has_not_been_heard() -> None:
    moved = greeting("a", "1", address="h:7")
    assert form(greeting("b", "2"), CONFIGURED, heard(moved, greeting("c", "3"))) is Waiting.FOR_MEMBERS


def test_one_formed_member_is_enough_for_its_voters() -> None:
    assert form(greeting("b", "2"), CONFIGURED, heard(greeting("a", "1", VOTERS))) == VOTERS


def test_a_formed_member_counts_more_than_what_else_was_heard() -> None:
    others = heard(greeting("a", "1", VOTERS), greeting("c", "other"))
    assert form(greeting("b", "2"), CONFIGURED, others) == VOTERS


def test_a_member_the_group_does_not_know_waits_for_admission() -> None:
    others = heard(greeting("a", "1", VOTERS), greeting("c", "3"))
    assert form(greeting("b", "other"), CONFIGURED, others) is Waiting.FOR_ADMISSION


def test_a_group_of_one_forms_itself() -> None:
    assert form(greeting("a", "1"), {"a": "h:1"}, {}) == (("a", "h:1", "1"),)


def test_voters_are_taken_and_others_refused() -> None:
    own = greeting("a", "1", VOTERS)
    assert refusal(own, greeting("b", "2")) is None
    assert refusal(own, greeting("b", "7")) == "'b' has lost its directory; expel its former self, then admit it"
    assert refusal(own, greeting("d", "4")) == "'d' is no voter; admit it"
    assert refusal(own, greeting("b", "2", address="h:7")) == "'b' is at h:7, expected at h:2"


def test_before_it_is_formed_a_member_listens_to_its_whole_group() -> None:
    assert refusal(greeting("a", "1"), greeting("b", "7")) is None


def test_a_change_takes_effect_once() -> None:
    added = MemberAdded(member_id="d", address="h:4", identity="4")
    four = changed_voters(VOTERS, added)
    assert four == (*VOTERS, ("d", "h:4", "4"))
    assert changed_voters(four, added) == four
    removed = MemberRemoved(member_id="d", identity="4")
    assert changed_voters(four, removed) == VOTERS
    assert changed_voters(VOTERS, removed) == VOTERS


def test_a_late_expulsion_does_not_meet_the_next_incarnation() -> None:
    assert changed_voters(VOTERS, MemberRemoved(member_id="a", identity="former")) == VOTERS


def test_a_name_or_address_in_use_is_not_added() -> None:
    assert changed_voters(VOTERS, MemberAdded(member_id="a", address="h:9", identity="9")) == VOTERS
    assert changed_voters(VOTERS, MemberAdded(member_id="d", address="h:1", identity="9")) == VOTERS


def test_a_change_is_told_from_other_entries() -> None:
    removed = MemberRemoved(member_id="d", identity="4")
    assert decode_change(encode_change(removed)) == removed
    assert decode_change(b"\x00other") is None

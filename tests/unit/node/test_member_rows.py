"""The table of members: who votes, who waits, and who does not answer."""

from cluster.client.member_rows import member_rows
from cluster.node.status import ChildStatus, NodeStatus, RayStatus
from raft.member_status import MemberStatus
from raft.transport import RejectedPeer

VOTERS = (("a", "a:2", "1"), ("b", "b:2", "1"))
RETURNED = RejectedPeer(name="b", address="b:2", identity="2", reason="b has lost its directory")
LEADER = MemberStatus(
    name="a", identity="1", role="leader", problem="", applied_index=7, voters=VOTERS, rejected=(RETURNED,)
)
EMPTY = MemberStatus(name="b", identity="2", role="forming", problem="not a voter of the group")


def node(member: MemberStatus) -> NodeStatus:
    return NodeStatus(name=member.name, pid=1, member=member, led_epoch=None, ray=RayStatus(), child=ChildStatus())


def test_one_that_lost_its_directory_waits_beside_its_former_self() -> None:
    rows = member_rows([node(LEADER), node(EMPTY)])
    assert [(row.member, row.identity, row.votes, row.role) for row in rows] == [
        ("a", "1", True, "leader"),
        ("b", "1", True, "-"),
        ("b", "2", False, "forming"),
    ]
    assert rows[2].problem == "not a voter of the group"


def test_one_that_waits_is_known_from_those_who_refuse_it() -> None:
    rows = member_rows([node(LEADER)])
    assert (rows[2].address, rows[2].problem) == ("b:2", "b has lost its directory")


def test_who_has_applied_most_says_who_votes() -> None:
    behind = MemberStatus(
        name="b", identity="1", role="follower", problem="", applied_index=3, voters=(*VOTERS, ("c", "c:2", "1"))
    )
    assert [row.member for row in member_rows([node(behind), node(LEADER)]) if row.votes] == ["a", "b"]


def test_nobody_is_known_when_nobody_knows_the_voters() -> None:
    assert member_rows([node(EMPTY)]) == []

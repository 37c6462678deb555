"""Rules of the group state about nodes, Ray's head and the generations of shards, one by one."""

from collections.abc import Iterator
from typing import Any

import pytest

from raft.commands import (
    AssignmentChanged,
    Command,
    HeadAssigned,
    HeadStarted,
    JobsChanged,
    JobStopped,
    JobSubmitted,
    LeaderElected,
    MoveAbandoned,
    MoveFinished,
    MoveStarted,
    NodeDrained,
    NodeJoined,
    NodeLeft,
    NodeLost,
    ShardRebuilt,
)
from raft.group import GroupState, HeadRecord, Job, NodeRecord, validate
from raft.records import NODE_COUNT_MAX
from tests.unit.raft.test_group import MEMBERS, Group


def joined(node: str, **said: Any) -> NodeJoined:
    """What a node says of itself when it joins."""
    plain = {"address": f"{node}:7100", "directory": f"/{node}", "machine": node, "incarnation": f"{node}-1"}
    roles = {"carries_ray": True, "is_voter": True}
    return NodeJoined(**({"request_id": f"join {node}", "node": node} | plain | roles | said))  # type: ignore[arg-type]


def named(kind: type[Command], **fields: Any) -> Command:
    """A command of the leader of epoch 1 about the job, as far as its kind has such fields."""
    known = kind.__dataclass_fields__
    common = {"epoch": 1, "job_id": "j", "partition": 0}
    plain = {name: value for name, value in common.items() if name in known}
    return kind(**({"request_id": f"{kind.__name__} {sorted(fields.items())}"} | plain | fields))


@pytest.fixture
def group() -> Iterator[Group]:
    """Nodes a, b and c; a job with host-0 on a (partitions 0 and 1) and host-1 on b (partition 2)."""
    group = Group()
    group.do(LeaderElected(member_id="m0", term=1, members=MEMBERS))
    for node in "abc":
        group.do(joined(node))
    group.do(JobSubmitted(request_id="job", job_id="j", spec=b"", partition_count=4, host_count=2))
    owners = ((0, "host-0"), (1, "host-0"), (2, "host-1"))
    group.do(named(AssignmentChanged, owners=owners, host_nodes=(("host-0", "a"), ("host-1", "b"))))
    yield group
    validate(group.state)


def job(group: Group) -> Job:
    return group.state.jobs["j"]


def test_a_node_that_joins_again_says_what_it_is_now(group: Group) -> None:
    group.do(joined("a", request_id="again", address="10.0.0.9:7100", carries_ray=False))
    assert group.state.nodes["a"] == NodeRecord(
        address="10.0.0.9:7100", directory="/a", machine="a", carries_ray=False, is_voter=True, is_draining=False,
        incarnation="a-1",
    )  # fmt: skip


def test_a_node_drains_until_it_has_left_or_its_directory_is_another(group: Group) -> None:
    group.do(NodeDrained(request_id="drain", node="c"))
    group.do(joined("c", request_id="again"))
    assert group.state.nodes["c"].is_draining
    group.do(joined("c", request_id="anew", incarnation="c-2"))
    assert not group.state.nodes["c"].is_draining


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (joined("", request_id="r"), "the node at ':7100' needs a name"),
        (joined("d", address="b:7100"), "node 'b' is at b:7100 already; let it leave, or choose another address"),
        (joined("d", directory="/" * 1025), "takes 1025 characters, allowed are 1024"),
        (named(NodeDrained, node="d"), "there is no node 'd', only a, b, c"),
        (named(NodeLeft, node="d"), "there is no node 'd', only a, b, c"),
        (named(NodeLost, node="d"), "there is no node 'd', only a, b, c"),
        (named(HeadAssigned, node="d"), "there is no node 'd', only a, b, c"),
        (named(NodeLeft, node="a"), "node 'a' has partition 0 of job 'j'; drain it first"),
        (named(NodeLost, node="a", epoch=0), "epoch 0 is not current"),
        (named(HeadAssigned, node="a", epoch=2), "epoch 2 is not current"),
        (named(ShardRebuilt, generation=2, epoch=2), "epoch 2 is not current"),
        (named(HeadStarted, node="a", generation=1, address="a:1"), "which is nobody; end it"),
        (named(ShardRebuilt, generation=1), "partition 0 has generation 1 already; a new one needs 2 or more"),
        (named(ShardRebuilt, generation=2, partition=4), "no partition 4"),
    ],
)
def test_what_nodes_may_not_do_is_refused_with_the_way_out(group: Group, command: Command, reason: str) -> None:
    assert reason in group.refusal(command)


def test_there_is_a_limit_of_nodes(group: Group) -> None:
    for number in range(NODE_COUNT_MAX - 3):
        group.do(joined(f"n{number}"))
    assert f"{NODE_COUNT_MAX} nodes, its limit" in group.refusal(joined("d"))
    group.do(joined("a", request_id="again"))


def test_a_node_leaves_when_it_has_nothing(group: Group) -> None:
    group.do(named(AssignmentChanged, owners=(), host_nodes=(("host-2", "c"),)))
    group.do(NodeLeft(request_id="leave", node="c"))
    assert (sorted(group.state.nodes), dict(job(group).host_nodes)) == (["a", "b"], {"host-0": "a", "host-1": "b"})


def test_the_node_of_a_moves_target_does_not_leave(group: Group) -> None:
    group.do(named(AssignmentChanged, owners=(), host_nodes=(("host-2", "c"),)))
    group.do(named(MoveStarted, source="host-0", target="host-2"))
    assert group.refusal(named(NodeLeft, node="c")) == "node 'c' has partition 0 of job 'j'; drain it first"


def test_partitions_of_a_lost_node_have_no_owner_and_the_next_generation(group: Group) -> None:
    _, actions = group.do(named(NodeLost, node="a"))
    assert actions == (JobsChanged(job_ids=("j",)),)
    assert (job(group).owners, job(group).generations) == (("", "", "host-1", ""), (2, 2, 1, 0))
    assert (dict(job(group).host_nodes), sorted(group.state.nodes)) == ({"host-1": "b"}, ["a", "b", "c"])
    _, actions = group.do(named(NodeLost, node="a", request_id="again"))
    assert (actions, job(group).generations) == ((), (2, 2, 1, 0))


def test_a_job_that_does_not_run_keeps_what_it_has_on_a_lost_node_until_that_is_given_up(group: Group) -> None:
    before = job(group)
    group.do(JobStopped(request_id="stop", job_id="j"))
    _, actions = group.do(named(NodeLost, node="a"))
    assert (actions, job(group).owners, job(group).generations) == ((), before.owners, before.generations)
    _, actions = group.do(named(NodeLost, node="a", is_for_good=True))
    assert actions == (JobsChanged(job_ids=("j",)),)
    assert (job(group).owners, job(group).generations) == (("", "", "host-1", ""), (2, 2, 1, 0))


@pytest.mark.parametrize(
    ("lost", "moves", "owner", "generation"),
    [("a", {}, "", 2), ("c", {}, "host-0", 1), ("b", {0: "host-2"}, "host-0", 1)],
)
def test_a_move_ends_with_the_node_of_either_side(
    group: Group, lost: str, moves: dict[int, str], owner: str, generation: int
) -> None:
    group.do(named(AssignmentChanged, owners=(), host_nodes=(("host-2", "c"),)))
    group.do(named(MoveStarted, source="host-0", target="host-2"))
    group.do(named(NodeLost, node=lost))
    assert (dict(job(group).moves), job(group).owners[0], job(group).generations[0]) == (moves, owner, generation)


def test_a_partition_that_gets_its_first_owner_has_its_first_generation(group: Group) -> None:
    assert job(group).generations == (1, 1, 1, 0)
    group.do(named(AssignmentChanged, owners=((3, "host-1"),)))
    assert job(group).generations == (1, 1, 1, 1)


def test_a_partition_whose_owner_is_taken_away_gets_the_next_generation(group: Group) -> None:
    group.do(named(AssignmentChanged, owners=((0, ""),)))
    assert (job(group).owners[0], job(group).generations[0]) == ("", 2)


@pytest.mark.parametrize(
    ("owners", "host_nodes", "reason"),
    [
        ((), (("host-2", "d"),), "there is no node 'd', only a, b, c"),
        ((), (("", "a"),), "a host needs a name to run on node 'a'"),
        ((), (("host-0", "b"),), "'host-0' has partition 0 on node 'a'; move it before 'host-0' goes"),
        ((), (("host-0", ""),), "'host-0' has partition 0 on node 'a'; move it before 'host-0' goes"),
        (((0, "host-1"),), (), "the shard of partition 0 is on node 'a', not 'b'; move it"),
        (((0, "host-9"),), (), "the shard of partition 0 is on node 'a', not ''; move it"),
    ],
)
def test_a_shard_stays_on_its_node(
    group: Group, owners: tuple[tuple[int, str], ...], host_nodes: tuple[tuple[str, str], ...], reason: str
) -> None:
    assert group.refusal(named(AssignmentChanged, owners=owners, host_nodes=host_nodes)) == reason


def test_a_node_that_drains_gets_no_more_hosts_and_keeps_those_it_has(group: Group) -> None:
    group.do(NodeDrained(request_id="drain", node="b"))
    refused = named(AssignmentChanged, owners=(), host_nodes=(("host-2", "b"),))
    assert group.refusal(refused) == "node 'b' is draining; choose another for 'host-2'"
    group.do(named(AssignmentChanged, owners=((3, "host-1"),), host_nodes=(("host-1", "b"),)))


def test_a_host_without_a_node_gets_one_with_its_partitions(group: Group) -> None:
    group.do(JobSubmitted(request_id="old", job_id="k", spec=b"", partition_count=1, host_count=1))
    group.do(named(AssignmentChanged, job_id="k", owners=((0, "host-0"),)))
    group.do(named(AssignmentChanged, job_id="k", owners=(), host_nodes=(("host-0", "c"),)))
    assert (group.state.jobs["k"].node_of(0), group.state.jobs["k"].generations) == ("c", (1,))


def moving(group: Group, target: str, node: str) -> None:
    group.do(named(AssignmentChanged, owners=(), host_nodes=((target, node),)))
    group.do(named(MoveStarted, source="host-0", target=target))


def test_a_shard_that_is_handed_over_on_its_node_keeps_its_generation(group: Group) -> None:
    moving(group, "host-2", "a")
    group.do(named(MoveFinished, target="host-2", generation=1))
    assert (job(group).owners[0], job(group).generations[0]) == ("host-2", 1)


def test_a_copy_on_another_node_needs_a_greater_generation(group: Group) -> None:
    moving(group, "host-1", "b")
    for generation in (None, 1):
        finished = named(MoveFinished, target="host-1", generation=generation)
        assert "goes from node 'a' to 'b': the copy needs a generation above 1" in group.refusal(finished)
    assert "generation 0 of partition 0 is over" in group.refusal(named(MoveFinished, target="host-1", generation=0))
    group.do(named(MoveFinished, target="host-1", generation=2))
    assert (job(group).owners[0], job(group).generations[0]) == ("host-1", 2)


def test_a_move_that_is_given_up_leaves_the_generation(group: Group) -> None:
    moving(group, "host-1", "b")
    group.do(named(MoveAbandoned))
    assert (job(group).owners[0], job(group).generations[0]) == ("host-0", 1)


def test_a_shard_that_is_rebuilt_has_a_greater_generation_and_its_owner(group: Group) -> None:
    group.do(named(ShardRebuilt, generation=7))
    assert (job(group).owners[0], job(group).generations) == ("host-0", (7, 1, 1, 0))
    group.do(named(MoveStarted, source="host-0", target="host-1"))
    assert "is moving; finish or abandon" in group.refusal(named(ShardRebuilt, generation=8))


def test_the_head_is_assigned_started_and_assigned_anew(group: Group) -> None:
    group.do(named(HeadAssigned, node="a"))
    assert group.state.head == HeadRecord(node="a", generation=1, address="")
    group.do(named(HeadStarted, node="a", generation=1, address="a:6379"))
    assert group.state.head == HeadRecord(node="a", generation=1, address="a:6379")
    assert group.refusal(named(NodeLeft, node="a")).startswith("node 'a' carries Ray's head; let another node")
    group.do(named(HeadAssigned, node="b"))
    assert group.state.head == HeadRecord(node="b", generation=2, address="")
    late = named(HeadStarted, node="a", generation=1, address="a:6380")
    assert group.refusal(late) == "head 1 of node 'a' is not the current one, which is 'b' with generation 2; end it"
    assert "is no address" in group.refusal(named(HeadStarted, node="b", generation=2, address=""))


def test_a_node_that_cannot_or_will_not_stay_carries_no_head(group: Group) -> None:
    group.do(joined("d", carries_ray=False))
    assert group.refusal(named(HeadAssigned, node="d")) == "node 'd' does not carry Ray; choose one that does"
    group.do(NodeDrained(request_id="drain", node="c"))
    assert group.refusal(named(HeadAssigned, node="c")) == "node 'c' is draining; choose one that stays"


def test_a_member_that_leads_its_term_anew_starts_an_epoch(group: Group) -> None:
    state, actions = group.do(LeaderElected(request_id="anew", member_id="m0", term=1, members=MEMBERS))
    assert (state.epoch, state.leader_term) == (2, 1)
    assert [type(action).__name__ for action in actions] == ["StepDown", "BecomeLeader"]
    assert "term 1 is over" in group.refusal(LeaderElected(request_id="other", member_id="m1", term=1))


def test_nobody_leads_term_0() -> None:
    assert Group().refusal(LeaderElected(request_id="r", member_id="", term=0)) == "term 0 is over,  leads term 0"


@pytest.mark.parametrize(
    "broken",
    [
        {"head": HeadRecord(node="z", generation=1, address="")},
        {"nodes": {}},
    ],
)
def test_a_state_that_names_unknown_nodes_is_noticed(group: Group, broken: dict[str, Any]) -> None:
    fields = {name: getattr(group.state, name) for name in GroupState.__dataclass_fields__}
    with pytest.raises(AssertionError):
        validate(GroupState(**(fields | broken)))

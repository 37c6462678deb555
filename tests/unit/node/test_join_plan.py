"""What a machine that joins is told: a name that is nobody else's, and whether it votes."""

from cluster.node.join_plan import plan_join
from raft.commands import LeaderElected, NodeJoined
from raft.group import GroupState, apply


def group(*names: str) -> GroupState:
    members = tuple((name, f"{name}:7101", name) for name in names)
    state, _ = apply(GroupState(), LeaderElected(request_id="e", member_id=names[0], term=1, members=members))
    for name in names:
        said = {"directory": "/", "machine": name, "incarnation": "i", "carries_ray": True, "is_voter": True}
        state, _ = apply(state, NodeJoined(request_id=name, node=name, address=f"{name}:7100", **said))  # type: ignore[arg-type]
    return state


def test_the_next_number_is_the_name_of_a_new_node() -> None:
    plan = plan_join(group("node-1", "node-2"), "new:7100", "node-1:7100", {})
    assert (plan.name, plan.votes, plan.seed, dict(plan.members)) == (
        "node-3", True, "node-1:7100", {"node-1": "node-1:7101", "node-2": "node-2:7101"}
    )  # fmt: skip


def test_two_that_join_at_once_get_two_names_and_one_that_asks_again_its_own() -> None:
    promised: dict[str, str] = {}
    asked = ["a:7100", "b:7100", "a:7100"]
    names = [plan_join(group("node-1"), address, "", promised).name for address in asked]
    assert names == ["node-2", "node-3", "node-2"]


def test_a_node_that_was_here_gets_its_name() -> None:
    assert plan_join(group("node-1", "node-2"), "node-2:7100", "", {"node-3": "c:7100"}).name == "node-2"


def test_five_vote() -> None:
    plan = plan_join(group(*(f"node-{number}" for number in range(1, 6))), "new:7100", "", {})
    assert (plan.name, plan.votes) == ("node-6", False)

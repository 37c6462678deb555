"""Who carries Ray's head."""

from dataclasses import replace

from cluster.node.head_rule import HEAD_LOST_S, next_head
from cluster.node.ray_place import RayPlace
from cluster.node.status import ChildStatus, NodeStatus, RayPhase, RayStatus
from raft.group import GroupState, HeadRecord, Job, NodeRecord
from raft.member_status import MemberStatus


def state(head: HeadRecord | None, **carries: bool) -> GroupState:
    """Return a state with nodes, by whether they carry Ray."""
    nodes = {
        name: NodeRecord(
            address=f"{name}:1",
            directory="/",
            machine=name,
            carries_ray=does,
            is_voter=True,
            is_draining=name == "d",
            incarnation="x",
        )
        for name, does in carries.items()
    }
    return GroupState(nodes=nodes, head=head)


def chosen(found: GroupState, phases: dict[str, RayStatus], silent: dict[str, float] | None = None) -> str:
    """Return what the rule says, when these nodes answered."""

    def status(name: str) -> NodeStatus | None:
        if name not in phases:
            return None
        member = MemberStatus(name=name, identity="", role="follower", problem="")
        return NodeStatus(name=name, pid=1, member=member, led_epoch=None, ray=phases[name], child=ChildStatus())

    return next_head(found, status, lambda name: (silent or {}).get(name, 0.0))


RUNS = RayStatus(phase=RayPhase.RUNNING, generation=4, address="a:2")
FAILED = RayStatus(phase=RayPhase.FAILED, generation=4, problem="gcs_server of Ray has ended")
HEAD = HeadRecord(node="a", generation=4, address="a:2")


def test_the_first_head_goes_to_the_first_node_that_carries_ray_and_answers() -> None:
    assert chosen(state(None, a=False, b=True, c=True), {"a": RUNS, "c": RUNS}) == "c"
    assert chosen(state(None, a=False), {"a": RUNS}) == ""


def test_a_head_that_runs_stays() -> None:
    assert chosen(state(HEAD, a=True, b=True), {"a": RUNS, "b": RUNS}) == ""


def test_a_head_whose_ray_failed_is_started_again_on_its_node() -> None:
    assert chosen(state(HEAD, a=True, b=True), {"a": FAILED, "b": RUNS}) == "a"


def test_a_failure_of_an_older_generation_says_nothing() -> None:
    older = RayStatus(phase=RayPhase.FAILED, generation=3, problem="x")
    assert chosen(state(HEAD, a=True, b=True), {"a": older, "b": RUNS}) == ""


def test_a_head_whose_node_is_silent_goes_to_another_one() -> None:
    assert chosen(state(HEAD, a=True, b=True, d=True), {"d": RUNS, "b": RUNS}, {"a": HEAD_LOST_S + 1}) == "b"
    assert chosen(state(HEAD, a=True, b=True), {"b": RUNS}, {"a": HEAD_LOST_S - 1}) == ""
    assert chosen(state(HEAD, a=True), {}, {"a": HEAD_LOST_S + 1}) == ""


def test_a_head_whose_node_has_left_goes_to_another_one() -> None:
    assert chosen(state(HEAD, b=True), {"b": RUNS}) == "b"


def test_a_head_whose_node_drains_goes_to_another_one_when_no_partition_is_left() -> None:
    head = HeadRecord(node="d", generation=4, address="d:2")
    nodes, running = state(head, b=True, d=True), {"b": RUNS, "d": RUNS}
    assert chosen(nodes, running) == "b"
    job = Job(
        job_id="j", spec=b"", partition_count=1, host_count=1, owners=("h",), host_nodes={"h": "d"}, generations=(1,)
    )
    assert chosen(replace(nodes, jobs={"j": job}), running) == ""
    assert chosen(state(head, d=True), {"d": RUNS}) == ""


GUEST = replace(RUNS, is_of_others=True, place=RayPlace(node_id="n", executable="python", variables={}))
LOST = replace(GUEST, phase=RayPhase.STARTING, place=None)


def test_a_ray_of_others_is_stood_for_by_a_node_that_has_it_on_its_machine() -> None:
    both = state(HEAD, a=True, b=True)
    assert chosen(both, {"a": GUEST, "b": GUEST}) == ""
    assert chosen(both, {"a": LOST, "b": GUEST}) == "b"
    assert chosen(both, {"a": replace(LOST, phase=RayPhase.FAILED), "b": GUEST}) == "b"
    # When all of that Ray is gone, the same node waits for it.
    assert chosen(both, {"a": LOST, "b": LOST}) == ""

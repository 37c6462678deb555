"""What moves of a job that does not run when a node leaves."""

from dataclasses import replace
from typing import Any

import pytest

from cluster.errors import NoAnswerError
from cluster.leader.placement import Move
from cluster.node.resting import RestingMover, next_move
from raft.commands import Accepted, Answer, AssignmentChanged, Command, MoveAbandoned
from raft.group import GroupState, Job, JobStatus, NodeRecord
from raft.messages import check_proposal

JOB = Job(
    job_id="j",
    spec=b"",
    partition_count=3,
    host_count=2,
    status=JobStatus.FINISHED,
    owners=("host-0", "host-1", ""),
    host_nodes={"host-0": "a", "host-1": "b"},
    generations=(2, 4, 0),
)


def state(*draining: str) -> GroupState:
    """Return a group of three nodes, of which some leave."""
    nodes = {
        name: NodeRecord(
            address=f"{name}:1",
            directory="/",
            machine=name,
            carries_ray=True,
            is_voter=True,
            is_draining=name in draining,
            incarnation="x",
        )
        for name in "abc"
    }
    return GroupState(nodes=nodes)


def test_a_partition_goes_from_a_node_that_leaves_to_one_with_room() -> None:
    assert next_move(state("b"), JOB, ("a", "c")) == (Move(partition=1, source="host-1", target="host-2"), "c")
    assert next_move(state("a", "b"), JOB, ("c",)) == (Move(partition=0, source="host-0", target="host-2"), "c")


def test_nothing_moves_without_need() -> None:
    assert next_move(state("c"), JOB, ("a", "b")) is None
    uneven = replace(JOB, owners=("host-0", "host-0", "host-0"), generations=(1, 1, 1))
    assert next_move(state("b"), uneven, ("a", "c")) is None


class Members:
    """A leader whose members take what they would take over the network."""

    def __init__(self) -> None:
        self.taken: list[Command] = []

    def propose(self, command: Command) -> Answer:
        check_proposal(command)
        self.taken.append(command)
        return Accepted(epoch=1)


class NoHosts:
    """A deployment on which nothing starts."""

    def start_host(self, job_id: str, host: str, spec: bytes, node: str) -> None:
        raise NoAnswerError(host)


def test_members_take_what_a_move_proposes() -> None:
    members: Any = Members()
    nowhere: Any = NoHosts()
    mover = RestingMover(members, nowhere, members)
    job = replace(JOB, moves={0: "host-1"})
    with pytest.raises(NoAnswerError, match="host-1"):
        mover._move(1, job, Move(partition=1, source="host-1", target="host-2"), "c")
    assert [type(one) for one in members.taken] == [MoveAbandoned, AssignmentChanged]
    assert len({one.request_id for one in members.taken}) == 2


def test_nothing_moves_to_nowhere() -> None:
    assert next_move(state("b"), JOB, ()) is None

"""What moves of a job that does not run when a node leaves."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.errors import NoAnswerError
from cluster.leader.placement import Move
from cluster.node.lingering import HostUse
from cluster.node.resting import RestingMover, next_move, next_promotion
from cluster.node.silence import LOST_S, Silence
from raft.commands import Accepted, Answer, AssignmentChanged, Command, MoveAbandoned, StandbyPromoted
from raft.group import GroupState, Job, JobStatus, NodeRecord, StandbyRecord
from raft.messages import check_proposal
from tests.support.partition_jobs import make_partition_job

JOB = Job(
    job_id="j",
    spec=make_partition_job().to_bytes(),
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
    mover = RestingMover(members, nowhere, members, HostUse(), Silence())
    job = replace(JOB, moves={0: "host-1"})
    with pytest.raises(NoAnswerError, match="host-1"):
        mover._move(1, job, Move(partition=1, source="host-1", target="host-2"), "c")
    assert [type(one) for one in members.taken] == [MoveAbandoned, AssignmentChanged]
    assert len({one.request_id for one in members.taken}) == 2


def test_hosts_are_not_given_back_while_a_partition_moves() -> None:
    use, is_over = HostUse(), list[bool]()

    def look_at(job_id: str, *_: object) -> None:
        with use.ending(job_id, 0.0) as found:
            is_over.append(found)
        raise NoAnswerError(job_id)

    members: Any = Members()
    group: Any = SimpleNamespace(led_epoch=lambda: 1, state=lambda: replace(state("b"), jobs={"j": JOB}))
    there = frozenset("abc")
    hosts: Any = SimpleNamespace(present_nodes=lambda: there, answering_nodes=lambda: there, start_host=look_at)
    with pytest.raises(NoAnswerError):
        RestingMover(members, hosts, group, use, Silence()).look()
    assert is_over == [False]


def test_nothing_moves_to_nowhere() -> None:
    assert next_move(state("b"), JOB, ()) is None


COPIED = replace(
    JOB,
    host_nodes={"host-0": "a", "host-1": "b", "host-2": "c"},
    standbys={
        0: StandbyRecord(host="host-1", generation=3, is_ready=True),
        1: StandbyRecord(host="host-2", generation=6, is_ready=True),
    },
)


def test_a_second_copy_that_is_ready_on_a_node_that_stays_may_take_over() -> None:
    assert next_promotion(COPIED, {"b"}, ("a", "c")) == 1
    assert next_promotion(COPIED, {"b", "c"}, ("a",)) is None
    assert next_promotion(COPIED, {"c"}, ("a", "b")) is None
    late = {**COPIED.standbys, 1: replace(COPIED.standbys[1], is_ready=False)}
    assert next_promotion(replace(COPIED, standbys=late), {"b"}, ("a", "c")) is None


def test_a_node_is_given_up_after_it_has_been_silent_for_long() -> None:
    now_s = 0.0
    silence = Silence(lambda: now_s)
    silence.look("abc", "ab")
    assert (silence.over(LOST_S), silence.lost_s("c")) == (frozenset(), None)
    now_s = LOST_S - 0.1
    silence.look("abc", "ab")
    assert (silence.over(LOST_S), silence.lost_s("c")) == (frozenset(), None)
    now_s = LOST_S
    silence.look("abc", "ab")
    assert (silence.over(LOST_S), silence.over(LOST_S + 1), silence.lost_s("c")) == ({"c"}, frozenset(), LOST_S)
    assert silence.lost_s("a") is None
    silence.look("abc", "abc")
    assert (silence.over(0), silence.lost_s("c")) == (frozenset(), None)


class Told:
    def __init__(self, value: Any) -> None:
        self._value = value

    def wait(self, timeout_s: float) -> Any:
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


class Hosts:
    """A deployment whose shard of partition 1 is at 40, and its copy where it is said."""

    def __init__(self, reached: int | Exception) -> None:
        self.reached = reached
        self.released: list[str] = []

    def start_host(self, job_id: str, host: str, spec: bytes, node: str) -> Any:
        def release(epoch: int, partitions: list[int], now_us: int) -> Told:
            self.released.append(host)
            return Told(None)

        copy = self.reached if isinstance(self.reached, Exception) else SimpleNamespace(reached={0: self.reached})
        return SimpleNamespace(
            open_at_rest=lambda *_: Told(None),
            stand_by=lambda *_: Told(copy),
            query=lambda _: Told([SimpleNamespace(partition=1, committed={0: 40})]),
            release=release,
        )


@pytest.mark.parametrize(("reached", "is_taken"), [(40, True), (39, False), (NoAnswerError("host-2"), False)])
def test_a_second_copy_takes_over_when_it_has_all_that_the_shard_has(reached: int | Exception, is_taken: bool) -> None:
    members: Any = Members()
    hosts: Any = Hosts(reached)
    assert RestingMover(members, hosts, members, HostUse(), Silence())._promote(1, COPIED, 1) == is_taken
    told = [(one.host, one.generation) for one in members.taken if isinstance(one, StandbyPromoted)]
    assert told == [("host-2", 6)] * is_taken
    assert ("host-1" in hosts.released) == is_taken


def test_a_second_copy_takes_over_from_a_node_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.node.resting.LOST_S", 0.0)
    members: Any = Members()
    group: Any = SimpleNamespace(led_epoch=lambda: 1, state=lambda: replace(state(), jobs={"j": COPIED}))
    hosts: Any = SimpleNamespace(present_nodes=lambda: frozenset("ac"), answering_nodes=frozenset[str])
    RestingMover(members, hosts, group, HostUse(), Silence()).look()
    assert [(one.partition, one.host) for one in members.taken] == [(1, "host-2")]

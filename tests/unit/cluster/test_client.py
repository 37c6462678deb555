"""A client that accepts a value waits for its place, whichever member answers."""

import ssl
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from actors.shard import ShardLostError
from cluster.client import nodes
from cluster.client.access import Access
from cluster.client.client import Client, _host_count
from cluster.client.hosts import check_whole
from cluster.client.member_rows import MemberRow
from cluster.client.nodes import LOOK_TIMEOUT_S, PATIENCE_S, Nodes, newest_state
from cluster.errors import ClusterError, NoAnswerError, NotRunningError
from raft.commands import Accepted, Command, JobStopped, NodeLeft, NodeLost, ValueAccepted
from raft.errors import FormatError
from raft.group import AcceptanceRecord, GroupState, Job, JobStatus, NodeRecord
from raft.group_codec import encode_state
from tests.support.jobs import make_job

EACH = {"source": {"type": "host_metrics", "on": ["a", "b"]}, "partition_by": "split"}
"""A job that reads what each of two machines measures of itself."""

JOB = Job(job_id="j", spec=b"", partition_count=1, host_count=1, owners=("",), generations=(0,))


class TwoMembers(Client):
    """A client whose first answer comes from a member that is behind."""

    def __init__(self, job: Job) -> None:
        self._jobs = [job]

    def state(self, *, patience_s: float = 0.0) -> GroupState:
        return replace(GroupState(), jobs={"j": self._jobs.pop(0) if len(self._jobs) > 1 else self._jobs[0]})

    def propose(self, command: Command) -> None:
        assert isinstance(command, ValueAccepted)
        behind = self._jobs[0]
        record = AcceptanceRecord(acceptance_id=command.request_id, content=command.content, positions=((0, 7),))
        self._jobs = [behind, behind, replace(behind, acceptances=(record,))]


@pytest.mark.parametrize("status", [JobStatus.RUNNING, JobStatus.STOPPED])
def test_a_member_that_is_behind_is_asked_again(status: JobStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert TwoMembers(replace(JOB, status=status)).accept("j", b"x").positions == ((0, 7),)


def test_the_newest_state_is_that_of_the_member_that_has_applied_most() -> None:
    answers = {f"r{number}": Accepted(epoch=1) for number in range(512)}
    behind = GroupState(epoch=1, leader_id="m", leader_term=1, answers=answers)
    ahead = replace(behind, jobs={"j": JOB})
    found = [(600, encode_state(behind)), (601, encode_state(ahead)), (599, encode_state(behind))]
    assert list(newest_state(found).jobs) == ["j"]


def test_a_command_that_is_none_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FormatError("JobStopped.job_id is 5, not str")

    def wait(_: float) -> None:
        raise AssertionError("nobody waits for another answer")

    monkeypatch.setattr("time.sleep", wait)
    monkeypatch.setattr("raft.commands.encode_command", lambda _: b"")
    nodes = object.__new__(Nodes)
    nodes._addresses = {"node-1": "a:1"}
    monkeypatch.setattr(Nodes, "client", lambda *_: SimpleNamespace(call=refuse))
    with pytest.raises(ClusterError, match=r"a:1 takes JobStopped for no command: JobStopped.job_id is 5, not str"):
        nodes.propose(JobStopped(job_id="j"))


LOST = replace(JOB, partition_count=2, owners=("", "host-0"), generations=(2, 1))


@pytest.mark.parametrize(("status", "way_out"), [("stopped", "run `tocsin resume j`"), ("finished", "another name")])
def test_a_partition_that_was_given_up_with_its_node_is_missing_from_no_answer(status: str, way_out: str) -> None:
    with pytest.raises(ShardLostError, match=rf"partitions 0 of job 'j' were given up with their node; .*{way_out}"):
        check_whole(replace(LOST, status=JobStatus(status)))


def test_a_partition_that_nobody_ever_had_is_not_missed() -> None:
    check_whole(replace(JOB, status=JobStatus.STOPPED))


def test_a_job_that_runs_makes_lost_partitions_anew() -> None:
    check_whole(LOST)


class OneNode(Nodes):
    """Nodes of which one, that carries Ray's head, does not answer."""

    def __init__(self, refusals: int) -> None:
        self._addresses = {"node-2": "b:1"}
        self.refusals = refusals
        self.proposed: list[Command] = []

    def member_rows(self) -> list[Any]:
        return []

    def state(self, *, patience_s: float = 0.0) -> GroupState:
        node = NodeRecord(
            address="b:1",
            directory="/",
            machine="b",
            carries_ray=True,
            is_voter=False,
            incarnation="i",
            is_draining=False,
        )
        return replace(GroupState(), epoch=4, nodes={"node-2": node})

    def propose(self, command: Command) -> None:
        self.proposed.append(command)
        if isinstance(command, NodeLeft) and self.refusals:
            self.refusals -= 1
            raise ClusterError("node 'node-2' carries Ray's head; let another node carry it first")


def made_silent(monkeypatch: pytest.MonkeyPatch, *, answers: bool) -> None:
    def call(*_: object, **__: object) -> None:
        if not answers:
            raise NoAnswerError("no answer")

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("cluster.client.nodes.GONE_S", 0.01)
    monkeypatch.setattr(Nodes, "client", lambda *_: SimpleNamespace(call=call))


def test_a_node_that_is_expelled_and_gone_is_forgotten_with_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    made_silent(monkeypatch, answers=False)
    nodes = OneNode(refusals=1)
    nodes.expel("node-2")
    lost, left, *again = nodes.proposed
    assert isinstance(lost, NodeLost)
    assert (lost.epoch, lost.node, lost.is_for_good) == (4, "node-2", True)
    assert (type(left), [type(one) for one in again]) == (NodeLeft, [NodeLost, NodeLeft])


def test_a_node_that_answers_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    made_silent(monkeypatch, answers=True)
    nodes = OneNode(refusals=0)
    with pytest.raises(ClusterError, match="node-2 has no vote, and is no node that does not answer"):
        nodes.expel("node-2")
    assert nodes.proposed == []


@pytest.mark.parametrize(
    ("settings", "count"),
    [({}, 0), ({"hosts": 3}, 3), ({"hosts": 9}, 4), ({**EACH}, 0), ({**EACH, "hosts": 1}, 2)],
    ids=["shared", "own", "more than partitions", "shared on each machine", "own on each machine"],
)
def test_a_job_is_submitted_with_the_hosts_that_it_wants(settings: dict[str, Any], count: int) -> None:
    plain = {"job": "m", "source": {"type": "host_metrics"}, "metrics": ["value > 90"]}
    assert _host_count(make_job(plain | settings)) == count


def test_a_member_is_admitted_as_soon_as_somebody_says_that_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"member": "node-2", "address": "b:1", "role": "-", "problem": ""}
    votes = MemberRow(identity="former", votes=True, **fields)  # type: ignore[arg-type]
    waits = MemberRow(identity="next", votes=False, **fields)  # type: ignore[arg-type]
    answers = iter([[], [votes], [votes, waits]])
    changed: list[tuple[object, ...]] = []
    monkeypatch.setattr(nodes.time, "sleep", lambda _: None)
    monkeypatch.setattr(Nodes, "member_rows", lambda _: next(answers))
    monkeypatch.setattr(Nodes, "_change_votes", lambda *arguments: changed.append(arguments[3:]))
    object.__new__(Nodes).admit("node-2")
    assert changed == [("expel", "node-2"), ("admit", "node-2", "b:1", "next")]


@pytest.mark.parametrize("is_patient", [True, False])
def test_a_group_that_does_not_answer_at_once_has_longer_where_nobody_asks_for_haste(
    is_patient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_s: list[float] = []

    def call(_: str, timeout_s: float) -> tuple[int, bytes]:
        asked_s.append(timeout_s)
        if timeout_s < 5.0:
            raise NoAnswerError("not in time")
        return 7, encode_state(GroupState())

    access = Access(
        addresses={"node-1": "a:1"},
        group_id=1,
        context=ssl.create_default_context(),
        own_name="node-1",
        way_out="start it",
    )
    made = Nodes(access)
    monkeypatch.setattr(made, "client", lambda _: SimpleNamespace(call=call))
    if is_patient:
        assert made.state() == GroupState()
    else:
        with pytest.raises(NotRunningError, match="no node of the cluster answers"):
            made.state(patience_s=0.0)
    assert asked_s == [LOOK_TIMEOUT_S, PATIENCE_S][: 1 + is_patient]

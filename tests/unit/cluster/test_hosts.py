"""A query waits for what does not answer for the moment, asks each partition of its owner, and is never incomplete."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from actors.errors import NotOpenError
from actors.shard import ShardLostError
from cluster.client import hosts
from cluster.client.hosts import Hosts
from cluster.client.nodes import why_not_ready
from cluster.errors import NoAnswerError, NotRunningError, SilentHostError, UnknownJobError
from cluster.node.status import ChildStatus, NodeStatus, RayPhase, RayStatus
from raft.group import Job, JobStatus
from raft.member_status import MemberStatus

JOB = Job(
    job_id="j",
    spec=b"",
    partition_count=3,
    host_count=2,
    owners=("host-0", "host-1", "host-0"),
    generations=(1, 1, 1),
)

Answer = Callable[..., Any]


class Group:
    """A group with one job: each attempt meets the next leader's process, and finally the last."""

    def __init__(self, *answers: Answer | None, jobs: tuple[Job | Exception, ...] = (JOB,)) -> None:
        self.answers = list(answers)
        self.jobs = list(jobs)
        self.said: list[str] = []
        self.asked: list[tuple[Any, ...]] = []

    def hosts(self) -> Hosts:
        return Hosts(self, self.job, self.said.append)  # type: ignore[arg-type]

    def job(self, name: str) -> Job:
        found = self.jobs.pop(0) if len(self.jobs) > 1 else self.jobs[0]
        if isinstance(found, Exception):
            raise found
        return found

    def ready_children(self) -> tuple[list[Any], str]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            return [], "Ray of node-1 is being started"

        def call(name: str, *arguments: Any, timeout_s: float) -> Any:
            self.asked.append((name, *arguments))
            return answer(name, *arguments)

        return [SimpleNamespace(call=call)], ""


def owning(**owned: list[int]) -> Answer:
    """Answer as hosts do that own these partitions."""

    def call(name: str, job: str, host: str, *arguments: Any) -> Any:
        if name == "open_at_rest":
            return None
        _, (numbers, query, _), _ = arguments
        missing = [number for number in numbers if number not in owned[host.replace("-", "")]]
        if missing:
            raise NotOpenError(f"this host does not own partition {missing[0]}; open it first")
        return {number: [f"{query} {number}"] for number in numbers}

    return call


ALL = owning(host0=[0, 2], host1=[1])


def refuse(error: Exception) -> Answer:
    def call(*_: Any) -> Any:
        raise error

    return call


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let time pass only while somebody waits."""
    now = [100.0]
    monkeypatch.setattr(hosts.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(hosts.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(hosts, "has_passed", lambda started_s, timeout_s: now[0] - started_s >= timeout_s)
    monkeypatch.setattr(hosts, "CHILDREN_S", 0.0)
    return now


def test_each_owner_is_asked_for_its_partitions() -> None:
    group = Group(ALL)
    assert group.hosts().ask("j", "late_rows", {"count_max": 3}) == {n: [f"late_rows {n}"] for n in range(3)}
    assert sorted((host, numbers) for _, _, host, _, (numbers, _, _), _ in group.asked) == [
        ("host-0", [0, 2]),
        ("host-1", [1]),
    ]


@pytest.mark.parametrize(
    "moment",
    [
        None,
        refuse(NoAnswerError("10.0.0.1:7103 does not answer")),
        refuse(SilentHostError("host-0 of job 'j' does not answer: the actor died")),
        refuse(NotOpenError("host 'host-0' of job 'j' does not run")),
        refuse(ShardLostError("partition 1 is rebuilt")),
        owning(host0=[0, 2], host1=[]),
    ],
    ids=["no process", "process dies", "host dies", "host starts", "rebuilt", "moves"],
)
def test_what_does_not_answer_for_a_moment_is_waited_for(moment: Answer | None) -> None:
    group = Group(*[moment] * 100, ALL)
    assert sorted(group.hosts().ask("j", "verdicts", {})) == [0, 1, 2]


def test_a_partition_that_moves_is_asked_of_its_next_owner() -> None:
    moved = replace(JOB, owners=("host-0",) * 3)
    group = Group(owning(host0=[0, 1, 2], host1=[]), jobs=(JOB, JOB, moved))
    assert sorted(group.hosts().ask("j", "verdicts", {})) == [0, 1, 2]


def test_nodes_that_are_silent_for_a_moment_are_waited_for() -> None:
    group = Group(None, ALL, jobs=(JOB, NotRunningError("no node answers"), NotRunningError("no node answers"), JOB))
    assert sorted(group.hosts().ask("j", "verdicts", {})) == [0, 1, 2]


def test_a_partition_without_an_owner_is_missing_from_no_answer() -> None:
    homeless = replace(JOB, owners=("host-0", "", "host-0"), generations=(1, 2, 1))
    group = Group(owning(host0=[0, 2], host1=[]), jobs=(homeless,))
    with pytest.raises(NoAnswerError, match=r"partitions 1 of job 'j': partition 1 is being made anew; see `tocsin"):
        group.hosts().ask("j", "verdicts", {})


def test_a_partition_that_nobody_ever_had_has_nothing() -> None:
    group = Group(
        owning(host0=[0, 2], host1=[]), jobs=(replace(JOB, owners=("host-0", "", "host-0"), generations=(1, 0, 1)),)
    )
    assert sorted(group.hosts().ask("j", "verdicts", {})) == [0, 2]


def test_the_end_of_the_wait_says_what_was_waited_for(clock: list[float]) -> None:
    group = Group(None)
    with pytest.raises(NoAnswerError, match=r"^no answer after 60 s: partitions 0, 1, 2 .*Ray of node-1 is being st"):
        group.hosts().ask("j", "verdicts", {})
    assert 160 <= clock[0] < 161
    assert [line.partition(":")[0] for line in group.said] == ["waiting"]


def test_who_looks_only_waits_for_nothing(clock: list[float]) -> None:
    group = Group(None)
    with pytest.raises(NoAnswerError, match=r"^no answer: partitions"):
        group.hosts().ask("j", "anomalies", {}, wait_s=0.0)
    assert group.hosts().look(JOB) == ([], ["no leader's process answers (Ray of node-1 is being started)"])
    assert (clock[0], group.said) == (100.0, [])


def test_a_job_that_there_is_not_is_waited_for_by_nobody(clock: list[float]) -> None:
    group = Group(None, jobs=(UnknownJobError("there is no job 'j'"),))
    with pytest.raises(UnknownJobError):
        group.hosts().ask("j", "verdicts", {})
    assert clock[0] == 100.0


def test_what_is_wrong_with_a_question_is_said_at_once(clock: list[float]) -> None:
    group = Group(refuse(ValueError("'secrets' is no query of partitions")))
    with pytest.raises(ValueError, match="is no query"):
        group.hosts().ask("j", "secrets", {})
    assert clock[0] == 100.0


def test_a_job_that_rests_is_opened_where_it_does_not_answer() -> None:
    closed, finished = owning(host0=[0, 2], host1=[]), replace(JOB, status=JobStatus.FINISHED)
    group = Group(closed, closed, ALL, jobs=(finished,))
    assert sorted(group.hosts().ask("j", "verdicts", {})) == [0, 1, 2]
    assert [asked[:3] for asked in group.asked if asked[0] == "open_at_rest"] == [("open_at_rest", "j", "host-1")]


def test_a_call_of_the_cluster_waits_for_a_leaders_process(clock: list[float]) -> None:
    assert Group(*[None] * 50, lambda *_: "ended").hosts().call("end_hosts", "j") == "ended"
    assert clock[0] > 105


NODE = NodeStatus(
    name="node-1",
    pid=1,
    member=MemberStatus(name="node-1", identity="a", role="leader", problem=""),
    led_epoch=1,
    ray=RayStatus(phase=RayPhase.RUNNING),
    child=ChildStatus(pid=2),
)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (None, "node-1 does not answer"),
        (NODE, "the leader's process of node-1 is being started"),
        (replace(NODE, ray=RayStatus(phase=RayPhase.STARTING)), "Ray of node-1 is being started"),
        (
            replace(NODE, ray=RayStatus(phase=RayPhase.FAILED, problem="raylet of Ray has ended")),
            "Ray of node-1 is down (raylet of Ray has ended)",
        ),
    ],
)
def test_what_has_to_come_before_somebody_answers_is_named(status: NodeStatus | None, said: str) -> None:
    assert why_not_ready([("node-1", status)]) == said

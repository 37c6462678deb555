"""Who scales a job waits as long as partitions move, and not for what will never be."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.client import scaling
from cluster.client.client import check_movable
from cluster.client.scaling import wait_scaled
from cluster.errors import ClusterError, NoAnswerError, NotRunningError
from raft.records import Job, JobStatus
from tests.support.jobs import make_job

JOB = Job(
    job_id="j",
    spec=b"",
    partition_count=3,
    host_count=2,
    owners=("host-0", "host-0", "host-0"),
    generations=(1, 1, 1),
)

MOVING = replace(JOB, owners=("host-0", "host-0", "host-0"), moves={1: "host-1"})

MOVED = replace(JOB, owners=("host-0", "host-1", "host-0"))


class Client:
    """A client to which the group looks like each of these in turn, and then like the last."""

    def __init__(self, *states: Job | Exception, trouble: str = "") -> None:
        self.states = list(states)
        self.trouble = trouble
        self.said: list[str] = []

    def job(self, name: str) -> Job:
        found = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(found, Exception):
            raise found
        return found

    def runner_status(self, name: str) -> Any:
        return SimpleNamespace(troubles=(self.trouble,) if self.trouble else ())


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(scaling.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(scaling.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(scaling, "has_passed", lambda started_s, timeout_s: now[0] - started_s >= timeout_s)
    return now


def test_partitions_that_move_are_waited_for_however_long_it_takes(clock: list[float]) -> None:
    client = Client(*[JOB] * 500, *[MOVING] * 500, NotRunningError("no node answers"), MOVED)
    wait_scaled(client, "j", client.said.append)  # type: ignore[arg-type]
    assert clock[0] - 100 > scaling.STILL_S
    assert client.said == []


def test_a_job_that_has_its_hosts_is_not_waited_for(clock: list[float]) -> None:
    wait_scaled(Client(MOVED), "j", print)  # type: ignore[arg-type]
    assert clock[0] == 100.0


def test_what_is_in_the_way_is_said_at_once_and_at_the_end(clock: list[float]) -> None:
    client = Client(JOB, trouble="no node is there that may have hosts")
    with pytest.raises(NoAnswerError, match="no partition of job 'j' has moved for 120 s: no node is there"):
        wait_scaled(client, "j", client.said.append)  # type: ignore[arg-type]
    assert client.said == ["j: no node is there that may have hosts; partitions move when that is over"]


@pytest.mark.parametrize("status", [JobStatus.STOPPED, JobStatus.FINISHED])
def test_a_job_that_ends_meanwhile_is_not_waited_for(status: JobStatus, clock: list[float]) -> None:
    client = Client(MOVING, replace(JOB, status=status))
    with pytest.raises(ClusterError, match=f"job 'j' is {status} before its partitions have moved"):
        wait_scaled(client, "j", print)  # type: ignore[arg-type]
    assert clock[0] < 101


def test_a_job_whose_splits_are_each_on_a_node_is_not_scaled() -> None:
    plain = {"job": "m", "metrics": ["value > 90"], "partition_by": "split"}
    with pytest.raises(ClusterError, match=r"reads each split on the node where it is \(a, b\), so its"):
        check_movable(make_job(plain | {"source": {"type": "host_metrics", "on": ["a", "b"]}}))
    check_movable(make_job({"job": "m", "metrics": ["value > 90"], "source": {"type": "host_metrics"}}))

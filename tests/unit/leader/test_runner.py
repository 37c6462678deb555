"""The runner carries out what the core says, in threads that may be late."""

import threading
import time
from typing import Any

from cluster.leader.instructions import StartHost
from cluster.leader.runner import JobRunner
from raft.commands import JobSubmitted
from raft.group import GroupState, apply
from tests.support.partition_jobs import make_partition_job

JOB = make_partition_job()


class Group:
    """A group that nobody changes."""

    member_ids = ()

    def state(self) -> GroupState:
        spec = JOB.to_bytes()
        command = JobSubmitted(job_id="trades", spec=spec, partition_count=2, host_count=1, request_id="r")
        return apply(GroupState(), command)[0]


class Host:
    """A host that says nothing."""

    def __init__(self, node: str) -> None:
        self.node = node

    def is_there(self) -> "Host":
        return self

    def ready(self) -> "Host":
        return self

    def when_done(self, *_: object) -> None:
        """Nobody waits for it here."""


class Slow:
    """A deployment on which a start at the node `cut` takes until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.started: list[str] = []

    def start_host(self, job_id: str, host: str, spec: bytes, node: str) -> Host:
        if node == "cut":
            self.let_go.wait()
        self.started.append(node)
        return Host(node)


def until_started(deployment: Slow, count: int) -> None:
    while len(deployment.started) < count:
        time.sleep(0)


def test_a_start_on_a_node_that_was_given_up_does_not_undo_the_one_after_it() -> None:
    deployment: Any = Slow()
    group: Any = Group()
    runner = JobRunner(group, deployment, "trades", 1)
    runner._start_host(StartHost(request=1, host="host-0", node="cut"))
    runner._start_host(StartHost(request=2, host="host-0", node="healthy"))
    until_started(deployment, 1)
    deployment.let_go.set()
    until_started(deployment, 2)
    runner._pool.shutdown()
    found: Any = runner._host("host-0")
    assert found.node == "healthy"


def test_a_host_that_starts_on_another_node_is_not_taken_for_the_silent_one_of_before() -> None:
    deployment: Any = Slow()
    group: Any = Group()
    runner = JobRunner(group, deployment, "trades", 1)
    silent: Any = Host("lost")
    for node, known in (("lost", ["host-0"]), ("lost", ["host-0"]), ("healthy", [])):
        runner._pulse.follow("host-0", silent)
        runner._start_host(StartHost(request=1, host="host-0", node=node))
        assert list(runner._pulse.look()) == known
    until_started(deployment, 3)
    runner._pool.shutdown()

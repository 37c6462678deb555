"""Hosts of jobs that do not run are given back, in time and under nobody's query."""

import threading
from dataclasses import replace

import pytest

from cluster.node.lingering import HostUse, LingeringHosts, linger_of
from raft.group import GroupState, Job, JobStatus
from tests.support.partition_jobs import make_partition_job

SPEC = make_partition_job().to_bytes()
LINGER_S = linger_of(SPEC)


class World:
    """A leader, its group and its hosts, under a clock that somebody sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.idle_count = 0
        self.epoch: int | None = 1
        self.running: set[str] = set()
        self.with_hosts = {"j"}
        self.jobs = {"j": Job(job_id="j", spec=SPEC, partition_count=1, host_count=1, status=JobStatus.FINISHED)}
        self.use = HostUse(lambda: self.now_s)
        self._lingering = LingeringHosts(self, self, self, self.use)

    def led_epoch(self) -> int | None:
        return self.epoch

    def state(self) -> GroupState:
        return GroupState(epoch=1, jobs=self.jobs)

    def runs(self, job_id: str) -> bool:
        return job_id in self.running

    def jobs_with_hosts(self) -> frozenset[str]:
        return frozenset(self.with_hosts)

    def end_hosts(self, job_id: str, but: tuple[str, ...]) -> None:
        self.with_hosts.remove(job_id)

    def end_idle_processes(self) -> None:
        self.idle_count += 1

    def has_hosts_after(self, seconds: float) -> bool:
        self.now_s += seconds
        self._lingering.look()
        return "j" in self.with_hosts


@pytest.fixture
def world() -> World:
    return World()


def test_hosts_are_kept_for_as_long_as_the_job_says(world: World) -> None:
    assert LINGER_S == 60
    assert world.has_hosts_after(0)
    assert world.has_hosts_after(LINGER_S - 1)
    assert not world.has_hosts_after(1)


def test_a_query_begins_the_time_anew(world: World) -> None:
    assert world.has_hosts_after(0)
    world.now_s += LINGER_S
    with world.use.asking("j"):
        pass
    assert world.has_hosts_after(LINGER_S - 1)
    assert not world.has_hosts_after(1)


def test_nothing_ends_under_a_query_however_long_it_takes(world: World) -> None:
    assert world.has_hosts_after(0)
    with world.use.asking("j"):
        assert world.has_hosts_after(100 * LINGER_S)
    assert world.has_hosts_after(0)


def test_a_query_that_comes_while_hosts_end_waits_for_their_end(world: World) -> None:
    came = threading.Event()

    def ask() -> None:
        with world.use.asking("j"):
            came.set()

    with world.use.ending("j", 0.0) as is_over:
        assert is_over
        asking = threading.Thread(target=ask)
        asking.start()
        assert not came.wait(0.05)
    asking.join(10)
    assert came.is_set()


@pytest.mark.parametrize("is_stopping", [False, True], ids=["running", "being stopped"])
def test_a_job_keeps_its_hosts_until_it_rests(world: World, is_stopping: bool) -> None:
    finished = world.jobs["j"]
    world.jobs["j"] = replace(finished, status=JobStatus.STOPPED if is_stopping else JobStatus.RUNNING)
    world.running = {"j"} if is_stopping else set()
    assert world.has_hosts_after(0)
    assert world.has_hosts_after(2 * LINGER_S)
    world.jobs["j"], world.running = finished, set()
    assert world.has_hosts_after(0)
    assert not world.has_hosts_after(LINGER_S)


def test_hosts_of_a_job_that_was_removed_end_at_once(world: World) -> None:
    del world.jobs["j"]
    assert not world.has_hosts_after(0)


def test_only_the_leader_gives_anything_back(world: World) -> None:
    world.epoch = None
    assert world.has_hosts_after(0)
    assert world.has_hosts_after(2 * LINGER_S)
    assert not world.idle_count
    world.epoch = 1
    assert world.has_hosts_after(0)
    assert world.idle_count == 1

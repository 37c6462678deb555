"""What fills stream tables and hangs is ended, once, by the node that leads."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from cluster.leader.ports import HostPort
from cluster.node.sampler_watch import SILENCE_US_MAX, SamplerWatch
from raft.group import GroupState, Job, JobStatus

NAME = "stream:2:j@node-1"


class Sampler:
    """One that answers as long as it is let."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def is_there(self) -> Any:
        return self

    def when_done(self, take: Callable[[object], None], fail: Callable[[Exception], None]) -> None:
        if self._world.answers:
            take(1)


class World:
    """A group, its samplers, and the time."""

    def __init__(self) -> None:
        self.now_us = 10**12
        self.epoch: int | None = 1
        self.status = JobStatus.RUNNING
        self.answers = True
        self.is_starting = False
        self.names = {NAME}
        self.ended: list[str] = []
        self._watch = SamplerWatch(self, self, lambda: self.now_us)

    def led_epoch(self) -> int | None:
        return self.epoch

    def state(self) -> GroupState:
        job = Job(job_id="j", spec=b"", partition_count=1, host_count=1, status=self.status)
        return GroupState(epoch=1, jobs={"j": job})

    def sampler_names(self) -> frozenset[str]:
        return frozenset(self.names)

    def find_sampler(self, name: str) -> HostPort | None:
        return cast(HostPort, Sampler(self))

    def end_hung_sampler(self, name: str) -> bool:
        if self.is_starting:
            return False
        self.ended.append(name)
        self.answers = True
        return True

    def pass_time(self, seconds: int) -> list[str]:
        for _ in range(seconds):
            self.now_us += 1_000_000
            self._watch.look()
        return self.ended


@pytest.fixture
def world() -> World:
    return World()


def test_one_that_answers_is_left_alone(world: World) -> None:
    assert world.pass_time(60) == []


def test_one_that_is_silent_is_ended_once_and_followed_again(world: World) -> None:
    world.pass_time(5)
    world.answers = False
    assert world.pass_time(SILENCE_US_MAX // 1_000_000) == []
    assert world.pass_time(3) == [NAME]
    assert world.pass_time(60) == [NAME]
    world.answers = False
    assert world.pass_time(20) == [NAME, NAME]


def test_one_that_takes_long_to_start_is_left_alone_and_looked_at_again(world: World) -> None:
    world.answers, world.is_starting = False, True
    assert world.pass_time(60) == []
    world.is_starting = False
    assert world.pass_time(10) == [NAME]


@pytest.mark.parametrize(("epoch", "status"), [(None, JobStatus.RUNNING), (1, JobStatus.STOPPED)])
def test_only_who_leads_looks_and_only_while_jobs_run(world: World, epoch: int | None, status: JobStatus) -> None:
    world.answers = False
    world.epoch, world.status = epoch, status
    assert world.pass_time(60) == []


def test_one_that_is_gone_is_not_missed(world: World) -> None:
    world.pass_time(5)
    world.answers = False
    world.pass_time(2)
    world.names.clear()
    assert world.pass_time(60) == []

"""Hosts that hang are noticed by their silence, and ended; nobody else is."""

from collections.abc import Callable

import pytest

from cluster.leader.events import HostsSeen
from cluster.leader.instructions import EndHost
from cluster.leader.limits import LeaderLimits
from cluster.leader.pulse import PERIOD_US, Pulse
from cluster.leader.status import Phase
from tests.support.leader_driver import Driver
from tests.support.partition_jobs import make_partition_job

LIMIT_US = LeaderLimits().host_silence_us


class Asked:
    """A host whose answers are given by hand."""

    def __init__(self) -> None:
        self.count = 0
        self.take: Callable[[object], None] = lambda _: None
        self.fail: Callable[[Exception], None] = lambda _: None

    def is_there(self) -> "Asked":
        self.count += 1
        return self

    def when_done(self, take: Callable[[object], None], fail: Callable[[Exception], None]) -> None:
        self.take, self.fail = take, fail


class Watched:
    """A pulse of one host, and its clock."""

    def __init__(self) -> None:
        self.now_us = 0
        self.host = Asked()
        self.pulse = Pulse(lambda: self.now_us)
        self.pulse.follow("host-0", self.host)  # type: ignore[arg-type]  # what a pulse asks of it

    def look_after(self, *passed_us: int) -> int:
        found = {}
        for one in passed_us:
            self.now_us += one
            found = self.pulse.look()
        return found.get("host-0", -1)


def test_silence_grows_while_no_answer_comes() -> None:
    watched = Watched()
    assert watched.look_after(0, 400_000, 400_000) == 800_000
    assert watched.host.count == 1


def test_a_host_that_answers_is_asked_again_after_a_rest() -> None:
    watched = Watched()
    watched.look_after(0, 400_000)
    watched.host.take(1)
    assert watched.look_after(PERIOD_US - 1) == 0
    assert watched.host.count == 1
    watched.look_after(1)
    assert watched.host.count == 2


def test_an_error_is_no_silence() -> None:
    watched = Watched()
    watched.look_after(0, 400_000)
    watched.host.fail(OSError("it has died"))
    assert watched.look_after(400_000) == 0


def test_time_in_which_this_process_did_not_run_is_no_silence() -> None:
    assert Watched().look_after(0, 3_600_000_000) == 1_000_000


def test_a_host_that_is_forgotten_is_not_asked() -> None:
    watched = Watched()
    watched.pulse.forget("host-0")
    assert watched.look_after(0) == -1
    assert watched.host.count == 0


@pytest.mark.parametrize(("silence_us", "is_ended"), [(LIMIT_US - 1, False), (LIMIT_US, True)])
def test_a_host_is_ended_when_it_has_been_silent_for_too_long(silence_us: int, is_ended: bool) -> None:
    driver = Driver(make_partition_job(), host_count=2)
    driver.look()
    found = driver.step(HostsSeen(now_us=driver.now_us, silence_us={"host-0": silence_us, "host-1": 0}))
    assert (EndHost(host="host-0") in found) is is_ended
    assert EndHost(host="host-1") not in found
    assert (driver.core.phase is Phase.RECOVERING) is is_ended


def test_the_status_says_which_host_hung() -> None:
    driver = Driver(make_partition_job(), host_count=2)
    driver.look()
    driver.step(HostsSeen(now_us=driver.now_us, silence_us={"host-1": LIMIT_US}))
    assert driver.core.status().trouble == "host-1 did not answer for 10 s and is ended"

"""Hosts start ahead on other nodes while a node that has some is away."""

from cluster.leader.events import HostsSeen, SourceOpened
from cluster.leader.instructions import EndHost, EndOtherHosts, Instruction, OpenSource, PrepareHost, Warn
from raft.commands import AssignmentChanged, JobSubmitted
from tests.support.leader_nodes import AWAY_MAX, SECOND, running, see, started


def spares(found: list[Instruction]) -> list[tuple[str, str]]:
    return [(one.host, one.node) for one in found if isinstance(one, PrepareHost)]


def test_hosts_of_a_node_that_is_away_start_ahead_elsewhere_and_get_its_partitions_there() -> None:
    driver = running("a", "b", "c", host_count=2)
    assert spares(see(driver, "b", "c")) == [("host-0", "c")]
    assert see(driver, "b", "c") == []
    # Another job has come to that node meanwhile.
    driver.decide(JobSubmitted(job_id="other", spec=b"", partition_count=1, host_count=1))
    driver.decide(AssignmentChanged(epoch=1, job_id="other", owners=((0, "host-0"),), host_nodes=(("host-0", "c"),)))
    driver.decide(JobSubmitted(job_id="third", spec=b"", partition_count=1, host_count=1))
    driver.decide(AssignmentChanged(epoch=1, job_id="third", owners=((0, "host-0"),), host_nodes=(("host-0", "c"),)))
    driver.look()
    driver.now_us += AWAY_MAX
    see(driver, "b", "c")
    driver.accept()
    assert see(driver, "b", "c") == []
    driver.wait(50_000)
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    driver.accept()
    assert ("host-0", "c") in started(driver)


def test_hosts_that_started_ahead_are_ended_when_the_node_is_back_and_start_again_when_it_is_away() -> None:
    driver = running("a", "b", host_count=2)
    assert spares(see(driver, "b")) == [("host-0", "b")]
    assert [one for one in see(driver, "a", "b") if isinstance(one, EndOtherHosts)] == [
        EndOtherHosts(hosts=("host-0", "host-1"))
    ]
    assert see(driver, "a", "b") == []
    assert spares(see(driver, "b")) == [("host-0", "b")]


def test_no_host_starts_ahead_where_others_take_over_or_nobody_could_have_it() -> None:
    driver = running("a", "b")
    assert see(driver, "a") == []
    assert see(driver) == []


def test_a_host_that_was_lost_with_its_node_is_not_ended_because_it_is_silent() -> None:
    driver = running("a", "b", host_count=2)
    see(driver, "b")
    driver.now_us += AWAY_MAX
    see(driver, "b")
    driver.accept()
    silent = {"host-0": 10 * SECOND, "host-1": 0}
    found = driver.step(HostsSeen(now_us=driver.now_us, silence_us=silent))
    assert not [one for one in found if isinstance(one, EndHost | Warn)]

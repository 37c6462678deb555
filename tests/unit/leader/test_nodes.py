"""The leader gives hosts their nodes, gives up nodes that stay away, drains nodes, and makes lost shards anew."""

from actors.partition.values import OpenedPartition
from actors.shard import ShardLostError
from actors.split_reader import SplitProgress
from cluster.leader.events import (
    BatchApplied,
    Failed,
    HostsSeen,
    NodesSeen,
    PartitionsOpened,
    ShardCopied,
    SourceOpened,
    SplitsOpened,
    SplitsRead,
)
from cluster.leader.failures import Failure, FailureKind, failure_of
from cluster.leader.instructions import (
    CopyShard,
    Deliver,
    EndHost,
    OpenPartitions,
    OpenSource,
    OpenSplits,
    Propose,
    ReadSplits,
    ReleasePartitions,
    SendBatch,
    StartHost,
    Warn,
)
from cluster.leader.status import Phase
from raft.commands import (
    AssignmentChanged,
    JobResumed,
    JobStopped,
    JobSubmitted,
    MoveFinished,
    NodeDrained,
    NodeLost,
    ScaleRequested,
    ShardRebuilt,
    SnapshotReplicated,
)
from tests.support.leader_driver import MEMBERS, Driver, kinds
from tests.support.leader_nodes import AWAY_MAX, BEGINNING, SECOND, on_nodes, opened, proposed, running, see, started
from tests.support.partition_jobs import OWN_SPLITS, SINKS


def test_hosts_are_spread_over_the_nodes_that_may_have_any() -> None:
    driver = on_nodes("a", "b", "c", "voter", host_count=2)
    driver.decide(NodeDrained(node="a"))
    see(driver, "a", "b", "c", "voter")
    driver.look()
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    driver.accept()
    assert started(driver) == [("host-0", "b"), ("host-1", "c")]


TIED = {"sinks": [{"type": "ndjson", "path": "out", "on": "b"}]}


def test_hosts_go_to_the_nodes_that_sources_and_sinks_are_on_and_stay_there() -> None:
    driver = on_nodes("a", "b", **TIED)
    driver.look()
    see(driver, "a", "b")
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    driver.accept()
    assert started(driver) == [("host-0", "b")]
    opened(driver)
    driver.decide(ScaleRequested(job_id="trades", host_count=2))
    driver.look()
    (pinned,) = proposed(driver)
    assert isinstance(pinned, AssignmentChanged)
    assert pinned.host_nodes == (("host-1", "b"),)


def test_a_job_says_that_it_waits_for_the_node_that_its_sink_is_on() -> None:
    driver = on_nodes("a", "b", **TIED)
    driver.look()
    see(driver, "a")
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    waits = "the source or the sinks of the job are on b alone, and no node there may have hosts now"
    assert driver.core.status().trouble == waits


def test_a_job_says_that_it_stays_on_a_node_that_drains_because_its_sink_is_there() -> None:
    driver = on_nodes("a", "b", **TIED)
    driver.look()
    see(driver, "a", "b")
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    driver.accept()
    opened(driver)
    assert driver.core.status().trouble is None
    driver.decide(NodeDrained(node="b"))
    driver.look()
    assert (driver.core.status().trouble or "").startswith("the source or the sinks of the job are on b alone")
    assert not proposed(driver)


def test_a_node_that_alone_has_the_source_is_not_given_up() -> None:
    driver = on_nodes("a", "b", **OWN_SPLITS | {"source": OWN_SPLITS["source"] | {"on": "b"}})
    driver.look()
    see(driver, "a", "b")
    driver.accept()
    assert started(driver) == [("host-0", "b")]
    driver.reply(StartHost)
    driver.reply(OpenSplits, SplitsOpened, earliest={0: 0, 1: 0})
    driver.reply(OpenPartitions, PartitionsOpened, opened=dict.fromkeys((0, 1), BEGINNING))
    assert driver.core.status().remarks == (
        "the stream table 'rows' is on b alone: there is no copy of it on another machine",
    )
    see(driver, "a")
    driver.now_us += 60 * SECOND
    see(driver, "a")
    assert not [one for one in proposed(driver) if isinstance(one, NodeLost)]


EACH = OWN_SPLITS | {"source": {"type": "stream", "name": "rows", "on": ["a", "b"]}}


def opened_splits(driver: Driver) -> set[int]:
    """Let hosts start and open what they are asked for; return the splits."""
    while driver.waiting(Propose):
        driver.accept()
    while driver.waiting(StartHost):
        driver.reply(StartHost)
    for one in driver.waiting(OpenSplits):
        driver.reply_to(one, SplitsOpened, earliest=dict.fromkeys(one.splits, 0))
    found: set[int] = set()
    for request in driver.waiting(OpenPartitions):
        places = {number: OpenedPartition(needed={number: 0}, reached={}) for number in request.partitions}
        driver.reply_to(request, PartitionsOpened, opened=places)
        found |= set(request.partitions)
    return found


def test_a_split_on_a_node_that_is_away_waits_for_it_and_others_go_on() -> None:
    driver = on_nodes("a", "b", "c", **EACH)
    driver.look()
    see(driver, "a", "c")
    opened_splits(driver)
    driver.wait(SECOND)
    assert opened_splits(driver) == {0}
    assert [(one.host, dict(one.offsets)) for one in driver.waiting(ReadSplits)] == [("host-0", {0: 0})]
    assert "not read, because nodes are away: partition 1 for b" in driver.core.status().remarks
    read = SplitProgress(split=0, start=0, end=4, at_end=True)
    driver.reply(ReadSplits, SplitsRead, progress=(read,))
    assert driver.core.phase is Phase.RUNNING
    see(driver, "a", "b", "c")
    assert driver.core.status().trouble == "b is there: partition 1 goes on"
    driver.wait(SECOND)
    assert opened_splits(driver) == {0, 1}
    assert driver.group.jobs["trades"].host_nodes == {"host-0": "a", "host-1": "b"}


def test_a_job_with_a_split_on_each_node_shares_a_host_there_unless_it_wants_its_own() -> None:
    driver = on_nodes("a", "b", host_count=0, **EACH)
    driver.look()
    see(driver, "a", "b")
    driver.accept()
    assert started(driver) == [("shared-0", "a"), ("shared-1", "b")]


def test_a_node_with_a_split_of_its_own_is_not_given_up_when_it_is_away_for_long() -> None:
    driver = on_nodes("a", "b", **EACH)
    driver.look()
    see(driver, "a", "b")
    assert opened_splits(driver) == {0, 1}
    see(driver, "a")
    driver.now_us += AWAY_MAX
    see(driver, "a")
    assert driver.core.phase is Phase.RUNNING
    driver.now_us += 1
    see(driver, "a")
    assert driver.core.status().trouble == "b does not answer; partition 1 waits for it, and the others go on"
    driver.wait(SECOND)
    assert opened_splits(driver) == {0}
    assert not [one for one in proposed(driver) if isinstance(one, NodeLost)]


def test_a_node_that_drains_gets_no_split_of_its_own() -> None:
    driver = on_nodes("a", "b", **EACH)
    driver.decide(NodeDrained(node="b"))
    driver.look()
    assert opened_splits(driver) == {0}


def test_a_node_that_drains_keeps_a_split_of_its_own_and_the_job_says_so() -> None:
    driver = on_nodes("a", "b", **EACH)
    driver.look()
    see(driver, "a", "b")
    assert opened_splits(driver) == {0, 1}
    driver.decide(NodeDrained(node="b"))
    driver.look()
    assert driver.core.status().trouble == "b drains, and a split of the job is there alone: stop the job to let it go"


def test_rows_are_routed_by_a_leader_that_can_read_the_source_and_else_the_job_says_why_it_waits() -> None:
    source = {"type": "stream", "name": "rows", "on": "a"}
    driver = on_nodes("a", "m0", source=source)
    driver.look()
    assert not driver.waiting(OpenSource)
    assert (driver.core.status().trouble or "").startswith(
        "the source of job 'trades' is on a alone, and the leader, which routes its rows, is on m0"
    )
    other = on_nodes("a", "m0", source=source | {"on": "m0"})
    other.look()
    assert other.waiting(OpenSource)


def test_a_job_begins_on_the_node_with_the_fewest_hosts_of_all_jobs() -> None:
    driver = on_nodes("a", "b", host_count=0)
    driver.decide(JobSubmitted(job_id="other", spec=b"", partition_count=1, host_count=0))
    driver.decide(
        AssignmentChanged(epoch=1, job_id="other", owners=((0, "shared-0"),), host_nodes=(("shared-0", "a"),))
    )
    driver.look()
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    driver.accept()
    assert started(driver) == [("shared-0", "b")]


def test_a_node_that_is_away_gets_no_hosts() -> None:
    driver = on_nodes("a", "b", host_count=2)
    driver.look()
    see(driver, "b")
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    driver.accept()
    assert started(driver) == [("host-0", "b"), ("host-1", "b")]


def test_a_job_waits_for_a_node_that_may_have_its_hosts() -> None:
    driver = on_nodes("a")
    driver.look()
    see(driver)
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    status = driver.core.status()
    assert "no node is there that may have hosts" in (status.trouble or "")
    # Nothing has failed: it was submitted while Ray starts.
    assert (status.phase, status.failure_count) == (Phase.STARTING, 0)


def test_waiting_for_a_node_is_no_further_failure() -> None:
    driver = on_nodes("a")
    driver.look()
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    driver.accept()
    driver.fail(StartHost, "the raylet died")
    assert (driver.core.phase, driver.core.status().failure_count) == (Phase.RECOVERING, 1)
    see(driver)
    driver.wait(AWAY_MAX // 2)
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    assert "a does not answer" in (driver.core.status().trouble or "")
    assert (driver.core.phase, driver.core.status().failure_count) == (Phase.RECOVERING, 1)


def test_partitions_are_opened_at_their_generations_and_no_others() -> None:
    driver = on_nodes("a")
    driver.look()
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    driver.accept()
    driver.reply(StartHost)
    request = driver.waiting(OpenPartitions)[0]
    assert (request.generations, request.are_all) == ({0: 1, 1: 1}, True)


def test_a_node_that_stays_away_is_lost_and_its_partitions_are_made_anew_elsewhere() -> None:
    driver = running("a", "b", host_count=2)
    see(driver, "b")
    driver.now_us += AWAY_MAX - 1
    see(driver, "b")
    assert proposed(driver) == []
    driver.now_us += 1
    assert kinds(see(driver, "b")) == ["Warn", "Propose"]
    assert see(driver, "b") == []
    assert proposed(driver) == [NodeLost(request_id="n/10", epoch=1, node="a")]
    driver.accept()
    assert driver.core.phase is Phase.RECOVERING
    driver.wait(50_000)
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    command = proposed(driver)[0]
    assert isinstance(command, AssignmentChanged)
    assert (command.owners, command.host_nodes) == (((0, "host-0"),), (("host-0", "b"),))
    driver.accept()
    driver.reply(StartHost)
    driver.reply(StartHost)
    assert [one.generations for one in driver.waiting(OpenPartitions)] == [{0: 2}, {1: 1}]


def test_a_node_that_answers_is_not_lost_while_its_ray_joins_another_head() -> None:
    driver = running("a", "b", host_count=2)
    for _ in range(4):
        driver.now_us += 6 * SECOND
        driver.step(NodesSeen(now_us=driver.now_us, nodes=frozenset("b"), answering=frozenset("ab")))
    assert proposed(driver) == []


def test_no_node_is_lost_while_no_other_one_could_have_its_hosts() -> None:
    driver = running("a", "b", host_count=2)
    for nodes in ((), (), ()):
        driver.now_us += 6 * SECOND
        see(driver, *nodes)
    assert proposed(driver) == []
    assert kinds(see(driver, "b")) == ["PrepareHost", "Warn", "Propose"]


def test_a_node_that_comes_back_in_time_is_not_lost() -> None:
    driver = running("a", "b", host_count=2)
    for nodes in (("b",), ("a", "b"), ("b",)):
        driver.now_us += 6 * SECOND
        see(driver, *nodes)
    driver.now_us += 6 * SECOND
    see(driver, "b")
    assert proposed(driver) == []


def test_nothing_is_started_on_a_node_that_is_away_and_its_loss_is_waited_for() -> None:
    driver = running("a", "b", host_count=2)
    see(driver, "b")
    driver.give(3)
    driver.fail(SendBatch, "no answer")
    driver.wait(50_000)
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    assert (started(driver), driver.core.phase) == ([], Phase.RECOVERING)
    assert "a does not answer; host-0 waits" in (driver.core.status().trouble or "")
    driver.wait(AWAY_MAX)
    see(driver, "b")
    driver.accept()
    # After the shortest pause, however often it was tried.
    driver.wait(50_000)
    assert driver.core.phase is Phase.OPENING
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    driver.accept()
    assert started(driver) == [("host-0", "b"), ("host-1", "b")]


def test_a_silent_host_is_ended_unless_its_node_is_away() -> None:
    driver = running("a", "b", host_count=2)
    see(driver, "b")
    silent = {"host-0": 10 * SECOND, "host-1": 0}
    assert driver.step(HostsSeen(now_us=driver.now_us, silence_us=silent)) == []
    see(driver, "a", "b")
    found = driver.step(HostsSeen(now_us=driver.now_us, silence_us=silent))
    assert [one.host for one in found if isinstance(one, EndHost)] == ["host-0"]


def test_a_node_without_hosts_of_the_job_is_no_business_of_its_leader() -> None:
    driver = running("a", "b")
    see(driver, "a")
    driver.now_us += 20 * SECOND
    see(driver, "a")
    assert proposed(driver) == []


def test_a_node_that_drains_hands_its_partitions_over_by_copies() -> None:
    driver = running("a", "b")
    driver.decide(NodeDrained(node="a"))
    driver.look()
    assert proposed(driver) == [
        AssignmentChanged(request_id="n/6", epoch=1, job_id="trades", owners=(), host_nodes=(("host-1", "b"),))
    ]
    driver.accept()
    assert started(driver) == [("host-1", "b")]
    driver.reply(StartHost)
    driver.give(0)
    driver.accept()
    copy = driver.waiting(CopyShard)[0]
    assert (copy.source, copy.target, copy.partition, copy.generation) == ("host-0", "host-1", 0, 2)
    driver.reply(CopyShard, ShardCopied)
    driver.reply(ReleasePartitions)
    request = driver.waiting(OpenPartitions)[0]
    assert (request.generations, request.are_all) == ({0: 2}, False)
    driver.reply(OpenPartitions, PartitionsOpened, opened={0: BEGINNING})
    finished = proposed(driver)[0]
    assert isinstance(finished, MoveFinished)
    assert finished.generation == 2
    driver.accept()
    assert driver.group.jobs["trades"].generations == (2, 1)
    assert driver.core.phase is Phase.SCALING


def test_nothing_moves_while_a_node_on_the_way_is_away() -> None:
    driver = running("a", "b")
    see(driver, "b")
    driver.decide(NodeDrained(node="a"))
    driver.look()
    assert proposed(driver) == []
    see(driver, "a", "b")
    assert len(proposed(driver)) == 1


def test_a_node_that_drains_alone_keeps_what_it_has() -> None:
    driver = running("a")
    driver.decide(NodeDrained(node="a"))
    driver.look()
    assert (proposed(driver), driver.core.phase) == ([], Phase.RUNNING)


def test_a_node_that_was_taken_for_a_new_host_and_drains_meanwhile_is_planned_without() -> None:
    driver = running("a", "b", "c")
    driver.decide(ScaleRequested(job_id="trades", host_count=2))
    driver.look()
    driver.decide(NodeDrained(node="b"))
    driver.accept()
    assert (driver.core.phase, driver.core.status().failure_count) == (Phase.RUNNING, 0)
    driver.wait(50_000)
    command = proposed(driver)[0]
    assert isinstance(command, AssignmentChanged)
    assert command.host_nodes == (("host-1", "c"),)


def test_a_shard_that_is_lost_is_made_anew_with_the_next_generation() -> None:
    driver = running("a", partitions=1)
    driver.give(3)
    driver.fail(SendBatch, "gone", FailureKind.SHARD_LOST)
    driver.wait(50_000)
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    assert [type(one).__name__ for one in proposed(driver)] == ["ShardRebuilt"]
    driver.accept()
    driver.reply(StartHost)
    assert driver.waiting(OpenPartitions)[0].generations == {0: 2}


def test_a_shard_that_is_newer_than_the_group_says_gets_a_generation_beyond() -> None:
    driver = running("a")
    driver.give(3)
    lost = failure_of(ShardLostError("newer", 1, 7))
    assert lost == Failure(FailureKind.SHARD_LOST, "newer", (1,), 7)
    request = driver.waiting(SendBatch)[0]
    driver.reply_to(request, Failed, failure=lost)
    driver.wait(50_000)
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    driver.accept()
    assert driver.group.jobs["trades"].generations == (1, 8)
    rebuilt = [one.command for one in driver.given if isinstance(one, Propose)][-1]
    assert isinstance(rebuilt, ShardRebuilt)


def test_a_shard_that_cannot_be_named_is_opened_again() -> None:
    driver = running("a")
    driver.give(3)
    driver.fail(SendBatch, "gone", FailureKind.SHARD_LOST)
    driver.wait(50_000)
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    assert proposed(driver) == []
    assert started(driver) == [("host-0", "a")]


def test_a_delivery_that_finds_a_shard_lost_makes_the_job_start_over() -> None:
    driver = running("a", **SINKS)
    driver.now_us += SECOND
    see(driver, "a")
    driver.fail(Deliver, "gone", FailureKind.SHARD_LOST)
    assert driver.core.phase is Phase.RECOVERING


def test_counters_go_on_when_a_job_starts_over() -> None:
    driver = running("a")
    driver.give(3)
    driver.applied(2)
    driver.give(5)
    driver.fail(SendBatch, "not mine", FailureKind.NOT_OPEN)
    driver.open_requests.clear()
    driver.wait(50_000)
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    opened(driver)
    driver.give(4)
    driver.reply(SendBatch, BatchApplied, anomaly_count=1)
    pump = driver.core.status().pump
    assert pump is not None
    assert (pump.anomaly_count, pump.dead_letter_count, pump.positions) == (3, 0, {0: 4})


def test_a_job_that_rests_loses_a_node_when_it_runs_again() -> None:
    driver = running("a", "b", host_count=2)
    driver.decide(JobStopped(job_id="trades"))
    driver.look()
    driver.give(0)
    driver.flush()
    assert driver.core.phase is Phase.STOPPED
    see(driver, "b")
    driver.now_us += 11 * SECOND
    see(driver, "b")
    assert (proposed(driver), driver.core.phase) == ([], Phase.STOPPED)
    driver.decide(JobResumed(job_id="trades"))
    driver.look()
    assert proposed(driver) == [NodeLost(request_id="n/10", epoch=1, node="a")]


def test_a_job_that_stops_does_not_wait_for_a_node_that_is_away() -> None:
    driver = running("a", "b", host_count=2)
    see(driver, "b")
    driver.decide(JobStopped(job_id="trades"))
    driver.look()
    driver.now_us += 11 * SECOND
    see(driver, "b")
    assert "a does not answer; what the job has there stays" in (driver.core.status().trouble or "")
    see(driver, "b")
    assert (proposed(driver), driver.core.phase) == ([], Phase.STOPPED)


def test_a_partition_that_is_empty_after_its_move_was_lost_on_the_way() -> None:
    driver = running("a", partitions=2)
    driver.give(3)
    driver.applied()
    driver.decide(ScaleRequested(job_id="trades", host_count=2))
    driver.look()
    driver.accept()
    driver.reply(StartHost)
    driver.accept()
    driver.reply(ReleasePartitions)
    empty = OpenedPartition(needed={}, reached={}, is_empty=True)
    driver.reply(OpenPartitions, PartitionsOpened, opened={1: empty})
    assert driver.core.phase is Phase.RECOVERING
    driver.wait(50_000)
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    driver.reply(ReleasePartitions)
    found = [type(one).__name__ for one in proposed(driver)]
    driver.accept()
    assert (found, driver.group.jobs["trades"].moves) == (["MoveAbandoned"], {})
    assert [type(one).__name__ for one in proposed(driver)] == ["ShardRebuilt"]


def test_a_shard_that_is_empty_though_it_had_rows_is_a_warning() -> None:
    driver = on_nodes("a", partitions=1)
    driver.decide(AssignmentChanged(epoch=1, job_id="trades", owners=((0, "host-0"),), host_nodes=(("host-0", "a"),)))
    driver.decide(
        SnapshotReplicated(
            epoch=1, job_id="trades", partition=0, next_offsets=((0, 5),), digest=b"d", size_bytes=1, holders=MEMBERS
        )
    )
    driver.look()
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    driver.reply(StartHost)
    empty = OpenedPartition(needed={0: 0}, reached={0: 0}, is_empty=True)
    found = driver.reply(OpenPartitions, PartitionsOpened, opened={0: empty})
    assert (
        Warn(
            phrase="a shard was lost",
            reason="partition 0 was empty when it was opened; what it had is rebuilt from the source",
        )
        in found
    )

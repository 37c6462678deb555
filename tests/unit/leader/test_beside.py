"""What goes on beside the rows: moves, checkpoints, and values that are accepted."""

import numpy as np
import polars as pl
import pytest

from actors.partition.acceptances import Acceptance
from actors.partition.values import OpenedPartition
from cluster.leader.events import Answered, PartitionsOpened, SnapshotStored, SnapshotTaken, SplitRead
from cluster.leader.instructions import (
    AcceptValues,
    DropSnapshot,
    EndOtherHosts,
    FlushDue,
    FlushHost,
    OpenPartitions,
    Propose,
    ReadSplit,
    ReleasePartitions,
    SendBatch,
    StartHost,
    StoreSnapshot,
    TakeSnapshot,
)
from cluster.leader.reading import SplitBatch
from cluster.leader.status import MoveProgress, Phase
from raft.commands import (
    AcceptancePlaced,
    Accepted,
    JobResumed,
    JobStopped,
    MoveFinished,
    MoveStarted,
    Refused,
    ScaleRequested,
    SnapshotReplicated,
    ValueAccepted,
)
from tests.support.leader_driver import MEMBERS, Driver, kinds
from tests.support.partition_jobs import make_partition_job

JOB = make_partition_job(limits={"batch_rows_max": 3, "batches_in_flight_max": 1})

BEGINNING = OpenedPartition(needed={0: 0}, reached={0: 0})

VALUE = Acceptance(acceptance_id="", key=("A",), groups=((0, ("A",)),), variable="user", value="dan", positions={})


def scaled(host_count: int, wanted: int) -> Driver:
    driver = Driver(JOB, host_count)
    driver.open({0: 0})
    driver.decide(ScaleRequested(job_id="trades", host_count=wanted))
    driver.look()
    return driver


def sent(driver: Driver, host: str) -> list[tuple[int, tuple[int, ...]]]:
    found = [one for one in driver.given if isinstance(one, SendBatch) and one.host == host]
    return [(one.batch.start, one.batch.partitions) for one in found]


def test_a_partition_moves_step_by_step_and_gets_what_was_kept_back() -> None:
    driver = scaled(1, 2)
    assert driver.core.phase is Phase.SCALING
    started = MoveStarted(request_id="n/7", epoch=1, job_id="trades", partition=1, source="host-0", target="host-1")
    assert driver.reply(StartHost) == [Propose(request=7, command=started)]
    driver.give(3)
    assert driver.accept() == [ReleasePartitions(request=10, host="host-0", partitions=(1,))]
    opened = OpenPartitions(
        request=11,
        host="host-1",
        partitions=(1,),
        earliest={},
        snapshots={},
        acceptances=(),
        generations={1: 1},
        are_all=False,
    )
    assert driver.reply(ReleasePartitions) == [opened]
    driver.reply(OpenPartitions, PartitionsOpened, opened={1: BEGINNING})
    finished = MoveFinished(request_id="n/12", epoch=1, job_id="trades", partition=1, target="host-1", generation=1)
    assert [one.command for one in driver.waiting(Propose)] == [finished]
    driver.accept()
    assert [sent(driver, name) for name in ("host-0", "host-1")] == [[(0, (0,))], [(0, (1,))]]
    assert (driver.core.phase, driver.core.status().moves) == (Phase.RUNNING, MoveProgress(done=1, planned=1))


def test_a_partition_is_released_after_every_row_that_was_read_for_it_before() -> None:
    driver = Driver(JOB)
    driver.open({0: 0})
    driver.give(3)
    driver.give(6)
    driver.decide(ScaleRequested(job_id="trades", host_count=2))
    driver.look()
    driver.reply(StartHost)
    assert (driver.accept(), sent(driver, "host-0")) == ([], [(0, (0, 1))])
    assert kinds(driver.applied()) == ["SendBatch", "ReleasePartitions", "ReadSplit"]
    assert sent(driver, "host-0") == [(0, (0, 1)), (3, (0, 1))]


def test_what_is_kept_back_is_bounded() -> None:
    driver = scaled(1, 2)
    driver.reply(StartHost)
    driver.give(1)
    for end in (2, 3, 4):
        driver.applied()
        driver.give(end)
    driver.applied()
    assert (driver.waiting(ReadSplit), driver.waiting(SendBatch)) == ([], [])


def test_a_job_that_is_stopped_before_its_new_hosts_have_started_moves_nothing() -> None:
    driver = scaled(1, 2)
    driver.decide(JobStopped(job_id="trades"))
    driver.look()
    driver.reply(StartHost)
    driver.give(0)
    driver.flush()
    assert (driver.core.phase, driver.waiting(Propose)) == (Phase.STOPPED, [])


def test_a_host_that_owns_nothing_any_more_is_ended_once_it_has_answered() -> None:
    driver = scaled(2, 1)
    driver.reply(StartHost)
    driver.give(3)
    driver.accept()
    driver.reply(ReleasePartitions)
    driver.reply(OpenPartitions, PartitionsOpened, opened={1: BEGINNING})
    assert EndOtherHosts(hosts=("host-0",)) in driver.accept()


def test_hosts_that_a_leader_before_has_left_idle_are_ended_when_the_job_is_open() -> None:
    driver = Driver(JOB, 2)
    driver.open({0: 0})
    assert [one for one in driver.given if isinstance(one, EndOtherHosts)] == [
        EndOtherHosts(hosts=("host-0", "host-1"))
    ]


def test_a_job_goes_on_where_it_is_while_a_new_host_does_not_start() -> None:
    driver = scaled(1, 2)
    assert [one.host for one in driver.waiting(StartHost)] == ["host-1"]
    driver.fail(StartHost, "no memory left")
    status = driver.core.status()
    assert (status.phase, status.failure_count) == (Phase.RUNNING, 0)
    assert status.trouble == "host-1 does not start: no memory left"
    assert "SendBatch" in kinds(driver.give(3))
    assert [kinds(driver.wait(49_999)), kinds(driver.wait(1))] == [[], ["StartHost"]]
    assert kinds(driver.reply(StartHost)) == ["Propose"]
    assert driver.core.status().trouble is None


def test_a_job_that_is_stopped_while_a_host_starts_ends_that_host_and_may_go_on() -> None:
    driver = scaled(1, 2)
    driver.decide(JobStopped(job_id="trades"))
    driver.look()
    driver.give(3)
    driver.applied()
    assert driver.waiting(FlushHost) == []
    assert kinds(driver.reply(StartHost)) == ["EndOtherHosts", "FlushHost"]
    driver.flush()
    assert driver.core.phase is Phase.STOPPED
    driver.decide(JobResumed(job_id="trades"))
    assert kinds(driver.look()) == ["StartHost", "ReadSplit"]
    assert kinds(driver.reply(StartHost)) == ["Propose"]


def test_a_checkpoint_is_recorded_when_a_majority_stores_each_snapshot() -> None:
    job = make_partition_job(partitions=1)
    driver = Driver(job, member_ids=MEMBERS)
    driver.open({0: 0})
    driver.give(3, at_end=True)
    driver.applied()
    driver.flush()
    taking = driver.waiting(TakeSnapshot)[0]
    stores = driver.reply(TakeSnapshot, SnapshotTaken, offsets={0: 3})
    assert [(one.member, one.snapshot) for one in stores if isinstance(one, StoreSnapshot)] == [
        (name, taking.request) for name in MEMBERS
    ]
    driver.fail(StoreSnapshot, "m0 is gone")
    for _ in range(2):
        driver.reply(StoreSnapshot, SnapshotStored, digest=b"d", size_bytes=9)
    manifest = driver.waiting(Propose)[0].command
    assert isinstance(manifest, SnapshotReplicated)
    assert (manifest.next_offsets, manifest.holders) == (((0, 3),), ("m1", "m2"))
    assert driver.accept()[0] == DropSnapshot(snapshot=taking.request)


def ending(partition_count: int, host_count: int) -> Driver:
    """Return a driver with a job that has its last checkpoint before it."""
    driver = Driver(make_partition_job(partitions=partition_count), host_count, member_ids=MEMBERS)
    driver.open({0: 0})
    driver.give(3, at_end=True)
    while driver.waiting(SendBatch):
        driver.applied()
    driver.flush()
    return driver


def taken(driver: Driver) -> list[tuple[str, int]]:
    return [(one.host, one.partition) for one in driver.waiting(TakeSnapshot)]


def store(driver: Driver) -> None:
    """Let the members store everything that they are given, and the group know it."""
    while driver.waiting(StoreSnapshot):
        driver.reply(StoreSnapshot, SnapshotStored, digest=b"d", size_bytes=9)
    while isinstance(driver.waiting(Propose)[0].command, SnapshotReplicated):
        driver.accept()


def test_a_host_makes_one_snapshot_after_the_other_while_others_are_stored() -> None:
    driver = ending(6, 2)
    assert taken(driver) == [("host-0", 0), ("host-1", 1)]
    driver.reply(TakeSnapshot, SnapshotTaken, offsets={0: 3})
    driver.reply(TakeSnapshot, SnapshotTaken, offsets={0: 3})
    assert taken(driver) == [("host-0", 2), ("host-1", 3)]
    driver.reply(TakeSnapshot, SnapshotTaken, offsets={0: 3})
    # Four are on their way by now.
    assert taken(driver) == [("host-1", 3)]
    for _ in MEMBERS:
        driver.reply(StoreSnapshot, SnapshotStored, digest=b"d", size_bytes=9)
    driver.accept()
    assert taken(driver) == [("host-1", 3), ("host-0", 4)]


def test_while_rows_go_on_partitions_are_captured_together_and_hosts_of_a_node_share_a_part_of_a_core() -> None:
    driver = Driver(make_partition_job(partitions=6, snapshot_interval_rows=1), 2, member_ids=MEMBERS)
    driver.open({0: 0})
    give_a_row(driver, 0)
    while driver.waiting(SendBatch):
        driver.applied()
    assert taken(driver) == [("host-0", 0), ("host-1", 1), ("host-0", 2), ("host-1", 3)]
    assert {one.core_share for one in driver.waiting(TakeSnapshot)} == {1 / 24}


def test_a_checkpoint_that_runs_when_the_rows_end_is_cut_short_for_the_last_one() -> None:
    driver = Driver(make_partition_job(partitions=2, snapshot_interval_rows=1), 2, member_ids=MEMBERS)
    driver.open({0: 0})
    give_a_row(driver, 0)
    slow, _ = driver.waiting(TakeSnapshot)
    said = driver.give(3, at_end=True)
    while driver.waiting(SendBatch):
        said += driver.applied()
    assert DropSnapshot(snapshot=slow.request) in said
    driver.reply_to(slow, SnapshotTaken, offsets={0: 1})
    assert driver.waiting(StoreSnapshot) == []
    driver.flush()
    assert taken(driver)[-2:] == [("host-0", 0), ("host-1", 1)]
    assert driver.waiting(TakeSnapshot)[-1].core_share == 1


@pytest.mark.parametrize(("took_us", "pause_us"), [(2_000_000, 8_000_000), (20_000_000, 60_000_000)])
def test_after_a_checkpoint_there_is_a_pause_in_proportion_to_its_time(took_us: int, pause_us: int) -> None:
    driver = Driver(make_partition_job(partitions=1, snapshot_interval_rows=1), member_ids=MEMBERS)
    driver.open({0: 0})
    give_a_row(driver, 0)
    driver.wait(took_us)
    driver.reply(TakeSnapshot, SnapshotTaken, offsets={0: 1})
    for _ in MEMBERS:
        driver.reply(StoreSnapshot, SnapshotStored, digest=b"d", size_bytes=9)
    driver.accept()
    give_a_row(driver, 1)
    driver.wait(pause_us // 2)
    # Nothing may wait for a minute.
    give_a_row(driver, 2)
    driver.wait(pause_us // 2 - 1)
    assert taken(driver) == []
    driver.wait(1)
    assert taken(driver) == [("host-0", 0)]


def give_a_row(driver: Driver, offset: int) -> None:
    """Answer the read that waits with a row, and the batch that follows."""
    request = driver.waiting(ReadSplit)[0]
    rows = {0: (pl.DataFrame({"qty": [1]}), np.array([offset]))}
    batch = SplitBatch(split=0, start=offset, end=offset + 1, rows=rows)
    driver.reply_to(request, SplitRead, batch=batch)
    driver.applied()
    while driver.waiting(FlushDue):
        driver.reply(FlushDue)


def test_a_snapshot_that_fails_keeps_those_on_their_way_from_nothing() -> None:
    driver = ending(6, 2)
    driver.reply(TakeSnapshot, SnapshotTaken, offsets={0: 3})
    driver.fail(TakeSnapshot, "host-1 is busy")
    assert taken(driver) == [("host-0", 2)]
    driver.reply(TakeSnapshot, SnapshotTaken, offsets={0: 3})
    store(driver)
    assert sorted(driver.group.jobs["trades"].manifests) == [0, 2]
    assert type(driver.waiting(Propose)[0].command).__name__ == "JobFinished"


def test_a_snapshot_that_no_majority_stores_is_not_recorded_and_stops_nothing() -> None:
    job = make_partition_job(partitions=1)
    driver = Driver(job, member_ids=MEMBERS)
    driver.open({0: 0})
    driver.give(3, at_end=True)
    driver.applied()
    driver.flush()
    driver.reply(TakeSnapshot, SnapshotTaken, offsets={0: 3})
    for digest in (b"x", b"y"):
        driver.reply(StoreSnapshot, SnapshotStored, digest=digest, size_bytes=9)
    assert kinds(driver.wait(30_000_000)) == ["Warn", "DropSnapshot", "Warn", "Propose"]
    assert type(driver.waiting(Propose)[0].command).__name__ == "JobFinished"


def test_an_accepted_value_gets_a_place_that_no_row_has_reached_and_hosts_know_it_first() -> None:
    driver = Driver(JOB)
    driver.open({0: 0}, {0: {0: 2}, 1: {0: 4}}, reached={0: 9})
    driver.decide(ValueAccepted(request_id="v", job_id="trades", content=VALUE.to_bytes()))
    driver.look()
    assert driver.waiting(Propose) == []
    driver.give(5)
    placed = driver.waiting(Propose)[0].command
    assert isinstance(placed, AcceptancePlaced)
    assert (placed.acceptance_id, placed.positions) == ("v", ((0, 9),))
    driver.applied()
    assert driver.waiting(ReadSplit) == []
    value = VALUE.placed("v", {0: 9}).to_bytes()
    assert driver.accept() == [AcceptValues(request=8, host="host-0", acceptances=(value,))]
    assert kinds(driver.reply(AcceptValues)) == ["ReadSplit"]


def test_a_place_is_proposed_again_until_there_is_an_answer() -> None:
    driver = Driver(JOB)
    driver.open({0: 0})
    driver.give(3)
    driver.give(6)
    driver.applied()
    driver.decide(ValueAccepted(request_id="v", job_id="trades", content=VALUE.to_bytes()))
    driver.look()
    driver.give(9)
    first = driver.waiting(Propose)[0]
    driver.fail(Propose, "no majority")
    assert driver.wait(50_000) == [first]
    assert driver.waiting(ReadSplit) == []


def test_a_place_that_is_refused_makes_the_job_start_over() -> None:
    driver = Driver(JOB)
    driver.open({0: 0})
    driver.decide(ValueAccepted(request_id="v", job_id="trades", content=VALUE.to_bytes()))
    driver.look()
    driver.give(3)
    driver.reply(Propose, Answered, answer=Refused(reason="epoch 1 is not current"))
    assert driver.core.phase is Phase.RECOVERING
    assert driver.core.status().trouble == "epoch 1 is not current"


def test_a_move_and_its_answer_are_known_by_the_answer_alone() -> None:
    driver = scaled(1, 2)
    driver.reply(StartHost)
    asked = driver.reply(Propose, Answered, answer=Accepted(epoch=1))
    assert kinds(asked) == ["ReleasePartitions"]

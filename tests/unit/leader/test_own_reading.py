"""Hosts read the splits of their own partitions: the leader asks, counts, and begins anew when something is wrong."""

from typing import Any

import pytest

from actors.partition.values import OpenedPartition
from actors.split_reader import SplitProgress
from cluster.leader.clock import ElapsedTime
from cluster.leader.desk import Desk
from cluster.leader.events import HostFlushed, PartitionsOpened, SplitsOpened, SplitsRead
from cluster.leader.failures import FailureKind
from cluster.leader.instructions import (
    FlushDue,
    FlushHost,
    Instruction,
    OpenPartitions,
    OpenSplits,
    Propose,
    ReadSnapshot,
    ReadSplits,
    ReleasePartitions,
    SendBatch,
    StartHost,
)
from cluster.leader.lanes import Lanes
from cluster.leader.limits import LeaderLimits
from cluster.leader.own_reading import OwnReading
from cluster.leader.positions import Positions
from cluster.leader.status import JobSummary, Phase
from raft.commands import ScaleRequested, SnapshotReplicated
from tests.support.leader_driver import MEMBERS, Driver, kinds
from tests.support.partition_jobs import OWN_SPLITS, make_partition_job

JOB = make_partition_job(limits={"batch_rows_max": 3, "batches_in_flight_max": 2}, **OWN_SPLITS)


def opened(host_count: int = 1, earliest: int = 0, **options: Any) -> Driver:
    """Return a driver whose partitions are open; each needs its split from the beginning."""
    driver = Driver(JOB, host_count, **options)
    driver.look()
    open_partitions(driver, earliest)
    return driver


def open_partitions(driver: Driver, earliest: int = 0) -> None:
    while driver.waiting(Propose):
        driver.accept()
    while driver.waiting(StartHost):
        driver.reply(StartHost)
    for splits in driver.waiting(OpenSplits):
        driver.reply_to(splits, SplitsOpened, earliest=dict.fromkeys(splits.splits, earliest))
    for request in driver.waiting(OpenPartitions):
        marks = {number: OpenedPartition(needed={number: earliest}, reached={}) for number in request.partitions}
        driver.reply_to(request, PartitionsOpened, opened=marks)


def read(driver: Driver, *progress: SplitProgress) -> list[Instruction]:
    """Answer the oldest request to read."""
    return driver.reply(ReadSplits, SplitsRead, progress=progress)


def went(split: int, start: int, end: int, **more: Any) -> SplitProgress:
    return SplitProgress(split=split, start=start, end=end, row_count=end - start, **more)


def asked(driver: Driver) -> dict[str, dict[int, int]]:
    return {one.host: dict(one.offsets) for one in driver.waiting(ReadSplits)}


def test_each_host_is_asked_for_the_splits_of_its_partitions_and_nothing_is_sent() -> None:
    driver = opened(host_count=2)
    assert asked(driver) == {"host-0": {0: 0}, "host-1": {1: 0}}
    read(driver, went(0, 0, 6))
    assert asked(driver) == {"host-1": {1: 0}, "host-0": {0: 6}}
    assert not [one for one in driver.given if isinstance(one, SendBatch)]
    pump = driver.core.status().pump
    assert pump is not None
    assert (pump.row_count, dict(pump.positions)) == (6, {0: 6, 1: 0})


def test_whose_turn_was_last_comes_last() -> None:
    driver = opened()
    read(driver, went(0, 0, 6))
    assert list(asked(driver)["host-0"].items()) == [(1, 0), (0, 6)]


def test_a_host_is_asked_for_as_many_batches_as_take_a_flush_period() -> None:
    driver = opened()
    counts = []
    for number, took_us in enumerate((0, 0, 60_000, 200_000, 60_000, 0)):
        counts.append(driver.waiting(ReadSplits)[0].batch_count_max)
        driver.wait(took_us)
        read(driver, went(0, number, number + 1))
    assert counts == [1, 2, 2, 2, 1, 1]
    assert driver.waiting(ReadSplits)[0].batch_count_max == 2


def test_a_host_with_nothing_new_is_asked_again_after_pauses_that_grow() -> None:
    driver = opened()
    pauses = []
    for _ in range(7):
        read(driver, went(0, 0, 0), went(1, 0, 0))
        pause = 0
        while not driver.waiting(ReadSplits):
            driver.wait(10_000)
            pause += 10_000
        pauses.append(pause)
    assert pauses == [10_000, 20_000, 40_000, 80_000, 160_000, 160_000, 160_000]


@pytest.mark.parametrize(("took_us", "pause_us"), [(30_000, 30_000), (5_000_000, 1_000_000)])
def test_an_owner_reads_for_half_of_the_time_while_its_copy_is_to_come(took_us: int, pause_us: int) -> None:
    clock = ElapsedTime()
    clock.pass_to(1)
    desk = Desk("n", clock, LeaderLimits(), 1.0)
    marks = {number: OpenedPartition(needed={number: 0}, reached={}) for number in (0, 1)}
    to_come = {1}
    reading = OwnReading(
        desk,
        JOB,
        Lanes({0: "host-0", 1: "host-1"}, 2, 4),
        Positions(marks, {0: 0, 1: 0}, are_own=True),
        to_come.__contains__,
    )

    def hosts_asked() -> dict[str, ReadSplits]:
        reading.read()
        reading.validate()
        return {one.host: one for one in desk.take_out() if isinstance(one, ReadSplits)}

    first = hosts_asked()
    clock.pass_to(1 + took_us)
    for split, host in enumerate(("host-0", "host-1")):
        desk.settle(SplitsRead(now_us=0, request=first[host].request, progress=(went(split, 0, 3),)))
    assert set(hosts_asked()) == {"host-0"}
    clock.pass_to(took_us + pause_us)
    assert set(hosts_asked()) == set()
    clock.pass_to(1 + took_us + pause_us)
    second = hosts_asked()
    assert set(second) == {"host-1"}
    # It has been as far.
    to_come.clear()
    desk.settle(SplitsRead(now_us=0, request=second["host-1"].request, progress=(went(1, 3, 6),)))
    assert set(hosts_asked()) == {"host-1"}


def test_hosts_flush_though_one_of_them_reads_on() -> None:
    driver = opened(host_count=2)
    driver.wait(99_999)
    assert not driver.waiting(FlushDue)
    driver.wait(1)
    assert [one.host for one in driver.waiting(FlushDue)] == ["host-0", "host-1"]


def test_a_split_whose_source_fails_waits_and_others_go_on() -> None:
    driver = opened()
    read(driver, went(0, 0, 3), went(1, 0, 0, trouble="split 1 of the source: gone"))
    assert asked(driver) == {"host-0": {0: 3}}
    assert (driver.core.phase, driver.core.status().trouble) == (Phase.RUNNING, "host-0: split 1 of the source: gone")
    driver.wait(50_000)
    read(driver, went(0, 3, 6))
    assert asked(driver) == {"host-0": {1: 0, 0: 6}}
    read(driver, went(1, 0, 3))
    assert driver.core.status().trouble is None


def test_partitions_learn_of_the_gap_when_the_next_rows_are_gone() -> None:
    driver = opened()
    gone = went(0, 0, 0, trouble="split 0 of the source: it begins at 4 now", gone_until=4)
    assert kinds(read(driver, gone)) == ["CloseSource", "Warn"]
    driver.wait(50_000)
    open_partitions(driver, earliest=4)
    assert [dict(one.earliest) for one in driver.given if isinstance(one, OpenPartitions)][-1] == {0: 4, 1: 4}


def test_a_snapshot_is_read_only_for_a_partition_whose_own_split_has_lost_its_beginning() -> None:
    driver = Driver(JOB, member_ids=MEMBERS)
    driver.look()
    while driver.waiting(Propose):
        driver.accept()
    for partition in (0, 1):
        driver.decide(
            SnapshotReplicated(
                epoch=1, job_id="trades", partition=partition, next_offsets=((partition, 9),), digest=b"d" * 32,
                size_bytes=1, holders=MEMBERS[:2],
            )
        )  # fmt: skip
    driver.look()
    driver.fail(StartHost, "not yet")
    driver.wait(50_000)
    driver.reply(StartHost)
    driver.reply(OpenSplits, SplitsOpened, earliest={0: 0, 1: 4})
    assert [one.partition for one in driver.waiting(ReadSnapshot)] == [1]


def test_a_source_with_other_splits_than_partitions_ends_the_job() -> None:
    driver = Driver(JOB)
    driver.look()
    driver.accept()
    driver.reply(StartHost)
    driver.fail(OpenSplits, "the source has 3 splits", FailureKind.FATAL)
    driver.accept()
    assert driver.core.phase is Phase.FAILED
    assert driver.group.jobs["trades"].summary == JobSummary(failed="host-0: the source has 3 splits").to_bytes()


def test_a_host_that_does_not_answer_makes_the_job_start_over() -> None:
    driver = opened()
    assert kinds(driver.wait(60_000_000))[:2] == ["CloseSource", "Warn"]


def test_a_partition_that_moves_is_not_read_until_its_new_host_has_it() -> None:
    driver = opened()
    driver.decide(ScaleRequested(job_id="trades", host_count=2))
    driver.look()
    driver.reply(StartHost)
    driver.accept()
    read(driver, went(0, 0, 3), went(1, 0, 3))
    assert asked(driver) == {"host-0": {0: 3}}
    driver.reply(ReleasePartitions)
    (request,) = driver.waiting(OpenPartitions)
    driver.reply_to(request, PartitionsOpened, opened={1: OpenedPartition(needed={1: 3}, reached={1: 3})})
    assert asked(driver) == {"host-0": {0: 3}}
    driver.accept()
    assert asked(driver) == {"host-0": {0: 3}, "host-1": {1: 3}}


def test_a_partition_whose_split_has_no_rows_yet_may_be_empty_on_its_new_host() -> None:
    driver = opened()
    driver.decide(ScaleRequested(job_id="trades", host_count=2))
    driver.look()
    driver.reply(StartHost)
    driver.accept()
    read(driver, went(0, 0, 3), went(1, 0, 0))
    driver.reply(ReleasePartitions)
    (request,) = driver.waiting(OpenPartitions)
    empty = OpenedPartition(needed={1: 0}, reached={}, is_empty=True)
    driver.reply_to(request, PartitionsOpened, opened={1: empty})
    driver.accept()
    assert (asked(driver)["host-1"], driver.core.status().failure_count) == ({1: 0}, 0)


def test_the_job_ends_when_every_split_has_and_each_partition_has_its_own() -> None:
    driver = opened()
    read(driver, went(0, 0, 5, at_end=True), went(1, 0, 7, at_end=True))
    assert not driver.waiting(ReadSplits)
    driver.reply(FlushHost, HostFlushed, committed={0: {0: 5}, 1: {1: 7}})
    driver.accept()
    assert driver.core.phase is Phase.FINISHED


def test_rows_that_a_host_has_lost_before_the_end_are_read_again() -> None:
    driver = opened()
    read(driver, went(0, 0, 5, at_end=True), went(1, 0, 7, at_end=True))
    driver.reply(FlushHost, HostFlushed, committed={0: {0: 5}, 1: {1: 6}})
    assert driver.core.status().trouble == "host-0 has lost rows of partition 1; they are sent again"

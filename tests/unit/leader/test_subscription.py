"""The leader sends every batch once, in order, to all hosts, never too much at a time, and ends when all is durable."""

import pytest

from actors.host_batch import HostBatch
from cluster.leader.events import Delivered, Failed, HostFlushed, SourceOpened
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.instructions import (
    CloseSource,
    Deliver,
    FlushDue,
    FlushHost,
    OpenSource,
    Propose,
    ReadSplit,
    SendBatch,
)
from cluster.leader.positions import first_needed
from cluster.leader.status import JobSummary, Phase, PumpStat
from raft.commands import JobResumed, JobStopped
from tests.support.leader_driver import Driver, kinds
from tests.support.partition_jobs import SINKS, TWO_SINKS, make_partition_job

JOB = make_partition_job(limits={"batch_rows_max": 3, "batches_in_flight_max": 2})

SINK_JOB = make_partition_job(**SINKS)

FULL = {SINK_JOB.sinks[0].identity: "no space left"}


def batch(start: int, end: int, *partitions: int, split: int = 0) -> HostBatch:
    return HostBatch(split=split, start=start, end=end, partitions=partitions, rows={}, dead_letters={})


def sent(driver: Driver, host: str) -> list[tuple[int, int, tuple[int, ...]]]:
    found = [one for one in driver.given if isinstance(one, SendBatch) and one.host == host]
    return [(one.batch.start, one.batch.end, one.batch.partitions) for one in found]


def opened(host_count: int = 1, splits: int = 1) -> Driver:
    driver = Driver(JOB, host_count)
    driver.open(dict.fromkeys(range(splits), 0))
    return driver


def test_every_host_gets_every_batch_with_the_partitions_it_is_for() -> None:
    driver = opened(host_count=2)
    assert driver.give(3) == [
        SendBatch(request=8, host="host-0", batch=batch(0, 3, 0)),
        SendBatch(request=9, host="host-1", batch=batch(0, 3, 1)),
        ReadSplit(request=10, split=0, offset=3, row_count_max=3),
    ]


def test_splits_take_turns_until_each_has_ended() -> None:
    driver = opened(splits=2)
    for end, at_end in ((3, False), (2, True), (6, False), (7, True)):
        driver.give(end, at_end=at_end)
        driver.applied()
    assert [(one.batch.split, one.batch.end) for one in driver.given if isinstance(one, SendBatch)] == [
        (0, 3), (1, 2), (0, 6), (0, 7),
    ]  # fmt: skip
    assert kinds(driver.given)[-1] == "FlushHost"


def test_a_slow_host_gets_no_more_than_it_may_and_then_nothing_is_read() -> None:
    driver = opened(host_count=2)
    for end in (3, 6, 9):
        driver.give(end)
        for request in driver.waiting(SendBatch):
            if request.host == "host-1":
                driver.open_requests.remove(request)
                driver.step(applied(driver, request.request))
    assert [sent(driver, name)[-1][1] for name in ("host-0", "host-1")] == [6, 9]
    assert driver.waiting(ReadSplit) == []
    assert kinds(driver.applied()) == ["SendBatch", "ReadSplit"]
    assert sent(driver, "host-0")[-1] == (6, 9, (0,))


def applied(driver: Driver, request: int) -> object:
    from cluster.leader.events import BatchApplied

    return BatchApplied(now_us=driver.now_us, request=request, anomaly_count=0)


def test_anomalies_are_counted_when_hosts_answer() -> None:
    driver = opened()
    driver.give(3)
    before = driver.core.status().pump
    driver.applied(12)
    after = driver.core.status().pump
    assert before is not None
    assert after is not None
    assert (before.anomaly_count, after.anomaly_count, after.positions) == (0, 12, {0: 3})


def test_what_a_host_refuses_makes_the_job_start_over() -> None:
    driver = opened()
    driver.give(3)
    assert kinds(driver.fail(SendBatch, "not mine", FailureKind.NOT_OPEN)) == ["CloseSource", "Warn"]
    assert driver.core.phase is Phase.RECOVERING


def test_a_newer_leader_ends_this_one() -> None:
    driver = opened()
    driver.give(3)
    driver.fail(SendBatch, "epoch 1 is over", FailureKind.STALE)
    assert (driver.core.phase, driver.wait(60_000_000)) == (Phase.SUPERSEDED, [])


def test_a_source_with_nothing_new_is_looked_at_again_after_a_while() -> None:
    driver = opened()
    assert driver.give(0) == []
    assert [driver.wait(9_999), kinds(driver.wait(1))] == [[], ["ReadSplit"]]


def test_hosts_flush_while_no_rows_come() -> None:
    driver = opened()
    driver.give(0)
    driver.wait(99_999)
    assert driver.waiting(FlushDue) == []
    driver.wait(1)
    assert [flush.host for flush in driver.waiting(FlushDue)] == ["host-0"]


def test_a_source_that_fails_is_opened_again_and_the_partitions_stay_open() -> None:
    driver = opened()
    driver.give(3)
    assert driver.fail(ReadSplit, "gone") == [CloseSource()]
    assert (driver.core.phase, driver.core.status().trouble) == (Phase.RUNNING, "gone")
    assert kinds(driver.wait(50_000)) == ["OpenSource"]
    driver.fail(OpenSource, "still gone")
    assert [driver.wait(99_999), kinds(driver.wait(1))] == [[], ["OpenSource"]]
    again = driver.reply(OpenSource, SourceOpened, earliest={0: 2})
    assert [(one.offset, driver.core.status().failure_count) for one in again if isinstance(one, ReadSplit)] == [(3, 0)]
    driver.give(5)
    assert driver.core.status().trouble is None


def test_a_source_that_lost_the_next_rows_lets_partitions_know_of_the_gap() -> None:
    driver = opened()
    driver.give(3)
    driver.fail(ReadSplit, "gone")
    driver.wait(50_000)
    assert kinds(driver.reply(OpenSource, SourceOpened, earliest={0: 4})) == ["CloseSource", "Warn"]
    assert driver.core.status().trouble == "split 0 of the source begins at 4 now; rows before are gone"


def test_a_job_finishes_when_all_is_applied_durable_and_recorded() -> None:
    driver = opened()
    driver.give(3, at_end=True)
    assert kinds(driver.applied()) == ["FlushHost"]
    assert driver.core.phase is Phase.FINISHING
    driver.flush()
    assert [type(one.command).__name__ for one in driver.waiting(Propose)] == ["JobFinished"]
    driver.accept()
    assert driver.core.phase is Phase.FINISHED


@pytest.mark.parametrize("committed", [{}, {0: {0: 3}}, {0: {0: 3}, 1: {0: 2}}])
def test_a_host_that_has_lost_what_it_was_sent_is_noticed_at_the_end(committed: dict[int, dict[int, int]]) -> None:
    driver = opened()
    driver.give(3, at_end=True)
    driver.applied()
    driver.reply(FlushHost, HostFlushed, committed=committed)
    assert driver.core.phase is Phase.RECOVERING
    assert "host-0 has lost rows of partition" in str(driver.core.status().trouble)


def test_sinks_are_fed_by_one_call_at_a_time() -> None:
    driver = Driver(SINK_JOB)
    driver.open({0: 0})
    driver.wait(100_000)
    driver.wait(100_000)
    assert [one.host for one in driver.waiting(Deliver)] == ["host-0"]
    driver.delivered(5)
    driver.wait(100_000)
    assert len(driver.waiting(Deliver)) == 1


def test_a_sink_that_fails_is_said_and_tried_again_while_rows_go_on() -> None:
    driver = Driver(SINK_JOB)
    driver.open({0: 0})
    driver.wait(100_000)
    assert driver.fail(Deliver, "no space left", FailureKind.SINK) == []
    assert (driver.core.phase, driver.core.status().sink_troubles) == (Phase.RUNNING, FULL)
    assert driver.core.status().failure_count == 0
    assert "SendBatch" in kinds(driver.give(3))
    driver.wait(50_000)
    driver.delivered(5)
    assert driver.core.status().sink_troubles == {}


def test_a_sink_does_not_wait_for_another_one_that_fails() -> None:
    driver = Driver(make_partition_job(**TWO_SINKS))
    driver.open({0: 0})
    driver.wait(100_000)
    for _ in range(6):
        first, second = sorted(driver.waiting(Deliver), key=lambda one: one.sink)
        driver.reply_to(first, Failed, failure=Failure(FailureKind.SINK, "no space left"))
        driver.reply_to(second, Delivered, count=5)
        driver.wait(100_000)
        assert second.sink in [one.sink for one in driver.waiting(Deliver)]
        driver.wait(2_000_000)
    assert list(driver.core.status().sink_troubles) == [driver.job.sinks[0].identity]


def test_a_delivery_to_a_host_that_has_just_given_up_its_partitions_stops_nothing() -> None:
    driver = Driver(SINK_JOB)
    driver.open({0: 0})
    driver.wait(100_000)
    assert driver.fail(Deliver, "owns no partition", FailureKind.NOT_OPEN) == []
    assert (driver.core.phase, driver.core.status().sink_troubles) == (Phase.RUNNING, {})


def test_a_job_is_finished_only_when_its_outboxes_are_empty() -> None:
    driver = Driver(SINK_JOB)
    driver.open({0: 0})
    driver.give(3, at_end=True)
    driver.applied()
    driver.flush()
    driver.fail(Deliver, "no space left", FailureKind.SINK)
    assert (driver.core.phase, driver.core.status().sink_troubles) == (Phase.FINISHING, FULL)
    assert [driver.wait(49_999), kinds(driver.wait(1))] == [[], ["Deliver"]]
    assert kinds(driver.delivered(2)) == ["Deliver"]
    assert kinds(driver.delivered(0)) == ["Propose"]


def test_a_job_that_is_stopped_is_durable_and_says_what_waits() -> None:
    driver = Driver(SINK_JOB)
    driver.open({0: 0})
    driver.give(3)
    driver.decide(JobStopped(job_id="trades"))
    driver.look()
    driver.give(4)
    driver.applied()
    driver.applied()
    driver.flush()
    assert kinds(driver.fail(Deliver, "no space left", FailureKind.SINK)) == ["EndSampler"]
    assert (driver.core.phase, driver.core.status().sink_troubles) == (Phase.STOPPED, FULL)
    driver.decide(JobResumed(job_id="trades"))
    assert kinds(driver.look()) == ["ReadSplit"]


@pytest.mark.parametrize(
    ("needed", "earliest", "expected"),
    [
        ([{0: 7, 1: 2}, {0: 5, 1: 9}], {0: 0, 1: 0}, {0: 5, 1: 2}),
        ([{0: 7}, {}], {0: 3}, {0: 3}),
        ([], {0: 3}, {0: 3}),
        ([{0: 7, 9: 1}], {0: 0}, {0: 7}),
    ],
)
def test_the_first_offset_needed_is_the_lowest_of_all_partitions(
    needed: list[dict[int, int]], earliest: dict[int, int], expected: dict[int, int]
) -> None:
    assert first_needed(needed, earliest) == expected


def test_the_group_keeps_how_a_job_has_ended() -> None:
    stat = PumpStat(row_count=3, positions={0: 3, 7: 1}, at_end=True)
    for summary in (JobSummary(), JobSummary(failed="no space"), JobSummary(pump=stat, finished_us=5)):
        assert JobSummary.from_bytes(summary.to_bytes()) == summary
    assert JobSummary.from_bytes(b"") == JobSummary()

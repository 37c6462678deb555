"""The leader opens a job's partitions, one stage after the other, whatever its predecessor has left."""

from actors.partition.values import OpenedPartition
from cluster.leader.events import Answered, Done, Failed, GroupSeen, PartitionsOpened, SnapshotFound, SourceOpened
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.instructions import (
    CloseSource,
    EndOtherHosts,
    OpenPartitions,
    OpenSource,
    Propose,
    ReadSnapshot,
    ReadSplit,
    ReleasePartitions,
    StartHost,
    Warn,
)
from cluster.leader.status import Phase
from raft.commands import (
    Accepted,
    AssignmentChanged,
    MoveAbandoned,
    MoveStarted,
    SnapshotReplicated,
)
from tests.support.leader_driver import MEMBERS, Driver, kinds
from tests.support.partition_jobs import make_partition_job

JOB = make_partition_job()

OWNERS = AssignmentChanged(epoch=1, job_id="trades", owners=((0, "host-0"), (1, "host-1")))


def test_a_new_job_is_opened_stage_by_stage() -> None:
    core = Driver(JOB, host_count=2).core
    state = Driver(JOB, host_count=2).group
    proposal = AssignmentChanged(request_id="n/2", epoch=1, job_id="trades", owners=((0, "host-0"), (1, "host-1")))
    common = {"earliest": {0: 0}, "snapshots": {}, "acceptances": (), "are_all": True, "standbys": ()}
    steps = [
        (GroupSeen(now_us=0, state=state), [OpenSource(request=1)]),
        (SourceOpened(now_us=0, request=1, earliest={0: 0}), [Propose(request=2, command=proposal)]),
        (
            Answered(now_us=0, request=2, answer=Accepted(epoch=1)),
            [StartHost(request=3, host="host-0"), StartHost(request=4, host="host-1")],
        ),
        (Done(now_us=0, request=4), []),
        (
            Done(now_us=0, request=3),
            [
                OpenPartitions(request=5, host="host-0", partitions=(0,), generations={0: 1}, **common),  # type: ignore[arg-type]
                OpenPartitions(request=6, host="host-1", partitions=(1,), generations={1: 1}, **common),  # type: ignore[arg-type]
            ],
        ),
        (PartitionsOpened(now_us=0, request=5, opened={0: OpenedPartition(needed={0: 9}, reached={0: 9})}), []),
        (
            PartitionsOpened(now_us=0, request=6, opened={1: OpenedPartition(needed={0: 5}, reached={0: 9})}),
            [EndOtherHosts(hosts=("host-0", "host-1")), ReadSplit(request=7, split=0, offset=5, row_count_max=7)],
        ),
    ]
    assert [core.step(event) for event, _ in steps] == [expected for _, expected in steps]
    assert (core.phase, core.status().rows_sent_again) == (Phase.RUNNING, 4)


def test_a_reply_that_comes_twice_or_to_nobody_changes_nothing() -> None:
    driver = Driver(JOB)
    driver.look()
    opened = SourceOpened(now_us=0, request=1, earliest={0: 0})
    assert kinds(driver.step(opened)) == ["Propose"]
    assert driver.step(opened) == []
    assert driver.step(Failed(now_us=0, request=77, failure=Failure(FailureKind.FATAL, "late"))) == []


def test_a_move_that_a_former_leader_left_is_undone_before_anything_else() -> None:
    driver = Driver(JOB)
    driver.decide(OWNERS)
    move = MoveStarted(epoch=1, job_id="trades", partition=1, source="host-1", target="host-2")
    driver.decide(move)
    driver.look()
    released = driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    assert released == [ReleasePartitions(request=2, host="host-2", partitions=(1,))]
    abandoned = driver.reply(ReleasePartitions)
    command = MoveAbandoned(request_id="n/3", epoch=1, job_id="trades", partition=1)
    assert abandoned == [Propose(request=3, command=command)]
    assert kinds(driver.accept()) == ["StartHost", "StartHost"]


def test_snapshots_are_asked_of_one_holder_after_the_other() -> None:
    driver = Driver(JOB)
    driver.decide(OWNERS)
    for partition in (0, 1):
        manifest = SnapshotReplicated(
            epoch=1, job_id="trades", partition=partition, next_offsets=((0, 5),), digest=b"d", size_bytes=1,
            holders=MEMBERS[:2],
        )  # fmt: skip
        driver.decide(manifest)
    driver.look()
    driver.reply(OpenSource, SourceOpened, earliest={0: 3})
    driver.reply(StartHost)
    asked = driver.reply(StartHost)
    assert asked == [
        ReadSnapshot(request=4, member="m0", partition=0, digest=b"d"),
        ReadSnapshot(request=5, member="m0", partition=1, digest=b"d"),
    ]
    assert driver.fail(ReadSnapshot, "m0 is gone") == [ReadSnapshot(request=6, member="m1", partition=0, digest=b"d")]
    driver.reply(ReadSnapshot, SnapshotFound, data=b"bytes")
    opened = driver.reply(ReadSnapshot, SnapshotFound, data=None)
    found = [one.snapshots for one in opened if isinstance(one, OpenPartitions)]
    assert found == [{}, {1: b"bytes"}]


def test_whatever_fails_the_job_starts_over_after_a_pause_that_doubles() -> None:
    driver = Driver(JOB)
    driver.look()
    failed = driver.fail(OpenSource, "no file")
    assert failed == [CloseSource(), Warn(phrase="a job starts over", reason="no file")]
    assert (driver.core.phase, driver.core.status().trouble) == (Phase.RECOVERING, "no file")
    assert [driver.wait(49_999), driver.wait(1)] == [[], [OpenSource(request=2)]]
    driver.fail(OpenSource, "no file")
    assert [driver.wait(99_999), driver.wait(1)] == [[], [OpenSource(request=3)]]
    assert driver.core.status().failure_count == 2


def test_a_time_of_day_that_is_set_back_ends_no_pause_and_makes_none_longer() -> None:
    driver = Driver(JOB)
    driver.look()
    driver.fail(OpenSource, "no file")
    driver.wait(-3_600_000_000)
    assert [driver.wait(49_999), driver.wait(1)] == [[], [OpenSource(request=2)]]


def test_a_host_that_does_not_reply_is_given_up_in_time() -> None:
    driver = Driver(JOB)
    driver.decide(OWNERS)
    driver.look()
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    driver.reply(StartHost)
    driver.reply(StartHost)
    assert driver.wait(59_999_999) == []
    assert kinds(driver.wait(1)) == ["CloseSource", "Warn"]
    assert driver.core.status().trouble == "no reply in time to OpenPartitions of host-0"


def test_nothing_begins_anew_while_a_proposal_may_still_be_applied() -> None:
    driver = Driver(JOB)
    driver.look()
    driver.reply(OpenSource, SourceOpened, earliest={0: 0})
    proposal = driver.waiting(Propose)[0]
    unanswered = Failed(now_us=driver.now_us, request=2, failure=Failure(FailureKind.OTHER, "no majority"))
    assert driver.step(unanswered) == []
    assert driver.wait(50_000) == [proposal]
    assert driver.wait(10_000_000) == []
    assert kinds(driver.accept()) == ["StartHost"]


def test_an_error_that_trying_again_cannot_help_ends_the_job() -> None:
    driver = Driver(JOB)
    driver.look()
    assert kinds(driver.fail(OpenSource, "other columns", FailureKind.FATAL)) == ["CloseSource", "Propose"]
    driver.accept()
    assert (driver.core.phase, driver.core.is_over) == (Phase.FAILED, True)
    assert b"other columns" in driver.group.jobs["trades"].summary


def test_a_job_that_is_not_wanted_is_not_opened() -> None:
    from raft.commands import JobStopped

    driver = Driver(JOB)
    driver.look()
    driver.decide(JobStopped(job_id="trades"))
    assert kinds(driver.look()) == ["EndSampler"]
    assert driver.core.phase is Phase.STOPPED

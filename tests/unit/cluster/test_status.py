"""What `tocsin status` shows, also of what does not answer."""

from dataclasses import replace

import pytest

from actors.partition.gaps import Gap
from actors.partition.values import PartitionStat, null_comparisons
from cluster.leader.member_status import HostedMemberStatus, MemberView
from cluster.leader.status import LeaderStatus, Phase, RunnerStatus, StandbyStatus
from cluster.show.status import ClusterStatus, JobView, plain_status, show_job, show_offsets, show_status
from raft.group import Job, StandbyRecord
from raft.member_status import MemberStatus

JOB = Job(job_id="trades", spec=b"", partition_count=3, host_count=2, owners=("host-0", "host-1", ""))

LEADER = HostedMemberStatus(
    member_id="member-1",
    pid=11,
    raft=MemberStatus(name="member-1", identity="a", role="leader", problem="", term=3, commit_index=40),
    leader=LeaderStatus(epoch=2, led_since_us=0, jobs={}),
)

STATUS = ClusterStatus(
    leader="member-1",
    group=2,
    epoch=2,
    members=(MemberView(member_id="member-1", status=LEADER), MemberView(member_id="member-2", status=None)),
    jobs=(JOB,),
)

STAT = PartitionStat(
    partition=0, epoch=2, received={0: 60}, committed={0: 50}, row_count=50, replayed_row_count=0,
    state_size_bytes=20_480, late_row_count=1, anomaly_count=7, dead_letter_count=2, event_count=0, flush_count=1,
    outbox_counts={}, size_bytes=409_600, degraded=None, gaps=(), null_comparison_counts=(),
)  # fmt: skip

RUNNER = RunnerStatus(epoch=2, phase=Phase.RUNNING, opened_us=0, failure_count=3, trouble="the disk is full")


def test_a_dead_member_is_shown_as_one_that_gives_no_answer() -> None:
    lines = show_status(STATUS).splitlines()
    assert lines[0] == "leader member-1, epoch 2"
    assert lines[4].split() == ["member-1", "leader", "11", "3", "40"]
    assert lines[5].split() == ["member-2", "no", "answer", "-", "-", "-"]


def test_jobs_are_shown_with_their_partitions_and_hosts() -> None:
    assert show_status(STATUS).splitlines()[-1].split() == ["trades", "running", "3", "2"]


def test_a_group_without_leader_or_jobs_is_shown() -> None:
    text = show_status(ClusterStatus(leader=None, group=2, epoch=2, members=STATUS.members[1:], jobs=()))
    assert text.splitlines()[0] == "leader -, epoch 2"
    assert len(text.splitlines()) == 5


def test_a_job_shows_its_partitions_and_their_trouble() -> None:
    stats = (STAT, replace(STAT, partition=1, degraded="full"))
    lines = show_job(JobView(job=JOB, runner=RUNNER, partitions=stats)).splitlines()
    assert (
        lines[0] == "trades: running under epoch 2, open since 1970-01-01T00:00:00.000Z, 0 rows sent again, 3 restarts"
    )
    assert lines[1] == "last trouble: the disk is full"
    assert lines[4].split() == ["0", "host-0", "0:50", "50", "1", "7", "2", "400", "20"]
    assert lines[5].split()[-1] == "full"


def test_second_copies_are_shown_with_what_they_lack() -> None:
    standbys = {number: StandbyRecord(host=host, generation=2) for number, host in enumerate(("host-1", "host-0", ""))}
    lags = (
        StandbyStatus(partition=0, host="host-1", lag=5),
        StandbyStatus(partition=1, host="host-0", lag=None),
    )
    runner = replace(RUNNER, trouble=None, standbys=lags, standby_trouble="no other node")
    stats = tuple(replace(STAT, partition=number) for number in range(3))
    text = show_job(JobView(job=replace(JOB, standbys=standbys), runner=runner, partitions=stats))
    assert "standby: no other node" in text
    assert "host-1 (5 behind)" in text
    assert "host-0 (not open)" in text
    assert runner.troubles == ("no other node",)


def test_comparisons_with_null_are_added_up_over_partitions_flushed_or_not() -> None:
    counts = ((1, 2), (), (3, 4))
    assert null_comparisons([replace(STAT, null_comparison_counts=one) for one in counts]) == (4, 6)
    assert null_comparisons([]) == ()


def test_remarks_of_the_source_are_shown() -> None:
    runner = replace(RUNNER, trouble=None, remarks=("column 'level' is NULL in all 9 rows",))
    lines = show_job(JobView(job=JOB, runner=runner, partitions=(STAT,))).splitlines()
    assert lines[1] == "column 'level' is NULL in all 9 rows"


def test_input_that_was_gone_is_shown_once_with_its_range_and_time() -> None:
    lost = Gap(split=1, start=0, end=30, noted_us=5_000)
    not_replayed = Gap(split=1, start=30, end=31, noted_us=None, has_results=True)
    gaps = (replace(STAT, gaps=(lost,)), replace(STAT, partition=1, gaps=(replace(lost, noted_us=9), not_replayed)))
    view = JobView(job=JOB, runner=None, partitions=gaps)
    assert show_job(view).splitlines()[:2] == [
        "gap in partitions 0, 1: records 0 to 29 of split 1 were gone before they were read; nothing is known of them "
        "(found 1970-01-01T00:00:00.005Z)",
        "gap in partition 1: record 30 of split 1 was gone when metrics needed them again; what they raised is kept, "
        "and metrics went on without them",
    ]
    plain = plain_status(replace(STATUS, job=view))["job"]["partitions"][0]["gaps"]
    assert list(plain) == [{"split": 1, "start": 0, "end": 30, "noted_us": 5_000, "has_results": False}]


def test_anomalies_that_no_sink_takes_are_counted_with_the_reason() -> None:
    runner = replace(RUNNER, trouble=None, sink_troubles={"ndjson out": "out cannot be written"})
    stat = replace(STAT, outbox_counts={"ndjson out": 3, "ndjson b": 0, "ndjson c": 0})
    runner = replace(runner, sink_troubles_overcome={"ndjson out": "before", "ndjson c": "c is gone"})
    lines = show_job(JobView(job=JOB, runner=runner, partitions=(stat, replace(stat, partition=1)))).splitlines()
    assert lines[1:4] == [
        "sink ndjson out: 6 anomalies wait: out cannot be written",
        "sink ndjson b: 0 anomalies wait",
        "sink ndjson c: 0 anomalies wait; its last trouble is over: c is gone",
    ]


def test_a_job_that_nobody_runs_shows_its_partitions_all_the_same() -> None:
    job = replace(JOB, owners=("host-0",), partition_count=1)
    assert len(show_job(JobView(job=job, runner=None, partitions=(STAT,))).splitlines()) == 3


def test_partitions_that_are_not_open_are_counted() -> None:
    text = show_job(JobView(job=JOB, runner=None, partitions=(replace(STAT, partition=1),)))
    assert text.splitlines()[-1].startswith("1 partitions are not open;")


def test_a_status_is_plain_data_for_programs() -> None:
    plain = plain_status(replace(STATUS, job=JobView(job=JOB, runner=RUNNER, partitions=(STAT,))))
    assert plain["jobs"] == [{"job": "trades", "status": "running", "owners": ["host-0", "host-1", ""]}]
    assert [member["role"] for member in plain["members"] if member["alive"]] == ["leader"]
    assert plain["job"]["runner"]["phase"] == "running"
    assert plain["job"]["partitions"][0]["committed"] == {0: 50}


@pytest.mark.parametrize(
    ("offsets", "text"),
    [({}, "-"), ({0: 5}, "0:5"), ({0: 5, 1: 7}, "0:5 1:7"), (dict.fromkeys(range(5), 10), "50 in 5 splits")],
)
def test_offsets_are_shown_one_by_one_while_they_are_few(offsets: dict[int, int], text: str) -> None:
    assert show_offsets(offsets) == text

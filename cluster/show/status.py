"""What `tocsin status` says: members, leader, jobs and partitions, as plain values and as text."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from cluster.leader.member_status import MemberView, newest_leader
from cluster.leader.status import NoticeStatus, RunnerStatus
from cluster.show.problems import cluster_problems
from cluster.show.text import show_gap, show_rows, show_time_us
from raft.records import Job

if TYPE_CHECKING:
    from actors.partition.gaps import Gap
    from actors.partition.values import PartitionStat
    from cluster.client.client import Client

SPLITS_SHOWN_MAX = 4
"""Splits whose offsets are shown one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """One job: what the group, its leader and its hosts say of it."""

    job: Job
    """What the group knows."""

    runner: RunnerStatus | None
    """What its leader does; `None` between two leaders, and when nobody runs it."""

    partitions: "tuple[PartitionStat, ...]"
    """Partitions that are open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """What is known of a cluster at one moment."""

    leader: str | None
    """Member that leads."""

    group: int
    """Id of the group."""

    epoch: int
    """Epoch of the newest state."""

    members: tuple[MemberView, ...]
    """All members, also those that did not answer."""

    jobs: tuple[Job, ...]

    job: JobView | None = None
    """The job that was asked for."""

    problems: tuple[str, ...] = ()
    """What is wrong with nodes and hosts."""


def cluster_status(client: "Client", job: str | None) -> ClusterStatus:
    """Return the state of the cluster; of one job also its partitions.

    Raises:
        UnknownJobError: there is no such job.
    """
    statuses = client.statuses()
    problems = cluster_problems(statuses)
    state = client.state(patience_s=0.0)
    known = None if job is None else client.job(job)
    with ThreadPoolExecutor(1) as beside:
        # Either may take its time, and who asks wants an answer in two seconds.
        looked = None if job is None else beside.submit(client.look_at_hosts, job)
        views = client.views(statuses)
    leader = newest_leader(views)
    view = None
    if known is not None and looked is not None:
        stats, silent = looked.result()
        problems += silent
        runner = None if leader is None or leader.leader is None else leader.leader.jobs.get(known.job_id)
        view = JobView(job=known, runner=runner, partitions=tuple(stats))
    return ClusterStatus(
        leader=None if leader is None else leader.member_id,
        group=client.group_id,
        epoch=state.epoch,
        members=tuple(views),
        jobs=tuple(state.jobs.values()),
        job=view,
        problems=tuple(problems),
    )


def plain_status(found: ClusterStatus) -> dict[str, Any]:
    """Return a status as JSON has it."""
    plain: dict[str, Any] = {
        "leader": found.leader,
        "group": found.group,
        "epoch": found.epoch,
        "problems": list(found.problems),
        "members": [_plain_member(view) for view in found.members],
        "jobs": [{"job": job.job_id, "status": str(job.status), "owners": list(job.owners)} for job in found.jobs],
    }
    if found.job is not None:
        plain["job"] = {
            "name": found.job.job.job_id,
            "runner": None if found.job.runner is None else asdict(found.job.runner),
            "partitions": [asdict(stat) for stat in found.job.partitions],
            "owners": list(found.job.job.owners),
        }
    return plain


def _plain_member(view: MemberView) -> dict[str, Any]:
    if view.status is None:
        return {"member": view.member_id, "alive": False}
    return {
        "member": view.member_id,
        "alive": True,
        "pid": view.status.pid,
        "role": _role(view),
        **asdict(view.status.raft),
    }


def _role(view: MemberView) -> str:
    return "no answer" if view.status is None else "follower" if view.leader is None else "leader"


def show_offsets(offsets: Mapping[int, int]) -> str:
    """Return next offsets by split, or their sum when there are many."""
    if len(offsets) > SPLITS_SHOWN_MAX:
        return f"{sum(offsets.values())} in {len(offsets)} splits"
    return " ".join(f"{split}:{offset}" for split, offset in offsets.items()) or "-"


def show_status(found: ClusterStatus) -> str:
    """Return the status as text."""
    members = [[view.member_id, _role(view), *_raft_cells(view)] for view in found.members]
    jobs = [[job.job_id, str(job.status), str(len(job.owners)), str(len(set(job.owners) - {""}))] for job in found.jobs]
    parts = [
        f"leader {found.leader or '-'}, epoch {found.epoch}",
        show_rows(("member", "role", "pid", "term", "commit"), members),
    ]
    if found.problems:
        parts.append("\n".join(found.problems))
    if jobs:
        parts.append(show_rows(("job", "status", "partitions", "hosts"), jobs))
    if found.job is not None:
        parts.append(show_job(found.job))
    return "\n\n".join(parts)


def _raft_cells(view: MemberView) -> list[str]:
    if view.status is None:
        return ["-", "-", "-"]
    return [str(view.status.pid), str(view.status.raft.term), str(view.status.raft.commit_index)]


def show_job(view: JobView) -> str:
    """Return one job's runner and partitions as text."""
    runner, owners = view.runner, view.job.owners
    lines = []
    if runner is not None:
        lines.append(
            f"{view.job.job_id}: {runner.phase} under epoch {runner.epoch}, open since "
            f"{show_time_us(runner.opened_us)}, {runner.rows_sent_again} rows sent again, "
            f"{runner.failure_count} restarts"
        )
        if runner.trouble:
            lines.append(f"last trouble: {runner.trouble}")
        if runner.standby_trouble:
            lines.append(f"standby: {runner.standby_trouble}")
        lines += runner.remarks
    lines += _gap_lines(view)
    lines += _sink_lines(view)
    lines += [
        line for sink, one in ({} if runner is None else runner.notices).items() for line in _notice_lines(sink, one)
    ]
    names = (
        "partition",
        "host",
        *(["standby"] if view.job.standbys else []),
        "next offsets",
        "rows",
        "late",
        "anomalies",
        "dead letters",
        "KiB",
        "state KiB",
        "trouble",
    )
    rows = [
        [
            str(stat.partition),
            owners[stat.partition],
            *([_standby_cell(view, stat.partition)] if view.job.standbys else []),
            show_offsets(stat.committed),
            str(stat.row_count),
            str(stat.late_row_count),
            str(stat.anomaly_count),
            str(stat.dead_letter_count),
            str(stat.size_bytes // 1024),
            str(stat.state_size_bytes // 1024),
            stat.degraded or "",
        ]
        for stat in view.partitions
    ]
    lines.append(show_rows(names, rows))
    closed = sum(bool(owner) for owner in owners) - len(rows)
    if closed > 0:
        lines.append(f"{closed} partitions are not open; a running job opens them by itself, other jobs when queried")
    return "\n".join(lines)


def _standby_cell(view: JobView, partition: int) -> str:
    """Return which host has the second copy of a partition, and how far it is behind."""
    record = view.job.standbys.get(partition)
    if record is None or not record.host:
        return "-"
    lags = {} if view.runner is None else {one.partition: one.lag for one in view.runner.standbys}
    lag = lags.get(partition)
    if lag is None:
        return f"{record.host} (not open)" if lags else record.host
    return f"{record.host} ({lag} behind)"


def _gap_lines(view: JobView) -> list[str]:
    """Return each gap once, with the partitions that have it: those of one split all found it at about one time."""
    found: dict[Gap, list[int]] = {}
    for stat in view.partitions:
        for gap in stat.gaps:
            same = next((one for one in found if replace(one, noted_us=gap.noted_us) == gap), gap)
            found.setdefault(same, []).append(stat.partition)
    return [
        show_gap(gap, f" in partition{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}")
        for gap, numbers in found.items()
    ]


def _notice_lines(sink: str, one: NoticeStatus) -> list[str]:
    """Return what a sink that follows a policy has not been told, and why."""
    parts = [f"{count} {reason}" for reason, count in sorted(one.withheld.items())]
    parts += [f"{one.waiting} wait for others of their group"] if one.waiting else []
    parts += [f"{one.counted} notices wait for a digest"] if one.counted else []
    parts += [f"{count} over while {reason}" for reason, count in sorted(one.never.items())]
    return [f"sink {sink}: not told of episodes: {', '.join(parts)}"] if parts else []


def _sink_lines(view: JobView) -> list[str]:
    """Return what waits for each sink and why, and what was wrong with it before."""
    waiting = Counter[str]()
    for stat in view.partitions:
        waiting.update(stat.outbox_counts)
    now, before = ({}, {}) if view.runner is None else (view.runner.sink_troubles, view.runner.sink_troubles_overcome)
    return [
        f"sink {sink}: {count} anomalies wait"
        + (f": {now[sink]}" if sink in now else f"; its last trouble is over: {before[sink]}" if sink in before else "")
        for sink, count in waiting.items()
    ]

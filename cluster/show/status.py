"""What `tocsin status` says: members, leader, jobs and partitions, as plain values and as text."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cluster.show.present import show_rows, show_time_us

if TYPE_CHECKING:
    from cluster.client.client import Client, MemberView

SPLITS_SHOWN_MAX = 4
"""Splits whose offsets are shown one by one."""


def cluster_status(client: "Client", job: str | None) -> dict[str, Any]:
    """Return the state of the cluster as plain values; of one job also its partitions.

    Raises:
        UnknownJobError: there is no such job.
    """
    views = client.members()
    leading = [view for view in views if view.status is not None and view.status["leader"]]
    newest = max(leading, key=lambda view: int(view.status["leader"]["epoch"]) if view.status else 0, default=None)
    state = client.state()
    found: dict[str, Any] = {
        "leader": newest.member_id if newest is not None else None,
        "group": client.group_id,
        "epoch": state.epoch,
        "members": [_member(view) for view in views],
        "jobs": [
            {"job": known.job_id, "status": str(known.status), "owners": list(known.owners)}
            for known in state.jobs.values()
        ],
    }
    if job is not None:
        found["job"] = {
            "name": client.job(job).job_id,
            "runner": client.runner_status(job),
            "partitions": [asdict(stat) for stat in client.partition_stats(job)],
            "owners": list(client.job(job).owners),
        }
    return found


def show_offsets(offsets: Mapping[int, int]) -> str:
    """Return next offsets by split, or their sum when there are many."""
    if len(offsets) > SPLITS_SHOWN_MAX:
        return f"{sum(offsets.values())} in {len(offsets)} splits"
    return " ".join(f"{split}:{offset}" for split, offset in offsets.items()) or "-"


def _member(view: "MemberView") -> dict[str, Any]:
    if view.status is None:
        return {"member": view.member_id, "alive": False}
    return {
        "member": view.member_id,
        "alive": True,
        "pid": view.status["pid"],
        "role": "leader" if view.status["leader"] else "follower",
        **view.status["raft"],
    }


def show_status(found: dict[str, Any]) -> str:
    """Return the status as text."""
    members = [
        [
            member["member"],
            member["role"] if member["alive"] else "no answer",
            str(member.get("pid", "-")),
            str(member.get("term", "-")),
            str(member.get("commit_index", "-")),
        ]
        for member in found["members"]
    ]
    jobs = [
        [job["job"], job["status"], str(len(job["owners"])), str(len(set(job["owners"]) - {""}))]
        for job in found["jobs"]
    ]
    parts = [
        f"leader {found['leader'] or '-'}, epoch {found['epoch']}",
        show_rows(("member", "role", "pid", "term", "commit"), members),
    ]
    if jobs:
        parts.append(show_rows(("job", "status", "partitions", "hosts"), jobs))
    if "job" in found:
        parts.append(show_job(found["job"]))
    return "\n\n".join(parts)


def show_job(job: dict[str, Any]) -> str:
    """Return one job's runner and partitions as text."""
    runner = job["runner"]
    lines = []
    if runner is not None:
        lines.append(
            f"{job['name']}: {runner['phase']} under epoch {runner['epoch']}, open since "
            f"{show_time_us(runner.get('opened_us'))}, {runner.get('rows_sent_again', 0)} rows sent again, "
            f"{runner['failure_count']} restarts"
        )
        if runner["trouble"]:
            lines.append(f"last trouble: {runner['trouble']}")
    names = (
        "partition",
        "host",
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
            str(stat["partition"]),
            job["owners"][stat["partition"]],
            show_offsets(stat["committed"]),
            str(stat["row_count"]),
            str(stat["late_row_count"]),
            str(stat["anomaly_count"]),
            str(stat["dead_letter_count"]),
            str(stat["size_bytes"] // 1024),
            str(stat["state_size_bytes"] // 1024),
            stat["degraded"] or "",
        ]
        for stat in job["partitions"]
    ]
    lines.append(show_rows(names, rows))
    closed = sum(bool(owner) for owner in job["owners"]) - len(rows)
    if closed > 0:
        lines.append(f"{closed} partitions are not open; a running job opens them by itself, other jobs when queried")
    return "\n".join(lines)

"""What all rules of the group's state share: how they refuse, and how they change one job."""

from collections.abc import Mapping
from dataclasses import replace

from raft.commands import Action, JobsChanged
from raft.records import GroupState, Job

Applied = tuple[GroupState, tuple[Action, ...]]
"""The state after a command, and what members are to do about it."""


class RefusalError(Exception):
    """Carries the reason out of a rule; `raft.group.apply` makes an answer of it."""


def find_job(state: GroupState, job_id: str) -> Job:
    """Return a job that has to exist."""
    job = state.jobs.get(job_id)
    if job is None:
        raise RefusalError(f"there is no job {job_id!r}")
    return job


def with_job(state: GroupState, job: Job) -> Applied:
    """Return the state with a job changed, and the action that says so."""
    return replace(state, jobs={**state.jobs, job.job_id: job}), (JobsChanged(job_ids=(job.job_id,)),)


def check_partition(job: Job, partition: int) -> None:
    """Refuse a partition that the job does not have."""
    if not 0 <= partition < job.partition_count:
        raise RefusalError(f"job {job.job_id!r} has no partition {partition}, only 0 to {job.partition_count - 1}")


def raised(job: Job, generations: Mapping[int, int]) -> tuple[int, ...]:
    """Return the generations of a job's shards, some of them changed."""
    return tuple(generations.get(partition, known) for partition, known in enumerate(job.generations))

"""Replicated state of the group: who leads, which jobs there are, where their partitions are, and their snapshots.

`apply(state, command) -> (state, actions)` is the only way the state changes. It is a function of its arguments, so
every member that applies the same log has the same state. Words:

- *epoch*: our leadership generation, one more with every `LeaderElected`. Commands of the leader carry the epoch they
  were given under and are refused once it is over.
- *owner* of a partition: the one host that may open its shard. A *move* names a target beside the owner; only
  `MoveFinished` makes the target the owner, so a move that is interrupted anywhere leaves exactly one.
- *manifest*: the record of a snapshot that a majority of the members holds.
- *answer*: what the proposer is told; `GroupState.answers` keeps the newest `ANSWER_COUNT_MAX` by request id.
- *generation* of a partition's shard: one more whenever the shard is made anew somewhere, so that a copy that was left
  behind is never taken for the current one.

- *standby*: the second copy of a partition's shard, which a host of another node has.

Rules about nodes are in `raft.node_rules`, about places in `raft.placement_rules` and `raft.standby_rules`; the
records in `raft.records`, the bytes of the state in `raft.group_codec`, commands and actions in `raft.commands`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from raft import node_rules, notice_rules, placement_rules, standby_rules
from raft.commands import (
    AcceptancePlaced,
    Accepted,
    Action,
    Answer,
    AssignmentChanged,
    BecomeLeader,
    Command,
    ForgetSnapshots,
    HeadAssigned,
    HeadStarted,
    JobFinished,
    JobRemoved,
    JobResumed,
    JobsChanged,
    JobStopped,
    JobSubmitted,
    LeaderCommand,
    LeaderElected,
    MemberAdded,
    MemberRemoved,
    MembersChanged,
    MoveAbandoned,
    MoveFinished,
    MoveStarted,
    NodeDrained,
    NodeJoined,
    NodeLeft,
    NodeLost,
    NoticesIntended,
    Refused,
    ScaleRequested,
    ShardRebuilt,
    SilenceAdded,
    SilenceExpired,
    SnapshotReplicated,
    StandbyPlaced,
    StandbyPromoted,
    StepDown,
    ValueAccepted,
)
from raft.records import (
    ACCEPTANCE_COUNT_MAX,
    ACCEPTANCE_SIZE_BYTES_MAX,
    ANSWER_COUNT_MAX,
    JOB_COUNT_MAX,
    MANIFEST_COUNT_MAX,
    PARTITION_COUNT_MAX,
    SHARED_HOST_COUNT,
    SPEC_SIZE_BYTES_MAX,
    AcceptanceRecord,
    GroupState,
    HeadRecord,
    Job,
    JobStatus,
    Manifest,
    MemberRecord,
    NodeRecord,
    NotifyRecord,
    SilenceRecord,
    StandbyRecord,
    validate,
)
from raft.rules import Applied, RefusalError, check_partition, find_job, with_job

__all__ = [
    "ACCEPTANCE_COUNT_MAX", "ANSWER_COUNT_MAX", "SHARED_HOST_COUNT", "AcceptanceRecord", "Applied", "GroupState",
    "HeadRecord", "Job", "JobStatus", "Manifest", "MemberRecord", "NodeRecord", "NotifyRecord", "SilenceRecord",
    "StandbyRecord", "answer_to", "apply", "majority_of", "named_snapshots", "validate",
]  # fmt: skip


def apply(state: GroupState, command: Command) -> Applied:
    """Return the state after the command and what members are to do about it.

    The answer is `answer_to(state, command)` of the state returned. A repeated request changes nothing.
    """
    if command.request_id and command.request_id in state.answers:
        return state, ()
    actions: tuple[Action, ...] = ()
    try:
        if isinstance(command, LeaderCommand):
            _check_epoch(state, command.epoch)
        changed, actions = _RULES[type(command)](state, command)
        answer: Answer = Accepted(epoch=changed.epoch)
    except RefusalError as refusal:
        changed, answer = state, Refused(reason=str(refusal))
    return _remember(changed, command.request_id, answer), actions


def answer_to(state: GroupState, request_id: str) -> Answer | None:
    """Return the answer given to a request, or `None` when it is not (or no longer) known."""
    return state.answers.get(request_id)


def named_snapshots(state: GroupState) -> frozenset[tuple[str, int, bytes]]:
    """Return job, partition and digest of all snapshots that a manifest names: those worth keeping after a start."""
    return frozenset(
        (job.job_id, partition, manifest.digest)
        for job in state.jobs.values()
        for partition, manifests in job.manifests.items()
        for manifest in manifests
    )


def majority_of(member_count: int) -> int:
    """Return how many members are a majority."""
    return member_count // 2 + 1


def _remember(state: GroupState, request_id: str, answer: Answer) -> GroupState:
    """Return the state with one more answer, without the oldest beyond the limit."""
    if not request_id:
        return state
    answers = {**state.answers, request_id: answer}
    while len(answers) > ANSWER_COUNT_MAX:
        del answers[next(iter(answers))]
    return replace(state, answers=answers)


def _elect(state: GroupState, command: LeaderElected) -> Applied:
    """Start a new epoch."""
    # The same member leads its term anew when whoever acts for it has died.
    is_anew = (command.term, command.member_id) == (state.leader_term, state.leader_id)
    if command.term <= state.leader_term and not (is_anew and state.epoch):
        raise RefusalError(f"term {command.term} is over, {state.leader_id} leads term {state.leader_term}")
    epoch = state.epoch + 1
    members = {name: MemberRecord(address=address, identity=identity) for name, address, identity in command.members}
    elected = replace(
        state, epoch=epoch, leader_id=command.member_id, leader_term=command.term, members=members or state.members
    )
    over = (StepDown(member_id=state.leader_id, epoch=state.epoch),) if state.epoch else ()
    return elected, (*over, BecomeLeader(member_id=command.member_id, epoch=epoch, term=command.term))


def _submit(state: GroupState, command: JobSubmitted) -> Applied:
    """Add a job that nobody owns yet."""
    if not command.job_id:
        raise RefusalError("a job needs a name")
    if command.job_id in state.jobs:
        raise RefusalError(f"job {command.job_id!r} exists; remove it first, or choose another name")
    if len(state.jobs) >= JOB_COUNT_MAX:
        raise RefusalError(f"the group has {JOB_COUNT_MAX} jobs, its limit; remove one first")
    if not 1 <= command.partition_count <= PARTITION_COUNT_MAX:
        raise RefusalError(f"{command.partition_count} partitions: choose 1 to {PARTITION_COUNT_MAX}")
    _check_host_count(command.host_count, command.partition_count)
    _check_size("settings", command.spec)
    job = Job(
        job_id=command.job_id,
        spec=command.spec,
        partition_count=command.partition_count,
        host_count=command.host_count,
        owners=("",) * command.partition_count,
        generations=(0,) * command.partition_count,
    )
    return with_job(state, job)


def _stop(state: GroupState, command: JobStopped) -> Applied:
    job = find_job(state, command.job_id)
    if job.status is not JobStatus.RUNNING:
        raise RefusalError(f"job {job.job_id!r} is {job.status}, not running")
    return with_job(state, replace(job, status=JobStatus.STOPPED))


def _resume(state: GroupState, command: JobResumed) -> Applied:
    job = find_job(state, command.job_id)
    if job.status is not JobStatus.STOPPED:
        raise RefusalError(f"job {job.job_id!r} is {job.status}, not stopped")
    return with_job(state, replace(job, status=JobStatus.RUNNING))


def _finish(state: GroupState, command: JobFinished) -> Applied:
    """Record the outcome of a job that has come to its end."""
    job = find_job(state, command.job_id)
    if job.status is JobStatus.FINISHED:
        raise RefusalError(f"job {job.job_id!r} is finished already")
    _check_size("summary", command.summary)
    return with_job(state, replace(job, status=JobStatus.FINISHED, summary=command.summary))


def _remove(state: GroupState, command: JobRemoved) -> Applied:
    """Forget a job that does not run."""
    job = find_job(state, command.job_id)
    if job.status is JobStatus.RUNNING:
        raise RefusalError(f"job {job.job_id!r} is running; stop it first")
    jobs = {job_id: kept for job_id, kept in state.jobs.items() if job_id != job.job_id}
    forgotten = tuple(
        ForgetSnapshots(job_id=job.job_id, partition=partition, digests=tuple(m.digest for m in manifests))
        for partition, manifests in sorted(job.manifests.items())
    )
    return replace(state, jobs=jobs), (*forgotten, JobsChanged(job_ids=(job.job_id,)))


def _scale(state: GroupState, command: ScaleRequested) -> Applied:
    job = find_job(state, command.job_id)
    _check_host_count(command.host_count, job.partition_count)
    return with_job(state, replace(job, host_count=command.host_count))


def _accept_value(state: GroupState, command: ValueAccepted) -> Applied:
    """Keep an accepted value; its place among the rows follows."""
    job = find_job(state, command.job_id)
    if job.status is JobStatus.FINISHED:
        raise RefusalError(f"job {job.job_id!r} is finished; there are no more rows in which the value could occur")
    if not command.request_id:
        raise RefusalError("an accepted value is named by its request; give the request an id")
    if len(job.acceptances) >= ACCEPTANCE_COUNT_MAX:
        raise RefusalError(f"job {job.job_id!r} has {ACCEPTANCE_COUNT_MAX} accepted values, its limit")
    if len(command.content) > ACCEPTANCE_SIZE_BYTES_MAX:
        raise RefusalError(f"the value takes {len(command.content)} bytes, allowed are {ACCEPTANCE_SIZE_BYTES_MAX}")
    if any(known.acceptance_id == command.request_id for known in job.acceptances):
        return state, ()
    record = AcceptanceRecord(acceptance_id=command.request_id, content=command.content)
    return with_job(state, replace(job, acceptances=(*job.acceptances, record)))


def _place_acceptance(state: GroupState, command: AcceptancePlaced) -> Applied:
    """Say from which rows on an accepted value counts; that is said once."""
    job = find_job(state, command.job_id)
    found = {known.acceptance_id: known for known in job.acceptances}.get(command.acceptance_id)
    if found is None or found.positions is not None:
        known = "has its place already" if found is not None else "is unknown"
        raise RefusalError(f"the accepted value {command.acceptance_id!r} {known}")
    placed = tuple(
        replace(known, positions=command.positions) if known is found else known for known in job.acceptances
    )
    # A copy that is not open just now may have rows beyond the place; who opens it finds out.
    return with_job(state, replace(job, acceptances=placed, standbys=standby_rules.unsure(job)))


def _keep_manifest(state: GroupState, command: SnapshotReplicated) -> Applied:
    """Record a snapshot and drop the manifests nobody needs any more."""
    job = find_job(state, command.job_id)
    check_partition(job, command.partition)
    holders = tuple(sorted(set(command.holders) & set(state.members)))
    if len(holders) < majority_of(len(state.members)):
        raise RefusalError(f"{len(holders)} of {len(state.members)} members store the snapshot, a majority is needed")
    if not command.next_offsets or list(command.next_offsets) != sorted(dict(command.next_offsets).items()):
        raise RefusalError("the offsets of a snapshot are one pair for each split, in ascending order")
    manifests = job.manifests.get(command.partition, ())
    if manifests:
        _check_not_behind(manifests[-1], command)
    manifest = Manifest(
        next_offsets=command.next_offsets,
        digest=command.digest,
        size_bytes=command.size_bytes,
        holders=holders,
        epoch=command.epoch,
    )
    others = tuple(kept for kept in manifests if kept.digest != command.digest)
    kept = (*others, manifest)[-MANIFEST_COUNT_MAX:]
    dropped = tuple(old.digest for old in others if old not in kept)
    changed = replace(job, manifests={**job.manifests, command.partition: kept})
    forgotten = ForgetSnapshots(job_id=job.job_id, partition=command.partition, digests=dropped)
    return replace(state, jobs={**state.jobs, job.job_id: changed}), (forgotten,) if dropped else ()


def _add_member(state: GroupState, command: MemberAdded) -> Applied:
    if not command.member_id:
        raise RefusalError("a member needs a name")
    record = MemberRecord(address=command.address, identity=command.identity)
    return replace(state, members={**state.members, command.member_id: record}), (MembersChanged(),)


def _remove_member(state: GroupState, command: MemberRemoved) -> Applied:
    record = state.members.get(command.member_id)
    if record is None or record.identity != command.identity:
        raise RefusalError(f"{command.member_id!r} is no member, or another incarnation of it is")
    members = {name: record for name, record in state.members.items() if name != command.member_id}
    return replace(state, members=members), (MembersChanged(),)


_RULES: Final[Mapping[type[Command], Callable[[GroupState, Any], Applied]]] = {
    LeaderElected: _elect,
    JobSubmitted: _submit,
    JobStopped: _stop,
    JobResumed: _resume,
    JobFinished: _finish,
    JobRemoved: _remove,
    AssignmentChanged: placement_rules.assign,
    ScaleRequested: _scale,
    ValueAccepted: _accept_value,
    AcceptancePlaced: _place_acceptance,
    MoveStarted: placement_rules.start_move,
    MoveFinished: placement_rules.finish_move,
    MoveAbandoned: placement_rules.abandon_move,
    ShardRebuilt: placement_rules.rebuild,
    StandbyPlaced: standby_rules.place,
    StandbyPromoted: standby_rules.promote,
    SnapshotReplicated: _keep_manifest,
    NoticesIntended: notice_rules.intend,
    SilenceAdded: notice_rules.add_silence,
    SilenceExpired: notice_rules.expire_silence,
    MemberAdded: _add_member,
    MemberRemoved: _remove_member,
    NodeJoined: node_rules.join,
    NodeDrained: node_rules.drain,
    NodeLeft: node_rules.leave,
    NodeLost: node_rules.lose,
    HeadAssigned: node_rules.assign_head,
    HeadStarted: node_rules.start_head,
}


def _check_epoch(state: GroupState, epoch: int) -> None:
    """Refuse what was asked under another epoch than the current one."""
    if epoch != state.epoch:
        raise RefusalError(f"epoch {epoch} is not current, {state.leader_id!r} leads epoch {state.epoch}")


def _check_host_count(host_count: int, partition_count: int) -> None:
    if host_count != SHARED_HOST_COUNT and not 1 <= host_count <= partition_count:
        raise RefusalError(f"{host_count} hosts: choose 1 to {partition_count}, the number of partitions, or share one")


def _check_size(what: str, data: bytes) -> None:
    """Refuse opaque bytes that are too long to be kept by every member."""
    if len(data) > SPEC_SIZE_BYTES_MAX:
        raise RefusalError(f"the {what} takes {len(data)} bytes, allowed are {SPEC_SIZE_BYTES_MAX}")


def _check_not_behind(newest: Manifest, command: SnapshotReplicated) -> None:
    """Refuse a snapshot that would lead back behind the newest one."""
    offsets = dict(command.next_offsets)
    for split, next_offset in newest.next_offsets:
        if offsets.get(split, -1) < next_offset:
            raise RefusalError(f"split {split} is at {next_offset} in the newest snapshot; this one is older")

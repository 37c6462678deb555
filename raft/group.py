"""Replicated state of the group: who leads, which jobs there are, where their partitions are, and their snapshots.

`apply(state, command) -> (state, actions)` is the only way the state changes. It is a function of its arguments, so
every member that applies the same log has the same state. Words:

- *epoch*: our leadership generation, one more with every `LeaderElected`. Commands of the leader carry the epoch they
  were given under and are refused once it is over.
- *owner* of a partition: the one host that may open its shard. A *move* names a target beside the owner; only
  `MoveFinished` makes the target the owner, so a move that is interrupted anywhere leaves exactly one.
- *manifest*: the record of a snapshot that a majority of the members holds.
- *answer*: what the proposer is told; `GroupState.answers` keeps the newest `ANSWER_COUNT_MAX` by request id.

The bytes of the state are in `raft.group_codec`, commands and actions in `raft.commands`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from raft.commands import (
    AcceptancePlaced,
    Accepted,
    Action,
    Answer,
    AssignmentChanged,
    BecomeLeader,
    Command,
    ForgetSnapshots,
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
    Refused,
    ScaleRequested,
    SnapshotReplicated,
    StepDown,
    ValueAccepted,
)

ANSWER_COUNT_MAX: Final = 512
"""Answers kept for repeated requests; older requests are taken as new ones."""

JOB_COUNT_MAX: Final = 256
"""Jobs of one group, running or not."""

PARTITION_COUNT_MAX: Final = 4096
"""Partitions of one job."""

SPEC_SIZE_BYTES_MAX: Final = 256 << 10
"""Length of a job's settings, and of its summary."""

MANIFEST_COUNT_MAX: Final = 2
"""Manifests kept for each partition: the newest, and the one before in case the newest is being read."""


ACCEPTANCE_COUNT_MAX: Final = 1000
"""Accepted values of one job; all are kept, because a shard may have to be rebuilt from the first row."""

ACCEPTANCE_SIZE_BYTES_MAX: Final = 4096
"""Length of what tells an accepted value."""


class JobStatus(StrEnum):
    """What is wanted of a job."""

    RUNNING = "running"
    STOPPED = "stopped"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A snapshot that a majority of the members holds."""

    next_offsets: tuple[tuple[int, int], ...]
    """Pairs of split and the first offset not contained, by ascending split."""

    digest: bytes
    """SHA-256 of the snapshot's bytes."""

    size_bytes: int
    """Length of the snapshot's bytes."""

    holders: tuple[str, ...]
    """Members that have acknowledged the bytes, sorted."""

    epoch: int
    """Epoch under which it was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceRecord:
    """A value that counts as known."""

    acceptance_id: str
    """Id of the request that accepted it."""

    content: bytes
    """Which value, opaque here."""

    positions: tuple[tuple[int, int], ...] | None = None
    """Pairs of split and the offset from which on it holds; `None` until the leader has said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job, its placement and its snapshots."""

    job_id: str
    """Name, unique in the group."""

    spec: bytes
    """The job's settings, opaque here."""

    partition_count: int
    """Partitions, fixed for the life of the job."""

    host_count: int
    """Hosts wanted."""

    status: JobStatus = JobStatus.RUNNING
    """What is wanted."""

    summary: bytes = b""
    """Outcome of a finished job, opaque here."""

    owners: tuple[str, ...] = ()
    """Host of each partition; an empty name means that nobody owns it."""

    moves: Mapping[int, str] = field(default_factory=dict)
    """Target of each partition that is being handed over."""

    manifests: Mapping[int, tuple[Manifest, ...]] = field(default_factory=dict)
    """Manifests of each partition, oldest first."""

    acceptances: tuple[AcceptanceRecord, ...] = ()
    """Accepted values, in the order of the requests."""

    def newest_manifest(self, partition: int) -> Manifest | None:
        """The partition's newest manifest, if it has one."""
        kept = self.manifests.get(partition, ())
        return kept[-1] if kept else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """One member as the state knows it."""

    address: str
    """`host:port` at which it takes part in Raft."""

    identity: str
    """Which incarnation of its directory it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """Everything the group has agreed on. Mappings are never changed in place."""

    epoch: int = 0
    """Leadership generation; 0 before the first leader."""

    leader_id: str = ""
    """Member elected last; empty before the first."""

    leader_term: int = 0
    """Raft's term of that election."""

    jobs: Mapping[str, Job] = field(default_factory=dict)
    """Jobs by name."""

    members: Mapping[str, MemberRecord] = field(default_factory=dict)
    """Members by name."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    """Newest answers by request id, oldest first."""


Applied = tuple[GroupState, tuple[Action, ...]]


class _RefusalError(Exception):
    """Carries the reason out of a rule; never leaves this module."""


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
    except _RefusalError as refusal:
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
    if command.term <= state.leader_term:
        raise _RefusalError(f"term {command.term} is over, {state.leader_id} leads term {state.leader_term}")
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
        raise _RefusalError("a job needs a name")
    if command.job_id in state.jobs:
        raise _RefusalError(f"job {command.job_id!r} exists; remove it first, or choose another name")
    if len(state.jobs) >= JOB_COUNT_MAX:
        raise _RefusalError(f"the group has {JOB_COUNT_MAX} jobs, its limit; remove one first")
    if not 1 <= command.partition_count <= PARTITION_COUNT_MAX:
        raise _RefusalError(f"{command.partition_count} partitions: choose 1 to {PARTITION_COUNT_MAX}")
    _check_host_count(command.host_count, command.partition_count)
    _check_size("settings", command.spec)
    job = Job(
        job_id=command.job_id,
        spec=command.spec,
        partition_count=command.partition_count,
        host_count=command.host_count,
        owners=("",) * command.partition_count,
    )
    return _with_job(state, job)


def _stop(state: GroupState, command: JobStopped) -> Applied:
    job = _job(state, command.job_id)
    if job.status is not JobStatus.RUNNING:
        raise _RefusalError(f"job {job.job_id!r} is {job.status}, not running")
    return _with_job(state, replace(job, status=JobStatus.STOPPED))


def _resume(state: GroupState, command: JobResumed) -> Applied:
    job = _job(state, command.job_id)
    if job.status is not JobStatus.STOPPED:
        raise _RefusalError(f"job {job.job_id!r} is {job.status}, not stopped")
    return _with_job(state, replace(job, status=JobStatus.RUNNING))


def _finish(state: GroupState, command: JobFinished) -> Applied:
    """Record the outcome of a job that has come to its end."""
    job = _job(state, command.job_id)
    if job.status is JobStatus.FINISHED:
        raise _RefusalError(f"job {job.job_id!r} is finished already")
    _check_size("summary", command.summary)
    return _with_job(state, replace(job, status=JobStatus.FINISHED, summary=command.summary))


def _remove(state: GroupState, command: JobRemoved) -> Applied:
    """Forget a job that does not run."""
    job = _job(state, command.job_id)
    if job.status is JobStatus.RUNNING:
        raise _RefusalError(f"job {job.job_id!r} is running; stop it first")
    jobs = {job_id: kept for job_id, kept in state.jobs.items() if job_id != job.job_id}
    forgotten = tuple(
        ForgetSnapshots(job_id=job.job_id, partition=partition, digests=tuple(m.digest for m in manifests))
        for partition, manifests in sorted(job.manifests.items())
    )
    return replace(state, jobs=jobs), (*forgotten, JobsChanged(job_ids=(job.job_id,)))


def _assign(state: GroupState, command: AssignmentChanged) -> Applied:
    job = _job(state, command.job_id)
    owners = list(job.owners)
    for partition, host in command.owners:
        _check_partition(job, partition)
        if partition in job.moves:
            raise _RefusalError(f"partition {partition} is moving; finish or abandon the move first")
        owners[partition] = host
    return _with_job(state, replace(job, owners=tuple(owners)))


def _scale(state: GroupState, command: ScaleRequested) -> Applied:
    job = _job(state, command.job_id)
    _check_host_count(command.host_count, job.partition_count)
    return _with_job(state, replace(job, host_count=command.host_count))


def _accept_value(state: GroupState, command: ValueAccepted) -> Applied:
    """Keep an accepted value; its place among the rows follows."""
    job = _job(state, command.job_id)
    if job.status is JobStatus.FINISHED:
        raise _RefusalError(f"job {job.job_id!r} is finished; there are no more rows in which the value could occur")
    if not command.request_id:
        raise _RefusalError("an accepted value is named by its request; give the request an id")
    if len(job.acceptances) >= ACCEPTANCE_COUNT_MAX:
        raise _RefusalError(f"job {job.job_id!r} has {ACCEPTANCE_COUNT_MAX} accepted values, its limit")
    if len(command.content) > ACCEPTANCE_SIZE_BYTES_MAX:
        raise _RefusalError(f"the value takes {len(command.content)} bytes, allowed are {ACCEPTANCE_SIZE_BYTES_MAX}")
    if any(known.acceptance_id == command.request_id for known in job.acceptances):
        return state, ()
    record = AcceptanceRecord(acceptance_id=command.request_id, content=command.content)
    return _with_job(state, replace(job, acceptances=(*job.acceptances, record)))


def _place_acceptance(state: GroupState, command: AcceptancePlaced) -> Applied:
    """Say from which rows on an accepted value counts; that is said once."""
    job = _job(state, command.job_id)
    found = {known.acceptance_id: known for known in job.acceptances}.get(command.acceptance_id)
    if found is None or found.positions is not None:
        known = "has its place already" if found is not None else "is unknown"
        raise _RefusalError(f"the accepted value {command.acceptance_id!r} {known}")
    placed = tuple(
        replace(known, positions=command.positions) if known is found else known for known in job.acceptances
    )
    return _with_job(state, replace(job, acceptances=placed))


def _start_move(state: GroupState, command: MoveStarted) -> Applied:
    """Name the target of a partition; its owner stays."""
    job = _job(state, command.job_id)
    _check_partition(job, command.partition)
    if command.partition in job.moves:
        raise _RefusalError(f"partition {command.partition} is moving to {job.moves[command.partition]!r} already")
    if not command.source or job.owners[command.partition] != command.source:
        raise _RefusalError(f"partition {command.partition} is owned by {job.owners[command.partition]!r}")
    if not command.target or command.target == command.source:
        raise _RefusalError(f"partition {command.partition} cannot move from {command.source!r} to {command.target!r}")
    return _with_job(state, replace(job, moves={**job.moves, command.partition: command.target}))


def _finish_move(state: GroupState, command: MoveFinished) -> Applied:
    job = _moving_job(state, command)
    if job.moves[command.partition] != command.target:
        raise _RefusalError(f"partition {command.partition} is moving to {job.moves[command.partition]!r}")
    owners = list(job.owners)
    owners[command.partition] = command.target
    return _with_job(state, replace(job, owners=tuple(owners), moves=_without(job.moves, command.partition)))


def _abandon_move(state: GroupState, command: MoveAbandoned) -> Applied:
    job = _moving_job(state, command)
    return _with_job(state, replace(job, moves=_without(job.moves, command.partition)))


def _keep_manifest(state: GroupState, command: SnapshotReplicated) -> Applied:
    """Record a snapshot and drop the manifests nobody needs any more."""
    job = _job(state, command.job_id)
    _check_partition(job, command.partition)
    holders = tuple(sorted(set(command.holders) & set(state.members)))
    if len(holders) < majority_of(len(state.members)):
        raise _RefusalError(f"{len(holders)} of {len(state.members)} members hold the snapshot, a majority is needed")
    if not command.next_offsets or list(command.next_offsets) != sorted(dict(command.next_offsets).items()):
        raise _RefusalError("the offsets of a snapshot are one pair for each split, in ascending order")
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
        raise _RefusalError("a member needs a name")
    record = MemberRecord(address=command.address, identity=command.identity)
    return replace(state, members={**state.members, command.member_id: record}), (MembersChanged(),)


def _remove_member(state: GroupState, command: MemberRemoved) -> Applied:
    record = state.members.get(command.member_id)
    if record is None or record.identity != command.identity:
        raise _RefusalError(f"{command.member_id!r} is no member, or another incarnation of it is")
    members = {name: record for name, record in state.members.items() if name != command.member_id}
    return replace(state, members=members), (MembersChanged(),)


_RULES: Final[Mapping[type[Command], Callable[[GroupState, Any], Applied]]] = {
    LeaderElected: _elect,
    JobSubmitted: _submit,
    JobStopped: _stop,
    JobResumed: _resume,
    JobFinished: _finish,
    JobRemoved: _remove,
    AssignmentChanged: _assign,
    ScaleRequested: _scale,
    ValueAccepted: _accept_value,
    AcceptancePlaced: _place_acceptance,
    MoveStarted: _start_move,
    MoveFinished: _finish_move,
    MoveAbandoned: _abandon_move,
    SnapshotReplicated: _keep_manifest,
    MemberAdded: _add_member,
    MemberRemoved: _remove_member,
}


def _job(state: GroupState, job_id: str) -> Job:
    job = state.jobs.get(job_id)
    if job is None:
        raise _RefusalError(f"there is no job {job_id!r}")
    return job


def _moving_job(state: GroupState, command: MoveFinished | MoveAbandoned) -> Job:
    """Return the job of a partition that must be moving."""
    job = _job(state, command.job_id)
    if command.partition not in job.moves:
        raise _RefusalError(f"partition {command.partition} is not moving")
    return job


def _with_job(state: GroupState, job: Job) -> Applied:
    """Return the state with a job changed, and the action that says so."""
    return replace(state, jobs={**state.jobs, job.job_id: job}), (JobsChanged(job_ids=(job.job_id,)),)


def _without(moves: Mapping[int, str], partition: int) -> dict[int, str]:
    return {moving: target for moving, target in moves.items() if moving != partition}


def _check_epoch(state: GroupState, epoch: int) -> None:
    """Refuse what was asked under another epoch than the current one."""
    if epoch != state.epoch:
        raise _RefusalError(f"epoch {epoch} is not current, {state.leader_id!r} leads epoch {state.epoch}")


def _check_partition(job: Job, partition: int) -> None:
    if not 0 <= partition < job.partition_count:
        raise _RefusalError(f"job {job.job_id!r} has no partition {partition}, only 0 to {job.partition_count - 1}")


def _check_host_count(host_count: int, partition_count: int) -> None:
    if not 1 <= host_count <= partition_count:
        raise _RefusalError(f"{host_count} hosts: choose 1 to {partition_count}, the number of partitions")


def _check_size(what: str, data: bytes) -> None:
    """Refuse opaque bytes that are too long to be kept by every member."""
    if len(data) > SPEC_SIZE_BYTES_MAX:
        raise _RefusalError(f"the {what} takes {len(data)} bytes, allowed are {SPEC_SIZE_BYTES_MAX}")


def _check_not_behind(newest: Manifest, command: SnapshotReplicated) -> None:
    """Refuse a snapshot that would lead back behind the newest one."""
    offsets = dict(command.next_offsets)
    for split, next_offset in newest.next_offsets:
        if offsets.get(split, -1) < next_offset:
            raise _RefusalError(f"split {split} is at {next_offset} in the newest snapshot; this one is older")


def validate(state: GroupState) -> None:
    """Assert every invariant of the state."""
    assert state.epoch >= 0
    assert (state.epoch == 0) == (state.leader_id == "")
    assert state.leader_term >= state.epoch
    assert len(state.jobs) <= JOB_COUNT_MAX
    assert len(state.answers) <= ANSWER_COUNT_MAX
    assert "" not in state.members
    for job_id, job in state.jobs.items():
        assert job_id == job.job_id
        _validate_job(state, job)


def _validate_job(state: GroupState, job: Job) -> None:
    assert len(job.owners) == job.partition_count <= PARTITION_COUNT_MAX
    assert 1 <= job.host_count <= job.partition_count
    assert len(job.acceptances) <= ACCEPTANCE_COUNT_MAX
    assert len({known.acceptance_id for known in job.acceptances}) == len(job.acceptances)
    assert job.summary == b"" or job.status is JobStatus.FINISHED
    for partition, target in job.moves.items():
        assert 0 <= partition < job.partition_count
        assert job.owners[partition]
        assert target
        assert target != job.owners[partition]
    for partition, manifests in job.manifests.items():
        assert 0 <= partition < job.partition_count
        assert 1 <= len(manifests) <= MANIFEST_COUNT_MAX
        assert len({manifest.digest for manifest in manifests}) == len(manifests)
        assert all(manifest.epoch <= state.epoch for manifest in manifests)

"""Bytes of the group state: what a member dumps, and sends to members that are far behind.

Equal states have equal bytes: mappings are written in the order of their keys, except answers, which are
written in the order of their age.
"""

from typing import Final, Literal, NotRequired, TypedDict

import msgpack

from raft.answers import decode_answer, encode_answer
from raft.errors import FormatError
from raft.records import (
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
from raft.shapes import Count, require, unpack

STATE_VERSION: Final = 6
"""Version of the encoded state; its first value."""

_READABLE_VERSIONS: Final = (1, 2, 3, 4, 5, STATE_VERSION)
"""Versions that can be read: before 2 jobs have no accepted values, before 3 there are no nodes, no head and no
generations, and the first shard of a partition counts as its first generation; before 4 hosts are of one job each,
before 5 there are no standbys, before 6 no silences and no notifications."""

_Positions = tuple[tuple[int, int], ...]
_ManifestFields = tuple[_Positions, bytes, int, tuple[str, ...], int]
_NodeFields = tuple[str, str, str, str, bool, bool, bool, str]
_HeadFields = tuple[str, Count, str]
_StandbyFields = tuple[int, str, Count, bool]
_NotifyFields = tuple[str, tuple[tuple[str, bytes], ...], tuple[Count, ...]]
_Pairs = tuple[tuple[str, str], ...]
_SilenceFields = tuple[str, str, tuple[str, ...], tuple[str, ...], _Pairs, _Pairs, Count, Count, str, str]


class _JobFields(TypedDict):
    job_id: str
    spec: bytes
    partition_count: int
    host_count: int
    status: Literal["running", "stopped", "finished"]
    summary: bytes
    owners: tuple[str, ...]
    moves: tuple[tuple[int, str], ...]
    manifests: tuple[tuple[int, tuple[_ManifestFields, ...]], ...]
    acceptances: NotRequired[tuple[tuple[str, bytes, _Positions | None], ...]]
    host_nodes: NotRequired[tuple[tuple[str, str], ...]]
    generations: NotRequired[tuple[Count, ...]]
    standbys: NotRequired[tuple[_StandbyFields, ...]]
    notices: NotRequired[tuple[_NotifyFields, ...]]


class _StateFields(TypedDict):
    epoch: Count
    leader_id: str
    leader_term: Count
    jobs: tuple[_JobFields, ...]
    members: tuple[tuple[str, str, str], ...]
    nodes: NotRequired[tuple[_NodeFields, ...]]
    head: NotRequired[_HeadFields | None]
    answers: tuple[tuple[str, bytes], ...]
    silences: NotRequired[tuple[_SilenceFields, ...]]


def encode_state(state: GroupState) -> bytes:
    """Return the state's bytes."""
    fields: _StateFields = {
        "epoch": state.epoch,
        "leader_id": state.leader_id,
        "leader_term": state.leader_term,
        "jobs": tuple(_job_fields(state.jobs[job_id]) for job_id in sorted(state.jobs)),
        "members": tuple((name, known.address, known.identity) for name, known in sorted(state.members.items())),
        "nodes": tuple(_node_fields(name, node) for name, node in sorted(state.nodes.items())),
        "head": None if state.head is None else (state.head.node, state.head.generation, state.head.address),
        "answers": tuple((request_id, encode_answer(answer)) for request_id, answer in state.answers.items()),
        "silences": tuple(_silence_fields(name, one) for name, one in sorted(state.silences.items())),
    }
    encoded: bytes = msgpack.packb((STATE_VERSION, fields), use_bin_type=True)
    return encoded


def decode_state(data: bytes) -> GroupState:
    """Return the state that the bytes hold; it keeps every invariant.

    Raises:
        FormatError: The bytes are no state, or one of a later version.
    """
    version, content = require(unpack(data, "group state"), tuple[int, object], "the group state")
    if version not in _READABLE_VERSIONS:
        raise FormatError(f"state version {version} is unknown, known is {STATE_VERSION}; update this member")
    fields: _StateFields = require(content, _StateFields, "the group state")
    jobs = [_job_from_fields(job) for job in fields["jobs"]]
    state = GroupState(
        epoch=fields["epoch"],
        leader_id=fields["leader_id"],
        leader_term=fields["leader_term"],
        jobs={job.job_id: job for job in jobs},
        members={
            name: MemberRecord(address=address, identity=identity) for name, address, identity in fields["members"]
        },
        nodes=dict(map(_node_from_fields, fields.get("nodes", ()))),
        head=_head_from_fields(fields.get("head")),
        answers={request_id: decode_answer(answer) for request_id, answer in fields["answers"]},
        silences=dict(map(_silence_from_fields, fields.get("silences", ()))),
    )
    try:
        validate(state)
    except AssertionError as error:
        raise FormatError(f"{len(data)} bytes are no group state: an invariant of it is broken") from error
    return state


def _job_fields(job: Job) -> _JobFields:
    return {
        "job_id": job.job_id,
        "spec": job.spec,
        "partition_count": job.partition_count,
        "host_count": job.host_count,
        "status": job.status.value,
        "summary": job.summary,
        "owners": job.owners,
        "moves": tuple(sorted(job.moves.items())),
        "manifests": tuple(
            (partition, tuple(map(_manifest_fields, kept))) for partition, kept in sorted(job.manifests.items())
        ),
        "acceptances": tuple((known.acceptance_id, known.content, known.positions) for known in job.acceptances),
        "host_nodes": tuple(sorted(job.host_nodes.items())),
        "generations": job.generations,
        "standbys": tuple(
            (partition, one.host, one.generation, one.is_ready) for partition, one in sorted(job.standbys.items())
        ),
        # Intents are in the order of their age.
        "notices": tuple((sink, tuple(one.intents.items()), one.sent_us) for sink, one in sorted(job.notices.items())),
    }


def _silence_fields(name: str, one: SilenceRecord) -> _SilenceFields:
    about = (one.job, one.metric, one.severity, one.key, one.labels)
    return (name, *about, one.start_us, one.end_us, one.who, one.why)


def _silence_from_fields(fields: _SilenceFields) -> tuple[str, SilenceRecord]:
    name, job, metric, severity, key, labels, start_us, end_us, who, why = fields
    silence = SilenceRecord(
        job=job,
        metric=metric,
        severity=severity,
        key=key,
        labels=labels,
        start_us=start_us,
        end_us=end_us,
        who=who,
        why=why,
    )
    return name, silence


def _node_fields(name: str, node: NodeRecord) -> _NodeFields:
    roles = (node.carries_ray, node.is_voter, node.is_draining)
    return (name, node.address, node.directory, node.machine, *roles, node.incarnation)


def _node_from_fields(fields: _NodeFields) -> tuple[str, NodeRecord]:
    name, address, directory, machine, carries_ray, is_voter, is_draining, incarnation = fields
    node = NodeRecord(
        address=address,
        directory=directory,
        machine=machine,
        carries_ray=carries_ray,
        is_voter=is_voter,
        is_draining=is_draining,
        incarnation=incarnation,
    )
    return name, node


def _head_from_fields(fields: _HeadFields | None) -> HeadRecord | None:
    return None if fields is None else HeadRecord(node=fields[0], generation=fields[1], address=fields[2])


def _manifest_fields(manifest: Manifest) -> _ManifestFields:
    return (manifest.next_offsets, manifest.digest, manifest.size_bytes, manifest.holders, manifest.epoch)


def _job_from_fields(fields: _JobFields) -> Job:
    return Job(
        job_id=fields["job_id"],
        spec=fields["spec"],
        partition_count=fields["partition_count"],
        host_count=fields["host_count"],
        status=JobStatus(fields["status"]),
        summary=fields["summary"],
        owners=fields["owners"],
        moves=dict(fields["moves"]),
        manifests={partition: tuple(map(_manifest_from_fields, kept)) for partition, kept in fields["manifests"]},
        acceptances=tuple(
            AcceptanceRecord(acceptance_id=acceptance_id, content=content, positions=positions)
            for acceptance_id, content, positions in fields.get("acceptances", ())
        ),
        host_nodes=dict(fields.get("host_nodes", ())),
        generations=fields.get("generations", tuple(int(bool(owner)) for owner in fields["owners"])),
        standbys={
            partition: StandbyRecord(host=host, generation=generation, is_ready=is_ready)
            for partition, host, generation, is_ready in fields.get("standbys", ())
        },
        notices={
            sink: NotifyRecord(intents=dict(intents), sent_us=sent_us)
            for sink, intents, sent_us in fields.get("notices", ())
        },
    )


def _manifest_from_fields(fields: _ManifestFields) -> Manifest:
    next_offsets, digest, size_bytes, holders, epoch = fields
    return Manifest(next_offsets=next_offsets, digest=digest, size_bytes=size_bytes, holders=holders, epoch=epoch)

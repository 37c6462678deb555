"""Bytes of the group state: what a member dumps, and sends to members that are far behind.

Equal states have equal bytes: mappings are written in the order of their keys, except answers, which are
written in the order of their age.
"""

from typing import Any, Final

import msgpack

from raft.commands import Answer, decode_answer, encode_answer
from raft.errors import FormatError
from raft.group import AcceptanceRecord, GroupState, Job, JobStatus, Manifest, MemberRecord

STATE_VERSION: Final = 2
"""Version of the encoded state; its first value."""

_READABLE_VERSIONS: Final = (1, STATE_VERSION)
"""Versions that can be read; a job of version 1 has no accepted values."""


def encode_state(state: GroupState) -> bytes:
    """Return the state's bytes."""
    fields = {
        "epoch": state.epoch,
        "leader_id": state.leader_id,
        "leader_term": state.leader_term,
        "jobs": [_job_fields(state.jobs[job_id]) for job_id in sorted(state.jobs)],
        "members": [(name, record.address, record.identity) for name, record in sorted(state.members.items())],
        "answers": [(request_id, encode_answer(answer)) for request_id, answer in state.answers.items()],
    }
    encoded: bytes = msgpack.packb((STATE_VERSION, fields), use_bin_type=True)
    return encoded


def decode_state(data: bytes) -> GroupState:
    """Return the state that the bytes hold.

    Raises:
        FormatError: The bytes are no state, or one of a later version.
    """
    try:
        version, fields = msgpack.unpackb(data, use_list=False, raw=False, strict_map_key=False)
        if version not in _READABLE_VERSIONS:
            raise FormatError(f"state version {version} is unknown, known is {STATE_VERSION}; update this member")
        return _state_from_fields(fields)
    except FormatError:
        raise
    except Exception as error:
        raise FormatError(f"{len(data)} bytes are no group state: {error}") from error


def _state_from_fields(fields: dict[str, Any]) -> GroupState:
    """Return the state with these fields."""
    jobs = [_job_from_fields(job) for job in fields["jobs"]]
    answers: dict[str, Answer] = {request_id: decode_answer(data) for request_id, data in fields["answers"]}
    return GroupState(
        epoch=fields["epoch"],
        leader_id=fields["leader_id"],
        leader_term=fields["leader_term"],
        jobs={job.job_id: job for job in jobs},
        members={
            name: MemberRecord(address=address, identity=identity) for name, address, identity in fields["members"]
        },
        answers=answers,
    )


def _job_fields(job: Job) -> dict[str, Any]:
    """Return a job as plain values."""
    return {
        "job_id": job.job_id,
        "spec": job.spec,
        "partition_count": job.partition_count,
        "host_count": job.host_count,
        "status": str(job.status),
        "summary": job.summary,
        "owners": job.owners,
        "moves": sorted(job.moves.items()),
        "manifests": [
            (partition, [_manifest_fields(m) for m in kept]) for partition, kept in sorted(job.manifests.items())
        ],
        "acceptances": [(known.acceptance_id, known.content, known.positions) for known in job.acceptances],
    }


def _manifest_fields(manifest: Manifest) -> tuple[Any, ...]:
    """Return a manifest as plain values."""
    return (manifest.next_offsets, manifest.digest, manifest.size_bytes, manifest.holders, manifest.epoch)


def _job_from_fields(fields: dict[str, Any]) -> Job:
    """Return the job with these fields."""
    manifests = {partition: tuple(map(_manifest_from_fields, kept)) for partition, kept in fields["manifests"]}
    return Job(
        job_id=fields["job_id"],
        spec=fields["spec"],
        partition_count=fields["partition_count"],
        host_count=fields["host_count"],
        status=JobStatus(fields["status"]),
        summary=fields["summary"],
        owners=fields["owners"],
        moves=dict(fields["moves"]),
        manifests=manifests,
        acceptances=tuple(
            AcceptanceRecord(acceptance_id=acceptance_id, content=content, positions=positions)
            for acceptance_id, content, positions in fields.get("acceptances", ())
        ),
    )


def _manifest_from_fields(fields: tuple[Any, ...]) -> Manifest:
    """Return the manifest with these fields."""
    next_offsets, digest, size_bytes, holders, epoch = fields
    return Manifest(next_offsets=next_offsets, digest=digest, size_bytes=size_bytes, holders=holders, epoch=epoch)

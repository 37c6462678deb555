"""Records of the group's state: jobs, members, nodes, and what must always be true of them.

They are values; mappings in them are never changed in place. How commands change them is in `raft.group`, which also
gives them to everybody outside of `raft`; their bytes are in `raft.group_codec`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from raft.answers import Answer

ANSWER_COUNT_MAX: Final = 512
"""Answers kept for repeated requests; older requests are taken as new ones."""

JOB_COUNT_MAX: Final = 256
"""Jobs of one group, running or not."""

SHARED_HOST_COUNT: Final = 0
"""Hosts wanted of a job that shares a process with others, on whatever node has it."""

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

NODE_COUNT_MAX: Final = 1024
"""Nodes of one group."""

NODE_TEXT_LENGTH_MAX: Final = 1024
"""Characters of each text that a node says of itself."""


SILENCE_COUNT_MAX: Final = 1000
"""Silences of one group, those included that are over and not forgotten yet."""

SILENCE_TEXT_LENGTH_MAX: Final = 1024
"""Letters of each text of a silence, and most patterns of each kind."""

SILENCE_KEPT_US: Final = 24 * 3600 * 1_000_000
"""Microseconds for which a silence that is over is still shown."""

INTENT_COUNT_MAX: Final = 2000
"""Notifications of one sink that the state knows to be on their way, or just sent."""

INTENTS_SIZE_BYTES_MAX: Final = 256 << 10
"""Length of the intents of one command."""

RATE_COUNT_MAX: Final = 1000
"""Times of notifications that are kept for each sink."""


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
class SilenceRecord:
    """What nobody is to be told of, and until when: episodes that fit all that is given."""

    job: str
    """Pattern of the job's name."""

    metric: tuple[str, ...] = ()
    """Patterns of the metric's id, or its text where it has none; none means all."""

    severity: tuple[str, ...] = ()
    """Severities; none means all."""

    key: tuple[tuple[str, str], ...] = ()
    """Key columns, and patterns of their values as they are printed."""

    labels: tuple[tuple[str, str], ...] = ()
    """Labels, and patterns of their values."""

    start_us: int
    """From when on, in microseconds since 1970."""

    end_us: int
    """From when on no longer."""

    who: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyRecord:
    """What has to outlive a leader of the notifications of one sink; which those are is opaque here."""

    intents: Mapping[str, bytes] = field(default_factory=dict)
    """Notifications that are to be sent, or were a moment ago, by their ids; oldest first."""

    sent_us: tuple[int, ...] = ()
    """Times of the newest notifications, in microseconds since 1970: as many as a rate cap has to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyRecord:
    """The second copy of a partition's shard, on another node, which is given the same rows."""

    host: str
    """Host that has it, or shall have it; empty when none does, and the generation only says which are used up."""

    generation: int
    """Generation of the copy, always above that of the shard: with it the copy becomes the shard."""

    is_ready: bool = False
    """Whether it has been as far as the shard, so that it may take over when nobody can be asked."""


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
    """Hosts wanted; `SHARED_HOST_COUNT`: one, in a process that jobs share."""

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

    host_nodes: Mapping[str, str] = field(default_factory=dict)
    """Node of each host; a host without one may run anywhere."""

    generations: tuple[int, ...] = ()
    """Generation of each partition's shard, from 1; 0 says that it never had one. A copy of another is no shard."""

    standbys: Mapping[int, StandbyRecord] = field(default_factory=dict)
    """Second copies, by partition."""

    notices: Mapping[str, NotifyRecord] = field(default_factory=dict)
    """Notifications of sinks that follow a policy, by the identity of the sink."""

    def next_generation(self, partition: int) -> int:
        """Return a generation that no copy of a partition has had."""
        standby = self.standbys.get(partition)
        return max(self.generations[partition], 0 if standby is None else standby.generation) + 1

    def standbys_on(self, node: str) -> tuple[int, ...]:
        """Partitions whose second copy a node has, or shall have."""
        return tuple(number for number, one in self.standbys.items() if self.host_nodes.get(one.host) == node)

    def node_of(self, partition: int) -> str:
        """Name of the node that has the partition's shard; empty when there is none, or it may be anywhere."""
        return self.host_nodes.get(self.owners[partition], "")

    def partitions_on(self, node: str) -> tuple[int, ...]:
        """Partitions that a node has, or shall have when their move is done."""
        hosts = {host for host, known in self.host_nodes.items() if known == node}
        return tuple(
            number for number, owner in enumerate(self.owners) if owner in hosts or self.moves.get(number) in hosts
        )

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
class NodeRecord:
    """One machine of the cluster."""

    address: str
    """`host:port` at which its node process is spoken to."""

    directory: str
    """Where it keeps everything, on its own disk."""

    machine: str
    """Names the machine; several nodes on one machine name the same."""

    carries_ray: bool
    """Whether Ray runs there, so that it can have hosts."""

    is_voter: bool
    """Whether it votes in the Raft group."""

    is_draining: bool
    """Whether it shall give up all that it has."""

    incarnation: str
    """Which incarnation of its directory it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRecord:
    """Who carries Ray's head."""

    node: str
    """Name of the node."""

    generation: int
    """Counts the heads there have been, from 1."""

    address: str
    """`host:port` of Ray's GCS; empty until it runs."""


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

    nodes: Mapping[str, NodeRecord] = field(default_factory=dict)
    """Nodes by name; none in a group whose hosts may run anywhere."""

    head: HeadRecord | None = None
    """Who carries Ray's head; `None` before the first was named."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    """Newest answers by request id, oldest first."""

    silences: Mapping[str, SilenceRecord] = field(default_factory=dict)
    """What nobody is told of for a while, by the ids of the requests; those that are over for long are forgotten."""

    def jobs_on(self, node: str) -> tuple[Job, ...]:
        """Jobs of which a node has partitions, or shall have."""
        return tuple(job for job in self.jobs.values() if job.partitions_on(node))


def validate(state: GroupState) -> None:
    """Assert every invariant of the state."""
    assert state.epoch >= 0
    assert (state.epoch == 0) == (state.leader_id == "")
    assert (state.epoch == 0) == (state.leader_term == 0)
    assert len(state.jobs) <= JOB_COUNT_MAX
    assert len(state.answers) <= ANSWER_COUNT_MAX
    assert "" not in state.members
    assert len(state.silences) <= SILENCE_COUNT_MAX
    assert all(one.start_us <= one.end_us for one in state.silences.values())
    _validate_nodes(state)
    for job_id, job in state.jobs.items():
        assert job_id == job.job_id
        _validate_job(state, job)


def _validate_nodes(state: GroupState) -> None:
    assert "" not in state.nodes
    assert len(state.nodes) <= NODE_COUNT_MAX
    assert len({node.address for node in state.nodes.values()}) == len(state.nodes)
    if state.head is not None:
        assert state.head.node in state.nodes
        assert state.head.generation >= 1


def _validate_job(state: GroupState, job: Job) -> None:
    assert len(job.owners) == job.partition_count <= PARTITION_COUNT_MAX
    assert SHARED_HOST_COUNT <= job.host_count <= job.partition_count
    assert len(job.acceptances) <= ACCEPTANCE_COUNT_MAX
    assert len({known.acceptance_id for known in job.acceptances}) == len(job.acceptances)
    assert job.summary == b"" or job.status is JobStatus.FINISHED
    assert "" not in job.host_nodes
    assert set(job.host_nodes.values()) <= state.nodes.keys()
    assert len(job.generations) == job.partition_count
    for owner, generation in zip(job.owners, job.generations, strict=True):
        assert generation >= (1 if owner else 0)
    _validate_standbys(job)
    for record in job.notices.values():
        assert len(record.intents) <= INTENT_COUNT_MAX
        assert len(record.sent_us) <= RATE_COUNT_MAX
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


def _validate_standbys(job: Job) -> None:
    for partition, standby in job.standbys.items():
        assert 0 <= partition < job.partition_count
        assert standby.generation > job.generations[partition]
        assert not (standby.is_ready and not standby.host)
        if standby.host:
            assert job.host_nodes[standby.host] != job.node_of(partition)

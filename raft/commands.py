"""Commands, answers and actions of the group state, and the bytes in which they travel.

A *command* asks for a change of the group's state; it is what the Raft log holds. Its *answer* is `Accepted` or
`Refused`. An *action* tells the member, after a command was applied, what to do outside of the state. All three are
values. `request_id` makes a command repeatable: the state remembers the newest answers by it, so a command that is sent
again after a lost answer changes nothing and is answered as before. How commands change the state is in `raft.group`.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from raft.answers import Accepted as Accepted
from raft.answers import Answer as Answer
from raft.answers import Refused as Refused
from raft.answers import decode_answer as decode_answer
from raft.answers import decode_kind, encode_kind
from raft.answers import encode_answer as encode_answer
from raft.errors import FormatError

COMMAND_SIZE_BYTES_MAX: Final = 1 << 20
"""Largest encoded command: larger things do not belong in a log that everybody keeps."""


def request_id() -> str:
    """Return a name for a request, by which a repeated one is known."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A change of the group's state."""

    request_id: str = ""
    """Names the request, equal when it is repeated; empty means that it cannot be repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCommand(Command):
    """A change of one job that anybody may ask for."""

    job_id: str
    """Name of the job, unique in the group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderCommand(Command):
    """A change that the leader asks for; refused once the epoch is over."""

    epoch: int
    """Epoch under which it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderJobCommand(LeaderCommand):
    """One that concerns a single job."""

    job_id: str
    """Name of the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionCommand(LeaderJobCommand):
    """One that concerns a single partition."""

    partition: int
    """Number of the partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderElected(Command):
    """A member leads a new term, or leads the same one anew; starts a new epoch. Only members propose it."""

    member_id: str
    """Who leads."""

    term: int
    """Raft's term of the election."""

    members: tuple[tuple[str, str, str], ...] = ()
    """Name, address and identity of each voting member; the state knows exactly these from here on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSubmitted(JobCommand):
    """A new job, running from now on."""

    spec: bytes
    """The job's settings, opaque here."""

    partition_count: int
    """Partitions, fixed for the life of the job."""

    host_count: int
    """Hosts wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStopped(JobCommand):
    """A running job shall rest; its partitions keep their place and their data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResumed(JobCommand):
    """A stopped job shall run again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFinished(LeaderJobCommand):
    """The leader says that a bounded job has reached its end, or has failed for good."""

    summary: bytes
    """What to show of the outcome, opaque here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRemoved(JobCommand):
    """A job that does not run is forgotten, with its snapshots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentChanged(LeaderJobCommand):
    """Partitions that have no owner, or whose owner is lost, get one, and hosts their nodes."""

    owners: tuple[tuple[int, str], ...]
    """Pairs of partition and host; partitions not named keep their owner; an empty host takes the owner away."""

    host_nodes: tuple[tuple[str, str], ...] = ()
    """Pairs of host and node; hosts not named keep theirs; an empty node lets the host run anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleRequested(JobCommand):
    """Another number of hosts is wanted for a job."""

    host_count: int
    """Hosts wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueAccepted(JobCommand):
    """A value that a job's detectors reported shall count as known from now on; the request's id names it."""

    content: bytes
    """Which value, opaque here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptancePlaced(LeaderJobCommand):
    """The leader says from which rows on an accepted value counts as known: none of them has been sent yet."""

    acceptance_id: str
    """Id of the request that accepted the value."""

    positions: tuple[tuple[int, int], ...]
    """Pairs of split and offset, by ascending split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveStarted(PartitionCommand):
    """A partition is about to be handed over; its owner stays until the move is finished."""

    source: str
    """Host that owns it now."""

    target: str
    """Host that shall own it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveFinished(PartitionCommand):
    """The target has the whole partition: it is the owner from here on."""

    target: str
    """The target named when the move started."""

    generation: int | None = None
    """Generation of the shard that the target has: the present one when the shard itself was handed over on its node, a
    greater one for a copy on another. `None`, in logs of before there were nodes, is the present one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveAbandoned(PartitionCommand):
    """The move is given up: the source stays the owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRebuilt(PartitionCommand):
    """A shard was found lost or wrong: it is made anew, and no copy of before is the shard any more."""

    generation: int
    """Generation of the new one, greater than the present one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyPlaced(PartitionCommand):
    """A host of another node shall have a second copy of a partition, or has it as far as the shard is."""

    host: str
    """Host of the copy; empty when there shall be none."""

    generation: int
    """Generation of the copy: one that no copy had before, or the present one, to say that it is ready."""

    is_ready: bool
    """Whether it is as far as the shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyPromoted(PartitionCommand):
    """The second copy of a partition is the shard from here on; what was the shard may become the second copy."""

    host: str
    """Host of the copy, which is the owner now."""

    generation: int
    """Generation of the copy, which is that of the shard now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotReplicated(PartitionCommand):
    """A majority of the members has fsynced the bytes of a partition's snapshot."""

    next_offsets: tuple[tuple[int, int], ...]
    """Pairs of split and the first offset not contained, by ascending split."""

    digest: bytes
    """SHA-256 of the bytes."""

    size_bytes: int
    """Length of the bytes."""

    holders: tuple[str, ...]
    """Members that have acknowledged the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticesIntended(LeaderJobCommand):
    """Notifications of a sink are going to be sent, and others of before are no longer on their way."""

    sink: str
    """Identity of the sink."""

    intents: tuple[tuple[str, int, bytes], ...]
    """Id, time in microseconds since 1970, and content, opaque here, of each, in the order in which they are sent."""

    dropped: tuple[str, ...] = ()
    """Ids of those that everybody who has to know of them knows of."""

    rate_count: int = 0
    """Times of notifications that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceAdded(Command):
    """Nobody shall be told of some episodes for a while. Named by its request."""

    job: str
    """Pattern of the job's name."""

    metric: tuple[str, ...] = ()
    """Patterns of the metric's id or text; none means all."""

    severity: tuple[str, ...] = ()
    """Severities; none means all."""

    key: tuple[tuple[str, str], ...] = ()
    """Key columns, and patterns of their values."""

    labels: tuple[tuple[str, str], ...] = ()
    """Labels, and patterns of their values."""

    start_us: int
    """Time of now, in microseconds since 1970; what is over for long by then is forgotten."""

    end_us: int
    """From when on it holds no longer."""

    who: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceExpired(Command):
    """A silence shall hold no longer."""

    silence_id: str
    """Id of the request that added it."""

    end_us: int
    """Time of now, in microseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAdded(Command):
    """A member joins the group. Proposed by `Member.admit` only, because it changes who votes."""

    member_id: str
    """Name of the member."""

    address: str
    """`host:port` at which it takes part in Raft."""

    identity: str
    """Which incarnation of its directory it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRemoved(Command):
    """A member leaves the group. Proposed by `Member.expel` only, because it changes who votes."""

    member_id: str
    """Name of the member."""

    identity: str
    """The incarnation meant; a late repetition must not expel the one that was admitted since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeJoined(Command):
    """A node belongs to the cluster. Proposed again whenever what it says of itself has changed."""

    node: str
    """Name of the node."""

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

    incarnation: str
    """Which incarnation of its directory it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDrained(Command):
    """A node shall give up all that it has, so that it may leave."""

    node: str
    """Name of the node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLeft(Command):
    """A node that has nothing any more does not belong to the cluster any longer."""

    node: str
    """Name of the node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLost(LeaderCommand):
    """A node has not been there for long: its hosts are gone, and its shards are no longer the current ones.

    A job that runs makes them anew elsewhere. What others have stays theirs, since nobody would, unless the node is
    given up for good.
    """

    node: str
    """Name of the node, which still belongs to the cluster."""

    is_for_good: bool = False
    """Whether jobs that do not run lose what they have there, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadAssigned(LeaderCommand):
    """A node shall carry Ray's head, which is the next one."""

    node: str
    """Name of the node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadStarted(Command):
    """The node that carries Ray's head says where it can be reached."""

    node: str
    """Name of the node."""

    generation: int
    """Which head it is; a late word about one of before is refused."""

    address: str
    """`host:port` of Ray's GCS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BecomeLeader:
    """A member's election has been applied: it may act under this epoch, if it still leads this term."""

    member_id: str
    """Who leads."""

    epoch: int
    """The epoch to act under."""

    term: int
    """Raft's term of the election."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDown:
    """Leadership under this epoch is over; nothing may be done in its name any more."""

    member_id: str
    """Whose leadership it was."""

    epoch: int
    """The epoch that is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsChanged:
    """Something about these jobs differs from before: wanted, placed, moved, finished or removed."""

    job_ids: tuple[str, ...]
    """The jobs, sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetSnapshots:
    """Snapshots that no manifest names any more."""

    job_id: str

    partition: int

    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersChanged:
    """The members known to the state are others than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRestored:
    """The state was replaced as a whole (after a start, or by the leader): read all of it again."""


Action = BecomeLeader | StepDown | JobsChanged | ForgetSnapshots | MembersChanged | StateRestored

_COMMANDS: Final[Mapping[str, type[Command]]] = {
    kind.__name__: kind
    for kind in (
        LeaderElected,
        JobSubmitted,
        JobStopped,
        JobResumed,
        JobFinished,
        JobRemoved,
        AssignmentChanged,
        ScaleRequested,
        ValueAccepted,
        AcceptancePlaced,
        MoveStarted,
        MoveFinished,
        MoveAbandoned,
        ShardRebuilt,
        StandbyPlaced,
        StandbyPromoted,
        SnapshotReplicated,
        NoticesIntended,
        SilenceAdded,
        SilenceExpired,
        MemberAdded,
        MemberRemoved,
        NodeJoined,
        NodeDrained,
        NodeLeft,
        NodeLost,
        HeadAssigned,
        HeadStarted,
    )
}


def encode_command(command: Command) -> bytes:
    """Return the command's bytes.

    Raises:
        FormatError: The command is larger than `COMMAND_SIZE_BYTES_MAX`.
    """
    data = encode_kind(command)
    if len(data) > COMMAND_SIZE_BYTES_MAX:
        raise FormatError(
            f"{type(command).__name__} takes {len(data)} bytes, allowed are {COMMAND_SIZE_BYTES_MAX}; shorten it"
        )
    return data


def decode_command(data: bytes) -> Command:
    """Return the command that the bytes hold.

    Raises:
        FormatError: The bytes are no command, or one of a later version.
    """
    return decode_kind(data, _COMMANDS, "command")

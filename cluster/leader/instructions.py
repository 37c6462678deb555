"""Instructions: what the leader's core wants done. A `Request` is answered by an event with its number.

They are carried out in the order in which they are given, as far as one host is concerned: a host does what it is
asked in that order. The words for the answers are in `cluster.leader.events`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from actors.host_batch import HostBatch
from actors.partition.notices import PartitionNotes
from actors.sink.protocol import Notification
from raft.commands import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """Something to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Instruction):
    """Something to do and to answer."""

    request: int
    """Number of the request; greater than those before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSource(Request):
    """Open the job's source, anew if it is open; answered by `SourceOpened`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSplit(Request):
    """Read a split of the source from an offset on; answered by `SplitRead`."""

    split: int
    offset: int
    row_count_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRequest(Request):
    """What a host shall do; answered by `Done` unless it says otherwise."""

    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartHost(HostRequest):
    """Start a host on its node if it does not run there; one of the same name on another node is none of the job's."""

    node: str = ""
    """Name of the node; empty for any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSplits(HostRequest):
    """Let a host open the job's source for splits of its own, anew if it is open; answered by `SplitsOpened`."""

    splits: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSplits(HostRequest):
    """Let a host read splits of its own, in turn, and apply what comes; answered by `SplitsRead`."""

    offsets: Mapping[int, int]
    """Where to read on, by split; whose turn it is comes first."""

    batch_count_max: int
    """Batches that are read in all, so that what is asked next does not wait for long."""

    ends: Mapping[int, int] = field(default_factory=dict)
    """Where to stop, by split, for second copies: they are not ahead of their owners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPartitions(HostRequest):
    """Let a host own partitions; answered by `PartitionsOpened`."""

    partitions: tuple[int, ...]
    earliest: Mapping[int, int]
    """First offset that the source still has, by split."""

    snapshots: Mapping[int, bytes]
    """Bytes by partition, for those whose shard is empty."""

    acceptances: tuple[bytes, ...]
    """Values that count as known, each from its place on."""

    generations: Mapping[int, int]
    """Generation of each partition's shard; a copy of another one is not the shard."""

    are_all: bool
    """Whether these are all that the host shall own: it may have others from an attempt of before."""

    standbys: tuple[int, ...] | None = None
    """Partitions of which the host may still have second copies, if that is to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandBy(HostRequest):
    """Let a host have a second copy of a partition open; answered by `StandbyOpened`."""

    partition: int

    generation: int
    """Generation of the copy."""

    others: tuple[int, ...]
    """All partitions that the host shall have copies of."""

    acceptances: tuple[bytes, ...]
    """Values that count as known, each from its place on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAgain(ReadSplit):
    """Read for the second copies of a host what others have been sent; answered by `SplitRead`."""

    host: str
    """Host of the copies, to which nothing is sent by this."""

    is_first: bool
    """Whether this does not go on where the last such reading of the split for the host has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadMarks(HostRequest):
    """Ask what sinks have of the partitions that a host owns; answered by `MarksRead`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeMarks(HostRequest):
    """Tell the second copies of a host what sinks have."""

    marks: Mapping[int, Mapping[bytes, bytes]]
    """By partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushStandbys(HostRequest):
    """Make durable what a host's second copies have; answered by `HostFlushed`."""

    are_due: bool
    """Whether only what has waited for the flush period is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptValues(HostRequest):
    """Let values count as known in the partitions that the host has."""

    acceptances: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendBatch(HostRequest):
    """Send rows; answered by `BatchApplied`."""

    batch: HostBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushDue(HostRequest):
    """Let a host flush what has waited long enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushHost(HostRequest):
    """Make everything durable; answered by `HostFlushed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver(HostRequest):
    """Hand committed anomalies to a sink, beside everything else that the host does; answered by `Delivered`."""

    sink: int
    """Position of the sink among those of the job."""

    is_last: bool = False
    """Whether the job ends: what a sink does as time passes may fail then, since it would be done again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeNotices(HostRequest):
    """Take notices for a sink that follows a policy out of a host's outboxes; answered by `NoticesTaken`."""

    sink: int
    """Position of the sink among those of the job."""

    is_all: bool
    """Whether all standings and tallies are asked for, and not those alone that change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteNotices(HostRequest):
    """Have partitions of a host note what has become of notices."""

    sink: int
    """Position of the sink among those of the job."""

    notes: Mapping[int, PartitionNotes]
    """By partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendNotices(HostRequest):
    """Have a host send notifications to a sink, in order; answered by `NoticesSent`."""

    sink: int
    """Position of the sink among those of the job."""

    sent: tuple[tuple[Notification, Mapping[int, PartitionNotes]], ...]
    """Each with what partitions note when it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePartitions(HostRequest):
    """Let a host give partitions up; one that does not exist owns none."""

    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyShard(Request):
    """Copy a shard to another node as it is after everything sent to its host before; answered by `ShardCopied`."""

    source: str
    """Host that has it open."""

    target: str
    """Host on the node that shall have it, beside what is there."""

    partition: int

    generation: int
    """Generation of the copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSnapshot(HostRequest):
    """Take a snapshot and keep it under the number of the request; answered by `SnapshotTaken`."""

    partition: int

    core_share: float
    """Share of one core that the host may take to write it: little while rows go on, else 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSnapshot(Request):
    """Have a member store a snapshot durably; answered by `SnapshotStored`."""

    member: str
    partition: int
    snapshot: int
    """Number of the request that took it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSnapshot(Instruction):
    """The bytes of a snapshot are not needed any more."""

    snapshot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSnapshot(Request):
    """Read a snapshot from a member; answered by `SnapshotFound`."""

    member: str
    partition: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Propose(Request):
    """Have the group apply a command; answered by `Answered`. The same number may come again: it is one proposal."""

    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class EndHost(Instruction):
    """End the process of a host that hangs; `StartHost` finds the one that follows it."""

    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareHost(Instruction):
    """Begin to start a host on a node that may get it; one of the same name on another node goes on."""

    host: str
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOtherHosts(Instruction):
    """End the job's hosts that own nothing, whoever started them."""

    hosts: tuple[str, ...]
    """Those that own something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseSource(Instruction):
    """Let nothing more be read; answered by nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSampler(Instruction):
    """End what fills the job's own stream table, if it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warn(Instruction):
    """Write into the log."""

    phrase: str
    reason: str

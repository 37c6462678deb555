"""Events: what happens to a leader. A `Reply` answers the request whose number it carries.

Replies may come late, twice, or never: one whose request is over is ignored, and a request has a deadline.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from actors.partition.notices import SentNotices, TakenNotices
from actors.partition.values import OpenedPartition
from actors.split_reader import SplitProgress
from cluster.leader.failures import Failure
from cluster.leader.reading import SplitBatch
from raft.commands import Answer
from raft.group import GroupState


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened."""

    now_us: int
    """Time of day, in microseconds since 1970; may be set back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePassed(Event):
    """Nothing else happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSeen(Event):
    """The group's state as it is applied here."""

    state: GroupState


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesSeen(Event):
    """The nodes that are there at this moment; said again and again, also while nothing changes."""

    nodes: frozenset[str]
    """Names of the nodes that answer and can have hosts."""

    answering: frozenset[str] = frozenset()
    """Names of nodes that answer and cannot have hosts just now, as while their Ray joins another head: not lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsSeen(Event):
    """For how long hosts have not said that they are there, which they do whatever else they are busy with."""

    silence_us: Mapping[str, int]
    """By host, for those that have started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Event):
    """A request was carried out."""

    request: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Reply):
    """A request was not carried out, or may not have been; a proposal that fails is one without an answer."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Reply):
    """There is no more to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOpened(Reply):
    """The source is open."""

    earliest: Mapping[int, int]
    """First offset that it still has, by split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRead(Reply):
    """A split was read; it may have given nothing new."""

    batch: SplitBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitsOpened(Reply):
    """A host has opened the source of its splits."""

    earliest: Mapping[int, int]
    """First offset that each of them still has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitsRead(Reply):
    """A host has read splits of its own, and their partitions have what came."""

    progress: tuple[SplitProgress, ...]
    """Of those that had their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionsOpened(Reply):
    """A host owns the partitions."""

    opened: Mapping[int, OpenedPartition]
    """Where each stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyOpened(Reply):
    """A host has a second copy of a partition."""

    opened: OpenedPartition
    """Where it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarksRead(Reply):
    """What sinks have of the partitions that a host owns."""

    marks: Mapping[int, Mapping[bytes, bytes]]
    """By partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchApplied(Reply):
    """A batch is in."""

    anomaly_count: int
    """New anomalies that it raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFlushed(Reply):
    """Everything that the host had is durable."""

    committed: Mapping[int, Mapping[int, int]]
    """Offset below which all is durable, by partition and split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(Reply):
    """A sink has taken anomalies."""

    count: int
    """How many; 0 says that none wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticesTaken(Reply):
    """A host has taken notices out of its outboxes."""

    taken: TakenNotices


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticesSent(Reply):
    """A host has sent notifications."""

    sent: SentNotices


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardCopied(Reply):
    """The target's node has the shard durably, under its generation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotTaken(Reply):
    """A snapshot is there, under the number of the request."""

    offsets: Mapping[int, int]
    """First offset that it does not contain, by split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotStored(Reply):
    """A member has a snapshot durably."""

    digest: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFound(Reply):
    """What a member has of a snapshot."""

    data: bytes | None
    """Its bytes, or `None` when it does not have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Reply):
    """The group answered a proposal; a state seen from now on contains it."""

    answer: Answer

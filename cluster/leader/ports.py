"""Ports: what a leader's runner needs of hosts, members, the group and whoever deploys them.

The Ray implementations are in `cluster.deployment`, above the leader; nothing here knows them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from actors.host_batch import HostBatch
from actors.partition.notices import PartitionNotes, SentNotices, TakenNotices
from actors.partition.values import OpenedPartition
from actors.shard.transfer import ShardChunk
from actors.sink.protocol import Notification
from actors.split_reader import SplitProgress
from raft.commands import Answer, Command
from raft.group import GroupState

T_co = TypeVar("T_co", covariant=True)

Offsets = dict[int, dict[int, int]]
"""Offsets by partition and split."""


class Reply(Protocol[T_co]):
    """A reply that may not have come yet."""

    def when_done(self, take: Callable[[T_co], None], fail: Callable[[Exception], None]) -> None:
        """Have one of the two called, once, in any thread."""
        ...


class HostPort(Protocol):
    """A host; what is asked of it is done in that order, deliveries apart."""

    def ready(self) -> Reply[bool]:
        """Answer when the process has started."""
        ...

    def is_there(self) -> Reply[object]:
        """Answer at once, whatever else the host is busy with."""
        ...

    def open(
        self,
        epoch: int,
        partitions: list[int],
        earliest: dict[int, int],
        snapshots: dict[int, bytes],
        now_us: int,
        acceptances: Sequence[bytes],
        generations: Mapping[int, int],
        are_all: bool,
        standbys: Sequence[int] | None,
    ) -> Reply[dict[int, OpenedPartition]]:
        """Own partitions, perhaps no others, whose shards have these generations; the answer is where each stands."""
        ...

    def open_splits(self, epoch: int, splits: list[int]) -> Reply[dict[int, int]]:
        """Open the source for splits of its own; the answer is the first offset that each still has."""
        ...

    def read_splits(
        self, epoch: int, offsets: dict[int, int], count_max: int, now_us: int, ends: Mapping[int, int]
    ) -> Reply[list[SplitProgress]]:
        """Read splits of its own and apply what comes, at most so many batches; those of second copies have ends."""
        ...

    def stand_by(
        self,
        epoch: int,
        partition: int,
        generation: int,
        others: Sequence[int],
        now_us: int,
        acceptances: Sequence[bytes],
    ) -> Reply[OpenedPartition]:
        """Have a second copy of a partition, and of no others but those; the answer is where it stands."""
        ...

    def outbox_marks(self) -> Reply[dict[int, dict[bytes, bytes]]]:
        """Say what sinks have of the partitions owned, beside everything else."""
        ...

    def take_marks(self, epoch: int, marks: Mapping[int, Mapping[bytes, bytes]]) -> Reply[None]:
        """Know what sinks have of the second copies."""
        ...

    def flush_standbys(self, epoch: int, now_us: int, are_due: bool) -> Reply[Offsets]:
        """Make second copies durable; the answer is the committed offsets of those that are open."""
        ...

    def accept(self, epoch: int, acceptances: list[bytes]) -> Reply[None]:
        """Let values count as known, each from its place on."""
        ...

    def apply(self, epoch: int, batch: HostBatch, now_us: int) -> Reply[int]:
        """Apply a batch; the answer is the number of anomalies that it raised."""
        ...

    def flush_due(self, epoch: int, now_us: int) -> Reply[None]:
        """Flush what has waited long enough."""
        ...

    def flush(self, epoch: int, now_us: int) -> Reply[Offsets]:
        """Make everything durable; the answer is the committed offsets."""
        ...

    def deliver(self, sink: int, is_last: bool) -> Reply[int]:
        """Hand committed anomalies to one of the job's sinks; the answer is how many it took."""
        ...

    def take_notices(self, epoch: int, sink: int, now_us: int, is_all: bool) -> Reply[TakenNotices]:
        """Take notices for a sink out of outboxes, beside everything else."""
        ...

    def note_notices(self, epoch: int, sink: int, notes: Mapping[int, PartitionNotes]) -> Reply[None]:
        """Note what has become of notices, beside everything else."""
        ...

    def send_notices(
        self, epoch: int, sink: int, sent: Sequence[tuple[Notification, Mapping[int, PartitionNotes]]]
    ) -> Reply[SentNotices]:
        """Send notifications to a sink, beside everything else."""
        ...

    def release(self, epoch: int, partitions: list[int], now_us: int) -> Reply[None]:
        """Give partitions up."""
        ...

    def begin_copy(self, epoch: int, partition: int, generation: int, now_us: int) -> Reply[int]:
        """Copy a shard for another node as it is now; the answer is the length of the copy in bytes."""
        ...

    def read_chunk(self, partition: int, generation: int, offset: int) -> Reply[ShardChunk]:
        """Give a chunk of a copy, beside everything else."""
        ...

    def receive_chunk(self, epoch: int, partition: int, generation: int, chunk: ShardChunk) -> Reply[int]:
        """Take a chunk, beside everything else; the answer is the offset of the one that is needed next."""
        ...

    def finish_copy(self, epoch: int, partition: int, generation: int, size_bytes: int, digest: bytes) -> Reply[None]:
        """Check a copy that has arrived and keep it, beside everything else."""
        ...

    def end_copy(self, epoch: int, partition: int, generation: int) -> Reply[None]:
        """Remove a copy that was sent, beside everything else."""
        ...

    def snapshot(self, epoch: int, partition: int, now_us: int, core_share: float) -> "SnapshotReference":
        """Capture a partition between two batches, and write its snapshot beside them with a share of one core."""
        ...


class SnapshotReference(Reply[dict[int, int]], Protocol):
    """By which members find a snapshot's bytes; as a reply it gives the offsets, once the bytes are there."""

    def drop(self) -> None:
        """Say that nobody wants the bytes any more."""
        ...


class MemberPort(Protocol):
    """A member as a keeper of snapshots."""

    def store_snapshot(self, job_id: str, partition: int, taken: Any) -> Reply[tuple[bytes, int]]:
        """Store a snapshot durably; the answer is its digest and length."""
        ...

    def read_snapshot(self, job_id: str, partition: int, digest: bytes) -> Reply[bytes | None]:
        """Read a snapshot; the answer is `None` when the member does not have it."""
        ...


class Deployment(Protocol):
    """Starts, finds and ends what runs in other processes."""

    def start_host(self, job_id: str, host: str, spec: bytes, node: str) -> HostPort:
        """Return a host, started on a node (empty: on any) when it does not exist; its process may be on the way.

        One of the same name on another node is ended first, or belongs to nobody any more.
        """
        ...

    def prepare_host(self, job_id: str, host: str, spec: bytes, node: str) -> None:
        """Begin to start a host that may be needed on a node; one of the same name on another node goes on."""
        ...

    def find_host(self, job_id: str, host: str) -> HostPort | None:
        """Return a host, or `None` when it does not exist."""
        ...

    def end_host(self, job_id: str, host: str, node: str) -> None:
        """Kill the process of a host on a node (empty: on any), also one that is stopped; it is started again."""
        ...

    def end_hosts(self, job_id: str, but: Collection[str]) -> None:
        """End the hosts of a job but those named, which own something."""
        ...

    def answering_nodes(self) -> frozenset[str]:
        """Return the nodes that answer, or may yet; also those that cannot have hosts just now; must not wait."""
        ...

    def present_nodes(self) -> frozenset[str]:
        """Return the nodes that can have hosts now; does not wait for them."""
        ...

    def find_member(self, member_id: str) -> MemberPort | None:
        """Return a member, or `None` when it does not exist."""
        ...

    def start_sampler(self, job_id: str, spec: bytes, host: str) -> None:
        """Start what fills a job's own stream table, on the node of a host (empty: here), and wait until it is open."""
        ...

    def end_sampler(self, job_id: str) -> None:
        """End it, if there is one."""
        ...

    def streams_directory(self) -> Path:
        """Return where stream tables are."""
        ...

    def partitions_directory(self, job_id: str) -> Path:
        """Return where a job's partitions are."""
        ...


class GroupPort(Protocol):
    """The group as those see it who run jobs for its leader."""

    @property
    def member_ids(self) -> tuple[str, ...]:
        """Names of all members."""
        ...

    def state(self) -> GroupState:
        """Return the state applied here."""
        ...

    def propose(self, command: Command) -> Answer:
        """Return the group's answer to a command; the state then contains it.

        Raises:
            RaftError: there was no answer in time.
        """
        ...


class LedGroup(Protocol):
    """The group as its leader's process sees it through one member."""

    def led_epoch(self) -> int | None:
        """Return the epoch that the member leads, or `None`."""
        ...

    def state(self) -> GroupState:
        """Return the state applied there."""
        ...

    def propose(self, command: bytes, timeout_s: float) -> bytes:
        """Return the group's encoded answer to an encoded command; the state then contains it.

        Raises:
            RaftError: there was no answer in time.
        """
        ...

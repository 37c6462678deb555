"""Opening: from a job that the group knows to partitions that are open on their hosts.

One stage after the other; a stage is over when everything it asked for has been answered:

1. the source opens and says what it still has;
2. the targets of moves that a former leader left unfinished give the partitions up; their sources stay the owners;
3. the group records that, and who owns the partitions that nobody owns;
4. hosts start;
5. snapshots are read from members, if the source has lost its beginning: a shard that has rows ignores its snapshot;
6. hosts open the partitions and say from where they need rows.
"""

from collections.abc import Callable, Mapping
from typing import Any

from actors.partition.values import OpenedPartition
from cluster.leader.desk import Desk
from cluster.leader.events import PartitionsOpened, SnapshotFound, SourceOpened
from cluster.leader.failures import Failure
from cluster.leader.instructions import OpenPartitions, OpenSource, ReadSnapshot, ReleasePartitions, Request, StartHost
from cluster.leader.placement import place
from raft.commands import AssignmentChanged, Command, MoveAbandoned
from raft.group import Job, Manifest


class Opening:
    """Opens one job under one epoch; `job` is what the group knows of it at the beginning."""

    def __init__(self, desk: Desk, job: Job, epoch: int, acceptances: tuple[bytes, ...]) -> None:
        self._desk = desk
        self._job = job
        self._epoch = epoch
        self._acceptances = acceptances
        self._owners = list(job.owners)
        self._stages = iter(
            (
                self._open_source,
                self._release_targets,
                self._abandon_moves,
                self._assign,
                self._start_hosts,
                self._read_snapshots,
                self._open_partitions,
            )
        )
        self._waiting_count = 0
        self._snapshots: dict[int, bytes] = {}
        self.earliest: Mapping[int, int] = {}
        """First offset that the source still has, by split."""
        self.opened: dict[int, OpenedPartition] = {}
        """Where each partition stands."""
        self.is_done = False
        """Whether all partitions are open."""

    @property
    def owners(self) -> dict[int, str]:
        """Host of each partition."""
        return dict(enumerate(self._owners))

    def advance(self) -> None:
        """Begin the next stage, if the one before is over."""
        while not self._waiting_count and not self.is_done:
            stage = next(self._stages, None)
            if stage is None:
                self.is_done = True
            else:
                stage()

    def _ask(self, request: Request, then: Callable[[Any], None], timeout_us: int | None = None) -> None:
        def answered(event: Any) -> None:
            self._waiting_count -= 1
            then(event)

        self._waiting_count += 1
        self._desk.ask(request, answered, timeout_us=timeout_us)

    def _propose(self, command: Command, then: Callable[[], None]) -> None:
        def accepted() -> None:
            self._waiting_count -= 1
            then()

        self._waiting_count += 1
        self._desk.propose(command, accepted)

    def _open_source(self) -> None:
        self._ask(OpenSource(request=self._desk.next_number()), self._on_source, self._desk.limits.start_timeout_us)

    def _on_source(self, event: SourceOpened) -> None:
        self.earliest = event.earliest

    def _release_targets(self) -> None:
        for partition, target in self._job.moves.items():
            number = self._desk.next_number()
            self._ask(ReleasePartitions(request=number, host=target, partitions=(partition,)), _nothing)

    def _abandon_moves(self) -> None:
        for partition in self._job.moves:
            self._propose(MoveAbandoned(epoch=self._epoch, job_id=self._job.job_id, partition=partition), _nothing_more)

    def _assign(self) -> None:
        placed = place(self._owners, self._job.host_count)
        if placed:
            owners = tuple(sorted(placed.items()))
            command = AssignmentChanged(epoch=self._epoch, job_id=self._job.job_id, owners=owners)
            self._propose(command, lambda: self._on_assigned(placed))

    def _on_assigned(self, placed: Mapping[int, str]) -> None:
        for partition, host in placed.items():
            self._owners[partition] = host

    def _start_hosts(self) -> None:
        for host in dict.fromkeys(self._owners):
            request = StartHost(request=self._desk.next_number(), host=host)
            self._ask(request, _nothing, self._desk.limits.start_timeout_us)

    def _read_snapshots(self) -> None:
        if any(self.earliest.values()):
            for partition in range(self._job.partition_count):
                manifest = self._job.newest_manifest(partition)
                if manifest is not None:
                    self._read_snapshot(partition, manifest, manifest.holders)

    def _read_snapshot(self, partition: int, manifest: Manifest, holders: tuple[str, ...]) -> None:
        """Ask the first of the members that are left; what nobody has is not restored."""
        if not holders:
            return

        def found(event: SnapshotFound) -> None:
            self._waiting_count -= 1
            if event.data is None:
                self._read_snapshot(partition, manifest, holders[1:])
            else:
                self._snapshots[partition] = event.data

        def not_found(failure: Failure) -> None:
            self._waiting_count -= 1
            self._read_snapshot(partition, manifest, holders[1:])

        self._waiting_count += 1
        number = self._desk.next_number()
        request = ReadSnapshot(request=number, member=holders[0], partition=partition, digest=manifest.digest)
        self._desk.ask(request, found, not_found)

    def _open_partitions(self) -> None:
        for host in dict.fromkeys(self._owners):
            numbers = tuple(number for number, owner in enumerate(self._owners) if owner == host)
            request = OpenPartitions(
                request=self._desk.next_number(),
                host=host,
                partitions=numbers,
                earliest=self.earliest,
                snapshots={number: self._snapshots[number] for number in numbers if number in self._snapshots},
                acceptances=self._acceptances,
            )
            self._ask(request, self._on_opened)

    def _on_opened(self, event: PartitionsOpened) -> None:
        self.opened |= event.opened

    def validate(self) -> None:
        """Assert every invariant."""
        assert self._waiting_count >= 0
        assert not self.is_done or self.opened.keys() == self.owners.keys()


def _nothing(event: Any) -> None:
    """The answer says all there is."""


def _nothing_more() -> None:
    """The answer says all there is."""

"""Opening: from a job that the group knows to partitions that are open on their hosts.

One stage after the other; a stage is over when everything it asked for has been answered:

1. the source opens and says what it still has (where hosts read it themselves, they do that after 4.);
2. the targets of moves that a former leader left unfinished give the partitions up; their sources stay the owners;
3. second copies take over from hosts that are gone, from nodes that are not there, and for shards that were lost;
4. the group records that, which shards were found lost, who owns the partitions that nobody owns, and which nodes have
   the hosts that had none;
5. hosts start;
6. snapshots are read from members, if the source has lost its beginning: a shard that has rows ignores its snapshot;
7. hosts open the partitions and say from where they need rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from actors.partition.values import OpenedPartition
from cluster.leader.desk import Desk, raise_trouble
from cluster.leader.events import PartitionsOpened, SnapshotFound, SourceOpened, SplitsOpened
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.instructions import (
    OpenPartitions,
    OpenSource,
    OpenSplits,
    ReadSnapshot,
    ReleasePartitions,
    Request,
    StartHost,
    Warn,
)
from cluster.leader.nodes import NodeWatch
from cluster.leader.placement import assign
from cluster.leader.places import Places
from cluster.leader.promotion import Promotion
from cluster.leader.split_places import SplitPlaces
from raft.commands import AssignmentChanged, Command, MoveAbandoned, ShardRebuilt
from raft.group import Job, Manifest

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Opening:
    """Opens one job under one epoch; `job` is what the group knows of it at the beginning.

    `lost` gives the partitions whose shard was found lost, with the generation that the next one has to exceed;
    `gone_hosts` are those that did not answer just before; `is_own` says that hosts read the splits of their own
    partitions, and `split_places` where these are fixed; `spares` are hosts that were started ahead, with their nodes;
    `leader` is this node, where others cannot be taken to have the same files.
    """

    def __init__(
        self,
        desk: Desk,
        job: Job,
        epoch: int,
        acceptances: tuple[bytes, ...],
        nodes: NodeWatch,
        lost: dict[int, int],
        *,
        is_own: bool = False,
        split_places: SplitPlaces | None = None,
        gone_hosts: frozenset[str] = frozenset(),
        spares: Mapping[str, str] = _NONE,
        leader: str = "",
    ) -> None:
        self._desk = desk
        self._leader = leader
        self._job = job
        self._epoch = epoch
        self._acceptances = acceptances
        self._nodes = nodes
        self._lost = lost
        self._is_own = is_own
        self._split_places = split_places or SplitPlaces((), nodes)
        self.absent = self._split_places.absent(job.owners)
        """Partitions that wait for their nodes."""
        self._gone_hosts = gone_hosts
        self._spares = spares
        self._promotion: Promotion | None = None
        self._tried: set[int] = set()
        self.places = Places(job)
        """Where hosts and shards are."""
        self._owners = list(job.owners)
        self._stages = iter(
            (
                self._open_source,
                self._release_targets,
                self._abandon_moves,
                self._promote,
                self._rebuild,
                self._assign,
                self._start_hosts,
                self._open_splits,
                self._release_copies,
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
        """Host of each partition that is not absent."""
        return {number: owner for number, owner in enumerate(self._owners) if number not in self.absent}

    def advance(self) -> None:
        """Begin the next stage, if the one before is over."""
        while not self._waiting_count and not self.is_done:
            stage = next(self._stages, None)
            if stage is None:
                self.is_done = True
            else:
                stage()

    def _ask(
        self,
        request: Request,
        then: Callable[[Any], None],
        timeout_us: int | None = None,
        on_failure: Callable[[Failure], None] = raise_trouble,
    ) -> None:
        def answered(event: Any) -> None:
            self._waiting_count -= 1
            then(event)

        self._waiting_count += 1
        self._desk.ask(request, answered, on_failure, timeout_us)

    def _propose(self, command: Command, then: Callable[[], None]) -> None:
        def accepted() -> None:
            self._waiting_count -= 1
            then()

        self._waiting_count += 1
        self._desk.propose(command, accepted)

    def _open_source(self) -> None:
        if self._is_own:
            return
        where = self._leader and f"{self._leader}, which leads and routes the rows of the job, cannot read its source"
        on_failure = partial(_not_read, where) if where else raise_trouble
        request = OpenSource(request=self._desk.next_number())
        self._ask(request, self._on_source, self._desk.limits.start_timeout_us, on_failure)

    def _on_source(self, event: SourceOpened) -> None:
        self.earliest = event.earliest

    def _release_targets(self) -> None:
        for partition, target in self._job.moves.items():
            number = self._desk.next_number()
            self._ask(ReleasePartitions(request=number, host=target, partitions=(partition,)), _nothing)

    def _abandon_moves(self) -> None:
        for partition in self._job.moves:
            self._propose(MoveAbandoned(epoch=self._epoch, job_id=self._job.job_id, partition=partition), _nothing_more)

    def _promote(self) -> None:
        promotion = Promotion(self._desk, self._job, self._epoch, self.earliest, self._acceptances, is_own=self._is_own)
        self._promotion = promotion
        for partition in promotion.candidates(self._nodes, self._gone_hosts, self._lost):
            self._tried.add(partition)
            self._waiting_count += 1
            promotion.begin(partition, self.places, partial(self._on_promoted, partition))

    def is_to_promote(self) -> bool:
        """Whether a second copy should take over from a node that has vanished meanwhile."""
        if self._promotion is None or self.is_done:
            return False
        candidates = self._promotion.candidates(self._nodes, self._gone_hosts, self._lost)
        return not self._tried.issuperset(candidates)

    def _on_promoted(self, partition: int, host: str | None) -> None:
        self._waiting_count -= 1
        if host is not None:
            self._owners[partition] = host
            self._lost.pop(partition, None)

    def _rebuild(self) -> None:
        for partition, found in self._lost.items():
            generation = max(self._job.next_generation(partition), self.places.generations[partition] + 1, found + 1)
            self.places.expect(partition, generation)
            command = ShardRebuilt(
                epoch=self._epoch, job_id=self._job.job_id, partition=partition, generation=generation
            )
            self._propose(command, partial(self._on_rebuilt, partition, generation))

    def _on_rebuilt(self, partition: int, generation: int) -> None:
        self._lost.pop(partition, None)
        self.places.reach(partition, generation)

    def _assign(self) -> None:
        known, nodes, host_count = self.places.host_nodes, self._nodes, self._job.host_count
        if self._split_places.are_fixed:
            placed, pinned = self._split_places.place(self._owners, self.absent, host_count)
        else:
            placed, pinned = assign(self._owners, host_count, nodes.leaving, known, nodes.fit, self._spares)
            if placed and nodes.has_nodes and not nodes.fit:
                raise_trouble(Failure(FailureKind.NOT_YET, nodes.none_fit))
        if placed:
            owners, host_nodes = tuple(sorted(placed.items())), tuple(sorted(pinned.items()))
            for partition in placed:
                if not self.places.generations[partition]:
                    self.places.expect(partition, 1)
            command = AssignmentChanged(
                epoch=self._epoch, job_id=self._job.job_id, owners=owners, host_nodes=host_nodes
            )
            self._propose(command, lambda: self._on_assigned(placed, pinned))

    def _on_assigned(self, placed: Mapping[int, str], pinned: Mapping[str, str]) -> None:
        self.places.pin(pinned)
        for partition, host in placed.items():
            self._owners[partition] = host
            self.places.reach(partition, max(self.places.generations[partition], 1))

    def _start_hosts(self) -> None:
        for host in dict.fromkeys(self.owners.values()):
            node = self.places.node_of(host)
            if self._nodes.is_away(node):
                # Nobody would say in time that nothing starts there.
                reason = f"{node} does not answer; {host} waits until it does, or is lost with it"
                raise_trouble(Failure(FailureKind.NOT_YET, reason))
            request = StartHost(request=self._desk.next_number(), host=host, node=node)
            self._ask(request, _nothing, self._desk.limits.start_timeout_us)

    def _open_splits(self) -> None:
        if not self._is_own:
            return
        for host in dict.fromkeys(self.owners.values()):
            splits = tuple(number for number, owner in self.owners.items() if owner == host)
            request = OpenSplits(request=self._desk.next_number(), host=host, splits=splits)
            where = " on ".join(filter(None, (host, self.places.node_of(host))))
            self._ask(request, self._on_splits, self._desk.limits.start_timeout_us, partial(_not_read, where))

    def _on_splits(self, event: SplitsOpened) -> None:
        self.earliest = {**self.earliest, **event.earliest}

    def _release_copies(self) -> None:
        """Let hosts that own nothing give up second copies that they shall not have: their node may get the shard.

        Nobody waits for them: one that does not answer may be dead, and then has nothing open.
        """
        if not self._job.standbys:
            return
        for host in sorted(self._job.host_nodes.keys() - set(self._owners)):
            kept = self._copies_on(host)
            others = tuple(number for number in range(self._job.partition_count) if number not in kept)
            number = self._desk.next_number()
            request = ReleasePartitions(request=number, host=host, partitions=others)
            self._desk.ask(request, _nothing, _nothing)

    def _copies_on(self, host: str) -> tuple[int, ...]:
        """Return the partitions of which a host may have second copies."""
        node = self.places.node_of(host)
        return tuple(
            number
            for number, record in self._job.standbys.items()
            if record.host == host and self.places.node_of(self._owners[number]) != node
        )

    def _read_snapshots(self) -> None:
        is_trimmed = any(self.earliest.values())
        for partition in range(self._job.partition_count):
            manifest = self._job.newest_manifest(partition)
            if manifest is not None and (self.earliest.get(partition) if self._is_own else is_trimmed):
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
        for host in dict.fromkeys(self.owners.values()):
            numbers = tuple(number for number, owner in self.owners.items() if owner == host)
            request = OpenPartitions(
                request=self._desk.next_number(),
                host=host,
                partitions=numbers,
                earliest=self.earliest,
                snapshots={number: self._snapshots[number] for number in numbers if number in self._snapshots},
                acceptances=self._acceptances,
                generations={number: self.places.generations[number] for number in numbers},
                are_all=True,
                standbys=self._copies_on(host),
            )
            self._ask(request, self._on_opened)

    def _on_opened(self, event: PartitionsOpened) -> None:
        self.opened |= event.opened
        for partition, opened in event.opened.items():
            # Unless the group itself says that the shard is made anew, it knows of rows that must have been there.
            is_as_known = self.places.generations[partition] == self._job.generations[partition]
            if opened.is_empty and is_as_known and self._job.newest_manifest(partition) is not None:
                how = "from a snapshot" if partition in self._snapshots else "from the source"
                reason = f"partition {partition} was empty when it was opened; what it had is rebuilt {how}"
                self._desk.say(Warn(phrase="a shard was lost", reason=reason))

    def validate(self) -> None:
        """Assert every invariant."""
        assert self._waiting_count >= 0
        assert not self.is_done or self.opened.keys() == self.owners.keys()
        self.places.validate()


def _not_read(where: str, failure: Failure) -> None:
    """Say which host cannot read the source: others may, who have other files."""
    raise_trouble(replace(failure, reason=f"{where}: {failure.reason}"))


def _nothing(event: Any) -> None:
    """The answer says all there is."""


def _nothing_more() -> None:
    """The answer says all there is."""

"""Promotion: second copies take over, when partitions are opened and their owners cannot have them.

A copy takes over only when its host says that it is there, has rows, and needs none that the source no longer has: from
where it stands it is then sent what it lacks, if anything. Otherwise the owner is waited for, as without a copy.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial

from cluster.leader.desk import Desk, raise_trouble
from cluster.leader.events import SplitsOpened, StandbyOpened
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.instructions import OpenSplits, StandBy, StartHost, Warn
from cluster.leader.nodes import NodeWatch
from cluster.leader.places import Places
from raft.commands import StandbyPromoted
from raft.group import Job

Told = Callable[[str | None], None]
"""Is told the host that has taken over, or that none has."""


class Promotion:
    """Promotions of one job in one attempt to open it.

    `earliest` is what its source still has; where hosts read it themselves (`is_own`), the host of the copy says that.
    """

    def __init__(
        self,
        desk: Desk,
        job: Job,
        epoch: int,
        earliest: Mapping[int, int],
        acceptances: tuple[bytes, ...],
        *,
        is_own: bool = False,
    ) -> None:
        self._desk = desk
        self._job = job
        self._epoch = epoch
        self._earliest = earliest
        self._acceptances = acceptances
        self._is_own = is_own

    def candidates(self, nodes: NodeWatch, gone_hosts: Collection[str], lost: Collection[int]) -> list[int]:
        """Return the partitions whose second copies shall take over if they can."""
        found = []
        for partition, record in sorted(self._job.standbys.items()):
            owner, node = self._job.owners[partition], self._job.node_of(partition)
            there = self._job.host_nodes.get(record.host, "")
            if not record.host or record.host in gone_hosts or not nodes.is_there(there):
                continue
            is_away = owner in gone_hosts or not nodes.is_there(node)
            if partition in lost or not owner or (is_away and record.is_ready):
                found.append(partition)
        return found

    def begin(self, partition: int, places: Places, told: Told) -> None:
        """Ask the copy's host where the copy stands, and let it take over if that is far enough."""
        host = self._job.standbys[partition].host
        request = StartHost(request=self._desk.next_number(), host=host, node=places.node_of(host))
        go_on = self._open_split if self._is_own else self._stand_by
        self._desk.ask(
            request,
            lambda _: go_on(partition, places, told),
            lambda failure: self._give_up(partition, failure, told),
            self._desk.limits.promotion_us,
        )

    def _open_split(self, partition: int, places: Places, told: Told) -> None:
        """Let the host open the source: one that cannot read the split is of no use as an owner."""
        host = self._job.standbys[partition].host

        def opened(event: SplitsOpened) -> None:
            self._earliest = {**self._earliest, **event.earliest}
            self._stand_by(partition, places, told)

        self._desk.ask(
            OpenSplits(request=self._desk.next_number(), host=host, splits=(partition,)),
            opened,
            lambda failure: self._give_up(partition, failure, told),
        )

    def _stand_by(self, partition: int, places: Places, told: Told) -> None:
        record = self._job.standbys[partition]
        others = tuple(number for number, one in self._job.standbys.items() if one.host == record.host)
        request = StandBy(
            request=self._desk.next_number(),
            host=record.host,
            partition=partition,
            generation=record.generation,
            others=others,
            acceptances=self._acceptances,
        )
        self._desk.ask(
            request,
            partial(self._on_opened, partition, places, told),
            lambda failure: self._give_up(partition, failure, told),
        )

    def _on_opened(self, partition: int, places: Places, told: Told, event: StandbyOpened) -> None:
        needed = event.opened.needed
        earliest = {partition: self._earliest[partition]} if self._is_own else self._earliest
        missing = [split for split, start in earliest.items() if needed.get(split, 0) < start]
        if event.opened.is_empty or missing:
            reason = f"it lacks rows of split {missing[0]} that are gone" if missing else "it is empty"
            self._give_up(partition, Failure(FailureKind.OTHER, reason), told)
            return
        record = self._job.standbys[partition]
        places.expect(partition, record.generation)
        command = StandbyPromoted(
            epoch=self._epoch,
            job_id=self._job.job_id,
            partition=partition,
            host=record.host,
            generation=record.generation,
        )
        self._desk.propose(command, lambda: self._on_promoted(partition, places, told))

    def _on_promoted(self, partition: int, places: Places, told: Told) -> None:
        record = self._job.standbys[partition]
        places.reach(partition, record.generation)
        reason = f"{record.host} has partition {partition} in place of {self._job.owners[partition] or 'nobody'}"
        self._desk.say(Warn(phrase="a standby has taken over", reason=reason))
        told(record.host)

    def _give_up(self, partition: int, failure: Failure, told: Told) -> None:
        if failure.kind is FailureKind.STALE:
            raise_trouble(failure)
        reason = f"that of partition {partition} on {self._job.standbys[partition].host}: {failure.reason}"
        self._desk.say(Warn(phrase="a standby cannot take over", reason=reason))
        told(None)

"""Accepted values on the leader: each gets its place among the rows, and every host knows it before those rows come.

The place is the first offset of each split that no partition can have received: what a host has was known when it was
opened under this epoch, and whatever came after was sent by this leader. Nothing is read while a value gets its place.
"""

from collections.abc import Mapping
from functools import partial

from actors.partition.acceptances import Acceptance
from cluster.leader.desk import Desk
from cluster.leader.instructions import AcceptValues
from raft.commands import AcceptancePlaced
from raft.group import AcceptanceRecord, Job


class KnownValues:
    """Values of one job that have their place, as hosts take them; a leader never forgets one."""

    def __init__(self) -> None:
        self._placed: dict[str, bytes] = {}

    @property
    def all(self) -> tuple[bytes, ...]:
        """All of them, in the order in which they were seen."""
        return tuple(self._placed.values())

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._placed)

    def see(self, job: Job) -> None:
        """Take those that the group knows."""
        for record in job.acceptances:
            if record.positions is not None and record.acceptance_id not in self._placed:
                self.add(record, dict(record.positions))

    def add(self, record: AcceptanceRecord, positions: Mapping[int, int]) -> bytes:
        """Take one and return it as hosts do."""
        placed = Acceptance.from_bytes(record.content).placed(record.acceptance_id, positions).to_bytes()
        self._placed[record.acceptance_id] = placed
        return placed

    def without_place(self, job: Job) -> list[AcceptanceRecord]:
        """Return those that wait for a place."""
        return [one for one in job.acceptances if one.positions is None and one.acceptance_id not in self._placed]


class Placing:
    """Gives values their place, under one epoch."""

    def __init__(self, desk: Desk, job_id: str, epoch: int, known: KnownValues) -> None:
        self._desk = desk
        self._job_id = job_id
        self._epoch = epoch
        self._known = known
        self._waiting = 0
        """Proposals and hosts that have not answered."""

    @property
    def is_running(self) -> bool:
        """Whether a value is getting its place."""
        return self._waiting > 0

    def begin(self, records: list[AcceptanceRecord], positions: Mapping[int, int], hosts: tuple[str, ...]) -> None:
        """Propose a place for each value."""
        for record in records:
            command = AcceptancePlaced(
                epoch=self._epoch,
                job_id=self._job_id,
                acceptance_id=record.acceptance_id,
                positions=tuple(sorted(positions.items())),
            )
            self._waiting += 1
            self._desk.propose(command, partial(self._on_placed, record, positions, hosts))

    def _on_placed(self, record: AcceptanceRecord, positions: Mapping[int, int], hosts: tuple[str, ...]) -> None:
        placed = self._known.add(record, positions)
        self._waiting -= 1
        for host in hosts:
            self._waiting += 1
            request = AcceptValues(request=self._desk.next_number(), host=host, acceptances=(placed,))
            self._desk.ask(request, lambda _: self._on_known())

    def _on_known(self) -> None:
        self._waiting -= 1

    def validate(self) -> None:
        """Assert every invariant."""
        assert self._waiting >= 0

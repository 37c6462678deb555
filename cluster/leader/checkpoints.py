"""Checkpoints: snapshots of all partitions, stored by a majority of the members before the log says so.

A checkpoint runs beside the rows. Hosts make the bytes between two batches, members fetch them from the hosts and
answer with the digest when the bytes are durable; only then is the manifest proposed. One checkpoint runs at a time,
and one that fails is dropped: the next is due soon, and nothing depended on it.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from cluster.leader.desk import Desk, raise_trouble
from cluster.leader.events import SnapshotStored, SnapshotTaken
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.instructions import DropSnapshot, StoreSnapshot, TakeSnapshot, Warn
from raft.commands import SnapshotReplicated
from raft.group import majority_of


@dataclass(slots=True)
class _Storing:
    """A snapshot on its way to the members."""

    partition: int
    snapshot: int
    offsets: Mapping[int, int]
    silent: set[str]
    """Members that have not said yet whether they have it."""

    holders: dict[tuple[bytes, int], list[str]] = field(default_factory=dict)
    """Members that have it, by digest and length."""


class Checkpoints:
    """Checkpoints of one job under one epoch; none without members."""

    def __init__(self, desk: Desk, job_id: str, epoch: int, member_ids: tuple[str, ...], interval_rows: int) -> None:
        self._desk = desk
        self._job_id = job_id
        self._epoch = epoch
        self._member_ids = member_ids
        self._interval_rows = interval_rows
        self._taken_at_rows = 0
        self._planned: deque[tuple[int, str]] = deque()
        self._taking: int | None = None
        self._storing: _Storing | None = None

    @property
    def is_running(self) -> bool:
        """Whether a checkpoint runs."""
        return bool(self._planned) or self._taking is not None or self._storing is not None

    def advance(self, owners: Mapping[int, str], row_count: int) -> None:
        """Begin a checkpoint when enough rows have passed since the last and none is running."""
        if not self.is_running and row_count - self._taken_at_rows >= self._interval_rows:
            self._taken_at_rows = row_count
            self.begin(owners)

    def begin(self, owners: Mapping[int, str]) -> None:
        """Begin a checkpoint; none may be running."""
        assert not self.is_running, "one checkpoint at a time"
        if self._member_ids:
            self._planned.extend(owners.items())
            self._take_next()

    def _take_next(self) -> None:
        if self._planned:
            partition, host = self._planned.popleft()
            request = TakeSnapshot(request=self._desk.next_number(), host=host, partition=partition)
            self._taking = request.request
            self._desk.ask(request, partial(self._on_taken, partition), self._drop)

    def _on_taken(self, partition: int, event: SnapshotTaken) -> None:
        self._taking = None
        self._storing = _Storing(partition, event.request, event.offsets, set(self._member_ids))
        for member in self._member_ids:
            self._store(self._storing, member)

    def _store(self, storing: _Storing, member: str) -> None:
        number = self._desk.next_number()
        self._desk.ask(
            StoreSnapshot(request=number, member=member, partition=storing.partition, snapshot=storing.snapshot),
            partial(self._on_stored, storing, member),
            partial(self._on_not_stored, storing, member),
            self._desk.limits.store_timeout_us,
        )

    def _on_stored(self, storing: _Storing, member: str, event: SnapshotStored) -> None:
        storing.holders.setdefault((event.digest, event.size_bytes), []).append(member)
        self._on_said(storing, member)

    def _on_not_stored(self, storing: _Storing, member: str, failure: Failure) -> None:
        self._desk.say(Warn(phrase="a member did not take a snapshot", reason=f"{member}: {failure.reason}"))
        self._on_said(storing, member)

    def _on_said(self, storing: _Storing, member: str) -> None:
        storing.silent.discard(member)
        if storing.silent:
            return
        for (digest, size_bytes), holders in storing.holders.items():
            if len(holders) >= majority_of(len(self._member_ids)):
                self._propose(storing, digest, size_bytes, holders)
                return
        self._drop(Failure(FailureKind.OTHER, f"no majority stores the snapshot of partition {storing.partition}"))

    def _propose(self, storing: _Storing, digest: bytes, size_bytes: int, holders: list[str]) -> None:
        manifest = SnapshotReplicated(
            epoch=self._epoch,
            job_id=self._job_id,
            partition=storing.partition,
            next_offsets=tuple(sorted(storing.offsets.items())),
            digest=digest,
            size_bytes=size_bytes,
            holders=tuple(sorted(holders)),
        )
        self._desk.propose(manifest, self._on_recorded, self._drop)

    def _on_recorded(self) -> None:
        self._give_back()
        self._take_next()

    def _give_back(self) -> None:
        number = self._storing.snapshot if self._storing is not None else self._taking
        self._taking = self._storing = None
        if number is not None:
            self._desk.say(DropSnapshot(snapshot=number))

    def abandon(self) -> None:
        """Drop the checkpoint that runs."""
        self._planned.clear()
        self._give_back()

    def _drop(self, failure: Failure) -> None:
        self.abandon()
        if failure.kind in (FailureKind.STALE, FailureKind.SHARD_LOST):
            raise_trouble(failure)
        self._desk.say(Warn(phrase="a checkpoint failed", reason=failure.reason))

    def validate(self) -> None:
        """Assert every invariant."""
        assert self._taking is None or self._storing is None
        assert not self._planned or self._taking is not None or self._storing is not None
        if self._storing is not None:
            said = [member for holders in self._storing.holders.values() for member in holders]
            assert not self._storing.silent & set(said)
            assert len(said) == len(set(said))

"""Checkpoints: snapshots of all partitions, stored by a majority of the members before the log says so.

A checkpoint runs beside the rows. Hosts capture a partition between two batches and write its snapshot to a file
beside them; members take that file, or fetch it from its node, and answer with the digest when the bytes are durable;
only then is the manifest proposed. One checkpoint runs at a time. While rows go on, partitions are
captured as soon as there is room, since a state that grows would be larger later, and the hosts of a node share a part
of a core to write them; when no rows go on, every host writes one after the other as fast as it can. A snapshot
that fails is dropped, and what has not been begun with it: the next is due soon, and nothing depended on it. After each
checkpoint there is a pause in proportion to its time, however often checkpoints are wanted.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
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

    host: str
    partition: int
    snapshot: int
    offsets: Mapping[int, int]
    silent: set[str]
    """Members that have not said yet whether they have it."""

    holders: dict[tuple[bytes, int], list[str]] = field(default_factory=dict)
    """Members that have it, by digest and length."""


class Checkpoints:
    """Checkpoints of one job under one epoch; none without members."""

    def __init__(
        self,
        desk: Desk,
        job_id: str,
        epoch: int,
        member_ids: tuple[str, ...],
        interval_rows: int,
        node_of: Callable[[str], str],
    ) -> None:
        """`node_of` gives the node of a host, empty when it may be anywhere."""
        self._desk = desk
        self._node_of = node_of
        self._job_id = job_id
        self._epoch = epoch
        self._member_ids = member_ids
        self._interval_rows = interval_rows
        self._taken_at_rows = 0
        self._began_us = 0
        self._pause_until_us = 0
        self._planned: deque[tuple[int, str]] = deque()
        self._do_rows_go_on = True
        # Hosts that write, by node.
        self._sharers: Counter[str] = Counter()
        # Numbers of the requests, with the hosts that are making the bytes.
        self._taking: dict[int, str] = {}
        # By the same numbers, which are those of the snapshots.
        self._storing: dict[int, _Storing] = {}

    @property
    def is_running(self) -> bool:
        """Whether a checkpoint runs."""
        return bool(self._planned or self._taking or self._storing)

    def advance(self, owners: Mapping[int, str], row_count: int) -> None:
        """Begin a checkpoint when enough rows have passed since the last, none is running, and its pause is over."""
        is_due = row_count - self._taken_at_rows >= self._interval_rows
        if is_due and not self.is_running and self._desk.elapsed_us >= self._pause_until_us:
            self._taken_at_rows = row_count
            self.begin(owners, do_rows_go_on=True)

    def begin(self, owners: Mapping[int, str], *, do_rows_go_on: bool) -> None:
        """Begin a checkpoint; none may be running."""
        assert not self.is_running, "one checkpoint at a time"
        self._do_rows_go_on = do_rows_go_on
        self._began_us = self._desk.elapsed_us
        self._sharers = Counter(map(self._node_of, set(owners.values())))
        if self._member_ids:
            self._planned.extend(owners.items())
            self._take_more()

    def _take_more(self) -> None:
        """Have snapshots taken by who is not taking one, as many as may be on their way."""
        for partition, host in list(self._planned):
            if self._on_their_way(self._node_of(host)) >= self._desk.limits.snapshots_on_their_way_max:
                continue
            if self._do_rows_go_on or host not in self._taking.values():
                self._planned.remove((partition, host))
                self._take(partition, host)

    def _on_their_way(self, node: str) -> int:
        hosts = [*self._taking.values(), *(storing.host for storing in self._storing.values())]
        return sum(self._node_of(host) == node for host in hosts)

    def _take(self, partition: int, host: str) -> None:
        number = self._desk.next_number()
        share = (
            self._desk.limits.snapshot_core_share / self._sharers[self._node_of(host)] if self._do_rows_go_on else 1.0
        )
        request = TakeSnapshot(request=number, host=host, partition=partition, core_share=share)
        self._taking[number] = host
        self._desk.ask(
            request,
            partial(self._on_taken, partition),
            partial(self._on_not_taken, number),
            self._desk.limits.snapshot_timeout_us if self._do_rows_go_on else None,
        )

    def _on_taken(self, partition: int, event: SnapshotTaken) -> None:
        number = event.request
        host = self._taking.pop(number, None)
        if host is None:
            return
        storing = self._storing[number] = _Storing(host, partition, number, event.offsets, set(self._member_ids))
        for member in self._member_ids:
            self._store(storing, member)
        self._take_more()

    def _on_not_taken(self, number: int, failure: Failure) -> None:
        if self._taking.pop(number, None) is not None:
            self._drop(number, failure)

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
        reason = f"no majority stores the snapshot of partition {storing.partition}"
        self._drop(storing.snapshot, Failure(FailureKind.OTHER, reason))

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
        number = storing.snapshot
        self._desk.propose(manifest, partial(self._on_recorded, number), partial(self._drop, number))

    def _on_recorded(self, number: int) -> None:
        self._give_back(number)
        self._take_more()

    def _give_back(self, number: int) -> None:
        self._storing.pop(number, None)
        self._desk.say(DropSnapshot(snapshot=number))
        if not self.is_running:
            took_us = self._desk.elapsed_us - self._began_us
            limits = self._desk.limits
            pause_us = min(limits.checkpoint_pause_factor * took_us, limits.checkpoint_pause_us_max)
            self._pause_until_us = self._desk.elapsed_us + pause_us

    def cut_short(self) -> None:
        """Let members store what is there of the checkpoint that runs, and drop the rest, since no rows go on."""
        self._planned.clear()
        taking, self._taking = list(self._taking), {}
        for number in taking:
            self._give_back(number)

    def abandon(self) -> None:
        """Drop the checkpoint that runs, whose requests the desk forgets."""
        self.cut_short()
        for number in list(self._storing):
            self._give_back(number)

    def _drop(self, number: int, failure: Failure) -> None:
        """Drop a snapshot and begin no more; those that are on their way go on."""
        self._planned.clear()
        self._give_back(number)
        if failure.kind in (FailureKind.STALE, FailureKind.SHARD_LOST):
            raise_trouble(failure)
        self._desk.say(Warn(phrase="a checkpoint failed", reason=failure.reason))

    def validate(self) -> None:
        """Assert every invariant."""
        assert not self._planned or self._taking or self._storing, "what waits waits for others"
        assert not self._taking.keys() & self._storing.keys()
        is_one_each = len(set(self._taking.values())) == len(self._taking)
        assert self._do_rows_go_on or is_one_each, "each makes one after the other"
        for host in self._taking.values():
            assert self._on_their_way(self._node_of(host)) <= self._desk.limits.snapshots_on_their_way_max
        for number, storing in self._storing.items():
            said = [member for holders in storing.holders.values() for member in holders]
            assert number == storing.snapshot
            assert not storing.silent & set(said)
            assert len(said) == len(set(said))

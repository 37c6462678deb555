"""Standbys: a second copy of every partition on a host of another node, which is given the same rows.

The group's state names host and generation of each copy. A copy is opened from what its host has: an older copy gets
the new generation and is fed from where it stands; one that lacks too much, or what the source no longer has, is
replaced by a copy of the owner's shard. Nothing here can stop the job: a host that fails, or is slow, only makes its
copies lag, and `status` says so. Taking over is decided when partitions are opened (`cluster.leader.opening`), or when
one moves to where its copy is (`cluster.leader.moves`).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from cluster.leader.acceptances import KnownValues
from cluster.leader.clock import Backoff
from cluster.leader.desk import Desk, raise_trouble
from cluster.leader.events import ShardCopied, StandbyOpened
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.feeding import Feeding, FeedingTold, RoutedFeeding
from cluster.leader.feeds import Feed
from cluster.leader.instructions import (
    CopyShard,
    HostRequest,
    ReleasePartitions,
    StandBy,
    StartHost,
    Warn,
)
from cluster.leader.lanes import Lanes
from cluster.leader.nodes import NodeWatch
from cluster.leader.own_feeding import OwnFeeding
from cluster.leader.places import Places
from cluster.leader.positions import Positions
from cluster.leader.reading import SplitBatch
from cluster.leader.standby_places import place_standbys
from cluster.leader.standby_upkeep import StandbyUpkeep
from cluster.leader.status import StandbyStatus
from config.settings import JobSettings
from raft.commands import AssignmentChanged, Command, StandbyPlaced
from raft.group import Job, StandbyRecord

NO_NODE = "no other node may have hosts, so there is no standby"


@dataclass(slots=True, eq=False)
class _Copy:
    """One second copy as this leader has it."""

    partition: int
    host: str
    generation: int
    was_copied: bool = False
    """Whether the owner's shard has been copied for it."""
    is_fed: bool = False


class Standbys:
    """Second copies of one job under one epoch; none unless the job wants them and nodes are known."""

    def __init__(
        self,
        desk: Desk,
        job_id: str,
        epoch: int,
        settings: JobSettings,
        lanes: Lanes,
        positions: Positions,
        places: Places,
        nodes: NodeWatch,
        known: KnownValues,
    ) -> None:
        self._desk = desk
        self._job_id = job_id
        self._epoch = epoch
        self._settings = settings
        self._lanes = lanes
        self._positions = positions
        self._places = places
        self._nodes = nodes
        self._known = known
        self._is_wanted = settings.standby > 0
        self._began_us = desk.elapsed_us
        self._job: Job | None = None
        self._seen: object = None
        self._statuses: tuple[StandbyStatus, ...] = ()
        self._statuses_due_us = 0
        self._copies: dict[int, _Copy] = {}
        self._feeds: dict[str, Feed] = {}
        self._hosts: dict[str, bool] = {}
        """Hosts that were started, and whether they have said so."""
        self._to_copy: dict[int, int] = {}
        """Generations at which the owner's shard is to be copied, by partition."""
        self._to_renew: dict[int, int] = {}
        """Generations that are no good any more, by partition whose copy is to be replaced."""
        self._copying: int | None = None
        self._proposing: set[int] = set()
        self._troubles: dict[int, str] = {}
        self._due_us: dict[int, int] = {}
        self._backoffs: dict[int, Backoff] = {}
        self._trouble: str | None = None
        self._end_due_us: int | None = None
        told = FeedingTold(failed=self._on_feed_failed, gone=self._on_gone, troubled=self._on_troubled)
        is_own = settings.partition_by == "split"
        self._feeding: Feeding = (OwnFeeding if is_own else RoutedFeeding)(
            desk, settings, positions, known, self._feeds, told
        )
        self._upkeep = StandbyUpkeep(desk, settings, lanes, positions, self._feeds, self._on_feed_failed)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts that have copies, or shall have."""
        return tuple(dict.fromkeys((*self.named.values(), *self._feeds)))

    @property
    def named(self) -> dict[int, str]:
        """Host of each partition's copy, as the group names it."""
        named = {} if self._job is None or not self._is_wanted else self._job.standbys
        return {partition: record.host for partition, record in named.items() if record.host}

    @property
    def is_changing(self) -> bool:
        """Whether a shard is being copied, or the group has been asked for something; nothing moves then."""
        return self._copying is not None or bool(self._proposing)

    @property
    def is_settling(self) -> bool:
        """Whether copies are on their way, as far as is known, and may be expected soon."""
        if not self._is_wanted or self._job is None:
            return False
        is_late = self._desk.elapsed_us > self._began_us + self._desk.limits.standby_settle_us
        return not is_late and any(
            record.host and partition not in self._troubles and not self._is_near(partition)
            for partition, record in self._job.standbys.items()
        )

    @property
    def trouble(self) -> str | None:
        """Why partitions have no second copy."""
        if not self._is_wanted:
            return None
        return self._trouble or next(iter(self._troubles.values()), None)

    @property
    def reached(self) -> dict[int, int]:
        """Offset, by split, above which no copy has anything."""
        reached: dict[int, int] = {}
        for feed in self._feeds.values():
            reached = {split: max(reached.get(split, 0), offset) for split, offset in (reached | feed.reached).items()}
        return reached

    def statuses(self) -> tuple[StandbyStatus, ...]:
        """Return what there is of each copy, as it was not long ago."""
        if self._job is not None and self._is_wanted and self._statuses_due_us <= self._desk.elapsed_us:
            self._statuses_due_us = self._desk.elapsed_us + self._desk.limits.retry_us_min
            self._statuses = self._look_at_copies(self._job)
        return self._statuses

    def _look_at_copies(self, job: Job) -> tuple[StandbyStatus, ...]:
        return tuple(
            StandbyStatus(partition=partition, host=record.host, lag=self._lag(partition))
            for partition, record in sorted(job.standbys.items())
            if record.host
        )

    def _lag(self, partition: int) -> int | None:
        """Return how many records a copy lacks; `None` when it is not fed."""
        if not self._fed(partition):
            return None
        return self._feeds[self._copies[partition].host].lag(self._positions.next_for(partition))

    def _fed(self, partition: int) -> bool:
        copy = self._copies.get(partition)
        return copy is not None and copy.is_fed

    def _is_level(self, partition: int) -> bool:
        return self._lag(partition) == 0

    def _is_near(self, partition: int) -> bool:
        """Whether a copy is level, or one step behind an owner that reads by itself."""
        return self._fed(partition) and self._feeding.is_near(self._feeds[self._copies[partition].host], partition)

    def is_to_come(self, partition: int) -> bool:
        """Whether a partition's copy is given rows, and has not yet been as far as the shard."""
        record = None if self._job is None else self._job.standbys.get(partition)
        is_open = self._fed(partition) and partition not in self._troubles
        return is_open and record is not None and not record.is_ready and not self._is_near(partition)

    def is_coming(self, partition: int, host: str) -> bool:
        """Whether a partition's copy on a host will soon have all that was sent, and could take over then."""
        copy = self._copies.get(partition)
        if copy is None or copy.host != host or not copy.is_fed or partition in self._troubles:
            return False
        return self._is_as_named(copy) and self.generation_at(partition, host) is None

    def generation_at(self, partition: int, host: str) -> int | None:
        """Return the generation of a partition's copy on a host, if it may take over there: it has all that was sent.

        What a host was sent is applied before what it is asked next.
        """
        copy = self._copies.get(partition)
        if copy is None or copy.host != host or not self._is_level(partition):
            return None
        return copy.generation if self._is_as_named(copy) and self._feeding.has_sent(self._feeds[host]) else None

    def _is_as_named(self, copy: _Copy) -> bool:
        record = None if self._job is None else self._job.standbys.get(copy.partition)
        return record is not None and (record.host, record.generation) == (copy.host, copy.generation)

    def post(self, batch: SplitBatch) -> None:
        """Take a batch that goes to the owners."""
        self._feeding.post(batch)

    def advance(self, job: Job, *, may_change: bool) -> None:
        """Do what can be done now; `may_change` says that nothing moves, so that copies may be placed and made."""
        if not self._is_wanted:
            return
        self._job = job
        seen = (job, self._nodes.fit, self._nodes.leaving, may_change, len(self._copies), self._copying)
        is_due = any(due_us <= self._desk.elapsed_us for due_us in self._due_us.values())
        if seen != self._seen or is_due:
            self._seen = seen
            self._due_us = {number: due for number, due in self._due_us.items() if due > self._desk.elapsed_us}
            self._forget_others(job)
            if may_change:
                self._place(job)
            self._open(job, may_copy=may_change)
            self._doubt(job)
        for feed in list(self._feeds.values()):
            self._feeding.go_on(feed)
        self._note_ready(job)
        if self._end_due_us is None:
            self._upkeep.look_after()

    def _forget_others(self, job: Job) -> None:
        """Feed no copy any more that the group does not name."""
        for partition, copy in list(self._copies.items()):
            record = job.standbys.get(partition)
            if not self._is_as_named(copy):
                self._forget(partition)
                is_owner = self._lanes.owners.get(partition) == copy.host
                if not is_owner and (record is None or record.host != copy.host):
                    self._ask(copy, ReleasePartitions, lambda _: None, partitions=(partition,))

    def _forget(self, partition: int) -> None:
        copy = self._copies.pop(partition, None)
        if copy is not None and copy.is_fed:
            feed = self._feeds[copy.host]
            feed.leave(partition)
            if not feed.partitions:
                del self._feeds[copy.host]

    def _place(self, job: Job) -> None:
        standbys = {partition: record.host for partition, record in job.standbys.items() if record.host}
        owners = self._lanes.owners
        placed, pinned = place_standbys(owners, standbys, self._places.host_nodes, self._nodes.fit, self._nodes.leaving)
        self._trouble = None if len(placed) == len(owners) else NO_NODE
        self._troubles = {number: why for number, why in self._troubles.items() if number in placed}
        if pinned:
            self._pin(pinned)
            return
        renewed, self._to_renew = self._to_renew, {}
        self._to_renew = {number: found for number, found in renewed.items() if number in self._proposing}
        for partition, host in placed.items():
            if standbys.get(partition) != host:
                self._name(job, partition, host)
            elif partition in renewed:
                self._name(job, partition, host, above=renewed[partition])
        for partition in standbys.keys() - placed.keys():
            self._name(job, partition, "")

    def _pin(self, pinned: Mapping[str, str]) -> None:
        """Give a new host its node."""
        if -1 in self._proposing:
            return
        command = AssignmentChanged(
            epoch=self._epoch, job_id=self._job_id, owners=(), host_nodes=tuple(sorted(pinned.items()))
        )
        self._propose(-1, command, lambda: self._places.pin(pinned))

    def _name(self, job: Job, partition: int, host: str, *, above: int | None = None) -> None:
        """Have the group name the host of a copy, with a generation that none had.

        `above` says that the owner's shard is to be copied, and a generation that is not enough.
        """
        if partition in self._proposing:
            return
        generation = max(job.next_generation(partition), (above or 0) + 1)
        command = StandbyPlaced(
            epoch=self._epoch,
            job_id=self._job_id,
            partition=partition,
            host=host,
            generation=generation,
            is_ready=False,
        )

        def accepted() -> None:
            if above is not None:
                self._to_copy[partition] = generation

        self._propose(partition, command, accepted)

    def _propose(self, partition: int, command: Command, accepted: Callable[[], None]) -> None:
        def answered() -> None:
            self._proposing.discard(partition)
            self._seen = None
            accepted()

        def refused(failure: Failure) -> None:
            # Something has changed meanwhile; what is to be done now follows from the state.
            self._proposing.discard(partition)
            self._pause(partition)

        self._proposing.add(partition)
        self._desk.propose(command, answered, refused)

    def _pause(self, partition: int) -> None:
        backoff = self._backoffs.setdefault(partition, Backoff(self._desk.limits, self._desk.jitter))
        self._due_us[partition] = self._desk.elapsed_us + backoff.pause_us()

    def _open(self, job: Job, *, may_copy: bool) -> None:
        """Begin with copies that are named and not open; one shard is copied at a time."""
        for partition, record in job.standbys.items():
            is_idle = partition not in self._copies and partition not in self._proposing and partition not in job.moves
            if record.host and is_idle and partition not in self._due_us:
                if not self._hosts.get(record.host):
                    self._start(record.host)
                elif self._to_copy.get(partition) != record.generation:
                    self._stand_by(self._begin(partition, record))
                elif may_copy and self._copying is None:
                    self._copy(self._begin(partition, record))

    def _begin(self, partition: int, record: StandbyRecord) -> _Copy:
        copy = self._copies[partition] = _Copy(partition, record.host, record.generation)
        return copy

    def _start(self, host: str) -> None:
        if host in self._hosts:
            return
        self._hosts[host] = False
        request = StartHost(request=self._desk.next_number(), host=host, node=self._places.node_of(host))
        timeout_us = self._desk.limits.start_timeout_us
        self._desk.ask(request, partial(self._on_started, host), partial(self._on_host_failed, host), timeout_us)

    def _on_started(self, host: str, event: object) -> None:
        self._hosts[host] = True
        self._seen = None

    def _copy(self, copy: _Copy) -> None:
        self._copying = copy.partition
        request = CopyShard(
            request=self._desk.next_number(),
            source=self._lanes.owners[copy.partition],
            target=copy.host,
            partition=copy.partition,
            generation=copy.generation,
        )
        timeout_us = self._desk.limits.copy_timeout_us
        self._desk.ask(request, partial(self._on_copied, copy), partial(self._on_not_copied, copy), timeout_us)

    def _on_copied(self, copy: _Copy, event: ShardCopied) -> None:
        self._copying = None
        if self._copies.get(copy.partition) is copy:
            copy.was_copied = True
            self._to_copy.pop(copy.partition, None)
            self._stand_by(copy)

    def _on_not_copied(self, copy: _Copy, failure: Failure) -> None:
        self._copying = None
        self._fail(copy, failure)

    def _stand_by(self, copy: _Copy) -> None:
        assert self._job is not None, "copies are named by the group"
        others = [number for number, record in self._job.standbys.items() if record.host == copy.host]
        self._ask(
            copy,
            StandBy,
            partial(self._on_opened, copy),
            partition=copy.partition,
            generation=copy.generation,
            others=tuple(others),
            acceptances=self._known.all,
        )

    def _ask(self, copy: _Copy, kind: type[HostRequest], then: Callable[[Any], None], **fields: Any) -> None:
        request = kind(request=self._desk.next_number(), host=copy.host, **fields)
        self._desk.ask(request, then, partial(self._fail, copy))

    def _on_opened(self, copy: _Copy, event: StandbyOpened) -> None:
        if self._copies.get(copy.partition) is not copy:
            return
        sent, earliest = self._positions.next_for(copy.partition), self._positions.earliest_for(copy.partition)
        needed = {split: event.opened.needed.get(split, 0) for split in earliest}
        lack = sum(max(offset - needed.get(split, offset), 0) for split, offset in sent.items())
        is_gone = any(needed[split] < start for split, start in earliest.items())
        if is_gone or (lack > self._desk.limits.standby_again_max and not copy.was_copied):
            self._renew(copy)
            return
        feed = self._feeds.setdefault(copy.host, self._feeding.new_feed(copy.host))
        feed.join(copy.partition, event.opened, earliest)
        copy.is_fed = True
        self._troubles.pop(copy.partition, None)
        self._backoffs.pop(copy.partition, None)

    def _renew(self, copy: _Copy, found: int = 0) -> None:
        """Replace what a host has, perhaps of this generation, by a copy of the owner's shard."""
        self._forget(copy.partition)
        self._pause(copy.partition)
        self._to_renew[copy.partition] = max(found, copy.generation)
        self._seen = None

    def _fail(self, copy: _Copy, failure: Failure) -> None:
        """Do without a copy for a while."""
        if failure.kind is FailureKind.STALE:
            raise_trouble(failure)
        if self._copies.get(copy.partition) is not copy:
            return
        if failure.kind in (FailureKind.UNREACHED, FailureKind.NOT_OPEN):
            self._on_host_failed(copy.host, failure)
        elif failure.kind is FailureKind.SHARD_LOST:
            self._troubles[copy.partition] = failure.reason
            self._renew(copy, failure.generation)
        else:
            self._drop(copy.partition, failure)

    def _drop(self, partition: int, failure: Failure) -> None:
        self._forget(partition)
        self._seen = None
        self._troubles[partition] = f"the standby of partition {partition} is not current: {failure.reason}"
        self._pause(partition)

    def _on_host_failed(self, host: str, failure: Failure) -> None:
        """Do without all copies on a host for a while."""
        if failure.kind is FailureKind.STALE:
            raise_trouble(failure)
        self._hosts.pop(host, None)
        named = {} if self._job is None else self._job.standbys
        there = {partition for partition, record in named.items() if record.host == host}
        for partition in there | {copy.partition for copy in self._copies.values() if copy.host == host}:
            self._drop(partition, failure)

    def can_replace(self, nodes: Collection[str]) -> bool:
        """Whether copies elsewhere have all that owners on one of these nodes were sent."""
        if not nodes:
            return False
        return any(
            self._places.node_of(owner) in nodes and self._is_level(partition)
            for partition, owner in self._lanes.owners.items()
        )

    def end_host(self, host: str) -> bool:
        """Do without a host that was ended because it hangs; return whether the job can, since it owns nothing."""
        if host in self._lanes.hosts:
            return False
        self._on_host_failed(host, Failure(FailureKind.UNREACHED, f"{host} did not answer and is ended"))
        return True

    def _on_feed_failed(self, feed: Feed, failure: Failure) -> None:
        if failure.kind is FailureKind.STALE:
            raise_trouble(failure)
        if self._feeds.get(feed.host) is not feed:
            return
        # What it has is known when it is opened again.
        for partition in feed.partitions:
            self._drop(partition, failure)
        if failure.kind in (FailureKind.UNREACHED, FailureKind.NOT_OPEN):
            self._on_host_failed(feed.host, failure)

    def _on_gone(self, partitions: Collection[int], reason: str) -> None:
        """Replace copies that lack what the source no longer has."""
        for copy in [copy for copy in self._copies.values() if copy.partition in partitions]:
            self._troubles[copy.partition] = reason
            self._renew(copy)

    def _on_troubled(self, partition: int, reason: str | None) -> None:
        if reason is None:
            self._troubles.pop(partition, None)
        else:
            self._troubles[partition] = reason

    def _note_ready(self, job: Job) -> None:
        for partition, copy in self._copies.items():
            record = job.standbys.get(partition)
            is_news = record is not None and not record.is_ready and record.generation == copy.generation
            if record is not None and is_news and self._end_due_us is None and self._is_near(partition):
                self._say_ready(partition, record, is_ready=True)

    def _doubt(self, job: Job) -> None:
        """Have the group know that copies that are in trouble are not as far as the shard."""
        for partition, record in job.standbys.items():
            if record.is_ready and partition in self._troubles and not self._fed(partition):
                self._say_ready(partition, record, is_ready=False)

    def _say_ready(self, partition: int, record: StandbyRecord, *, is_ready: bool) -> None:
        if partition in self._proposing:
            return
        command = StandbyPlaced(
            epoch=self._epoch,
            job_id=self._job_id,
            partition=partition,
            host=record.host,
            generation=record.generation,
            is_ready=is_ready,
        )
        self._propose(partition, command, lambda: None)

    def begin_end(self) -> None:
        """Let copies get everything, now that owners have it; call `end` until it is true."""
        self._end_due_us = self._desk.elapsed_us + self._desk.limits.standby_end_us
        self._upkeep.begin_end()

    def end(self) -> bool:
        """Go on, and return whether every copy has all that owners have, durably, or is not to be waited for."""
        assert self._end_due_us is not None, "the end has begun"
        is_late = self._end_due_us <= self._desk.elapsed_us or not (self._feeds or self.is_settling)
        if not is_late and (self.is_settling or self._is_lagging or not self._upkeep.end()):
            return False
        if self._proposing or self._say_what_is_whole(may_wait=self._end_due_us > self._desk.elapsed_us):
            return False
        self._end_due_us = None
        return True

    @property
    def _is_lagging(self) -> bool:
        return any(self._fed(number) and not self._is_level(number) for number in self._copies.keys() - self._troubles)

    def _say_what_is_whole(self, *, may_wait: bool) -> bool:
        """Have the group know which copies lack something and, if it may take time, which have everything.

        Returns whether it has to be told.
        """
        named, whole = {} if self._job is None or not self._is_wanted else self._job.standbys, self._upkeep.whole
        wrong = {
            number: one
            for number, one in named.items()
            if one.host and one.is_ready != (number in whole) and (one.is_ready or may_wait)
        }
        for partition, record in wrong.items():
            if record.is_ready:
                reason = f"that of partition {partition} on {record.host}"
                self._desk.say(Warn(phrase="a standby lacks rows", reason=reason))
            self._say_ready(partition, record, is_ready=not record.is_ready)
        return bool(wrong)

    def dues_us(self) -> list[int]:
        """Return the elapsed times at which something is due."""
        if not self._is_wanted:
            return []
        dues_us = [*self._due_us.values(), *self._feeding.dues_us()]
        if self._end_due_us is not None:
            dues_us.append(self._end_due_us)
        return dues_us + self._upkeep.dues_us()

    def validate(self) -> None:
        """Assert every invariant."""
        self._upkeep.validate()
        for feed in self._feeds.values():
            feed.validate()
            assert feed.partitions, "a feed of nothing"
        fed = {copy.partition: copy.host for copy in self._copies.values() if copy.is_fed}
        assert fed == {number: feed.host for feed in self._feeds.values() for number in feed.partitions}

"""Moves: partitions change hosts, one after the other, while the job goes on.

What is for the partition that moves is kept back, and only that; the source flushes and releases it, the target opens
it, and each step is recorded in the group's state; then the target gets what was kept back. A target on another node
opens a copy of the shard, which is made before the release and has the next generation. Nothing has to be drained,
because a host does what it is asked in order: copy and release come after every row sent before. Hosts that are new get
their nodes and are
started before the first move, so that no partition waits for a process to start; when one does not start, the job goes
on where it is, and the moves are planned again after a pause that grows. Hosts that own nothing are ended after
the last move, and at the beginning, since a leader or an attempt before may have come to its end with a move half done.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from cluster.leader.clock import Backoff
from cluster.leader.desk import Desk, raise_trouble
from cluster.leader.events import Done, PartitionsOpened, ShardCopied
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.instructions import CopyShard, EndOtherHosts, OpenPartitions, ReleasePartitions, StartHost
from cluster.leader.lanes import Lanes
from cluster.leader.placement import Move
from cluster.leader.places import Places
from cluster.leader.standby import Standbys
from cluster.leader.status import MoveProgress
from raft.commands import AssignmentChanged, Command, MoveFinished, MoveStarted, StandbyPromoted
from raft.group import Job


class Moves:
    """Moves of one job under one epoch.

    `acceptances` gives the values that a new owner must know; `has_rows` tells whether a partition has any.
    """

    def __init__(
        self,
        desk: Desk,
        job_id: str,
        epoch: int,
        lanes: Lanes,
        acceptances: Callable[[], tuple[bytes, ...]],
        places: Places,
        has_rows: Callable[[int], bool],
        standbys: Standbys,
    ) -> None:
        self._desk = desk
        self._job_id = job_id
        self._epoch = epoch
        self._lanes = lanes
        self._acceptances = acceptances
        self._places = places
        self._has_rows = has_rows
        self._standbys = standbys
        self._job: Job | None = None
        self._is_switch = False
        self._is_pinning = False
        self._planned: deque[Move] = deque()
        self._starting: set[str] = set()
        self._current: Move | None = None
        self._is_releasable = False
        self._catch_up_due_us = 0
        self._done_count = 0
        self._may_have_idle_hosts = True
        self._backoff = Backoff(desk.limits, desk.jitter)
        self._due_us = 0
        self.trouble: str | None = None
        """Why partitions do not move though they should, or `None`."""

    @property
    def is_moving(self) -> bool:
        """Whether a partition is on its way or waits for its turn, or a host starts for one."""
        return self._current is not None or self._is_pinning or bool(self._planned or self._starting)

    @property
    def progress(self) -> MoveProgress:
        """How many of the moves planned last are done."""
        waiting = len(self._planned) + (self._current is not None)
        return MoveProgress(done=self._done_count, planned=self._done_count + waiting)

    def plan(self, moves: Sequence[Move], pinned: Mapping[str, str]) -> bool:
        """Take up what is to move, none being left from before, and return whether there is anything that may begin.

        `pinned` gives targets that have no node yet, or have nothing on theirs, their nodes.
        """
        assert not self.is_moving, "partitions move already"
        if not moves:
            self.trouble = None
        if not moves or self._due_us > self._desk.elapsed_us:
            return False
        self._planned.extend(moves)
        self._may_have_idle_hosts = True
        self._done_count = 0
        if pinned:
            self._pin(pinned)
        else:
            self._start_targets()
        return True

    def _pin(self, pinned: Mapping[str, str]) -> None:
        self._is_pinning = True
        command = AssignmentChanged(
            epoch=self._epoch, job_id=self._job_id, owners=(), host_nodes=tuple(sorted(pinned.items()))
        )
        self._desk.propose(command, partial(self._on_pinned, pinned), self._on_not_pinned)

    def _on_pinned(self, pinned: Mapping[str, str]) -> None:
        self._is_pinning = False
        self._places.pin(pinned)
        self._start_targets()

    def _on_not_pinned(self, failure: Failure) -> None:
        # A node may have begun to drain, or have left, since this was planned.
        self._is_pinning = False
        self._give_up(failure.reason)

    def _start_targets(self) -> None:
        self._starting = {move.target for move in self._planned}
        for host in sorted(self._starting):
            self._desk.ask(
                StartHost(request=self._desk.next_number(), host=host, node=self._places.node_of(host)),
                partial(self._on_host_started, host),
                partial(self._on_host_failed, host),
                self._desk.limits.start_timeout_us,
            )

    def _on_host_started(self, host: str, event: Done) -> None:
        self._starting.discard(host)
        if self._planned and not self._starting:
            self.trouble = None
            self._backoff.reset()

    def _on_host_failed(self, host: str, failure: Failure) -> None:
        if failure.kind in (FailureKind.STALE, FailureKind.FATAL):
            raise_trouble(failure)
        self._starting.discard(host)
        if self._planned:
            self._give_up(f"{host} does not start: {failure.reason}")

    def _give_up(self, reason: str) -> None:
        self.trouble = reason
        self._due_us = self._desk.elapsed_us + self._backoff.pause_us()
        self.forget_planned()

    def forget_planned(self) -> None:
        """Begin no more moves; the one on its way ends."""
        self._planned.clear()

    def advance(self, job: Job) -> None:
        """Begin what can begin, for the job as the group knows it."""
        self._job = job
        if self._current is None and self._planned and not self._starting and not self._is_pinning:
            self._begin(self._planned.popleft())
        elif self._current is not None and self._is_releasable and self._may_hand_over(self._current):
            self._is_releasable = False
            self._hand_over(self._current)
        if self._may_have_idle_hosts and not self.is_moving and self._lanes.retire_idle():
            self._may_have_idle_hosts = False
            hosts = dict.fromkeys((*self._lanes.hosts, *(one.host for one in job.standbys.values() if one.host)))
            self._desk.say(EndOtherHosts(hosts=tuple(hosts)))

    def end_idle_hosts(self) -> None:
        """End the hosts that own nothing, when nothing moves."""
        self._may_have_idle_hosts = True

    def _begin(self, move: Move) -> None:
        self._current = move
        self._lanes.keep_back(move.partition)
        command = MoveStarted(
            epoch=self._epoch,
            job_id=self._job_id,
            partition=move.partition,
            source=move.source,
            target=move.target,
        )
        self._desk.propose(command, self._on_started)

    def _on_started(self) -> None:
        # The release follows once the rows of before are sent.
        self._is_releasable = True
        self._catch_up_due_us = self._desk.elapsed_us + self._desk.limits.standby_catch_up_us

    def _may_hand_over(self, move: Move) -> bool:
        """Whether the source was sent, or has read, all that it shall, and its copy at the target has that, too."""
        if self._lanes.has_queue(move.source) or self._lanes.is_being_read(move.partition):
            return False
        is_late = self._catch_up_due_us <= self._desk.elapsed_us
        return is_late or not self._standbys.is_coming(move.partition, move.target)

    def _hand_over(self, move: Move) -> None:
        """Let the target have the shard: the file itself, its own second copy, or a copy on another node."""
        standby = self._standbys.generation_at(move.partition, move.target)
        self._is_switch = standby is not None
        if standby is not None:
            self._release(move, standby)
        elif self._places.is_near(move.source, move.target):
            self._release(move, self._places.generations[move.partition])
        else:
            self._make_room(move)

    def _make_room(self, move: Move) -> None:
        """Let the target's node give up a second copy that is not the one to take over, and copy the shard."""
        assert self._job is not None, "a move has begun"
        generation = max(self._places.generations[move.partition] + 1, self._job.next_generation(move.partition))
        record = self._job.standbys.get(move.partition)
        if record is None or not record.host or not self._places.is_near(record.host, move.target):
            self._copy(move, generation)
            return
        number = self._desk.next_number()
        request = ReleasePartitions(request=number, host=record.host, partitions=(move.partition,))
        self._desk.ask(request, lambda _: self._copy(move, generation))

    def _copy(self, move: Move, generation: int) -> None:
        copy = CopyShard(
            request=self._desk.next_number(),
            source=move.source,
            target=move.target,
            partition=move.partition,
            generation=generation,
        )
        timeout_us = self._desk.limits.copy_timeout_us
        self._desk.ask(copy, partial(self._on_copied, move, generation), timeout_us=timeout_us)

    def _on_copied(self, move: Move, generation: int, event: ShardCopied) -> None:
        self._release(move, generation)

    def _release(self, move: Move, generation: int) -> None:
        number = self._desk.next_number()
        request = ReleasePartitions(request=number, host=move.source, partitions=(move.partition,))
        self._desk.ask(request, partial(self._on_released, move, generation))

    def _on_released(self, move: Move, generation: int, event: Done) -> None:
        self._open(move, generation)

    def _open(self, move: Move, generation: int) -> None:
        request = OpenPartitions(
            request=self._desk.next_number(),
            host=move.target,
            partitions=(move.partition,),
            earliest={},
            snapshots={},
            acceptances=self._acceptances(),
            generations={move.partition: generation},
            are_all=False,
        )
        self._desk.ask(request, partial(self._on_opened, move, generation))

    def _on_opened(self, move: Move, generation: int, event: PartitionsOpened) -> None:
        if event.opened[move.partition].is_empty and self._has_rows(move.partition):
            reason = f"the shard of partition {move.partition} was lost on its way to {move.target}"
            raise_trouble(Failure(FailureKind.SHARD_LOST, reason, (move.partition,)))
        if generation > self._places.generations[move.partition]:
            self._places.expect(move.partition, generation)
        self._desk.propose(self._end_of(move, generation), lambda: self._on_finished(move, generation))

    def _end_of(self, move: Move, generation: int) -> Command:
        epoch, job_id, partition, target = self._epoch, self._job_id, move.partition, move.target
        if self._is_switch:
            return StandbyPromoted(epoch=epoch, job_id=job_id, partition=partition, host=target, generation=generation)
        return MoveFinished(epoch=epoch, job_id=job_id, partition=partition, target=target, generation=generation)

    def _on_finished(self, move: Move, generation: int) -> None:
        self._places.reach(move.partition, generation)
        self._lanes.hand_over(move.partition, move.target)
        self._current = None
        self._done_count += 1

    def dues_us(self) -> list[int]:
        """Return the elapsed time at which moves are planned again, or the one that waits for its copy goes on."""
        if self._is_releasable:
            return [self._catch_up_due_us]
        return [self._due_us] if self.trouble is not None and not self.is_moving else []

    def validate(self) -> None:
        """Assert every invariant."""
        assert not self._starting or self._current is None
        assert not self._is_pinning or (self._current is None and not self._starting)
        self._places.validate()
        assert self._current is not None or not self._is_releasable

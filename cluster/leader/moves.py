"""Moves: partitions change hosts, one after the other, while the job goes on.

The pump keeps back what is for the partition that moves, and only that; a thread of the mover lets the source flush and
release it and the target open it, each step recorded in the group's state; then the target gets what was kept back.
Nothing has to be drained, because a host does what it is told in order: the release comes after every row sent before.
Hosts that are new have been started before the first move, so that no partition waits for a process to start.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from cluster.deployment.deploy import RayHost
from cluster.leader.group_port import GroupPort
from cluster.leader.placement import Move
from cluster.leader.pump import Pump
from raft.commands import MoveFinished, MoveStarted

START_TIMEOUT_S = 120.0
"""Seconds that the processes of new hosts have to start, all together."""


class Mover:
    """Carries out the moves of one job under one epoch."""

    def __init__(
        self,
        group: GroupPort,
        job_id: str,
        epoch: int,
        find_host: Callable[[str], RayHost],
        now_us: Callable[[], int],
    ) -> None:
        self._group = group
        self._job_id = job_id
        self._epoch = epoch
        self._find_host = find_host
        self._now_us = now_us
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"moves of {job_id}")
        self._planned: deque[Move] = deque()
        self._started: Future[None] | None = None
        self._current: tuple[Move, Future[RayHost]] | None = None
        self._done_count = 0
        self._sources: frozenset[str] = frozenset()

    @property
    def is_moving(self) -> bool:
        """Whether a partition is on its way or waits for its turn."""
        return self._current is not None or bool(self._planned)

    @property
    def progress(self) -> dict[str, int]:
        """How many of the moves planned last are done."""
        waiting = len(self._planned) + (self._current is not None)
        return {"done": self._done_count, "planned": self._done_count + waiting}

    @property
    def sources(self) -> frozenset[str]:
        """Hosts that the moves planned last took partitions from."""
        return self._sources

    def plan(self, moves: Sequence[Move]) -> None:
        """Take up moves; none may be left from before."""
        assert not self.is_moving, "partitions move already"
        self._planned.extend(moves)
        self._sources = frozenset(move.source for move in moves)
        self._done_count = 0
        self._started = self._pool.submit(self._start, {move.target for move in moves}) if moves else None

    def advance(self, pump: Pump) -> None:
        """End the move that is done and begin the next, without waiting.

        Raises:
            TocsinError: a host failed; the leader that opens the partitions again finds one owner for each.
        """
        if self._started is not None:
            if not self._started.done():
                return
            self._started.result()
            self._started = None
        if self._current is not None:
            move, result = self._current
            if not result.done():
                return
            pump.hand_over(move.partition, result.result())
            self._current = None
            self._done_count += 1
        if self._planned:
            move = self._planned.popleft()
            pump.hold(move.partition)
            self._current = (move, self._pool.submit(self._move, move))

    def settle(self, pump: Pump) -> None:
        """Wait for the move on its way and forget the rest.

        Raises:
            TocsinError: a host failed.
        """
        self._planned.clear()
        self._started = None
        if self._current is not None:
            self._current[1].exception()
            self.advance(pump)

    def close(self) -> None:
        """Wait until the thread touches nothing any more."""
        self._pool.shutdown(cancel_futures=True)

    def _start(self, names: set[str]) -> None:
        for answer in [self._find_host(name).ready() for name in sorted(names)]:
            answer.wait(START_TIMEOUT_S)

    def _move(self, move: Move) -> RayHost:
        epoch, job_id, partition = self._epoch, self._job_id, move.partition
        source, target = self._find_host(move.source), self._find_host(move.target)
        self._group.propose(
            MoveStarted(epoch=epoch, job_id=job_id, partition=partition, source=move.source, target=move.target)
        )
        source.release(epoch, [partition], self._now_us()).wait()
        target.open(epoch, [partition], {}, {}, self._now_us()).wait()
        self._group.propose(MoveFinished(epoch=epoch, job_id=job_id, partition=partition, target=move.target))
        return target

"""The end of a subscription: nothing more is read, and what was read becomes durable and is delivered.

When the source has ended, that takes as long as sinks take: a job whose anomalies wait is not finished. A job that is
no longer wanted stops all the same, and the status says what waits.
"""

from enum import IntEnum
from functools import partial

from cluster.leader.checkpoints import Checkpoints
from cluster.leader.deliveries import Deliveries
from cluster.leader.desk import Desk, raise_trouble
from cluster.leader.events import HostFlushed
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.instructions import FlushHost
from cluster.leader.lanes import Lanes
from cluster.leader.notices.notifying import Notifications
from cluster.leader.positions import Positions
from cluster.leader.standby import Standbys


class Stage(IntEnum):
    """What is being waited for."""

    APPLYING = 0
    """Everything that was read is applied, and a delivery that is on its way answered."""

    FLUSHING = 1
    DELIVERING = 2
    CHECKPOINT = 3
    STANDBYS = 4
    """Second copies have everything, too, or are not waited for any longer."""

    OVER = 5


class Ending:
    """One end; `is_stop` says that the source has not ended."""

    def __init__(
        self,
        desk: Desk,
        lanes: Lanes,
        positions: Positions,
        deliveries: Deliveries,
        notifications: Notifications,
        checkpoints: Checkpoints,
        standbys: Standbys,
        *,
        is_stop: bool,
    ) -> None:
        self._desk = desk
        self._lanes = lanes
        self._positions = positions
        self._deliveries = deliveries
        self._notifications = notifications
        self._checkpoints = checkpoints
        self._standbys = standbys
        self._stage = Stage.APPLYING
        self._committed: dict[int, dict[int, int]] = {}
        self._flushing: set[str] = set()
        self.is_stop = is_stop
        """Whether it ends because the job is no longer wanted."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self._stage is Stage.OVER

    def advance(self, *, is_quiet: bool) -> None:
        """Go on, as far as nothing has to be waited for; `is_quiet` says that nothing is on its way."""
        if self._stage is Stage.APPLYING and is_quiet and self._deliveries.is_idle and self._notifications.is_idle:
            self._flush()
        if self._stage is Stage.FLUSHING and not self._flushing:
            self._check_committed()
            self._deliveries.begin_emptying()
            self._notifications.begin_emptying()
            self._stage = Stage.DELIVERING
        if self._stage is Stage.DELIVERING and self._is_delivered() and not self._checkpoints.is_running:
            self._stage = Stage.CHECKPOINT
            if not self.is_stop:
                self._checkpoints.begin(self._lanes.owners, do_rows_go_on=False)
        if self._stage is Stage.CHECKPOINT and not self._checkpoints.is_running:
            self._standbys.begin_end()
            self._stage = Stage.STANDBYS
        if self._stage is Stage.STANDBYS and self._standbys.end():
            self._stage = Stage.OVER

    def _flush(self) -> None:
        self._stage = Stage.FLUSHING
        self._checkpoints.cut_short()
        self._flushing = set(self._lanes.hosts)
        for host in self._lanes.hosts:
            request = FlushHost(request=self._desk.next_number(), host=host)
            self._desk.ask(request, partial(self._on_flushed, host))

    def _on_flushed(self, host: str, event: HostFlushed) -> None:
        self._flushing.discard(host)
        self._committed |= {partition: dict(marks) for partition, marks in event.committed.items()}

    def _check_committed(self) -> None:
        for partition, host in self._lanes.owners.items():
            marks = self._committed.get(partition, {})
            if any(marks.get(split, 0) < offset for split, offset in self._positions.sent_to(partition).items()):
                reason = f"{host} has lost rows of partition {partition}; they are sent again"
                raise_trouble(Failure(FailureKind.NOT_OPEN, reason))

    def _is_delivered(self) -> bool:
        is_notified = self._notifications.empty(is_last_try=self.is_stop)
        return self._deliveries.empty(self._lanes.hosts, is_last_try=self.is_stop) and is_notified

    def validate(self) -> None:
        """Assert every invariant."""
        assert not self._flushing or self._stage is Stage.FLUSHING
        assert self._stage is Stage.APPLYING or self._lanes.is_empty

"""The subscription: a job whose partitions are open, from the first row that is read to the last that is durable.

Rows are read and sent; moves, checkpoints, deliveries and accepted values go on beside them. It ends when the source
has ended or the job is no longer wanted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.leader.acceptances import KnownValues, Placing
from cluster.leader.checkpoints import Checkpoints
from cluster.leader.deliveries import Deliveries
from cluster.leader.desk import Desk
from cluster.leader.ending import Ending
from cluster.leader.lanes import Lanes
from cluster.leader.moves import Moves
from cluster.leader.nodes import NodeWatch
from cluster.leader.notices.notifying import Notifications
from cluster.leader.opening import Opening
from cluster.leader.own_reading import OwnReading
from cluster.leader.placement import Move, place_hosts, plan_moves, wanted_hosts
from cluster.leader.positions import Positions
from cluster.leader.sending import Sending
from cluster.leader.split_places import SplitPlaces
from cluster.leader.standby import Standbys
from cluster.leader.status import PumpStat
from config.settings import JobSettings
from raft.group import Job, SilenceRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderTask:
    """What a leader runs, and as whom."""

    job_id: str

    epoch: int
    """The leader's epoch."""

    member_ids: tuple[str, ...] = ()
    """Members that store snapshots; without any there are no checkpoints."""

    counted: PumpStat | None = None
    """What a runner before has counted under this epoch; counters go on from there."""


class Subscription:
    """One job under one epoch, with its partitions open."""

    def __init__(
        self,
        desk: Desk,
        task: LeaderTask,
        settings: JobSettings,
        opening: Opening,
        known: KnownValues,
        nodes: NodeWatch,
        split_places: SplitPlaces,
    ) -> None:
        in_flight_max = settings.limits.batches_in_flight_max
        self._desk = desk
        self._known = known
        self._lanes = Lanes(opening.owners, in_flight_max, desk.limits.kept_batch_factor * in_flight_max)
        is_own = settings.partition_by == "split"
        self._positions = Positions(opening.opened, opening.earliest, are_own=is_own)
        self.places = opening.places
        """Where hosts and shards are."""
        self._nodes = nodes
        self._split_places = split_places
        self.absent = opening.absent
        """Partitions that wait for their nodes."""
        self.standbys = Standbys(
            desk, task.job_id, task.epoch, settings, self._lanes, self._positions, self.places, nodes, known
        )
        """Second copies."""
        reading = (desk, settings, self._lanes, self._positions)
        self.sending = (
            OwnReading(*reading, self.standbys.is_to_come) if is_own else Sending(*reading, self.standbys.post)
        )
        """What reads and sends, or has hosts read."""
        self.moves = Moves(
            desk,
            task.job_id,
            task.epoch,
            self._lanes,
            lambda: known.all,
            self.places,
            self._positions.has_rows,
            self.standbys,
        )
        """The partitions that change hosts."""
        interval_rows = settings.snapshot_interval_rows
        self._checkpoints = Checkpoints(
            desk, task.job_id, task.epoch, task.member_ids, interval_rows, self.places.node_of
        )
        sinks = [sink.identity for sink in settings.sinks]
        period_us = settings.flush.period_ms * 1000
        followers = [number for number, sink in enumerate(settings.sinks) if settings.follows_policy(sink)]
        self.deliveries = Deliveries(desk, period_us, sinks, followers)
        """What feeds the sinks."""
        self.notifications = Notifications(desk, period_us, task.job_id, task.epoch, settings)
        """What feeds those that follow a policy."""
        self._placing = Placing(desk, task.job_id, task.epoch, known)
        self._ending: Ending | None = None
        self.place_trouble: str | None = None
        """Why partitions stay on nodes that they should leave, or `None`."""
        self.rows_sent_again = self._positions.sent_again_count
        """Records that some partition had received before."""

    @property
    def is_ending(self) -> bool:
        """Whether nothing more is read."""
        return self._ending is not None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._ending is not None and self._ending.is_over

    @property
    def is_at_end(self) -> bool:
        """Whether it has ended, or ends, because the source has."""
        return self._ending is not None and not self._ending.is_stop

    def advance(self, job: Job, silences: Mapping[str, SilenceRecord]) -> None:
        """Do what can be done now, for the job and the silences as the group knows them."""
        self.notifications.see(self._lanes.owners, job, silences)
        self.sending.send()
        self.moves.advance(job)
        self.standbys.advance(job, may_change=self._ending is None and not self.moves.is_moving)
        if self._ending is None and self.sending.is_at_end and not self.absent and not self.moves.is_moving:
            self._end(is_stop=False)
        if self._ending is not None:
            is_quiet = self.sending.is_quiet and not self.moves.is_moving and not self._placing.is_running
            self._ending.advance(is_quiet=is_quiet)
            return
        is_place_wanted = self._plan(job)
        if not is_place_wanted and not self._placing.is_running:
            self.sending.read()
        self.deliveries.advance(self._lanes.hosts)
        self.notifications.advance()
        self.sending.flush_due()
        if not self.moves.is_moving:
            self._checkpoints.advance(self._lanes.owners, self.sending.row_count)

    def _plan(self, job: Job) -> bool:
        """Begin moves, or give values their place; return whether that waits for a read that is under way."""
        if self.moves.is_moving or self._placing.is_running or self.standbys.is_changing:
            return False
        waiting = self._known.without_place(job)
        if self.moves.plan(*self._wanted_moves(job)):
            return False
        if waiting and not self.sending.is_reading:
            reached = self.standbys.reached
            first = {
                split: max(offset, reached.get(split, 0)) for split, offset in self._positions.first_unsent().items()
            }
            self._placing.begin(waiting, first, self._lanes.hosts)
        return bool(waiting)

    def _wanted_moves(self, job: Job) -> tuple[list[Move], dict[str, str]]:
        """Return what is to move, and the nodes of the hosts that need one for it."""
        by_partition = self._lanes.owners
        if self._split_places.are_fixed:
            self.place_trouble = self._split_places.trouble(by_partition, self.places.host_nodes)
            return [], {}
        owners = [by_partition[partition] for partition in range(len(by_partition))]
        known = self.places.host_nodes
        names = wanted_hosts(owners, job.host_count, self._nodes.leaving, known)
        if not self._nodes.has_nodes:
            return plan_moves(owners, names), {}
        fit = self._nodes.fit
        is_unfit = not fit and any(known.get(owner) in self._nodes.leaving for owner in owners)
        self.place_trouble = self._nodes.none_fit if is_unfit else None
        if not fit:
            # They stay where they are until a node may take them.
            return [], {}
        pinned = place_hosts(names, owners, known, fit)
        places = known | pinned
        moves = plan_moves(owners, names, places, self.standbys.named)
        if self.standbys.is_settling and any(places.get(one.source) != places.get(one.target) for one in moves):
            # To where its second copy is a partition gets without another one.
            return [], {}
        nodes = {places.get(host, "") for move in moves for host in (move.source, move.target)} - {""}
        if not all(map(self._nodes.is_there, nodes)):
            # Nothing goes anywhere as long as a node on the way is away.
            return [], {}
        targets = {move.target for move in moves}
        return moves, {host: node for host, node in pinned.items() if host in targets}

    def stop(self) -> None:
        """End though the source goes on; an end that waits for its sinks waits no longer."""
        if self._ending is None or not self._ending.is_stop:
            self.moves.forget_planned()
            self._end(is_stop=True)

    def _end(self, *, is_stop: bool) -> None:
        self._ending = Ending(
            self._desk,
            self._lanes,
            self._positions,
            self.deliveries,
            self.notifications,
            self._checkpoints,
            self.standbys,
            is_stop=is_stop,
        )

    def go_on(self) -> None:
        """Read again after a stop."""
        assert self.is_over, "it has not ended"
        self._ending = None
        self.sending.read_at_once()

    def abandon(self) -> None:
        """Give back what others keep for it; the requests are forgotten."""
        self._checkpoints.abandon()

    def dues_us(self) -> list[int]:
        """Return the elapsed times at which something is due."""
        feeding = self.deliveries.dues_us() + self.notifications.dues_us()
        return self.sending.dues_us() + self.moves.dues_us() + feeding + self.standbys.dues_us()

    def validate(self) -> None:
        """Assert every invariant."""
        self.sending.validate()
        self.moves.validate()
        self.standbys.validate()
        self._checkpoints.validate()
        self._placing.validate()
        self.deliveries.validate()
        self.notifications.validate()
        if self._ending is not None:
            self._ending.validate()

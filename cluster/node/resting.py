"""Moving what jobs that do not run have on nodes that leave: nobody else does, since they have no runner.

One partition after the other, by the same steps as `cluster.leader.moves`: the group is told, the shard is copied to a
host of another node, and the group is told again. Interrupted anywhere, the partition is where the group says. Where
there is a second copy with all that the shard has, it is the shard from then on, and nothing is copied. So it is with
partitions on a node that has not answered for long; of jobs that run, their leader's core decides.
"""

import logging
import time
from collections.abc import Callable, Collection
from typing import Final

from actors.errors import TocsinError
from cluster.deployment.node_deployment import NodeDeployment
from cluster.leader.copying import copy_shard
from cluster.leader.placement import Move, place_hosts, plan_moves, wanted_hosts
from cluster.leader.runner import now_us
from cluster.leader.supervisor import Leader
from cluster.node.group_port import NodeGroup
from cluster.node.lingering import HostUse
from cluster.node.looks import look_for_ever
from cluster.node.resting_copies import RestingCopies
from cluster.node.resting_hosts import OPEN_TIMEOUT_S, RestingHosts
from cluster.node.silence import LOST_S, Silence
from raft.commands import (
    AssignmentChanged,
    MoveAbandoned,
    MoveFinished,
    MoveStarted,
    StandbyPromoted,
)
from raft.group import GroupState, Job, JobStatus

log = logging.getLogger(__name__)

LOOK_S: Final = 0.5
"""Seconds between two looks."""

RETRY_S: Final = 5.0
"""Pause after something went wrong."""

COPY_LOST_S: Final = 600.0
"""Seconds after which second copies on a node that is away are made elsewhere: a machine that starts anew keeps them,
and nothing that rests is copied meanwhile."""


def next_move(state: GroupState, job: Job, fit: tuple[str, ...]) -> tuple[Move, str] | None:
    """Return a move that takes a partition from a node that leaves, with the node of its target."""
    leaving = {name for name, node in state.nodes.items() if node.is_draining}
    if not fit or not any(job.node_of(partition) in leaving for partition in range(job.partition_count)):
        return None
    names = wanted_hosts(job.owners, job.host_count, leaving, job.host_nodes)
    places = {**job.host_nodes, **place_hosts(names, job.owners, job.host_nodes, fit)}
    moves = plan_moves(job.owners, names, places)
    return next(((move, places[move.target]) for move in moves if places.get(move.source) in leaving), None)


def next_promotion(job: Job, nodes: Collection[str], fit: tuple[str, ...]) -> int | None:
    """Return a partition on one of some nodes whose second copy, on a node that may take it, has everything."""
    return next(
        (
            partition
            for partition, record in sorted(job.standbys.items())
            if job.node_of(partition) in nodes and record.is_ready and job.host_nodes.get(record.host) in fit
        ),
        None,
    )


class RestingMover:
    """Looks, while its process leads, whether something has to move."""

    def __init__(
        self,
        leader: Leader,
        deployment: NodeDeployment,
        group: NodeGroup,
        use: HostUse,
        silence: Silence,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._use = use
        self._deployment = deployment
        self._group = group
        self._silence = silence
        self._hosts = RestingHosts(leader, deployment)
        self._copies = RestingCopies(leader, group, self._hosts, use, clock_s)

    def start(self) -> None:
        """Look for ever, in a thread of its own."""
        trouble = "partitions of a job that does not run stay on a node that leaves"
        look_for_ever(self.look, every_s=LOOK_S, retry_s=RETRY_S, trouble=trouble)

    def look(self) -> None:
        """Move, or copy, one partition that has to be."""
        epoch, state = self._group.led_epoch(), self._group.state()
        there = self._deployment.present_nodes()
        self._silence.look(state.nodes, there | self._deployment.answering_nodes())
        if epoch is None:
            return
        away = self._silence.over(LOST_S)
        leaving = frozenset(name for name, node in state.nodes.items() if node.is_draining)
        fit = tuple(sorted(name for name in there if name in state.nodes and not state.nodes[name].is_draining))
        if (leaving or away) and self._clear(epoch, state, leaving, away, fit):
            # The state is another one now.
            return
        self._copies.look(epoch, state, fit, self._silence.over(COPY_LOST_S) | leaving)

    def _clear(
        self, epoch: int, state: GroupState, leaving: Collection[str], away: Collection[str], fit: tuple[str, ...]
    ) -> bool:
        """Take one partition from a node that leaves or is away; return whether there was one that could be."""
        for job in state.jobs.values():
            if job.status is JobStatus.RUNNING:
                continue
            lost = next_promotion(job, away, fit)
            if lost is not None:
                self._take_over(epoch, job, lost)
                return True
            copied, found = next_promotion(job, leaving, fit), next_move(state, job, fit)
            if copied is None and found is None:
                continue
            # Its hosts are not given back on the way.
            with self._use.asking(job.job_id):
                if copied is not None and self._promote(epoch, job, copied):
                    return True
                if found is not None:
                    self._move(epoch, job, *found)
                    return True
        return False

    def _promote(self, epoch: int, job: Job, partition: int) -> bool:
        """Let a second copy be the shard if it has as much; return whether it is."""
        source = self._hosts.open_owner(epoch, job, partition)
        try:
            has_all = self._hosts.copy_has_all(epoch, job, partition, source)
        except TocsinError as error:
            log.warning("a standby is of no use", extra={"job": job.job_id, "reason": str(error)})
            return False
        if not has_all:
            log.warning("a standby lacks rows", extra={"job": job.job_id, "partition": partition})
            return False
        source.release(epoch, [partition], now_us()).wait(OPEN_TIMEOUT_S)
        self._take_over(epoch, job, partition)
        return True

    def _take_over(self, epoch: int, job: Job, partition: int) -> None:
        record, job_id = job.standbys[partition], job.job_id
        generation = record.generation
        self._hosts.propose(
            StandbyPromoted(epoch=epoch, job_id=job_id, partition=partition, host=record.host, generation=generation)
        )
        log.info("a standby of a job that does not run is the shard", extra={"job": job_id, "partition": partition})

    def _move(self, epoch: int, job: Job, move: Move, node: str) -> None:
        job_id, partition, generation = job.job_id, move.partition, job.next_generation(move.partition)
        for moving in job.moves:
            self._hosts.propose(MoveAbandoned(epoch=epoch, job_id=job_id, partition=moving))
        pinned = ((move.target, node),)
        self._hosts.propose(AssignmentChanged(epoch=epoch, job_id=job_id, owners=(), host_nodes=pinned))
        source = self._hosts.open_owner(epoch, job, partition)
        target = self._deployment.start_host(job_id, move.target, job.spec, node)
        target.ready().wait(OPEN_TIMEOUT_S)
        self._make_room(epoch, job, partition, node)
        self._hosts.propose(
            MoveStarted(epoch=epoch, job_id=job_id, partition=partition, source=move.source, target=move.target)
        )
        copy_shard(source, target, epoch, partition, generation, now_us)
        source.release(epoch, [partition], now_us()).wait(OPEN_TIMEOUT_S)
        # Opened at this generation when it is asked, or when the job runs again.
        self._hosts.propose(
            MoveFinished(epoch=epoch, job_id=job_id, partition=partition, target=move.target, generation=generation)
        )
        log.info("a partition of a job that does not run has moved", extra={"job": job_id, "partition": partition})

    def _make_room(self, epoch: int, job: Job, partition: int, node: str) -> None:
        """Let a node give up a second copy that is not to take over: the shard comes to its place."""
        record = job.standbys.get(partition)
        if record is None or job.host_nodes.get(record.host) != node:
            return
        host = self._deployment.find_host(job.job_id, record.host)
        if host is not None:
            host.release(epoch, [partition], now_us()).wait(OPEN_TIMEOUT_S)

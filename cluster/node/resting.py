"""Moving what jobs that do not run have on nodes that leave: nobody else does, since they have no runner.

One partition after the other, by the same steps as `cluster.leader.moves`: the group is told, the shard is copied to a
host of another node, and the group is told again. Interrupted anywhere, the partition is where the group says. Where
there is a second copy with all that the shard has, it is the shard from then on, and nothing is copied. So it is with
partitions on a node that has not answered for long; of jobs that run, their leader's core decides.
"""

import logging
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from actors.errors import TocsinError
from cluster.deployment.deploy import RayHost
from cluster.deployment.node_deployment import NodeDeployment
from cluster.errors import ClusterError
from cluster.leader.acceptances import KnownValues
from cluster.leader.copying import copy_shard
from cluster.leader.limits import LeaderLimits
from cluster.leader.placement import Move, place_hosts, plan_moves, wanted_hosts
from cluster.leader.runner import now_us
from cluster.leader.supervisor import Leader
from cluster.node.group_port import NodeGroup
from cluster.node.lingering import HostUse
from raft.commands import (
    AssignmentChanged,
    Command,
    MoveAbandoned,
    MoveFinished,
    MoveStarted,
    Refused,
    StandbyPromoted,
    request_id,
)
from raft.group import GroupState, Job, JobStatus

log = logging.getLogger(__name__)

LOOK_S: Final = 0.5
"""Seconds between two looks."""

RETRY_S: Final = 5.0
"""Pause after something went wrong."""

LOST_S: Final = LeaderLimits().node_lost_us / 1e6
"""Seconds after which a node that is away is not waited for, as for jobs that run."""

OPEN_TIMEOUT_S: Final = 60.0
"""Seconds that hosts have to start, to open shards and to give them up."""


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


class Silence:
    """For how long nodes have not answered."""

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}

    def look(self, nodes: Collection[str], answering: Collection[str], now_s: float) -> frozenset[str]:
        """Take which of the nodes answer, and return those that have not for `LOST_S`."""
        self._since_s = {node: self._since_s.get(node, now_s) for node in set(nodes) - set(answering)}
        return frozenset(node for node, since_s in self._since_s.items() if now_s - since_s >= LOST_S)


class RestingMover:
    """Looks, while its process leads, whether something has to move."""

    def __init__(self, leader: Leader, deployment: NodeDeployment, group: NodeGroup, use: HostUse) -> None:
        self._leader = leader
        self._use = use
        self._deployment = deployment
        self._group = group
        self._silence = Silence()

    def start(self) -> None:
        """Look for ever, in a thread of its own."""
        threading.Thread(target=self._run, name="resting", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_S)
            try:
                self._look()
            except Exception:
                log.exception("partitions of a job that does not run stay on a node that leaves")
                time.sleep(RETRY_S)

    def _look(self) -> None:
        epoch, state = self._group.led_epoch(), self._group.state()
        there = self._deployment.present_nodes()
        away = self._silence.look(state.nodes, there | self._deployment.answering_nodes(), time.monotonic())
        leaving = {name for name, node in state.nodes.items() if node.is_draining}
        if epoch is None or not (leaving or away):
            return
        fit = tuple(sorted(name for name in there if name in state.nodes and not state.nodes[name].is_draining))
        for job in state.jobs.values():
            if job.status is JobStatus.RUNNING:
                continue
            lost = next_promotion(job, away, fit)
            if lost is not None:
                self._take_over(epoch, job, lost)
                return
            copied, found = next_promotion(job, leaving, fit), next_move(state, job, fit)
            if copied is None and found is None:
                continue
            # Its hosts are not given back on the way.
            with self._use.asking(job.job_id):
                if copied is not None and self._promote(epoch, job, copied):
                    return
                if found is not None:
                    self._move(epoch, job, *found)
                    # The state is another one now.
                    return

    def _promote(self, epoch: int, job: Job, partition: int) -> bool:
        """Let a second copy be the shard if it has as much; return whether it is."""
        owner = job.owners[partition]
        source = self._deployment.start_host(job.job_id, owner, job.spec, job.host_nodes[owner])
        self._open_at_rest(epoch, job, owner, source)
        try:
            reached = self._reached_by_copy(epoch, job, partition)
        except TocsinError as error:
            log.warning("a standby is of no use", extra={"job": job.job_id, "reason": str(error)})
            return False
        shard = next(one for one in source.query("stat").wait(OPEN_TIMEOUT_S) if one.partition == partition)
        if any(reached.get(split, 0) < offset for split, offset in shard.committed.items()):
            log.warning("a standby lacks rows", extra={"job": job.job_id, "partition": partition})
            return False
        source.release(epoch, [partition], now_us()).wait(OPEN_TIMEOUT_S)
        self._take_over(epoch, job, partition)
        return True

    def _take_over(self, epoch: int, job: Job, partition: int) -> None:
        record, job_id = job.standbys[partition], job.job_id
        generation = record.generation
        self._propose(
            StandbyPromoted(epoch=epoch, job_id=job_id, partition=partition, host=record.host, generation=generation)
        )
        log.info("a standby of a job that does not run is the shard", extra={"job": job_id, "partition": partition})

    def _reached_by_copy(self, epoch: int, job: Job, partition: int) -> Mapping[int, int]:
        """Return the offsets up to which the second copy of a partition has everything, by split."""
        record, known = job.standbys[partition], KnownValues()
        known.see(job)
        host = self._deployment.start_host(job.job_id, record.host, job.spec, job.host_nodes[record.host])
        others = [number for number, one in job.standbys.items() if one.host == record.host]
        arguments = (epoch, partition, record.generation, others, now_us(), known.all)
        copy = host.stand_by(*arguments).wait(OPEN_TIMEOUT_S)
        # Whoever is asked for it, or runs the job, opens it again.
        host.release(epoch, [partition], now_us()).wait(OPEN_TIMEOUT_S)
        return copy.reached

    def _open_at_rest(self, epoch: int, job: Job, owner: str, host: RayHost) -> None:
        # All of them, since a host that hears of a new epoch gives up those that are not named.
        owned = [number for number, name in enumerate(job.owners) if name == owner]
        generations = {number: job.generations[number] for number in owned}
        host.open_at_rest(epoch, owned, now_us(), generations).wait(OPEN_TIMEOUT_S)

    def _move(self, epoch: int, job: Job, move: Move, node: str) -> None:
        job_id, partition, generation = job.job_id, move.partition, job.next_generation(move.partition)
        for moving in job.moves:
            self._propose(MoveAbandoned(epoch=epoch, job_id=job_id, partition=moving))
        pinned = ((move.target, node),)
        self._propose(AssignmentChanged(epoch=epoch, job_id=job_id, owners=(), host_nodes=pinned))
        source = self._deployment.start_host(job_id, move.source, job.spec, job.host_nodes[move.source])
        target = self._deployment.start_host(job_id, move.target, job.spec, node)
        self._open_at_rest(epoch, job, move.source, source)
        target.ready().wait(OPEN_TIMEOUT_S)
        self._make_room(epoch, job, partition, node)
        self._propose(
            MoveStarted(epoch=epoch, job_id=job_id, partition=partition, source=move.source, target=move.target)
        )
        copy_shard(source, target, epoch, partition, generation, now_us)
        source.release(epoch, [partition], now_us()).wait(OPEN_TIMEOUT_S)
        # Opened at this generation when it is asked, or when the job runs again.
        self._propose(
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

    def _propose(self, command: Command) -> None:
        answer = self._leader.propose(replace(command, request_id=request_id()))
        if isinstance(answer, Refused):
            raise ClusterError(answer.reason)

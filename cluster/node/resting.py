"""Moving what jobs that do not run have on nodes that leave: nobody else does, since they have no runner.

One partition after the other, by the same steps as `cluster.leader.moves`: the group is told, the shard is copied to a
host of another node, and the group is told again. Interrupted anywhere, the partition is where the group says.
"""

import logging
import threading
import time
import uuid
from dataclasses import replace
from typing import Final

from cluster.deployment.node_deployment import NodeDeployment
from cluster.errors import ClusterError
from cluster.leader.copying import copy_shard
from cluster.leader.placement import Move, place_hosts, plan_moves, wanted_hosts
from cluster.leader.runner import now_us
from cluster.leader.supervisor import Leader
from cluster.node.group_port import NodeGroup
from raft.commands import AssignmentChanged, Command, MoveAbandoned, MoveFinished, MoveStarted, Refused
from raft.group import GroupState, Job, JobStatus

log = logging.getLogger(__name__)

LOOK_S: Final = 0.5
"""Seconds between two looks."""

RETRY_S: Final = 5.0
"""Pause after something went wrong."""

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


class RestingMover:
    """Looks, while its process leads, whether something has to move."""

    def __init__(self, leader: Leader, deployment: NodeDeployment, group: NodeGroup) -> None:
        self._leader = leader
        self._deployment = deployment
        self._group = group

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
        if epoch is None or not any(node.is_draining for node in state.nodes.values()):
            return
        there = self._deployment.present_nodes()
        fit = tuple(sorted(name for name in there if name in state.nodes and not state.nodes[name].is_draining))
        for job in state.jobs.values():
            found = None if job.status is JobStatus.RUNNING else next_move(state, job, fit)
            if found is not None:
                self._move(epoch, job, *found)
                # The state is another one now.
                return

    def _move(self, epoch: int, job: Job, move: Move, node: str) -> None:
        job_id, partition, generation = job.job_id, move.partition, job.next_generation(move.partition)
        for moving in job.moves:
            self._propose(MoveAbandoned(epoch=epoch, job_id=job_id, partition=moving))
        pinned = ((move.target, node),)
        self._propose(AssignmentChanged(epoch=epoch, job_id=job_id, owners=(), host_nodes=pinned))
        source = self._deployment.start_host(job_id, move.source, job.spec, job.host_nodes[move.source])
        target = self._deployment.start_host(job_id, move.target, job.spec, node)
        owned = [number for number, owner in enumerate(job.owners) if owner == move.source]
        generations = {number: job.generations[number] for number in owned}
        source.open_at_rest(epoch, owned, now_us(), generations).wait(OPEN_TIMEOUT_S)
        target.ready().wait(OPEN_TIMEOUT_S)
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

    def _propose(self, command: Command) -> None:
        answer = self._leader.propose(replace(command, request_id=uuid.uuid4().hex))
        if isinstance(answer, Refused):
            raise ClusterError(answer.reason)

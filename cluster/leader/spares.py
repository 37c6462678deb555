"""Spares: hosts that start ahead on other nodes, for when a node that is away is lost. Pure.

A process takes seconds to start, and a node is lost only after ten seconds of silence: both pass at the same time. A
spare has nothing open and owns nothing until the group takes the partitions from the node. When the node is back before
that, its spares are ended like all hosts that own nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cluster.leader.desk import Desk
from cluster.leader.instructions import PrepareHost
from cluster.leader.nodes import NodeWatch
from cluster.leader.placement import assign
from raft.commands import NodeLost
from raft.group import GroupState, apply


class Spares:
    """The spares of one job under one epoch."""

    def __init__(self, desk: Desk, job_id: str, epoch: int, nodes: NodeWatch) -> None:
        self._desk = desk
        self._job_id = job_id
        self._epoch = epoch
        self._nodes = nodes
        self._places: dict[str, str] = {}

    @property
    def places(self) -> Mapping[str, str]:
        """Node of each spare."""
        return self._places

    def prepare(self, state: GroupState, away: Sequence[str]) -> bool:
        """Have those started that the job needs if these nodes are lost; return whether none is needed any more."""
        wanted = self._wanted(state, away) if away else {}
        for host, node in sorted(wanted.items() - self._places.items()):
            self._desk.say(PrepareHost(host=host, node=node))
        is_over = bool(self._places) and not wanted
        self._places = wanted
        return is_over

    def _wanted(self, state: GroupState, away: Sequence[str]) -> dict[str, str]:
        after = replace(state, jobs={self._job_id: state.jobs[self._job_id]})
        for node in away:
            after, _ = apply(after, NodeLost(epoch=self._epoch, node=node))
        job, nodes = after.jobs[self._job_id], self._nodes
        # What was chosen stays, though loads may change meanwhile.
        _, pinned = assign(job.owners, job.host_count, nodes.leaving, job.host_nodes, nodes.fit, self._places)
        return pinned

    def forget(self) -> None:
        """Know that they own something now, or are ended by others."""
        self._places = {}

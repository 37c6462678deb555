"""Second copies of jobs that do not run: made where they are missing, since nobody feeds them rows any more.

A job does not wait for long for its copies when it ends, a machine with copies may die while it rests, and a copy that
took over from a machine leaves none behind. One that is named and not ready is looked at first: it may have everything,
as after a restart of its machine. Otherwise the owner's shard is copied under the next generation, and the group is
told when the copy is whole. One is made at a time; what goes wrong with one keeps no other from being made.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from actors.errors import TocsinError
from cluster.deployment.deploy import RayHost
from cluster.errors import ClusterError
from cluster.leader.copying import copy_shard
from cluster.leader.reach import is_near
from cluster.leader.runner import now_us
from cluster.leader.standby_places import place_standbys
from cluster.leader.supervisor import Leader
from cluster.node.group_port import NodeGroup
from cluster.node.lingering import HostUse
from cluster.node.resting_hosts import OPEN_TIMEOUT_S, RestingHosts
from config.settings import JobSettings
from raft.commands import AssignmentChanged, StandbyPlaced
from raft.errors import RaftError
from raft.group import GroupState, Job, JobStatus

log = logging.getLogger(__name__)

PAUSE_S: Final = 5.0
"""Before a copy that could not be made is tried again; doubled with every failure in a row."""

PAUSE_S_MAX: Final = 300.0
"""The longest of these pauses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingCopy:
    """A second copy that is to be made."""

    partition: int

    host: str

    node: str
    """Where the host is, or shall be."""


def missing_copies(job: Job, fit: Sequence[str], given_up: Collection[str]) -> list[MissingCopy]:
    """Return the second copies that a job shall have, has not, and could have now, by partition.

    `fit` are the nodes that may have its hosts, those to be used first at the beginning. Copies on nodes that are
    `given_up` are made elsewhere; those on other nodes that are away are waited for.
    """
    owners = {partition: owner for partition, owner in enumerate(job.owners) if owner}
    named = {partition: record.host for partition, record in job.standbys.items() if record.host}
    placed, pinned = place_standbys(owners, named, job.host_nodes, fit, given_up)
    places = {**job.host_nodes, **pinned}
    return [
        MissingCopy(partition=partition, host=host, node=places[host])
        for partition, host in sorted(placed.items())
        if not (named.get(partition) == host and job.standbys[partition].is_ready)
        and job.node_of(partition) in fit
        and places[host] in fit
    ]


@lru_cache(maxsize=256)
def copies_wanted(spec: bytes) -> tuple[bool, tuple[tuple[str, ...], ...]]:
    """Return whether a job wants second copies, and the nodes that its hosts are tied to."""
    settings = JobSettings.from_bytes(spec)
    return settings.standby > 0, settings.host_ties


def emptiest_first(state: GroupState, nodes: Collection[str]) -> tuple[str, ...]:
    """Return nodes, those first that have the fewest shards and second copies of all jobs."""
    load = Counter[str]()
    for job in state.jobs.values():
        load.update(filter(None, map(job.node_of, range(job.partition_count))))
        load.update(job.host_nodes[record.host] for record in job.standbys.values() if record.host)
    return tuple(sorted(nodes, key=lambda node: (load[node], node)))


class RestingCopies:
    """Makes them, while its process leads."""

    def __init__(
        self,
        leader: Leader,
        group: NodeGroup,
        hosts: RestingHosts,
        use: HostUse,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leader = leader
        self._group = group
        self._hosts = hosts
        self._use = use
        self._clock_s = clock_s
        self._pauses: dict[tuple[str, int], tuple[float, float]] = {}
        """When what has failed is tried again, and how long the pause before is."""
        self._had_all: GroupState | None = None
        """State in which no copy was missing, when nodes were as `_had_all_with` says."""
        self._had_all_with: object = None

    def look(self, epoch: int, state: GroupState, fit: Collection[str], given_up: Collection[str]) -> bool:
        """Make one copy that is missing, if there is any; return whether one was made.

        `given_up` are nodes whose copies are not waited for: they leave, or are away for good as far as anybody knows.
        """
        seen = (frozenset(fit), frozenset(given_up))
        if self._had_all is state and self._had_all_with == seen:
            return False
        found = [(job, missing) for job in self._resting(state) for missing in self._missing(state, job, fit, given_up)]
        keys = {(job.job_id, missing.partition) for job, missing in found}
        self._pauses = {key: pause for key, pause in self._pauses.items() if key in keys}
        for job, missing in found:
            if self._is_due(job, missing) and self._try(epoch, job, missing):
                # The state is another one now.
                return True
        if not found and not any(map(self._leader.runs, state.jobs)):
            self._had_all, self._had_all_with = state, seen
        return False

    def _missing(
        self, state: GroupState, job: Job, fit: Collection[str], given_up: Collection[str]
    ) -> list[MissingCopy]:
        _, ties = copies_wanted(job.spec)
        near = [node for node in emptiest_first(state, fit) if all(is_near(node, tie, state.nodes) for tie in ties)]
        return missing_copies(job, near, given_up)

    def _resting(self, state: GroupState) -> list[Job]:
        """Return the jobs that want copies, and have nobody who makes them."""
        return [
            job
            for job in state.jobs.values()
            if job.status is not JobStatus.RUNNING
            and copies_wanted(job.spec)[0]
            and not job.moves
            and not self._leader.runs(job.job_id)
        ]

    def _is_due(self, job: Job, missing: MissingCopy) -> bool:
        due_s, _ = self._pauses.get((job.job_id, missing.partition), (0.0, 0.0))
        return due_s <= self._clock_s()

    def _try(self, epoch: int, job: Job, missing: MissingCopy) -> bool:
        key = (job.job_id, missing.partition)
        details = {"job": job.job_id, "partition": missing.partition, "host": missing.host, "node": missing.node}
        try:
            with self._use.asking(job.job_id):
                self._make(epoch, job, missing)
        except (TocsinError, RaftError) as error:
            _, before_s = self._pauses.get(key, (0.0, 0.0))
            pause_s = min(max(2 * before_s, PAUSE_S), PAUSE_S_MAX)
            self._pauses[key] = (self._clock_s() + pause_s, pause_s)
            log.warning("a second copy could not be made", extra={**details, "reason": str(error)})
            return False
        self._pauses.pop(key, None)
        log.info("a job that does not run has a second copy again", extra=details)
        return True

    def _make(self, epoch: int, job: Job, missing: MissingCopy) -> None:
        partition, host = missing.partition, missing.host
        owner = self._hosts.open_owner(epoch, job, partition)
        record = job.standbys.get(partition)
        if record is not None and record.host == host and self._has_all(epoch, job, partition, owner):
            self._place(epoch, job, missing, record.generation, is_ready=True)
            return
        if job.host_nodes.get(host) != missing.node:
            pinned = ((host, missing.node),)
            self._hosts.propose(AssignmentChanged(epoch=epoch, job_id=job.job_id, owners=(), host_nodes=pinned))
        # Named before, so that the node does not take what it gets for a copy that is left over.
        generation = job.next_generation(partition)
        self._place(epoch, job, missing, generation, is_ready=False)
        target = self._hosts.start(job, host, missing.node)
        target.ready().wait(OPEN_TIMEOUT_S)
        copy_shard(owner, target, epoch, partition, generation, now_us)
        self._place(epoch, job, missing, generation, is_ready=True)

    def _has_all(self, epoch: int, job: Job, partition: int, owner: RayHost) -> bool:
        try:
            return self._hosts.copy_has_all(epoch, job, partition, owner)
        except TocsinError as error:
            log.info("a second copy is made anew", extra={"job": job.job_id, "reason": str(error)})
            return False

    def _place(self, epoch: int, job: Job, missing: MissingCopy, generation: int, *, is_ready: bool) -> None:
        """Have the group name a copy.

        Raises:
            ClusterError: the job runs again, so its copies are its leader's business.
        """
        now = self._group.state().jobs.get(job.job_id)
        if now is None or now.status is JobStatus.RUNNING:
            raise ClusterError("the job runs again, or was removed")
        self._hosts.propose(
            StandbyPlaced(
                epoch=epoch,
                job_id=job.job_id,
                partition=missing.partition,
                host=missing.host,
                generation=generation,
                is_ready=is_ready,
            )
        )

"""Calls that a leader's process answers: what it does, and what hosts have, for those who know nothing of Ray."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from actors.errors import NotOpenError
from cluster.allowed import allowed_here
from cluster.deployment.node_deployment import NodeDeployment
from cluster.errors import ClusterError, NoAnswerError, NodeAwayError, SilentHostError
from cluster.leader.status import LeaderStatus
from cluster.leader.supervisor import Leader
from cluster.node.files_here import missing_here
from cluster.node.group_port import NodeGroup
from cluster.node.lingering import HostUse
from cluster.node.resting import next_promotion
from cluster.node.silence import Silence
from raft.group import JobStatus

HOST_CALLS: Final = frozenset({"ask", "crash", "pid", "stat"})
"""What may be called of a host: it reads, beside the stream of batches, or dies."""

_ASIDE: Final = frozenset({"crash", "pid", "stat"})
"""What keeps no host from being given back: `tocsin status` looks at whatever is open."""


class LeaderCalls:
    """The calls of one process."""

    def __init__(
        self, leader: Leader, deployment: NodeDeployment, group: NodeGroup, use: HostUse, silence: Silence
    ) -> None:
        self._use = use
        self._silence = silence
        self._leader = leader
        self._deployment = deployment
        self._group = group

    @property
    def by_name(self) -> Mapping[str, Callable[..., Any]]:
        """The calls."""
        return {
            "leader_status": self.leader_status,
            "ask_host": self.ask_host,
            "open_at_rest": self.open_at_rest,
            "end_hosts": self.end_hosts,
            "missing_here": self.missing_here,
        }

    def leader_status(self) -> LeaderStatus | None:
        """Return what this process does as leader, or `None` when it stands by."""
        return self._leader.status()

    def ask_host(self, job_id: str, host: str, method: str, arguments: Sequence[Any], timeout_s: float) -> Any:
        """Return what a host answers.

        Raises:
            NotOpenError: there is no such host.
            SilentHostError: it did not answer in time.
            NodeAwayError: the job does not run, and the host's node has been away for long.
        """
        if method not in HOST_CALLS:
            raise ClusterError(f"{method!r} cannot be asked of a host")
        if method in _ASIDE:
            return self._ask_host(job_id, host, method, arguments, timeout_s)
        self._check_node(job_id, host)
        with self._use.asking(job_id):
            return self._ask_host(job_id, host, method, arguments, timeout_s)

    def _ask_host(self, job_id: str, host: str, method: str, arguments: Sequence[Any], timeout_s: float) -> Any:
        with self._deployment.asking_ray():
            found = self._deployment.find_host(job_id, host)
            if found is None:
                raise NotOpenError(f"host {host!r} of job {job_id!r} does not run")
            reply = found.query(method, *arguments)
        if method == "crash":
            # A host that is to die answers nothing.
            return None
        try:
            return reply.wait(timeout_s)
        except NoAnswerError as error:
            raise SilentHostError(f"{host} of job {job_id!r} does not answer: {error}") from error

    def open_at_rest(self, job_id: str, host: str, timeout_s: float) -> None:
        """Open the partitions of a host of a job that nobody runs, so that they can be asked.

        Raises:
            ShardLostError: a shard is gone, damaged or another one.
            SilentHostError: its node does not answer.
            NodeAwayError: it has not for long.
        """
        self._check_node(job_id, host)
        with self._use.asking(job_id):
            self._open_at_rest(job_id, host, timeout_s)

    def _open_at_rest(self, job_id: str, host: str, timeout_s: float) -> None:
        state = self._group.state()
        job = state.jobs.get(job_id)
        if job is None:
            raise NotOpenError(f"job {job_id!r} is not known here yet")
        node = job.host_nodes.get(host, "")
        if node and node not in self._group.answering_nodes():
            raise SilentHostError(f"{node}, which has partitions of job {job_id!r}, does not answer")
        with self._deployment.asking_ray():
            started = self._deployment.start_host(job_id, host, job.spec, node)
        # All of them, since a host that hears of a new epoch gives up those that are not named.
        owned = [number for number, owner in enumerate(job.owners) if owner == host]
        generations = {number: job.generations[number] for number in owned}
        started.open_at_rest(state.epoch, owned, time.time_ns() // 1000, generations).wait(timeout_s)

    def _check_node(self, job_id: str, host: str) -> None:
        """Check that what a job that rests has on a host's node may be waited for: it is nowhere else.

        A second copy on a node that answers takes its place as soon as Ray is there.

        Raises:
            NodeAwayError: the node has been away for long.
        """
        job = self._group.state().jobs.get(job_id)
        if job is None or job.status is JobStatus.RUNNING or host not in job.owners:
            # Whoever asks one that owns nothing any more knows it in a moment.
            return
        node = job.host_nodes.get(host, "")
        away_s = self._silence.lost_s(node)
        if away_s is None or next_promotion(job, {node}, tuple(self._deployment.answering_nodes())) is not None:
            return
        raise NodeAwayError(
            f"{node}, which has partitions of job {job_id!r}, has not answered for {away_s:.0f} s: start it, or give "
            f"up what it has by `tocsin member expel {node}`"
        )

    def missing_here(self, paths: Sequence[str]) -> str | None:
        """Return why files cannot be read on this node, or `None` when they can."""
        return missing_here(paths, allowed_here())

    def end_hosts(self, job_id: str) -> None:
        """End all hosts of a job."""
        with self._deployment.asking_ray():
            self._deployment.end_hosts(job_id, ())

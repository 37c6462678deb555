"""Hosts of jobs that do not run, as the leading process uses them to move and to copy what they have."""

from dataclasses import replace
from typing import Final

from cluster.deployment.deploy import RayHost
from cluster.deployment.node_deployment import NodeDeployment
from cluster.errors import ClusterError
from cluster.leader.acceptances import KnownValues
from cluster.leader.runner import now_us
from cluster.leader.supervisor import Leader
from raft.commands import Command, Refused, request_id
from raft.group import Job

OPEN_TIMEOUT_S: Final = 60.0
"""Seconds that hosts have to start, to open shards and to give them up."""


class RestingHosts:
    """Starts and opens them, and tells the group what has changed; who calls keeps them from being given back."""

    def __init__(self, leader: Leader, deployment: NodeDeployment) -> None:
        self._leader = leader
        self._deployment = deployment

    def start(self, job: Job, host: str, node: str) -> RayHost:
        """Return a host, started when it does not exist."""
        return self._deployment.start_host(job.job_id, host, job.spec, node)

    def open_owner(self, epoch: int, job: Job, partition: int) -> RayHost:
        """Return the host that has a partition, with all that it owns open.

        Raises:
            ShardLostError: a shard is gone, damaged or another one.
            NoAnswerError: it does not answer.
        """
        owner = job.owners[partition]
        host = self.start(job, owner, job.host_nodes[owner])
        # All of them, since a host that hears of a new epoch gives up those that are not named.
        owned = [number for number, name in enumerate(job.owners) if name == owner]
        generations = {number: job.generations[number] for number in owned}
        host.open_at_rest(epoch, owned, now_us(), generations).wait(OPEN_TIMEOUT_S)
        return host

    def copy_has_all(self, epoch: int, job: Job, partition: int, owner: RayHost) -> bool:
        """Whether the second copy of a partition has all rows that the shard has, which its owner has open.

        Raises:
            TocsinError: what its host says, as when there is no copy that can be opened.
        """
        record, known = job.standbys[partition], KnownValues()
        known.see(job)
        host = self.start(job, record.host, job.host_nodes[record.host])
        others = [number for number, one in job.standbys.items() if one.host == record.host]
        arguments = (epoch, partition, record.generation, others, now_us(), known.all)
        reached = host.stand_by(*arguments).wait(OPEN_TIMEOUT_S).reached
        # Whoever is asked for it, or runs the job, opens it again.
        host.release(epoch, [partition], now_us()).wait(OPEN_TIMEOUT_S)
        shard = next(one for one in owner.query("stat").wait(OPEN_TIMEOUT_S) if one.partition == partition)
        return all(reached.get(split, 0) >= offset for split, offset in shard.committed.items())

    def propose(self, command: Command) -> None:
        """Have the group accept a command.

        Raises:
            ClusterError: it is refused, since something has changed.
            RaftError: it was not answered in time.
        """
        answer = self._leader.propose(replace(command, request_id=request_id()))
        if isinstance(answer, Refused):
            raise ClusterError(answer.reason)

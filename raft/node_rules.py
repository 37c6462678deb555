"""Rules about nodes: who belongs to the cluster, who is lost, and who carries Ray's head."""

from dataclasses import replace

from raft.commands import HeadAssigned, HeadStarted, JobsChanged, NodeDrained, NodeJoined, NodeLeft, NodeLost
from raft.records import NODE_COUNT_MAX, NODE_TEXT_LENGTH_MAX, GroupState, HeadRecord, Job, JobStatus, NodeRecord
from raft.rules import Applied, RefusalError, raised
from raft.standby_rules import promoted, settled


def join(state: GroupState, command: NodeJoined) -> Applied:
    """Take a node, or what it says of itself now; one that drains goes on with it, unless its directory is another."""
    if not command.node:
        raise RefusalError(f"the node at {command.address!r} needs a name")
    said = (command.node, command.address, command.directory, command.machine, command.incarnation)
    if max(map(len, said)) > NODE_TEXT_LENGTH_MAX:
        longest = max(said, key=len)
        raise RefusalError(f"{longest[:40]!r}... takes {len(longest)} characters, allowed are {NODE_TEXT_LENGTH_MAX}")
    others = {name: node for name, node in state.nodes.items() if name != command.node}
    if len(others) >= NODE_COUNT_MAX:
        raise RefusalError(f"the group has {NODE_COUNT_MAX} nodes, its limit; let one leave first")
    for name, node in others.items():
        if node.address == command.address:
            raise RefusalError(f"node {name!r} is at {node.address} already; let it leave, or choose another address")
    known = state.nodes.get(command.node)
    is_same = known is not None and known.incarnation == command.incarnation
    node = NodeRecord(
        address=command.address,
        directory=command.directory,
        machine=command.machine,
        carries_ray=command.carries_ray,
        is_voter=command.is_voter,
        is_draining=known is not None and is_same and known.is_draining,
        incarnation=command.incarnation,
    )
    return replace(state, nodes={**state.nodes, command.node: node}), ()


def drain(state: GroupState, command: NodeDrained) -> Applied:
    """Let a node give up all that it has."""
    node = replace(_node(state, command.node), is_draining=True)
    return replace(state, nodes={**state.nodes, command.node: node}), ()


def leave(state: GroupState, command: NodeLeft) -> Applied:
    """Forget a node that has nothing any more."""
    _node(state, command.node)
    if state.head is not None and state.head.node == command.node:
        raise RefusalError(f"node {command.node!r} carries Ray's head; let another node carry it first")
    jobs = {}
    for job_id, job in state.jobs.items():
        held, gone = job.partitions_on(command.node), _hosts_on(job, command.node)
        if held:
            raise RefusalError(f"node {command.node!r} has partition {held[0]} of job {job_id!r}; drain it first")
        jobs[job_id] = settled(replace(job, host_nodes=_without_hosts(job, gone))) if gone else job
    return replace(state, jobs=jobs, nodes=_without_node(state, command.node)), ()


def lose(state: GroupState, command: NodeLost) -> Applied:
    """Take hosts, and the partitions that they own, away from a node that is not there."""
    _node(state, command.node)
    changed = {
        job_id: _without_lost(job, command.node)
        if command.is_for_good or job.status is JobStatus.RUNNING
        else _taken_over(job, command.node)
        for job_id, job in state.jobs.items()
    }
    ids = tuple(sorted(job_id for job_id, job in changed.items() if job is not state.jobs[job_id]))
    return replace(state, jobs=changed), (JobsChanged(job_ids=ids),) if ids else ()


def assign_head(state: GroupState, command: HeadAssigned) -> Applied:
    """Name the node that carries Ray's next head."""
    node = _node(state, command.node)
    if not node.carries_ray:
        raise RefusalError(f"node {command.node!r} does not carry Ray; choose one that does")
    if node.is_draining:
        raise RefusalError(f"node {command.node!r} is draining; choose one that stays")
    generation = 1 if state.head is None else state.head.generation + 1
    return replace(state, head=HeadRecord(node=command.node, generation=generation, address="")), ()


def start_head(state: GroupState, command: HeadStarted) -> Applied:
    """Take the word of the head's node about where it listens."""
    head = state.head
    if head is None or (head.node, head.generation) != (command.node, command.generation):
        named = "nobody" if head is None else f"{head.node!r} with generation {head.generation}"
        raise RefusalError(
            f"head {command.generation} of node {command.node!r} is not the current one, which is {named}; end it"
        )
    if not 1 <= len(command.address) <= NODE_TEXT_LENGTH_MAX:
        raise RefusalError(f"{command.address[:40]!r} is no address of a head; give host and port")
    return replace(state, head=replace(head, address=command.address)), ()


def _node(state: GroupState, name: str) -> NodeRecord:
    node = state.nodes.get(name)
    if node is None:
        raise RefusalError(f"there is no node {name!r}, only {', '.join(sorted(state.nodes)) or 'none at all'}")
    return node


def _hosts_on(job: Job, node: str) -> set[str]:
    return {host for host, known in job.host_nodes.items() if known == node}


def _without_hosts(job: Job, gone: set[str]) -> dict[str, str]:
    return {host: node for host, node in job.host_nodes.items() if host not in gone}


def _without_node(state: GroupState, name: str) -> dict[str, NodeRecord]:
    return {known: node for known, node in state.nodes.items() if known != name}


def _taken_over(job: Job, node: str) -> Job:
    """Return a job that does not run after the loss of a node: it keeps all for which no standby is ready."""
    for partition, standby in job.standbys.items():
        if job.node_of(partition) == node and standby.is_ready:
            job = promoted(job, partition)
    return job


def _without_lost(job: Job, node: str) -> Job:
    """Return a job after the loss of a node, whose standbys take over; the same one if it had nothing there."""
    gone = _hosts_on(job, node)
    if not gone:
        return job
    lost = {
        partition: ("", job.next_generation(partition)) for partition, owner in enumerate(job.owners) if owner in gone
    }
    for partition in lost:
        standby = job.standbys.get(partition)
        if standby is not None and standby.is_ready and standby.host not in gone:
            lost[partition] = (standby.host, standby.generation)
    changed = replace(
        job,
        owners=tuple(lost.get(partition, (owner, 0))[0] for partition, owner in enumerate(job.owners)),
        moves={moving: target for moving, target in job.moves.items() if moving not in lost and target not in gone},
        host_nodes=_without_hosts(job, gone),
        generations=raised(job, {partition: generation for partition, (_, generation) in lost.items()}),
    )
    return settled(changed)

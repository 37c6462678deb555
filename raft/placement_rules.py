"""Rules about where partitions are: owners, moves, and the generations of shards.

A shard is a file of one node. So its partition changes hosts on that node with the file, and to another node only with
a copy, whose generation is greater; one that loses its owner in any other way gets a greater generation at once.
"""

from collections.abc import Mapping
from dataclasses import replace

from raft.commands import AssignmentChanged, MoveAbandoned, MoveFinished, MoveStarted, ShardRebuilt
from raft.records import GroupState, Job
from raft.rules import Applied, RefusalError, check_partition, find_job, raised, with_job
from raft.standby_rules import settled


def assign(state: GroupState, command: AssignmentChanged) -> Applied:
    """Give partitions their owners, and hosts their nodes."""
    job = find_job(state, command.job_id)
    host_nodes = _pinned(state, job, command)
    owners, generations = list(job.owners), dict(enumerate(job.generations))
    for partition, host in command.owners:
        check_partition(job, partition)
        if partition in job.moves:
            raise RefusalError(f"partition {partition} is moving; finish or abandon the move first")
        here, there = job.node_of(partition), host_nodes.get(host, "")
        if not host and here:
            # Whoever owns it next may be elsewhere, and what is here is not the shard then.
            generations[partition] = job.next_generation(partition)
        elif host and here and here != there:
            raise RefusalError(f"the shard of partition {partition} is on node {here!r}, not {there!r}; move it")
        elif host:
            generations[partition] = max(1, generations[partition])
        owners[partition] = host
    changed = replace(job, owners=tuple(owners), host_nodes=host_nodes, generations=raised(job, generations))
    return with_job(state, settled(changed))


def _pinned(state: GroupState, job: Job, command: AssignmentChanged) -> dict[str, str]:
    """Return the nodes of a job's hosts after a change."""
    host_nodes, given_up = dict(job.host_nodes), {partition for partition, host in command.owners if not host}
    for host, node in command.host_nodes:
        known = host_nodes.get(host, "")
        if not host:
            raise RefusalError(f"a host needs a name to run on node {node!r}")
        if node and node not in state.nodes:
            raise RefusalError(f"there is no node {node!r}, only {', '.join(sorted(state.nodes)) or 'none at all'}")
        if node and node != known and state.nodes[node].is_draining:
            raise RefusalError(f"node {node!r} is draining; choose another for {host!r}")
        held = sorted(_partitions_of(job, host) - given_up)
        if known and node != known and held:
            raise RefusalError(f"{host!r} has partition {held[0]} on node {known!r}; move it before {host!r} goes")
        host_nodes[host] = node
    return {host: node for host, node in host_nodes.items() if node}


def _partitions_of(job: Job, host: str) -> set[int]:
    """Return the partitions that a host owns, or shall own."""
    owned = {partition for partition, owner in enumerate(job.owners) if owner == host}
    return owned | {partition for partition, target in job.moves.items() if target == host}


def start_move(state: GroupState, command: MoveStarted) -> Applied:
    """Name the target of a partition; its owner stays."""
    job = find_job(state, command.job_id)
    check_partition(job, command.partition)
    if command.partition in job.moves:
        raise RefusalError(f"partition {command.partition} is moving to {job.moves[command.partition]!r} already")
    if not command.source or job.owners[command.partition] != command.source:
        raise RefusalError(f"partition {command.partition} is owned by {job.owners[command.partition]!r}")
    if not command.target or command.target == command.source:
        raise RefusalError(f"partition {command.partition} cannot move from {command.source!r} to {command.target!r}")
    return with_job(state, replace(job, moves={**job.moves, command.partition: command.target}))


def finish_move(state: GroupState, command: MoveFinished) -> Applied:
    """Make the target the owner, of the shard itself or of a copy."""
    job = _moving_job(state, command)
    partition, target = command.partition, command.target
    if job.moves[partition] != target:
        raise RefusalError(f"partition {partition} is moving to {job.moves[partition]!r}")
    here, there, present = job.node_of(partition), job.host_nodes.get(target, ""), job.generations[partition]
    generation = present if command.generation is None else command.generation
    if generation < present:
        raise RefusalError(f"generation {generation} of partition {partition} is over, the present one is {present}")
    if present < generation < job.next_generation(partition):
        raise RefusalError(f"generation {generation} of partition {partition} was that of a standby; take the next one")
    if here != there and here and generation == present:
        raise RefusalError(
            f"partition {partition} goes from node {here!r} to {there!r}: the copy needs a generation above {present}"
        )
    owners = list(job.owners)
    owners[partition] = target
    moved = replace(
        job,
        owners=tuple(owners),
        moves=_without(job.moves, partition),
        generations=raised(job, {partition: generation}),
    )
    return with_job(state, settled(moved))


def abandon_move(state: GroupState, command: MoveAbandoned) -> Applied:
    """Leave a partition with its owner."""
    job = _moving_job(state, command)
    return with_job(state, replace(job, moves=_without(job.moves, command.partition)))


def rebuild(state: GroupState, command: ShardRebuilt) -> Applied:
    """Let a partition's shard be another one; its owner stays."""
    job = find_job(state, command.job_id)
    check_partition(job, command.partition)
    free = job.next_generation(command.partition)
    if command.generation < free:
        raise RefusalError(
            f"partition {command.partition} has generation {free - 1} already; a new one needs {free} or more"
        )
    if command.partition in job.moves:
        raise RefusalError(f"partition {command.partition} is moving; finish or abandon the move first")
    return with_job(state, settled(replace(job, generations=raised(job, {command.partition: command.generation}))))


def _moving_job(state: GroupState, command: MoveFinished | MoveAbandoned) -> Job:
    """Return the job of a partition that must be moving."""
    job = find_job(state, command.job_id)
    if command.partition not in job.moves:
        raise RefusalError(f"partition {command.partition} is not moving")
    return job


def _without(moves: Mapping[int, str], partition: int) -> dict[int, str]:
    return {moving: target for moving, target in moves.items() if moving != partition}

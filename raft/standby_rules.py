"""Rules about standbys: the second copies of partitions' shards, each on another node than its shard.

A standby has a generation above that of the shard, so it takes over with a number that the copy it replaces does not
have. Whatever else changes a job's places ends with `settled`: a standby whose host is gone, or on the owner's node by
then, is none any more, and one whose number the shard has reached or passed gets a greater one. Its number stays used
up. Every copy holds what the rows up to its offsets make, so one with a new number only has to be told of it.
"""

from dataclasses import replace

from raft.commands import StandbyPlaced, StandbyPromoted
from raft.records import GroupState, Job, StandbyRecord
from raft.rules import Applied, RefusalError, check_partition, find_job, raised, with_job


def place(state: GroupState, command: StandbyPlaced) -> Applied:
    """Name the host of a second copy, or note that the copy is ready."""
    job = find_job(state, command.job_id)
    partition, host, generation = command.partition, command.host, command.generation
    check_partition(job, partition)
    known = job.standbys.get(partition)
    is_known = known is not None and (known.host, known.generation) == (host, generation)
    free = job.next_generation(partition)
    if not is_known and generation < free:
        raise RefusalError(f"generation {generation} of partition {partition} is used up; take {free} or a later one")
    if command.is_ready and not is_known:
        raise RefusalError(f"{host!r} has not been named for partition {partition} at generation {generation}")
    if host and host not in job.host_nodes:
        raise RefusalError(f"{host!r} has no node, so it can have no standby; name its node first")
    if host and (not job.owners[partition] or job.host_nodes[host] == job.node_of(partition)):
        raise RefusalError(f"the standby of partition {partition} needs another node than its owner's")
    record = StandbyRecord(host=host, generation=generation, is_ready=command.is_ready)
    return with_job(state, replace(job, standbys={**job.standbys, partition: record}))


def promote(state: GroupState, command: StandbyPromoted) -> Applied:
    """Make the second copy the shard; the owner of before is to have the second one, if it has a node."""
    job = find_job(state, command.job_id)
    partition, host, generation = command.partition, command.host, command.generation
    check_partition(job, partition)
    known = job.standbys.get(partition)
    if known is None or not host or (known.host, known.generation) != (host, generation):
        raise RefusalError(f"{host!r} with generation {generation} is not the standby of partition {partition}")
    return with_job(state, promoted(job, partition))


def promoted(job: Job, partition: int) -> Job:
    """Return a job in which the second copy of a partition, which there has to be, is the shard."""
    standby = job.standbys[partition]
    owners, former = list(job.owners), job.owners[partition]
    owners[partition] = standby.host
    changed = replace(
        job,
        owners=tuple(owners),
        moves={moving: target for moving, target in job.moves.items() if moving != partition},
        generations=raised(job, {partition: standby.generation}),
        standbys={**job.standbys, partition: StandbyRecord(host=former, generation=standby.generation + 1)},
    )
    return settled(changed)


def settled(job: Job) -> Job:
    """Return a job whose standbys fit its owners, hosts and generations again."""
    standbys = {}
    for partition, standby in job.standbys.items():
        node, generation = job.host_nodes.get(standby.host), job.generations[partition]
        if node is None or node == job.node_of(partition):
            if standby.generation > generation:
                standbys[partition] = StandbyRecord(host="", generation=standby.generation)
        elif standby.generation > generation:
            standbys[partition] = standby
        else:
            standbys[partition] = StandbyRecord(host=standby.host, generation=generation + 1)
    return replace(job, standbys=standbys)


def unsure(job: Job) -> dict[int, StandbyRecord]:
    """Return a job's standbys, none of which counts as ready."""
    return {partition: replace(standby, is_ready=False) for partition, standby in job.standbys.items()}

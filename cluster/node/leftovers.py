"""Copies of shards that a node still has although the current one is on another: after a move, or when it comes back.

They can never be opened as the current one, whatever becomes of them, because their generation is lower. They are
removed so that they take no room, once another node owns the partition.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from actors.shard.errors import ShardError
from actors.shard.generations import copies_beside, discard_below, unfinished_beside
from cluster.local.home import Home
from raft.group import GroupState

log = logging.getLogger(__name__)

SWEEP_S: Final = 2.0
"""Seconds between two looks for old copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OldCopies:
    """What a node may have of one partition, and needs no more."""

    job_id: str
    partition: int
    below: int
    """Copies of lower generations are old: that of a copy on another node, or above all that there have been."""


def old_copies(state: GroupState, node: str) -> Iterator[OldCopies]:
    """Yield the partitions of which the node has no copy that counts, nor shall have; another node has the shard."""
    for job in state.jobs.values():
        here = {*job.partitions_on(node), *job.standbys_on(node)}
        for partition, generation in enumerate(job.generations):
            if job.node_of(partition) and partition not in here:
                standby = job.standbys.get(partition)
                below = generation if standby is None else standby.generation + (not standby.host)
                yield OldCopies(job_id=job.job_id, partition=partition, below=below)


def remove_old_copies(home: Home, state: GroupState, node: str) -> None:
    """Remove them; one that a process still has open stays until the next look."""
    for old in old_copies(state, node):
        directory = home.partitions_directory(old.job_id) / f"{old.partition:04d}"
        is_older = any(generation < old.below for generation, _ in copies_beside(directory))
        if not (directory.exists() or is_older or any(unfinished_beside(directory))):
            continue
        details = {"job": old.job_id, "partition": old.partition, "below": old.below}
        try:
            discard_below(directory, old.below)
        except ShardError as error:
            log.warning("an old copy of a shard stays", extra={**details, "reason": str(error)})
        else:
            log.info("an old copy of a shard is removed; another node has the current one", extra=details)

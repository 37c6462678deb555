"""Accepted values on the leader: each gets its place among the rows, and every host is told before those rows come.

The place is the first offset of each split that no partition can have received: what a host has was told when it was
opened under this epoch, and whatever came after was sent by this leader.
"""

import uuid
from collections.abc import Callable, Mapping

from actors.errors import StaleEpochError
from actors.partition.acceptances import Acceptance
from cluster.leader.group_port import GroupPort
from raft.commands import AcceptancePlaced
from raft.errors import ProposalTimeoutError
from raft.group import Job


def placed_acceptances(job: Job) -> list[bytes]:
    """Return the accepted values of a job that have their place, as hosts take them."""
    return [
        Acceptance.from_bytes(known.content).placed(known.acceptance_id, dict(known.positions)).to_bytes()
        for known in job.acceptances
        if known.positions is not None
    ]


def place_acceptances(
    group: GroupPort, job_id: str, epoch: int, positions: Mapping[int, int], gives_up: Callable[[], bool]
) -> bool:
    """Give the values that wait for it their place, and return whether there were any.

    Nothing may be sent before the answer is known: a value whose place is taken in without this leader's knowing would
    come after rows that it counts for.

    Raises:
        StaleEpochError: the epoch is over, or `gives_up` said so.
        ClusterError: the group refused.
    """
    waiting = [known for known in group.state().jobs[job_id].acceptances if known.positions is None]
    for known in waiting:
        command = AcceptancePlaced(
            request_id=uuid.uuid4().hex,
            epoch=epoch,
            job_id=job_id,
            acceptance_id=known.acceptance_id,
            positions=tuple(sorted(positions.items())),
        )
        while not _is_answered(group, command):
            if gives_up():
                raise StaleEpochError(f"epoch {epoch} is over before an accepted value of job {job_id} has its place")
    return bool(waiting)


def _is_answered(group: GroupPort, command: AcceptancePlaced) -> bool:
    try:
        group.propose(command)
    except ProposalTimeoutError:
        return False
    return True


def first_unsent(sent: Mapping[int, int], received: Mapping[int, int]) -> dict[int, int]:
    """Return for each split the first offset that no partition has: neither sent now nor received before."""
    return {split: max(sent.get(split, 0), received.get(split, 0)) for split in {*sent, *received}}

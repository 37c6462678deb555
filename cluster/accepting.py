"""Accepted values on the leader: each gets its place among the rows, and every host is told before those rows come.

The place is the first offset of each split that no partition can have received: what a host has was told when it was
opened under this epoch, and whatever came after was sent by this leader.
"""

from collections.abc import Mapping

from actors.acceptances import Acceptance
from cluster.group_port import GroupPort
from raft.commands import AcceptancePlaced
from raft.group import Job


def placed_acceptances(job: Job) -> list[bytes]:
    """Return the accepted values of a job that have their place, as hosts take them."""
    return [
        Acceptance.from_bytes(known.content).placed(known.acceptance_id, dict(known.positions)).to_bytes()
        for known in job.acceptances
        if known.positions is not None
    ]


def place_acceptances(group: GroupPort, job_id: str, epoch: int, positions: Mapping[int, int]) -> bool:
    """Give the values that wait for it their place, and return whether there were any.

    Raises:
        ClusterError: the epoch is over.
    """
    waiting = [known for known in group.state().jobs[job_id].acceptances if known.positions is None]
    for known in waiting:
        place = tuple(sorted(positions.items()))
        group.propose(AcceptancePlaced(epoch=epoch, job_id=job_id, acceptance_id=known.acceptance_id, positions=place))
    return bool(waiting)


def first_unsent(sent: Mapping[int, int], received: Mapping[int, int]) -> dict[int, int]:
    """Return for each split the first offset that no partition has: neither sent now nor received before."""
    return {split: max(sent.get(split, 0), received.get(split, 0)) for split in {*sent, *received}}

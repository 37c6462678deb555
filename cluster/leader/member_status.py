"""What a member says of itself, and which of them leads, as those see it who ask all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.leader.status import LeaderStatus
from raft.member_status import MemberStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedMemberStatus:
    """What a member says of itself."""

    member_id: str
    """Its name."""

    pid: int
    """Its process."""

    raft: MemberStatus
    """What Raft does."""

    leader: LeaderStatus | None
    """What it does as leader; `None` for a follower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """What somebody who asked knows of a member."""

    member_id: str
    """Its name."""

    status: HostedMemberStatus | None
    """What it said, or `None` when it did not answer."""

    @property
    def leader(self) -> LeaderStatus | None:
        """What it does as leader, or `None` when it does not lead, or did not answer."""
        return None if self.status is None else self.status.leader


def newest_leader(views: Sequence[MemberView]) -> MemberView | None:
    """Return the member that leads; of several, the one that was elected last; `None` when nobody does."""
    leading = [(view.leader.epoch, view) for view in views if view.leader is not None]
    return max(leading, key=lambda pair: pair[0])[1] if leading else None

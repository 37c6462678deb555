"""What a member says of itself, as a value that travels; apart from what makes a member, which takes long to import."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raft.membership import Voters
    from raft.transport import RejectedPeer


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStatus:
    """What a member knows about itself and the others, at one moment."""

    name: str

    identity: str
    """Which incarnation of its directory it is; what `Member.admit` wants."""

    role: str
    """`forming`, `follower`, `candidate`, `leader`, `failed` or `closed`."""

    problem: str
    """Why it is not taking part, or has failed; empty when all is well."""

    term: int = 0
    """Raft's term."""

    commit_index: int = 0
    """Last log entry known to be committed."""

    applied_index: int = 0
    """Last log entry applied to the state."""

    log_entry_count: int = 0
    """Log entries kept."""

    log_size_bytes: int = 0
    """Bytes of their commands."""

    leader_id: str | None = None
    """Raft's leader, as far as known."""

    epoch: int = 0
    """Epoch of the applied state."""

    voters: "Voters" = ()
    """Name, address and identity of the voting members."""

    connected: tuple[str, ...] = ()
    """Members that can be sent to, by name."""

    silence_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds since each follower answered; known to a leader only."""

    rejected: "tuple[RejectedPeer, ...]" = ()
    """Members that are refused, or refuse this one, with the reason."""

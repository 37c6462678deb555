"""What a machine that joins a cluster is told, as a value that travels."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinPlan:
    """What a machine that joins is told."""

    name: str
    """Name of the new node."""

    members: Mapping[str, str]
    """Raft address of each present member, by name."""

    votes: bool
    """Whether its member is to vote."""

    seed: str
    """Control address of a node that votes, to be asked from now on."""

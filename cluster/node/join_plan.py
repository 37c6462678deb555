"""What a machine that joins a cluster is told, as a value that travels."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from raft.group import GroupState

VOTER_COUNT_MAX: Final = 5
"""Nodes that vote; those that join later see the group through them."""


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


def plan_join(state: GroupState, address: str, seed: str, promised: dict[str, str]) -> JoinPlan:
    """Return the plan for a node that joins at an address: under the name that it had there, or the next number.

    `promised` are the addresses of those that were told a name and may not have joined yet; this one is added.
    """
    members = {name: member.address for name, member in state.members.items()}
    known = [name for name, node in state.nodes.items() if node.address == address]
    taken = {*members, *state.nodes, *(name for name, other in promised.items() if other != address)}
    free = next(name for number in itertools.count(1) if (name := f"node-{number}") not in taken)
    name = known[0] if known else free
    promised[name] = address
    return JoinPlan(name=name, members=members, votes=name in members or len(members) < VOTER_COUNT_MAX, seed=seed)

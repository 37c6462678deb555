"""The members of the group as a table: who votes, and who waits to be admitted. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.node.status import NodeStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRow:
    """One member; one that has lost its directory and has come back is two, of which the former votes."""

    member: str
    address: str
    """host:port at which it takes part in Raft."""

    identity: str
    """Which incarnation of its directory it is."""

    votes: bool
    role: str
    """What it does; `-` when it does not answer as this incarnation."""

    problem: str
    """Why it does not take part fully; empty when it does."""


def member_rows(statuses: Sequence[NodeStatus]) -> list[MemberRow]:
    """Return the voters, as the member knows them that has applied most, and who they are waited for by, by name."""
    voting = [status.member for status in statuses if status.member.voters]
    if not voting:
        return []
    newest = max(voting, key=lambda member: (member.applied_index, member.role == "leader"))
    answering = {(status.member.name, status.member.identity): status.member for status in statuses}
    rows = {}
    for name, address, identity in newest.voters:
        found = answering.get((name, identity))
        role, problem = ("-", "does not answer") if found is None else (found.role, found.problem)
        rows[name, identity] = MemberRow(
            member=name, address=address, identity=identity, votes=True, role=role, problem=problem
        )
    for peer in (peer for member in voting for peer in member.rejected):
        key = (peer.name, peer.identity)
        if peer.name and peer.identity and key not in rows:
            waiting = answering.get(key)
            rows[key] = MemberRow(
                member=peer.name,
                address=peer.address,
                identity=peer.identity,
                votes=False,
                role="-" if waiting is None else waiting.role,
                problem=peer.reason if waiting is None else waiting.problem,
            )
    return sorted(rows.values(), key=lambda row: (row.member, not row.votes))

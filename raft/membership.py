"""Membership: who votes, and how members that start agree on who they are.

A *voter* is a name, an address and an *identity*: the random mark of one incarnation of the member's directory. A
member that has lost its directory comes back with another identity, so nobody takes it for the voter it was: it could
vote for a candidate that lacks what the lost journal had acknowledged.

A group is *formed* once: each member waits until it knows the identities of all members it was configured with, or
hears from a member that is formed already, and then remembers the voters for ever. From then on voters change only by
the entries `MemberAdded` and `MemberRemoved` of the log. A member that a formed group does not count among its voters
waits until it has been admitted. Everything here is pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from raft.commands import MemberAdded, MemberRemoved, decode_command, encode_command
from raft.errors import FormatError

Voter = tuple[str, str, str]
"""Name, address, identity."""

Voters = tuple[Voter, ...]
"""Voters, by name."""

MembershipChange = MemberAdded | MemberRemoved

MEMBERSHIP: Final = b"\x02"
"""First byte of a log entry that changes who votes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What a member tells about itself when it connects."""

    name: str

    address: str

    identity: str
    """Which incarnation of its directory it is."""

    voters: Voters
    """Voters it knows; empty as long as it is not formed."""


class Waiting(StrEnum):
    """Why a member does not take part yet."""

    FOR_MEMBERS = "waiting to hear from all members once"
    FOR_ADMISSION = "not a voter of the group: expel its former self, then admit it"


def form(own: Greeting, configured: Mapping[str, str], heard: Mapping[str, Greeting]) -> Voters | Waiting:
    """Return the voters to begin with, or why it is too early.

    Args:
        own: What this member tells about itself.
        configured: Address of each member of the first group, by name.
        heard: Newest greeting of each other member, by name.
    """
    formed = [greeting.voters for greeting in heard.values() if greeting.voters]
    for voters in formed:
        if (own.name, own.address, own.identity) in voters:
            return voters
    if formed:
        return Waiting.FOR_ADMISSION
    greetings = {**heard, own.name: own}
    for name, address in configured.items():
        if name not in greetings or greetings[name].address != address:
            return Waiting.FOR_MEMBERS
    return tuple(sorted((name, address, greetings[name].identity) for name, address in configured.items()))


def refusal(own: Greeting, other: Greeting) -> str | None:
    """Return why another member's messages are not taken, or `None` when they are."""
    if not own.voters or (other.name, other.address, other.identity) in own.voters:
        return None
    known = {name: (address, identity) for name, address, identity in own.voters}
    if other.name not in known:
        return f"{other.name!r} is no voter; admit it"
    if known[other.name][1] != other.identity:
        return f"{other.name!r} has lost its directory; expel its former self, then admit it"
    return f"{other.name!r} is at {other.address}, expected at {known[other.name][0]}"


def changed_voters(voters: Voters, change: MembershipChange) -> Voters:
    """Return the voters after a change; the same ones when it does not apply.

    A name or an address that is in use has to be given up first, so that a directory that was lost and comes back under
    its old name counts as two changes.
    """
    if isinstance(change, MemberRemoved):
        return tuple(voter for voter in voters if (voter[0], voter[2]) != (change.member_id, change.identity))
    if change.member_id in {voter[0] for voter in voters} or change.address in {voter[1] for voter in voters}:
        return voters
    return tuple(sorted((*voters, (change.member_id, change.address, change.identity))))


def encode_change(change: MembershipChange) -> bytes:
    """Return the log entry of a change."""
    return MEMBERSHIP + encode_command(change)


def decode_change(entry: bytes) -> MembershipChange | None:
    """Return the change in a log entry, or `None` when it is another entry.

    Raises:
        FormatError: The entry holds another command, or none.
    """
    if entry[:1] != MEMBERSHIP:
        return None
    change = decode_command(entry[1:])
    if not isinstance(change, MemberAdded | MemberRemoved):
        raise FormatError(f"{type(change).__name__} does not change who votes")
    return change

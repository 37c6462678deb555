"""Settings of a member, and what is refused before it starts."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from raft.credentials import Credentials
from raft.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Periods of the protocol, in seconds."""

    heartbeat_s: float = 0.1
    """Between two messages of the leader to a follower."""

    election_min_s: float = 0.5
    """Shortest silence of the leader after which a follower stands for election; more than three heartbeats."""

    election_max_s: float = 1.0
    """Longest such silence."""

    lease_s: float = 1.0
    """Time without answers from a majority after which a leader gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSettings:
    """Settings of one member. Those with a note *equal* must be the same on all members."""

    name: str
    """Name of this member, unique in the group."""

    addresses: Mapping[str, str]
    """`host:port` of each member the group begins with, by name, with this one. Equal."""

    directory: Path
    """Where the journal is kept; belongs to this member alone."""

    credentials: Credentials
    """What it proves with that it belongs to the group; made of the group's name and password, which are equal."""

    timing: Timing = field(default_factory=Timing)
    """Periods of the protocol. Equal."""

    log_entry_count_max: int = 4096
    """Log entries kept before the state is dumped in their place."""

    log_size_bytes_max: int = 16 << 20
    """The same in bytes of commands."""

    durable: bool = True
    """Whether the journal waits for the disk. Off loses acknowledged commands when the machine dies; for tests."""

    @property
    def address(self) -> str:
        """The member's own address."""
        return self.addresses[self.name]


def check(settings: MemberSettings) -> None:
    """Refuse settings that cannot work.

    Raises:
        SettingsError: With the way out.
    """
    if settings.name not in settings.addresses:
        raise SettingsError(f"{settings.name!r} is none of the members {sorted(settings.addresses)}")
    if len(set(settings.addresses.values())) < len(settings.addresses):
        raise SettingsError("two members have the same address")
    for address in settings.addresses.values():
        split_address(address)
    host, _ = split_address(settings.address)
    if _is_unspecified(host):
        raise SettingsError(f"{host} stands for every address of this machine; name the one that the others call")
    timing = settings.timing
    if not 0 < timing.heartbeat_s * 3 < timing.election_min_s < timing.election_max_s:
        raise SettingsError(f"{timing}: three heartbeats < election_min_s < election_max_s is needed")


def _is_unspecified(host: str) -> bool:
    """Whether listening at the host would be listening at every address."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of `host:port`; IPv6 hosts stand in brackets.

    Raises:
        SettingsError: It is no such thing.
    """
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) < 1 << 16:
        raise SettingsError(f"{address!r} is no address; write host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)

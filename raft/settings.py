"""Settings of a member, and what is refused before it starts."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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

    group: str = "tocsin"
    """Name of the group, so that members of different groups on one network do not mix. Equal."""

    bind_address: str | None = None
    """`host:port` to listen at, when it differs from the member's own address."""

    password: str | None = field(default=None, repr=False)
    """Secret of the group; needed unless the address is of the loopback network. Equal."""

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
    host, _ = split_address(settings.bind_address or settings.address)
    if settings.password is None and not _is_loopback(host):
        raise SettingsError(
            f"{host} can be reached from other machines, so the group needs a password; set one, or bind to 127.0.0.1"
        )
    if settings.password is not None and len(settings.password) < 8:
        raise SettingsError("the password is shorter than 8 characters; choose a long random one")
    timing = settings.timing
    if not 0 < timing.heartbeat_s * 3 < timing.election_min_s < timing.election_max_s:
        raise SettingsError(f"{timing}: three heartbeats < election_min_s < election_max_s is needed")


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
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

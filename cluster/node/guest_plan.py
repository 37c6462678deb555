"""How a cluster is spread over a Ray that others have started, as a value that travels, and over which machines."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from cluster.errors import ClusterError

FOUNDER_COUNT: Final = 3
"""Nodes that a group begins with, where that Ray has as many machines; those that come later join."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPlan:
    """What is the same for all nodes of a cluster on a Ray that others have started."""

    group_id: int
    """Of the Raft group, above 1; its members know each other by it."""

    space: str
    """Ray namespace of its actors, which follows from the password; no two clusters of one Ray have the same."""

    base: str
    """Folder on each machine below which nodes have their homes; `~` is that of Ray's user there."""

    python: str
    """Python on each machine that has Tocsin; empty: the one that Ray's workers have."""

    port: int
    """Port of each node's control server; its member takes part in Raft at the next one."""

    count: int
    """Machines of that Ray to be on, as far as there are so many; 0: all."""

    allowed_paths: str = ""
    """Folders that jobs may touch on each machine, besides `files` of the node's home, between colons."""


def hosts_to_start(
    known: Mapping[str, bool], alive: Collection[str], count: int, *, founds: bool = False
) -> tuple[str, ...]:
    """Return the machines of a Ray on which a node is to be started now.

    One that has had a node which says nothing gets it again as soon as Ray is back on it; others get one as long as
    fewer nodes answer than are wanted.

    Args:
        known: addresses of machines that have a node, with whether it answers.
        alive: addresses of machines on which Ray is.
        count: machines to be on; 0: all.
        founds: whether these begin the group.
    """
    ordered = sorted(alive, key=address_order)
    back = [host for host in ordered if known.get(host) is False]
    free = [host for host in ordered if host not in known]
    there_count = sum(known.values()) + len(back)
    wanted_count = len(ordered) if count == 0 else count
    if founds:
        wanted_count = min(wanted_count, FOUNDER_COUNT)
    return (*back, *free[: max(0, wanted_count - there_count)])


def address_order(host: str) -> tuple[int, int, str]:
    """Return what addresses are sorted by: as numbers, names last."""
    try:
        address = ip_address(host)
    except ValueError:
        return 9, 0, host
    return address.version, int(address), host


def check_alike(found: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse machines whose Tocsin or Ray are not those of here; given is what each said of itself, by address.

    Raises:
        ClusterError: with the machine and the way out.
    """
    (first, *_) = found.values()
    for host, said in found.items():
        for what in ("tocsin", "ray", "python"):
            if said[what] != first[what]:
                raise ClusterError(
                    f"{what} is {said[what]} on {host} of that Ray and {first[what]} on another machine; have the same "
                    "on all of them"
                )

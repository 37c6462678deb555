"""Placement: which host owns which partition, and which node has which host. Pure decisions.

The name of a host says of which kind it is, so that the group's state does: `host-0` has a process of its own,
`shared-0` is one of several in the process that jobs share on its node.
"""

import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from raft.group import SHARED_HOST_COUNT, Job

_OWN: Final = "host-"
_SHARED: Final = "shared-"

_NOWHERE: Final[Mapping[str, str]] = MappingProxyType({})
"""Nodes of hosts that may run anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One partition that changes hosts."""

    partition: int

    source: str
    """Host that owns it."""

    target: str
    """Host that shall own it."""


def wanted_hosts(
    owners: Sequence[str], host_count: int, leaving: Collection[str] = (), host_nodes: Mapping[str, str] = _NOWHERE
) -> tuple[str, ...]:
    """Return the hosts that shall own partitions: those that do, as far as they are wanted, and new ones.

    A job that wants no number of hosts has one, in the process that jobs share. Hosts on nodes that are leaving are
    not wanted, and their names stay theirs as long as they own anything.
    """
    present = set(owners) - {""}
    shares = host_count == SHARED_HOST_COUNT
    count = 1 if shares else host_count
    fit = {host for host in present if is_shared(host) == shares and host_nodes.get(host) not in leaving}
    wanted = sorted(fit, key=lambda host: (len(host), host))[:count]
    names = (name for number in itertools.count() if (name := host_name(number, host_count)) not in present)
    return (*wanted, *itertools.islice(names, count - len(wanted)))


def host_name(number: int, host_count: int) -> str:
    """Return the name of a host of a job that wants so many."""
    return f"{_SHARED if host_count == SHARED_HOST_COUNT else _OWN}{number}"


def is_shared(host: str) -> bool:
    """Whether a host is one of several in a process that jobs share."""
    return host.startswith(_SHARED)


def new_host(like: str, taken: Collection[str]) -> str:
    """Return a name for a host of the same kind as another."""
    kind = _SHARED if is_shared(like) else _OWN
    return next(name for number in itertools.count() if (name := f"{kind}{number}") not in taken)


def hosts_wanted(job: Job) -> int | str:
    """Return how many hosts a job wants, as people write it."""
    return "shared" if job.host_count == SHARED_HOST_COUNT else job.host_count


def has_wanted_hosts(job: Job) -> bool:
    """Whether a job's partitions are where they shall be, as far as the number and kind of hosts goes."""
    names, shares = set(job.owners), job.host_count == SHARED_HOST_COUNT
    is_kind = all(name and is_shared(name) == shares for name in names)
    return is_kind and (shares or len(names) == job.host_count) and not job.moves


def place(owners: Sequence[str], names: Sequence[str]) -> dict[int, str]:
    """Return a host of those named for every partition that has none, the least loaded first."""
    load = Counter(dict.fromkeys(names, 0))
    load.update(owner for owner in owners if owner in load)
    placed = {}
    for partition, owner in enumerate(owners):
        if not owner:
            placed[partition] = min(names, key=lambda name: (load[name], names.index(name)))
            load[placed[partition]] += 1
    return placed


def place_hosts(
    hosts: Sequence[str], owners: Sequence[str], host_nodes: Mapping[str, str], nodes: Sequence[str]
) -> dict[str, str]:
    """Return a node of those that may have hosts for each host that needs another one, the least loaded first.

    A host that owns partitions stays where they are; without a node that is anywhere.
    """
    settled = {host for host in hosts if host in owners or host_nodes.get(host) in nodes}
    load = Counter(dict.fromkeys(nodes, 0))
    load.update(host_nodes[host] for host in settled if host_nodes.get(host) in load)
    placed = {}
    for host in [host for host in hosts if host not in settled]:
        placed[host] = min(nodes, key=lambda node: (load[node], nodes.index(node)))
        load[placed[host]] += 1
    return placed


def assign(
    owners: Sequence[str],
    host_count: int,
    leaving: Collection[str],
    host_nodes: Mapping[str, str],
    fit: Sequence[str],
    spares: Mapping[str, str] = _NOWHERE,
) -> tuple[dict[int, str], dict[str, str]]:
    """Return a host for each partition that has none, and nodes, of those that are fit, for the hosts that need one.

    A host that was started ahead, as `spares` says, gets the node on which it was. Without nodes hosts are anywhere.
    """
    placed = place(owners, wanted_hosts(owners, host_count, leaving, host_nodes))
    pinned = place_hosts(tuple(dict.fromkeys(placed.values())), owners, host_nodes, fit) if fit else {}
    return placed, {host: spares[host] if spares.get(host) in fit else node for host, node in pinned.items()}


def plan_moves(
    owners: Sequence[str],
    names: Sequence[str],
    host_nodes: Mapping[str, str] = _NOWHERE,
    standbys: Mapping[int, str] = MappingProxyType({}),
) -> list[Move]:
    """Return the fewest moves after which every host named owns its even share and no other host owns any.

    Of those, partitions stay on their nodes as far as there is room, or go to the hosts of their second copies.
    """
    held: dict[str, list[int]] = {name: [] for name in names}
    homeless: list[tuple[int, str]] = []
    for partition, owner in enumerate(owners):
        if owner in held:
            held[owner].append(partition)
        elif owner:
            homeless.append((partition, owner))
    quotas = _quotas({name: len(partitions) for name, partitions in held.items()}, sum(map(bool, owners)))
    for name in names:
        surplus = held[name][quotas[name] :]
        homeless += [(partition, name) for partition in surplus]
        del held[name][quotas[name] :]
    room = [name for name in names for _ in range(quotas[name] - len(held[name]))]
    moves, far = [], []
    for partition, source in sorted(homeless):
        near = next((name for name in room if host_nodes.get(name, "") == host_nodes.get(source, "")), None)
        if near is None:
            far.append((partition, source))
        else:
            room.remove(near)
            moves.append(Move(partition=partition, source=source, target=near))
    for number, source in far:
        # Rooms are as many as partitions.
        target = standbys[number] if standbys.get(number) in room else room[0]
        room.remove(target)
        moves.append(Move(partition=number, source=source, target=target))
    return sorted(moves, key=lambda move: move.partition)


def _quotas(load: Mapping[str, int], total: int) -> dict[str, int]:
    # The larger shares go to those who hold most already, so that nothing moves without need.
    share, extra = divmod(total, len(load))
    fullest = sorted(load, key=lambda name: -load[name])[:extra]
    return {name: share + (name in fullest) for name in load}

"""Placement: which host owns which partition. Pure decisions; `cluster.leader.runner` carries them out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One partition that changes hosts."""

    partition: int

    source: str
    """Host that owns it."""

    target: str
    """Host that shall own it."""


def host_names(host_count: int) -> tuple[str, ...]:
    """Return the names of a job's hosts."""
    return tuple(f"host-{number}" for number in range(host_count))


def place(owners: Sequence[str], host_count: int) -> dict[int, str]:
    """Return a host for every partition that has none, the least loaded first."""
    names = host_names(host_count)
    load = Counter(dict.fromkeys(names, 0))
    load.update(owner for owner in owners if owner in load)
    placed = {}
    for partition, owner in enumerate(owners):
        if not owner:
            placed[partition] = min(names, key=lambda name: (load[name], names.index(name)))
            load[placed[partition]] += 1
    return placed


def plan_moves(owners: Sequence[str], host_count: int) -> list[Move]:
    """Return the fewest moves after which every wanted host owns its even share and no other host owns any."""
    names = host_names(host_count)
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
    return [
        Move(partition=partition, source=source, target=target)
        for (partition, source), target in zip(sorted(homeless), room, strict=True)
    ]


def _quotas(load: Mapping[str, int], total: int) -> dict[str, int]:
    # The larger shares go to those who hold most already, so that nothing moves without need.
    share, extra = divmod(total, len(load))
    fullest = sorted(load, key=lambda name: -load[name])[:extra]
    return {name: share + (name in fullest) for name in load}

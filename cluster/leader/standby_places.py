"""Which host has the second copy of which partition. Pure decisions."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from cluster.leader.placement import new_host


def place_standbys(
    owners: Mapping[int, str],
    standbys: Mapping[int, str],
    host_nodes: Mapping[str, str],
    fit: Sequence[str],
    leaving: Collection[str] = (),
) -> tuple[dict[int, str], dict[str, str]]:
    """Return the host of each partition's second copy, and the nodes of hosts that have none yet.

    `fit` are the nodes that may have hosts. A copy stays where it is unless that is the owner's node or a node that is
    leaving; another goes to the least loaded host of the job on another node than the owner's, or to a new one there. A
    partition for which there is none is left out.
    """
    placed: dict[int, str] = {}
    pinned: dict[str, str] = {}
    load: Counter[str] = Counter()
    for partition, owner in owners.items():
        node, known = host_nodes.get(owner, ""), standbys.get(partition, "")
        there = host_nodes.get(known, "")
        if known and there not in ("", node) and there not in leaving:
            placed[partition] = known
            load[known] += 1
    for partition, owner in owners.items():
        node = host_nodes.get(owner, "")
        others = [name for name in fit if name != node]
        if partition in placed or not node or not others:
            continue
        places = {**host_nodes, **pinned}
        live = dict.fromkeys((*owners.values(), *placed.values(), *pinned))
        hosts = [host for host in live if places.get(host) in others]
        if not hosts:
            # One of the job that has nothing just now, if there is one.
            hosts = sorted(host for host, at in places.items() if at in others)[:1]
            hosts = hosts or [new_host(owner, {*places, *owners.values()})]
            pinned |= {host: others[0] for host in hosts if host not in places}
        placed[partition] = min(hosts, key=lambda host: (load[host], hosts.index(host)))
        load[placed[partition]] += 1
    return placed, pinned

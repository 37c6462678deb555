"""Split places: splits that are each on a node of its own, such as what several machines measure of themselves. Pure.

Partition n is on the n-th node and nowhere else. One whose node is away is *absent*: the job goes on without it, and
begins anew when the node is there again; its partition then goes on where it stood. Nothing of it moves or is given up,
because no other node could read its split.
"""

from collections.abc import Mapping, Sequence

from cluster.leader.nodes import NodeWatch
from cluster.leader.placement import host_name


class SplitPlaces:
    """Where the partitions of one job are fixed, if they are; `split_nodes` is empty if they are not."""

    def __init__(self, split_nodes: Sequence[str], nodes: NodeWatch) -> None:
        self._split_nodes = tuple(split_nodes)
        self._nodes = nodes

    @property
    def are_fixed(self) -> bool:
        """Whether each partition has its node; where the group has none, everything is here."""
        return bool(self._split_nodes) and self._nodes.has_nodes

    def absent(self, owners: Sequence[str]) -> frozenset[int]:
        """Return the partitions whose nodes are away, or drain before they had a host."""
        if not self.are_fixed:
            return frozenset()
        return frozenset(number for number, owner in enumerate(owners) if not self._can_be_there(number, owner))

    def _can_be_there(self, number: int, owner: str) -> bool:
        node = self._split_nodes[number]
        return self._nodes.can_host(node) and (bool(owner) or node not in self._nodes.leaving)

    def place(
        self, owners: Sequence[str], absent: frozenset[int], host_count: int
    ) -> tuple[dict[int, str], dict[str, str]]:
        """Return a host for each partition that has none and is not absent, and the nodes of these hosts."""
        missing = [number for number, owner in enumerate(owners) if not owner and number not in absent]
        placed = {number: host_name(number, host_count) for number in missing}
        return placed, {host: self._split_nodes[number] for number, host in placed.items()}

    def change(self, owners: Sequence[str], absent: frozenset[int]) -> str | None:
        """Return why an attempt that lacks these partitions has to begin anew, or `None`."""
        if not self.are_fixed:
            return None
        for number, (node, owner) in enumerate(zip(self._split_nodes, owners, strict=True)):
            if number in absent and self._can_be_there(number, owner):
                return f"{node} is there: partition {number} goes on"
            if number not in absent and self._nodes.has_lost(node):
                return f"{node} does not answer; partition {number} waits for it, and the others go on"
        return None

    def remarks(self, absent: frozenset[int]) -> tuple[str, ...]:
        """Say which partitions wait."""
        waiting = [f"partition {number} for {self._split_nodes[number]}" for number in sorted(absent)]
        return (f"not read, because nodes are away: {', '.join(waiting)}",) if waiting else ()

    def trouble(self, owners: Mapping[int, str], host_nodes: Mapping[str, str]) -> str | None:
        """Return why a node that drains keeps what it has, or `None`."""
        draining = sorted({host_nodes.get(host, "") for host in owners.values()} & self._nodes.leaving)
        if not draining or not self.are_fixed:
            return None
        return f"{draining[0]} drains, and a split of the job is there alone: stop the job to let it go"

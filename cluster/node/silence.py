"""Silence: for how long nodes have not answered, as the leading node's process sees it."""

import time
from collections.abc import Callable, Collection
from typing import Final

from cluster.leader.limits import LeaderLimits

LOST_S: Final = LeaderLimits().node_lost_us / 1e6
"""Seconds after which a node that is away is not waited for, as for jobs that run."""


class Silence:
    """For how long nodes have not answered."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._since_s: dict[str, float] = {}

    def look(self, nodes: Collection[str], answering: Collection[str]) -> None:
        """Take which of the nodes answer."""
        now_s = self._clock_s()
        self._since_s = {node: self._since_s.get(node, now_s) for node in set(nodes) - set(answering)}

    def over(self, seconds: float) -> frozenset[str]:
        """Return the nodes that have not answered for so long."""
        now_s = self._clock_s()
        return frozenset(node for node, since_s in self._since_s.items() if now_s - since_s >= seconds)

    def lost_s(self, node: str) -> float | None:
        """Return for how many seconds a node has not answered, if it is not waited for any more; `None` if it is."""
        since_s = self._since_s.get(node)
        silent_s = 0.0 if since_s is None else self._clock_s() - since_s
        return silent_s if silent_s >= LOST_S else None

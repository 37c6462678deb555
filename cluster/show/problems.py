"""What is wrong with the nodes of a cluster, in words: who does not answer, and who is silent or has failed beside."""

from collections.abc import Sequence
from typing import Final

from cluster.node.status import NodeStatus

SILENCE_S_MIN: Final = 3.0
"""Seconds without a word after which the silence of a leader's process is said; it speaks every second."""


def problems_of(status: NodeStatus | None) -> list[str]:
    """Return what is wrong with one node; `None` stands for no answer."""
    if status is None:
        return ["does not answer"]
    found = [problem for problem in (status.member.problem, status.ray.problem) if problem]
    if status.child.address and status.child.silence_s >= SILENCE_S_MIN:
        found.append(f"its leader's process has been silent for {status.child.silence_s:.0f} s")
    return found


def cluster_problems(statuses: Sequence[tuple[str, NodeStatus | None]]) -> list[str]:
    """Return what is wrong with all nodes, each with its name."""
    return [f"{name}: {problem}" for name, status in statuses for problem in problems_of(status)]

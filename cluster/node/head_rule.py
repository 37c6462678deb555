"""Who carries Ray's head: a rule over what the group knows and what nodes have said, decided by the leading node."""

from collections.abc import Callable
from typing import Final

from cluster.node.status import NodeStatus, RayPhase
from raft.group import GroupState

HEAD_LOST_S: Final = 5.0
"""Seconds of silence after which a node that carries the head counts as lost."""


def next_head(
    state: GroupState, status_of: Callable[[str], NodeStatus | None], silence_s: Callable[[str], float]
) -> str:
    """Return the node that shall carry the next head of Ray, or nothing when the present one is all right.

    A head whose node is there is started again there: its partitions are. Otherwise the first node by name that
    answers gets it. One that drains gives the head up last, when it has no partition any more.
    """
    carriers = sorted(name for name, node in state.nodes.items() if node.carries_ray and not node.is_draining)
    present = [name for name in carriers if status_of(name) is not None]
    head = state.head
    if head is None:
        return present[0] if present else ""
    if head.node not in state.nodes or silence_s(head.node) > HEAD_LOST_S:
        return next((name for name in present if name != head.node), "")
    if state.nodes[head.node].is_draining and not state.jobs_on(head.node):
        return next(iter(present), "")
    status = status_of(head.node)
    if (other := _other_guest(head.node, status, present, status_of)) is not None:
        return other
    has_failed = status is not None and status.ray.phase is RayPhase.FAILED and status.ray.generation == head.generation
    if not has_failed:
        return ""
    return head.node if head.node in present else next(iter(present), "")


def _other_guest(
    name: str, status: NodeStatus | None, present: list[str], status_of: Callable[[str], NodeStatus | None]
) -> str | None:
    """Return a node that has a Ray of others on its machine, when the one that stands for its head has not."""
    if status is None or not status.ray.is_of_others or status.ray.place is not None:
        return None
    found = ((other, status_of(other)) for other in present if other != name)
    guests = (other for other, one in found if one and one.ray.place is not None and one.ray.phase is RayPhase.RUNNING)
    return next(guests, None)

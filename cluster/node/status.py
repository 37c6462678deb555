"""What a node says of itself, as values that travel."""

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.node.child import ChildStatus
from cluster.node.ray_keeper import RayStatus
from cluster.node.ray_place import RayPlace
from raft.member_status import MemberStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One node, at one moment."""

    name: str
    """Name of the node and of its member."""

    pid: int
    """The node process."""

    member: MemberStatus
    """What Raft does."""

    led_epoch: int | None
    """Epoch that its member leads, or `None`."""

    ray: RayStatus
    """Ray on its machine; absent where another node of the machine carries it."""

    child: ChildStatus
    """Its leader's process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchAnswer:
    """What has changed for the leader's process of a node."""

    index: int
    """Log entry up to which the state has been applied, at least."""

    epoch: int | None
    """Epoch that the node's member leads, or `None`."""

    state: bytes | None
    """The encoded state, or `None` when the caller has it."""

    answering: tuple[str, ...]
    """Nodes that answer; known to a leading node only."""

    present: tuple[str, ...]
    """Nodes that can have hosts now; known to a leading node only."""

    places: Mapping[str, RayPlace]
    """Where hosts of these nodes run on a Ray that others have started, by node; known to a leading node only."""

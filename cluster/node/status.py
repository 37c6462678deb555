"""What a node says of itself, as values that travel."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cluster.node.ray_place import RayPlace
from raft.member_status import MemberStatus


class RayPhase(StrEnum):
    """What Ray does on this machine."""

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    """It did not start, or one of its processes has ended; it is started anew when there is a next generation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayStatus:
    """What is known of Ray on a machine."""

    phase: RayPhase = RayPhase.ABSENT
    generation: int = 0
    address: str = ""
    problem: str = ""
    """Why it failed, or what is wrong and may make it fail."""

    is_of_others: bool = False
    """Whether others have started it, whose business its head is."""

    place: RayPlace | None = None
    """Where actors run on a Ray that others have started; `None` with one of our own, and while there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStatus:
    """What is known of a leader's process."""

    pid: int = 0
    """0 when there is none."""

    address: str = ""
    """Where it answers calls, as host:port; empty until it is ready."""

    silence_s: float = field(default=0.0, compare=False)
    """Seconds since its last word, or since its start; changes all the time, and so is no difference."""


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

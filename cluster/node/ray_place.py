"""Where actors of a node run on a Ray that others have started, as a value that travels."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RayPlace:
    """What is needed to have an actor on a node's machine; in a Ray of our own the node's name is enough."""

    node_id: str
    """Ray's own id of the machine."""

    executable: str
    """Python of the node on that machine."""

    variables: Mapping[str, str]
    """Variables of the environment of its actors."""

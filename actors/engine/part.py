"""The parts of an engine's state: snapshots, restores and checks are loops over them."""

from collections.abc import Sequence
from typing import Protocol

from actors.engine.keys.idle import KeyState
from actors.engine.vectors.vector import Array


class Part(Protocol):
    """One part of the state."""

    def state(self) -> dict[str, Array]:
        """Return the state as arrays that no later row changes; equal rows give equal arrays."""

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""

    def keyed(self) -> Sequence[KeyState]:
        """Return what is kept by key number."""


class CheckedPart(Part, Protocol):
    """A part with invariants beyond those of what it keeps by key number."""

    def validate(self, key_count: int) -> None:
        """Assert what is always true, given how many keys have numbers."""

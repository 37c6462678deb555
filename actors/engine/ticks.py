"""Ticks: marks in event time. A tick says that the time of a split has reached a moment; time never goes back."""

from collections.abc import Mapping, Sequence

import numpy as np

from actors.engine.keys.idle import KeyState
from actors.engine.vectors.vector import Array


class Ticks:
    """The latest tick of each split."""

    def __init__(self) -> None:
        self._latest: dict[int, int] = {}

    @property
    def latest(self) -> Mapping[int, int]:
        """The latest tick of each split that has had one."""
        return self._latest

    def is_fresh(self, split: int, time: int) -> bool:
        """Return whether a tick goes beyond those before."""
        return split not in self._latest or time > self._latest[split]

    def reach(self, split: int, time: int) -> None:
        """Take a tick that goes beyond those before."""
        assert self.is_fresh(split, time)
        self._latest[split] = time

    def keyed(self) -> Sequence[KeyState]:
        """Return that nothing is kept by key."""
        return []

    def state(self) -> dict[str, Array]:
        """Return the state as arrays, in the order of splits."""
        pairs = np.array(sorted(self._latest.items()), dtype=np.int64).reshape(-1, 2)
        return {"tick_split": pairs[:, 0].copy(), "tick_time": pairs[:, 1].copy()}

    def load(self, state: Mapping[str, Array]) -> None:
        """Take over arrays that `state` gave."""
        self._latest = dict(zip(state["tick_split"].tolist(), state["tick_time"].tolist(), strict=True))

    def validate(self, key_count: int) -> None:
        """Assert what is always true."""
        assert all(split >= 0 for split in self._latest)

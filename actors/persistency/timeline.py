"""Times of observations, kept once per event id where its variables are always observed together.

A tracker starts on the line of its event id and stays on it as long as it observes every row that has a time. When it
misses one (a variable that is absent, or a value that is no observation) it goes on with a line of its own.
"""

from array import array
from collections.abc import Iterable, Sequence


class Timeline:
    """Times in seconds, in the order of observations."""

    __slots__ = ("stamps",)

    def __init__(self, stamps: Iterable[float | None] = ()) -> None:
        self.stamps = array("d", (_NO_TIME if stamp is None else float(stamp) for stamp in stamps))

    def copy(self) -> "Timeline":
        """Return an independent line with the same times."""
        made = Timeline()
        made.stamps = self.stamps[:]
        return made

    def extend(self, timestamps: Iterable[float | None]) -> None:
        """Add the times that are known."""
        self.stamps.extend(float(stamp) for stamp in timestamps if stamp is not None)

    def __len__(self) -> int:
        return len(self.stamps)


_NO_TIME = float("nan")
"""Stands for a time that is not known in saved state; it makes a line unusable, as it must."""


def pick(timestamps: Sequence[float | None], observed: Sequence[int] | None) -> Sequence[float | None]:
    """Return the timestamps of the rows that were observed (`None`: all)."""
    return timestamps if observed is None else [timestamps[index] for index in observed]

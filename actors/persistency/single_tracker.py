"""What is followed of one variable, and what that says about it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Classification:
    """A verdict on one variable."""

    type: str = ""
    """INSUFFICIENT_DATA, STATIC, RANDOM, STABLE or UNSTABLE, for the trackers of this package."""

    reason: str = ""
    """What led to the verdict, for people."""


class SingleTracker(ABC):
    """Features of one variable."""

    @abstractmethod
    def add_value(self, value: Any, timestamp: float | None = None) -> None:
        """Take one observation; the timestamp is in seconds."""

    @abstractmethod
    def classify(self) -> Classification:
        """Return the verdict on the variable as it stands."""

    def to_state(self) -> dict[str, Any]:
        """Return everything that is kept, as plain values."""
        raise NotImplementedError(f"{type(self).__name__} cannot be saved: it does not define to_state")

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "SingleTracker":
        raise NotImplementedError(f"{cls.__name__} cannot be loaded: it does not define from_state")

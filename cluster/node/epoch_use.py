"""Under which epoch a node's leader's process may act: no two processes act under the same one.

A process is told the epoch that its node's member leads. When it is lost, that epoch is *spent*: what it has sent may
still arrive, and must not be taken for words of the next process. The member begins another epoch, or another leads.
"""

import threading


class EpochUse:
    """Which epochs have been told and are spent; called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: int | None = None
        self._spent: int | None = None

    def usable(self, epoch: int | None) -> int | None:
        """Return an epoch that the member leads, unless it is spent."""
        return None if epoch == self._spent else epoch

    def tell(self, epoch: int | None) -> int | None:
        """Return the epoch that the process that runs now is told; `None` when it may not act."""
        with self._lock:
            usable = self.usable(epoch)
            if usable is not None:
                self._told = usable
            return usable

    def lose(self) -> None:
        """The process is gone."""
        with self._lock:
            self._spent = self._told

    def is_spent(self, epoch: int | None) -> bool:
        """Whether a member that leads under this epoch has to begin another."""
        return epoch is not None and epoch == self._spent

"""The gate: read transactions pass, and all are outside while the map is resized or closed.

LMDB forbids resizing a map while a transaction of the same process is open, and does not check. The gate counts the
open ones, holds new ones back while somebody wants to resize, and gives up after a bounded wait. A thread that already
reads may start another read even then, or it would wait for itself.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from actors.shard.errors import ShardBusyError


class ReaderGate:
    """Counts read transactions per thread and shuts them out on demand."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._open: dict[int, int] = {}
        self._shutting = False

    @property
    def reader_count(self) -> int:
        """Number of read transactions that are open now."""
        with self._condition:
            return sum(self._open.values())

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold the gate open for one read transaction."""
        thread = threading.get_ident()
        with self._condition:
            self._condition.wait_for(lambda: not self._shutting or thread in self._open)
            self._open[thread] = self._open.get(thread, 0) + 1
        try:
            yield
        finally:
            self._leave(thread)

    @contextmanager
    def shut(self, wait_s_max: float) -> Iterator[None]:
        """Keep every reader outside for the length of the block.

        Raises:
            ShardBusyError: a reader did not end within `wait_s_max` seconds, or it is the caller's own.
        """
        with self._condition:
            if threading.get_ident() in self._open:
                raise ShardBusyError("the map must be resized inside an open read; end the read before writing")
            self._shutting = True
            try:
                if not self._condition.wait_for(lambda: not self._open, wait_s_max):
                    raise ShardBusyError(
                        f"{len(self._open)} readers stayed open for {wait_s_max} s while the map had to be resized;"
                        " end them and try again"
                    )
                yield
            finally:
                self._shutting = False
                self._condition.notify_all()

    def _leave(self, thread: int) -> None:
        with self._condition:
            self._open[thread] -= 1
            if not self._open[thread]:
                del self._open[thread]
            self._condition.notify_all()

"""The gate: read transactions pass, and all are outside while the map is resized or closed.

LMDB forbids resizing a map while a transaction of the same process is open, and does not check. The gate counts the
open ones, holds new ones back while somebody wants to resize, and gives up after a bounded wait. A thread that already
reads may start another read even then, or it would wait for itself. Reads older than a timeout are ended before each
write, so none keeps the file growing for long.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from actors.shard.errors import ShardBusyError
from actors.shard.reading import ReadTxn


class Passage:
    """One reader inside the gate."""

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.read: ReadTxn | None = None


class ReaderGate:
    """Knows the open read transactions, and shuts them out on demand."""

    def __init__(self, timeout_s: float | None = None) -> None:
        """`timeout_s` is how long a read may stay open while others write; `None` means as long as it likes."""
        self._condition = threading.Condition()
        self._open: set[Passage] = set()
        self._shutting = False
        self._timeout_s = timeout_s

    @property
    def reader_count(self) -> int:
        """Number of read transactions that are open now."""
        with self._condition:
            return len(self._open)

    @property
    def oldest_read_s(self) -> float:
        """Seconds that the oldest open read transaction has been open, 0 without any."""
        now_s = time.monotonic()
        with self._condition:
            return max((now_s - one.read.opened_at_s for one in self._open if one.read is not None), default=0.0)

    @contextmanager
    def reading(self) -> Iterator[Passage]:
        """Hold the gate open for one read transaction."""
        thread = threading.get_ident()
        passage = Passage(thread)
        with self._condition:
            self._condition.wait_for(lambda: not self._shutting or self._has_thread(thread))
            self._open.add(passage)
        try:
            yield passage
        finally:
            self._leave(passage)

    def expire(self) -> None:
        """End the reads that have been open for longer than the timeout."""
        if self._timeout_s is None:
            return
        now_s = time.monotonic()
        with self._condition:
            for passage in list(self._open):
                read = passage.read
                if read is not None and now_s - read.opened_at_s > self._timeout_s:
                    read.expire(now_s - read.opened_at_s, lambda gone=passage: self._open.discard(gone))  # type: ignore[misc]
            self._condition.notify_all()

    def validate(self) -> None:
        """Assert that every reader inside has a thread of its own kind, and none that was ended is counted."""
        with self._condition:
            for passage in self._open:
                assert passage.read is None or not passage.read.is_expired, "a read inside that was ended"

    @contextmanager
    def shut(self, wait_s_max: float) -> Iterator[None]:
        """Keep every reader outside for the length of the block.

        Raises:
            ShardBusyError: a reader did not end within `wait_s_max` seconds, or it is the caller's own.
        """
        with self._condition:
            if self._has_thread(threading.get_ident()):
                raise ShardBusyError("the map must be resized inside an open read; end the read before writing")
            self._shutting = True
            try:
                if not self._wait_until_empty(wait_s_max):
                    raise ShardBusyError(
                        f"{len(self._open)} readers stayed open for {wait_s_max} s while the map had to be resized;"
                        " end them and try again"
                    )
                yield
            finally:
                self._shutting = False
                self._condition.notify_all()

    def _wait_until_empty(self, wait_s_max: float) -> bool:
        deadline_s = time.monotonic() + wait_s_max
        while self._open:
            self.expire()
            left_s = deadline_s - time.monotonic()
            if not self._open or left_s <= 0:
                break
            self._condition.wait(min(left_s, self._timeout_s or left_s))
        return not self._open

    def _has_thread(self, thread: int) -> bool:
        return any(one.thread == thread for one in self._open)

    def _leave(self, passage: Passage) -> None:
        with self._condition:
            self._open.discard(passage)
            self._condition.notify_all()

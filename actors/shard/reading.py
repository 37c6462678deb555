"""Read transactions that another thread may end when they have been open for too long.

LMDB cannot use pages again that an open read may see, and cannot resize its map under one, so a forgotten read makes
the file grow and keeps writes from growing the map. Each call of a read takes a lock of its own; ending it from another
thread takes the same lock, so no call is cut off in the middle, and the next one is told.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import lmdb

from actors.shard.errors import ShardReadExpiredError

if TYPE_CHECKING:
    RawTxn = lmdb.Transaction[bytes]
else:
    RawTxn = lmdb.Transaction


class ReadTxn:
    """A read transaction with the calls `get`, `cursor` and `stat` of LMDB's."""

    def __init__(self, txn: RawTxn, opened_at_s: float) -> None:
        self._txn = txn
        self._lock = threading.RLock()
        self._open_s: float | None = None
        self.opened_at_s = opened_at_s

    def get(self, key: bytes, default: Any = None, *, db: Any = None) -> Any:
        """Return the value of a key."""
        with self._lock:
            self._check()
            return self._txn.get(key, default, db=db)

    @contextmanager
    def cursor(self, db: Any = None) -> Iterator[Any]:
        """Open a cursor; the read cannot be ended while it is open."""
        with self._lock:
            self._check()
            with self._txn.cursor(db=db) as cursor:
                yield cursor

    def stat(self, db: Any = None) -> Any:
        """Measure a table, or the shard."""
        with self._lock:
            self._check()
            return self._txn.stat() if db is None else self._txn.stat(db)

    def end(self) -> None:
        """End the transaction."""
        with self._lock:
            self._txn.abort()

    def expire(self, open_s: float, on_end: Callable[[], None]) -> bool:
        """End the transaction from another thread unless it is inside a call; return whether it was ended."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._open_s = open_s
            self._txn.abort()
            on_end()
        finally:
            self._lock.release()
        return True

    @property
    def is_expired(self) -> bool:
        """Whether another thread has ended it."""
        return self._open_s is not None

    def _check(self) -> None:
        if self._open_s is not None:
            raise ShardReadExpiredError(
                f"this read was ended after {self._open_s:.1f} s, so that the shard can use space again; read in"
                " shorter pieces, or open the shard with a larger reader_timeout_s"
            )

"""When a partition's parts are made durable, and how: all of them in one transaction, with the record of the marks."""

import logging
from collections.abc import Callable

from actors.partition.parts import RECORD_KEY, Parts
from actors.partition.sealing import seal
from actors.shard import Shard, ShardFullError
from actors.shard.shard import Txn
from config.settings import FlushSettings

log = logging.getLogger(__name__)

STORE_PENDING_BYTES_MAX = 64 << 20
"""Bytes of pending events that make a flush due."""


class Flushing:
    """The flushes of one partition: by period, by number of rows, by size, and when somebody asks."""

    def __init__(
        self, settings: FlushSettings, parts: Parts, shard: Shard, number: int, on_flushed: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._parts = parts
        self._shard = shard
        self._number = number
        self._on_flushed = on_flushed
        self._flushed_at_us: int | None = None
        self.count = 0
        """Flushes that were written since the partition was opened."""

        self.degraded: str | None = None
        """Why the last flush failed, or `None`."""

    def write_if_due(self, now_us: int) -> None:
        """Flush if it is time; a failure is kept and tried again."""
        if self._flushed_at_us is None:
            self._flushed_at_us = now_us
        marks = self._parts.marks
        is_pending = self._parts.waiting_count > 0 or self.degraded is not None or marks.reached() != marks.committed
        if is_pending and self._is_due(now_us, self._flushed_at_us):
            try:
                self.write(now_us)
            except ShardFullError:
                log.warning("flush failed", extra={"partition": self._number, "reason": self.degraded})

    def write(self, now_us: int) -> None:
        """Flush.

        Raises:
            ShardFullError: there is no space; everything pending is kept and the next flush tries again.
        """
        entries = [entry for part in self._parts for entry in part.entries()]
        record, tables = self._parts.record(), self._parts.tables

        def write(txn: Txn) -> None:
            for table, key, value in entries:
                if value is None:
                    txn.delete(key, db=tables[table])
                else:
                    txn.put(key, seal(key, value), db=tables[table])
            for part in self._parts:
                part.write(txn, now_us)
            txn.put(RECORD_KEY, seal(RECORD_KEY, record), db=tables["partition"])

        try:
            self._shard.write(write)
        except ShardFullError as error:
            self.degraded = str(error)
            raise
        self._parts.saved()
        self._flushed_at_us = now_us
        self.degraded = None
        self.count += 1
        self._on_flushed()

    def _is_due(self, now_us: int, flushed_at_us: int) -> bool:
        is_old = now_us - flushed_at_us >= self._settings.period_ms * 1000
        # Flushing early keeps the store from refusing events in the middle of a batch.
        is_much = self._parts.events.pending_size_bytes >= STORE_PENDING_BYTES_MAX
        return is_old or is_much or self._parts.waiting_count >= self._settings.rows

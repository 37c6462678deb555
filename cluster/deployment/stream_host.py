"""The process that fills a job's own stream table with what this machine measures.

A plain class that `cluster.deployment.deploy` turns into a Ray actor. It samples in a thread of its own, so that no
election, no restart of a host and no slow leader stops the journal: what was measured is replayed to whoever leads
later.
"""

import logging
import os
import threading
import time
from pathlib import Path

from actors.source.open import open_host_feed, open_stream_table
from config.settings import JobSettings

log = logging.getLogger(__name__)


class StreamHost:
    """Writer of one stream table."""

    def __init__(self, job: bytes, directory: str) -> None:
        # Ray of others starts workers with another one.
        os.umask(0o077)
        settings = JobSettings.from_bytes(job)
        self._table = open_stream_table(settings, Path(directory))
        self._feed = open_host_feed(settings, self._table)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stopping.is_set():
            try:
                self._feed.feed(time.time_ns() // 1000)
            except Exception:
                log.exception("a sample was not taken")
            due_s = max(due_s + self._feed.period_ms / 1000, time.monotonic())
            self._stopping.wait(due_s - time.monotonic())

    def pid(self) -> int:
        """Return the process id, whatever else is being done."""
        return os.getpid()

    def ready(self) -> int:
        """Return the process id, once the table is open."""
        return os.getpid()

    def stop(self) -> None:
        """Take no more samples; the table stays open for nobody."""
        self._stopping.set()
        self._thread.join()
        self._table.close()

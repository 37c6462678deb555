"""The process that fills a job's own stream table: with what this machine measures, or what others push.

A plain class that `cluster.deployment.deploy` turns into a Ray actor. It works in threads of its own, so that no
election, no restart of a host and no slow leader stops the journal: what was measured or has arrived is replayed to
whoever leads later.
"""

import logging
import os
import threading
import time
from pathlib import Path

from actors.source.open import open_host_feed, open_stream_table
from actors.source.push.feeds import Feed, open_feed
from cluster.allowed import allowed_here
from cluster.surroundings import feed_places_here
from config.push import PushSource
from config.settings import JobSettings

log = logging.getLogger(__name__)


class StreamHost:
    """Writer of one stream table."""

    def __init__(self, job: bytes, directory: str) -> None:
        # Ray of others starts workers with another one.
        os.umask(0o077)
        settings = JobSettings.from_bytes(job)
        self._table = open_stream_table(settings, Path(directory))
        self._stopping = threading.Event()
        self._pushed: Feed | None = None
        self._thread: threading.Thread | None = None
        if isinstance(settings.source, PushSource):
            self._pushed = open_feed(settings, self._table, feed_places_here(allowed_here()))
            return
        self._feed = open_host_feed(settings, self._table)
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
        """Take no more samples, and receive no more; the table stays open for nobody."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._pushed is not None:
            self._pushed.close()
        self._table.close()

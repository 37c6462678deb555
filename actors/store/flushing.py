"""The background flush of a store that owns its shard: a thread that calls it every period, or earlier when asked.

A failing flush keeps everything pending and is tried again at the next period; until it succeeds the store is degraded
and says so.
"""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class BackgroundFlush:
    """Runs a flush every `period_ms` until closed."""

    def __init__(self, flush: Callable[[], object], period_ms: int) -> None:
        self._flush = flush
        self._period_s = period_ms / 1000
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="tocsin-store-flush", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def hurry(self) -> None:
        """Flush now instead of at the end of the period."""
        self._wake.set()

    def close(self) -> None:
        """End the thread after the flush under way; it does not flush once more."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._period_s)
            self._wake.clear()
            if self._closing:
                return
            try:
                self._flush()
            except Exception:
                # Whatever it was, the rows stay pending and the thread must live to try again; `stat` shows the reason.
                log.warning("the flush failed, everything stays pending", exc_info=True)

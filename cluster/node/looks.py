"""Looks that the leading node's process takes again and again for as long as it lives, each in a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from raft.group import GroupState

log = logging.getLogger(__name__)


class LedGroup(Protocol):
    """The group, as far as those who look ask it."""

    def led_epoch(self) -> int | None:
        """Return the epoch that this node's member leads, or `None`."""
        ...

    def state(self) -> GroupState:
        """Return the newest state known here."""
        ...


def look_for_ever(look: Callable[[], object], *, trouble: str, every_s: float, retry_s: float = 0.0) -> None:
    """Call `look` every `every_s` seconds in a new thread; when it fails, `trouble` is logged and it is called again.

    `retry_s` are seconds of pause beyond that after a failure.
    """

    def run() -> None:
        while True:
            time.sleep(every_s)
            try:
                look()
            except Exception:
                log.exception(trouble)
                time.sleep(retry_s)

    threading.Thread(target=run, name=getattr(look, "__qualname__", "look"), daemon=True).start()

"""The thread of a feed that fetches what others push: it runs until the feed is closed, and then so is its keeper."""

import threading
from collections.abc import Callable

from actors.source.push.keeper import Keeper


class FeedThread:
    """Runs some work, which ends soon after `closing` is set."""

    def __init__(self, name: str, keeper: Keeper, work: Callable[[], None]) -> None:
        self._keeper = keeper
        self._thread = threading.Thread(target=work, name=name, daemon=True)
        self.closing = threading.Event()
        """Set once the feed is to end."""

    def start(self) -> None:
        """Begin the work."""
        self._thread.start()

    def close(self) -> None:
        """End the work, and what waits to be kept with it."""
        self.closing.set()
        # The work may wait for room, which there is none of any more.
        self._keeper.close()
        self._thread.join()

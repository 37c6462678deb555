"""A thread with an event loop, for clients that know no other way."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

CLOSE_TIMEOUT_S = 3.0
"""Longest wait for the end of a client or of the thread."""

T = TypeVar("T")


class LoopThread:
    """Runs coroutines of one client, in bounded time."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Return what some work comes to; it may raise whatever that raises.

        Raises:
            TimeoutError: it takes longer.
        """

        async def bounded() -> T:
            return await asyncio.wait_for(work, timeout_s)

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop).result(timeout_s + 1)

    def close(self, last: Coroutine[Any, Any, Any] | None = None) -> None:
        """Do some last work, whatever comes of it, and end the thread."""
        if last is not None:
            with contextlib.suppress(Exception):
                self.run(last, CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_TIMEOUT_S)
        if not self._loop.is_running() and not self._loop.is_closed():
            self._loop.close()

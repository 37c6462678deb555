"""The lookout of a leading node: which nodes answer, and what they say of their Ray and of their leader's process."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from cluster.errors import ClusterError
from cluster.node.calls import NodeClient
from cluster.node.status import NodeStatus

LOOK_S: Final = 1.0
"""Seconds between two looks at a node."""

LOOK_TIMEOUT_S: Final = 2.0
"""Seconds that a node has to say how it is."""

PRESENT_S: Final = 3.5
"""Seconds after its last answer during which a node counts as there."""


class Lookout:
    """Asks other nodes how they are, while it is told to, in a thread of its own."""

    def __init__(self, client_of: Callable[[str], NodeClient]) -> None:
        self._client_of = client_of
        self._addresses: Mapping[str, str] = {}
        self._answers: dict[str, tuple[float, NodeStatus]] = {}
        self._since_s: float | None = None
        self._busy: set[str] = set()
        self._stopping = threading.Event()
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="lookout")
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)
        self._thread.start()

    def follow(self, addresses: Mapping[str, str] | None) -> None:
        """Look at the nodes with these addresses, by name; `None` stops looking."""
        if addresses is None:
            self._since_s, self._addresses, self._answers = None, {}, {}
        else:
            self._addresses = addresses
            if self._since_s is None:
                self._since_s = time.monotonic()

    def status(self, name: str) -> NodeStatus | None:
        """Return what a node said, if it did lately."""
        heard_s, status = self._answers.get(name, (0.0, None))
        return status if time.monotonic() - heard_s < PRESENT_S else None

    def silence_s(self, name: str) -> float:
        """Return for how long a node has said nothing, counted from when it was first asked."""
        heard_s, _ = self._answers.get(name, (0.0, None))
        return min(self.watched_s, time.monotonic() - heard_s)

    @property
    def watched_s(self) -> float:
        """For how long nodes have been asked; 0 while they are not."""
        since_s = self._since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def close(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._thread.join()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            for name, address in self._addresses.items():
                if name not in self._busy:
                    self._busy.add(name)
                    self._threads.submit(self._look, name, address)

    def _look(self, name: str, address: str) -> None:
        try:
            status = self._client_of(address).call("status", timeout_s=LOOK_TIMEOUT_S)
            if isinstance(status, NodeStatus) and status.name == name:
                self._answers[name] = (time.monotonic(), status)
        except ClusterError:
            pass
        finally:
            self._busy.discard(name)

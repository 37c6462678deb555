"""Troubles of a job that is waited for: each is said once, when it begins."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.client.client import Client


class SaidTroubles:
    """Says what is in the way of a job; `what_next` follows each trouble."""

    def __init__(
        self, client: "Client", name: str, period_s: float, what_next: str, say: Callable[[str], None]
    ) -> None:
        self._client = client
        self._name = name
        self._period_s = period_s
        self._what_next = what_next
        self._say = say
        self._due_s = 0.0
        self.last = ""
        """What was said last; empty before."""

    def look(self) -> None:
        """Ask the leader, at most once in a period, and say a trouble that is new."""
        if time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + self._period_s
        status = self._client.runner_status(self._name)
        trouble = "" if status is None else ", ".join(status.troubles)
        if trouble not in ("", self.last):
            self._say(f"{self._name}: {trouble}; {self._what_next}")
        self.last = trouble or self.last

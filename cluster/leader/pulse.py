"""The pulse of hosts: asks each again and again whether it is there, and knows for how long it has not said so.

Hosts answer in a thread of their own, whatever else they are busy with, so one that is silent hangs. Only time during
which this process ran counts: one that was stopped itself has heard nobody.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from cluster.leader.ports import HostPort

PERIOD_US: Final = 1_000_000
"""Between two questions."""

LOOK_US_MAX: Final = 1_000_000
"""What counts, at most, of the time between two looks."""


class _Beat:
    def __init__(self, host: HostPort) -> None:
        self.host = host
        self.is_asked = False
        self.silence_us = self.rest_us = 0


class Pulse:
    """The hosts of one job; `clock_us` only grows. Called from one thread, but for `follow`."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._looked_us = clock_us()
        self._beats: dict[str, _Beat] = {}

    def follow(self, name: str, host: HostPort) -> None:
        """Ask a host that has started."""
        self._beats[name] = _Beat(host)

    def forget(self, name: str) -> None:
        """Ask it no more."""
        self._beats.pop(name, None)

    def look(self) -> dict[str, int]:
        """Ask whom it is time to ask, and return for how long each has been silent, in microseconds."""
        now_us = self._clock_us()
        passed_us, self._looked_us = min(now_us - self._looked_us, LOOK_US_MAX), now_us
        beats = dict(self._beats)
        for beat in beats.values():
            if beat.is_asked:
                beat.silence_us += passed_us
            else:
                beat.rest_us -= passed_us
                if beat.rest_us <= 0:
                    self._ask(beat)
        return {name: beat.silence_us for name, beat in beats.items()}

    def _ask(self, beat: _Beat) -> None:
        beat.is_asked = True
        heard = partial(_heard, beat)
        # A host that has died is no silent one: what is sent to it fails.
        beat.host.is_there().when_done(heard, heard)


def _heard(beat: _Beat, answer: object) -> None:
    beat.silence_us, beat.rest_us, beat.is_asked = 0, PERIOD_US, False

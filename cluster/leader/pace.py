"""Pace: how many batches a host is asked to read at a time, so that it is busy for about a flush period."""


class Pace:
    """Batches for each host: one at first, at most `count_max`."""

    def __init__(self, period_us: int, count_max: int) -> None:
        self._period_us = period_us
        self.count_max = count_max
        """The most batches that a host is asked for at a time."""
        self._counts: dict[str, int] = {}

    def count(self, host: str) -> int:
        """Return how many batches a host is asked for next."""
        return self._counts.get(host, 1)

    def took(self, host: str, took_us: int) -> None:
        """Know how long a host took for those that it was asked for last."""
        if took_us > self._period_us:
            self._counts[host] = max(self.count(host) // 2, 1)
        elif 2 * took_us < self._period_us:
            self._counts[host] = min(self.count(host) * 2, self.count_max)

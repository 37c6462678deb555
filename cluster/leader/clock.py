"""Time for the leader's core, which reads no clock: what the times of the events say has passed, and pauses."""

from cluster.leader.limits import LeaderLimits


class ElapsedTime:
    """Microseconds since the first event. The time of day may be set back; time that has passed never shrinks."""

    def __init__(self) -> None:
        self.now_us = 0
        """The time of day that the newest event gave."""
        self.elapsed_us = 0
        """What has passed since the first event."""
        self._is_set = False

    def pass_to(self, now_us: int) -> None:
        """Take the time of an event."""
        self.elapsed_us += max(now_us - self.now_us, 0) if self._is_set else 0
        self.now_us, self._is_set = now_us, True


class Backoff:
    """Pauses that double with every failure in a row, up to a limit; `jitter` shortens all of them."""

    def __init__(self, limits: LeaderLimits, jitter: float, pause_us_max: int | None = None) -> None:
        self._limits = limits
        self._jitter = jitter
        self._pause_us_max = limits.retry_us_max if pause_us_max is None else pause_us_max
        self._failure_count = 0

    def pause_us(self) -> int:
        """Count one more failure and return how long to wait."""
        # 2**20 pauses are beyond every limit, and the power of a long outage would be a number of thousands of digits.
        doubled = self._limits.retry_us_min << min(self._failure_count, 20)
        self._failure_count += 1
        return int(min(doubled, self._pause_us_max) * self._jitter)

    def reset(self) -> None:
        """Forget the failures: something went well."""
        self._failure_count = 0

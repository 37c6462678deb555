"""Counters of an engine."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStat:
    """What an engine has seen and holds."""

    row_count: int
    """Rows given to it."""

    anomaly_count: int
    key_count: int
    """Keys that state is kept for; there is none where every metric looks at one row alone."""

    late_row_count: int
    """Rows discarded because they were older than their key's latest row."""

    timeless_row_count: int
    """Rows discarded because they had no time."""

    next_offset: int
    """Offset after the last row given."""

    snapshot_offset: int
    """Last offset covered by the latest snapshot file, -1 before the first."""

    null_comparison_counts: tuple[int, ...] = field(compare=False)
    """For each metric, how many comparisons in it met NULL since the engine was made or restored.

    It is no part of the state, and so of no comparison of states.
    """

    @property
    def discarded_row_count(self) -> int:
        """Rows that took no part."""
        return self.late_row_count + self.timeless_row_count

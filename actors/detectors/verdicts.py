"""What detectors that follow variables say of them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableVerdict:
    """What is known of one variable of one group."""

    detector: str
    """Name of the detector."""

    group: tuple[Any, ...]
    """Values of the key columns and the event columns that the group is."""

    variable: str
    """The column."""

    type: str
    """STATIC, STABLE, UNSTABLE, RANDOM or INSUFFICIENT_DATA."""

    reason: str
    """Why."""

    observation_count: int
    """Values seen, NULL not counted."""

    distinct_count: int
    """Distinct values; an estimate beyond the number kept exactly."""

    change_count: int
    """Observations of a value never seen before."""

    last_change: int | None
    """Time of the last of them, in ticks of the time column; `None` before the first."""

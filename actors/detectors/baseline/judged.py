"""What is found of each row: what was expected of it, and how far the row is from what its key has shown."""

from dataclasses import dataclass

import numpy as np

from actors.detectors.baseline.state import PART_COUNT, Doubles


@dataclass(slots=True)
class Judged:
    """Rows of a batch, in the order of the batch; a row that brought no value has no expectation (NaN) and no score."""

    expected: Doubles
    """What the best forecast said."""

    reach: Doubles
    """Natural logarithm of how far the band reaches from it on both sides."""

    level: Doubles
    """How far the mean of the last rows lies above the slow forecast; negative: below."""

    scores: Doubles
    """Scores before the sensitivity."""

    parts: Doubles
    """Scores of the parts, the first of which only makes the band: shape (parts, rows)."""

    @classmethod
    def of(cls, row_count: int) -> "Judged":
        """Return rows of which nothing is known yet."""
        nothing = np.full(row_count, np.nan)
        return cls(nothing, nothing.copy(), np.zeros(row_count), np.zeros(row_count), np.zeros((PART_COUNT, row_count)))

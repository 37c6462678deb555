"""What sending and own reading have in common: where the splits stand, and what has been counted on the way."""

from cluster.leader.desk import Desk
from cluster.leader.lanes import Lanes
from cluster.leader.positions import Positions
from cluster.leader.status import PumpStat
from config.settings import JobSettings


class RowMover:
    """Brings the rows of one job to its partitions; `Sending` and `OwnReading` say how."""

    def __init__(self, desk: Desk, settings: JobSettings, lanes: Lanes, positions: Positions) -> None:
        self._desk = desk
        self._period_us = settings.flush.period_ms * 1000
        self._lanes = lanes
        self._positions = positions
        self._row_count = self._dead_letter_count = self._anomaly_count = 0

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on its way."""
        return self._lanes.is_empty

    @property
    def is_at_end(self) -> bool:
        """Whether every split has ended, and everything was applied."""
        return self._positions.at_end and self.is_quiet

    @property
    def row_count(self) -> int:
        """Good rows that were read."""
        return self._row_count

    def stat(self) -> PumpStat:
        """Return counters."""
        return PumpStat(
            row_count=self._row_count,
            dead_letter_count=self._dead_letter_count,
            anomaly_count=self._anomaly_count,
            positions=self._positions.next_offsets,
            at_end=self._positions.at_end,
        )

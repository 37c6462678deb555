"""What sending and own reading have in common: where the splits stand, what has been counted, flushes of idle hosts."""

from functools import partial

from cluster.leader.desk import Desk
from cluster.leader.instructions import FlushDue
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
        self._flush_due_us: dict[str, int] = {}
        self._flushing: set[str] = set()
        self._flush_timeout_us = desk.limits.reply_timeout_us

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on its way."""
        return self._lanes.is_empty

    @property
    def is_at_end(self) -> bool:
        """Whether every split has ended, and everything was applied."""
        return self._positions.at_end and self.is_quiet

    @property
    def _may_flush(self) -> bool:
        """Whether a host that is asked to flush has nothing better to do."""
        return True

    def flush_due(self) -> None:
        """Let hosts flush what has waited long enough; rows make them do the same, so it is for when there are none."""
        now_us, hosts = self._desk.elapsed_us, self._lanes.hosts
        self._flush_due_us = {host: self._flush_due_us.get(host, now_us + self._period_us) for host in hosts}
        for host, due_us in self._flush_due_us.items():
            if due_us <= now_us and host not in self._flushing and self._may_flush:
                self._flushing.add(host)
                request = FlushDue(request=self._desk.next_number(), host=host)
                self._desk.ask(request, partial(self._on_flushed, host), timeout_us=self._flush_timeout_us)

    def _on_flushed(self, host: str, event: object) -> None:
        self._flushing.discard(host)
        self._put_off_flush(host)

    def _put_off_flush(self, host: str) -> None:
        self._flush_due_us[host] = self._desk.elapsed_us + self._period_us

    def _flush_dues_us(self) -> list[int]:
        """Return the elapsed times at which hosts are to flush."""
        return [due_us for host, due_us in self._flush_due_us.items() if host not in self._flushing]

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

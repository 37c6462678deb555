"""Sending: batches are read from the source, split by split in turn, and sent to the hosts of their rows.

A source that fails does so by itself: partitions stay open and flush, and the source is opened again after a pause that
grows. Only when it then lacks the rows that come next are the partitions opened anew, so that they know of the gap.
"""

from collections.abc import Callable
from functools import partial

from cluster.leader.clock import Backoff
from cluster.leader.desk import Desk, raise_trouble
from cluster.leader.events import BatchApplied, SourceOpened, SplitRead
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.instructions import CloseSource, OpenSource, ReadSplit, SendBatch
from cluster.leader.lanes import Lanes
from cluster.leader.positions import Positions
from cluster.leader.reading import SplitBatch
from cluster.leader.row_mover import RowMover
from config.settings import JobSettings


class Sending(RowMover):
    """Moves the rows of one job from its source to its hosts; `also` is given each batch that is sent."""

    def __init__(
        self,
        desk: Desk,
        settings: JobSettings,
        lanes: Lanes,
        positions: Positions,
        also: Callable[[SplitBatch], None] = lambda _: None,
    ) -> None:
        super().__init__(desk, settings, lanes, positions)
        self._row_count_max = settings.limits.batch_rows_max
        self._also = also
        self._is_reading = False
        self._is_source_open = True
        self._read_due_us = 0
        self._backoff = Backoff(desk.limits, desk.jitter)
        self.source_trouble: str | None = None
        """Why nothing is read, or `None`."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Nothing: who carries out the reads asks the source itself."""
        return ()

    @property
    def _may_flush(self) -> bool:
        return self._lanes.is_empty

    @property
    def is_reading(self) -> bool:
        """Whether the source has been asked for rows, or to open."""
        return self._is_reading

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on its way."""
        return not self._is_reading and self._lanes.is_empty

    def send(self) -> None:
        """Send what may go."""
        for host, batch, count in self._lanes.take_sendable():
            self._put_off_flush(host)
            # It waits for those before it.
            timeout_us = count * self._desk.limits.reply_timeout_us
            request = SendBatch(request=self._desk.next_number(), host=host, batch=batch)
            self._desk.ask(request, partial(self._on_applied, host), timeout_us=timeout_us)

    def _on_applied(self, host: str, event: BatchApplied) -> None:
        self._lanes.answered(host)
        self._anomaly_count += event.anomaly_count

    def read(self) -> None:
        """Read the next batch, if there is space for it and the source may have one."""
        if self._is_reading or not self._lanes.has_space or self._read_due_us > self._desk.elapsed_us:
            return
        if not self._is_source_open:
            self._is_reading = True
            timeout_us = self._desk.limits.start_timeout_us
            request = OpenSource(request=self._desk.next_number())
            self._desk.ask(request, self._on_source_opened, self._on_source_failure, timeout_us)
        elif (place := self._positions.next_split()) is not None:
            split, offset = place
            self._is_reading = True
            read = ReadSplit(
                request=self._desk.next_number(), split=split, offset=offset, row_count_max=self._row_count_max
            )
            self._desk.ask(read, self._on_read, self._on_source_failure)

    def read_at_once(self) -> None:
        """Look at the source again without a pause."""
        self._read_due_us = 0

    def _on_read(self, event: SplitRead) -> None:
        self._is_reading = False
        self.source_trouble = None
        self._backoff.reset()
        if self._positions.take(event.batch):
            self._read_due_us = self._desk.elapsed_us + self._desk.limits.idle_us
        if event.batch.end > event.batch.start:
            self._lanes.post(event.batch)
            self._also(event.batch)
            self._row_count += event.batch.row_count
            self._dead_letter_count += event.batch.dead_letter_count

    def _on_source_failure(self, failure: Failure) -> None:
        if failure.kind in (FailureKind.STALE, FailureKind.FATAL):
            raise_trouble(failure)
        if self._is_source_open:
            self._desk.say(CloseSource())
        self._is_reading = self._is_source_open = False
        self.source_trouble = failure.reason
        self._read_due_us = self._desk.elapsed_us + self._backoff.pause_us()

    def _on_source_opened(self, event: SourceOpened) -> None:
        self._is_reading, self._is_source_open = False, True
        for split, offset in self._positions.lost(event.earliest).items():
            raise_trouble(
                Failure(FailureKind.OTHER, f"split {split} of the source begins at {offset} now; rows before are gone")
            )
        self._positions.add(event.earliest)

    def dues_us(self) -> list[int]:
        """Return the elapsed times at which something is due."""
        return self._flush_dues_us() + ([] if self._is_reading else [self._read_due_us])

    def validate(self) -> None:
        """Assert every invariant."""
        self._positions.validate()
        self._lanes.validate()

"""Own reading: hosts read the splits of their own partitions, and the leader learns how far they have come.

It takes the place of `sending` where a job is partitioned by split. A host has one request at a time and does several
batches for it, as many as take about a flush period, so that it does not wait for the leader between two and nothing
else waits long for it; a partition that moves is not read until its new
host has it. What a host has not answered may be applied all the same: whatever goes wrong on the way ends the attempt,
and the next one asks the partitions where they stand. A host that lost its leader does what it was asked, and no more.

A split whose source fails is tried again after a pause that grows, while the others go on. Only when it then lacks the
rows that come next are the partitions opened anew, so that they know of the gap.

Hosts that are as busy as they can be, and read for owners as for copies, would never let a copy get what it lacks. So
an owner reads for half of the time as long as its copy is on the way and has not been as far yet.
"""

from collections.abc import Callable
from functools import partial

from actors.split_reader import SplitProgress
from cluster.leader.clock import Backoff
from cluster.leader.desk import Desk, raise_trouble
from cluster.leader.events import SplitsRead
from cluster.leader.failures import Failure, FailureKind
from cluster.leader.instructions import ReadSplits
from cluster.leader.lanes import Lanes
from cluster.leader.pace import Pace
from cluster.leader.positions import Positions
from cluster.leader.row_mover import RowMover
from config.settings import JobSettings


class OwnReading(RowMover):
    """Has hosts read what one job's source has for them; `has_copy_to_come` says for which partitions they yield."""

    def __init__(
        self,
        desk: Desk,
        settings: JobSettings,
        lanes: Lanes,
        positions: Positions,
        has_copy_to_come: Callable[[int], bool] = lambda _: False,
    ) -> None:
        super().__init__(desk, settings, lanes, positions)
        self._has_copy_to_come = has_copy_to_come
        self._pace = Pace(self._period_us, settings.limits.batches_in_flight_max)
        # When each host was asked that has not answered.
        self._asked: dict[str, int] = {}
        # Splits, the one whose last turn is longest ago first.
        self._turns = sorted(positions.next_offsets)
        self._due_us: dict[int, int] = {}
        self._host_due_us: dict[str, int] = {}
        self._idle_counts: dict[str, int] = {}
        # A flush waits for the batches that a host was asked to read before.
        self._flush_timeout_us *= self._pace.count_max + 1
        self._backoffs: dict[int, Backoff] = {}
        self._troubles: dict[int, str] = {}
        self._remarks: dict[int, tuple[str, ...]] = {}

    @property
    def source_trouble(self) -> str | None:
        """Why splits are not read, or `None`."""
        return "; ".join(self._troubles[split] for split in sorted(self._troubles)) or None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the source has to say of the records read since the partitions were opened."""
        return tuple(dict.fromkeys(text for _, texts in sorted(self._remarks.items()) for text in texts))

    @property
    def is_reading(self) -> bool:
        """Whether hosts have been asked for rows."""
        return bool(self._asked)

    def send(self) -> None:
        """Send nothing: hosts have their rows from the source."""

    def read(self) -> None:
        """Ask every host that has nothing to do for the splits whose time has come."""
        owners, now_us = self._lanes.owners, self._desk.elapsed_us
        for host in self._lanes.hosts:
            if host in self._asked or self._host_due_us.get(host, 0) > now_us:
                continue
            splits = [split for split in self._turns if owners[split] == host and self._is_due(split)]
            if splits:
                self._ask(host, splits)

    def _is_due(self, split: int) -> bool:
        is_free = self._positions.goes_on(split) and not self._lanes.is_kept_back(split)
        return is_free and self._due_us.get(split, 0) <= self._desk.elapsed_us

    def _ask(self, host: str, splits: list[int]) -> None:
        self._asked[host] = self._desk.elapsed_us
        self._lanes.asked(host, splits)
        count, offsets = self._pace.count(host), self._positions.next_offsets
        request = ReadSplits(
            request=self._desk.next_number(),
            host=host,
            offsets={split: offsets[split] for split in splits},
            batch_count_max=count,
        )
        timeout_us = count * self._desk.limits.reply_timeout_us
        self._desk.ask(request, partial(self._on_read, host), timeout_us=timeout_us)

    def read_at_once(self) -> None:
        """Look at the source again without a pause."""
        self._due_us.clear()
        self._host_due_us.clear()

    def _on_read(self, host: str, event: SplitsRead) -> None:
        took_us = self._desk.elapsed_us - self._asked.pop(host)
        self._pace.took(host, took_us)
        self._lanes.answered(host)
        for progress in event.progress:
            self._take(host, progress)
        if any(progress.end > progress.start for progress in event.progress):
            self._idle_counts[host] = 0
            if any(self._has_copy_to_come(progress.split) for progress in event.progress):
                pause_us = min(took_us, self._desk.limits.yield_us_max)
                self._host_due_us[host] = self._desk.elapsed_us + pause_us
        else:
            count = self._idle_counts.get(host, 0)
            # Beyond every limit after a few; the power of a long silence would be a number of thousands of digits.
            pause_us = min(self._desk.limits.idle_us << min(count, 20), self._desk.limits.host_idle_us_max)
            self._idle_counts[host] = count + 1
            self._host_due_us[host] = self._desk.elapsed_us + pause_us

    def _take(self, host: str, progress: SplitProgress) -> None:
        split = progress.split
        self._row_count += progress.row_count
        self._dead_letter_count += progress.dead_letter_count
        self._anomaly_count += progress.anomaly_count
        self._positions.reach(split, progress.end, at_end=progress.at_end)
        if progress.gone_until:
            raise_trouble(Failure(FailureKind.OTHER, progress.trouble or f"rows of split {split} are gone"))
        self._turns.remove(split)
        self._turns.append(split)
        if progress.trouble is None:
            self._remarks[split] = progress.remarks
            self._troubles.pop(split, None)
            self._backoffs.pop(split, None)
        else:
            backoff = self._backoffs.setdefault(split, Backoff(self._desk.limits, self._desk.jitter))
            self._troubles[split] = f"{host}: {progress.trouble}"
            self._due_us[split] = self._desk.elapsed_us + backoff.pause_us()

    def dues_us(self) -> list[int]:
        """Return the elapsed times at which something is due."""
        owners = self._lanes.owners
        reads = [
            max(self._due_us.get(split, 0), self._host_due_us.get(owners[split], 0))
            for split in self._turns
            if owners[split] not in self._asked and self._positions.goes_on(split)
        ]
        return self._flush_dues_us() + reads

    def validate(self) -> None:
        """Assert every invariant."""
        assert sorted(self._turns) == sorted(self._positions.next_offsets)
        assert self._troubles.keys() == self._backoffs.keys()
        assert self._lanes.owners.keys() == self._positions.next_offsets.keys()
        self._positions.validate()
        self._lanes.validate()

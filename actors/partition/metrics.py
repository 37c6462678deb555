"""The metrics of a partition: its engine, and the ticks between the rows that it takes.

Rows and ticks are taken in the order of their offsets; a tick comes after the row at which it happened, which may be
that of another partition. What a tick makes known has its own ordinals (`actors.partition.episode_table`). Of rows and
ticks that the shard knows, only the state they leave is wanted.

The engine's snapshot is written at some flushes only, so it has a mark of its own in each split.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from actors.engine.episodes.tracker import EpisodeChanges
from actors.frames import empty_frame
from actors.partition.absences import Absences
from actors.partition.assembly import build_engine
from actors.partition.episode_table import EpisodeTable, LateOrdinals
from actors.partition.marks import Marks
from actors.partition.part import Entry, Fields, Part, Saved
from actors.partition.rejected_records import RecordTable, add_late
from actors.partition.ticks import SeenTick, Tick, TickFinder
from config.settings import JobSettings
from config.specs import metric_ticks

SNAPSHOT_BYTES_PER_ROW = 32
"""A snapshot in the shard is due when a row at least has come for so many bytes of the last one, beyond some.

To make and write 32 bytes takes about a seventh of the time of a row. With fewer rows between them, those of a large
state would take longer than its rows; with more, a restart would replay more.
"""

SNAPSHOT_BYTES_FREE = 1 << 20
"""Bytes of a snapshot that do not count: it may be made as often as the job says."""

Offsets = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What rows and ticks have raised that the shard does not have."""

    raised: pl.DataFrame
    """Anomalies of rows, as the engine gives them."""

    packed: list[Any]
    """Their details."""

    at_ticks: pl.DataFrame
    """Anomalies of ticks, with final ordinals and their details as text."""

    ticks: Sequence[SeenTick]

    ordinals: LateOrdinals
    """The numbers that are free at the rows of the batch."""


class Metrics(Part):
    """Engine and watch for absent keys of one partition."""

    def __init__(
        self,
        job: JobSettings,
        number: int,
        marks: Marks,
        late_rows: RecordTable,
        episodes: EpisodeTable,
        absent_type: int,
    ) -> None:
        self.engine = build_engine(job)
        self._job = job
        self._number = number
        self._marks = marks
        self._late_rows = late_rows
        self._episodes = episodes
        self._absence = Absences(job, absent_type)
        self._tick_size = metric_ticks(job, job.ticks) or None
        self._finder = TickFinder(job.time_column, self._tick_size)
        self._rows_since_snapshot = 0
        self._snapshot_size_bytes = 0
        self._wants_snapshot = False
        self._is_snapshot_due = False
        self._engine_marks: dict[int, int] = {}
        self._known_ticks: dict[int, int] = {}
        # Whether the shard lacks the episodes of rows below its marks, as after taking over a snapshot.
        self._tells_replayed_episodes = False
        self.state_size_bytes = 0
        self.null_comparison_counts: tuple[int, ...] = ()
        """Bytes that the engine's state took in memory at the last flush."""

    def test(self, split: int, frame: pl.DataFrame, offsets: Offsets, ticks: Sequence[Tick], committed: int) -> Tested:
        """Take the rows and ticks of a batch; those below `committed` change the state only."""
        # Ticks change the engine too, so that a partition without rows must not believe its snapshot to be up to date.
        self._rows_since_snapshot += len(offsets) + len(ticks)
        self.engine.follow_split(split)
        raised: list[pl.DataFrame] = []
        packed: list[Any] = []
        at_ticks: list[pl.DataFrame] = []
        seen: list[SeenTick] = []
        ordinals = LateOrdinals(self._number, self._job.partitions)
        nothing = self.engine.append_physical(frame[:0], offsets[:0])
        told = nothing.with_columns(detail=pl.lit(None, pl.String))
        for rows, places, tick in cut_at_ticks(frame, offsets, self._fresh(split, ticks), committed):
            found = self.engine.append_physical(rows, places)
            back = self._absence.see(split, rows, places)
            details, late = self.engine.take_details(), self.engine.take_late()
            is_known = bool(len(places)) and int(places[-1]) < committed
            if not is_known:
                raised.append(found)
                packed += details
                add_late(self._late_rows, split, late)
            self._take_episodes(split, self.engine.take_episodes(), ordinals, is_known=is_known)
            self._take_episodes(split, back, ordinals, is_known=is_known)
            if tick is not None:
                is_known = tick[0] < committed
                closed = self._advance(split, tick, ordinals, is_known=is_known)
                self._take_episodes(split, self.engine.take_episodes(), ordinals, is_known=is_known)
                silent, absences = self._absence.tick(split, tick, ordinals, told)
                self._absence.tell(self.engine, split, tick[0])
                self._take_episodes(split, self.engine.take_episodes(), ordinals, is_known=is_known)
                self._take_episodes(split, absences, ordinals, is_known=is_known)
                if not is_known:
                    at_ticks += [closed, silent]
                    seen.append(SeenTick(offset=tick[0], time=tick[1], absent_since=self._absence.since(split)))
        return Tested(
            raised=pl.concat(raised) if raised else nothing,
            packed=packed,
            at_ticks=pl.concat([told, *at_ticks]),
            ticks=seen,
            ordinals=ordinals,
        )

    def relearn(self, split: int, frame: pl.DataFrame, offsets: Offsets) -> None:
        """Take stored rows for the state that they leave, with the ticks that they make by themselves."""
        self.test(split, frame, offsets, self._finder.find(split, frame, offsets), int(offsets[-1]) + 1)

    def _fresh(self, split: int, ticks: Sequence[Tick]) -> list[Tick]:
        return [tick for tick in ticks if self._absence.is_fresh(split, tick[1])]

    def _advance(self, split: int, tick: Tick, ordinals: LateOrdinals, *, is_known: bool) -> pl.DataFrame:
        """Let time pass in the engine; return the anomalies that this raises, with their details."""
        offset, now = tick
        found = self.engine.advance_physical(now, offset, ordinals.numbering(offset))
        ordinals.skip(offset, found.height)
        packed, late = self.engine.take_details(), self.engine.take_late()
        if not is_known:
            add_late(self._late_rows, split, late)
        if not packed:
            return found.with_columns(detail=pl.lit(None, pl.String))
        told = [self.engine.render_detail(*one) for one in zip(found["type"].to_list(), packed, strict=True)]
        return found.with_columns(detail=pl.Series(told, dtype=pl.String))

    def _take_episodes(self, split: int, changes: EpisodeChanges, ordinals: LateOrdinals, *, is_known: bool) -> None:
        if not is_known:
            self._episodes.add(split, changes, ordinals)
            return
        self._episodes.skip(changes, ordinals)
        if self._tells_replayed_episodes:
            self._episodes.put(changes.changed)

    def want_snapshot(self) -> None:
        """Let the next flush take a snapshot of the engine, if any row has come since the last."""
        self._wants_snapshot = True

    def begin_anew(self) -> None:
        """Go on where another job stopped, the next flush replaces its state."""
        # Stored rows tell this partition's own times only, and a tick comes from any row of its split.
        for split, time in self._known_ticks.items():
            self._reach(split, time, self._marks.committed[split])
        self._replace_state()

    def entries(self) -> list[Entry]:
        """Return the engine's snapshot and that of the watch, if it is time."""
        for_size = (self._snapshot_size_bytes - SNAPSHOT_BYTES_FREE) // SNAPSHOT_BYTES_PER_ROW
        interval_rows = max(self._job.snapshot_interval_rows, for_size)
        self._is_snapshot_due = self._rows_since_snapshot >= (1 if self._wants_snapshot else interval_rows)
        is_current = self._is_snapshot_due or not self._rows_since_snapshot
        self._engine_marks = dict(self._marks.received) if is_current else self._marks.engine
        if not self._is_snapshot_due:
            return []
        absence = self._absence_state()
        snapshot = self.engine.snapshot()
        self._snapshot_size_bytes = len(snapshot)
        found: list[Entry] = [("engine", b"snapshot", snapshot)]
        return found if absence is None else [*found, ("engine", b"absence", absence)]

    def fields(self) -> Fields:
        """Return where the engine's snapshot stands, and the latest ticks."""
        return {
            "engine": self._engine_marks,
            "tells_replayed_episodes": self._tells_replayed_episodes,
            "ticks": self._reached_ticks(),
        }

    def saved(self) -> None:
        """Note where the engine's snapshot stands."""
        if self._is_snapshot_due:
            self._rows_since_snapshot = 0
        self._wants_snapshot = False
        self._marks.engine = self._engine_marks
        # Measured here, because `stat` is asked by other threads while rows change the state.
        self.state_size_bytes = self.engine.memory().state_size_bytes
        self.null_comparison_counts = self.engine.stat().null_comparison_counts

    def load(self, saved: Saved) -> None:
        """Take over the engine's snapshot, unless it is of other metrics, and the latest ticks."""
        self._known_ticks = saved.record.get("ticks", {})
        self._tells_replayed_episodes = saved.record.get("tells_replayed_episodes", False)
        snapshot, absence = (saved.get("engine", key) for key in (b"snapshot", b"absence"))
        if saved.is_of_other_job or snapshot is None:
            return
        self.engine.restore(snapshot)
        self._snapshot_size_bytes = len(snapshot)
        if absence is not None:
            self._absence.restore(absence)

    def snapshot(self) -> Fields:
        """Return the state of engine and watch."""
        return {"engine": self.engine.capture(), "absence": self._absence_state()}

    def restore(self, body: Fields) -> None:
        """Take over a snapshot; episodes that began before are made known anew, those of the replay too."""
        self.engine.restore(body["engine"])
        if body.get("absence") is not None:
            self._absence.restore(body["absence"])
        self._tells_replayed_episodes = True
        self._replace_state()

    def validate(self) -> None:
        """Assert that ticks are multiples of the tick and that nothing is counted below zero."""
        assert self._rows_since_snapshot >= 0
        for split, time in self._reached_ticks().items():
            assert self._tick_size is not None, f"split {split} has a tick in a job without"
            assert time % self._tick_size == 0, f"split {split}: {time} is no multiple of {self._tick_size}"

    def _replace_state(self) -> None:
        episodes = [*self.engine.open_episodes(), *self._absence.open_episodes()]
        self._episodes.put({episode.id: episode for episode in episodes})
        self._rows_since_snapshot = max(self._rows_since_snapshot, 1)
        self._wants_snapshot = True

    def _reached_ticks(self) -> dict[int, int]:
        # While the engine replays it is behind the ticks that the shard knows.
        known, now = self._known_ticks, self._absence.ticks
        return {split: max(known.get(split, time), now.get(split, time)) for split, time in (known | now).items()}

    def _reach(self, split: int, time: int, offset: int) -> None:
        """Let a split's time reach a tick that has been before, below an offset, unless it has."""
        nothing = empty_frame(self._job.row_schema), np.zeros(0, dtype=np.int64)
        self.test(split, *nothing, [(offset - 1, time)], offset)

    def _absence_state(self) -> bytes | None:
        return None if self._job.ticks is None else self._absence.snapshot()


def cut_at_ticks(
    frame: pl.DataFrame, offsets: Offsets, ticks: Sequence[Tick], committed: int = 0
) -> Iterator[tuple[pl.DataFrame, Offsets, Tick | None]]:
    """Cut rows after each tick and at the first row that is not known; give each part with the tick that ends it."""
    start = 0
    for tick in (*ticks, None):
        stop = len(offsets) if tick is None else int(np.searchsorted(offsets, tick[0], side="right"))
        known = min(max(int(np.searchsorted(offsets, committed)), start), stop)
        if start < known < stop:
            yield frame[start:known], offsets[start:known], None
            start = known
        if tick is not None or stop > start:
            yield frame[start:stop], offsets[start:stop], tick
        start = stop

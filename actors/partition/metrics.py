"""The rows of a partition on their way through its engine, and the ticks between them.

Rows and ticks are taken in the order of their offsets; a tick comes after the row at which it happened, which may be
that of another partition. What a tick makes known has its own ordinals (`actors.partition.episode_table`). Of rows and
ticks that the shard knows, only the state they leave is wanted.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from actors.engine import AnomalyDetectionEngine
from actors.engine.episodes.absence import AbsenceWatch, Silence
from actors.frames import empty_frame
from actors.partition.assembly import IdleEngine
from actors.partition.episode_table import EpisodeTable, LateOrdinals
from actors.partition.rejected_records import SetAside, add_late
from actors.partition.ticks import Tick, TickFinder
from config.settings import JobSettings
from config.specs import metric_ticks

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


class RowTests:
    """Engine and watch for absent keys of one partition."""

    def __init__(
        self,
        job: JobSettings,
        number: int,
        engine: AnomalyDetectionEngine | IdleEngine,
        late_rows: SetAside,
        episodes: EpisodeTable,
    ) -> None:
        self._job = job
        self._number = number
        self._engine = engine
        self._late_rows = late_rows
        self._episodes = episodes
        self._absent_after = None if job.absent is None else metric_ticks(job, job.absent)
        self._absence = AbsenceWatch(job.time_column, job.key_columns, self._absent_after)
        self._finder = TickFinder(job.time_column, metric_ticks(job, job.ticks) or None)
        self.absent_type = 0
        """Type of the anomalies of absent keys: after metrics and detectors."""

        self.tells_replayed_episodes = False
        """Whether the shard lacks the episodes of rows below its marks, as after taking over a snapshot."""

    def test(self, split: int, frame: pl.DataFrame, offsets: Offsets, ticks: Sequence[Tick], committed: int) -> Tested:
        """Take the rows and ticks of a batch; those below `committed` change the state only."""
        self._engine.follow_split(split)
        raised: list[pl.DataFrame] = []
        packed: list[Any] = []
        at_ticks: list[pl.DataFrame] = []
        ordinals = LateOrdinals(self._number, self._job.partitions)
        for rows, places, tick in cut_at_ticks(frame, offsets, self._fresh(split, ticks), committed):
            found = self._engine.append_physical(rows, places)
            self._absence.see(split, rows)
            details, late = self._engine.take_details(), self._engine.take_late()
            is_known = bool(len(places)) and int(places[-1]) < committed
            if not is_known:
                raised.append(found)
                packed += details
                add_late(self._late_rows, split, late)
            self._take_episodes(split, ordinals, is_known=is_known)
            if tick is not None:
                is_known = tick[0] < committed
                closed = self._advance(split, tick, ordinals, is_known=is_known)
                self._take_episodes(split, ordinals, is_known=is_known)
                silent = self._absence.tick(split, tick[1])
                if not is_known:
                    at_ticks.append(closed)
                    at_ticks += [self._silences(silent, tick, ordinals)] if silent else []
        nothing = self._engine.append_physical(frame[:0], offsets[:0])
        told = nothing.with_columns(detail=pl.lit(None, pl.String))
        return Tested(
            raised=pl.concat(raised) if raised else nothing, packed=packed, at_ticks=pl.concat([told, *at_ticks])
        )

    def relearn(self, split: int, frame: pl.DataFrame, offsets: Offsets) -> None:
        """Take stored rows for the state that they leave, with the ticks that they make by themselves."""
        self.test(split, frame, offsets, self._finder.find(split, frame, offsets), int(offsets[-1]) + 1)

    def _fresh(self, split: int, ticks: Sequence[Tick]) -> list[Tick]:
        return [tick for tick in ticks if self._absence.is_fresh(split, tick[1])]

    def _advance(self, split: int, tick: Tick, ordinals: LateOrdinals, *, is_known: bool) -> pl.DataFrame:
        """Let time pass in the engine; return the anomalies that this raises, with their details."""
        offset, now = tick
        found = self._engine.advance_physical(now, offset, ordinals.numbering(offset))
        ordinals.skip(offset, found.height)
        packed, late = self._engine.take_details(), self._engine.take_late()
        if not is_known:
            add_late(self._late_rows, split, late)
        if not packed:
            return found.with_columns(detail=pl.lit(None, pl.String))
        told = [self._engine.render_detail(*one) for one in zip(found["type"].to_list(), packed, strict=True)]
        return found.with_columns(detail=pl.Series(told, dtype=pl.String))

    def _take_episodes(self, split: int, ordinals: LateOrdinals, *, is_known: bool) -> None:
        changes = self._engine.take_episodes()
        if not is_known:
            self._episodes.add(split, changes, ordinals)
        elif self.tells_replayed_episodes:
            self._episodes.put(changes.changed)

    def _silences(self, silent: Sequence[Silence], tick: Tick, ordinals: LateOrdinals) -> pl.DataFrame:
        assert self._absent_after is not None
        offset, now = tick
        count = len(silent)
        types = self._engine.append_physical(empty_frame(self._job.row_schema), np.zeros(0, dtype=np.int64)).schema
        keys = {name: [one.key[i] for one in silent] for i, name in enumerate(self._job.key_columns)}
        return pl.DataFrame(
            {
                self._job.time_column: [one.last + self._absent_after for one in silent],
                **keys,
                "type": [self.absent_type] * count,
                "metric": [f"absent for {self._job.absent}"] * count,
                "offset": [offset] * count,
                "ordinal": [ordinals.next(offset) for _ in silent],
                "detail": [json.dumps({"last": one.last, "tick": now}) for one in silent],
            },
            schema={**types, "detail": pl.String()},
        )

    @property
    def ticks(self) -> dict[int, int]:
        """Latest tick of each split."""
        return self._absence.ticks

    def reach(self, split: int, time: int, offset: int) -> None:
        """Let a split's time reach a tick that has been before, below an offset, unless it has."""
        nothing = empty_frame(self._job.row_schema), np.zeros(0, dtype=np.int64)
        self.test(split, *nothing, [(offset - 1, time)], offset)

    def snapshot(self) -> bytes | None:
        """Return the state that is not the engine's, `None` without ticks."""
        return None if self._job.ticks is None else self._absence.snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave."""
        self._absence.restore(snapshot)


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

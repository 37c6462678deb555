"""Absences: keys that have fallen silent, as anomalies and as episodes.

An absence is an anomaly of a tick, and an episode of the type that follows those of metrics and detectors: it fires at
the latest row of its key plus `absent`, and ends at the first row that the key has again. Where keys are forgotten
(`idle_key_ttl`), the episode ends without anybody having seen the key: as `no data`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from actors.engine.episodes.absence import AbsenceWatch, Silence
from actors.engine.episodes.episode import Episode, EpisodeId, EpisodeState
from actors.engine.episodes.tracker import EpisodeChanges, Notice
from actors.partition.episode_table import LateOrdinals
from actors.partition.ticks import Tick
from config.settings import JobSettings
from config.specs import metric_ticks

Offsets = np.ndarray[Any, np.dtype[np.int64]]


def absence_text(job: JobSettings) -> str | None:
    """Return what stands for the metric of an absence; `None` where none is looked for."""
    return None if job.absent is None else f"absent for {job.absent}"


class Absences:
    """The keys of some rows that are absent, and the ticks that show it; `type` is that of their anomalies."""

    def __init__(self, job: JobSettings, kind: int) -> None:
        self._job = job
        self._after = None if job.absent is None else metric_ticks(job, job.absent)
        self._watch = AbsenceWatch(job.time_column, job.key_columns, self._after)
        ttl = metric_ticks(job, job.engine.idle_key_ttl)
        self._forgotten_after = ttl + metric_ticks(job, job.engine.max_lateness) if ttl else None
        self.type = kind

    @property
    def ticks(self) -> dict[int, int]:
        """Latest tick of each split."""
        return self._watch.ticks

    def is_fresh(self, split: int, time: int) -> bool:
        """Return whether a tick goes beyond those before."""
        return self._watch.is_fresh(split, time)

    def see(self, split: int, frame: pl.DataFrame, offsets: Offsets) -> EpisodeChanges:
        """Take rows; return the absences that they end."""
        changed: dict[EpisodeId, Episode | None] = {}
        notices = []
        for one in self._watch.see(split, frame, offsets):
            ended = _ended(self._episode(split, one.key, *one.mark), EpisodeState.RESOLVED, one.time)
            changed[ended.id] = ended
            notices.append(Notice(one.offset, ended))
        return EpisodeChanges(changed=changed, notices=notices)

    def tick(
        self, split: int, tick: Tick, ordinals: LateOrdinals, none: pl.DataFrame
    ) -> tuple[pl.DataFrame, EpisodeChanges]:
        """Let time pass; return the anomalies that this raises, in a frame like `none`, and what is with absences."""
        offset, now = tick
        silent = self._watch.tick(split, now)
        frame, places = self._anomalies(silent, tick, ordinals, none)
        changed: dict[EpisodeId, Episode | None] = {}
        notices = []
        for one, ordinal in zip(silent, places, strict=True):
            mark = (one.last, offset, ordinal)
            self._watch.mark(split, one.key, mark)
            begun = self._episode(split, one.key, *mark)
            changed[begun.id] = begun
            notices.append(Notice(offset, begun))
        for key, mark in self._forgotten(split, now):
            ended = _ended(self._episode(split, key, *mark), EpisodeState.NO_DATA, now)
            changed[ended.id] = ended
            notices.append(Notice(offset, ended))
        return frame, EpisodeChanges(changed=changed, notices=notices)

    def _forgotten(self, split: int, now: int) -> list[tuple[tuple[Any, ...], Any]]:
        if self._forgotten_after is None:
            return []
        return [(key, mark) for key, _, mark in self._watch.forget(split, now - self._forgotten_after)]

    def since(self, split: int) -> dict[tuple[Any, ...], int]:
        """Return the keys of a split that are absent, and since when."""
        return {key: last + (self._after or 0) for key, (last, _) in self._watch.absent(split).items()}

    def open_episodes(self) -> list[Episode]:
        """Return the absences that have not ended."""
        return [
            self._episode(split, key, *mark)
            for split in self._watch.ticks
            for key, (_, mark) in self._watch.absent(split).items()
        ]

    def snapshot(self) -> bytes:
        """Return the state as bytes."""
        return self._watch.snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave."""
        self._watch.restore(snapshot)

    def _episode(self, split: int, key: tuple[Any, ...], last: int, offset: int, ordinal: int) -> Episode:
        assert self._after is not None
        start = last + self._after
        return Episode(
            split=split,
            offset=offset,
            type=self.type,
            key=key,
            start=start,
            state=EpisodeState.FIRING,
            fired_at=start,
            last_true=start,
            count=1,
            ordinal=ordinal,
        )

    def _anomalies(
        self, silent: Sequence[Silence], tick: Tick, ordinals: LateOrdinals, none: pl.DataFrame
    ) -> tuple[pl.DataFrame, list[int]]:
        if not silent or self._after is None:
            return none, []
        offset, now = tick
        count = len(silent)
        places = [ordinals.next(offset) for _ in silent]
        keys = {name: [one.key[i] for one in silent] for i, name in enumerate(self._job.key_columns)}
        columns: Mapping[str, Sequence[Any]] = {
            self._job.time_column: [one.last + self._after for one in silent],
            **keys,
            "type": [self.type] * count,
            "metric": [absence_text(self._job)] * count,
            "offset": [offset] * count,
            "ordinal": places,
            "detail": [json.dumps({"last": one.last, "tick": now}) for one in silent],
        }
        return pl.DataFrame(columns, schema=none.schema), places


def _ended(begun: Episode, state: EpisodeState, time: int) -> Episode:
    return replace(begun, state=state, end=max(begun.start, time))

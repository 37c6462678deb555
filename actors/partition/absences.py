"""Absences: keys that have fallen silent, as anomalies and as episodes.

An absence is an anomaly of a tick, and an episode of the type that follows those of metrics and detectors: it fires at
the latest row of its key plus `absent`, and ends at the first row that the key has again. Where keys are forgotten
(`idle_key_ttl`), the episode ends without anybody having seen the key: as `no data`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgpack
import numpy as np
import polars as pl

from actors.engine.episodes.absence import AbsenceWatch, Silence
from actors.engine.episodes.episode import Episode, EpisodeId, EpisodeState
from actors.engine.episodes.tracker import EpisodeChanges, Notice
from actors.partition.assembly import JobEngine
from actors.partition.episode_table import LateOrdinals
from actors.partition.metric_groups import MetricGroups
from actors.partition.ticks import Tick
from config.metric_groups import metric_groups
from config.settings import JobSettings
from config.specs import metric_ticks

_WATCHES = "watches"
"""Begins the bytes of several watches; those of one begin with its ticks."""

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
        # Metrics with a key of their own, whose episodes have no data when that is absent.
        self._others = {
            group.key_columns: AbsenceWatch(job.time_column, group.key_columns, self._after)
            for group in metric_groups(job)
            if self._after is not None and group.key_columns != job.key_columns
        }
        places = {name: place for place, name in enumerate(job.key_columns)}
        self._places = [places.get(name) for name in job.all_key_columns]
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
        for other in self._others.values():
            other.see(split, frame, offsets)
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
        for other in self._others.values():
            other.tick(split, now)
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
        for other in self._others.values():
            other.forget(split, now - self._forgotten_after)
        return [(key, mark) for key, _, mark in self._watch.forget(split, now - self._forgotten_after)]

    def tell(self, engine: JobEngine, split: int, offset: int) -> None:
        """Let the episodes of keys that are absent have no data, as seen at a row."""
        if isinstance(engine, MetricGroups):
            engine.note_absent(lambda group: self._since(split, group.key_columns), offset)
        else:
            engine.note_absent(self._since(split, self._job.key_columns), offset)

    def since(self, split: int) -> dict[tuple[Any, ...], int]:
        """Return the keys of the job that are absent in a split, and since when."""
        return self._since(split, self._job.key_columns)

    def _since(self, split: int, key_columns: tuple[str, ...]) -> dict[tuple[Any, ...], int]:
        """Return the keys of a split that are absent, and since when."""
        watch = self._others.get(key_columns, self._watch)
        return {key: last + (self._after or 0) for key, (last, _) in watch.absent(split).items()}

    def open_episodes(self) -> list[Episode]:
        """Return the absences that have not ended."""
        return [
            self._episode(split, key, *mark)
            for split in self._watch.ticks
            for key, (_, mark) in self._watch.absent(split).items()
        ]

    def snapshot(self) -> bytes:
        """Return the state as bytes."""
        own = self._watch.snapshot()
        if not self._others:
            return own
        return bytes(msgpack.packb([_WATCHES, own, *(other.snapshot() for other in self._others.values())]))

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave."""
        if not self._others:
            self._watch.restore(snapshot)
            return
        _, own, *others = msgpack.unpackb(snapshot)
        self._watch.restore(own)
        for other, state in zip(self._others.values(), others, strict=True):
            other.restore(state)

    def _episode(self, split: int, key: tuple[Any, ...], last: int, offset: int, ordinal: int) -> Episode:
        assert self._after is not None
        start = last + self._after
        return Episode(
            split=split,
            offset=offset,
            type=self.type,
            key=tuple(None if place is None else key[place] for place in self._places),
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
        keys = {
            name: [None if place is None else one.key[place] for one in silent]
            for name, place in zip(self._job.all_key_columns, self._places, strict=True)
        }
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

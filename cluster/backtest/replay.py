"""Replay: the engine and the detectors of a job over recorded rows, in this process and as fast as they go.

There are no shards, no event store and no sinks. Anomalies are those of the job, because engine and detectors depend
on rows and offsets alone. Rows come from an *input*: something that gives batches, the same ones whenever it is asked.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import polars as pl

from actors.detectors import Detector
from actors.engine import AnomalyDetectionEngine
from actors.engine.episodes.episode import Episode, EpisodeId, EpisodeState
from actors.engine.episodes.tracker import EpisodeChanges
from actors.partition.absences import Absences, absence_text
from actors.partition.anomaly_table import merge_anomalies
from actors.partition.assembly import IdleEngine, build_detectors, build_engine, wide_frame
from actors.partition.episode_table import LateOrdinals
from actors.partition.finding_episodes import FindingEpisodes
from actors.partition.metrics import cut_at_ticks
from actors.partition.ticks import SeenTick, TickFinder
from actors.source.protocol import DeadLetter
from config.settings import JobSettings
from config.specs import metric_ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class InputBatch:
    """Some rows of one split, in the order of their offsets."""

    split: int
    frame: pl.DataFrame
    """Canonical frame."""

    offsets: np.ndarray
    dead_letters: tuple[DeadLetter, ...] = ()

    def where(self, condition: pl.Expr) -> "InputBatch":
        """Return the batch with the rows that fulfil a condition."""
        chosen = self.frame.select(condition).to_series()
        return replace(self, frame=self.frame.filter(chosen), offsets=self.offsets[chosen.to_numpy()])


Input = Callable[[], Iterable[InputBatch]]
"""Gives all batches, the same ones whenever it is called."""


class ClosedWindows(NamedTuple):
    """Windows that closed, of the metrics that have one window and one key."""

    metrics: tuple[int, ...]
    """Positions of the metrics in the job."""

    key_columns: tuple[str, ...]
    frame: pl.DataFrame


class Replay:
    """The engine and the detectors of a job, without anything around them."""

    def __init__(self, job: JobSettings) -> None:
        # Nobody reads why a metric fired, and noting it takes a third of the time.
        quiet = job.engine.model_copy(update={"explain": "none"})
        self.engine = build_engine(job.model_copy(update={"engine": quiet}))
        self._job = job
        self._detectors = build_detectors(job)
        counts = [len(job.metrics), *(len(detector.metrics) for detector in self._detectors)]
        self._bases = np.cumsum(counts)[:-1].tolist()
        self._absence_text = absence_text(job)
        self._absences = Absences(job, sum(counts))
        self._finding_episodes = FindingEpisodes(job, counts[1:], lambda brought: None)
        self._seen_ticks: list[SeenTick] = []
        self._ticks = TickFinder(job.time_column, metric_ticks(job, job.ticks) or None)
        self.keeps_windows = False
        """Whether `closed_windows` is wanted."""

        self.closed_windows: list[ClosedWindows] = []
        """The windows that closed in the latest batch, by metric group, if they are wanted."""

        self.episode_counts: Counter[int] = Counter()
        """Episodes that have fired, by type."""

        self.episodes: dict[EpisodeId, Episode] | None = None
        """All episodes as they are now, if they are wanted: an empty mapping asks for them."""

    @property
    def metrics(self) -> list[str]:
        """Texts of all metrics, those of detectors after the engine's; the position is the anomaly's type."""
        learned = [metric for detector in self._detectors for metric in detector.metrics]
        absent = [] if self._absence_text is None else [self._absence_text]
        return [metric.text for metric in self.engine.metrics] + learned + absent

    @property
    def watched(self) -> list[set[str]]:
        """Columns that each metric of the detectors looks at, in their order."""
        by_detector = [(detector, _variables(detector)) for detector in self._detectors]
        return [names for detector, groups in by_detector for names in groups or [set()] * len(detector.metrics)]

    def apply(self, batch: InputBatch) -> pl.DataFrame:
        """Return the anomalies of a batch, with integer times, as a partition would report them."""
        self.engine.follow_split(batch.split)
        parts, at_ticks = self._tested(batch)
        # Not looked at here, and kept for nobody else.
        self.engine.take_late()
        for detector, base in zip(self._detectors, self._bases, strict=True):
            found = detector.process(batch.frame, batch.offsets)
            parts.append(wide_frame(self._job, found.with_columns((pl.col("type") + base).cast(pl.Int32))))
        rows = batch.split, batch.frame, batch.offsets
        self._follow(self._finding_episodes.observe(*rows, parts[1:], self._seen_ticks))
        merged = merge_anomalies(parts)
        if not at_ticks.height:
            return merged
        return pl.concat([merged, at_ticks.select(merged.columns)]).sort("offset", "ordinal", maintain_order=True)

    def _tested(self, batch: InputBatch) -> tuple[list[pl.DataFrame], pl.DataFrame]:
        """Take rows and ticks through the engine; return the anomalies of rows, as one frame, and those of ticks."""
        nothing = self.engine.append_physical(batch.frame[:0], batch.offsets[:0])
        found, at_ticks = [nothing], [nothing]
        closed: list[list[ClosedWindows]] = []
        told = nothing.with_columns(detail=pl.lit(None, pl.String))
        ordinals = LateOrdinals(0, 1)
        self._seen_ticks = []
        ticks = self._ticks.find(batch.split, batch.frame, batch.offsets)
        for frame, offsets, tick in cut_at_ticks(batch.frame, batch.offsets, ticks):
            found.append(self.engine.append_physical(frame, offsets))
            closed.append(self._closed())
            self._follow(self.engine.take_episodes())
            self._follow(self._absences.see(batch.split, frame, offsets))
            if tick is not None and self._absences.is_fresh(batch.split, tick[1]):
                at_ticks.append(self.engine.advance_physical(tick[1], tick[0], ordinals.numbering(tick[0])))
                ordinals.skip(tick[0], at_ticks[-1].height)
                closed.append(self._closed())
                silent, absences = self._absences.tick(batch.split, tick, ordinals, told)
                at_ticks.append(silent.select(nothing.columns))
                absent_since = self._absences.since(batch.split)
                self._seen_ticks.append(SeenTick(offset=tick[0], time=tick[1], absent_since=absent_since))
                self._absences.tell(self.engine, batch.split, tick[0])
                self._follow(self.engine.take_episodes())
                self._follow(absences)
        self.closed_windows = [
            same[0]._replace(frame=pl.concat(one.frame for one in same)) for same in zip(*closed, strict=True)
        ]
        return [pl.concat(found)], pl.concat(at_ticks).with_columns(detail=pl.lit(None, pl.String))

    def _follow(self, changes: EpisodeChanges) -> None:
        """Count the episodes that have fired, and know all as they are now."""
        fired = [one.episode for one in changes.notices if one.episode.state is EpisodeState.FIRING]
        self.episode_counts.update(one.type for one in fired if one.turned_at is None)
        if self.episodes is None:
            return
        for place, episode in changes.changed.items():
            if episode is None:
                self.episodes.pop(place, None)
            else:
                self.episodes[place] = episode

    def _closed(self) -> list[ClosedWindows]:
        if not self.keeps_windows or isinstance(self.engine, IdleEngine):
            return []
        if isinstance(self.engine, AnomalyDetectionEngine):
            every = tuple(range(len(self.engine.metrics)))
            return [ClosedWindows(every, self.engine.settings.key_columns, self.engine.closed_windows())]
        return [
            ClosedWindows(one.group.metrics, one.group.key_columns, one.engine.closed_windows())
            for one in self.engine.groups
        ]


def _variables(detector: Detector) -> list[set[str]]:
    """Return the columns of each metric of a detector, if its specification names them."""
    spec = detector.spec
    variables = [{name} for name in getattr(spec, "variables", ())]
    return variables or [set(names) for names in getattr(spec, "combinations", ())]

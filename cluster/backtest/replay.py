"""Replay: the engine and the detectors of a job over recorded rows, in this process and as fast as they go.

There are no shards, no event store and no sinks. Anomalies are those of the job, because engine and detectors depend
on rows and offsets alone. Rows come from an *input*: something that gives batches, the same ones whenever it is asked.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from actors.detectors import Detector
from actors.engine import AnomalyDetectionEngine
from actors.engine.episodes.episode import EpisodeState
from actors.engine.report.output import Numbering
from actors.partition.anomaly_table import merge_anomalies
from actors.partition.assembly import build_detectors, build_engine
from actors.partition.metrics import cut_at_ticks
from actors.partition.ticks import TickFinder
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


class Replay:
    """The engine and the detectors of a job, without anything around them."""

    def __init__(self, job: JobSettings) -> None:
        # Nobody reads why a metric fired, and noting it takes a third of the time.
        quiet = job.engine.model_copy(update={"explain": "none"})
        self.engine = build_engine(job.model_copy(update={"engine": quiet}))
        self._detectors = build_detectors(job)
        counts = [len(job.metrics), *(len(detector.metrics) for detector in self._detectors)]
        self._bases = np.cumsum(counts)[:-1].tolist()
        self._ticks = TickFinder(job.time_column, metric_ticks(job, job.ticks) or None)
        self.keeps_windows = False
        """Whether `closed_windows` is wanted."""

        self.closed_windows: pl.DataFrame | None = None
        """The windows that closed in the latest batch; `None` without metrics."""

        self.episode_counts: Counter[int] = Counter()
        """Episodes that have fired, by type."""

    @property
    def metrics(self) -> list[str]:
        """Texts of all metrics, those of detectors after the engine's; the position is the anomaly's type."""
        learned = [metric for detector in self._detectors for metric in detector.metrics]
        return [metric.text for metric in self.engine.metrics] + learned

    @property
    def watched(self) -> list[set[str]]:
        """Columns that each metric of the detectors looks at, in their order."""
        by_detector = [(detector, _variables(detector)) for detector in self._detectors]
        return [names for detector, groups in by_detector for names in groups or [set()] * len(detector.metrics)]

    def apply(self, batch: InputBatch) -> pl.DataFrame:
        """Return the anomalies of a batch, with integer times, as a partition would report them."""
        self.engine.follow_split(batch.split)
        parts, at_ticks = self._tested(batch)
        notices = self.engine.take_episodes().notices
        self.episode_counts.update(one.episode.type for one in notices if one.episode.state is EpisodeState.FIRING)
        # Not looked at here, and kept for nobody else.
        self.engine.take_late()
        for detector, base in zip(self._detectors, self._bases, strict=True):
            found = detector.process(batch.frame, batch.offsets)
            parts.append(found.with_columns((pl.col("type") + base).cast(pl.Int32)))
        merged = merge_anomalies(parts)
        if not at_ticks.height:
            return merged
        return pl.concat([merged, at_ticks.select(merged.columns)]).sort("offset", "ordinal", maintain_order=True)

    def _tested(self, batch: InputBatch) -> tuple[list[pl.DataFrame], pl.DataFrame]:
        """Take rows and ticks through the engine; return the anomalies of rows, as one frame, and those of ticks."""
        nothing = self.engine.append_physical(batch.frame[:0], batch.offsets[:0])
        found, at_ticks, closed = [nothing], [nothing], []
        ticks = self._ticks.find(batch.split, batch.frame, batch.offsets)
        for frame, offsets, tick in cut_at_ticks(batch.frame, batch.offsets, ticks):
            found.append(self.engine.append_physical(frame, offsets))
            closed.append(self._closed())
            if tick is not None:
                at_ticks.append(self.engine.advance_physical(tick[1], tick[0], Numbering()))
                closed.append(self._closed())
        shown = [windows for windows in closed if windows is not None]
        self.closed_windows = pl.concat(shown) if shown else None
        told = pl.concat(at_ticks).with_columns(detail=pl.lit(None, pl.String))
        return [pl.concat(found)], told

    def _closed(self) -> pl.DataFrame | None:
        if self.keeps_windows and isinstance(self.engine, AnomalyDetectionEngine):
            return self.engine.closed_windows()
        return None


def _variables(detector: Detector) -> list[set[str]]:
    """Return the columns of each metric of a detector, if its specification names them."""
    spec = detector.spec
    variables = [{name} for name in getattr(spec, "variables", ())]
    return variables or [set(names) for names in getattr(spec, "combinations", ())]

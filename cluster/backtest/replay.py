"""Replay: the engine and the detectors of a job over recorded rows, in this process and as fast as they go.

There are no shards, no event store and no sinks. Anomalies are those of the job, because engine and detectors depend
on rows and offsets alone. Rows come from an *input*: something that gives batches, the same ones whenever it is asked.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from actors.anomalies import merge_anomalies
from actors.assembly import build_detectors, build_engine
from actors.detectors import Detector
from actors.engine.episodes import EpisodeState
from actors.source import DeadLetter
from config.settings import JobSettings


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
        parts = [self.engine.append_physical(batch.frame, batch.offsets)]
        notices = self.engine.take_episodes().notices
        self.episode_counts.update(one.episode.type for one in notices if one.episode.state is EpisodeState.FIRING)
        # Not looked at here, and kept for nobody else.
        self.engine.take_late()
        for detector, base in zip(self._detectors, self._bases, strict=True):
            found = detector.process(batch.frame, batch.offsets)
            parts.append(found.with_columns((pl.col("type") + base).cast(pl.Int32)))
        return merge_anomalies(parts)


def _variables(detector: Detector) -> list[set[str]]:
    """Return the columns of each metric of a detector, if its specification names them."""
    spec = detector.spec
    variables = [{name} for name in getattr(spec, "variables", ())]
    return variables or [set(names) for names in getattr(spec, "combinations", ())]

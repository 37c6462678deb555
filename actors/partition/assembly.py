"""The parts of a partition, built from the settings of its job."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from actors.detectors import Detector
from actors.engine import AnomalyDetectionEngine
from actors.engine.episodes.episode import Episode
from actors.engine.episodes.tracker import EpisodeChanges
from actors.engine.report.costs import EngineMemory
from actors.engine.report.output import Numbering
from actors.engine.report.stat import EngineStat
from actors.engine.snapshot import Capture, WholeCapture
from actors.errors import SnapshotError
from actors.frames import polars_schema
from actors.partition.metric_groups import MetricGroups
from actors.shard import Shard
from actors.store import EventStore
from config.detector_specs import make_detectors
from config.metric_groups import group_specs, metric_groups
from config.settings import JobSettings
from config.specs import store_config


class IdleEngine:
    """Stands for the engine in a job without metrics: it raises nothing and has no state."""

    fingerprint = "no metrics"
    metrics: tuple[()] = ()
    peak_texts: tuple[()] = ()

    def __init__(self, job: JobSettings) -> None:
        types = polars_schema(job.row_schema)
        columns: dict[str, Any] = {name: types[name] for name in (job.time_column, *job.all_key_columns)}
        columns |= {"type": pl.Int32, "metric": pl.String, "offset": pl.Int64, "ordinal": pl.Int32}
        self._nothing = pl.DataFrame(schema=columns)

    def append_physical(self, frame: pl.DataFrame, offsets: Any = None) -> pl.DataFrame:
        """Return no anomalies."""
        return self._nothing

    def take_late(self) -> pl.DataFrame:
        """Return no rows: nothing is late where nothing is tested."""
        return pl.DataFrame()

    def follow_split(self, split: int) -> None:
        """Follow nothing."""

    def advance_physical(self, time: int, offset: int, numbering: Numbering) -> pl.DataFrame:
        """Let time pass and return no anomalies."""
        return self._nothing

    def note_absent(self, since: Mapping[tuple[Any, ...], int], offset: int) -> None:
        """Take nothing: no key has an episode."""

    def take_episodes(self) -> EpisodeChanges:
        """Return no episodes."""
        return EpisodeChanges(changed={}, notices=())

    def open_episodes(self) -> list[Episode]:
        """Return no episodes."""
        return []

    def take_details(self) -> list[Any]:
        """Return no details."""
        return []

    def render_detail(self, metric_index: int, packed: Any) -> None:
        """Return no text."""

    def capture(self) -> Capture:
        """Return no state, to be made bytes of later."""
        return WholeCapture(self.snapshot())

    def snapshot(self) -> bytes:
        """Return the bytes of no state."""
        return self.fingerprint.encode()

    def restore(self, snapshot: bytes) -> None:
        """Take over no state.

        Raises:
            SnapshotError: the bytes are a snapshot of something else.
        """
        if snapshot != self.snapshot():
            raise SnapshotError(f"these {len(snapshot)} bytes are a snapshot of another engine")

    def memory(self) -> EngineMemory:
        """Return the bytes of nothing."""
        return EngineMemory(state_size_bytes=0, key_count=0, late_size_bytes=0, parts=())

    def stat(self) -> EngineStat:
        """Return counters of nothing."""
        return EngineStat(
            row_count=0,
            anomaly_count=0,
            key_count=0,
            late_row_count=0,
            timeless_row_count=0,
            next_offset=0,
            snapshot_offset=-1,
            null_comparison_counts=(),
        )


JobEngine = AnomalyDetectionEngine | MetricGroups | IdleEngine
"""What tests the metrics of a job."""


def build_engine(job: JobSettings) -> JobEngine:
    """Return what tests the job's metrics, without any row: one engine, if all have one window and one key."""
    groups = metric_groups(job)
    if not groups:
        return IdleEngine(job)
    is_one = len(groups) == 1 and groups[0].key_columns == job.all_key_columns
    return AnomalyDetectionEngine.from_spec(group_specs(job)[0][1]) if is_one else MetricGroups(job)


def wide_frame(job: JobSettings, found: pl.DataFrame) -> pl.DataFrame:
    """Return anomalies of detectors, which have the job's key, with the key columns that metrics have besides."""
    others = job.all_key_columns[len(job.key_columns) :]
    if not others:
        return found
    types = polars_schema(job.row_schema)
    return found.with_columns(pl.lit(None, types[name]).alias(name) for name in others)


def build_detectors(job: JobSettings) -> list[Detector]:
    """Return the job's detectors in their order, having learnt nothing."""
    return make_detectors(job)


def stores_events(job: JobSettings) -> bool:
    """Return whether a job's partitions have an event store."""
    return job.events.store or job.events.anomalies


def build_store(job: JobSettings, shard: Shard) -> EventStore | None:
    """Return the event store in a shard, or `None` when the job stores no events."""
    return EventStore(shard, store_config(job)) if stores_events(job) else None

"""What goes into a partition and what it says of itself: routed batches and counters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import polars as pl

from actors.partition.gaps import Gap
from actors.source.protocol import DeadLetter


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedBatch:
    """What one partition gets of one batch of a split: its rows, and how far the batch reaches."""

    split: int
    """Number of the split."""

    start: int
    """First offset of the batch, whether or not its row belongs to this partition."""

    end: int
    """Offset after the last of the batch (exclusive)."""

    frame: pl.DataFrame
    """Canonical frame of this partition's rows."""

    offsets: np.ndarray
    """int64[rows]: offset of each row, strictly increasing, in `start..end`."""

    dead_letters: tuple[DeadLetter, ...] = ()
    """Records of the batch that are no rows, for the partition that keeps them."""

    ticks: tuple[tuple[int, int], ...] = ()
    """Ticks of the split in the batch: offset of the row at which each happened, and the time it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPartition:
    """Where a partition stands when it is opened, by split."""

    needed: Mapping[int, int]
    """Offset from which it needs rows."""

    reached: Mapping[int, int]
    """Offset below which it has been sent everything: above `needed` while the engine alone lacks rows."""

    generation: int = 1
    """Generation of its shard."""

    is_empty: bool = False
    """Whether the shard had no rows when it was opened, before a snapshot was taken over or a gap noted: it is new, or
    what the group knows to be acknowledged is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionStat:
    """Counters of one partition; every count starts anew when the partition is opened, except where it says so."""

    partition: int
    epoch: int
    received: Mapping[int, int]
    committed: Mapping[int, int]
    row_count: int
    """Rows applied to everything since the partition was opened."""

    replayed_row_count: int
    """Rows that fed the engine only, because the shard had them already."""

    state_size_bytes: int
    """Bytes that the engine's state took in memory at the last flush."""

    late_row_count: int
    """Rows that the metrics discarded, late or without a time, of all time; the shard keeps the newest, up to
    `limits.late_rows_max`."""

    anomaly_count: int
    """Anomalies in the shard, of all time."""

    dead_letter_count: int
    """Dead letters committed, of all time; the shard keeps the newest, up to `limits.dead_letters_max`."""

    event_count: int
    """Rows registered as events since the partition was opened."""

    flush_count: int
    outbox_counts: Mapping[str, int]
    """Anomalies that each sink has not taken yet, by the sink's identity."""

    size_bytes: int
    """Bytes the shard uses."""

    degraded: str | None
    """Why the last flush failed, or `None`."""

    null_comparison_counts: tuple[int, ...]
    """For each metric, how many of its comparisons had met NULL at the last flush, since the engine was restored."""

    gaps: tuple[Gap, ...]
    """Input that was gone from the source when this partition needed it."""


def null_comparisons(stats: Iterable[PartitionStat]) -> tuple[int, ...]:
    """Return for each metric how many of its comparisons met NULL, in all partitions."""
    # A partition that was not flushed yet has no counts.
    return tuple(map(sum, zip_longest(*(stat.null_comparison_counts for stat in stats), fillvalue=0)))

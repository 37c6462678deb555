"""Warm start: what a changed job learns from the events that the job before it has stored.

A partition whose shard was made with other metrics, windows or detectors begins with empty ones. They are fed the rows
of the last duration, as the shard's event store holds them, split by split in the order of offsets; what they find is
thrown away, because the old job has reported on these rows. The duration counts back from the newest watermark of the
partition, so the result depends on rows and offsets only. Then the partition goes on where the old job stopped.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from actors.frames import polars_schema
from actors.store import EventStore, Timestamp
from actors.store.query.history import HistoryParams
from config.settings import JobSettings

US_PER_S = 1_000_000
"""Microseconds in one second."""

OWN = "event "
"""Before the names of columns that are not the job's."""

Array = np.ndarray[Any, np.dtype[np.int64]]

Feed = Callable[[int, pl.DataFrame, Array], None]
"""Takes a split, rows as a canonical frame, and their offsets."""


def warm_up(job: JobSettings, store: EventStore, watermarks: Mapping[int, int], feed: Feed) -> int:
    """Feed the stored rows of the last `warm_start.last` and return their number; `watermarks` are those by split."""
    if job.warm_start is None or not watermarks:
        return 0
    since_us = max(watermarks.values()) - round(job.warm_start.last * US_PER_S)
    row_count = 0
    for split in sorted(watermarks):
        for frame, offsets in stored_rows(job, store, split, since_us):
            feed(split, frame, offsets)
            row_count += len(offsets)
    return row_count


def stored_rows(job: JobSettings, store: EventStore, split: int, since_us: int) -> Iterator[tuple[pl.DataFrame, Array]]:
    """Yield the rows of a split whose events have a timestamp from a moment on, in the order of offsets."""
    for frame in store.read_history(rows_params(job, split, since_us)):
        if frame.height:
            yield rows_of(job, frame)


def rows_params(job: JobSettings, split: int, since_us: int) -> HistoryParams:
    """Return what to ask a store's history for, to get a job's rows back."""
    return HistoryParams(
        fields=polars_schema(job.row_schema),
        columns=("session",),
        # A space keeps them apart from the job's own columns, whatever these are called.
        prefix=OWN,
        t_from=Timestamp.from_ticks(since_us),
        server=split,
        # Further instances are anomalies of the row.
        instance=1,
        batch_row_count=job.limits.batch_rows_max,
    )


def rows_of(job: JobSettings, frame: pl.DataFrame) -> tuple[pl.DataFrame, Array]:
    """Return a frame of a store's history as canonical rows and their offsets."""
    offsets = frame[f"{OWN}session"].cast(pl.Int64).to_numpy() - 1
    return frame.select(job.row_schema.names), offsets

"""Comparison of a cluster's output with one undisturbed run over the same input, byte for byte."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actors.frames import empty_frame
from actors.model import Schema
from actors.source.protocol import Source, SourceBatch, SplitInfo
from cluster.local.embedded import embedded_job
from config.settings import JobSettings

Entries = Sequence[tuple[bytes, bytes]]
"""An anomaly table as stored: id bytes and value bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How an anomaly table differs from the one of the undisturbed run."""

    expected_count: int
    """Anomalies of the undisturbed run."""

    missing_count: int
    """Anomalies that the other table lacks."""

    doubled_count: int
    """Anomalies that the other table has once too often, or that should not be there."""

    different_count: int
    """Anomalies with the same id and other bytes."""

    @property
    def is_equal(self) -> bool:
        """Whether the tables are equal, byte for byte."""
        return not (self.missing_count or self.doubled_count or self.different_count)


def compare(found: Entries, expected: Entries) -> Comparison:
    """Compare two anomaly tables."""
    wanted, given = dict(expected), dict(found)
    return Comparison(
        expected_count=len(wanted),
        missing_count=len(wanted.keys() - given.keys()),
        doubled_count=len(found) - len(given) + len(given.keys() - wanted.keys()),
        different_count=sum(given[key] != value for key, value in wanted.items() if key in given),
    )


class BoundedSource:
    """The beginning of another source: what a disturbed run has read, for the undisturbed one to read again."""

    def __init__(self, source: Source, ends: Mapping[int, int]) -> None:
        self._source = source
        self._ends = dict(ends)

    @property
    def schema(self) -> Schema:
        """Columns of the rows."""
        return self._source.schema

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return the splits that have an end."""
        return tuple(split for split in self._source.splits() if split.number in self._ends)

    def earliest_offset(self, split: int) -> int:
        """Return the first offset that can still be read."""
        return self._source.earliest_offset(split)

    def read(self, split: int, offset: int, row_count_max: int) -> SourceBatch:
        """Return records below the split's end."""
        end = self._ends[split]
        if offset >= end:
            nothing = np.empty(0, np.int64)
            return SourceBatch(frame=empty_frame(self.schema), offsets=nothing, next_offset=offset, at_end=True)
        batch = self._source.read(split, offset, min(row_count_max, end - offset))
        assert batch.next_offset <= end, "a source gave more records than it was asked for"
        return batch

    def remarks(self) -> tuple[str, ...]:
        """Return what is odd about the rows of the other source."""
        return self._source.remarks()

    def close(self) -> None:
        """Close the other source."""
        self._source.close()


def undisturbed_entries(
    job: JobSettings, source: Source, ends: Mapping[int, int], now_us: Callable[[], int]
) -> Entries:
    """Return the anomaly table of one run in this process over the records below the ends."""
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-") as directory,
        embedded_job(job, BoundedSource(source, ends), Path(directory), now_us) as running,
    ):
        running.run()
        return running.anomaly_entries()

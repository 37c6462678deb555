"""The history of a job as the input of a backtest: the rows in the event stores of its shards, in the order of time.

Shards are read as they are on disk, also while hosts own them. Rows are ordered by the watermark of their events, so
that a job with other keys gets its rows in order too; their offsets are counted anew, because rows of several shards
and splits come together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from actors.partition.event_mapping import ticks_to_us
from actors.partition.warm_start import OWN, rows_params
from actors.shard import ShardMissingError
from actors.store import Timestamp
from actors.store.query.history import HistoryParams, read_history
from cluster.backtest.counting import TimeRange
from cluster.backtest.replay import Input, InputBatch
from cluster.errors import BacktestError
from config.settings import JobSettings

_COLUMNS = ("timestamp", "server", "session")
_ORDER = tuple(OWN + name for name in _COLUMNS)


def history_input(job: JobSettings, directory: Path, times: TimeRange) -> Input:
    """Return the rows below a job's directory, or that of its shards.

    Raises:
        BacktestError: there are no shards.
    """
    shards = shard_directories(directory)
    params = _params(job, times)

    def batches() -> Iterator[InputBatch]:
        first = 0
        for frame in in_order([_rows(shard, params) for shard in shards]):
            _check_times(job, frame, directory)
            offsets = np.arange(first, first + frame.height)
            first += frame.height
            yield InputBatch(split=0, frame=frame.select(job.row_schema.names), offsets=offsets)
        if not first:
            raise BacktestError(f"no rows are stored in {str(directory)!r}; jobs with `events: {{store: true}}` do so")

    return batches


def shard_directories(directory: Path) -> list[Path]:
    """Return the directories of the shards below a job's directory.

    Raises:
        BacktestError: there are none.
    """
    inner = directory / "partitions"
    place = inner if inner.is_dir() else directory
    found = sorted(path for path in place.iterdir() if path.is_dir() and path.name.isdigit()) if place.is_dir() else []
    if not found:
        raise BacktestError(f"there are no shards in {str(directory)!r}; give the name or the directory of a job")
    return found


def in_order(streams: Sequence[Iterator[pl.DataFrame]]) -> Iterator[pl.DataFrame]:
    """Yield the rows of several streams, each in order, in one order."""
    open_streams = [_Stream(frames) for frames in streams]
    while True:
        for stream in open_streams:
            stream.fill()
        bound = min((stream.last for stream in open_streams if not stream.has_ended), default=None)
        taken = pl.concat([stream.take(bound) for stream in open_streams])
        if taken.height:
            yield taken.sort(_ORDER)
        elif bound is None:
            return
        else:
            # All that is here has one time, and more of that time may follow.
            for stream in open_streams:
                if not stream.has_ended and stream.last == bound:
                    stream.extend()


class _Stream:
    """Frames in order, and the rows of them that were not taken yet."""

    def __init__(self, frames: Iterator[pl.DataFrame]) -> None:
        self._frames = frames
        self._pending = next(frames)
        self.has_ended = False

    @property
    def last(self) -> int:
        """Time of the last row that is here."""
        return int(self._pending[_ORDER[0]].to_physical()[-1])

    def fill(self) -> None:
        """Read on if nothing is here."""
        while self._pending.is_empty() and not self.has_ended:
            self.extend()

    def extend(self) -> None:
        """Read on."""
        following = next(self._frames, None)
        self.has_ended = following is None
        self._pending = self._pending if following is None else pl.concat([self._pending, following])

    def take(self, bound: int | None) -> pl.DataFrame:
        """Take the rows before a time, `None` for all."""
        count = self._pending.height
        if bound is not None:
            count = int(np.searchsorted(self._pending[_ORDER[0]].to_physical().to_numpy(), bound))
        taken, self._pending = self._pending[:count], self._pending[count:]
        return taken


def _params(job: JobSettings, times: TimeRange) -> HistoryParams:
    since_us = 0
    if times.time_from is not None:
        # A row's event is never older than the row.
        kind = job.row_schema[job.time].type
        since_us = int(ticks_to_us(kind, np.array([times.time_from]))[0])
    params = rows_params(job, 0, since_us)
    from_when = None if times.time_from is None else Timestamp.from_ticks(since_us)
    return replace(params, columns=_COLUMNS, server=None, t_from=from_when)


def _rows(shard: Path, params: HistoryParams) -> Iterator[pl.DataFrame]:
    try:
        yield from read_history(shard, params)
    except ShardMissingError as error:
        raise BacktestError(f"{error}; only jobs with `events: {{store: true}}` keep their rows") from error


def _check_times(job: JobSettings, frame: pl.DataFrame, directory: Path) -> None:
    if frame[job.time_column].null_count():
        raise BacktestError(
            f"events in {str(directory)!r} have no column {job.time_column!r} of type "
            f"{job.row_schema[job.time].type}; they were stored with another schema or payload"
        )

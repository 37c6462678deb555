"""Counting: what a replay finds, added up by metric and key while it goes on; memory does not grow with the rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from actors.engine.episodes.episode import Episode
from actors.frames import polars_schema
from actors.source.protocol import DeadLetter
from cluster.backtest.replay import Input, InputBatch, Replay
from cluster.errors import TooManyAnomaliesError
from config.settings import JobSettings

LINES_PENDING_MAX = 200_000
"""Lines of counts after which they are added up."""

DEAD_LETTERS_KEPT_MAX = 3

IDS_KEPT_MAX = 20_000_000
"""Anomalies that can be compared with those of another job."""

EPISODES_KEPT_MAX = 1_000_000
"""Episodes that can be listed."""

_ID_TYPES = {"type": pl.Int32(), "split": pl.Int64(), "offset": pl.Int64(), "time": pl.Int64()}


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """Which rows take part, by their time in ticks; `None` is no bound."""

    time_from: int | None = None
    """Earliest time, inclusive."""

    time_to: int | None = None
    """Latest time, inclusive."""

    def cut(self, batch: InputBatch, time_column: str) -> InputBatch:
        """Return a batch without the rows outside."""
        if self.time_from is not None:
            batch = batch.where(pl.col(time_column) >= self.time_from)
        return batch if self.time_to is None else batch.where(pl.col(time_column) <= self.time_to)


EVER = TimeRange()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What a job finds in its input."""

    job: JobSettings
    metrics: tuple[str, ...]
    """Texts of all metrics; the position is the anomaly's type."""

    row_count: int
    outside_count: int
    """Rows that took no part because of their time."""

    late_row_count: int
    dead_letter_count: int
    dead_letters: tuple[DeadLetter, ...]
    """The first few."""

    time_first: int | None
    """Earliest time of a row, in ticks; `None` without rows."""

    time_last: int | None
    keys: pl.DataFrame
    """All key columns and the number of `rows` of each combination of them."""

    counts: pl.DataFrame
    """`type`, all key columns, number of `anomalies`, `first` and `last` time in ticks, by metric and key."""

    null_comparison_counts: tuple[int, ...]
    """For each metric, how many of its comparisons met NULL."""

    episode_counts: Mapping[int, int]
    """Episodes that have fired, by type; metrics without a lifecycle have none."""

    episodes: tuple[Episode, ...]
    """All episodes in the order of the rows that began them, if they were asked for."""

    ids: pl.DataFrame | None
    """`type`, `split`, `offset` and `time` of every anomaly, if they were asked for."""

    @property
    def anomaly_count(self) -> int:
        """Anomalies of all metrics."""
        return int(self.counts["anomalies"].sum())

    def rows_of(self, key_columns: Sequence[str]) -> pl.DataFrame:
        """Return the number of `rows` of each key of some of all key columns, at least one."""
        return self.keys.group_by(key_columns, maintain_order=True).agg(pl.col("rows").sum())

    def count_of(self, index: int) -> int:
        """Return the anomalies of one metric."""
        return int(self.counts.filter(pl.col("type") == index)["anomalies"].sum())


def run_backtest(
    job: JobSettings,
    rows: Input,
    times: TimeRange = EVER,
    *,
    keeps_ids: bool = False,
    keeps_episodes: bool = False,
) -> Backtest:
    """Return what a job finds in an input.

    Raises:
        TocsinError: the input cannot be read.
        TooManyAnomaliesError: there are more anomalies, or episodes, than can be kept.
    """
    replay, tally = Replay(job), _Tally(job, keeps_ids)
    replay.episodes = {} if keeps_episodes else None
    for batch in rows():
        wanted = times.cut(batch, job.time_column)
        tally.outside_count += batch.frame.height - wanted.frame.height
        tally.add_letters(wanted)
        if wanted.frame.height:
            tally.add_rows(wanted)
            tally.add_anomalies(wanted.split, replay.apply(wanted))
        if replay.episodes is not None and len(replay.episodes) > EPISODES_KEPT_MAX:
            raise TooManyAnomaliesError(f"more than {EPISODES_KEPT_MAX} episodes; look at less by --from and --to")
    return tally.result(replay)


class _Lines:
    """Lines of counts that are added up by some columns."""

    def __init__(self, by: Sequence[str], types: dict[str, pl.DataType]) -> None:
        self._by = list(by)
        self._sums = [
            {"first": pl.col(name).min(), "last": pl.col(name).max()}.get(name, pl.col(name).sum())
            for name in types
            if name not in by
        ]
        self._frames = [pl.DataFrame(schema=types)]

    def add(self, lines: pl.DataFrame) -> None:
        self._frames.append(self._summed(lines))
        if sum(frame.height for frame in self._frames[1:]) > LINES_PENDING_MAX:
            self._frames = [self.total()]

    def total(self) -> pl.DataFrame:
        return self._summed(pl.concat(self._frames, how="vertical"))

    def _summed(self, lines: pl.DataFrame) -> pl.DataFrame:
        if not self._by:
            return lines.select(self._sums) if lines.height else lines
        return lines.group_by(self._by, maintain_order=True).agg(self._sums)


class _Tally:
    """Counts of rows and anomalies."""

    def __init__(self, job: JobSettings, keeps_ids: bool) -> None:
        types = polars_schema(job.row_schema)
        keys = {name: types[name] for name in job.all_key_columns}
        counts = {"anomalies": pl.Int64(), "first": pl.Int64(), "last": pl.Int64()}
        self._job = job
        self._rows = _Lines(list(keys), {**keys, "rows": pl.Int64()})
        self._found = _Lines(["type", *keys], {"type": pl.Int32(), **keys, **counts})
        self._ids = [pl.DataFrame(schema=_ID_TYPES)] if keeps_ids else None
        self._id_count = self._row_count = self._dead_letter_count = self.outside_count = 0
        self._dead_letters: list[DeadLetter] = []
        self._times: list[int] = []

    def add_letters(self, batch: InputBatch) -> None:
        self._dead_letter_count += len(batch.dead_letters)
        self._dead_letters += batch.dead_letters[: DEAD_LETTERS_KEPT_MAX - len(self._dead_letters)]

    def add_rows(self, batch: InputBatch) -> None:
        self._row_count += batch.frame.height
        times = batch.frame[self._job.time_column].to_numpy()
        self._times = [min([*self._times[:1], int(times.min())]), max([*self._times[1:], int(times.max())])]
        self._rows.add(batch.frame.select(*self._job.all_key_columns).with_columns(rows=pl.lit(1, pl.Int64)))

    def add_anomalies(self, split: int, anomalies: pl.DataFrame) -> None:
        time = pl.col(self._job.time_column)
        one = pl.lit(1, pl.Int64)
        self._found.add(anomalies.select("type", *self._job.all_key_columns, anomalies=one, first=time, last=time))
        if self._ids is not None:
            self._id_count += anomalies.height
            if self._id_count > IDS_KEPT_MAX:
                raise TooManyAnomaliesError(
                    f"more than {IDS_KEPT_MAX} anomalies; compare less by --from and --to, or stricter metrics"
                )
            self._ids.append(anomalies.select("type", pl.lit(split, pl.Int64).alias("split"), "offset", time=time))

    def result(self, replay: Replay) -> Backtest:
        return Backtest(
            job=self._job,
            metrics=tuple(replay.metrics),
            row_count=self._row_count,
            outside_count=self.outside_count,
            late_row_count=replay.engine.stat().late_row_count,
            dead_letter_count=self._dead_letter_count,
            dead_letters=tuple(self._dead_letters),
            time_first=self._times[0] if self._times else None,
            time_last=self._times[1] if self._times else None,
            keys=self._rows.total(),
            counts=self._found.total(),
            null_comparison_counts=replay.engine.stat().null_comparison_counts,
            episode_counts=dict(replay.episode_counts),
            episodes=tuple(one for _, one in sorted((replay.episodes or {}).items())),
            ids=None if self._ids is None else pl.concat(self._ids),
        )

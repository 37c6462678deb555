"""The anomaly detection engine: rows in, anomalies out.

Rows are taken per key in arrival order. A metric without an aggregate is tested for every row; one of aggregates alone
when a window closes; one of both for every row, with the aggregates of the key's latest computed window. Windows close
before the row that closes them is tested. The output does not depend on how rows are cut into batches.

An engine belongs to one thread at a time: a call while another thread is in one is refused. `stat`, `costs` and
`memory` only read counters and may be asked by anybody.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import polars as pl

from actors.durations import Duration
from actors.engine.arguments import CheckedSettings, checked_settings
from actors.engine.calls import (
    OneThread,
    checked_moment,
    checked_offset,
    checked_offsets,
    checked_split,
    refused_thread,
)
from actors.engine.core import Core
from actors.engine.episodes.episode import Episode
from actors.engine.episodes.tracker import EpisodeChanges
from actors.engine.errors import EngineSchemaError, EngineSnapshotError
from actors.engine.language.terms import Metric
from actors.engine.report.costs import EngineCosts, EngineMemory
from actors.engine.report.details import Packed
from actors.engine.report.explain import Explanation
from actors.engine.report.lookback import closed_windows, explain
from actors.engine.report.output import Numbering
from actors.engine.report.stat import EngineStat
from actors.engine.snapshot import EngineCapture, decode_snapshot
from actors.engine.snapshot_files import NoSnapshotFiles, SnapshotFiles
from actors.engine.spec import EngineOptions, EngineSpec, spec_of
from actors.engine.vectors.vector import Array
from actors.errors import SchemaError
from actors.frames import polars_schema, without_nan
from actors.given_rows import Rows, to_frame
from actors.model import Schema

_LATE_NUMBERING = Numbering()


class AnomalyDetectionEngine:
    """Tests metrics on rows; see the module for the rules and `actors.engine.spec` for the arguments."""

    def __init__(
        self,
        name: str,
        metrics: str | Sequence[str],
        schema: Schema | Mapping[str, Any],
        time_column: str,
        key_columns: str | Sequence[str] = (),
        window_size: Duration | None = None,
        step: Duration | None = None,
        **options: Unpack[EngineOptions],
    ) -> None:
        spec = spec_of(
            name=name,
            metrics=metrics,
            schema=schema,
            time_column=time_column,
            key_columns=key_columns,
            window_size=window_size,
            step=step,
            **options,
        )
        self._start(checked_settings(spec))

    @classmethod
    def from_spec(cls, spec: EngineSpec) -> "AnomalyDetectionEngine":
        """Return the engine of a specification.

        Raises:
            EngineError: the specification cannot be used.
        """
        engine = object.__new__(cls)
        engine._start(checked_settings(spec))
        return engine

    def _start(self, settings: CheckedSettings) -> None:
        self.settings = settings
        self.metrics: tuple[Metric, ...] = settings.metrics
        self._core = Core(settings)
        self.fingerprint = self._core.fingerprint
        self.few_rows_max = self._core.rows.rows_max
        types = polars_schema(settings.schema)
        self._columns, self._types = list(types), [type(kind) for kind in types.values()]
        # Elsewhere NaN is as good as NULL: nothing shows it, or keeps it.
        reals = [name for name in settings.key_columns if types[name] == pl.Float64]
        self._shows_nan = bool(reals or settings.max_lateness)
        self._alone = OneThread()
        self._files: SnapshotFiles | NoSnapshotFiles = NoSnapshotFiles()
        if settings.snapshot_dir is not None:
            assert settings.snapshot_interval_rows is not None
            self._files = SnapshotFiles(settings.snapshot_dir, settings.name, settings.snapshot_interval_rows)
            self._files.load(self.restore)

    def __repr__(self) -> str:
        metrics = ", ".join(repr(metric.text) for metric in self.metrics)
        stat = self.stat()
        return (
            f"AnomalyDetectionEngine({self.settings.name!r}, [{metrics}]): {stat.row_count} rows,"
            f" {stat.anomaly_count} anomalies, {stat.key_count} keys"
        )

    @property
    def few_rows_max(self) -> int:
        """Rows of a batch that are tested one after the other, at most; it changes the speed, never the output."""
        return self._few_rows_max

    @few_rows_max.setter
    def few_rows_max(self, row_count: int) -> None:
        self._few_rows_max = row_count if self._core.rows.rows_max else 0

    def append(self, rows: Rows, offsets: Array | Sequence[int] | None = None) -> pl.DataFrame:
        """Test rows and return their anomalies, with times as Polars dates and times; NULL where those cannot show one.

        Raises:
            EngineSchemaError: the rows do not fit the schema.
            ArgumentError: the offsets do not fit the rows.
        """
        frame = rows if isinstance(rows, pl.DataFrame) and self._is_canonical(rows) else self._frame(rows)
        if not self._alone.acquire(False):
            raise refused_thread()
        try:
            return self._core.details.shown(self._append(frame, offsets, is_dated=True))
        finally:
            self._alone.release()

    def append_physical(self, frame: pl.DataFrame, offsets: Array | Sequence[int] | None = None) -> pl.DataFrame:
        """Test the rows of a canonical frame and return their anomalies, with times as integers.

        `offsets` are the rows' offsets, ascending; without them rows are numbered from the last one on. Their details
        wait for `take_details`.

        Raises:
            EngineSchemaError: the rows do not fit the schema.
            ArgumentError: the offsets do not fit the rows.
        """
        if not (isinstance(frame, pl.DataFrame) and self._is_canonical(frame)):
            frame = self._frame(frame)
        with self._alone:
            return self._append(frame, offsets, is_dated=False)

    def _is_canonical(self, frame: pl.DataFrame) -> bool:
        # Physical types have no parameters, and to compare their classes takes half the time.
        return frame.columns == self._columns and list(map(type, frame.dtypes)) == self._types

    def _frame(self, rows: Any) -> pl.DataFrame:
        try:
            return to_frame(self.settings.schema, rows)
        except SchemaError as error:
            raise EngineSchemaError(str(error)) from error

    def _append(self, frame: pl.DataFrame, offsets: Array | Sequence[int] | None, is_dated: bool) -> pl.DataFrame:
        core = self._core
        row_count = frame.height
        given = checked_offsets(core.counts["next_offset"], offsets, row_count)
        if not row_count:
            core.details.take()
            return core.presenter.empty(is_dated)
        if self._shows_nan:
            frame = without_nan(frame)
        found = core.append(frame, given, self._few_rows_max, is_dated)
        self._files.note(row_count, core.counts["next_offset"], self._snapshot)
        return found

    def take_details(self) -> list[Packed]:
        """Return the details of the latest batch's anomalies, in order; none unless `explain` asks for them."""
        with self._alone:
            return self._core.details.take()

    def render_detail(self, metric_index: int, packed: Packed) -> str | None:
        """Return the JSON text of a detail that `take_details` gave."""
        return self._core.details.render(metric_index, packed)

    @property
    def peak_texts(self) -> tuple[str | None, ...]:
        """The text of what the `peak` of each metric's episodes is a value of; `None` where they have none."""
        return self._core.peak_texts

    @property
    def value_texts(self) -> tuple[tuple[str, ...], ...]:
        """The texts of the parts of each metric that its anomalies have values of."""
        return tuple(self._core.details.part_texts(index) for index in range(len(self.peak_texts)))

    def explain(self, offset: int, ordinal: int = 0) -> Explanation:
        """Return why an anomaly of the latest batch was raised.

        Raises:
            ArgumentError: the latest batch raised no such anomaly; append its rows again to an engine restored to
                the state before them.
        """
        with self._alone:
            return explain(self._core, offset, ordinal)

    def closed_windows(self) -> pl.DataFrame:
        """Return the windows that the latest batch closed, by key: key columns, end, number of rows, each aggregate."""
        with self._alone:
            return closed_windows(self._core)

    def follow_split(self, split: int) -> None:
        """Say which split the next rows come from (0 unless said): it names episodes, and rows wait by split."""
        with self._alone:
            self._core.follow_split(checked_split(split))

    def advance(self, time: int, offset: int | None = None) -> pl.DataFrame:
        """Let the time of the split reach a moment, seen at a row (else the latest); return the anomalies this raises.

        Episodes end and, with `ticks_close_windows`, rows leave that wait and windows close, as if each key had a row
        without values at that time (less `max_lateness`). Their ordinals are `LATE_ORDINALS` and above. A moment that
        is not beyond the one before changes nothing.

        Raises:
            ArgumentError: the time or the offset cannot be used.
        """
        with self._alone:
            return self._core.details.shown(self._advance(time, offset, _LATE_NUMBERING, is_dated=True))

    def advance_physical(self, time: int, offset: int, numbering: Numbering = _LATE_NUMBERING) -> pl.DataFrame:
        """Do the same, with times as integers and details that wait for `take_details`."""
        with self._alone:
            return self._advance(time, offset, numbering, is_dated=False)

    def _advance(self, time: int, offset: int | None, numbering: Numbering, is_dated: bool) -> pl.DataFrame:
        moment = checked_moment(time, self.settings)
        at = self._core.counts["next_offset"] - 1 if offset is None else checked_offset(offset)
        return self._core.advance(moment, at, numbering, is_dated)

    def note_absent(self, since: Mapping[tuple[Any, ...], int], offset: int) -> None:
        """Take that keys of the split are absent, each since a time, as seen at a row.

        Their firing episodes have no data until their next row, pending ones come to nothing. Keys as in `Episode.key`.

        Raises:
            ArgumentError: the offset cannot be used.
        """
        with self._alone:
            self._core.episodes.note_absent(since, checked_offset(offset))

    def take_episodes(self) -> EpisodeChanges:
        """Return what has become of episodes since the last call; nothing without lifecycles."""
        with self._alone:
            return self._core.episodes.take()

    def open_episodes(self) -> list[Episode]:
        """Return the episodes that are pending or firing."""
        with self._alone:
            return self._core.episodes.open_episodes()

    def take_late(self) -> pl.DataFrame:
        """Return the rows discarded since the last call, the newest `late_rows_max` of them.

        Beside the row's columns there are its `offset` and `late_by`: how far its key was ahead of it, in units of the
        time column, NULL for a row without a time.
        """
        with self._alone:
            return self._core.late.take()

    def stat(self) -> EngineStat:
        """Return counters."""
        counts = self._core.counts
        return EngineStat(
            row_count=counts["row"],
            anomaly_count=counts["anomaly"],
            key_count=self._core.keys.count,
            late_row_count=counts["late"],
            timeless_row_count=counts["timeless"],
            next_offset=counts["next_offset"],
            snapshot_offset=self._files.offset,
            null_comparison_counts=self._core.nulls.by_metric(),
        )

    def costs(self) -> EngineCosts:
        """Return what each metric keeps and does."""
        return self._core.costs()

    def memory(self) -> EngineMemory:
        """Return the bytes that the state takes now; cheap enough to be asked once a second."""
        return self._core.memory()

    def validate(self) -> None:
        """Assert what is always true of the state."""
        with self._alone:
            self._core.validate()

    def capture(self) -> EngineCapture:
        """Return the whole state as it is now, to be made bytes of later, in any thread."""
        with self._alone:
            return EngineCapture(self.fingerprint, self._core.state())

    def snapshot(self) -> bytes:
        """Return the whole state as bytes; equal rows give equal bytes."""
        with self._alone:
            return self._snapshot()

    def _snapshot(self) -> bytes:
        return b"".join(EngineCapture(self.fingerprint, self._core.state()).pieces())

    def restore(self, snapshot: bytes) -> None:
        """Take over the state of a snapshot; if that fails, the state stays as it was.

        Raises:
            EngineSnapshotError: the bytes are torn, foreign, or of an engine with other settings.
        """
        with self._alone:
            state = decode_snapshot(snapshot, self.fingerprint)
            fresh = Core(self.settings)
            fresh.follow_split(self._core.split)
            try:
                fresh.load(state)
            except Exception as error:
                raise EngineSnapshotError(f"the snapshot does not hold a state of this engine: {error}") from error
            self._core = fresh
            self._files.restored(fresh.counts["next_offset"])

"""The anomaly detection engine: rows in, anomalies out.

Rows are taken per key in arrival order. A metric without an aggregate is tested for every row; one of aggregates alone
when a window closes; one of both for every row, with the aggregates of the key's latest computed window. Windows close
before the row that closes them is tested. The output does not depend on how rows are cut into batches.
"""

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import polars as pl

from actors.engine.alignment import alignment_size
from actors.engine.analysis import Metric, MetricKind, contains
from actors.engine.arguments import EngineSettings, checked_settings
from actors.engine.batch import Batch, accepted_rows, default_offsets, relaid, single_key, sort_by_key
from actors.engine.functions import Kind
from actors.engine.keys import KeyNumbers
from actors.engine.output import Anomalies, Fired, Presenter, ordered
from actors.engine.program import Context, Node, Program, fired, no_aggregate, no_column
from actors.engine.segments import Layout
from actors.engine.sequences import PerKey
from actors.engine.snapshot import decode_snapshot, encode_snapshot
from actors.engine.vectors import Array
from actors.engine.windows import Closings, Grid, Windows
from actors.frames import Rows, polars_schema
from actors.frames import to_frame as rows_to_frame
from actors.model import Schema

NEVER = np.int64(np.iinfo(np.int64).min)
"""Latest time of a key without rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStat:
    """What an engine has seen and holds."""

    row_count: int
    """Rows given to it."""

    anomaly_count: int
    key_count: int
    late_row_count: int
    """Rows discarded because they were older than their key's latest row."""

    timeless_row_count: int
    """Rows discarded because they had no time."""

    next_offset: int
    """Offset after the last row given."""

    snapshot_offset: int
    """Last offset covered by the latest snapshot file, -1 before the first."""

    @property
    def discarded_row_count(self) -> int:
        """Rows that took no part."""
        return self.late_row_count + self.timeless_row_count


class AnomalyDetectionEngine:
    """Tests metrics on rows; see the module for the rules and `actors.engine.arguments` for the settings."""

    def __init__(
        self,
        name: str,
        metrics: Sequence[str],
        schema: Schema | Mapping[str, str],
        time_column: str,
        key_columns: Sequence[str] = (),
        window_size: int | None = None,
        step: int | None = None,
        **options: Any,
    ) -> None:
        self.settings = checked_settings(
            name=name,
            metrics=metrics,
            schema=schema,
            time_column=time_column,
            key_columns=key_columns,
            window_size=window_size,
            step=step,
            **options,
        )
        self._start(self.settings)

    def _start(self, settings: EngineSettings) -> None:
        self.metrics: tuple[Metric, ...] = settings.metrics
        schema = settings.schema
        self._program = Program(settings.nulls == "smallest")
        self._nodes = [self._program.node(metric.term) for metric in self.metrics]
        aggregates = self._program.aggregates
        self._has_sequences = any(contains(metric.term, Kind.SEQUENCE) for metric in self.metrics)
        self._windows: Windows | None = None
        if aggregates:
            assert settings.window_size is not None
            assert settings.step is not None
            alignment = alignment_size(schema[settings.time_column].type, settings.step, settings.round_time)
            grid = Grid(window_size=settings.window_size, step=settings.step, alignment=alignment)
            self._windows = Windows(self._program, grid, self._held_aggregates())
        self._is_sorted = self._windows is not None or self._has_sequences
        self._keys = KeyNumbers([schema[key].type.is_text for key in settings.key_columns])
        self._latest = PerKey(time=NEVER)
        self._presenter = Presenter(schema, settings.time_column, settings.key_columns, settings.descriptions)
        self._columns, self._types = list(schema.names), list(polars_schema(schema).values())
        self._counts = {"row": 0, "anomaly": 0, "late": 0, "timeless": 0, "next_offset": 0}
        self._late: deque[pl.DataFrame] = deque()
        self.fingerprint = _fingerprint(settings)

    def _held_aggregates(self) -> set[int]:
        """Return the aggregates that metrics look at row by row."""
        pending = [n for n, m in zip(self._nodes, self.metrics, strict=True) if m.kind is MetricKind.MIXED]
        found = set()
        while pending:
            node = pending.pop()
            if node.term.is_aggregate:
                found.add(node.index)
            else:
                pending.extend(node.arguments)
        return found

    def append(self, rows: Rows, offsets: Array | Sequence[int] | None = None) -> pl.DataFrame:
        """Test rows and return their anomalies, with times as Polars dates and times.

        Raises:
            SchemaError: the rows do not fit the schema.
        """
        schema = self.settings.schema
        is_ready = isinstance(rows, pl.DataFrame) and rows.columns == self._columns and rows.dtypes == self._types
        frame = rows if is_ready else rows_to_frame(schema, rows)
        assert isinstance(frame, pl.DataFrame)
        return self._presenter.dated(self.append_physical(frame, offsets))

    def append_physical(self, frame: pl.DataFrame, offsets: Array | Sequence[int] | None = None) -> pl.DataFrame:
        """Test the rows of a canonical frame and return their anomalies, with times as integers.

        `offsets` are the rows' offsets, ascending; without them rows are numbered from the last one on.
        """
        given = default_offsets(self._counts["next_offset"], offsets, frame.height)
        if not frame.height:
            return self._presenter.empty()
        self._counts["row"] += frame.height
        self._counts["next_offset"] = int(given[-1]) + 1
        batch = self._timed(Batch(frame, given))
        if not batch.row_count:
            return self._presenter.empty()
        with np.errstate(all="ignore"):
            return self._process(batch)

    def _timed(self, batch: Batch) -> Batch:
        """Leave out rows without a time."""
        times = batch.frame.get_column(self.settings.time_column)
        missing = times.null_count()
        if not missing:
            return batch
        self._counts["timeless"] += missing
        present = times.is_not_null()
        return Batch(batch.frame.filter(present), batch.offsets[present.to_numpy()])

    def _process(self, batch: Batch) -> pl.DataFrame:
        layout = self._sort(batch) if self._is_sorted else None
        if not batch.row_count:
            return self._presenter.empty()
        times = batch.column(self.settings.time_column).values
        closings: Closings | None = None
        context = Context(batch.row_count, batch.column, no_aggregate, layout)
        if self._windows is not None:
            assert layout is not None
            closings = self._windows.advance(layout, times, context)
            context = context.with_aggregates(closings.row_values)
        anomalies = self._collect(batch, context, closings)
        ends = times if closings is None else closings.ends
        return self._present(batch, anomalies, ends, closings)

    def _sort(self, batch: Batch) -> Layout:
        """Sort a batch by key and leave out late rows."""
        frame, keys = batch.frame, self.settings.key_columns
        if keys:
            numbers = self._keys.number([frame.get_column(key) for key in keys], frame.height)
            batch.order, layout = sort_by_key(numbers)
        else:
            layout = single_key(frame.height)
        if self._windows is None:
            return layout
        times = batch.column(self.settings.time_column).values
        self._latest.cover(layout.numbers)
        accepted = accepted_rows(times, layout, self._latest["time"][layout.numbers])
        if accepted is not None:
            if batch.order is None:
                batch.order = np.arange(frame.height)
            self._set_aside(batch, np.flatnonzero(~accepted))
            batch.keep(accepted)
            layout = relaid(layout, accepted)
            times = batch.column(self.settings.time_column).values
        self._latest["time"][layout.numbers] = times[layout.lasts]
        return layout

    def _set_aside(self, batch: Batch, late: Array) -> None:
        """Count late rows and keep them, with their offsets, for `take_late`."""
        rows = np.sort(batch.arrivals(late))
        self._counts["late"] += len(rows)
        offsets = pl.Series("offset", batch.offsets[rows])
        self._late.append(batch.frame[rows].with_columns(offsets.alias("offset")))
        held = sum(frame.height for frame in self._late)
        while held > self.settings.late_rows_max and self._late:
            held -= self._late.popleft().height

    def _collect(self, batch: Batch, context: Context, closings: Closings | None) -> Anomalies:
        found: list[Fired] = []
        over_windows = None
        for metric_index, (metric, node) in enumerate(zip(self.metrics, self._nodes, strict=True)):
            if metric.kind is MetricKind.WINDOW:
                assert closings is not None
                if not closings.count:
                    continue
                if over_windows is None:
                    over_windows = _window_context(closings)
                where = fired(over_windows.value(node), closings.count).nonzero()[0]
                found.append(Fired(metric_index, batch.arrivals(closings.rows[where]), where))
                continue
            mask = fired(context.value(node), batch.row_count)
            if metric.kind is MetricKind.MIXED:
                assert closings is not None
                mask = mask if closings.computed is None else mask & closings.computed
            found.append(Fired(metric_index, batch.arrivals(mask.nonzero()[0]), None))
        return ordered(found, 0 if closings is None else closings.count, len(self.metrics))

    def _present(self, batch: Batch, anomalies: Anomalies, ends: Array, closings: Closings | None) -> pl.DataFrame:
        self._counts["anomaly"] += len(anomalies.rows)
        times = batch.frame.get_column(self.settings.time_column).to_numpy()[anomalies.rows]
        if closings is not None and closings.count:
            of_window = anomalies.windows < closings.count
            window = np.where(of_window, anomalies.windows, 0)
            times = np.where(of_window, ends[window], times)
        return self._presenter.frame(anomalies, batch, times)

    def take_late(self) -> pl.DataFrame:
        """Return the late rows since the last call, the newest `late_rows_max` of them, with their `offset`."""
        frames = list(self._late)
        self._late.clear()
        types: dict[str, pl.DataType] = {**polars_schema(self.settings.schema), "offset": pl.Int64()}
        return pl.concat(frames) if frames else pl.DataFrame(schema=types)

    def stat(self) -> EngineStat:
        """Return counters."""
        return EngineStat(
            row_count=self._counts["row"],
            anomaly_count=self._counts["anomaly"],
            key_count=self._keys.count,
            late_row_count=self._counts["late"],
            timeless_row_count=self._counts["timeless"],
            next_offset=self._counts["next_offset"],
            snapshot_offset=-1,
        )

    def snapshot(self) -> bytes:
        """Return the whole state as bytes; equal rows give equal bytes."""
        return encode_snapshot(self.fingerprint, self._counts, self._keys.state(), self._parts())

    def restore(self, snapshot: bytes) -> None:
        """Take over the state of a snapshot.

        Raises:
            EngineSnapshotError: the bytes are torn, foreign, or of an engine with other settings.
        """
        counts, keys, parts = decode_snapshot(snapshot, self.fingerprint)
        self._counts = counts
        self._keys.load(keys)
        self._load(parts)
        self._late.clear()

    def _sequences(self) -> list[Node]:
        return [node for node in self._program.nodes if node.state is not None]

    def _parts(self) -> dict[str, dict[str, Array]]:
        parts = {f"sequence{i}": node.state.state() for i, node in enumerate(self._sequences()) if node.state}
        if self._windows is not None:
            parts |= {"windows": self._windows.state(), "latest": self._latest.state()}
        return parts

    def _load(self, parts: dict[str, dict[str, Array]]) -> None:
        for i, node in enumerate(self._sequences()):
            assert node.state is not None
            node.state.load(parts[f"sequence{i}"])
        if self._windows is not None:
            self._windows.load(parts["windows"])
            self._latest.load(parts["latest"])


def _window_context(closings: Closings) -> Context:
    return Context(closings.count, no_column, lambda node: closings.values[node.index], None)


def _fingerprint(settings: EngineSettings) -> str:
    """Return a hash of everything that the state and the output depend on."""
    schema = settings.schema
    parts = {
        "metrics": [metric.text for metric in settings.metrics],
        "time_column": settings.time_column,
        "key_columns": list(settings.key_columns),
        "columns": [[column.name, str(column.type)] for column in schema.columns],
        "window": [settings.window_size, settings.step, settings.round_time],
        "nulls": settings.nulls,
    }
    packed: bytes = msgpack.packb(parts)
    return hashlib.blake2b(packed, digest_size=16).hexdigest()

"""The anomaly detection engine: rows in, anomalies out.

Rows are taken per key in arrival order. A metric without an aggregate is tested for every row; one of aggregates alone
when a window closes; one of both for every row, with the aggregates of the key's latest computed window. Windows close
before the row that closes them is tested. The output does not depend on how rows are cut into batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from actors.durations import Duration
from actors.engine.arguments import CheckedSettings, checked_settings
from actors.engine.episodes.episode import Episode
from actors.engine.episodes.tracker import EpisodeChanges, View, tracker_of
from actors.engine.errors import ArgumentError
from actors.engine.fingerprint import fingerprint_of
from actors.engine.functions.definition import Kind
from actors.engine.functions.sequences import PerKey, SequenceState
from actors.engine.keys.idle import KeyState, keep_all, kept_numbers, reset_all
from actors.engine.keys.late import LateRows, lateness
from actors.engine.keys.numbers import KeyNumbers
from actors.engine.keys.reorder import ReorderBuffer, ordinals_of, renumbered
from actors.engine.language.analysis import Metric, MetricKind, contains
from actors.engine.language.program import Context, Node, Program, aggregates_below, fired, no_aggregate
from actors.engine.report.comparisons import ComparedNulls
from actors.engine.report.costs import EngineCosts, EngineMemory, engine_costs, memory_of
from actors.engine.report.details import Details, Packed
from actors.engine.report.explain import Explanation, LastBatch, anomaly_times, explanation, window_context
from actors.engine.report.output import Anomalies, Fired, Numbering, Presenter, ordered
from actors.engine.report.stat import EngineStat
from actors.engine.rows.executor import RowByRow, TestedRows
from actors.engine.rows.program import row_program
from actors.engine.snapshot import decode_snapshot, encode_snapshot
from actors.engine.snapshot_files import load_snapshot, write_snapshot
from actors.engine.spec import EngineSpec, spec_of
from actors.engine.vectors.batch import Batch, accepted_rows, default_offsets, relaid, single_key, sort_by_key
from actors.engine.vectors.segments import Layout
from actors.engine.vectors.vector import Array
from actors.engine.windows.closed import END, closed_frame, empty_closed
from actors.engine.windows.ticks import in_order, key_rows, numbered
from actors.engine.windows.windows import Closings, Grid, Windows
from actors.frames import Rows, polars_schema
from actors.frames import to_frame as rows_to_frame
from actors.model import Schema

NEVER = np.int64(np.iinfo(np.int64).min)
"""Latest time of a key without rows."""

NO_SPLIT = np.int64(-1)
"""Split of a key without rows."""

_LATE_NUMBERING = Numbering()

WINDOWS_AT_ONCE_MAX = 2_000_000
"""Windows that the rows tested at once may close; longer batches are tested in parts, which changes nothing."""


class AnomalyDetectionEngine:
    """Tests metrics on rows; see the module for the rules and `actors.engine.arguments` for the settings."""

    def __init__(
        self,
        name: str,
        metrics: Sequence[str],
        schema: Schema | Mapping[str, Any],
        time_column: str,
        key_columns: str | Sequence[str] = (),
        window_size: Duration | None = None,
        step: Duration | None = None,
        **options: Any,
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
        schema = settings.schema
        self._program = Program(settings.nulls == "smallest")
        self._nodes = [self._program.node(metric.term) for metric in self.metrics]
        self._tracker = tracker_of(settings, self._program)
        self._has_sequences = any(contains(node.term, Kind.SEQUENCE) for node in self._program.nodes)
        self._windows: Windows | None = None
        self._rows_at_once = WINDOWS_AT_ONCE_MAX
        if self._program.aggregates:
            assert settings.window_size is not None
            assert settings.step is not None
            grid = Grid(
                window_size=settings.window_size,
                step=settings.step,
                alignment=settings.alignment,
                closes_at_ticks=settings.ticks_close_windows,
            )
            self._windows = Windows(self._program, grid, aggregates_below(self._looked_at()))
            # One row may close as many windows as a window has steps, and each takes memory until it is tested.
            self._rows_at_once = max(1, WINDOWS_AT_ONCE_MAX * settings.step // settings.window_size)
        self._is_sorted = self._windows is not None or self._has_sequences or self._tracker is not None
        self._keys = KeyNumbers([schema[key].type.is_text for key in settings.key_columns])
        self._latest = PerKey(time=NEVER, split=NO_SPLIT) if settings.follows_keys else PerKey(time=NEVER)
        self._has_latest = self._windows is not None or settings.idle_key_ttl > 0
        self._details: Details | None = None
        if settings.explain != "none":
            self._details = Details(self.metrics, self._nodes, settings.window_size or 0, settings.explain)
        self._reorder: ReorderBuffer | None = None
        if settings.max_lateness:
            self._reorder = ReorderBuffer(schema, settings.time_column, settings.key_columns, settings.max_lateness)
        self._nulls = ComparedNulls(self.metrics, self._nodes)
        self._split, self._rows = 0, self._row_by_row(settings)
        # How many rows are few changes the speed, never the output.
        self.few_rows_max = 0 if self._rows is None else self._rows.rows_max
        self._presenter = Presenter(schema, settings.time_column, settings.key_columns, settings.descriptions)
        self._columns, self._types = list(schema.names), list(polars_schema(schema).values())
        self._counts = {"row": 0, "anomaly": 0, "late": 0, "timeless": 0, "next_offset": 0}
        self._late = LateRows(schema, settings.late_rows_max)
        self.fingerprint = fingerprint_of(settings)
        self._last: list[LastBatch] = []
        self._last_rows: list[TestedRows] = []
        self._rows_since_snapshot, self._snapshot_offset = 0, -1
        if settings.snapshot_dir is not None:
            load_snapshot(settings.snapshot_dir, settings.name, self.restore)

    def _looked_at(self) -> list[Node]:
        """Return the expressions that look at the latest window at every row."""
        mixed = [n for n, m in zip(self._nodes, self.metrics, strict=True) if m.kind is MetricKind.MIXED]
        return mixed if self._tracker is None else mixed + self._tracker.held_nodes

    def _row_by_row(self, settings: CheckedSettings) -> RowByRow | None:
        """Return the short path for few rows, if the metrics have one."""
        if self._tracker is not None or self._reorder is not None:
            return None
        few = row_program(settings, self._program, self._nodes, self._windows, self._latest, self._details, self._nulls)
        return None if few is None else RowByRow(few, self._keys, settings.schema, len(settings.key_columns))

    def append(self, rows: Rows, offsets: Array | Sequence[int] | None = None) -> pl.DataFrame:
        """Test rows and return their anomalies, with times as Polars dates and times.

        Raises:
            SchemaError: the rows do not fit the schema.
        """
        schema = self.settings.schema
        is_ready = isinstance(rows, pl.DataFrame) and rows.columns == self._columns and rows.dtypes == self._types
        frame = rows if is_ready else rows_to_frame(schema, rows)
        assert isinstance(frame, pl.DataFrame)
        return self._with_details(self._append(frame, offsets, is_dated=True))

    def _with_details(self, found: pl.DataFrame) -> pl.DataFrame:
        if self._details is None:
            return found
        types, packed = found["type"].to_list(), self.take_details()
        told = [self.render_detail(kind, detail) for kind, detail in zip(types, packed, strict=True)]
        return found.with_columns(pl.Series("detail", told, dtype=pl.String))

    def append_physical(self, frame: pl.DataFrame, offsets: Array | Sequence[int] | None = None) -> pl.DataFrame:
        """Test the rows of a canonical frame and return their anomalies, with times as integers.

        `offsets` are the rows' offsets, ascending; without them rows are numbered from the last one on. Their details
        wait for `take_details`.
        """
        if self._details is not None:
            self._details.take()
        return self._append(frame, offsets, is_dated=False)

    def take_details(self) -> list[Packed]:
        """Return the details of the latest batch's anomalies, in order; none unless `explain` asks for them."""
        return [] if self._details is None else self._details.take()

    def render_detail(self, metric_index: int, packed: Packed) -> str | None:
        """Return the JSON text of a detail that `take_details` gave."""
        return None if self._details is None else self._details.render(metric_index, packed)

    def _append(self, frame: pl.DataFrame, offsets: Array | Sequence[int] | None, is_dated: bool) -> pl.DataFrame:
        given = default_offsets(self._counts["next_offset"], offsets, frame.height)
        if not frame.height:
            return self._presenter.empty(is_dated)
        row_count = frame.height
        self._counts["row"] += row_count
        self._counts["next_offset"] = int(given[-1]) + 1
        self._last, self._last_rows = [], []
        if self._reorder is not None:
            frame, given = self._reorder.push(self._split, frame, given)
        batch = self._timed(Batch(frame, given, None if self._reorder is None else ordinals_of(given)))
        if not batch.row_count:
            found = self._presenter.empty(is_dated)
        elif batch.row_count <= self._rows_at_once:
            found = self._process(batch, is_dated)
        else:
            found = pl.concat([self._process(part, is_dated) for part in batch.slices(self._rows_at_once)])
        if self._reorder is not None:
            found = renumbered(found)
        if self.settings.snapshot_dir is not None:
            self._rows_since_snapshot += row_count
            self._write_snapshot_if_due()
        return found

    def _write_snapshot_if_due(self) -> None:
        assert self.settings.snapshot_dir is not None
        assert self.settings.snapshot_interval_rows is not None
        if self._rows_since_snapshot >= self.settings.snapshot_interval_rows:
            write_snapshot(self.settings.snapshot_dir, self.settings.name, self.snapshot())
            self._rows_since_snapshot = 0
            self._snapshot_offset = self._counts["next_offset"] - 1

    def explain(self, offset: int, ordinal: int = 0) -> Explanation:
        """Return why an anomaly of the latest batch was reported.

        Raises:
            ArgumentError: the latest batch reported no such anomaly; append its rows again to an engine restored to
                the state before them.
        """
        for last in self._last:
            index = last.find(offset, ordinal)
            if index is not None:
                return explanation(self.settings, self._nodes, last, index)
        for tested in self._last_rows:
            firing = tested.find(offset, ordinal)
            if firing is not None:
                return self._again(tested, [(firing[0], firing[3])]).explain(offset, ordinal)
        text = f"the latest batch has no anomaly {ordinal} of offset {offset}; only its own can be explained"
        raise ArgumentError("bad_argument", text)

    def closed_windows(self) -> pl.DataFrame:
        """Return the windows that the latest batch closed, by key: key columns, end, number of rows, each aggregate."""
        types, keys = polars_schema(self.settings.schema), self.settings.key_columns
        calls = self._program.aggregates
        frames = [empty_closed({name: types[name] for name in keys}, calls)]
        for last in self._last:
            if last.closings is not None and last.closings.count:
                frames.append(closed_frame(last.batch, last.closings, calls, keys))
        for tested in self._last_rows:
            found = [self._again(tested, closings).closed_windows() for closings in tested.closings_by_turn()]
            frames.append(self._by_key(pl.concat([frames[0], *found])))
        return pl.concat(frames)

    def _by_key(self, windows: pl.DataFrame) -> pl.DataFrame:
        """Return closed windows in order of keys, and of one key in order of ends."""
        keys = windows.select(self.settings.key_columns).rows() if self.settings.key_columns else [()] * windows.height
        numbers = [self._keys.number_of(key) for key in keys]
        order = sorted(range(windows.height), key=list(zip(numbers, windows[END], strict=True)).__getitem__)
        return windows[order]

    def _again(self, tested: TestedRows, rows: Sequence[tuple[int, Any]]) -> "AnomalyDetectionEngine":
        """Return an engine that has tested rows of different keys with vectors, from their states before."""
        twin = object.__new__(AnomalyDetectionEngine)
        twin._start(replace(self.settings, snapshot_dir=None, snapshot_interval_rows=None))
        if twin._rows is not None and self._is_sorted:
            twin._rows.write(np.arange(len(rows)), list(zip(*[state[1:] for _, state in rows], strict=True)))
        numbers = [number for number, _ in rows]
        with np.errstate(all="ignore"):
            twin._test(Batch(tested.batch.frame[numbers], tested.batch.offsets[numbers]), is_dated=False)
        return twin

    def _timed(self, batch: Batch) -> Batch:
        """Leave out rows without a time."""
        times = batch.frame.get_column(self.settings.time_column)
        missing = times.null_count()
        if not missing:
            return batch
        self._counts["timeless"] += missing
        present = times.is_not_null()
        there = present.to_numpy()
        self._late.add(batch.frame.filter(~present), batch.offsets[~there], None)
        ordinals = None if batch.ordinals is None else batch.ordinals[there]
        return Batch(batch.frame.filter(present), batch.offsets[there], ordinals)

    def _process(self, batch: Batch, is_dated: bool) -> pl.DataFrame:
        if self._rows is not None:
            if batch.frame.height <= self.few_rows_max:
                return self._test_rows(self._rows.test(batch, self._split), is_dated)
            self._rows.settle()
            self._rows.forget()
        with np.errstate(all="ignore"):
            return self._test(batch, is_dated)

    def _test_rows(self, tested: TestedRows, is_dated: bool) -> pl.DataFrame:
        """Take in what the short path found."""
        self._last_rows.append(tested)
        if tested.late:
            self._set_aside(tested.batch, *np.array(tested.late).T)
        self._counts["anomaly"] += len(tested.fired)
        if self._details is not None:
            self._details.keep([firing[4] for firing in tested.fired])
        return self._presenter.few(tested.fired, tested.batch.frame, tested.batch.offsets, is_dated)

    def _test(self, batch: Batch, is_dated: bool) -> pl.DataFrame:
        layout = self._sort(batch) if self._is_sorted else None
        if not batch.row_count:
            return self._presenter.empty(is_dated)
        times = batch.column(self.settings.time_column).values
        closings: Closings | None = None
        context: Context = Context(batch.row_count, batch.column, no_aggregate, layout)
        if self._windows is not None:
            assert layout is not None
            closings = self._windows.advance(layout, times, context)
            context = context.with_aggregates(closings.held.values)
        return self._report(batch, layout, times, context, closings, is_dated)

    def _report(
        self,
        batch: Batch,
        layout: Layout | None,
        times: Array,
        context: Context | None,
        closings: Closings | None,
        is_dated: bool,
    ) -> pl.DataFrame:
        """Test the metrics over rows (none without a context) and windows, and return their anomalies."""
        over_windows = None if closings is None else window_context(closings)
        anomalies = self._collect(batch, context, closings, over_windows)
        self._nulls.count(context, closings, over_windows)
        if self._reorder is not None:
            anomalies = anomalies._replace(ordinals=ordinals_of(batch.offsets[anomalies.rows]).astype(np.int32))
        self._last.append(LastBatch(batch, anomalies, context, closings, over_windows))
        self._counts["anomaly"] += len(anomalies.rows)
        if self._tracker is not None:
            assert layout is not None
            self._tracker.observe(View(batch, layout, times, context, closings, over_windows))
        if self._details is not None:
            self._details.collect(anomalies, batch, context, closings, over_windows)
        shown = anomaly_times(self.settings.time_column, batch, anomalies, closings)
        return self._presenter.frame(anomalies, batch, shown, is_dated)

    def _sort(self, batch: Batch) -> Layout:
        """Sort a batch by key and leave out late rows."""
        frame, keys = batch.frame, self.settings.key_columns
        if keys:
            numbers = self._keys.number([frame.get_column(key) for key in keys], frame.height)
            batch.order, layout = sort_by_key(numbers, self._keys.count)
        else:
            layout = single_key(frame.height)
        if not self._has_latest:
            return layout
        times = batch.column(self.settings.time_column).values
        self._latest.cover(layout.numbers)
        if self._windows is None:
            newest = np.maximum.reduceat(times, layout.starts)
            self._note(layout, np.maximum(newest, self._latest["time"][layout.numbers]))
            return layout
        latest = self._latest["time"][layout.numbers]
        accepted = accepted_rows(times, layout, latest)
        if accepted is not None:
            if batch.order is None:
                batch.order = np.arange(frame.height)
            late = np.flatnonzero(~accepted)
            self._set_aside(batch, late, lateness(times, layout, latest, late))
            batch.keep(accepted)
            layout = relaid(layout, accepted)
            times = batch.column(self.settings.time_column).values
        self._note(layout, times[layout.lasts])
        return layout

    def _note(self, layout: Layout, times: Array) -> None:
        """Keep the latest times of the keys of a batch."""
        self._latest["time"][layout.numbers] = times
        if self.settings.follows_keys:
            self._latest["split"][layout.numbers] = self._split

    def _set_aside(self, batch: Batch, late: Array, late_by: Array) -> None:
        """Count late rows and keep them for `take_late`."""
        self._counts["late"] += len(late)
        arrivals = batch.arrivals(late)
        in_order = arrivals.argsort()
        rows = arrivals[in_order]
        self._late.add(batch.frame[rows], batch.offsets[rows], late_by[in_order])

    def _collect(
        self, batch: Batch, context: Context | None, closings: Closings | None, over_windows: Context | None
    ) -> Anomalies:
        found: list[Fired] = []
        for metric_index, (metric, node) in enumerate(zip(self.metrics, self._nodes, strict=True)):
            if metric.kind is MetricKind.WINDOW:
                assert closings is not None
                assert over_windows is not None
                if not closings.count:
                    continue
                over_rooms = fired(over_windows.value(node), len(closings.row_counts))
                where = (over_rooms if closings.rooms is None else over_rooms[closings.rooms]).nonzero()[0]
                found.append(Fired(metric_index, batch.arrivals(closings.rows[where]), where))
                continue
            if context is None:
                continue
            mask = fired(context.value(node), batch.row_count)
            if metric.kind is MetricKind.MIXED:
                assert closings is not None
                mask = mask if closings.held.computed is None else mask & closings.held.computed
            found.append(Fired(metric_index, batch.arrivals(mask.nonzero()[0]), None))
        window_count = 0 if closings is None else closings.count
        return ordered(found, batch.frame.height, window_count, len(self.metrics))

    def follow_split(self, split: int) -> None:
        """Say which split the next rows come from (0 unless said): it names episodes, and rows wait by split."""
        self._split = split
        if self._tracker is not None:
            self._tracker.split = split

    def advance(self, time: int, offset: int | None = None) -> pl.DataFrame:
        """Let the time of the split reach a moment, seen at a row (else the latest); return the anomalies this raises.

        Episodes end and, with `ticks_close_windows`, rows leave that wait and windows close, as if each key had a row
        without values at that time (less `max_lateness`). Their ordinals are `LATE_ORDINALS` and above.
        """
        return self._with_details(self._advance(time, offset, Numbering(), is_dated=True))

    def advance_physical(self, time: int, offset: int, numbering: Numbering = _LATE_NUMBERING) -> pl.DataFrame:
        """Do the same, with times as integers and details that wait for `take_details`."""
        if self._details is not None:
            self._details.take()
        return self._advance(time, offset, numbering, is_dated=False)

    def _advance(self, time: int, offset: int | None, numbering: Numbering, is_dated: bool) -> pl.DataFrame:
        at = self._counts["next_offset"] - 1 if offset is None else offset
        self._last, self._last_rows = [], []
        found = [self._presenter.empty(is_dated)]
        if self.settings.ticks_close_windows:
            count = 0
            if self._reorder is not None:
                left = self._reorder.tick(self._split, time)
                count = left.height
                batch = Batch(left, np.full(count, at), numbering.ordinals(0, count))
                found += [self._process(part, is_dated) for part in batch.slices(self._rows_at_once)]
            time -= self.settings.max_lateness
            found += self._close_due(time, at, numbering, count, is_dated)
        if self._tracker is not None:
            self._tracker.tick(time, at)
        if self.settings.idle_key_ttl and self._is_sorted:
            self._forget_idle(time, at)
        self._last, ordinals = numbered(self._last, numbering)
        return pl.concat(found).with_columns(pl.Series("ordinal", ordinals, dtype=pl.Int32))

    def _forget_idle(self, time: int, at: int) -> None:
        """Forget the keys of the split that have been without rows for too long."""
        if self._rows is not None:
            self._rows.settle()
        is_old = self._latest["time"] < time - self.settings.idle_key_ttl
        idle = ((self._latest["split"] == self._split) & is_old).nonzero()[0]
        if not len(idle):
            return
        reset_all(self._keyed(), idle)
        if self._tracker is not None:
            self._tracker.forget(idle, time, at)
        numbers = kept_numbers(self._latest["time"][: self._keys.count] == NEVER)
        if numbers is not None and self.settings.key_columns:
            self._keep_keys(numbers)
        if self._rows is not None:
            self._rows.forget()

    def _keep_keys(self, numbers: Array) -> None:
        keep_all(self._keyed(), numbers)
        self._keys.keep(numbers)
        if self._tracker is not None:
            self._tracker.keep(numbers)
        if self._reorder is not None:
            self._reorder.forget_keys()

    def _keyed(self) -> list[KeyState]:
        """Return all state that is kept by key number."""
        parts: list[KeyState] = [self._latest]
        for sequence in self._sequences():
            parts += sequence.keyed()
        return parts if self._windows is None else [*parts, *self._windows.keyed()]

    def _close_due(self, time: int, at: int, numbering: Numbering, start: int, is_dated: bool) -> list[pl.DataFrame]:
        """Close the windows of the split's keys that end by a time; keys in the order of their values."""
        if self._windows is None:
            return []
        if self._rows is not None:
            self._rows.settle()
        numbers, panes = self._windows.due((self._latest["split"] == self._split).nonzero()[0], time)
        if len(numbers) and self._rows is not None:
            self._rows.forget()
        ranked, found = in_order(self._keys, numbers), []
        for first in range(0, len(numbers), self._rows_at_once):
            chosen = ranked[first : first + self._rows_at_once]
            ascending = np.sort(chosen)
            with np.errstate(all="ignore"):
                layout, times, closings = self._windows.close(numbers[ascending], panes[ascending])
                self._latest["time"][layout.numbers] = times
                batch = key_rows(self.settings, self._keys, numbers[chosen], times, np.full(len(chosen), at))
                batch.ordinals = numbering.ordinals(start + first, len(chosen))
                found.append(self._report(batch, layout, times, None, closings, is_dated))
        return found

    def take_episodes(self) -> EpisodeChanges:
        """Return what has become of episodes since the last call; nothing without lifecycles."""
        return EpisodeChanges(changed={}, notices=()) if self._tracker is None else self._tracker.take()

    def open_episodes(self) -> list[Episode]:
        """Return the episodes that are pending or firing."""
        return [] if self._tracker is None else self._tracker.open_episodes()

    def take_late(self) -> pl.DataFrame:
        """Return the rows discarded since the last call, the newest `late_rows_max` of them.

        Beside the row's columns there are its `offset` and `late_by`: by how many ticks its key was ahead of it, NULL
        for a row without a time.
        """
        return self._late.take()

    def stat(self) -> EngineStat:
        """Return counters."""
        return EngineStat(
            row_count=self._counts["row"],
            anomaly_count=self._counts["anomaly"],
            key_count=self._keys.count,
            late_row_count=self._counts["late"],
            timeless_row_count=self._counts["timeless"],
            next_offset=self._counts["next_offset"],
            snapshot_offset=self._snapshot_offset,
            null_comparison_counts=self._nulls.by_metric(),
        )

    def costs(self) -> EngineCosts:
        """Return what each metric keeps and does."""
        shared = self._keys.kept() if self._is_sorted else []
        if self._has_latest:
            shared.append(self._latest.kept("latest time"))
        if self._reorder is not None:
            shared += self._reorder.kept()
        return engine_costs(self.metrics, self._nodes, self._windows, shared)

    def memory(self) -> EngineMemory:
        """Return the bytes that the state takes now; cheap enough to be asked once a second."""
        at_hand = [] if self._rows is None else [self._rows.kept()]
        return memory_of(self.costs(), at_hand, self._keys.count, self._late.size_bytes)

    def snapshot(self) -> bytes:
        """Return the whole state as bytes; equal rows give equal bytes."""
        if self._rows is not None:
            self._rows.settle()
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
        if self._rows is not None:
            self._rows.forget()
        self._late.clear()
        self._nulls.clear()
        self._last, self._last_rows = [], []
        self._rows_since_snapshot = 0
        self._snapshot_offset = counts["next_offset"] - 1

    def _sequences(self) -> list[SequenceState]:
        return [node.state for node in self._program.nodes if node.state is not None]

    def _parts(self) -> dict[str, dict[str, Array]]:
        parts = {f"sequence{i}": sequence.state() for i, sequence in enumerate(self._sequences())}
        if self._windows is not None:
            parts["windows"] = self._windows.state()
        if self._has_latest:
            parts["latest"] = self._latest.state()
        if self._tracker is not None:
            parts["episodes"] = self._tracker.state()
        if self._reorder is not None:
            parts["reorder"] = self._reorder.state()
        return parts

    def _load(self, parts: dict[str, dict[str, Array]]) -> None:
        for i, sequence in enumerate(self._sequences()):
            sequence.load(parts[f"sequence{i}"])
        if self._windows is not None:
            self._windows.load(parts["windows"])
        if self._has_latest:
            self._latest.load(parts["latest"])
        if self._tracker is not None:
            self._tracker.load(parts["episodes"])
        if self._reorder is not None:
            self._reorder.load(parts["reorder"])

"""The core of an engine: its state, and what rows and ticks make of it. Pure; times are integers.

A batch goes through the stages in this order: rows without a time are discarded, rows wait until they are in order,
rows are sorted by key, late ones are discarded, windows close, metrics are tested, episodes and details follow. Few
rows take the short path, one function for all of that. What is not asked for is a stage that does nothing.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from actors.engine.arguments import CheckedSettings
from actors.engine.episodes.evaluations import measured
from actors.engine.episodes.tracker import EpisodeTracker, NoEpisodes
from actors.engine.evaluated import Evaluated, found_anomalies, window_context
from actors.engine.fingerprint import fingerprint_of
from actors.engine.functions.definition import Kind
from actors.engine.keys.idle import kept_numbers
from actors.engine.keys.late import LateRows, lateness
from actors.engine.keys.numbers import KeyNumbers
from actors.engine.keys.reorder import NoReordering, ReorderBuffer
from actors.engine.keys.times import NEVER, KeyTimes
from actors.engine.language.program import Context, Program, aggregates_below, no_aggregate
from actors.engine.language.terms import MetricKind, contains
from actors.engine.part import CheckedPart, Part
from actors.engine.report.comparisons import ComparedNulls
from actors.engine.report.costs import EngineCosts, EngineMemory, engine_costs, memory_of
from actors.engine.report.details import Details, NoDetails
from actors.engine.report.output import Numbering
from actors.engine.report.presenter import Presenter
from actors.engine.rows.executor import NoRows, RowByRow, TestedRows
from actors.engine.rows.program import row_program
from actors.engine.snapshot import EngineState
from actors.engine.ticks import Ticks
from actors.engine.vectors.batch import Batch, all_between, relaid, single_key, sort_by_key
from actors.engine.vectors.segments import Layout
from actors.engine.vectors.vector import Array
from actors.engine.windows.by_rows import RowWindows
from actors.engine.windows.due import in_order, key_rows, numbered
from actors.engine.windows.plan import WindowPlan
from actors.engine.windows.sessions import Sessions
from actors.engine.windows.windows import NoWindows, Windows

WINDOWS_AT_ONCE_MAX = 2_000_000
"""Windows that the rows tested at once may close; longer batches are tested in parts, which changes nothing."""

COUNTS = ("row", "anomaly", "late", "timeless", "next_offset")
"""Counters of a state."""


class Core:
    """All state of an engine; `latest` is what the latest batch or tick has given, part by part."""

    def __init__(self, settings: CheckedSettings) -> None:
        self.settings = settings
        self.fingerprint = fingerprint_of(settings)
        self.split = 0
        self.counts = dict.fromkeys(COUNTS, 0)
        self.latest: list[Evaluated] = []
        self.latest_rows: list[TestedRows] = []
        self.program = program = Program(settings.nulls == "smallest")
        self.nodes = [program.node(metric.term) for metric in settings.metrics]
        self.episodes = EpisodeTracker(settings, program) if settings.lifecycles else NoEpisodes()
        peaks = [measured(node)[0] for node in self.nodes]
        self.peak_texts = tuple(None if peak is None else peak.term.source for peak in peaks)
        self.keys = KeyNumbers([settings.schema[key].type.is_text for key in settings.key_columns])
        self.late = LateRows(settings.schema, settings.late_rows_max)
        self.presenter = Presenter(settings)
        windows = self._made_windows() if program.aggregates else None
        details = None if settings.explain == "none" else Details(settings, self.nodes)
        self.nulls = ComparedNulls(settings.metrics, self.nodes)
        self._windows = windows or NoWindows()
        self.details = details or NoDetails()
        self._times = KeyTimes(settings)
        self._ticks = Ticks()
        self._reorder = ReorderBuffer(settings) if settings.max_lateness else NoReordering()
        has_sequences = any(contains(node.term, Kind.SEQUENCE) for node in program.nodes)
        self.is_sorted = windows is not None or has_sequences or bool(settings.lifecycles)
        # One row may close as many windows as a window has steps, and each takes memory until it is tested.
        steps = 1 if windows is None else windows.grid.reach_max
        self.rows_at_once = max(1, WINDOWS_AT_ONCE_MAX // steps)
        self._time_range = settings.time_range
        self.rows: RowByRow | NoRows = NoRows()
        if not settings.lifecycles and not settings.max_lateness:
            made = row_program(settings, program, self.nodes, windows, self._times.latest, details, self.nulls)
            if made is not None:
                self.rows = RowByRow(made, self.keys, settings)

    def _made_windows(self) -> Windows:
        settings = self.settings
        assert settings.grid is not None
        mixed = [n for n, m in zip(self.nodes, settings.metrics, strict=True) if m.kind is MetricKind.MIXED]
        looked_at = aggregates_below([*mixed, *self.episodes.looked_at])
        time = settings.schema[settings.time_column] if settings.grid.tells_start else None
        plan = WindowPlan(self.program, looked_at, time)
        if settings.grid.counts_rows:
            return RowWindows(plan, settings.grid)
        return Windows(plan, settings.grid) if settings.grid.gap is None else Sessions(plan, settings.grid)

    def follow_split(self, split: int) -> None:
        """Say which split the next rows come from."""
        self.split = self.episodes.split = split

    def append(self, frame: pl.DataFrame, offsets: Array, few_rows_max: int, is_dated: bool) -> pl.DataFrame:
        """Test rows, at least one, and return their anomalies; as many rows as few take the short path."""
        self._begin()
        self.counts["row"] += len(offsets)
        self.counts["next_offset"] = int(offsets[-1]) + 1
        if len(offsets) <= few_rows_max:
            # Where few rows take a short path, none waits; nearly always all have a time.
            tested = self.rows.test(Batch(frame, offsets), self.split)
            if tested is not None:
                found = self._test_rows(tested, is_dated)
                self.late.settle()
                return found
        frame, offsets = self._timed(frame, offsets)
        tick = self._ticks.latest.get(self.split, NEVER) if self.settings.ticks_close_windows else NEVER
        batch = self._reorder.push(self.split, frame, offsets, tick)
        row_count = len(batch.offsets)
        if not row_count:
            found = self.presenter.empty(is_dated)
        elif row_count <= self.rows_at_once:
            found = self._process(batch, few_rows_max, is_dated)
        else:
            parts = batch.slices(self.rows_at_once)
            found = pl.concat([self._process(part, few_rows_max, is_dated) for part in parts])
        self.late.settle()
        return self._reorder.renumbered(found)

    def _begin(self) -> None:
        self.latest, self.latest_rows = [], []
        self.details.take()

    def _timed(self, frame: pl.DataFrame, offsets: Array) -> tuple[pl.DataFrame, Array]:
        """Leave out rows without a time, or with one that cannot be computed with."""
        times, (low, high) = frame.get_column(self.settings.time_column), self._time_range
        if all_between(times, low, high):
            return frame, offsets
        is_timed = times.is_between(low, high).fill_null(False)
        there = is_timed.to_numpy()
        missing = (~there).nonzero()[0]
        self.counts["timeless"] += len(missing)
        self.late.discard(Batch(frame, offsets), missing, None)
        return frame.filter(is_timed), offsets[there]

    def _process(self, batch: Batch, few_rows_max: int, is_dated: bool) -> pl.DataFrame:
        if len(batch.offsets) <= few_rows_max:
            tested = self.rows.test(batch, self.split)
            assert tested is not None
            return self._test_rows(tested, is_dated)
        self.rows.settle()
        self.rows.forget()
        with np.errstate(all="ignore"):
            return self.test(batch, is_dated)

    def _test_rows(self, tested: TestedRows, is_dated: bool) -> pl.DataFrame:
        """Take in what the short path found."""
        self.latest_rows.append(tested)
        if tested.late:
            self._discard_late(tested.batch, *np.array(tested.late).T)
        self.counts["anomaly"] += len(tested.fired)
        self.details.keep(tested.fired)
        return self.presenter.few(tested.fired, tested.batch.frame, tested.batch.offsets, is_dated)

    def test(self, batch: Batch, is_dated: bool) -> pl.DataFrame:
        """Test rows by vectors."""
        layout, before = self._sort(batch) if self.is_sorted else (single_key(batch.row_count), None)
        if not batch.row_count:
            return self.presenter.empty(is_dated)
        times = batch.column(self.settings.time_column).values
        rows = Context(batch.row_count, batch.column, no_aggregate, layout)
        closings = self._windows.advance(layout, times, rows)
        rows = rows.with_aggregates(closings.held.values)
        windows = window_context(closings)
        evaluated = Evaluated(
            batch=batch, layout=layout, times=times, closings=closings, windows=windows, rows=rows, before=before
        )
        return self._report(evaluated, is_dated)

    def _report(self, evaluated: Evaluated, is_dated: bool) -> pl.DataFrame:
        """Test the metrics and return their anomalies."""
        found = found_anomalies(self.settings.metrics, self.nodes, evaluated)
        evaluated = evaluated._replace(anomalies=self._reorder.placed(found, evaluated.batch))
        self.latest.append(evaluated)
        self.nulls.count(evaluated)
        self.counts["anomaly"] += len(found.rows)
        self.episodes.observe(evaluated)
        self.details.collect(evaluated)
        return self.presenter.frame(evaluated, is_dated)

    def _sort(self, batch: Batch) -> tuple[Layout, Array | None]:
        """Sort a batch by key and leave out late rows; return also each key's latest time before, if that is known."""
        frame, names = batch.frame, self.settings.key_columns
        if names:
            numbers = self.keys.number([frame.get_column(name) for name in names], frame.height)
            batch.order, layout = sort_by_key(numbers, self.keys.count)
        else:
            layout = single_key(frame.height)
        if not self._times.is_kept:
            return layout, None
        times = batch.column(self.settings.time_column).values
        found = self._times.accepted(times, layout)
        if found is not None:
            accepted, before = found
            if batch.order is None:
                batch.order = np.arange(frame.height)
            late = np.flatnonzero(~accepted)
            self._discard_late(batch, late, lateness(times, layout, before, late))
            batch.keep(accepted)
            layout = relaid(layout, accepted)
            times = batch.column(self.settings.time_column).values
        before = self._times.before(layout.numbers)
        self._times.note(layout, times, self.split)
        return layout, before

    def _discard_late(self, batch: Batch, late: Array, late_by: Array) -> None:
        self.counts["late"] += len(late)
        self.late.discard(batch, batch.arrivals(late), late_by)

    def advance(self, time: int, at: int, numbering: Numbering, is_dated: bool) -> pl.DataFrame:
        """Let the time of the split reach a moment, seen at a row; return the anomalies this raises."""
        self.details.take()
        found = [self.presenter.empty(is_dated)]
        if not self._ticks.is_fresh(self.split, time):
            return found[0]
        self._begin()
        self._ticks.reach(self.split, time)
        if self.settings.ticks_close_windows:
            left = self._reorder.leave(self.split, time)
            count = 0 if left is None else left.height
            if left is not None and count:
                batch = Batch(left, np.full(count, at), numbering.ordinals(0, count))
                found += [self._process(part, 0, is_dated) for part in batch.slices(self.rows_at_once)]
            time -= self.settings.max_lateness
            found += self._close_due(time, at, numbering, count, is_dated)
        self.episodes.tick(time, at)
        if self.settings.idle_key_ttl:
            self._forget_idle(time, at)
        self.late.settle()
        self.latest, ordinals = numbered(self.latest, numbering)
        return pl.concat(found).with_columns(pl.Series("ordinal", ordinals, dtype=pl.Int32))

    def _close_due(self, time: int, at: int, numbering: Numbering, start: int, is_dated: bool) -> list[pl.DataFrame]:
        """Close the windows of the split's keys that end by a time; keys in the order of their values."""
        self.rows.settle()
        numbers, panes = self._windows.due(self._times.of_split(self.split), time)
        if not len(numbers):
            return []
        assert isinstance(self._windows, Windows)
        self.rows.forget()
        ranked, found = in_order(self.keys, numbers), []
        for first in range(0, len(numbers), self.rows_at_once):
            chosen = ranked[first : first + self.rows_at_once]
            ascending = np.sort(chosen)
            with np.errstate(all="ignore"):
                layout, times, closings = self._windows.close(numbers[ascending], panes[ascending])
                before = self._times.before(layout.numbers)
                self._times.reach(layout.numbers, times)
                batch = key_rows(self.settings, self.keys, numbers[chosen], times, np.full(len(chosen), at))
                batch.ordinals = numbering.ordinals(start + first, len(chosen))
                windows = window_context(closings)
                evaluated = Evaluated(
                    batch=batch,
                    layout=layout,
                    times=times,
                    closings=closings,
                    windows=windows,
                    is_tick=True,
                    before=before,
                )
                found.append(self._report(evaluated, is_dated))
        return found

    def _forget_idle(self, time: int, at: int) -> None:
        """Forget the keys of the split that have been without rows for too long."""
        self.rows.settle()
        idle = self._times.idle(self.split, time - self.settings.idle_key_ttl)
        if not len(idle):
            return
        for part in self.parts().values():
            for keyed in part.keyed():
                keyed.reset(idle)
        self.episodes.forget(idle, time, at)
        numbers = kept_numbers(self._times.latest["time"][: self.keys.count] == NEVER)
        if numbers is not None and self.settings.key_columns:
            for part in self.parts().values():
                for keyed in part.keyed():
                    keyed.keep(numbers)
            self.keys.keep(numbers)
            self.episodes.keep(numbers)
            self._reorder.forget_keys()
        self.rows.forget()

    def parts(self) -> Mapping[str, Part]:
        """Return the parts of the state by their names in snapshots, in order."""
        states = [node.state for node in self.program.nodes if node.state is not None]
        return {**{f"sequence{i}": state for i, state in enumerate(states)}, **self._checked_parts()}

    def _checked_parts(self) -> Mapping[str, CheckedPart]:
        parts: dict[str, CheckedPart] = {}
        if isinstance(self._windows, Windows):
            parts["windows"] = self._windows
        if self._times.is_kept:
            parts["latest"] = self._times
        if isinstance(self.episodes, EpisodeTracker):
            parts["episodes"] = self.episodes
        if isinstance(self._reorder, ReorderBuffer):
            parts["reorder"] = self._reorder
        if self._ticks.latest:
            parts["ticks"] = self._ticks
        return parts

    def state(self) -> EngineState:
        """Return the whole state; no later row changes what is returned."""
        self.rows.settle()
        parts = {name: part.state() for name, part in self.parts().items()}
        return EngineState(counts=dict(self.counts), keys=self.keys.state(), parts=parts)

    def load(self, state: EngineState) -> None:
        """Take over a state; this core must be new."""
        self.counts = {name: int(state.counts[name]) for name in COUNTS}
        self.keys.load(state.keys)
        for name, part in self.parts().items():
            if name != "episodes" or name in state.parts:
                # Before something asked for episodes nobody followed them.
                part.load(state.parts[name])
        # Format 2 without a part for ticks has them beside the rows that wait.
        ticks = state.parts.get("ticks", state.parts.get("reorder", {}))
        if "tick_split" in ticks:
            self._ticks.load(ticks)

    def validate(self) -> None:
        """Assert what is always true of the state."""
        self.rows.settle()
        self.keys.validate()
        assert all(count >= 0 for count in self.counts.values())
        for part in self.parts().values():
            for keyed in part.keyed():
                keyed.validate(self.keys.count)
        for checked in self._checked_parts().values():
            checked.validate(self.keys.count)

    def costs(self) -> EngineCosts:
        """Return what each metric keeps and does."""
        shared = self.keys.kept() if self.is_sorted else []
        shared += [*self._times.kept(), *self._reorder.kept()]
        return engine_costs(self.settings.metrics, self.nodes, self._windows, shared)

    def memory(self) -> EngineMemory:
        """Return the bytes that the state takes now."""
        return memory_of(self.costs(), self.rows.kept(), self.keys.count, self.late.size_bytes)

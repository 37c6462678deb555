"""Windows: panes that fill, windows that close, and the aggregates over them.

A *pane* is one step of a key's own grid of time. Panes of mergeable aggregates keep partial aggregates; rows are kept
only for aggregates that need all of them. A window of `pane_count` panes is computed when a later row of its key
reaches its end, if it has a row. Empty windows are not visited, so a gap of any length costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from actors.engine.functions.aggregates import Mergeable
from actors.engine.functions.partials import Components
from actors.engine.keys.idle import KeyState
from actors.engine.keys.kept import Holding, Work
from actors.engine.keys.log import KeyedLog
from actors.engine.keys.per_key import PerKey
from actors.engine.language.program import Context
from actors.engine.vectors.segments import Layout, layout_of, run_starts
from actors.engine.vectors.vector import Array, Vector
from actors.engine.windows.closed_panes import NO_PANE, ClosedPanes, Ended
from actors.engine.windows.costs import window_parts, window_work
from actors.engine.windows.earlier import EarlierWindows
from actors.engine.windows.grid import Grid
from actors.engine.windows.latest import NOTHING_HELD, Closed, Held, LatestWindows
from actors.engine.windows.panes import Panes, cut
from actors.engine.windows.plan import WindowPlan
from actors.engine.windows.slots import Slot, completed, shortened
from actors.engine.windows.window_rows import WindowRows

_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closings:
    """The windows that a batch closed, ordered by key, then by end."""

    count: int
    ends: Array
    """Exclusive end of each window."""

    rows: Array
    """Position, in the sorted batch, of the row that closed it."""

    contents: Array | None
    """The *content* of each window, ascending: windows that hold the same rows share one; `None` if none are shared."""

    row_counts: Array
    """Rows in each content, at least one."""

    values: dict[int, Vector]
    """Aggregates over each content, by node index."""

    held: Held
    """What holds at each row of the batch."""

    starts: Array | None = None
    """Where each window begins; `None` where its end says so."""

    def of_rooms(self, values: Array) -> Array:
        """Return, for each window, what is said of its content."""
        return values if self.contents is None else values[self.contents]


def no_closings(held: Held) -> Closings:
    """Return what there is when no window closes."""
    return Closings(count=0, ends=_NONE, rows=_NONE, contents=None, row_counts=_NONE, values={}, held=held)


NO_WINDOWS = no_closings(NOTHING_HELD)
"""What there is where no metric has an aggregate."""


class NoWindows:
    """Stands for the windows where no metric has an aggregate."""

    def advance(self, layout: Layout, times: Array, context: Context) -> Closings:
        """Return that no window closed."""
        return NO_WINDOWS

    def due(self, numbers: Array, time: int) -> tuple[Array, Array]:
        """Return that no key has a window due."""
        return _NONE, _NONE

    def kept(self) -> list[Holding]:
        """Return that nothing is kept."""
        return []

    def work(self, index: int) -> list[Work]:
        """Refuse: there is no aggregate."""
        raise AssertionError(index)


class _Fold(NamedTuple):
    """One partial aggregate of a batch."""

    folded: Components
    """Its components of every pane."""

    carried: Components
    """Its components of the pane that each key had open before."""


class Windows:
    """State of all windows of all keys."""

    def __init__(self, plan: WindowPlan, grid: Grid) -> None:
        self.grid = grid
        self.pane_count = grid.pane_count
        # Whether all keys have the same panes; otherwise each key has a phase of its own.
        self.one_grid = grid.one_grid
        self.closes_at_ticks = grid.closes_at_ticks
        self._slides = grid.pane_count > 1 or grid.stride > 1 or grid.counts_rows or grid.computes_empty
        self._finds_empty = grid.computes_empty
        self._closes_parts = grid.stride > 1 or grid.counts_rows
        # Of windows of rows the pane that a key has open is empty between its last row and the next.
        self._may_be_empty = grid.closes_at_ticks or grid.counts_rows
        self._plan = plan
        self.slots, self.stored, self.calls, self.held = plan.slots, plan.stored, plan.calls, plan.held
        # By key number: the number of the open pane in the grid, and the phase by which that is moved; and of the
        # latest computed window its end and its rows, 0 before the first.
        nothing = np.int64(0)
        more = {"window_start": nothing} if grid.tells_start else {}
        more |= {"count": nothing} if grid.counts_rows else {}
        # Where windows may be empty, -1 rows before the first.
        before_first = np.int64(-1 if grid.computes_empty else 0)
        self.keys = PerKey(pane=NO_PANE, phase=nothing, window_end=nothing, window_rows=before_first, **more)
        self._latest = LatestWindows(self.keys, self.held, grid)
        self._panes = ClosedPanes(self.slots, grid)
        self._rows = WindowRows(self.stored)
        self.earlier = EarlierWindows(plan.earlier, grid.stride)
        for slot in self.slots:
            if slot.is_narrow and slot.partial.outgrows(None):
                self.widen(slot)

    def widen(self, slot: Slot) -> None:
        """Keep all components of a slot."""
        slot.widen(self.closed)

    @property
    def closed(self) -> KeyedLog:
        """The closed panes."""
        return self._panes.log

    def advance(self, layout: Layout, times: Array, context: Context) -> Closings:
        """Take in a batch whose rows are sorted by key and, within a key, do not go back in time."""
        numbers = layout.numbers
        self.keys.cover(numbers)
        panes = self._cut(layout, times)
        carried_pane = self.keys["pane"].take(numbers)
        goes_on = carried_pane == panes.runs.at_firsts(panes.index)
        if panes.runs.is_one_each and goes_on.all():
            self._fold(layout, panes, context, None)
            self._rows.append(layout, context)
            return no_closings(self._latest.unchanged(layout))
        folds = self._fold(layout, panes, context, goes_on)
        self.keys["pane"][numbers] = panes.at_lasts(panes.index)
        first_row = self._rows.append(layout, context)

        # Every pane but the first of its key closes the pane before it; the first may close the carried one.
        closes_carried = carried_pane != NO_PANE
        closes_carried &= ~goes_on
        newest = None
        if self._may_be_empty:
            newest = self._newest(numbers, carried_pane, folds[0].carried[0])
            if not self._finds_empty:
                closes_carried &= newest != NO_PANE
        if panes.runs.is_one_each:
            closes = closes_carried
        else:
            closes = np.ones(len(panes.index), dtype=np.bool_)
            closes[panes.runs.firsts] = closes_carried
        closing = closes.nonzero()[0]
        other = (~closes).nonzero()[0] if len(closing) < len(closes) else closing[:0]
        components = [
            tuple(panes.before(part, carried, closing) for part, carried in zip(fold.folded, fold.carried, strict=True))
            for fold in folds
        ]
        newest = None if newest is None else panes.before(panes.index, newest, closing)
        ended = Ended(panes.before(panes.index, carried_pane, closing), components, newest)
        return self._close(layout, panes, (closing, other), ended, first_row)

    def _newest(self, numbers: Array, open_panes: Array, sizes: Array) -> Array:
        """Return the newest pane with rows of each key, given the panes that are open and the rows in them."""
        closed = self._panes.newest(numbers) if self._slides else NO_PANE
        newest: Array = np.where(sizes > 0, open_panes, closed)
        return newest

    def due(self, numbers: Array, time: int) -> tuple[Array, Array]:
        """Return those of some keys that have an open window with rows that ends by a time, and the pane after it."""
        self.keys.cover(numbers)
        sizes = self.slots[0].open
        sizes.cover(numbers)
        open_panes = self.keys["pane"].take(numbers)
        newest = self._newest(numbers, open_panes, sizes["component0"].take(numbers))
        stride = self.grid.stride
        last = newest + self.pane_count if stride == 1 else (newest + self.pane_count) // stride * stride
        reached = np.broadcast_to(self.grid.reached(time, self._phases(numbers)), numbers.shape)
        if self._finds_empty:
            is_due = (open_panes != NO_PANE) & (reached > open_panes)
            return numbers[is_due], reached[is_due]
        reached = np.minimum(reached, last)
        is_due = (newest != NO_PANE) & (reached > open_panes)
        return numbers[is_due], reached[is_due]

    def close(self, numbers: Array, reached: Array) -> tuple[Layout, Array, Closings]:
        """Close all windows before panes that `due` gave; an empty pane is open then.

        Give a layout of one row without values for each key, which is what closes them, and the times of these rows.
        """
        before = self.keys["pane"].take(numbers)
        components = [tuple(slot.open[name].take(numbers) for name in slot.names) for slot in self.slots]
        sizes = components[0][0]
        ended = Ended(before, components, self._newest(numbers, before, sizes))
        for slot in self.slots:
            for name in slot.names:
                slot.open[name][numbers] = slot.open.fill(name)
        self.keys["pane"][numbers] = reached
        every = np.arange(len(numbers))
        layout = layout_of(numbers, np.ones(len(numbers), dtype=np.int64))
        stops = self._rows.stops(numbers)
        closings = self._close(layout, cut(reached, layout), (every, every[:0]), ended, stops)
        times = closings.ends if self.grid.gap is not None else self.grid.starts(reached, self._phases(numbers))
        return layout, times, closings

    def _phases(self, numbers: Array) -> Any:
        return self.grid.offset if self.one_grid else self.keys["phase"].take(numbers)

    def _close(
        self, layout: Layout, panes: Panes, parts: tuple[Array, Array], ended: Ended, first_row: Array | None
    ) -> Closings:
        """Compute the windows that closed; `first_row` is the stored position of each key's first new row.

        `parts` are the panes that closed the one before them, and all others.
        """
        closing, other = parts
        closed_by, carry = closing, None
        if not self._slides:
            final = contents = None
            windows, ends, closer, closer_of_content = ended.components, ended.panes + 1, closing, closing
        else:
            most = self.grid.reach_max
            reach = np.minimum(panes.index.take(closing) - ended.panes, most)
            if ended.newest is not None and not self._finds_empty:
                reach = np.minimum(reach, ended.newest - ended.panes + self.pane_count)
            windows, ends, contents, counts = self._panes.slide(layout.numbers, panes.key.take(closing), ended, reach)
            if self._closes_parts:
                # Of the panes that have closed others, those that have closed a window.
                counts, closed_by = counts[counts > 0], closing[counts > 0]
                other, carry = np.delete(np.arange(len(panes.index)), closed_by), panes.latest_of(closed_by)
            final = np.cumsum(counts) - 1
            closer = np.repeat(closed_by, counts)
            closer_of_content = closer[run_starts(contents)]
        stops = None
        if first_row is not None:
            key_of_room = panes.key.take(closer_of_content)
            stops = first_row[key_of_room] + panes.runs.starts[closer_of_content] - layout.starts[key_of_room]
        values = self._finish(windows, stops)
        phases = None if self.one_grid else self.keys["phase"].take(layout.numbers).take(panes.key.take(closer))
        last_panes = ends
        starts, ends = self._bounds(windows, contents, ends, phases)
        row_counts = windows[0][0]
        contents, row_counts, values = self.earlier.join(
            lambda: layout.numbers.take(panes.key.take(closer)), last_panes, contents, row_counts, values
        )
        closed = Closed(
            closing=closed_by,
            other=other,
            final=final,
            ends=ends,
            contents=contents,
            row_counts=row_counts,
            carry=carry,
            starts=starts,
        )
        held = self._latest.hold(layout, panes, closed, values)
        if len(closing):
            self._trim(layout, panes, closing)
        return Closings(
            count=len(closer),
            ends=ends,
            rows=panes.runs.starts.take(closer),
            contents=contents,
            row_counts=row_counts,
            values=values,
            held=held,
            starts=starts,
        )

    def _bounds(
        self, windows: list[Components], contents: Array | None, ends: Array, phases: Array | None
    ) -> tuple[Array | None, Array]:
        """Return where windows begin, unless their ends say so, and where they end, given the panes after them."""
        if self._plan.bounds is None:
            return None, self.grid.starts(ends, self.grid.offset if phases is None else phases)
        first, last = (windows[slot][0] for slot in self._plan.bounds)
        last = last + (self.grid.gap or 0)
        return (first, last) if contents is None else (first.take(contents), last.take(contents))

    def _cut(self, layout: Layout, times: Array) -> Panes:
        """Cut the rows of a batch into panes; a key without rows gets its phase from its first one."""
        if self.one_grid:
            return cut(self.grid.panes(times, self.grid.offset), layout)
        fresh = self.keys["pane"].take(layout.numbers) == NO_PANE
        phase = np.where(fresh, self.grid.phases(times[layout.starts]), self.keys["phase"][layout.numbers])
        self.keys["phase"][layout.numbers] = phase
        return cut(self.grid.panes(times, np.repeat(phase, layout.lengths)), layout)

    def _fold(self, layout: Layout, panes: Panes, context: Context, goes_on: Array | None) -> list[_Fold]:
        """Fold the batch into panes; the last of each key stays open.

        `goes_on` says which keys go on in the pane they had open; `None` stands for all.
        """
        folds = []
        numbers = layout.numbers
        stale = None if goes_on is None or goes_on.all() else (~goes_on).nonzero()[0]
        for slot in self.slots:
            vectors = [context.rows(node) for node in slot.arguments]
            if slot.is_narrow and slot.partial.outgrows(vectors):
                self.widen(slot)
            slot.open.cover(numbers)
            carried = carry = tuple(slot.open[name].take(numbers) for name in slot.names)
            if stale is not None:
                carry = tuple(part.copy() for part in carried)
                for part, name in zip(carry, slot.names, strict=True):
                    part[stale] = slot.open.fill(name)
            folded = slot.partial.fold(vectors, panes.runs, carry)
            for name, component in zip(slot.names, folded, strict=True):
                slot.open[name][numbers] = panes.at_lasts(component)
            folds.append(_Fold(folded, carried))
        return folds

    def _finish(self, windows: list[Components], stops: Array | None) -> dict[int, Vector]:
        """Return the aggregates over contents; `stops` are the positions after their last stored rows."""
        sizes = windows[0][0]
        values = {}
        for call in self.calls:
            if isinstance(call.aggregate, Mergeable) and call.slots:
                values[call.node.index] = call.aggregate.finish([windows[slot] for slot in call.slots])
            else:
                assert stops is not None
                aggregate = self._rows.aggregate_some if self._finds_empty else self._rows.aggregate
                values[call.node.index] = aggregate(call, stops - sizes, sizes)
        return values

    def _trim(self, layout: Layout, panes: Panes, closing: Array) -> None:
        """Forget the panes and rows that no window still to close can hold."""
        if not self._slides and not self.stored:
            return
        keys = panes.key.take(closing)
        keys = keys.take(run_starts(keys))
        numbers = layout.numbers[keys]
        if self._slides:
            self._panes.trim(numbers, panes.index[panes.lasts[keys]])
        if self.stored:
            counts = self.slots[0].open["component0"][numbers].copy()
            if self._slides:
                counts += self._panes.row_counts(numbers)
            self._rows.trim(numbers, counts)

    def kept(self) -> list[Holding]:
        """Return what is kept of each key."""
        return window_parts(self._plan, self.keys, self.closed, self._rows.log, self.grid) + self.earlier.kept()

    def work(self, index: int) -> list[Work]:
        """Return what an aggregate call costs."""
        found = self.earlier.work(index)
        return found or window_work(next(call for call in self.calls if call.node.index == index), self.grid)

    def _parts(self) -> dict[str, PerKey | KeyedLog]:
        slots = {f"slot{i}": slot.open for i, slot in enumerate(self.slots)}
        held = {f"held{i}": held for i, held in self.held.items()}
        earlier = {"earlier": self.earlier.log} if self.earlier.is_asked else {}
        return {"keys": self.keys, **slots, **held, "closed": self.closed, "rows": self._rows.log, **earlier}

    def keyed(self) -> Sequence[KeyState]:
        """Return the parts of the state, each by key."""
        return list(self._parts().values())

    def state(self) -> dict[str, Array]:
        """Return the state as arrays."""
        parts = {name: part.state() for name, part in self._parts().items()}
        state = {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
        return shortened(self.slots, state)

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""
        state = completed(self.slots, state, self.widen)
        for name, part in self._parts().items():
            part.load({key[len(name) + 1 :]: array for key, array in state.items() if key.startswith(f"{name}.")})

    def validate(self, key_count: int) -> None:
        """Assert what is always true."""
        for part in self._parts().values():
            part.validate(key_count)
        panes, counts = self.keys.state()["pane"], self.slots[0].open.state()["component0"]
        assert len(panes) == len(counts)
        assert (counts >= 0).all()
        assert not counts[panes == NO_PANE].any()
        assert self._may_be_empty or counts[panes != NO_PANE].all()
        assert (self.keys["window_rows"] >= (-1 if self._finds_empty else 0)).all()
        kept = self._panes.validate(panes)
        if self.stored:
            known = self._rows.log.key_count
            assert (self._rows.log.lengths[:known] == (counts + kept)[:known]).all()

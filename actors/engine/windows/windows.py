"""Windows: panes that fill, windows that close, and the aggregates over them.

A *pane* is one step of a key's own grid of time. Panes of mergeable aggregates keep partial aggregates; rows are kept
only for aggregates that need all of them. A window of `pane_count` panes is computed when a later row of its key
reaches its end, if it has a row. Empty windows are not visited, so a gap of any length costs nothing.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from actors.engine.functions.aggregates import Aggregate, Mergeable
from actors.engine.functions.definition import Kind
from actors.engine.functions.partials import Components, Partial, Size, reduce_ranges
from actors.engine.functions.sequences import EXPANSION_ROWS_MAX, PerKey, constant_work
from actors.engine.keys.idle import KeyState
from actors.engine.keys.kept import WINDOW_ROWS_GUESS, Holding, Work
from actors.engine.keys.log import KeyedLog
from actors.engine.language.analysis import contains
from actors.engine.language.program import Context, Node, Program, no_aggregate
from actors.engine.vectors.segments import (
    Layout,
    chunks,
    expand,
    layout_of,
    lower_bound,
    run_lengths,
    run_starts,
    starts_of,
)
from actors.engine.vectors.vector import DTYPES, Array, Type, Vector, simplified, validity
from actors.engine.windows.latest import Closed, Held, LatestWindows
from actors.engine.windows.panes import Panes, cut

NO_PANE = np.int64(np.iinfo(np.int64).min)
"""Pane index of a key without rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """How time is cut into windows, in ticks of the time column."""

    window_size: int
    """Length of a window, a multiple of `step`."""

    step: int
    alignment: int
    """The first window of a key ends at its first time, rounded down to a multiple of this, plus `step`."""

    closes_at_ticks: bool = False
    """Whether time alone closes windows too, so that the pane that a key has open may be empty."""


class Slot:
    """One partial aggregate over one tuple of arguments, with its components of every key's open pane."""

    def __init__(self, partial: Partial, arguments: tuple[Node, ...]) -> None:
        self.partial = partial
        self.arguments = arguments
        self.names = [f"component{i}" for i in range(len(partial.neutral))]
        self.open = PerKey(**dict(zip(self.names, partial.neutral, strict=True)))


class Call(NamedTuple):
    """One aggregate call and how it is computed."""

    node: Node
    aggregate: Aggregate
    slots: tuple[int, ...]
    """Slots of a mergeable aggregate; empty if rows are needed."""

    stored: tuple[int, ...]
    """Stored vectors: the arguments, or the columns that its arguments are replayed from."""

    is_replayed: bool
    """Whether arguments hold order-sensitive functions and are evaluated over each window's rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closings:
    """The windows that a batch closed, ordered by key, then by end."""

    count: int
    ends: Array
    """Exclusive end of each window."""

    rows: Array
    """Position, in the sorted batch, of the row that closed it."""

    rooms: Array | None
    """The *room* of each window, ascending: windows that hold the same rows share one; `None` if none are shared."""

    row_counts: Array
    """Rows in each room."""

    values: dict[int, Vector]
    """Aggregates over each room, by node index."""

    held: Held
    """What holds at each row of the batch."""


class _Fold(NamedTuple):
    """One partial aggregate of a batch."""

    folded: Components
    """Its components of every pane."""

    carried: Components
    """Its components of the pane that each key had open before."""


class _Ended(NamedTuple):
    """The panes that a batch closed, ordered by key, then by time."""

    panes: Array
    """Their numbers in the grid of time."""

    components: list[Components]
    """Their components, slot by slot."""

    newest: Array | None = None
    """The newest pane with rows up to each of them; `None` if that is always the pane itself."""


class Windows:
    """State of all windows of all keys."""

    def __init__(self, program: Program, grid: Grid, held: set[int]) -> None:
        self.step = step = grid.step
        self.alignment = alignment = grid.alignment
        self.pane_count = grid.window_size // step
        self.one_grid = alignment % step == 0
        self.closes_at_ticks = grid.closes_at_ticks
        self._program = program
        self.slots: list[Slot] = [Slot(Size(), ())]
        self.stored: list[Node] = []
        self.calls = [self._plan(node) for node in program.aggregates]
        self.keys = PerKey(pane=NO_PANE, phase=np.int64(0), window_end=np.int64(0), window_rows=np.int64(0))
        self.held = {
            call.node.index: PerKey(value=_zero(call.node.term.type), valid=np.False_)
            for call in self.calls
            if call.node.index in held
        }
        """Aggregates of each key's latest computed window, for the nodes whose values rows need."""

        self._latest = LatestWindows(self.keys, self.held)
        components = [np.asarray(fill).dtype if not isinstance(fill, str) else np.object_ for fill in self._fills()]
        self.closed = KeyedLog([np.int64, *components])
        self._rows = KeyedLog([d for node in self.stored for d in (DTYPES[node.term.type], np.bool_)])

    def _fills(self) -> list[object]:
        return [fill for slot in self.slots for fill in slot.partial.neutral]

    def _plan(self, node: Node) -> Call:
        assert node.term.function is not None
        aggregate: Aggregate = node.term.function.build(node.term.usage(self._program.nulls_smallest))
        replayed = any(contains(argument, Kind.SEQUENCE) for argument in node.term.arguments)
        if isinstance(aggregate, Mergeable) and not replayed:
            slots = tuple(self._slot(partial, node.arguments) for partial in aggregate.partials)
            return Call(node, aggregate, slots, (), False)
        needed = _columns_below(node) if replayed else list(node.arguments)
        return Call(node, aggregate, (), tuple(self._store(argument) for argument in needed), replayed)

    def _slot(self, partial: Partial, arguments: tuple[Node, ...]) -> int:
        if isinstance(partial, Size):
            return 0
        for number, slot in enumerate(self.slots):
            if slot.partial == partial and slot.arguments == arguments:
                return number
        self.slots.append(Slot(partial, arguments))
        return len(self.slots) - 1

    def _store(self, node: Node) -> int:
        if node not in self.stored:
            self.stored.append(node)
        return self.stored.index(node)

    def advance(self, layout: Layout, times: Array, context: Context) -> Closings:
        """Take in a batch whose rows are sorted by key and, within a key, do not go back in time."""
        numbers = layout.numbers
        self.keys.cover(numbers)
        panes = self._cut(layout, times)
        carried_pane = self.keys["pane"].take(numbers)
        goes_on = carried_pane == panes.runs.at_firsts(panes.index)
        if panes.runs.is_one_each and goes_on.all():
            self._fold(layout, panes, context, None)
            if self.stored:
                self._rows.append(layout, self._stored_columns(context))
            return self._no_closings(layout)
        folds = self._fold(layout, panes, context, goes_on)
        self.keys["pane"][numbers] = panes.at_lasts(panes.index)
        first_row = self._rows.append(layout, self._stored_columns(context)) if self.stored else None

        # Every pane but the first of its key closes the pane before it; the first may close the carried one.
        closes_carried = carried_pane != NO_PANE
        closes_carried &= ~goes_on
        newest = None
        if self.closes_at_ticks:
            newest = self._newest(numbers, carried_pane, folds[0].carried[0])
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
        ended = _Ended(panes.before(panes.index, carried_pane, closing), components, newest)
        return self._close(layout, panes, (closing, other), ended, first_row)

    def _newest(self, numbers: Array, open_panes: Array, sizes: Array) -> Array:
        """Return the newest pane with rows of each key, given the panes that are open and the rows in them."""
        closed = self.closed.last_entries(numbers, NO_PANE) if self.pane_count > 1 else NO_PANE
        newest: Array = np.where(sizes > 0, open_panes, closed)
        return newest

    def due(self, numbers: Array, time: int) -> tuple[Array, Array]:
        """Return those of some keys that have an open window with rows that ends by a time, and the pane after it."""
        self.keys.cover(numbers)
        sizes = self.slots[0].open
        sizes.cover(numbers)
        open_panes = self.keys["pane"].take(numbers)
        newest = self._newest(numbers, open_panes, sizes["component0"].take(numbers))
        reached = np.minimum((time - self._phases(numbers)) // self.step, newest + self.pane_count)
        is_due = (newest != NO_PANE) & (reached > open_panes)
        return numbers[is_due], reached[is_due]

    def close(self, numbers: Array, reached: Array) -> tuple[Layout, Array, Closings]:
        """Close all windows before panes that `due` gave; an empty pane is open then.

        Give a layout of one row without values for each key, which is what closes them, and the times of these rows.
        """
        before = self.keys["pane"].take(numbers)
        components = [tuple(slot.open[name].take(numbers) for name in slot.names) for slot in self.slots]
        sizes = components[0][0]
        ended = _Ended(before, components, self._newest(numbers, before, sizes))
        for slot in self.slots:
            for name in slot.names:
                slot.open[name][numbers] = slot.open.fill(name)
        self.keys["pane"][numbers] = reached
        every = np.arange(len(numbers))
        layout = layout_of(numbers, np.ones(len(numbers), dtype=np.int64))
        stops = self._rows.stops_for(numbers) if self.stored else None
        closings = self._close(layout, cut(reached, layout), (every, every[:0]), ended, stops)
        return layout, reached * self.step + self._phases(numbers), closings

    def _phases(self, numbers: Array) -> Any:
        return 0 if self.one_grid else self.keys["phase"].take(numbers)

    def _close(
        self, layout: Layout, panes: Panes, parts: tuple[Array, Array], ended: _Ended, first_row: Array | None
    ) -> Closings:
        """Compute the windows that closed; `first_row` is the stored position of each key's first new row.

        `parts` are the panes that closed the one before them, and all others.
        """
        closing, other = parts
        if self.pane_count == 1:
            final = rooms = None
            windows, ends, closer, closer_of_room = ended.components, ended.panes + 1, closing, closing
        else:
            reach = np.minimum(panes.index.take(closing) - ended.panes, self.pane_count)
            if ended.newest is not None:
                reach = np.minimum(reach, ended.newest - ended.panes + self.pane_count)
            windows, ends, rooms = self._slide(layout, panes.key.take(closing), ended, reach)
            final = np.cumsum(reach) - 1
            closer = np.repeat(closing, reach)
            closer_of_room = closer[run_starts(rooms)]
        stops = None
        if first_row is not None:
            key_of_room = panes.key.take(closer_of_room)
            stops = first_row[key_of_room] + panes.runs.starts[closer_of_room] - layout.starts[key_of_room]
        values = self._finish(windows, stops)
        ends = ends * self.step
        if not self.one_grid:
            ends += self.keys["phase"].take(layout.numbers).take(panes.key.take(closer))
        row_counts = windows[0][0]
        closed = Closed(closing=closing, other=other, final=final, ends=ends, rooms=rooms, row_counts=row_counts)
        held = self._latest.hold(layout, panes, closed, values)
        if len(closing):
            self._trim(layout, panes, closing)
        return Closings(
            count=len(closer),
            ends=ends,
            rows=panes.runs.starts.take(closer),
            rooms=rooms,
            row_counts=row_counts,
            values=values,
            held=held,
        )

    def _cut(self, layout: Layout, times: Array) -> Panes:
        """Cut the rows of a batch into panes."""
        if self.one_grid:
            pane = times // self.step
        else:
            fresh = self.keys["pane"].take(layout.numbers) == NO_PANE
            first = times[layout.starts]
            base = first - first % self.alignment
            phase = np.where(fresh, base % self.step, self.keys["phase"][layout.numbers])
            self.keys["phase"][layout.numbers] = phase
            pane = (times - np.repeat(phase, layout.lengths)) // self.step
        return cut(pane, layout)

    def _fold(self, layout: Layout, panes: Panes, context: Context, goes_on: Array | None) -> list[_Fold]:
        """Fold the batch into panes; the last of each key stays open.

        `goes_on` says which keys go on in the pane they had open; `None` stands for all.
        """
        folds = []
        numbers = layout.numbers
        stale = None if goes_on is None or goes_on.all() else (~goes_on).nonzero()[0]
        for slot in self.slots:
            slot.open.cover(numbers)
            carried = carry = tuple(slot.open[name].take(numbers) for name in slot.names)
            if stale is not None:
                carry = tuple(part.copy() for part in carried)
                for part, fill in zip(carry, slot.partial.neutral, strict=True):
                    part[stale] = fill
            vectors = [context.rows(node) for node in slot.arguments]
            folded = slot.partial.fold(vectors, panes.runs, carry)
            for name, component in zip(slot.names, folded, strict=True):
                slot.open[name][numbers] = panes.at_lasts(component)
            folds.append(_Fold(folded, carried))
        return folds

    def _stored_columns(self, context: Context) -> list[Array]:
        vectors = [context.rows(node) for node in self.stored]
        return [array for vector in vectors for array in (vector.values, validity(vector))]

    def _slide(self, layout: Layout, key: Array, ended: _Ended, reach: Array) -> tuple[list[Components], Array, Array]:
        """Keep the panes that closed; return the components of the rooms, and end pane and room of each window.

        `key` is the position of each closed pane's key, `reach` the number of windows that closed with it.
        """
        if not len(key):
            return ended.components, ended.panes, ended.panes
        first_of_key = run_starts(key)
        chosen, counts = key[first_of_key], run_lengths(first_of_key, len(key))
        numbers = layout.numbers[chosen]
        position = self._keep_panes(numbers, counts, ended)
        key_start = np.repeat(self.closed.starts_for(numbers), counts)
        repeat = np.repeat(np.arange(len(key)), reach)
        last_pane = expand(ended.panes, reach)
        stops = position[repeat] + 1
        starts = np.maximum(key_start[repeat], stops - self.pane_count)
        several = (stops - starts > 1).nonzero()[0]
        oldest = last_pane[several] - self.pane_count + 1
        starts[several] = lower_bound(self.closed.columns[0], starts[several], stops[several], oldest)
        first_of_room = run_starts(starts, stops)
        shared = run_lengths(first_of_room, len(starts))
        starts, stops = starts[first_of_room], stops[first_of_room]
        return self._join(starts, stops - starts), last_pane + 1, np.repeat(np.arange(len(shared)), shared)

    def _keep_panes(self, numbers: Array, counts: Array, ended: _Ended) -> Array:
        """Keep the panes of keys that closed; return where each is, or for an empty one where the one before it is."""
        columns = [ended.panes, *(component for parts in ended.components for component in parts)]
        if ended.newest is None:
            return expand(self.closed.append(layout_of(numbers, counts), columns), counts)
        filled = ended.newest == ended.panes
        starts = starts_of(counts)
        kept = np.add.reduceat(filled.astype(np.int64), starts)
        growing = kept > 0
        self.closed.append(layout_of(numbers[growing], kept[growing]), [column[filled] for column in columns])
        first = self.closed.stops_for(numbers) - kept
        seen = np.cumsum(filled)
        position: Array = np.repeat(first - (seen[starts] - filled[starts]), counts) + seen - 1
        return position

    def _join(self, starts: Array, lengths: Array) -> list[Components]:
        parts: list[list[Components]] = []
        for part in chunks(lengths, EXPANSION_ROWS_MAX):
            positions = expand(starts[part], lengths[part])
            joined, column = [], 1
            for slot in self.slots:
                width = len(slot.names)
                components = tuple(c.take(positions) for c in self.closed.columns[column : column + width])
                joined.append(reduce_ranges(slot.partial, components, lengths[part]))
                column += width
            parts.append(joined)
        if len(parts) == 1:
            return parts[0]
        return [
            tuple(np.concatenate(pieces) for pieces in zip(*(part[i] for part in parts), strict=True))
            for i in range(len(self.slots))
        ]

    def _finish(self, windows: list[Components], stops: Array | None) -> dict[int, Vector]:
        sizes = windows[0][0]
        values = {}
        for call in self.calls:
            if isinstance(call.aggregate, Mergeable) and call.slots:
                values[call.node.index] = call.aggregate.finish([windows[slot] for slot in call.slots])
            elif len(sizes):
                assert stops is not None
                values[call.node.index] = self._whole(call, stops - sizes, sizes)
            else:
                values[call.node.index] = Vector(np.zeros(0, dtype=DTYPES[call.node.term.type]), None)
        return values

    def _whole(self, call: Call, starts: Array, lengths: Array) -> Vector:
        parts = []
        for part in chunks(lengths, EXPANSION_ROWS_MAX):
            positions = expand(starts[part], lengths[part])
            vectors = [
                simplified(self._rows.columns[2 * i][positions], self._rows.columns[2 * i + 1][positions])
                for i in call.stored
            ]
            if call.is_replayed:
                vectors = self._replay(call, vectors, lengths[part])
            parts.append(call.aggregate.reduce(vectors, lengths[part]))
        if len(parts) == 1:
            return parts[0]
        values = np.concatenate([part.values for part in parts])
        return simplified(values, np.concatenate([validity(part) for part in parts]))

    def _replay(self, call: Call, vectors: list[Vector], lengths: Array) -> list[Vector]:
        columns = {self.stored[i].term.column: vector for i, vector in zip(call.stored, vectors, strict=True)}
        layout = layout_of(np.arange(len(lengths)), lengths)
        context = Context(layout.row_count, columns.__getitem__, no_aggregate, layout, {})
        return [context.rows(argument) for argument in call.node.arguments]

    def _no_closings(self, layout: Layout) -> Closings:
        """Return what holds when a batch closes no window: the aggregates that held before."""
        none, held = np.zeros(0, dtype=np.int64), self._latest.unchanged(layout)
        return Closings(count=0, ends=none, rows=none, rooms=None, row_counts=none, values={}, held=held)

    def _trim(self, layout: Layout, panes: Panes, closing: Array) -> None:
        """Forget the panes and rows that no window still to close can hold."""
        if self.pane_count == 1 and not self.stored:
            return
        keys = panes.key.take(closing)
        keys = keys.take(run_starts(keys))
        numbers = layout.numbers[keys]
        kept = self.slots[0].open["component0"][numbers].copy()
        if self.pane_count > 1:
            starts, stops = self.closed.starts_for(numbers), self.closed.stops_for(numbers)
            oldest = panes.index[panes.lasts[keys]] - self.pane_count + 1
            starts = lower_bound(self.closed.columns[0], starts, stops, oldest)
            self.closed.keep_last(numbers, stops - starts)
            if self.stored:
                held = stops - starts
                sizes = self.closed.columns[1][expand(starts, held)]
                sums = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(sizes)))
                first = starts_of(held)
                kept += sums[first + held] - sums[first]
        if self.stored:
            self._rows.keep_last(numbers, kept)

    def kept(self) -> list[Holding]:
        """Return what is kept of each key."""
        found = [Holding(self.keys.kept("open pane and latest window"), ())]
        column, panes = 1, self.pane_count
        for number, slot in enumerate(self.slots):
            users = () if number == 0 else tuple(call.node.index for call in self.calls if number in call.slots)
            of = ", ".join(argument.term.source for argument in slot.arguments)
            what = f"{slot.partial.what} of {of}" if of else slot.partial.what
            found.append(Holding(slot.open.kept("open pane", what), users))
            part = slice(column if number else 0, column + len(slot.names))
            column = part.stop
            if panes > 1:
                kept = self.closed.kept("closed panes", what, entry="pane", entry_count_max=panes - 1, part=part)
                found.append(Holding(kept, users))
        for number, node in enumerate(self.stored):
            users = tuple(call.node.index for call in self.calls if number in call.stored)
            part = slice(2 * number, 2 * number + 2)
            found.append(Holding(self._rows.kept("rows of the window", node.term.source, part=part), users))
        for call in self.calls:
            if call.node.index in self.held:
                kept = self.held[call.node.index].kept("latest value", call.node.term.source)
                found.append(Holding(kept, (call.node.index,)))
        return found

    def work(self, index: int) -> list[Work]:
        """Return what an aggregate call costs."""
        call = next(call for call in self.calls if call.node.index == index)
        if call.stored:
            why = "needs all rows of the window at once" + (", in order" if call.is_replayed else "")
            if self.pane_count > 1:
                why += f"; each row is in {self.pane_count} windows"
            rows = Work(order="O(rows of the window)", per="closing", why=why, weight=WINDOW_ROWS_GUESS)
            return [constant_work("keeps the row's values"), rows]
        added = constant_work("adds to partial aggregates")
        if self.pane_count == 1:
            return [added, Work(order="O(1)", per="closing", why="finishes them", weight=1)]
        why = f"joins {self.pane_count} panes"
        return [added, Work(order="O(panes)", per="closing", why=why, weight=self.pane_count)]

    def keyed(self) -> list[KeyState]:
        """Return the parts of the state, each by key."""
        slots = [slot.open for slot in self.slots]
        return [self.keys, *slots, *self.held.values(), self.closed, self._rows]

    def state(self) -> dict[str, Array]:
        """Return the state as arrays."""
        parts: dict[str, dict[str, Array]] = {"keys": self.keys.state()}
        parts |= {f"slot{i}": slot.open.state() for i, slot in enumerate(self.slots)}
        parts |= {f"held{i}": held.state() for i, held in self.held.items()}
        parts |= {"closed": self.closed.state(), "rows": self._rows.state()}
        return {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def load(self, state: dict[str, Array]) -> None:
        """Take over arrays that `state` gave."""

        def part(name: str) -> dict[str, Array]:
            return {key[len(name) + 1 :]: array for key, array in state.items() if key.startswith(name + ".")}

        self.keys.load(part("keys"))
        for i, slot in enumerate(self.slots):
            slot.open.load(part(f"slot{i}"))
        for i, held in self.held.items():
            held.load(part(f"held{i}"))
        self.closed.load(part("closed"))
        self._rows.load(part("rows"))


def _zero(kind: Type) -> object:
    return "" if kind is Type.TEXT else DTYPES[kind](0)


def _columns_below(node: Node) -> list[Node]:
    if node.term.column:
        return [node]
    found: list[Node] = []
    for argument in node.arguments:
        found.extend(column for column in _columns_below(argument) if column not in found)
    return found

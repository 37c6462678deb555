"""The part of the generated function that fills panes and closes windows; see `actors.engine.rows.program`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actors.engine.functions.aggregates import Mergeable
from actors.engine.functions.partials import Partial, Place
from actors.engine.language.program import Node
from actors.engine.language.terms import Metric, MetricKind
from actors.engine.report.comparisons import ComparedNulls
from actors.engine.report.details import Details
from actors.engine.rows.aggregates import FinishCall
from actors.engine.rows.code import HIGH, NoRowForm, Operand, RowCall, literal
from actors.engine.rows.sequences import place_field
from actors.engine.rows.state import Entry, Field, LogField, NullableField, PlainField
from actors.engine.windows.closed_panes import NO_PANE
from actors.engine.windows.slots import Slot
from actors.engine.windows.windows import Windows

PANE_COUNT_MAX = 128
"""Panes of a window up to which windows are computed row by row; each closing goes over all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _SlotCode:
    """One slot of the windows: its form and the names of its places."""

    partial: Partial
    places: tuple[Place, ...]
    open_names: tuple[str, ...]
    joined_names: tuple[str, ...]
    """Names over a closing window; those of the open pane if a window is one pane."""


class WindowWriter:
    """Writes the lines about windows and says what they keep of each key."""

    def __init__(
        self,
        windows: Windows,
        metrics: Sequence[tuple[Metric, Node]],
        details: Details | None,
        nulls_smallest: bool,
        compared: ComparedNulls,
        value: Callable[[Node], Operand],
        bind: Callable[[object], str],
    ) -> None:
        grid = windows.grid
        if not grid.is_even or grid.offset or grid.tells_start or grid.computes_empty:
            raise NoRowForm("a window that is not a number of steps, begins elsewhere, or may be empty")
        if windows.pane_count > PANE_COUNT_MAX or windows.stored or windows.earlier.is_asked:
            raise NoRowForm(f"{windows.pane_count} panes, {len(windows.stored)} stored columns, or earlier windows")
        self._windows = windows
        self._metrics = metrics
        self._details = details
        self._nulls_smallest = nulls_smallest
        self._compared = compared
        self._value = value
        self._bind = bind
        self._slots = [self._slot(number) for number in range(len(windows.slots))]
        self._finished: dict[int, Operand] = {}
        self._finish_lines: list[str] = []

    def _slot(self, number: int) -> _SlotCode:
        partial = self._windows.slots[number].partial
        places = partial.places
        if places is None:
            raise NoRowForm(repr(partial))
        open_names = tuple(f"p{number}_{place.component}" for place in places)
        is_joined = self._windows.pane_count > 1
        joined = tuple(f"j{number}_{place.component}" for place in places) if is_joined else open_names
        return _SlotCode(partial=partial, places=places, open_names=open_names, joined_names=joined)

    def fields(self) -> list[Field]:
        """Return what is kept of each key."""
        windows = self._windows
        fields: list[Field] = [PlainField("pane", windows.keys, "pane")]
        if not windows.one_grid:
            fields.append(PlainField("phase", windows.keys, "phase"))
        if windows.held:
            fields += [PlainField(name, windows.keys, name) for name in ("window_end", "window_rows")]
        for slot, code in zip(windows.slots, self._slots, strict=True):
            widen = self._widening(slot)
            fields += [
                place_field(name, place, slot.open, widen)
                for name, place in zip(code.open_names, code.places, strict=True)
            ]
        fields += [NullableField(f"h{index}", arrays, "value", "valid") for index, arrays in windows.held.items()]
        if windows.pane_count > 1:
            fields.append(self._closed_field())
        return fields

    def _closed_field(self) -> Field:
        entries = [Entry(Place(component=0), [0], 0)]
        for slot, code in zip(self._windows.slots, self._slots, strict=True):
            fills = slot.partial.neutral
            entries += [Entry(p, slot.columns, fills[p.component], self._widening(slot)) for p in code.places]
        return LogField("closed", self._windows.closed, entries)

    def _widening(self, slot: Slot) -> Callable[[], None]:
        return lambda: self._windows.widen(slot)

    def lines(self, time: str) -> list[str]:
        """Return the lines that close windows and add the row to its pane."""
        windows = self._windows
        start = []
        if not windows.one_grid:
            start = [
                f"if pane == {NO_PANE}:",
                f"    phase = ({time} - {time} % {windows.grid.alignment}) % {windows.grid.step}",
            ]
        moved = time if windows.one_grid else f"({time} - phase)"
        neutral = [
            f"{name} = {self._neutral(number, name_index)}"
            for number, code in enumerate(self._slots)
            for name_index, name in enumerate(code.open_names)
        ]
        return [
            *start,
            f"now = {moved} // {windows.grid.step}",
            "if now != pane:",
            f"    if {self._has_closing()}:",
            "        shut((i, state))",
            *_indented(_indented(self._closing_lines())),
            *_indented(neutral),
            "    pane = now",
        ]

    def _has_closing(self) -> str:
        """Return the condition that a key that leaves its pane has a window to close."""
        if not self._windows.closes_at_ticks:
            return f"pane != {NO_PANE}"
        size = self._slots[0].open_names[0]
        return size if self._windows.pane_count == 1 else f"{size} or closed"

    def fold_lines(self) -> list[str]:
        """Return the lines that add the row to the open pane; its values have been made."""
        return [
            line
            for slot, code in zip(self._windows.slots, self._slots, strict=True)
            for line in code.partial.fold_row(code.open_names, [self._value(node) for node in slot.arguments])
        ]

    def _neutral(self, number: int, name_index: int) -> str:
        """Return the text of what a place holds before the first row."""
        place = self._slots[number].places[name_index]
        if place.validity is not None:
            return "None"
        fill = self._windows.slots[number].partial.neutral[place.component].item()
        return self._bind(fill) if fill in (float("inf"), float("-inf")) else repr(fill)

    def _closing_lines(self) -> list[str]:
        if self._windows.pane_count == 1:
            return [*self._window_lines("pane"), *self._hold_lines()]
        places = "".join(f"{name}, " for code in self._slots for name in code.open_names)
        kept = self._windows.pane_count - 1
        keep = f"closed = (closed or ()) + ((pane, {places}),)"
        newest = "pane"
        if self._windows.closes_at_ticks:
            keep, newest = f"if {self._slots[0].open_names[0]}: {keep}", "closed[-1][0]"
        return [
            keep,
            f"for last in range(pane, min(now, {newest} + {kept + 1})):",
            f"    room = [entry for entry in closed if entry[0] >= last - {kept}]",
            f"    ({self._join_targets()}) = zip(*room)",
            *_indented(self._join_lines()),
            *_indented(self._window_lines("last")),
            *self._hold_lines(),
            f"closed = tuple([entry for entry in closed if entry[0] >= now - {kept}])",
        ]

    def _join_targets(self) -> str:
        names = [f"k{name[1:]}" for code in self._slots for name in code.open_names]
        return ", ".join(["panes", *names]) + ","

    def _join_lines(self) -> list[str]:
        lines = []
        for code in self._slots:
            arguments = ", ".join(f"k{name[1:]}" for name in code.open_names)
            join = "sum" if code.partial.join_row is sum else self._bind(code.partial.join_row)
            lines.append(f"{', '.join(code.joined_names)} = {join}({arguments})")
        return lines

    def _window_lines(self, last: str) -> list[str]:
        """Return the lines that compute one window and test the metrics of windows."""
        windows = self._windows
        phase = "" if windows.one_grid else " + phase"
        tests: list[str] = []
        for metric_index, (metric, node) in enumerate(self._metrics):
            if metric.kind is MetricKind.WINDOW:
                condition = self._over_window(node).text
                tests += [
                    f"if {condition}:",
                    f"    fire((i, {metric_index}, end, state, {self._detail(metric_index)}))",
                ]
        held = [self._over_window(node) for node in self._held_nodes()]
        assert len(held) == len(windows.held)
        lines = [f"end = ({last} + 1) * {windows.grid.step}{phase}"]
        return [*lines, *self._finish_lines, *tests]

    def _detail(self, metric_index: int) -> str:
        if self._details is None:
            return "None"
        values = [self._over_window(node).text for node in self._details.parts(metric_index)]
        return packed_text(["end", self._slots[0].joined_names[0], *values])

    def _held_nodes(self) -> list[Node]:
        return [call.node for call in self._windows.calls if call.node.index in self._windows.held]

    def _hold_lines(self) -> list[str]:
        if not self._windows.held:
            return []
        held = [f"h{node.index} = {self._over_window(node).text}" for node in self._held_nodes()]
        return [*held, "window_end = end", f"window_rows = {self._slots[0].joined_names[0]}"]

    def _over_window(self, node: Node) -> Operand:
        """Return a node's value over a window that closes; lines that make it have been written."""
        known = self._finished.get(node.index)
        if known is None:
            known = constant_operand(node) if node.constant is not None else self._named(node)
            self._finished[node.index] = known
        return known

    def _named(self, node: Node) -> Operand:
        term = node.term
        assert term.function is not None
        if term.is_aggregate:
            result = self._finish(node)
        else:
            operands = tuple(self._over_window(argument) for argument in node.arguments)
            usage = term.usage(self._nulls_smallest)
            call = RowCall(
                usage=usage,
                operands=operands,
                type=term.type,
                bind=self._bind,
                counted=lambda otherwise: self._compared.counted(node, True, otherwise),
            )
            result = term.function.row_form and term.function.row_form(call)
        if result is None:
            raise NoRowForm(term.source)
        self._finish_lines.append(f"w{node.index} = {result.text}")
        return Operand(text=f"w{node.index}", type=term.type, is_nullable=result.is_nullable)

    def _finish(self, node: Node) -> Operand | None:
        term = node.term
        assert term.function is not None
        call = next(call for call in self._windows.calls if call.node is node)
        if not isinstance(call.aggregate, Mergeable) or not call.slots or term.function.row_form is None:
            return None
        parts = tuple(self._slots[slot].joined_names for slot in call.slots)
        finish = FinishCall(partials=call.aggregate.partials, parts=parts, type=term.type, bind=self._bind)
        result: Operand = term.function.row_form(finish)
        return result


def constant_operand(node: Node) -> Operand:
    """Return a constant node as an operand."""
    value = node.term.constant
    is_large = isinstance(value, int) and not -HIGH <= value <= HIGH
    if is_large or (isinstance(value, float) and value - value != 0.0):
        raise NoRowForm(node.term.source)
    return literal(value, node.term.type)


def packed_text(texts: Sequence[str]) -> str:
    """Return the text of a packed detail."""
    return f"({', '.join(texts)},)" if texts else "None"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]

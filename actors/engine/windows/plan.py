"""The plan of windows: which aggregate calls there are, and what each is computed from."""

from typing import NamedTuple

from actors.engine.functions.aggregates import Aggregate, Mergeable
from actors.engine.functions.definition import Kind
from actors.engine.functions.edges import Extreme
from actors.engine.functions.partials import Partial, Size
from actors.engine.keys.per_key import PerKey
from actors.engine.language.analysis import column_type
from actors.engine.language.program import Node, Program
from actors.engine.language.terms import Term, contains
from actors.engine.vectors.vector import DTYPES, Type
from actors.engine.windows.slots import Slot
from actors.model import Column


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


class WindowPlan:
    """All aggregate calls of a program; equal partial aggregates and equal rows are kept once."""

    def __init__(self, program: Program, looked_at: set[int], time_column: Column | None = None) -> None:
        """Plan the calls of a program; of windows that begin and end with rows the time column is looked at too."""
        self._program = program
        # The first slot counts the rows of a pane; everybody needs that.
        self.slots: list[Slot] = [Slot(Size(), ())]
        self.stored: list[Node] = []
        self.calls = [self._call(node) for node in program.aggregates if not node.looks_at_windows]
        self.earlier = program.earlier
        """Calls that look at earlier windows."""

        self.bounds: tuple[int, int] | None = None
        """Slots of the first and the last time of windows that begin and end with rows."""

        if time_column is not None:
            time = program.node(
                Term(function=None, type=column_type(time_column), column=time_column.name, source=time_column.name)
            )
            first, last = (self._slot(Extreme(is_largest, False), (time,)) for is_largest in (False, True))
            self.bounds = first, last
        self.held = {
            node.index: PerKey(value=_zero(node.term.type), valid=DTYPES[Type.BOOL](False))
            for node in program.aggregates
            if node.index in looked_at
        }
        """By node the aggregate over each key's latest computed window, for those that rows look at."""

    def _call(self, node: Node) -> Call:
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


def _zero(kind: Type) -> object:
    return "" if kind is Type.TEXT else DTYPES[kind](0)


def _columns_below(node: Node) -> list[Node]:
    if node.term.column:
        return [node]
    found: list[Node] = []
    for argument in node.arguments:
        found.extend(column for column in _columns_below(argument) if column not in found)
    return found

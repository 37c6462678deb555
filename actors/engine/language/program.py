"""Programs: the terms of all metrics as one graph of nodes, each evaluated once per batch.

A node is evaluated in a *context*: the rows of a batch, the windows that a batch closed, or the rows of those windows.
The context says what columns, aggregates and order-sensitive calls mean there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from actors.engine.functions.sequences import SequenceState
from actors.engine.language.terms import Term
from actors.engine.vectors.segments import Layout
from actors.engine.vectors.vector import Array, Type, Vector, as_array


class Node:
    """One term of the program."""

    __slots__ = ("apply", "arguments", "constant", "index", "state", "term")

    def __init__(self, index: int, term: Term, arguments: Sequence["Node"], nulls_smallest: bool) -> None:
        self.index = index
        self.term = term
        self.arguments = tuple(arguments)
        self.constant: Vector | None = None
        self.apply: Callable[..., Vector] | None = None
        self.state: SequenceState | None = None
        if term.function is None:
            if not term.column:
                self.constant = Vector(0, np.False_) if term.constant is None else Vector(constant_of(term), None)
        elif term.is_sequence:
            self.state = term.function.build(term.usage(nulls_smallest))
        elif not term.is_aggregate:
            self.apply = term.function.build(term.usage(nulls_smallest))

    @property
    def looks_at_windows(self) -> bool:
        """Whether this is a call of a function of earlier windows."""
        return self.term.function is not None and self.term.function.looks_at_windows


def constant_of(term: Term) -> Any:
    """Return a constant as vectors have it: a text as an object, or numpy would cut a NUL off its end."""
    return np.asarray(term.constant, dtype=object) if term.type is Type.TEXT else term.constant


class Program:
    """All nodes; equal terms are one node."""

    def __init__(self, nulls_smallest: bool) -> None:
        self.nulls_smallest = nulls_smallest
        self.nodes: list[Node] = []
        self._by_term: dict[Term, Node] = {}

    def node(self, term: Term) -> Node:
        """Return the node of a term, with all nodes below it."""
        known = self._by_term.get(term)
        if known is not None:
            return known
        arguments = [self.node(argument) for argument in term.arguments]
        node = Node(len(self.nodes), term, arguments, self.nulls_smallest)
        self.nodes.append(node)
        self._by_term[term] = node
        return node

    @property
    def aggregates(self) -> list[Node]:
        """The aggregate calls."""
        return [node for node in self.nodes if node.term.is_aggregate]

    @property
    def earlier(self) -> list[Node]:
        """Those of them that look at windows that have closed before."""
        return [node for node in self.aggregates if node.looks_at_windows]


class Context:
    """What nodes are evaluated over."""

    def __init__(
        self,
        row_count: int,
        column: Callable[[str], Vector],
        aggregate: Callable[[Node], Vector],
        layout: Layout | None,
        states: dict[int, SequenceState] | None = None,
    ) -> None:
        self.row_count = row_count
        self.memo: dict[int, Vector] = {}
        self._column = column
        self._aggregate = aggregate
        self._layout = layout
        self._states = states

    def with_aggregates(self, aggregate: Callable[[Node], Vector]) -> "Context":
        """Return this context, in which aggregates now have values."""
        self._aggregate = aggregate
        return self

    def value(self, node: Node) -> Vector:
        """Return a node's values; constants keep their short form."""
        known = self.memo.get(node.index)
        if known is not None:
            return known
        if node.constant is not None:
            return node.constant
        if node.apply is not None:
            result = node.apply(*[self.value(argument) for argument in node.arguments])
        elif node.term.column:
            result = self._column(node.term.column)
        elif node.term.is_aggregate:
            result = self._aggregate(node)
        else:
            result = self._sequence(node)
        self.memo[node.index] = result
        return result

    def rows(self, node: Node) -> Vector:
        """Return a node's values with one entry per row."""
        return as_array(self.value(node), node.term.type, self.row_count)

    def _sequence(self, node: Node) -> Vector:
        assert self._layout is not None
        state = node.state if self._states is None else self._states.get(node.index)
        if state is None:
            assert self._states is not None
            assert node.term.function is not None
            state = self._states[node.index] = node.term.function.build(node.term.usage(True))
        return state.evaluate([self.rows(argument) for argument in node.arguments], self._layout)


def no_aggregate(node: Node) -> Vector:
    """Refuse aggregates where analysis has made sure there are none."""
    raise AssertionError(f"an aggregate outside a window: {node.term.source}")


def no_column(name: str) -> Vector:
    """Refuse columns where analysis has made sure there are none."""
    raise AssertionError(f"a column outside a row: {name}")


def fired(vector: Vector, count: int) -> Array:
    """Return where a metric is true, as a full-length array."""
    values: Any = vector.values
    if vector.valid is not None:
        values = values & vector.valid
    if not isinstance(values, np.ndarray) or values.ndim == 0:
        return np.full(count, bool(values))
    return values if values.dtype == np.bool_ else as_array(vector, Type.BOOL, count).values


def aggregates_below(nodes: Sequence[Node]) -> set[int]:
    """Return the indexes of the outermost aggregates in some expressions."""
    pending, found = list(nodes), set()
    while pending:
        node = pending.pop()
        if node.term.is_aggregate:
            found.add(node.index)
        else:
            pending.extend(node.arguments)
    return found

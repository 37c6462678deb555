"""How often the comparisons of each metric met NULL.

A comparison is counted where it is carried out: for every row, for every row of a key that has a computed window if
aggregates are in it, or for every window that closes. One inside an aggregate whose argument looks at earlier rows is
carried out over the rows of a window again and again, and is not counted. Counts are
of this process: they are no part of snapshots.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from actors.engine.evaluated import Evaluated
from actors.engine.functions.definition import Kind
from actors.engine.language.program import Node
from actors.engine.language.terms import Metric, MetricKind, contains
from actors.engine.vectors.vector import Array, both_valid
from actors.engine.windows.windows import Closings

Place = tuple[int, bool]
"""The index of a comparison's node, and whether it is carried out over windows."""


class ComparedNulls:
    """Counts of comparisons with NULL, of one engine."""

    def __init__(self, metrics: Sequence[Metric], nodes: Sequence[Node]) -> None:
        self._metrics: list[list[Place]] = []
        self._nodes: dict[Place, Node] = {}
        for metric, root in zip(metrics, nodes, strict=True):
            found = dict(_comparisons(root, metric.kind is MetricKind.WINDOW))
            self._metrics.append(list(found))
            self._nodes |= found
        self._numbers = {place: number for number, place in enumerate(self._nodes)}
        # What is looked at in every batch: number, whether it is over windows, the operands that may be NULL.
        self._watched: list[tuple[int, bool, list[Node]]] = []
        for place, root in self._nodes.items():
            operands = [node for node in root.arguments if _may_be_null(node)]
            if operands:
                self._watched.append((self._numbers[place], place[1], operands))
        self._with_aggregates = [contains(node.term, Kind.AGGREGATE) for node in self._nodes.values()]
        self._counts = [0] * len(self._nodes)
        """One count for each place, in the order of the metrics."""

    def by_metric(self) -> tuple[int, ...]:
        """Return, for each metric, how many comparisons with NULL were carried out in it."""
        return tuple(sum(self._counts[self._numbers[place]] for place in places) for places in self._metrics)

    def counted(self, node: Node, over_windows: bool, otherwise: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of operands, one of which is NULL, that counts each call."""
        number = self._numbers.get((node.index, over_windows))
        if number is None:
            return otherwise
        counts = self._counts

        def apply(*operands: Any) -> Any:
            counts[number] += 1
            return otherwise(*operands)

        return apply

    def count(self, evaluated: Evaluated) -> None:
        """Count over the rows of a batch and over the windows it closed."""
        for number, is_over_windows, operands in self._watched:
            where = evaluated.windows if is_over_windows else evaluated.rows
            if not where.row_count:
                continue
            # Most batches have no NULL, so what is done of each is little.
            there = None
            for node in operands:
                there = both_valid(there, where.value(node).valid)
            if there is not None:
                there = there if np.ndim(there) else np.broadcast_to(there, where.row_count)
                self._counts[number] += self._met(number, there, is_over_windows, evaluated.closings)

    def _met(self, number: int, there: Array, is_over_windows: bool, closings: Closings) -> int:
        """Return how often something was tested and not all was there."""
        if is_over_windows:
            there = closings.of_rooms(there)
        elif self._with_aggregates[number] and closings.held.computed is not None:
            return int(np.count_nonzero(closings.held.computed > there))
        return len(there) - int(np.count_nonzero(there))


def _comparisons(node: Node, over_windows: bool) -> Iterator[tuple[Place, Node]]:
    """Yield the comparisons of a metric that are counted."""
    function = node.term.function
    if function is not None and function.compares:
        yield (node.index, over_windows), node
    if node.term.is_aggregate:
        if any(contains(argument, Kind.SEQUENCE) for argument in node.term.arguments):
            return
        over_windows = False
    for argument in node.arguments:
        yield from _comparisons(argument, over_windows)


def _may_be_null(node: Node) -> bool:
    return node.constant is None or node.constant.valid is not None

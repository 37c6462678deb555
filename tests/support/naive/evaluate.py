"""The value of a checked metric, and of each of its parts, over rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.naive.check import Metric
from tests.support.naive.scalars import between, both_known, comparison, either_known, is_in
from tests.support.naive.syntax import Call, Column, Items, Literal, Node, Pair

COMPARISONS = {"lt": (-1,), "le": (-1, 0), "gt": (1,), "ge": (0, 1), "eq": (0,), "ne": (-1, 1)}

THREE_VALUED = {"and": both_known, "or": either_known}

not_less = comparison((0, 1).__contains__, unknown=True)

Row = Mapping[str, Any]

Known = dict[Node, list[Any]]
"""Values of nodes at the rows so far."""


class Evaluator:
    """Evaluates one metric; `unknown` makes every comparison with NULL give NULL."""

    def __init__(self, metric: Metric, *, unknown: bool) -> None:
        self._metric = metric
        self._unknown = unknown

    def aggregate(self, call: Call, window: Sequence[Row]) -> Any:
        """Return the value of an aggregate call over the rows of a window."""
        function, constants = self._metric.bound[call]
        known: Known = {}
        series = [self._series(argument, window, known) for argument in call.arguments[: len(function.series)]]
        return self._typed(call, function.apply(*series, *constants))

    def part(self, node: Node, aggregates: Mapping[Node, Any]) -> Any:
        """Return the value of a part of the metric that looks at aggregates alone."""
        return self._at(node, [{}], 0, {}, aggregates)

    def last(self, rows: Sequence[Row], known: Known, aggregates: Mapping[Node, Any]) -> Any:
        """Return the value of the metric at the last of the rows, given the values of the aggregates."""
        return self._at(self._metric.tree, rows, len(rows) - 1, known, aggregates)

    def parts(self, rows: Sequence[Row], known: Known, aggregates: Mapping[Node, Any]) -> dict[Node, Any]:
        """Return the values at the last of the rows of all parts of the metric, down to its aggregates."""
        return {
            node: self._at(node, rows, len(rows) - 1, known, aggregates)
            for node in self._nodes(self._metric.tree, aggregates)
        }

    def _nodes(self, node: Node, aggregates: Mapping[Node, Any]) -> list[Node]:
        nodes = [node]
        if isinstance(node, Call) and node not in aggregates and node.name not in ("between", "in"):
            function, _ = self._metric.bound[node]
            for argument in node.arguments[: len(function.series)]:
                nodes += self._nodes(argument, aggregates)
        return nodes

    def _series(self, node: Node, rows: Sequence[Row], known: Known) -> list[Any]:
        """Return the values of a node without aggregates at all rows; a row's value does not depend on later rows."""
        values = known.setdefault(node, [])
        while len(values) < len(rows):
            values.append(self._at(node, rows, len(values), known, {}))
        return values

    def _at(self, node: Node, rows: Sequence[Row], i: int, known: Known, aggregates: Mapping[Node, Any]) -> Any:
        """Return the value of a node at row i."""
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Column):
            return rows[i][node.name]
        assert isinstance(node, Call)
        if node in aggregates:
            return aggregates[node]
        if node.name in ("between", "in"):
            value, *rest = node.arguments
            others = rest[0] if len(rest) == 1 else Pair(*rest)
            assert isinstance(others, Pair | Items)
            parts = (others.low, others.high) if isinstance(others, Pair) else others.items
            return self._belongs(node.name, *(self._at(part, rows, i, known, aggregates) for part in (value, *parts)))
        function, constants = self._metric.bound[node]
        arguments = node.arguments[: len(function.series)]
        if function.kind == "ordered":
            series = [self._series(argument, rows, known)[: i + 1] for argument in arguments]
            return self._typed(node, function.apply(*series, *constants))
        apply = function.apply
        if self._unknown and node.name in COMPARISONS:
            apply = comparison(COMPARISONS[node.name].__contains__, unknown=True)
        elif self._unknown and node.name in THREE_VALUED:
            apply = THREE_VALUED[node.name]
        values = [self._at(argument, rows, i, known, aggregates) for argument in arguments]
        return self._typed(node, apply(*values, *constants))

    def _belongs(self, name: str, value: Any, *parts: Any) -> Any:
        if not self._unknown:
            return between(value, *parts) if name == "between" else is_in(value, parts)
        if value is None:
            return None
        if name == "between":
            low, high = parts
            return both_known(not_less(value, low), not_less(high, value))
        return is_in(value, parts) or (None if None in parts else False)

    def _typed(self, node: Node, value: Any) -> Any:
        """Return a value in the static type of its node: an integer of a real branch becomes a real."""
        kind = self._metric.types[node]
        if value is None or isinstance(value, float | str) or kind == "string":
            return value
        return {"double": float, "int": int, "bool": bool}.get(kind, lambda same: same)(value)

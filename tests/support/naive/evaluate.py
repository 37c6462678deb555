"""The value of a checked metric, and of each of its parts, over rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.naive.check import Metric
from tests.support.naive.scalars import between, comparison, is_in
from tests.support.naive.syntax import Call, Column, Items, Literal, Node, Pair

COMPARISONS = {"lt": (-1,), "le": (-1, 0), "gt": (1,), "ge": (0, 1), "eq": (0,), "ne": (-1, 1)}

Row = Mapping[str, Any]


class Evaluator:
    """Evaluates one metric; `unknown` makes every comparison with NULL give NULL."""

    def __init__(self, metric: Metric, *, unknown: bool) -> None:
        self._metric = metric
        self._unknown = unknown

    def aggregate(self, call: Call, window: Sequence[Row]) -> Any:
        """Return the value of an aggregate call over the rows of a window."""
        function, constants = self._metric.bound[call]
        series = [self.values(argument, window, {}) for argument in call.arguments[: len(function.series)]]
        return self._typed(call, function.apply(*series, *constants))

    def values(self, node: Node, rows: Sequence[Row], aggregates: Mapping[Node, Any]) -> list[Any]:
        """Return the value of a node for each row, given the values of the aggregates."""
        if isinstance(node, Literal):
            return [node.value] * len(rows)
        if isinstance(node, Column):
            return [row[node.name] for row in rows]
        assert isinstance(node, Call)
        if node in aggregates:
            return [aggregates[node]] * len(rows)
        if node.name in ("between", "in"):
            return self._membership(node, rows, aggregates)
        function, constants = self._metric.bound[node]
        series = [self.values(argument, rows, aggregates) for argument in node.arguments[: len(function.series)]]
        if function.kind == "ordered":
            results = function.apply(*series, *constants)
        else:
            apply = function.apply
            if self._unknown and node.name in COMPARISONS:
                apply = comparison(COMPARISONS[node.name].__contains__, unknown=True)
            results = [apply(*values, *constants) for values in zip(*series, strict=True)]
        return [self._typed(node, result) for result in results]

    def _membership(self, node: Call, rows: Sequence[Row], aggregates: Mapping[Node, Any]) -> list[Any]:
        value, others = node.arguments
        assert isinstance(others, Pair | Items)
        parts = (others.low, others.high) if isinstance(others, Pair) else others.items
        columns = [self.values(part, rows, aggregates) for part in (value, *parts)]
        return [self._belongs(node.name, *values) for values in zip(*columns, strict=True)]

    def _belongs(self, name: str, value: Any, *parts: Any) -> Any:
        if self._unknown and (value is None or (name == "between" and None in parts)):
            return None
        return between(value, *parts) if name == "between" else is_in(value, parts)

    def _typed(self, node: Node, value: Any) -> Any:
        """Return a value in the static type of its node: an integer of a real branch becomes a real."""
        kind = self._metric.types[node]
        if value is None or isinstance(value, float | str) or kind in ("string", "time"):
            return value
        return {"double": float, "int": int, "bool": bool}.get(kind, lambda same: same)(value)

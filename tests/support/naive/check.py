"""The check of one metric: types, constants, and what the metric needs (windows, history, columns)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.naive.functions import MOMENTS, Function, find_function, unify
from tests.support.naive.refusal import Refused
from tests.support.naive.syntax import Call, Column, Duration, Items, Literal, Node, Pair

TEMPORAL = {
    "NANOTIMESTAMP": 10**9,
    "NANOTIME": 10**9,
    "MICROTIMESTAMP": 10**6,
    "TIMESTAMP": 10**3,
    "TIME": 10**3,
    "DATETIME": 1,
    "SECOND": 1,
    "MINUTE": None,
    "DATE": None,
    "MONTH": None,
}
"""Ticks of a second, where a tick is no longer than that."""

UNITS = {
    "ns": (1, 10**9),
    "us": (1, 10**6),
    "ms": (1, 10**3),
    "s": (1, 1),
    "m": (60, 1),
    "H": (3600, 1),
    "h": (3600, 1),
}
"""Seconds of a unit, as a quotient."""

UNITS_LONG = {"d": (86_400, 1), "w": (604_800, 1)}


def type_of_column(kind: str) -> str:
    """Return the type of a column's values; times are integers, in ticks."""
    if kind in TEMPORAL:
        return "int"
    return {"BOOL": "bool", "INT": "int", "LONG": "int", "DOUBLE": "double"}.get(kind, "string")


@dataclass(slots=True)
class Metric:
    """A checked metric."""

    tree: Node
    types: dict[Node, str] = field(default_factory=dict)
    bound: dict[Node, tuple[Function, tuple[Any, ...]]] = field(default_factory=dict)
    """For each call: its function, and the values of its constant arguments."""

    aggregates: list[Call] = field(default_factory=list)
    earlier: list[Call] = field(default_factory=list)
    """Calls that look at earlier windows."""

    has_bare_column: bool = False
    """Whether a column stands outside all aggregates."""

    @property
    def kind(self) -> str:
        if not self.aggregates:
            return "row"
        return "mixed" if self.has_bare_column else "window"


def check(tree: Node, columns: Mapping[str, str]) -> Metric:
    """Check a metric's tree against the columns' type names (by name in lower case).

    Raises:
        Refused: it must not be accepted.
    """
    metric = Metric(tree)
    if _Checker(metric, columns).visit(tree, "") != "bool":
        raise Refused("not_boolean")
    return metric


class _Checker:
    def __init__(self, metric: Metric, columns: Mapping[str, str]) -> None:
        self._metric = metric
        self._columns = columns

    def visit(self, node: Node, inside: str) -> str:
        """Check a node that stands inside an aggregate, an order-sensitive call, or neither; return its type."""
        kind = self._type(node, inside)
        self._metric.types[node] = kind
        return kind

    def _type(self, node: Node, inside: str) -> str:
        if isinstance(node, Literal):
            return node.type
        if isinstance(node, Column):
            if node.name not in self._columns:
                raise Refused("unknown_column", node.name)
            self._metric.has_bare_column |= inside != "aggregate"
            return type_of_column(self._columns[node.name])
        if isinstance(node, Call):
            return self._between_or_in(node, inside) if node.name in ("between", "in") else self._call(node, inside)
        raise Refused("bad_argument", f"{node} stands alone")

    def _between_or_in(self, node: Call, inside: str) -> str:
        if len(node.arguments) == 3 and node.name == "between" and not any(isinstance(a, Pair) for a in node.arguments):
            node = Call("between", (node.arguments[0], Pair(*node.arguments[1:])))
        if len(node.arguments) != 2 or node.named:
            raise Refused("bad_argument", node.name)
        value, others = node.arguments
        if node.name == "between":
            if not isinstance(others, Pair):
                raise Refused("bad_argument", "between needs a pair")
            parts: tuple[Node, ...] = (others.low, others.high)
        else:
            if not isinstance(others, Items):
                raise Refused("bad_argument", "in needs a list")
            parts = others.items
            for part in parts:
                self._constant_value(part, node)
        unify([self.visit(value, inside), *(self.visit(part, inside) for part in parts)])
        return "bool"

    def _call(self, node: Call, inside: str) -> str:
        function = find_function(node.name, len(node.arguments) + len(node.named))
        inside = self._enter(node, function, inside)
        series, constants = self._bind(node, function)
        types = []
        for argument, accepted in zip(series, function.series, strict=True):
            types.append(self.visit(argument, inside))
            if types[-1] not in accepted:
                raise Refused("bad_type", f"{node.name} of {types[-1]}")
        if function.kind == "ordered" and not any(map(_has_column, series)):
            raise Refused("bad_argument", f"{node.name} of constants")
        if node.name == "round" and constants == (0,):
            function = find_function("round", 1)
        if node.name in MOMENTS:
            constants = (self._ticks_of_second(series[-1]), *constants)
        self._metric.bound[node] = (function, constants)
        if node.name == "ewmmean" and [value is None for value in constants].count(False) != 1:
            raise Refused("bad_argument", "give one of com, span, halfLife and alpha")
        return function.result(types[1:] if node.name.startswith("tm") else types)

    def _enter(self, node: Call, function: Function, inside: str) -> str:
        if node.name == "earlier":
            if inside:
                raise Refused("nested_aggregate" if inside == "aggregate" else "aggregate_in_order_sensitive")
            if node not in self._metric.earlier:
                self._metric.earlier.append(node)
            return ""
        if function.kind == "aggregate":
            if inside:
                raise Refused("nested_aggregate" if inside == "aggregate" else "aggregate_in_order_sensitive")
            if node not in self._metric.aggregates:
                self._metric.aggregates.append(node)
            return "aggregate"
        if function.kind == "ordered":
            return inside or "ordered"
        return inside

    def _bind(self, node: Call, function: Function) -> tuple[list[Node], tuple[Any, ...]]:
        count = len(function.series)
        if len(node.arguments) < count or len(node.arguments) > count + len(function.options):
            raise Refused("bad_argument", f"number of arguments of {node.name}")
        options = {option.name.lower(): option for option in function.options}
        given = dict(zip(options, node.arguments[count:], strict=False))
        for name, argument in node.named:
            if name not in options or name in given:
                raise Refused("bad_argument", f"{node.name} has no argument {name} left")
            given[name] = argument
        constants = [self._constant(options[name], given.get(name), node) for name in options]
        return list(node.arguments[:count]), tuple(constants)

    def _constant(self, option: Any, argument: Node | None, node: Call) -> Any:
        if argument is None:
            if option.default is ...:
                raise Refused("bad_argument", f"{node.name} needs {option.name}")
            return option.default
        value = self._constant_value(argument, node)
        if not option.accepts(value):
            raise Refused("bad_argument", f"{option.name} of {node.name} may not be {value}")
        return value

    def _constant_value(self, argument: Node, node: Call) -> Any:
        if isinstance(argument, Literal):
            return argument.value
        if isinstance(argument, Duration) and node.name.startswith("tm"):
            return self._ticks(argument, node.arguments[0])
        if isinstance(argument, Call) and argument.name == "neg":
            value = self._constant_value(argument.arguments[0], node)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return -value
        raise Refused("bad_argument", f"{node.name} needs a constant")

    def _ticks_of_second(self, times: Node) -> int:
        per_second = TEMPORAL.get(self._columns.get(times.name, "")) if isinstance(times, Column) else None
        if per_second is None:
            raise Refused("bad_type", "a time column is needed")
        return per_second

    def _ticks(self, duration: Duration, times: Node) -> int:
        per_second = TEMPORAL.get(self._columns.get(times.name, "")) if isinstance(times, Column) else None
        if per_second is None:
            raise Refused("bad_argument", "a duration needs a time column")
        numerator, denominator = (UNITS | UNITS_LONG)[duration.unit]
        ticks, rest = divmod(duration.count * numerator * per_second, denominator)
        if rest or ticks < 1:
            raise Refused("bad_argument", "the duration is no whole number of ticks")
        return ticks


def _has_column(node: Node) -> bool:
    if isinstance(node, Column):
        return True
    if isinstance(node, Pair):
        return _has_column(node.low) or _has_column(node.high)
    parts = node.arguments if isinstance(node, Call) else node.items if isinstance(node, Items) else ()
    return any(map(_has_column, parts))

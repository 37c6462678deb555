"""From an expression tree to a typed term: names resolved, arguments checked, the metric's kind decided.

Terms are compared by what they compute, not by where they stand, so equal parts of several metrics are one term.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from actors.durations import nanoseconds_per_unit
from actors.engine.errors import MetricError
from actors.engine.functions.catalogue import BY_NAME, FORBIDDEN
from actors.engine.functions.definition import REQUIRED, Function, Kind, Parameter
from actors.engine.functions.scalars import Usage
from actors.engine.language.grammar import NAME_PATTERN, WHOLE_MAX, parse_metric
from actors.engine.language.hints import way_out_of_name
from actors.engine.language.syntax import Call, Duration, Listing, Literal, Name, Node, Pair
from actors.engine.language.text import canonical_text, render
from actors.engine.vectors.vector import Type
from actors.model import SECONDS_PER_UNIT, UNITS_PER_SECOND, Column, ColumnType, Schema

KEPT_METRICS_MAX = 256
"""Metrics that are kept, since every partition of a process asks for the same ones."""


class MetricKind(StrEnum):
    """When a metric is tested."""

    ROW = "row"
    """For every row; it has no aggregate."""

    WINDOW = "window"
    """When a window closes; every column is inside an aggregate."""

    MIXED = "mixed"
    """For every row, with the aggregates of the key's latest computed window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A typed expression."""

    function: Function | None
    """What is applied; `None` for a column or constant."""

    type: Type
    column: str = ""
    """The column's name, if it is one."""

    constant: Any = None
    """The constant's value, if it is one (`None` is NULL)."""

    arguments: tuple["Term", ...] = ()
    constants: tuple[tuple[str, Any], ...] = ()
    """Values of all constant parameters."""

    source: str = field(default="", compare=False)
    """The text it was written as."""

    @property
    def is_aggregate(self) -> bool:
        """Whether this is an aggregate call."""
        return self.function is not None and self.function.kind is Kind.AGGREGATE

    @property
    def is_sequence(self) -> bool:
        """Whether this is an order-sensitive call."""
        return self.function is not None and self.function.kind is Kind.SEQUENCE

    def usage(self, nulls_smallest: bool) -> Usage:
        """Return what the implementation is made for."""
        types = tuple(argument.type for argument in self.arguments)
        return Usage(types=types, constants=dict(self.constants), nulls_smallest=nulls_smallest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A checked metric."""

    text: str
    """Canonical text, which names it in the output."""

    term: Term
    kind: MetricKind


def contains(term: Term, wanted: Kind) -> bool:
    """Return whether a call of that kind occurs in a term."""
    if term.function is not None and term.function.kind is wanted:
        return True
    return any(contains(argument, wanted) for argument in term.arguments)


def columns_of(term: Term) -> set[str]:
    """Return the columns that occur in a term."""
    found = {term.column} if term.column else set()
    return found.union(*(columns_of(argument) for argument in term.arguments))


def _has_outer_column(term: Term) -> bool:
    if term.is_aggregate:
        return False
    return bool(term.column) or any(_has_outer_column(argument) for argument in term.arguments)


def _kind(term: Term) -> MetricKind:
    if not contains(term, Kind.AGGREGATE):
        return MetricKind.ROW
    return MetricKind.MIXED if _has_outer_column(term) else MetricKind.WINDOW


@lru_cache(maxsize=KEPT_METRICS_MAX)
def analyse_metric(text: str, schema: Schema) -> Metric:
    """Return a metric, checked against a schema; the same ones give the same object, as long as it is kept.

    Raises:
        MetricError: it cannot be used; the error's code and caret say why and where.
    """
    source = text.strip()
    try:
        node = parse_metric(source)
        term = _Analysis(source, schema).term(node)
    except MetricError as error:
        odd = [name for name in schema.names if not _WRITABLE.fullmatch(name) and name.lower() in source.lower()]
        if not odd:
            raise
        way_out = f"A metric cannot name the column {odd[0]!r}: use letters of ASCII, digits and `_` in the schema."
        way_out += " A source gives a field of another name to a column by `columns`."
        raise MetricError(error.code, error.problem, error.expression, error.position, way_out) from None
    if term.type is not Type.BOOL:
        raise MetricError(
            "not_boolean",
            f"the metric gives {term.type} values, not truth values",
            source,
            node.position,
            f"Compare it with something, such as {_comparison_of(term)}.",
        )
    return Metric(text=canonical_text(source), term=term, kind=_kind(term))


def column_type(column: Column) -> Type:
    """Return the type of a column's values in metrics; times are integers."""
    if column.type is ColumnType.BOOL:
        return Type.BOOL
    if column.type is ColumnType.DOUBLE:
        return Type.REAL
    return Type.TEXT if column.type.is_text else Type.INT


def _literal_type(value: Any) -> Type:
    if value is None:
        return Type.NULL
    if isinstance(value, bool):
        return Type.BOOL
    return Type.INT if isinstance(value, int) else Type.REAL if isinstance(value, float) else Type.TEXT


_SHOWN_MAX = 60
"""Characters of a part of a metric that a hint repeats."""

_WRITABLE = re.compile(NAME_PATTERN)

_FORBIDDEN = {name.lower(): way_out for name, way_out in FORBIDDEN.items()}

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "H": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}


class _Analysis:
    """Turns the nodes of one metric into terms."""

    def __init__(self, source: str, schema: Schema) -> None:
        self._source = source
        self._schema = schema

    def term(self, node: Node) -> Term:
        if isinstance(node, Literal):
            return Term(function=None, type=_literal_type(node.value), constant=node.value, source=render(node))
        if isinstance(node, Name):
            return self._column(node)
        if isinstance(node, Call):
            return self._call(node)
        problem = {Duration: "a length of time", Listing: "a list", Pair: "a pair of bounds"}[type(node)]
        way_out = self._number_of(node) if isinstance(node, Duration) else "See docs/metrics.md for its uses."
        raise self._error("bad_argument", f"{problem} cannot stand here", node, way_out)

    def _number_of(self, node: Duration) -> str:
        """Return what a length of time is among times, which are numbers."""
        way_out = "Times are numbers in the unit of their column"
        for column in self._schema.columns:
            unit = nanoseconds_per_unit(column.type) if column.type.is_temporal else None
            count, rest = divmod(node.count * _NANOSECONDS[node.unit], unit or 1)
            if unit is not None and not rest:
                return f"{way_out}: {render(node)} of `{column.name}`, a {column.type}, is {count}."
        return f"{way_out}; give one."

    def _error(self, code: str, problem: str, node: Node, way_out: str) -> MetricError:
        return MetricError(code, problem, self._source, node.position, way_out)

    def _column(self, node: Name) -> Term:
        column = self._schema.find(node.name)
        if column is None:
            names = self._schema.names
            way_out = _nearest(node.name, names) or f"Columns are {', '.join(names)}; a text stands in quotes: 'A'."
            raise self._error("unknown_column", f"there is no column `{node.name}`", node, way_out)
        return Term(function=None, type=column_type(column), column=column.name, source=node.name)

    def _call(self, node: Call) -> Term:
        name = node.function.lower()
        if name in _FORBIDDEN:
            raise self._error("forbidden_function", f"`{node.function}` cannot be used", node, _FORBIDDEN[name])
        candidates = BY_NAME.get(name)
        if candidates is None:
            known = [function.name for functions in BY_NAME.values() for function in functions]
            way_out = way_out_of_name(node.function) or _nearest(node.function, known, 0.65)
            way_out = way_out or "docs/metrics.md lists them all."
            raise self._error("unknown_function", f"there is no function `{node.function}`", node, way_out)
        for argument in node.arguments:
            if isinstance(argument, Pair) and name != "between":
                problem = f"`{node.function}` takes no pair of bounds"
                raise self._error("bad_argument", problem, argument, "Bounds such as `1:6` belong to `between`.")
        arguments = _spread_pairs(node.arguments)
        function = _by_arity(candidates, len(arguments) + len(node.named))
        bound = self._bind(function, node, arguments)
        values = tuple(self.term(bound[p.name]) for p in function.values)
        self._check_values(function, values, [bound[p.name] for p in function.values], node)
        for parameter in function.parameters:
            if parameter.accepts in ("list", "constant") and parameter.name in bound:
                self._check_compared(values[0], bound[parameter.name])
        constants = tuple(
            (p.name, self._constant(function, p, bound, node)) for p in function.parameters if p.is_constant
        )
        kind = function.result([value.type for value in values], dict(constants))
        term = Term(function=function, type=kind, arguments=values, constants=constants, source=render(node))
        self._check_build(term, node)
        return term

    def _bind(self, function: Function, node: Call, arguments: tuple[Node, ...]) -> dict[str, Node]:
        if len(arguments) > len(function.parameters):
            most = len(function.parameters)
            raise self._error(
                "bad_argument",
                f"`{node.function}` takes {most} argument{'s' if most > 1 else ''} at most",
                arguments[most],
                f"Its form is {signature(function)}.",
            )
        bound = {parameter.name: argument for parameter, argument in zip(function.parameters, arguments, strict=False)}
        by_name = {parameter.name.lower(): parameter.name for parameter in function.parameters}
        for name, argument in node.named:
            known = by_name.get(name.lower())
            if known is None or known in bound:
                problem = f"`{node.function}` has no argument `{name}`" if known is None else f"`{name}` is given twice"
                raise self._error("bad_argument", problem, argument, f"Its form is {signature(function)}.")
            bound[known] = argument
        for parameter in function.parameters:
            if parameter.name not in bound and parameter.default is REQUIRED:
                raise self._error(
                    "bad_argument",
                    f"`{node.function}` lacks its argument `{parameter.name}`",
                    node,
                    f"Its form is {signature(function)}.",
                )
        return bound

    def _check_values(self, function: Function, values: tuple[Term, ...], nodes: list[Node], node: Call) -> None:
        for parameter, value, place in zip(function.values, values, nodes, strict=True):
            if function.kind is Kind.AGGREGATE and contains(value, Kind.AGGREGATE):
                raise self._error(
                    "nested_aggregate", "an aggregate cannot stand inside another", place, "Leave one of them out."
                )
            if function.kind is Kind.SEQUENCE and contains(value, Kind.AGGREGATE):
                raise self._error(
                    "aggregate_in_order_sensitive",
                    f"an aggregate cannot stand inside `{node.function}`, which looks at rows",
                    place,
                    "Use a moving function such as `msum` on the column itself.",
                )
            self._check_type(parameter, value, place, node)
        if function.kind is Kind.SEQUENCE and not any(columns_of(value) for value in values):
            raise self._error("bad_argument", f"`{node.function}` needs a column", node, "Name a column in it.")
        texts = [value.type is Type.TEXT for value in values if value.type is not Type.NULL]
        mixed = any(texts) and not all(texts)
        if mixed and function.kind is Kind.SCALAR and function.name != "iif":
            raise self._error("bad_type", "a text and a number cannot be combined", node, self._one_type(values))
        if function.name == "iif" and {values[1].type, values[2].type} >= {Type.TEXT} and mixed:
            others = {values[1].type, values[2].type} - {Type.TEXT, Type.NULL}
            if others:
                raise self._error(
                    "bad_type", "a text and a number cannot be combined", node, "Give two numbers, or two texts."
                )

    def _one_type(self, values: Sequence[Term]) -> str:
        """Return what to do where texts and numbers meet."""
        text = next(value for value in values if value.type is Type.TEXT)
        other = next(value for value in values if value.type not in (Type.TEXT, Type.NULL))
        if other.column and not text.column:
            column = self._schema[other.column]
            if column.type is ColumnType.BOOL:
                return "Give `true` or `false` without quotes."
            if column.type.is_temporal:
                return f"Times are numbers in the unit of their column; `{column.name}` is {column.type}."
        if other.column and text.column:
            return "Give both columns one type in the schema, or write a text in quotes: 'A'."
        return f"{_number_for(text)} To compare texts, write the number in quotes."

    def _check_compared(self, value: Term, listing: Node) -> None:
        """Refuse constants that no value of a term's type equals."""
        for item in listing.items if isinstance(listing, Listing) else (listing,):
            if not isinstance(item, Literal) or item.value is None or value.type is Type.NULL:
                continue
            if isinstance(item.value, str) is not (value.type is Type.TEXT):
                is_text = value.type is Type.TEXT
                way_out = f"Write it in quotes: '{render(item)}'." if is_text else "Give a number without quotes."
                raise self._error("bad_type", "a text and a number cannot be compared", item, way_out)

    def _check_type(self, parameter: Parameter, value: Term, place: Node, node: Call) -> None:
        wanted, given = parameter.accepts, value.type
        if wanted == "number" and given is Type.TEXT:
            is_logic = node.function.lower() in ("and", "or", "not", "xor", "iif")
            way_out = f"Compare it, as in {_comparison_of(value)}." if is_logic else _number_for(value)
            raise self._error("bad_type", f"`{node.function}` needs a number here", place, way_out)
        if wanted == "text" and given not in (Type.TEXT, Type.NULL):
            hint = "Give a text column, or text in quotes."
            raise self._error("bad_type", f"`{node.function}` needs a text here", place, hint)
        if wanted == "time" and given is not Type.INT:
            raise self._error(
                "bad_type", f"`{node.function}` needs a time here", place, "Give a time or integer column."
            )

    def _constant(self, function: Function, parameter: Parameter, bound: dict[str, Node], node: Call) -> Any:
        if parameter.name not in bound:
            return parameter.default
        given = bound[parameter.name]
        if parameter.accepts == "list":
            return self._list(given)
        if isinstance(given, Duration):
            return self._ticks(given, bound[function.parameters[0].name])
        if not isinstance(given, Literal):
            raise self._error(
                "bad_argument", f"`{parameter.name}` must be a constant", given, f"Its form is {signature(function)}."
            )
        return self._checked(parameter, given)

    def _list(self, given: Node) -> tuple[Any, ...]:
        if isinstance(given, Literal):
            return () if given.value is None else (given.value,)
        items = given.items if isinstance(given, Listing) else None
        if items is None or not all(isinstance(item, Literal) for item in items):
            raise self._error("bad_argument", "`in` needs a list of constants", given, "Write `x in [1, 2]`.")
        return tuple(item.value for item in items if isinstance(item, Literal))

    def _ticks(self, given: Duration, time: Node) -> int:
        column = self._schema.find(time.name) if isinstance(time, Name) else None
        nanoseconds = given.count * _NANOSECONDS[given.unit]
        if column is None or not column.type.is_temporal or column.type is ColumnType.MONTH:
            raise self._error(
                "bad_argument", "a length of time needs a time column", given, f"Give a number, such as {given.count}."
            )
        if column.type in UNITS_PER_SECOND:
            tick = 1_000_000_000 // UNITS_PER_SECOND[column.type]
        else:
            tick = 1_000_000_000 * SECONDS_PER_UNIT[column.type]
        if nanoseconds // tick > WHOLE_MAX // 4:
            way_out = f"`{column.name}` is {column.type}; choose a shorter one."
            raise self._error("bad_argument", "this length of time is too long", given, way_out)
        if nanoseconds % tick or not nanoseconds:
            problem = f"`{given.count}{given.unit}` is no whole number of ticks of `{column.name}`"
            shortest = next(f"1{unit}" for unit, length in _NANOSECONDS.items() if length == tick)
            raise self._error("bad_argument", problem, given, f"Give a multiple of {shortest}.")
        return nanoseconds // tick

    def _checked(self, parameter: Parameter, given: Literal) -> Any:
        value, wanted = given.value, parameter.accepts
        fits = {
            "integer": isinstance(value, int) and not isinstance(value, bool),
            "real": isinstance(value, int | float) and not isinstance(value, bool),
            "truth": isinstance(value, bool) or value in (0, 1),
            "word": isinstance(value, str),
            "constant": True,
        }[wanted]
        if value is None and parameter.default is None:
            return None
        too_low = fits and parameter.low is not None and isinstance(value, int | float) and value < parameter.low
        too_high = fits and parameter.high is not None and isinstance(value, int | float) and value > parameter.high
        if not fits or too_low or too_high or (parameter.choices and value not in parameter.choices):
            raise self._error("bad_argument", f"`{parameter.name}` cannot be {value}", given, _allowed(parameter))
        return bool(value) if wanted == "truth" else value

    def _check_build(self, term: Term, node: Call) -> None:
        function = term.function
        assert function is not None
        try:
            function.build(term.usage(True))
        except ValueError as error:
            raise self._error("bad_argument", str(error), node, f"Its form is {signature(function)}.") from None


def _nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return the question whether a known word was meant, empty if none is near."""
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=likeness)
    return f"Did you mean `{folded[near[0]]}`?" if near else ""


def _spread_pairs(arguments: tuple[Node, ...]) -> tuple[Node, ...]:
    spread: list[Node] = []
    for argument in arguments:
        spread.extend((argument.low, argument.high) if isinstance(argument, Pair) else (argument,))
    return tuple(spread)


def _by_arity(candidates: list[Function], count: int) -> Function:
    fitting = [function for function in candidates if len(function.parameters) == count]
    longest = max(candidates, key=lambda function: len(function.parameters))
    return fitting[0] if fitting else longest if count > len(longest.parameters) else candidates[-1]


def _allowed(parameter: Parameter) -> str:
    if parameter.choices:
        return f"Use one of {', '.join(parameter.choices)}."
    low = "" if parameter.low is None else f" from {parameter.low:g}"
    high = "" if parameter.high is None else f" to {parameter.high:g}"
    kinds = {"integer": "a whole number", "real": "a number", "truth": "true or false", "word": "a text"}
    return f"Use {kinds.get(parameter.accepts, 'a constant')}{low}{high}."


def signature(function: Function) -> str:
    """Return how a function is written, optional arguments in brackets."""
    parts = [p.name if p.default is REQUIRED else f"[{p.name}{_shown(p.default)}]" for p in function.parameters]
    return f"{function.name}({', '.join(parts)})"


def _shown(default: Any) -> str:
    if default is None:
        return ""
    return f"={str(default).lower()}" if isinstance(default, bool) else f"={default}"


def _comparison_of(term: Term) -> str:
    return f"`{_operand(term)} == 'A'`" if term.type is Type.TEXT else f"`{_operand(term)} > 0`"


def _operand(term: Term) -> str:
    if len(term.source) > _SHOWN_MAX:
        return "..."
    return f"({term.source})" if term.function is not None and term.function.sign else term.source


def _number_for(value: Term) -> str:
    """Return what to do where a text stands in the place of a number: no function reads one."""
    if value.column:
        return f"Give `{value.column}` a type of numbers in the schema, such as INT or DOUBLE."
    return "Give a column of numbers, or a number without quotes."

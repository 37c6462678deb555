"""From an expression tree to a typed term: names resolved, arguments checked, the metric's kind decided.

Terms are compared by what they compute, not by where they stand, so equal parts of several metrics are one term.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from actors.durations import NANOSECONDS, nanoseconds_per_unit
from actors.engine.errors import MetricError
from actors.engine.functions.catalogue import BY_NAME, FORBIDDEN
from actors.engine.functions.definition import REQUIRED, Function, Kind, Parameter
from actors.engine.language.durations import as_number, one_clock, units_of
from actors.engine.language.expansion import TERM_SIZE_MAX, expanded
from actors.engine.language.grammar import DEPTH_MAX, NAME_PATTERN, parse_metric
from actors.engine.language.hints import way_out_of_name, way_out_of_slip
from actors.engine.language.parts import Let, in_part, ordered_parts
from actors.engine.language.syntax import AllRows, Call, Duration, Listing, Literal, Name, Node, Pair
from actors.engine.language.terms import (
    Metric,
    Part,
    Term,
    columns_of,
    contains,
    has_outer_column,
    kind_of,
    looks_at_windows,
)
from actors.engine.language.text import canonical_text, render, render_text
from actors.engine.language.wording import allowed, comparison_of, listed, number_for, signature
from actors.engine.vectors.vector import Type
from actors.model import Column, ColumnType, Schema
from actors.nearness import nearest

KEPT_METRICS_MAX = 256
"""Metrics that are kept, since every partition of a process asks for the same ones."""


@lru_cache(maxsize=KEPT_METRICS_MAX)
def analyse_parts(let: Let, schema: Schema, time_column: str = "") -> Mapping[str, Part]:
    """Return named parts by their names in small letters.

    Raises:
        ArgumentError: a part cannot have its name.
        MetricError: a part cannot be used.
    """
    parts: dict[str, Part] = {}
    for part in ordered_parts(let, schema):
        try:
            term = _Analysis(part.text, schema, time_column, parts).term(part.tree)
        except MetricError as error:
            raise in_part(part.name, error) from None
        below = {pair for name in part.below for pair in parts[name].parts}
        parts[part.name.lower()] = Part(
            name=part.name, term=term, parts=tuple(sorted({*below, (part.name, part.text)}))
        )
    return parts


@lru_cache(maxsize=KEPT_METRICS_MAX)
def analyse_metric(text: str, schema: Schema, time_column: str = "", let: Let = ()) -> Metric:
    """Return a metric, checked against a schema; the same ones give the same object, as long as it is kept.

    `time_column` is the one whose time functions take that are given none; empty: there is none. `let` are the parts
    that it may be made of.

    Raises:
        MetricError: it cannot be used; the error's code and caret say why and where.
    """
    source = text.strip()
    try:
        node = parse_metric(source)
        analysis = _Analysis(source, schema, time_column, analyse_parts(let, schema, time_column))
        term = analysis.term(node)
    except MetricError as error:
        odd = [name for name in schema.names if not _WRITABLE.fullmatch(name) and name.lower() in source.lower()]
        if not odd or error.code not in ("parse", "unknown_column"):
            raise
        way_out = f"The column {odd[0]!r} is written as `col({render_text(odd[0])})`."
        raise MetricError(error.code, error.problem, error.expression, error.position, way_out) from None
    if term.type is not Type.BOOL:
        raise MetricError(
            "not_boolean",
            f"the metric gives {term.type} values, not truth values",
            source,
            node.position,
            f"Compare it with something, such as {_comparison_of(term)}.",
        )
    return Metric(text=canonical_text(source), term=term, kind=kind_of(term), parts=tuple(sorted(analysis.used)))


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


_WRITABLE = re.compile(f"(?!(?:and|or|in|not)$){NAME_PATTERN}", re.IGNORECASE)

_FORBIDDEN = {name.lower(): way_out for name, way_out in FORBIDDEN.items()}


class _Analysis:
    """Turns the nodes of one metric into terms."""

    def __init__(self, source: str, schema: Schema, time_column: str, parts: Mapping[str, Part]) -> None:
        self._source = source
        self._schema = schema
        self._time_column = time_column
        self._parts = parts
        # Names and texts of the parts that were met.
        self.used: set[tuple[str, str]] = set()

    def term(self, node: Node) -> Term:
        if isinstance(node, Literal):
            return Term(function=None, type=_literal_type(node.value), constant=node.value, source=render(node))
        if isinstance(node, Name):
            part = self._parts.get(node.name.lower())
            return self._column(node) if part is None else self._part(part)
        if isinstance(node, Call):
            return self._call(node)
        problem = {
            Duration: "a length of time",
            Listing: "a list",
            Pair: "a pair of bounds",
            AllRows: "`*`, which is all rows,",
        }[type(node)]
        way_out = as_number(node, self._schema) if isinstance(node, Duration) else "See docs/metrics.md for its uses."
        raise self._error("bad_argument", f"{problem} cannot stand here", node, way_out)

    def _error(self, code: str, problem: str, node: Node, way_out: str) -> MetricError:
        return MetricError(code, problem, self._source, node.position, way_out)

    def _part(self, part: Part) -> Term:
        self.used.update(part.parts)
        return replace(part.term, source=part.name)

    def _column(self, node: Name) -> Term:
        column = self._schema.find(node.name)
        if column is None:
            names = self._schema.names
            known = (*names, *(part.name for part in self._parts.values()))
            way_out = _meant(node.name, known) or f"Columns are {listed(names)}; a text stands in quotes: 'A'."
            raise self._error("unknown_column", f"there is no column `{node.name}`", node, way_out)
        clock = column.type if column.type.is_temporal else None
        return Term(function=None, type=column_type(column), column=column.name, source=node.name, clock=clock)

    def _named_column(self, node: Call) -> Term:
        """Return the column of `col("any name")`."""
        name = node.arguments[0] if len(node.arguments) == 1 and not node.named else None
        if not isinstance(name, Literal) or not isinstance(name.value, str):
            problem = "`col` needs the name of a column in quotes"
            raise self._error("bad_argument", problem, node, "Its form is col('cpu-load').")
        found = self._column(Name(name=name.value, position=name.position, stop=name.stop))
        return replace(found, source=render(node))

    def _row_count(self, node: Call) -> Term:
        """Return the number of rows, `count(*)`."""
        if node.function.lower() not in ("count", "size"):
            problem = f"`{node.function}` needs values, and `*` has none"
            raise self._error("bad_argument", problem, node.arguments[0], "Name a column; `count(*)` counts the rows.")
        one = Literal(value=1, position=node.position, stop=node.stop)
        return replace(self._call(replace(node, function="size", arguments=(one,))), source=render(node))

    def _call(self, node: Call) -> Term:
        name = node.function.lower()
        if name == "col":
            return self._named_column(node)
        if any(isinstance(argument, AllRows) for argument in node.arguments):
            return self._row_count(node)
        function, arguments = self._function(node)
        bound = self._bind(function, node, arguments)
        nodes = [bound[p.name] for p in function.values]
        values = self._values(function, nodes)
        self._check_values(function, values, nodes, node)
        for parameter in function.parameters:
            if parameter.accepts in ("list", "constant") and parameter.name in bound:
                self._check_compared(values[0], bound[parameter.name])
        constants = tuple(
            (p.name, self._constant(function, p, bound, values)) for p in function.parameters if p.is_constant
        )
        moments = [v.clock for p, v in zip(function.values, values, strict=True) if p.accepts == "moment"]
        constants += tuple(("unit", clock) for clock in moments)
        if function.expansion:
            return self._expanded(function, bound, values, constants, node)
        kind = function.result([value.type for value in values], dict(constants))
        clock = one_clock(_clocks(function, values)) if function.keeps_unit else None
        term = Term(
            function=function,
            type=kind,
            arguments=values,
            constants=constants,
            source=render(node),
            size=self._size(values, node),
            depth=1 + max((value.depth for value in values), default=0),
            clock=clock,
        )
        self._check_build(term, node)
        return term

    def _expanded(
        self,
        function: Function,
        bound: dict[str, Node],
        values: Sequence[Term],
        constants: Sequence[tuple[str, Any]],
        node: Call,
    ) -> Term:
        """Return what a call stands for."""
        self._size([*values, *values], node)
        place = node.position, node.stop
        given: dict[str, Node] = {name: _constant_at(value, *place) for name, value in constants if name != "unit"}
        unit = next((nanoseconds_per_unit(clock) for name, clock in constants if name == "unit"), 1)
        if unit is None:
            raise self._error("bad_type", f"`{node.function}` needs a time here", node, "Months have no seconds.")
        given["per_second"] = _constant_at(NANOSECONDS // unit if unit <= NANOSECONDS else NANOSECONDS / unit, *place)
        given |= {parameter.name: bound[parameter.name] for parameter in function.values}
        return replace(self.term(expanded(function, given, node)), source=render(node))

    def _size(self, values: Sequence[Term], node: Call) -> int:
        size = 1 + sum(value.size for value in values)
        if size > TERM_SIZE_MAX:
            problem = f"the metric stands for more than {TERM_SIZE_MAX} functions and columns"
            raise self._error("bad_argument", problem, node, "Split it into several metrics.")
        if any(value.depth >= DEPTH_MAX for value in values):
            problem = "with its parts the metric is nested too deeply"
            raise self._error("bad_argument", problem, node, "Split it into several metrics.")
        return size

    def _function(self, node: Call) -> tuple[Function, tuple[Node, ...]]:
        """Return the function that a call is of, and its arguments."""
        name = node.function.lower()
        if name in _FORBIDDEN:
            raise self._error("forbidden_function", f"`{node.function}` cannot be used", node, _FORBIDDEN[name])
        candidates = BY_NAME.get(name)
        if candidates is None:
            known = [function.name for functions in BY_NAME.values() for function in functions]
            way_out = way_out_of_name(node.function) or _meant(node.function, known)
            way_out = way_out or way_out_of_slip(node.function) or "docs/metrics.md lists them all."
            raise self._error("unknown_function", f"there is no function `{node.function}`", node, way_out)
        for argument in node.arguments:
            if isinstance(argument, Pair) and name != "between":
                problem = f"`{node.function}` takes no pair of bounds"
                raise self._error("bad_argument", problem, argument, "Bounds such as `1:6` belong to `between`.")
        arguments = _spread_pairs(node.arguments)
        return _by_arity(candidates, len(arguments) + len(node.named)), arguments

    def _values(self, function: Function, nodes: Sequence[Node]) -> tuple[Term, ...]:
        """Return the terms of a call's values; lengths of time are numbers in the unit of those beside them."""
        terms = [None if isinstance(node, Duration) else self.term(node) for node in nodes]
        if None not in terms:
            return tuple(term for term in terms if term is not None)
        clock = None
        if function.compares or function.keeps_unit:
            present = [(p, term) for p, term in zip(function.values, terms, strict=True) if term is not None]
            clock = one_clock(_clocks_of(present))
        return tuple(self._length(node, clock) if isinstance(node, Duration) else self.term(node) for node in nodes)

    def _length(self, node: Duration, clock: ColumnType | None) -> Term:
        """Return a length of time as a number."""
        if clock is None:
            return self.term(node)
        try:
            count = units_of(node, clock)
        except ValueError as error:
            problem, _, way_out = str(error).partition("; ")
            raise self._error("bad_argument", problem, node, f"{way_out.capitalize()}.") from None
        return Term(function=None, type=Type.INT, constant=count, source=render(node))

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
        for parameter in function.values:
            if parameter.name not in bound and parameter.default is None and self._time_column:
                bound[parameter.name] = Name(name=self._time_column, position=node.position, stop=node.stop)
        for parameter in function.parameters:
            is_needed = parameter.default is REQUIRED or not parameter.is_constant
            if parameter.name not in bound and is_needed:
                raise self._error(
                    "bad_argument",
                    f"`{node.function}` lacks its argument `{parameter.name}`",
                    node,
                    f"Its form is {signature(function)}.",
                )
        return bound

    def _check_values(self, function: Function, values: tuple[Term, ...], nodes: list[Node], node: Call) -> None:
        for parameter, value, place in zip(function.values, values, nodes, strict=True):
            if function.looks_at_windows:
                self._check_part(value, place)
            elif function.kind is Kind.AGGREGATE and contains(value, Kind.AGGREGATE):
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

    def _check_part(self, value: Term, place: Node) -> None:
        """Refuse what has no value over a window."""
        problem = ""
        if looks_at_windows(value):
            problem, way_out = (
                "`earlier` cannot stand inside another",
                "Write `earlier(part, 2)` for two windows before.",
            )
        elif not contains(value, Kind.AGGREGATE):
            problem, way_out = "`earlier` needs an aggregate", "Write `earlier(sum(x), 1)`; rows have `move(x, 1)`."
        elif has_outer_column(value):
            problem, way_out = "`earlier` looks at windows, and a column of a row stands here", "Aggregate it."
        if problem:
            raise self._error("bad_argument", problem, place, way_out)

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
        return f"{number_for(text.column, text.source)} To compare texts, write the number in quotes."

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
            way_out = (
                f"Compare it, as in {_comparison_of(value)}." if is_logic else number_for(value.column, value.source)
            )
            raise self._error("bad_type", f"`{node.function}` needs a number here", place, way_out)
        if wanted == "text" and given not in (Type.TEXT, Type.NULL):
            hint = "Give a text column, text in quotes, or `text(x)`."
            raise self._error("bad_type", f"`{node.function}` needs a text here", place, hint)
        if wanted == "moment" and value.clock is None:
            hint = (
                "Give a time column; where numbers or texts are times, give their column a type of times in the schema."
            )
            raise self._error("bad_type", f"`{node.function}` needs a time here", place, hint)
        if wanted == "time" and given is not Type.INT:
            raise self._error(
                "bad_type", f"`{node.function}` needs a time here", place, "Give a time or integer column."
            )

    def _constant(
        self, function: Function, parameter: Parameter, bound: dict[str, Node], values: Sequence[Term]
    ) -> Any:
        if parameter.name not in bound:
            return parameter.default
        given = bound[parameter.name]
        if parameter.accepts == "list":
            return self._list(given)
        if isinstance(given, Duration):
            return self._window(function, parameter, given, values)
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

    def _window(self, function: Function, parameter: Parameter, given: Duration, values: Sequence[Term]) -> int:
        """Return a length of time as a constant, in units of the time that comes first."""
        first = function.values[0]
        if first.accepts != "time" or parameter.accepts != "integer":
            problem = f"`{parameter.name}` of `{function.name}` is no length of time"
            timed = f"t{function.name}"
            way_out = f"Use `{timed}` over a time column." if timed in BY_NAME else allowed(parameter)
            raise self._error("bad_argument", problem, given, way_out)
        if values[0].clock is None:
            problem, way_out = "a length of time needs a time column", f"Give a number, such as {given.count}."
            raise self._error("bad_argument", problem, given, way_out)
        count = self._length(given, values[0].clock).constant
        if parameter.low is not None and count < parameter.low:
            raise self._error(
                "bad_argument", f"`{parameter.name}` cannot be {render(given)}", given, "Use a longer one."
            )
        return int(count)

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
            raise self._error("bad_argument", f"`{parameter.name}` cannot be {value}", given, allowed(parameter))
        return bool(value) if wanted == "truth" else value

    def _check_build(self, term: Term, node: Call) -> None:
        function = term.function
        assert function is not None
        if function.looks_at_windows:
            return
        try:
            function.build(term.usage(True))
        except ValueError as error:
            raise self._error("bad_argument", str(error), node, f"Its form is {signature(function)}.") from None


def _spread_pairs(arguments: tuple[Node, ...]) -> tuple[Node, ...]:
    spread: list[Node] = []
    for argument in arguments:
        spread.extend((argument.low, argument.high) if isinstance(argument, Pair) else (argument,))
    return tuple(spread)


def _by_arity(candidates: list[Function], count: int) -> Function:
    fitting = [function for function in candidates if len(function.parameters) == count]
    longest = max(candidates, key=lambda function: len(function.parameters))
    return fitting[0] if fitting else longest if count > len(longest.parameters) else candidates[-1]


def _clocks(function: Function, values: Sequence[Term]) -> list[ColumnType | None]:
    return _clocks_of(list(zip(function.values, values, strict=True)))


def _clocks_of(values: Sequence[tuple[Parameter, Term]]) -> list[ColumnType | None]:
    """Return the clocks of those values of a call that its result is made of."""
    return [v.clock for p, v in values if p.accepts not in ("time", "moment") and p.name != "condition"]


def _meant(word: str, known: Sequence[str]) -> str:
    """Return the question whether a known word was meant, empty if none is near."""
    near = nearest(word, known)
    return f"Did you mean `{near}`?" if near is not None else ""


def _comparison_of(term: Term) -> str:
    return comparison_of(term.source, term.type, term.function is not None and bool(term.function.sign))


def _constant_at(value: Any, position: int, stop: int) -> Literal:
    return Literal(value=value, position=position, stop=stop)

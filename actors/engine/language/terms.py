"""Terms: typed expressions, compared by what they compute and not by where they stand; metrics and parts."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from actors.engine.functions.definition import Function, Kind
from actors.engine.functions.scalars import Usage
from actors.engine.vectors.vector import Type
from actors.model import ColumnType


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

    size: int = field(default=1, compare=False)
    """Functions, columns and constants in it, each as often as it stands there."""

    depth: int = field(default=1, compare=False)
    """Terms on the longest way down, itself included."""

    clock: ColumnType | None = field(default=None, compare=False)
    """The type in whose unit the values are times or lengths of time; `None` if they are neither."""

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
    parts: tuple[tuple[str, str], ...] = ()
    """Names and texts of the parts that it is made of, and that those are made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A named part."""

    name: str
    term: Term
    parts: tuple[tuple[str, str], ...]
    """Names and texts of the part itself, and of those that it is made of."""


def contains(term: Term, wanted: Kind) -> bool:
    """Return whether a call of that kind occurs in a term."""
    if term.function is not None and term.function.kind is wanted:
        return True
    return any(contains(argument, wanted) for argument in term.arguments)


def columns_of(term: Term) -> set[str]:
    """Return the columns that occur in a term."""
    found = {term.column} if term.column else set()
    return found.union(*(columns_of(argument) for argument in term.arguments))


def looks_at_windows(term: Term) -> bool:
    """Return whether a call of a function of earlier windows occurs in a term."""
    if term.function is not None and term.function.looks_at_windows:
        return True
    return any(looks_at_windows(argument) for argument in term.arguments)


def has_outer_column(term: Term) -> bool:
    """Return whether a column stands outside of all aggregates."""
    if term.is_aggregate:
        return False
    return bool(term.column) or any(has_outer_column(argument) for argument in term.arguments)


def kind_of(term: Term) -> MetricKind:
    """Return when a metric of that term is tested."""
    if not contains(term, Kind.AGGREGATE):
        return MetricKind.ROW
    return MetricKind.MIXED if has_outer_column(term) else MetricKind.WINDOW

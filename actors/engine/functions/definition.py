"""What the engine knows about a function: parameters, types, NULL rule, definition and implementation.

The entries stand in `actors.engine.functions.catalogue`; this module holds their form and the rules for result types.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from actors.engine.functions.scalars import Usage
from actors.engine.vectors.vector import Type

REQUIRED = object()
"""Default of a parameter that must be given."""

TypeRule = Callable[[Sequence[Type], Mapping[str, Any]], Type]
"""From the types of the values and the constants to the type of the result."""


class Kind(StrEnum):
    """How a function looks at rows."""

    SCALAR = "scalar"
    """At one row."""

    AGGREGATE = "aggregate"
    """At all rows of a window."""

    SEQUENCE = "order-sensitive"
    """At the rows of a key so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a function."""

    name: str
    """Name for named arguments; compared without regard to case."""

    accepts: str = "number"
    """Values: `number`, `any`, `text`, `time`. Constants: `integer`, `real`, `truth`, `word`, `list`."""

    is_constant: bool = False
    """Whether the argument must be a constant."""

    default: Any = REQUIRED
    """Value when left out."""

    low: float | None = None
    """Smallest constant allowed."""

    high: float | None = None
    """Largest constant allowed."""

    choices: tuple[str, ...] = ()
    """The words allowed, if not all are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function, as users see it and as the engine carries it out."""

    name: str
    kind: Kind
    parameters: tuple[Parameter, ...]
    result: TypeRule
    definition: str
    """What it computes, for the documentation."""

    nulls: str
    """Its NULL rule, for the documentation."""

    build: Callable[[Usage], Any]
    """Makes a function of vectors (scalar), an `Aggregate`, or a `SequenceState`."""

    sign: str = ""
    """The operator that means the same."""

    compares: bool = False
    """Whether its values are compared with one another, so that it matters what NULL means there."""

    row_form: Callable[[Any], Any] | None = None
    """Makes the same for one row, as source text (`actors.engine.rows.code`); `None` if only vectors can do it."""

    @property
    def values(self) -> tuple[Parameter, ...]:
        """The parameters that are not constants."""
        return tuple(parameter for parameter in self.parameters if not parameter.is_constant)


def value(name: str = "x", accepts: str = "number") -> Parameter:
    """Return a parameter for values."""
    return Parameter(name=name, accepts=accepts)


def whole(name: str, default: Any = REQUIRED, low: float | None = None, high: float | None = None) -> Parameter:
    """Return a parameter for a constant whole number."""
    return Parameter(name=name, accepts="integer", is_constant=True, default=default, low=low, high=high)


def real(name: str, default: Any = REQUIRED, low: float | None = None, high: float | None = None) -> Parameter:
    """Return a parameter for a constant number."""
    return Parameter(name=name, accepts="real", is_constant=True, default=default, low=low, high=high)


def switch(name: str, default: bool) -> Parameter:
    """Return a parameter for a constant truth value."""
    return Parameter(name=name, accepts="truth", is_constant=True, default=default)


def word(name: str, default: Any = REQUIRED, choices: tuple[str, ...] = ()) -> Parameter:
    """Return a parameter for a constant text."""
    return Parameter(name=name, accepts="word", is_constant=True, default=default, choices=choices)


def promoted(types: Sequence[Type]) -> Type:
    """Return the type that holds values of all the given types."""
    present = {kind for kind in types if kind is not Type.NULL}
    if len(present) == 1:
        return present.pop()
    if Type.TEXT in present:
        return Type.TEXT
    return Type.REAL if Type.REAL in present else Type.INT


def always(kind: Type) -> TypeRule:
    """Return the rule of a function whose result has one type."""
    return lambda types, constants: kind


def same(types: Sequence[Type], constants: Mapping[str, Any]) -> Type:
    """The type of the first value."""
    return Type.INT if types[0] is Type.NULL else types[0]


def numeric(types: Sequence[Type], constants: Mapping[str, Any]) -> Type:
    """Real if any value is, else integer."""
    return Type.REAL if Type.REAL in types else Type.INT


def branches(types: Sequence[Type], constants: Mapping[str, Any]) -> Type:
    """The type that holds the last two values."""
    return promoted(types[-2:])

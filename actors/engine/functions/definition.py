"""What the engine knows about a function: parameters, types, NULL rule, definition and implementation.

The entries stand in `actors.engine.functions.entries`; this module holds their form and the rules for result types.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
    """Values: `number`, `any`, `text`, `time`, `moment` (a time of a known type, which is the constant `unit` of a
    call). Constants: `integer`, `real`, `truth`, `word`, `list`."""

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


RowForm = Callable[[Any], Any]
"""From a call to its source text; which kind of call depends on the kind of the function."""


@dataclass(frozen=True, slots=True)
class VectorsOnly:
    """Says that a function has no row form, so that an engine with it tests all its batches with vectors."""

    reason: str


Forms = tuple[Callable[[Usage], Any], RowForm | VectorsOnly]
"""What makes a function's vector form, and its row form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function, as users see it and as the engine carries it out.

    This is all there is to declare. The naive form that tests compare it with has its name
    (`tests/support/naive/functions.py`).
    """

    name: str
    kind: Kind
    parameters: tuple[Parameter, ...]
    result: TypeRule
    definition: str
    """What it computes, for the documentation."""

    nulls: str
    """Its NULL rule, for the documentation."""

    build: Callable[[Usage], Any]
    """Makes a function of vectors (scalar), an `Aggregate`, or a `SequenceState`; their partials are in it."""

    rows: "RowForm | VectorsOnly"
    """Makes the same for one row, as source text (`actors.engine.rows`)."""

    sign: str = ""
    """The operator that means the same."""

    compares: bool = False
    """Whether its values are compared with one another, so that it matters what NULL means there."""

    looks_at_windows: bool = False
    """Whether it is an aggregate that looks at windows that have closed before, and not at rows."""

    expansion: str = ""
    """The expression that a call stands for, with the names of the parameters in it; empty for a function with forms
    of its own. `per_second` is the number of units in a second of its `moment`."""

    keeps_unit: bool = False
    """Whether, of times or lengths of time, the result is in their unit."""

    @property
    def row_form(self) -> Callable[[Any], Any] | None:
        """Makes the same for one row; `None` if only vectors can do it."""
        return None if isinstance(self.rows, VectorsOnly) else self.rows

    @property
    def values(self) -> tuple[Parameter, ...]:
        """The parameters that are not constants."""
        return tuple(parameter for parameter in self.parameters if not parameter.is_constant)


ANY_NULL = "NULL if any operand is."
IGNORED = "NULL is left out; NULL without values."


def scalar(
    name: str, parameters: tuple[Parameter, ...], result: TypeRule, forms: Forms, definition: str, nulls: str = ANY_NULL
) -> Function:
    """Return a function of one row."""
    return _function(Kind.SCALAR, name, parameters, result, forms, (definition, nulls))


def aggregate(
    name: str, parameters: tuple[Parameter, ...], result: TypeRule, forms: Forms, definition: str, nulls: str = IGNORED
) -> Function:
    """Return a function of all rows of a window."""
    return _function(Kind.AGGREGATE, name, parameters, result, forms, (definition, nulls))


def sequence(
    name: str, parameters: tuple[Parameter, ...], result: TypeRule, forms: Forms, definition: str, nulls: str = ANY_NULL
) -> Function:
    """Return an order-sensitive function."""
    return _function(Kind.SEQUENCE, name, parameters, result, forms, (definition, nulls))


def shorthand(name: str, parameters: tuple[Parameter, ...], expansion: str, definition: str, nulls: str) -> Function:
    """Return an order-sensitive function that stands for an expression of others."""
    forms = (no_build, VectorsOnly("stands for other functions, which have forms"))
    made = _function(Kind.SEQUENCE, name, parameters, no_build, forms, (definition, nulls))
    return replace(made, expansion=expansion)


def no_build(*arguments: Any) -> Any:
    """Refuse to make what a function that has no forms of its own would be."""
    raise AssertionError(arguments)


def signed(sign: str, function: Function, compares: bool = False) -> Function:
    """Return a function that is also an operator, or one that compares its values."""
    return replace(function, sign=sign, compares=compares)


def keeping_units(functions: Sequence[Function], *names: str) -> list[Function]:
    """Return functions, of which those named keep the unit of times and lengths of time."""
    assert {*names} <= {function.name for function in functions}
    return [replace(one, keeps_unit=True) if one.name in names else one for one in functions]


def _function(
    kind: Kind,
    name: str,
    parameters: tuple[Parameter, ...],
    result: TypeRule,
    forms: Forms,
    texts: tuple[str, str],
) -> Function:
    return Function(
        name=name,
        kind=kind,
        parameters=parameters,
        result=result,
        build=forms[0],
        rows=forms[1],
        definition=texts[0],
        nulls=texts[1],
    )


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


BOOL, INT, REAL, TEXT = always(Type.BOOL), always(Type.INT), always(Type.REAL), always(Type.TEXT)
XY = (value("x"), value("y"))

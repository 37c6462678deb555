"""The expression tree of a metric, as written.

Every node knows where it stands in the metric's text, so that an error can point at it. Operators are calls under
the operator's sign, prefix minus is the call `neg`. Names are not resolved and nothing has a type yet:
`actors.engine.language.analysis` does that.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A number, string, truth value or NULL (`None`)."""

    value: bool | int | float | str | None
    position: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A length of time such as `5s`."""

    count: int
    unit: str
    position: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A column, by the name the user gave."""

    name: str
    position: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list of constants such as `[1, 2]`."""

    items: tuple["Node", ...]
    position: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two bounds such as `1:6`, both included."""

    low: "Node"
    high: "Node"
    position: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AllRows:
    """The `*` of `count(*)`."""

    position: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function or operator applied to arguments."""

    function: str
    arguments: tuple["Node", ...]
    named: tuple[tuple[str, "Node"], ...]
    is_operator: bool
    position: int
    stop: int

    @property
    def is_not_in(self) -> bool:
        """Whether this is `x not in [...]`, the negation of a membership."""
        if self.function != "not" or not self.is_operator:
            return False
        (operand,) = self.arguments
        return isinstance(operand, Call) and operand.function == "in" and operand.is_operator


Node = Literal | Duration | Name | Listing | Pair | AllRows | Call

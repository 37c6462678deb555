"""Words of the messages about metrics: forms of functions, and ways out where types do not fit."""

from typing import Any

from actors.engine.functions.definition import REQUIRED, Function, Parameter
from actors.engine.vectors.vector import Type

SHOWN_MAX = 60
"""Characters of a part of a metric that a message repeats."""

NAMES_MAX = 20
"""Names of columns that a message lists."""


def signature(function: Function) -> str:
    """Return how a function is written, optional arguments in brackets."""
    parts = [p.name if p.default is REQUIRED else f"[{p.name}{_default(p.default)}]" for p in function.parameters]
    return f"{function.name}({', '.join(parts)})"


def _default(default: Any) -> str:
    if default is None:
        return ""
    return f"={str(default).lower()}" if isinstance(default, bool) else f"={default}"


def allowed(parameter: Parameter) -> str:
    """Return what a constant may be."""
    if parameter.choices:
        return f"Use one of {', '.join(parameter.choices)}."
    low = "" if parameter.low is None else f" from {parameter.low:g}"
    high = "" if parameter.high is None else f" to {parameter.high:g}"
    kinds = {"integer": "a whole number", "real": "a number", "truth": "true or false", "word": "a text"}
    return f"Use {kinds.get(parameter.accepts, 'a constant')}{low}{high}."


def listed(names: tuple[str, ...]) -> str:
    """Return names as a message lists them."""
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    return ", ".join(names[:NAMES_MAX]) + more


def comparison_of(source: str, kind: Type, is_operator: bool) -> str:
    """Return a comparison of a part of a metric, as an example."""
    shown = "..." if len(source) > SHOWN_MAX else f"({source})" if is_operator else source
    return f"`{shown} == 'A'`" if kind is Type.TEXT else f"`{shown} > 0`"


def number_for(column: str, source: str) -> str:
    """Return what to do where a text stands in the place of a number."""
    if column:
        return f"Write `double({source})`, or give `{column}` a type of numbers in the schema, such as INT or DOUBLE."
    return "Give a column of numbers, or a number without quotes."

"""Named parts: expressions that metrics use by their names, as in `errors > 5 and total > 100`, each computed once.

Parts may be made of parts. They are looked at in an order in which each comes after those that it is made of.
"""

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from actors.engine.errors import MetricError, bad_argument
from actors.engine.language.grammar import NAME_PATTERN, RESERVED_WORDS, parse_metric
from actors.engine.language.syntax import Call, Listing, Name, Node, Pair
from actors.model import Schema

PARTS_MAX = 256
"""Parts of an engine."""

Let = tuple[tuple[str, str], ...]
"""Names of parts and their expressions."""

_WORDS = frozenset((*RESERVED_WORDS, "and", "or", "in", "not"))


class Definition(NamedTuple):
    """A part as it was written."""

    name: str
    text: str
    tree: Node
    below: tuple[str, ...]
    """The parts that it is made of, in small letters."""


def ordered_parts(let: Let, schema: Schema) -> Iterator[Definition]:
    """Yield parts, each after those that it is made of.

    Raises:
        ArgumentError: a part cannot have its name.
        MetricError: a part is no expression, or made of itself.
    """
    _check_names([name for name, _ in let], schema)
    known = {name.lower(): _definition(name, text, {other.lower() for other, _ in let}) for name, text in let}
    try:
        for name in TopologicalSorter({name: part.below for name, part in known.items()}).static_order():
            yield known[name]
    except CycleError as error:
        way = error.args[1][::-1]
        part, listed = known[way[0]], ", ".join(f"`{known[name].name}`" for name in way)
        problem = f"the part `{part.name}` is made of itself: {listed}"
        way_out = "Write one of them out; `earlier(part, 1)` is what it was a window before."
        raise MetricError("circle", problem, part.text, 0, way_out) from None


def _check_names(names: list[str], schema: Schema) -> None:
    if len(names) > PARTS_MAX:
        raise bad_argument(f"there are {len(names)} parts in let, and {PARTS_MAX} are the most")
    seen: dict[str, str] = {}
    for name in names:
        column, other = schema.find(name), seen.get(name.lower())
        if not re.fullmatch(NAME_PATTERN, name, re.ASCII) or name.lower() in _WORDS:
            raise bad_argument(
                f"a part in let is named {name!r}; use letters, digits and underscores, and no word of metrics"
            )
        if column is not None:
            raise bad_argument(
                f"the part {name!r} in let has the name of the column {column.name!r}; name it otherwise"
            )
        if other is not None:
            raise bad_argument(f"the parts {other!r} and {name!r} in let have one name (case is ignored); rename one")
        seen[name.lower()] = name


def _definition(name: str, text: str, names: set[str]) -> Definition:
    source = text.strip()
    try:
        tree = parse_metric(source)
    except MetricError as error:
        raise in_part(name, error) from None
    return Definition(name, source, tree, tuple(dict.fromkeys(n for n in _names_in(tree) if n in names)))


def _names_in(tree: Node) -> Iterator[str]:
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, Name):
            yield node.name.lower()
        elif isinstance(node, Call):
            pending += [*node.arguments, *(argument for _, argument in node.named)]
        elif isinstance(node, Listing):
            pending += node.items
        elif isinstance(node, Pair):
            pending += [node.low, node.high]


def in_part(name: str, error: MetricError) -> MetricError:
    """Return what is wrong with a part, saying which."""
    problem = f"in the part `{name}`: {error.problem}"
    return MetricError(error.code, problem, error.expression, error.position, error.way_out)

"""Functions that stand for expressions of others: the tree of a call's expression, with its arguments in it."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from actors.engine.functions.definition import Function
from actors.engine.language.grammar import parse_metric
from actors.engine.language.syntax import Call, Duration, Literal, Name, Node

TERM_SIZE_MAX = 5_000
"""Functions, columns and constants of a metric, with all that its parts stand for written out."""


@cache
def _tree(expansion: str) -> Node:
    return parse_metric(expansion)


def expanded(function: Function, arguments: Mapping[str, Node], call: Call) -> Node:
    """Return the expression that a call stands for; its own nodes stand where the call does."""
    return _placed(_tree(function.expansion), arguments, call)


def _placed(node: Node, arguments: Mapping[str, Node], call: Call) -> Node:
    if isinstance(node, Name):
        return arguments[node.name]
    if isinstance(node, Call):
        placed = tuple(_placed(argument, arguments, call) for argument in node.arguments)
        named = tuple((name, _placed(argument, arguments, call)) for name, argument in node.named)
        return replace(node, arguments=placed, named=named, position=call.position, stop=call.stop)
    assert isinstance(node, Literal | Duration)
    return replace(node, position=call.position, stop=call.stop)

"""Texts of metrics: the canonical one, which is the source with its spacing made regular, and those of its parts.

The tokens are those of the grammar, so a text cannot be read in one way here and in another by the parser.
"""

from enum import Enum, auto

from lark import Token
from lark.exceptions import LarkError

from actors.engine.language.grammar import tokens_of
from actors.engine.language.syntax import AllRows, Call, Duration, Listing, Literal, Name, Node, Pair


class _Role(Enum):
    """What a token is, as far as spacing goes."""

    OPEN = auto()
    CLOSE = auto()
    COMMA = auto()
    TIGHT = auto()
    """`:` and `=`, which have no space on either side."""

    SIGN = auto()
    """A sign before its operand."""

    BINARY = auto()
    NOT = auto()
    NOT_OF_IN = auto()
    """The `not` of `x not in [1, 2]`, which stands after an operand."""

    OPERAND = auto()
    """A constant, a column, or the name of a function."""


_ROLES = {
    "LPAR": _Role.OPEN,
    "LSQB": _Role.OPEN,
    "RPAR": _Role.CLOSE,
    "RSQB": _Role.CLOSE,
    "COMMA": _Role.COMMA,
    "COLON": _Role.TIGHT,
    "EQUAL": _Role.TIGHT,
    "BANG": _Role.SIGN,
}
_OPERATORS = {"OR", "AND", "IN", "COMPARE", "PLUS", "MINUS", "TIMES"}
_WORDS = {"and", "or", "in"}


def _role(token: Token, before: _Role) -> _Role:
    if token.lower() == "not":
        return _Role.NOT_OF_IN if before in (_Role.OPERAND, _Role.CLOSE) else _Role.NOT
    if token.type in _OPERATORS or token.lower() in _WORDS:
        if before in (_Role.OPERAND, _Role.CLOSE, _Role.NOT_OF_IN):
            return _Role.BINARY
        # Where an operand is wanted, a word is the name of a function: `or(a, b)`.
        return _Role.OPERAND if token.lower() in _WORDS else _Role.SIGN
    return _ROLES.get(token.type, _Role.OPERAND)


def _is_apart(left: _Role, right: _Role) -> bool:
    if right in (_Role.BINARY, _Role.NOT_OF_IN):
        return True
    return left in (_Role.COMMA, _Role.BINARY, _Role.NOT) and right not in (_Role.CLOSE, _Role.COMMA, _Role.TIGHT)


def canonical_text(text: str) -> str:
    """Return the text that names a metric in the output."""
    parts, before = "", _Role.OPEN
    for token in tokens_of(text):
        role = _role(token, before)
        parts += f" {token}" if _is_apart(before, role) else token
        before = role
    return parts


def split_list(text: str) -> list[str]:
    """Return the metrics in a text such as `<[sum(qty) > 5, qty < 4]>`; one metric may stand without brackets."""
    body = text.strip()
    for opening, closing in (("<", ">"), ("[", "]")):
        if body.startswith(opening) and body.endswith(closing):
            body = body[1:-1].strip()
    metrics, depth, start = [], 0, 0
    try:
        for token in tokens_of(body):
            depth += (token in ("(", "[")) - (token in (")", "]"))
            if token == "," and depth == 0:
                metrics.append(body[start : token.start_pos].strip())
                start = token.end_pos or 0
    except LarkError:
        return [body]  # which the parser refuses, and says where
    return [*metrics, body[start:].strip()]


_STRENGTHS = {"or": 1, "and": 2, "+": 4, "-": 4, "*": 5, "/": 5, "\\": 5, "%": 5, "neg": 6, "not": 6}
_COMPARISON = 3
_ATOM = 7


def render_text(text: str) -> str:
    """Return a constant text as it is written in metrics."""
    quote = '"' if "'" in text and '"' not in text else "'"
    body = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    for letter, escape in (("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        body = body.replace(letter, escape)
    return f"{quote}{body}{quote}"


def render(node: Node) -> str:
    """Return the text of a part of a metric, with the brackets it needs."""
    if isinstance(node, Literal):
        return render_text(node.value) if isinstance(node.value, str) else _constant(node.value)
    if isinstance(node, Duration):
        return f"{node.count}{node.unit}"
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Listing):
        return "[" + ", ".join(render(item) for item in node.items) + "]"
    if isinstance(node, Pair):
        return f"{render(node.low)}:{render(node.high)}"
    if isinstance(node, AllRows):
        return "*"
    if not node.is_operator:
        named = [f"{name}={render(value)}" for name, value in node.named]
        return f"{node.function}({', '.join([*(render(argument) for argument in node.arguments), *named])})"
    if node.is_not_in:
        (found,) = node.arguments
        assert isinstance(found, Call)
        value, items = found.arguments
        return f"{_bracketed(value, _COMPARISON)} not in {_bracketed(items, _COMPARISON + 1)}"
    if len(node.arguments) == 1:
        return {"neg": "-", "not": "!"}[node.function] + _bracketed(node.arguments[0], _strength(node))
    left, right = node.arguments
    return f"{_bracketed(left, _strength(node))} {node.function} {_bracketed(right, _strength(node) + 1)}"


def _constant(value: object) -> str:
    return "NULL" if value is None else str(value).lower()


def _strength(node: Node) -> int:
    if not isinstance(node, Call) or not node.is_operator:
        return _ATOM
    return _COMPARISON if node.is_not_in else _STRENGTHS.get(node.function, _COMPARISON)


def _bracketed(node: Node, least: int) -> str:
    return render(node) if _strength(node) >= least else f"({render(node)})"

"""Texts of metrics: the canonical one, which is the source with its spacing made regular, and those of its parts."""

import re

from actors.engine.language.syntax import Call, Duration, Listing, Literal, Name, Node, Pair

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`\w+)"""
    r"""|(?P<word>[A-Za-z_]\w*)"""
    r"""|(?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?[A-Za-z]*)"""
    r"""|(?P<sign>\|\||&&|<=|>=|==|!=|<>|[-+*/\\%<>!(),:=\[\]]))"""
)
_BINARY = {"||", "&&", "<=", ">=", "==", "!=", "<>", "<", ">", "+", "-", "*", "/", "\\", "%"}
_WORDS = {"and", "or", "in", "not"}


def _tokens(text: str) -> list[str]:
    return [match.group().strip() for match in _TOKEN.finditer(text)]


def _ends_operand(token: str) -> bool:
    return token in (")", "]") or not (token in _BINARY or token in ("(", "[", ",", ":", "=", "!", ""))


def canonical_text(text: str) -> str:
    """Return the text that names a metric in the output."""
    tokens, parts, before, after_word = _tokens(text), "", "", False
    for number, token in enumerate(tokens):
        following = tokens[number + 1] if number + 1 < len(tokens) else ""
        operand_before = _ends_operand(before) and not after_word
        is_word = token.lower() in _WORDS and (operand_before or following != "(")
        if is_word or (token in _BINARY and operand_before):
            parts = parts.rstrip(" ") + (" " if parts else "") + token + " "
            parts = _without_bracket_space(parts, token)
        elif token == ",":
            parts += ", "
        else:
            parts += token
        before, after_word = token, is_word
    return parts.rstrip(" ")


def _without_bracket_space(parts: str, token: str) -> str:
    """Take away the space between an opening bracket and a word such as `not`."""
    head = parts[: len(parts) - len(token) - 1]
    return head.rstrip(" ") + token + " " if head.rstrip(" ").endswith(("(", "[")) else parts


def split_list(text: str) -> list[str]:
    """Return the metrics in a text such as `<[sum(qty) > 5, qty < 4]>`; one metric may stand without brackets."""
    body = text.strip()
    for opening, closing in (("<", ">"), ("[", "]")):
        if body.startswith(opening) and body.endswith(closing):
            body = body[1:-1].strip()
    metrics, depth, start = [], 0, 0
    for match in _TOKEN.finditer(body):
        token = match.group().strip()
        depth += (token in ("(", "[")) - (token in (")", "]"))
        if token == "," and depth == 0:
            metrics.append(body[start : match.start()].strip())
            start = match.end()
    return [*metrics, body[start:].strip()]


_STRENGTHS = {"or": 1, "and": 2, "+": 4, "-": 4, "*": 5, "/": 5, "\\": 5, "%": 5, "neg": 6, "not": 6}
_COMPARISON = 3
_ATOM = 7


def render(node: Node) -> str:
    """Return the text of a part of a metric, with the brackets it needs."""
    if isinstance(node, Literal):
        return repr(node.value) if isinstance(node.value, str) else _constant(node.value)
    if isinstance(node, Duration):
        return f"{node.count}{node.unit}"
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Listing):
        return "[" + ", ".join(render(item) for item in node.items) + "]"
    if isinstance(node, Pair):
        return f"{render(node.low)}:{render(node.high)}"
    if not node.is_operator:
        named = [f"{name}={render(value)}" for name, value in node.named]
        return f"{node.function}({', '.join([*(render(argument) for argument in node.arguments), *named])})"
    if len(node.arguments) == 1:
        return {"neg": "-", "not": "!"}[node.function] + _bracketed(node.arguments[0], _strength(node))
    left, right = node.arguments
    return f"{_bracketed(left, _strength(node))} {node.function} {_bracketed(right, _strength(node) + 1)}"


def _constant(value: object) -> str:
    return "NULL" if value is None else str(value).lower()


def _strength(node: Node) -> int:
    return _STRENGTHS.get(node.function, _COMPARISON) if isinstance(node, Call) and node.is_operator else _ATOM


def _bracketed(node: Node, least: int) -> str:
    return render(node) if _strength(node) >= least else f"({render(node)})"

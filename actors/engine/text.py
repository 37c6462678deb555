"""Canonical text of a metric: the source with its spacing made regular, everything else as written."""

import re

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

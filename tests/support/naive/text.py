"""Tokens of an expression, and the canonical text made of them."""

import re
from dataclasses import dataclass

from tests.support.naive.refusal import Refused

WORDS = frozenset({"and", "or", "in", "not"})
_PATTERN = re.compile(
    r"""(?P<space>\s+)
      | (?P<duration>\d+(?:ns|us|ms|s|m|H|h|d|w)(?![A-Za-z0-9_]))
      | (?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<symbol>`[A-Za-z0-9_]+)
      | (?P<operator>\|\||&&|<=|>=|==|!=|<>|[-<>+*/\\%!()\[\],:=])""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word of an expression."""

    kind: str
    text: str

    @property
    def is_word(self) -> bool:
        return self.kind == "name" and self.text.lower() in WORDS


def tokens_of(expression: str) -> list[Token]:
    found: list[Token] = []
    position = 0
    while position < len(expression):
        match = _PATTERN.match(expression, position)
        if match is None:
            raise Refused("parse", f"cannot read {expression[position:]!r}")
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match.group()))
        position = match.end()
    return found


def canonical_text(expression: str) -> str:
    """Return the metric's text as the output shows it: its own words, with settled spacing."""
    tokens = tokens_of(expression)
    roles = roles_of(tokens)
    shown = tokens[0].text if tokens else ""
    for i in range(1, len(tokens)):
        shown += (" " if _is_apart(roles[i - 1], roles[i]) else "") + tokens[i].text
    return shown


def roles_of(tokens: list[Token]) -> list[str]:
    """Return what each token is, as far as spacing goes: `open`, `close`, `comma`, `tight`, `sign`, `binary`, ..."""
    return [_role(tokens, i) for i in range(len(tokens))]


def _is_apart(left: str, right: str) -> bool:
    if left in ("open", "sign", "tight") or right in ("close", "comma", "tight"):
        return False
    return left in ("comma", "binary", "prefix word") or right == "binary"


def _role(tokens: list[Token], i: int) -> str:
    token = tokens[i]
    fixed = {"(": "open", "[": "open", ")": "close", "]": "close", ",": "comma", ":": "tight", "=": "tight"}
    if token.text in fixed:
        return fixed[token.text]
    follows_operand = i > 0 and _ends_operand(tokens[i - 1])
    if token.kind == "operator":
        return "binary" if follows_operand and token.text != "!" else "sign"
    if not token.is_word:
        return "operand"
    if follows_operand:
        return "binary"
    if token.text.lower() == "not":
        return "prefix word"
    is_called = i + 1 < len(tokens) and tokens[i + 1].text == "("
    return "operand" if is_called else "prefix word"


def _ends_operand(token: Token) -> bool:
    return token.text in (")", "]") or (token.kind != "operator" and not token.is_word)

"""The expression language: a parser by recursive descent, one function per level of binding.

Operators become calls of the function they stand for, and a chain of comparisons becomes their conjunction.
"""

import re
from dataclasses import dataclass
from typing import Any

from tests.support.naive.refusal import Refused
from tests.support.naive.text import Token, tokens_of

COMPARISONS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne", "<>": "ne", "in": "in"}
SUMS = {"+": "add", "-": "sub"}
PRODUCTS = {"*": "mul", "/": "div", "\\": "ratio", "%": "mod"}
DEPTH_MAX = 60
"""Nesting beyond which the naive parser gives up; no test asks for more."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; the type keeps 1, 1.0 and true apart."""

    value: Any
    type: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column, by its name in lower case."""

    name: str


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time such as `5s`."""

    count: int
    unit: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list in square brackets."""

    items: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two bounds joined by a colon."""

    low: "Node"
    high: "Node"


@dataclass(frozen=True, slots=True)
class Call:
    """A function call or an operator."""

    name: str
    arguments: "tuple[Node, ...]"
    named: "tuple[tuple[str, Node], ...]" = ()


Node = Literal | Column | Duration | Items | Pair | Call


def parse(expression: str) -> Node:
    """Return the tree of an expression.

    Raises:
        Refused: with code `parse`.
    """
    parser = _Parser(tokens_of(expression))
    node = parser.disjunction()
    if parser.peek() is not None:
        raise Refused("parse", f"unexpected {parser.peek()}")
    return node


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def peek(self, ahead: int = 0) -> Token | None:
        position = self._next + ahead
        return self._tokens[position] if position < len(self._tokens) else None

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise Refused("parse", "unexpected end")
        self._next += 1
        return token

    def sees(self, *texts: str) -> bool:
        token = self.peek()
        return token is not None and token.kind in ("operator", "name") and token.text.lower() in texts

    def sees_next(self, text: str) -> bool:
        token = self.peek(1)
        return token is not None and token.kind == "name" and token.text.lower() == text

    def expect(self, text: str) -> None:
        if self.take().text != text:
            raise Refused("parse", f"expected {text}")

    def disjunction(self) -> Node:
        node = self.conjunction()
        while self.sees("||", "or"):
            self.take()
            node = Call("or", (node, self.conjunction()))
        return node

    def conjunction(self) -> Node:
        node = self.comparison()
        while self.sees("&&", "and"):
            self.take()
            node = Call("and", (node, self.comparison()))
        return node

    def comparison(self) -> Node:
        left = self.sum()
        parts: list[Node] = []
        while self.sees(*COMPARISONS) or (self.sees("not") and self.sees_next("in")):
            is_negated = self.sees("not") and self.take() is not None
            name = COMPARISONS[self.take().text.lower()]
            right = self.sum()
            part = Call(name, (left, right))
            parts.append(Call("not", (part,)) if is_negated else part)
            left = right
        if not parts:
            return left
        node = parts[0]
        for part in parts[1:]:
            node = Call("and", (node, part))
        return node

    def sum(self) -> Node:
        node = self.product()
        while self.sees(*SUMS):
            node = Call(SUMS[self.take().text], (node, self.product()))
        return node

    def product(self) -> Node:
        node = self.prefixed()
        while self.sees(*PRODUCTS):
            node = Call(PRODUCTS[self.take().text], (node, self.prefixed()))
        return node

    def prefixed(self) -> Node:
        if self.sees("-", "!", "+"):
            sign = self.take().text
            operand = self.prefixed()
            if sign == "+":
                return operand
            return Call("neg" if sign == "-" else "not", (operand,))
        return self.primary()

    def primary(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise Refused("parse", "nested too deeply")
        node = self._primary(self.take())
        self._depth -= 1
        return node

    def _primary(self, token: Token) -> Node:
        if token.kind == "number":
            whole = token.text.isdigit()
            return Literal(int(token.text), "int") if whole else Literal(float(token.text), "double")
        if token.kind == "duration":
            digits = token.text.rstrip("abcdefghijklmnopqrstuvwxyzH")
            return Duration(int(digits), token.text[len(digits) :])
        if token.kind == "string":
            return Literal(re.sub(r"\\(.)", r"\1", token.text[1:-1]), "string")
        if token.kind == "symbol":
            return Literal(token.text[1:], "string")
        if token.kind == "name":
            return self._named(token.text.lower())
        if token.text == "(":
            node = self.disjunction()
            self.expect(")")
            return node
        if token.text == "[":
            return Items(tuple(self._list()))
        raise Refused("parse", f"unexpected {token.text}")

    def _named(self, name: str) -> Node:
        if self.sees("("):
            self.take()
            return self._call(name)
        if name == "not":
            return Call("not", (self.disjunction(),))
        if name in ("true", "false"):
            return Literal(name == "true", "bool")
        if name == "null":
            return Literal(None, "null")
        if name in ("and", "or", "in"):
            raise Refused("parse", f"unexpected {name}")
        return Column(name)

    def _list(self) -> list[Node]:
        items: list[Node] = []
        while not self.sees("]"):
            if items:
                self.expect(",")
            items.append(self.disjunction())
        self.take()
        return items

    def _call(self, name: str) -> Node:
        if name in ("count", "size") and self.sees("*"):
            self.take()
            self.expect(")")
            return Call("size", (Literal(1, "int"),))
        arguments: list[Node] = []
        named: list[tuple[str, Node]] = []
        while not self.sees(")"):
            if arguments or named:
                self.expect(",")
            first, second = self.peek(), self.peek(1)
            if first is not None and first.kind == "name" and second is not None and second.text == "=":
                self._next += 2
                named.append((first.text.lower(), self.disjunction()))
            elif named:
                raise Refused("bad_argument", "a positional argument after a named one")
            else:
                arguments.append(self._pair())
        self.take()
        if name == "col":
            return self._column(arguments)
        return Call(name, tuple(arguments), tuple(named))

    def _column(self, arguments: list[Node]) -> Node:
        if len(arguments) != 1 or not isinstance(arguments[0], Literal) or arguments[0].type != "string":
            raise Refused("bad_argument", "col wants a name")
        return Column(arguments[0].value.lower())

    def _pair(self) -> Node:
        low = self.disjunction()
        if not self.sees(":"):
            return low
        self.take()
        return Pair(low, self.disjunction())

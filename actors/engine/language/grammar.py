r"""The grammar of metrics: text to an expression tree.

Binding, weakest first: `or`, `and`, comparisons and `in`, `+ -`, `* / \ %`, prefix `-` and `!`. A chain
`1 < x < 5` means both. `not` without brackets takes everything to its right, `not (x)` is a call; after an operand
`not in` is one operator. `count(*)` is the one call with a sign in the place of its argument.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from math import isfinite
from typing import Any

from lark import Lark, Token, Transformer, Tree, v_args
from lark.exceptions import LarkError, UnexpectedInput, UnexpectedToken, VisitError

from actors.engine.errors import MetricError
from actors.engine.language.hints import way_out_of_sign
from actors.engine.language.syntax import AllRows, Call, Duration, Listing, Literal, Name, Node, Pair

_GRAMMAR = r"""
?start: expression
?expression: disjunction
?disjunction: conjunction | conjunction (OR conjunction)+ -> binary
?conjunction: comparison | comparison (AND comparison)+ -> binary
?comparison: sum | sum ((COMPARE | IN | not_in) sum)+ -> chain
not_in: NOT IN
?sum: product | product ((PLUS | MINUS) product)+ -> binary
?product: prefix | prefix (TIMES prefix)+ -> binary
?prefix: atom
    | MINUS prefix -> unary
    | PLUS prefix -> unary
    | BANG prefix -> unary
    | NOT expression -> unary
?atom: REAL -> real
    | INTEGER -> integer
    | DURATION -> duration
    | STRING -> string
    | SYMBOL -> symbol
    | NAME -> name
    | NAME "(" [argument ("," argument)*] ")" -> call
    | NAME "(" TIMES ")" -> call_on_rows
    | "(" expression ")"
    | "[" [expression ("," expression)*] "]" -> listing
?argument: expression
    | expression ":" expression -> pair
    | NAME "=" expression -> named

OR: "||" | /or\b/i
AND: "&&" | /and\b/i
IN: /in\b/i
COMPARE: "<=" | ">=" | "==" | "!=" | "<>" | "<" | ">"
PLUS: "+"
MINUS: "-"
TIMES: "*" | "/" | "\\" | "%"
BANG: "!"
NOT.3: /not\b(?!\s*\()/i
DURATION.3: /[0-9]+(ns|us|ms|s|m|h|H|d|w)\b/
REAL.2: /([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+/
INTEGER.1: /[0-9]+/
STRING: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/
SYMBOL: /`[A-Za-z0-9_]+/
NAME: /[A-Za-z_][A-Za-z0-9_]*/
%import common.WS
%ignore WS
"""

NAME_PATTERN = "[A-Za-z_][A-Za-z0-9_]*"
"""What the name of a column or function is made of."""

DEPTH_MAX = 100
"""Deepest expression that is taken; a chain of operators counts once for each of them."""

LENGTH_MAX = 100_000
"""Longest text that is taken, in characters."""

WHOLE_MIN, WHOLE_MAX = -(2**63), 2**63 - 1
"""Whole numbers that rows can hold, and so those that may be written."""

_NAMES = {"||": "or", "or": "or", "&&": "and", "and": "and", "<>": "!=", "!": "not", "not": "not"}
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
RESERVED_WORDS = frozenset(_CONSTANTS)
"""Names, in small letters, that mean something else than a column of that name; `and`, `in` and the like cannot be
taken for one, and are written by `col`."""

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def _operator(sign: str) -> str:
    return _NAMES.get(sign.lower(), sign.lower())


def _start(token: Token) -> int:
    return int(token.start_pos or 0)


def _stop(token: Token) -> int:
    return int(token.end_pos or 0)


def _whole(digits: str) -> int:
    """Return a whole number; one of very many digits is cut, because it is refused in any case."""
    return int(digits.lstrip("0")[:40] or "0")


def _combine(function: str, left: Node, right: Node, position: int) -> Call:
    return Call(
        function=function, arguments=(left, right), named=(), is_operator=True, position=position, stop=right.stop
    )


def _related(sign: Token, left: Node, right: Node) -> Call:
    """Return a comparison, or what `in` and `not in` stand for."""
    if sign.type != "NOT_IN":
        return _combine(_operator(sign), left, right, _start(sign))
    found = _combine("in", left, right, _start(sign))
    return Call(
        function="not", arguments=(found,), named=(), is_operator=True, position=found.position, stop=found.stop
    )


class _MisplacedArgument(Exception):  # noqa: N818 -- never leaves this module
    """An argument without a name after one with a name, or a sign that is none."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


@v_args(inline=True)
class _Builder(Transformer[Token, Node]):
    """Makes nodes of what the parser recognised."""

    def real(self, token: Token) -> Node:
        return Literal(value=float(token), position=_start(token), stop=_stop(token))

    def integer(self, token: Token) -> Node:
        return Literal(value=_whole(str(token)), position=_start(token), stop=_stop(token))

    def duration(self, token: Token) -> Node:
        digits = str(token).rstrip("nusmhHdw")
        unit = str(token)[len(digits) :]
        return Duration(count=_whole(digits), unit=unit, position=_start(token), stop=_stop(token))

    def string(self, token: Token) -> Node:
        body, text, escaped = str(token)[1:-1], "", False
        for letter in body:
            if escaped:
                text, escaped = text + _ESCAPES.get(letter, letter), False
            elif letter == "\\":
                escaped = True
            else:
                text += letter
        return Literal(value=text, position=_start(token), stop=_stop(token))

    def symbol(self, token: Token) -> Node:
        return Literal(value=str(token)[1:], position=_start(token), stop=_stop(token))

    def name(self, token: Token) -> Node:
        if token.lower() in _CONSTANTS:
            return Literal(value=_CONSTANTS[token.lower()], position=_start(token), stop=_stop(token))
        return Name(name=str(token), position=_start(token), stop=_stop(token))

    def named(self, token: Token, value: Node) -> Any:
        return (str(token), value)

    def pair(self, low: Node, high: Node) -> Node:
        return Pair(low=low, high=high, position=low.position, stop=high.stop)

    def listing(self, *items: Node | None) -> Node:
        present = tuple(item for item in items if item is not None)
        start = present[0].position - 1 if present else 0
        return Listing(items=present, position=start, stop=present[-1].stop + 1 if present else 0)

    def call(self, token: Token, *arguments: Any) -> Node:
        present = [argument for argument in arguments if argument is not None]
        kinds = [isinstance(argument, tuple) for argument in present]
        if kinds != sorted(kinds):
            raise _MisplacedArgument(present[kinds.index(False, kinds.index(True))].position)
        positional = tuple(argument for argument in present if not isinstance(argument, tuple))
        named = tuple(argument for argument in present if isinstance(argument, tuple))
        ends = [argument[1].stop if isinstance(argument, tuple) else argument.stop for argument in present]
        stop = max(ends, default=_stop(token) + 1) + 1
        return Call(
            function=str(token),
            arguments=positional,
            named=named,
            is_operator=False,
            position=_start(token),
            stop=stop,
        )

    def call_on_rows(self, token: Token, sign: Token) -> Node:
        if str(sign) != "*":
            raise _MisplacedArgument(_start(sign))
        every = AllRows(position=_start(sign), stop=_stop(sign))
        return Call(
            function=str(token),
            arguments=(every,),
            named=(),
            is_operator=False,
            position=_start(token),
            stop=every.stop + 1,
        )

    def not_in(self, negation: Token, word: Token) -> Token:
        return negation.update(type="NOT_IN")

    def unary(self, token: Token, operand: Node) -> Node:
        if str(token) == "+":
            return operand
        is_number = isinstance(operand, Literal) and type(operand.value) in (int, float)
        if str(token) == "-" and isinstance(operand, Literal) and is_number:
            negative = -operand.value  # type: ignore[operator]  # checked to be a number above
            return Literal(value=negative, position=_start(token), stop=operand.stop)
        if str(token) == "-" and isinstance(operand, Duration):
            return replace(operand, count=-operand.count, position=_start(token))
        function = "neg" if str(token) == "-" else "not"
        return Call(
            function=function,
            arguments=(operand,),
            named=(),
            is_operator=True,
            position=_start(token),
            stop=operand.stop,
        )

    def binary(self, left: Node, *rest: Any) -> Node:
        pairs = list(zip(rest[::2], rest[1::2], strict=True))
        return reduce(lambda tree, step: _combine(_operator(step[0]), tree, step[1], _start(step[0])), pairs, left)

    def chain(self, left: Node, *rest: Any) -> Node:
        operands = [left, *rest[1::2]]
        parts = [_related(sign, operands[i], operands[i + 1]) for i, sign in enumerate(rest[::2])]
        return reduce(lambda tree, part: _combine("and", tree, part, part.position), parts[1:], parts[0])


_PARSER = Lark(_GRAMMAR, parser="lalr", lexer="contextual", maybe_placeholders=False)
_LEXER = Lark(_GRAMMAR, parser=None, lexer="basic", maybe_placeholders=False)
_BUILDER = _Builder()


def _depth(tree: Any) -> int:
    """Return how deep the expression tree will be; operands of one chain of operators lie above one another."""
    deepest, pending = 0, [(tree, 1)]
    while pending:
        node, depth = pending.pop()
        deepest = max(deepest, depth)
        if isinstance(node, Tree):
            below = depth + (len(node.children) // 2 if node.data in ("binary", "chain") else 1)
            pending.extend((child, below) for child in node.children)
    return deepest


def tokens_of(text: str) -> Iterator[Token]:
    """Yield the tokens of a text, which need not be an expression.

    Raises:
        LarkError: something in it is no token.
    """
    return _LEXER.lex(text)


def parse_metric(text: str) -> Node:
    """Return the expression tree of a metric.

    Raises:
        MetricError: the text is no expression (code `parse`).
    """
    try:
        if len(text) > LENGTH_MAX:
            problem = f"the metric has {len(text)} characters, and {LENGTH_MAX} are the most"
            raise MetricError("parse", problem, f"{text[:60]}...", 0, "Split it into several metrics.")
        tree = _PARSER.parse(text)
        if _depth(tree) > DEPTH_MAX:
            raise MetricError("parse", "the metric is nested too deeply", text, 0, "Split it into several metrics.")
        node = _BUILDER.transform(tree)
        _check_numbers(node, text)
        return node
    except MetricError:
        raise
    except UnexpectedInput as error:
        ends = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        position = len(text) if ends or error.pos_in_stream is None else error.pos_in_stream
        raise _parse_error(text, position) from None
    except VisitError as error:
        misplaced = error.orig_exc
        position = misplaced.position if isinstance(misplaced, _MisplacedArgument) else 0
        raise _parse_error(text, position) from None
    except (LarkError, ValueError):
        raise _parse_error(text, 0) from None


def _check_numbers(node: Node, text: str) -> None:
    """Refuse numbers that no row can hold."""
    pending = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, Call):
            pending += [*part.arguments, *(argument for _, argument in part.named)]
        elif isinstance(part, Listing):
            pending += part.items
        elif isinstance(part, Pair):
            pending += [part.low, part.high]
        elif isinstance(part, Literal) and type(part.value) is int and not WHOLE_MIN <= part.value <= WHOLE_MAX:
            way_out = "Write it as a real number, such as 1e20, or choose one of at most 18 digits."
            raise MetricError("bad_argument", "this whole number has more than 64 bits", text, part.position, way_out)
        elif isinstance(part, Literal) and isinstance(part.value, float) and not isfinite(part.value):
            problem = "this number is larger than real numbers can be"
            raise MetricError("bad_argument", problem, text, part.position, "The largest is about 1.8e308.")


def _parse_error(text: str, position: int) -> MetricError:
    found = text[position : position + 1]
    way_out = way_out_of_sign(text, position)
    if found == "=":
        return MetricError("parse", "`=` is no comparison", text, position, way_out)
    if not found or text[position:].isspace() or not text.strip():
        return MetricError("parse", "the metric ends too early", text, len(text), "Complete the expression.")
    return MetricError("parse", f"`{found}` is not expected here", text, position, way_out)
